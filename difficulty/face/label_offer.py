"""Labels bought at a prompt: first what it would cost, then, if so said, the purchase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from difficulty.face.given_data import AnyPath, as_path, speaks_python
from difficulty.face.judging_data import AnyPrices, HasFolder, folder_of, price_list
from difficulty.face.traffic_data import as_traffic

if TYPE_CHECKING:
    from difficulty.stages.labelling.label import PurchaseReport
    from difficulty.stages.labelling.label_plan import LabelPlan


@speaks_python
def label(
    data: Any,
    out: AnyPath,
    *,
    cheap: str,
    frontier: str,
    judge: str,
    budget_usd: float,
    spend: bool = False,
    bundle: AnyPath | HasFolder | None = None,
    prices: AnyPrices = None,
    advice: bool = True,
    overwrite: bool = False,
    **options: Any,
) -> LabelPlan | PurchaseReport:
    """Have requests answered by both models and judged, within a budget.

    Parameters
    ----------
    data : as in :func:`read`
        Requests without labels.
    out : str or Path
        A ``.parquet`` file for the labelled traffic; the journal of the purchase stands beside it,
        and the same call again pays for nothing twice.
    cheap, frontier : str
        Models as LiteLLM names them.
    judge : str
        A third model, ``exact``, ``validators`` or ``python:MODULE:FUNCTION``.
    budget_usd : float
        Most USD that ``out`` may cost, in all.
    spend : bool, default False
        Whether money may be spent; else nothing is called, and the plan is returned.
    bundle : str, Path or Bundle, optional
        Its scores say which requests tell most.
    prices : path or PriceList, optional
        Goes before the prices that LiteLLM knows.
    advice : bool
        Train, to say if more labels are worth it.
    overwrite : bool
        Whether what is at ``out`` may be replaced.
    **options
        Further fields of ``difficulty.stages.labelling.label_models.LabelOptions``.

    Returns
    -------
    LabelPlan or PurchaseReport

    Raises
    ------
    TooFewSamplesError
        If no request can be labelled, or not one for the budget.
    """
    from difficulty.stages.labelling.label import label as buy
    from difficulty.stages.labelling.label_models import LabelOptions

    wanted = LabelOptions(
        cheap=cheap, frontier=frontier, judge=judge, budget_usd=budget_usd, **options
    )
    traffic = as_traffic(data)  # held: a temporary file goes with it
    return buy(
        traffic.path,
        as_path(out),
        wanted,
        spend=spend,
        prices=price_list(prices),
        bundle_path=folder_of(bundle) if bundle is not None else None,
        with_advice=advice,
        overwrite=overwrite,
    )
