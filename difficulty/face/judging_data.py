"""Judging a run or a bundle on whatever traffic is at hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from difficulty.errors import InvalidValueError
from difficulty.evaluation import Evaluation
from difficulty.face.given_data import AnyPath, as_path, speaks_python
from difficulty.face.traffic_data import as_traffic
from difficulty.records import Prices
from difficulty.traffic.table import Traffic

if TYPE_CHECKING:
    from difficulty.economics import PriceList

AnyPrices: TypeAlias = "str | Path | PriceList | Prices | None"


class HasFolder(Protocol):
    """A run or a bundle of this room."""

    folder: Path


@speaks_python
def evaluate(
    scorer: AnyPath | HasFolder,
    data: Any,
    out: AnyPath | None = None,
    *,
    prices: AnyPrices = None,
    requests_per_month: float | tuple[float, float] | None = None,
    perturb: int = 0,
    show_texts: bool = False,
    draws: int = 1000,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Judge a run or a bundle on labelled traffic that it did not learn from.

    Parameters
    ----------
    scorer : str, Path, Run or Bundle
    data : as in :func:`read`
        Requests that training or calibration saw are left out.
    out : str or Path, optional
        Folder for ``metrics.json``, ``report.html`` and ``report.md``.
    prices : path or PriceList, optional
        Price list (TOML), for costs and for whether routing pays.
    requests_per_month : float or pair of float, optional
        Volume, or its range, for the money.
    perturb : int
        Score at most so many requests in other clothes too.
    show_texts : bool
        Whether the report may hold texts of requests.
    draws : int
        Bootstrap draws behind the intervals.
    progress : callable, optional
        Told what is being done, in a few words.

    Returns
    -------
    Evaluation
        ``.overall["apgr"]``, ``.verdict``, ``.to_frame()``, ``.plot()``.

    Raises
    ------
    TooFewSamplesError
        If nothing is left to judge.
    """
    from difficulty.economics.usage import Volume
    from difficulty.metrics import Resampling
    from difficulty.metrics.bootstrap import enough_draws
    from difficulty.stages.evaluate import evaluate_scorer

    monthly = None
    if requests_per_month is not None:
        ends = requests_per_month
        monthly = Volume(*(ends if isinstance(ends, tuple) else (ends, ends)))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="difficulty-")))
        if isinstance(data, Traffic):  # of a run
            data.write(scratch / "traffic.parquet")
            data = scratch / "traffic.parquet"
        traffic = as_traffic(data)
        judged = evaluate_scorer(
            folder_of(scorer),
            traffic.path,
            as_path(out) if out else scratch / "report",
            prices=price_list(prices),
            volume=monthly,
            perturbed=perturb,
            show_texts=show_texts,
            resampling=Resampling(enough_draws(draws), 0),
            progress=progress,
        )
    note = () if judged.note in judged.evaluation.notes else (judged.note,)
    return judged.evaluation.noting(note)


def folder_of(given: AnyPath | HasFolder) -> Path:
    """Return where a run or a bundle lies."""
    return as_path(given) if isinstance(given, str | Path) else given.folder


def price_list(given: AnyPrices) -> PriceList | None:
    """Return prices from a file, or as they are."""
    from difficulty.economics import load_price_list

    if isinstance(given, Prices):
        raise InvalidValueError(
            "prices",
            "token prices alone",
            rule="be the path of a price list, or what load_price_list returns",
        )
    return load_price_list(as_path(given)) if isinstance(given, str | Path) else given


def token_prices(given: AnyPrices) -> Prices | None:
    """Return what tokens of the two models cost."""
    if given is None or isinstance(given, Prices):
        return given
    prices = price_list(given)
    return prices.per_token if prices else None
