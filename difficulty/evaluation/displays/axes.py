"""What all pictures share: where they are drawn, and axes in percent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from difficulty.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNCERTAIN: dict[str, Any] = {"alpha": 0.2, "linewidth": 0}
"""How the band of an interval is drawn."""


def pick_axes(ax: Any = None) -> Axes:
    """Return the axes that were given, or those of a new figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtraError("drawing", package="matplotlib", extra="plot") from error
    return pyplot.subplots()[1] if ax is None else ax


def in_percent(axis: Any) -> None:
    """Let an axis of shares show percent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0, symbol=" %"))
