"""Figures over independent repetitions of one experiment, with 95 % intervals, and the page they
are written to.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from benchmarks.lib.results import write_results
from difficulty.metrics import percentile_interval

__all__ = ["Repeated", "mean_of", "root_mean_squares", "surroundings", "table", "write"]

N_DRAWS = 2000
_PACKAGES = ("numpy", "scipy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Repeated:
    """A figure over ``n`` repetitions, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    sd: float | None = None
    """Of single repetitions."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def signed(self) -> str:
        """The figure as a difference."""
        return f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    @property
    def spread(self) -> str:
        """The figure with the standard deviation of single repetitions."""
        return f"{self.value:.3f} ({self.sd:.3f})"


def mean_of(values: ArrayLike) -> Repeated:
    """Return the mean over repetitions with Student's interval."""
    found = np.asarray(values, dtype=np.float64)
    sd, mean = float(found.std(ddof=1)), float(found.mean())
    half = float(student.ppf(0.975, len(found) - 1) * sd / np.sqrt(len(found)))
    return Repeated(mean, mean - half, mean + half, n=len(found), sd=sd)


def root_mean_squares(errors: ArrayLike, *, beside: int) -> tuple[list[Repeated], list[Repeated]]:
    """Return the root mean square of each column, and by how much it exceeds that of one of them;
    intervals by bootstrap.

    Parameters
    ----------
    errors : array-like of shape (n_repetitions, n_ways)
        A repetition's errors belong together: all ways saw the same draw.
    beside : int
        The way that the others are compared with.
    """
    squares = np.asarray(errors, dtype=np.float64) ** 2
    n = len(squares)
    rows = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
    drawn, value = np.sqrt(rows @ squares / n), np.sqrt(squares.mean(axis=0))

    def of(value: Iterable[float], drawn: np.ndarray) -> list[Repeated]:
        return [
            Repeated(float(one), *percentile_interval(column), n=n)
            for one, column in zip(value, drawn.T, strict=True)
        ]

    return of(value, drawn), of(value - value[beside], drawn - drawn[:, [beside]])


def surroundings() -> dict[str, Any]:
    """Return the date and the versions that decide the figures."""
    versions = {name: version(name) for name in _PACKAGES}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version()} | versions,
    }


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(map(str, row))} |" for row in (header, ["---"] * len(header), *rows)]


def write(out: Path, results: dict[str, Any], lines: Sequence[str], command: str) -> None:
    """Write ``<out>.json`` and ``<out>.md``; the page ends with the command, the date and the
    versions.
    """
    with_versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    end = ["", f"Made on {results['date']} with {with_versions} by", "", f"    {command}", ""]
    write_results(out, results, "\n".join([*lines, *end]))
