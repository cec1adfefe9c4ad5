"""What can be said of a bundle on requests without outcomes: shares, cost, familiarity, and how far
these requests are from others, such as those of training.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle import Bundle, read_bundle
from difficulty.errors import BundleError, TooFewSamplesError
from difficulty.evaluation.scored import Thresholds
from difficulty.form import Record
from difficulty.kinds import PathKind, kind_of
from difficulty.metrics.bootstrap import STANDARD, Resampling
from difficulty.records import Estimate, Prices
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.scorer import Scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.judging import Served, catch_rate, serve
from difficulty.stages.overlap import overlap_of
from difficulty.stages.watching.expecting import Expected, expect_of
from difficulty.storage import on_urls, whole_file
from difficulty.thresholds.point import operating_point
from difficulty.traffic.table import Traffic

_DRAWS = 200
_LEVEL = 0.95
_CRITICAL = 1.358
"""Of the distance of Kolmogorov and Smirnov at 95 %, times the root of (n + m) / (n m)."""
_MOST_TASKS = 20
_LEAST_COMPARED = 30
"""Requests of either file below which nothing is said of how far they are apart."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(Record):
    """How far two sets of requests are apart in one respect."""

    of: str
    """``difficulty_score``, ``tokens`` or ``tasks``."""
    distance: float
    """In [0, 1]: the largest difference of the distributions (Kolmogorov and Smirnov), of tasks the
    share that would have to change (total variation).
    """
    noise: float
    """What two samples of one traffic stay below 95 times of 100."""
    _also: ClassVar[tuple[str, ...]] = ("moved",)

    @property
    def moved(self) -> bool:
        """Whether it is more than chance."""
        return self.distance > self.noise


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlabelledReport(Record):
    """What a bundle does on requests without outcomes."""

    bundle: str
    requests: int
    frontier_share: Estimate
    expected_share: float | None
    """What the threshold was chosen to send."""
    cost: Estimate
    """USD per 1,000 requests."""
    scores: dict[str, float]
    """Quantiles of ``difficulty_score``."""
    familiarity: dict[str, float]
    """The same of familiarity; empty where the bundle has none."""
    unfamiliar_share: float | None
    """Share below the policy's least familiarity; ``None`` where it asks for none."""
    tasks: dict[str, int]
    against: int | None = None
    """Requests that these are compared with, which training did not see; ``None``: with none."""
    drift: tuple[Drift, ...] = ()
    new_tasks: dict[str, int] = field(default_factory=dict)
    """Tasks that the others have not."""
    expected: Expected | None = None
    """What the bundle's probabilities say of these requests."""


