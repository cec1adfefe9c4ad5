"""A bundle at a prompt: what was shipped, judged again, with other thresholds, deciding."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from difficulty.bundle import Bundle, Policy, read_bundle
from difficulty.errors import UnknownNameError
from difficulty.evaluation import Evaluation
from difficulty.evaluation.displays.summary_html import evaluation_html, shortened, table_html
from difficulty.evaluation.words import as_percent
from difficulty.face.given_data import AnyPath, as_path, make_parent, speaks_python
from difficulty.face.judging_data import AnyPrices, HasFolder, evaluate, folder_of, token_prices
from difficulty.face.traffic_data import as_traffic
from difficulty.recipe import PolicySettings, parse_recipe
from difficulty.storage import DEFAULT_CACHE
from difficulty.training.run import Run

if TYPE_CHECKING:
    from difficulty.runtime import Decision, Router
    from difficulty.stages.verify import Verification
    from difficulty.thresholds.ways import WayWanted


class ShippedBundle:
    """A bundle, as :func:`ship` and :func:`thresholds` return it.

    Parameters
    ----------
    folder : str or Path
        A folder that ``ship`` wrote.
    notes : tuple of str
        What is to be known of the choice of its thresholds.

    Raises
    ------
    BundleError
        If there is none, or it is damaged.
    """

    def __init__(self, folder: AnyPath, *, notes: tuple[str, ...] = ()) -> None:
        self.folder = as_path(folder)
        self.notes = notes
        self.details: Bundle = read_bundle(self.folder)

    @classmethod
    def read(cls, folder: AnyPath) -> ShippedBundle:
        """Open a bundle and check it."""
        return cls(folder)

    @property
    def policy(self) -> Policy:
        """The rule by which it routes, its thresholds and how they were chosen."""
        return self.details.policy

    @property
    def threshold(self) -> float:
        """Requests with a higher ``difficulty_score`` go to the frontier model."""
        return self.policy.threshold

    @property
    def card(self) -> str:
        """Its card, in Markdown."""
        return self.details.files["card.md"].decode()

    @cached_property
    def evaluation(self) -> Evaluation:
        """The test samples judged at the threshold, on which nothing was chosen."""
        return Evaluation.from_dict(json.loads(self.details.files["metrics.json"]))

    @cached_property
    def router(self) -> Router:
        """The router that decides by it."""
        from difficulty.runtime import Router

        return Router.from_bundle(self.details)

    def decide(self, messages: Any, task: str | None = None, **options: Any) -> Decision:
        """Return where a request goes, and why; see ``Router.decide``."""
        return self.router.decide(messages, task, **options)

    def evaluate(self, data: Any, out: AnyPath | None = None, **options: Any) -> Evaluation:
        """Judge what the bundle does to traffic that it was not made from: see
        :func:`evaluate`.
        """
        return evaluate(self, data, out, **options)

    def thresholds(self, data: Any, out: AnyPath, objective: str, **options: Any) -> ShippedBundle:
        """Choose the thresholds again on labelled traffic: see :func:`thresholds`."""
        return thresholds(self, data, out, objective, **options)

    def verify(self) -> Verification:
        """Replay its golden vectors on this machine; ``.passed`` says whether all came out."""
        from difficulty.stages.verify import verify

        return verify(self.folder)

    def __repr__(self) -> str:
        policy = self.policy
        return shortened(
            f"Bundle({self.details.label}, {policy.chosen.objective}, {_cuts(policy)},"
            f" {policy.cheap_model} / {policy.frontier_model})"
        )

    def _repr_html_(self) -> str:
        policy = self.policy
        rows = [
            ("cheap / frontier model", f"{policy.cheap_model} / {policy.frontier_model}"),
            ("frontier above", f"{_cuts(policy)}, chosen by {policy.chosen.objective}"),
            ("review by", policy.review_date.isoformat()),
        ]
        share = self.evaluation.overall.get("frontier_share")
        if share is not None and share.value is not None:
            rows.append(("sent to the frontier model", as_percent(share)))
        title = f"Bundle {self.details.label}"
        return table_html(title, rows, self.notes) + evaluation_html(self.evaluation)


def _cuts(policy: Policy) -> str:
    """Return the thresholds by which it sends requests on."""
    answer = policy.answer
    own = [] if answer and answer.kind == "check" else [f"threshold {policy.threshold:.4g}"]
    if policy.task_thresholds:
        own.append(f"{len(policy.task_thresholds)} task thresholds")
    checked = [f"answer_threshold {answer.threshold:.4g}"] if answer else []
    return ", ".join([*own, *checked])


@speaks_python
def ship(
    run: AnyPath | HasFolder,
    path: AnyPath,
    objective: str | None = None,
    *,
    prices: AnyPrices = None,
    policy: Mapping[str, Any] | PolicySettings | None = None,
    models: tuple[str | None, str | None] = (None, None),
    answer: str = "auto",
    wait_usd: float = 0.0,
    allow_no_signal: bool = False,
    keep_rule: bool = False,
    early: bool | None = None,
    int8: bool | None = None,
    seen: bool = True,
    draws: int = 1000,
    progress: Callable[[str], None] | None = None,
) -> ShippedBundle:
    """Export a run, check it, choose its threshold and write the bundle that routers load.

    Parameters
    ----------
    run : str, Path or Run
    path : str or Path
        Bundle folder, named ``<name>-<version>``; must not exist.
    objective : str, optional
        Such as ``"share=0.3"``, ``"quality=0.9"``, ``"risk=0.2,delta=0.05"``; default: the
        recipe's.
    prices : path, PriceList or Prices, optional
        For the expected cost.
    policy : mapping, optional
        Settings of the recipe's section ``policy`` to change: ``{"easy_tasks": ["classify"]}``.
    models : pair of str
        Cheap and frontier model to call; default: those of the traffic.
    answer : {"auto", "off", "check", "both"}
        Whether answers of the cheap model are checked.
    wait_usd : float
        What a second call costs beside its tokens.
    allow_no_signal, keep_rule : bool
        Ship also a score without a signal, or a rule that clearly loses.
    early, int8 : bool, optional
        A small graph for clear cases; an encoder of 8 bits; default: the recipe's.
    seen : bool
        Whether the bundle knows its training requests again.
    draws : int
        Bootstrap draws behind the intervals.
    progress : callable, optional
        Told what is being done, in a few words.

    Returns
    -------
    ShippedBundle

    Raises
    ------
    NoSignalError, LosingRuleError, ParityError, NotAttainableError
        If a check says no; nothing is written then.
    """
    from difficulty.stages.ship import ship as export

    folder, out = folder_of(run), as_path(path)
    make_parent(out)
    shipped = export(
        folder,
        out,
        objective=objective,
        policy=_as_policy(folder, policy),
        models=models,
        prices=token_prices(prices),
        allow_no_signal=allow_no_signal,
        keep_rule=keep_rule,
        early=early,
        int8=int8,
        answer=_as_way(answer, wait_usd),
        seen=seen,
        cache=DEFAULT_CACHE,
        draws=draws,
        progress=progress,
    )
    return ShippedBundle(out, notes=shipped.notes)


@speaks_python
def thresholds(
    bundle: AnyPath | HasFolder,
    data: Any,
    out: AnyPath,
    objective: str,
    *,
    per_task: bool = False,
    catch_rate: float | None = None,
    answer: str = "auto",
    wait_usd: float = 0.0,
    prices: AnyPrices = None,
    allow_no_signal: bool = False,
    draws: int = 1000,
) -> ShippedBundle:
    """Choose a bundle's thresholds on labelled traffic and write the next bundle, without training.

    Parameters
    ----------
    bundle : str, Path or Bundle
    data : as in :func:`read`
        Requests that the bundle was made from are left out.
    out : str or Path
        The new bundle's folder, named ``<name>-<version>``; must not exist.
    objective : str
        Such as ``"share=0.3"`` or ``"quality=0.9"`` (docs/thresholds.md).
    per_task : bool
        Whether each task gets a threshold of its own.
    catch_rate : float, optional
        Share of the cheap model's failures that validation catches; default: the bundle's.
    answer, wait_usd, prices, allow_no_signal, draws
        As in :func:`ship`.

    Returns
    -------
    ShippedBundle
        Its ``notes`` say what is to be known of the choice.

    Raises
    ------
    SeenTrafficError, NoSignalError, NotAttainableError
        If the traffic or the score cannot give such thresholds.
    """
    from difficulty.metrics import Resampling
    from difficulty.metrics.bootstrap import enough_draws
    from difficulty.stages.thresholds import rechoose

    target, traffic = as_path(out), as_traffic(data)  # held: a temporary file goes with it
    make_parent(target)
    chosen = rechoose(
        folder_of(bundle),
        traffic.path,
        target,
        objective=objective,
        per_task=per_task,
        catch_rate=catch_rate,
        answer=_as_way(answer, wait_usd),
        prices=token_prices(prices),
        allow_no_signal=allow_no_signal,
        resampling=Resampling(enough_draws(draws), 0),
    )
    return ShippedBundle(target, notes=(*chosen.warnings, *chosen.notes))


def _as_policy(
    folder: Path, changes: Mapping[str, Any] | PolicySettings | None
) -> PolicySettings | None:
    if changes is None or isinstance(changes, PolicySettings):
        return changes
    recipe = Run.read(folder).recipe.as_dict()
    merged = {**recipe["policy"], **changes}
    return parse_recipe({**recipe, "policy": merged}, name="policy").policy


def _as_way(answer: str, wait_usd: float) -> WayWanted:
    from difficulty.thresholds.ways import AnswerOption, WayWanted

    if answer not in get_args(AnswerOption):
        raise UnknownNameError("answer", answer, get_args(AnswerOption))
    return WayWanted(cast("AnswerOption", answer), wait_usd)