@on_urls
def look_at(
    bundle_path: Path,
    traffic_path: Path,
    out: Path,
    *,
    against: Path | None = None,
    prices: Prices | None = None,
    resampling: Resampling = STANDARD,
    progress: Callable[[str], None] | None = None,
) -> UnlabelledReport:
    """Say what a bundle does on requests whose outcomes nobody knows, and write
    ``unlabelled.json``.

    Parameters
    ----------
    bundle_path : Path
    traffic_path : Path
        Ingested traffic, or a file that ``ingest`` reads as it is.
    out : Path
        Folder.
    against : Path, optional
        Traffic to compare with, for example that of training: of that only what training did not
        see counts, since scores of what it saw are others.
    prices : Prices, optional
    resampling : Resampling
    progress : callable, optional

    Raises
    ------
    BundleError
        If there is no bundle.
    """
    say = progress or (lambda _: None)
    if kind_of(bundle_path) is PathKind.RUN:
        raise BundleError(
            f"unlabelled requests are judged by a bundle: {str(bundle_path)!r} is a run, which has"
            " no threshold yet. Run: difficulty ship"
        )
    bundle = read_bundle(bundle_path)
    scorer = Scorer.from_bundle(bundle)
    say("scoring")
    served = _served(bundle, scorer, _read(traffic_path), prices)
    other = None
    if against is not None:
        say("scoring what is compared with")
        whole = _read(against)
        unseen = whole.select(~overlap_of(bundle, whole).seen)
        if not len(unseen):
            raise TooFewSamplesError(
                f"a comparison needs requests that training did not see: all {len(whole):,} of"
                f" {str(against)!r} were. Pass other traffic."
            )
        if min(len(served.traffic), len(unseen)) < _LEAST_COMPARED:
            raise TooFewSamplesError(
                f"a comparison needs {_LEAST_COMPARED} requests of either file: got"
                f" {len(served.traffic):,}, and {len(unseen):,} of {str(against)!r} that training"
                " did not see. Wait for more traffic, or leave --against out."
            )
        other = _served(bundle, scorer, unseen, prices)
    report = _report(bundle, served, other, resampling)
    with whole_file(out / "unlabelled.json") as file:
        file.write(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n")
    return report


def _read(path: Path) -> Traffic:
    """Return traffic; what was not ingested yet is, for this once."""
    if kind_of(path) is not PathKind.ROWS:
        return Traffic.read(path)
    with TemporaryDirectory() as folder:
        ingested = Path(folder) / "traffic.parquet"
        ingest([path], ingested, near_duplicates=False)
        return Traffic.read(ingested)


def _served(bundle: Bundle, scorer: Scorer, traffic: Traffic, prices: Prices | None) -> Served:
    if not len(traffic):
        raise TooFewSamplesError("there must be requests to look at: got none. Pass other traffic.")
    checker = AnswerChecker.from_bundle(bundle, scorer)
    return serve(scorer, traffic, prices, target=bundle.manifest.target, checker=checker)


def _report(
    bundle: Bundle, served: Served, other: Served | None, resampling: Resampling
) -> UnlabelledReport:
    policy, outputs = bundle.policy, served.scores.outputs
    data = served.under(policy, catch_rate=catch_rate(policy.fallback))
    routed = served.under_policy(policy)
    # Without a single answer to check, as a router does whose check cannot count.
    check = policy.answer if served.scored.answer_score is not None else None
    assert routed.threshold is not None
    cuts = Thresholds(routed.threshold, routed.task_thresholds, check)
    point = operating_point(data, cuts, resampling, objective=policy.chosen.objective)
    familiarity = outputs.get("familiarity")
    unfamiliar = (
        float((familiarity < policy.min_familiarity).mean())
        if familiarity is not None and policy.min_familiarity
        else None
    )
    tasks = Counter(task or "" for task in served.traffic.tasks)
    compared = Counter(task or "" for task in other.traffic.tasks) if other else Counter()
    new = {task: n for task, n in tasks.most_common() if task not in compared} if other else {}
    return UnlabelledReport(
        bundle=bundle.label,
        requests=len(served.traffic),
        frontier_share=point.frontier_share,
        expected_share=policy.chosen.expected.get("frontier_share", {}).get("value"),
        cost=point.cost,
        scores=_quantiles(outputs["difficulty_score"]),
        familiarity={} if familiarity is None else _quantiles(familiarity),
        unfamiliar_share=unfamiliar,
        tasks=dict(tasks.most_common(_MOST_TASKS)),
        against=len(other.traffic) if other else None,
        drift=_drift(served, other, tasks, compared) if other else (),
        new_tasks=dict(list(new.items())[:_MOST_TASKS]),
        expected=expect_of(served, bundle),
    )


def _quantiles(values: NDArray[np.floating]) -> dict[str, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return {}
    named = zip(_QUANTILES, np.quantile(known, _QUANTILES), strict=True)
    return {f"{share:g}": round(float(value), 6) for share, value in named}


def _drift(
    served: Served, other: Served, tasks: Counter[str], compared: Counter[str]
) -> tuple[Drift, ...]:
    these, others = served.scores, other.scores
    return (
        _distance(
            "difficulty_score",
            these.outputs["difficulty_score"],
            others.outputs["difficulty_score"],
        ),
        _distance("tokens", these.totals, others.totals),
        _of_tasks(tasks, compared),
    )


def _distance(name: str, these: NDArray[Any], others: NDArray[Any]) -> Drift:
    these, others = np.sort(these[np.isfinite(these)]), np.sort(others[np.isfinite(others)])
    if not (len(these) and len(others)):
        return Drift(of=name, distance=0.0, noise=1.0)
    at = np.concatenate([these, others])
    shares = [np.searchsorted(one, at, side="right") / len(one) for one in (these, others)]
    noise = _CRITICAL * np.sqrt((len(these) + len(others)) / (len(these) * len(others)))
    return Drift(
        of=name,
        distance=round(float(np.abs(shares[0] - shares[1]).max()), 6),
        noise=round(float(min(noise, 1.0)), 6),
    )


def _of_tasks(tasks: Counter[str], compared: Counter[str]) -> Drift:
    names = sorted({*tasks, *compared})
    counts = [np.array([one[name] for name in names]) for one in (tasks, compared)]
    sizes = [int(count.sum()) for count in counts]
    pooled = (counts[0] + counts[1]) / sum(sizes)
    # The draws are of the report alone, and the same each time.
    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(size, pooled, size=_DRAWS) / size for size in sizes]
    by_chance = np.abs(drawn[0] - drawn[1]).sum(axis=1) / 2.0
    shares = [count / size for count, size in zip(counts, sizes, strict=True)]
    return Drift(
        of="tasks",
        distance=round(float(np.abs(shares[0] - shares[1]).sum() / 2.0), 6),
        noise=round(float(np.quantile(by_chance, _LEVEL)), 6),
    )
