"""How well suspicious labels are found, and what it does to let them count less.

    python -m benchmarks.suspicious --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-27-suspicious

Every run trains recipe ``fast`` with the code of ``difficulty train`` and reads its report
``suspicious.jsonl``; a seed splits the traffic, deals the folds and picks the labels that are
turned round. On MMLU the frontier labels of high_school_mathematics are broken upstream; on the
synthetic sample a share of the labels of one model is turned round, among those that are not 0.5,
in all splits; elsewhere no label is known to be wrong. A label that is listed is right where it is
one of those known to be wrong: *precision* is their share of the list (of the model whose labels
are wrong), *recall* the share of them that is listed. Tasks and regions are judged by their
samples. The sample's own surprises, for its outcomes are drawn by chance, count as false ones.

Letting them count less: the same traffic and seed with and without the factor, judged on the run's
test samples with the outcomes as they were before any was turned round. A figure is the mean over
seeds; its interval comes from bootstrap draws of whole groups and of seeds, the same ones for both,
so that the difference is paired.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.experiments import TITLES
from benchmarks.lib.protocol import (
    BROKEN,
    N_DRAWS,
    BenchmarkSet,
    Estimate,
    FloatArray,
    Statistic,
    apgr,
    draw,
    read_traffic,
)
from benchmarks.lib.shares import Share
from benchmarks.lib.trained import TrainedRun, Training, changed
from difficulty.diagnostics.suspicion import Model
from difficulty.metrics import percentile_interval
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_recipe, shipped_file

SAMPLE = "the synthetic sample"
ROW_WEIGHT = 0.3
GROUP_WEIGHT = 0.1
TURNED: tuple[tuple[Model, float], ...] = (("cheap", 0.05), ("cheap", 0.1), ("frontier", 0.1))
WEIGHTED = TURNED[1]
"""The labels that are turned round where rows are to count less."""
FROM_THE_TOP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Labels that are known to be wrong."""

    what: str
    model: Model
    ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one run lists.

    Attributes
    ----------
    traffic, wrong : str
        What was trained on, and what is known to be wrong with it; empty: nothing.
    seed : int
    groups : list of dict
        Suspicious tasks and regions: scope, name, model, samples and p-value.
    group_precision, group_recall, row_precision, row_recall, top_precision : Share or None
        Of samples of groups, of rows, and of the first rows of the list; ``None`` where no label is
        known to be wrong, or none is listed.
    row_share : Share
        Samples with a row on the list, among all that were looked at.
    """

    traffic: str
    wrong: str
    seed: int
    groups: list[dict[str, Any]]
    group_precision: Share | None
    group_recall: Share | None
    row_precision: Share | None
    row_recall: Share | None
    top_precision: Share | None
    row_share: Share

    @classmethod
    def of(cls, traffic: str, run: TrainedRun, seed: int, wrong: Wrong | None = None) -> Found:
        """Compare the report of a run with what is known."""
        grouped = run.listed("task") | run.listed("region")
        rows = [
            one["id"]
            for one in run.suspicious
            if one["scope"] == "row" and wrong and one["model"] == wrong.model
        ]
        known = wrong.ids if wrong else frozenset()
        return cls(
            traffic=traffic,
            wrong=wrong.what if wrong else "",
            seed=seed,
            groups=[
                {name: getattr(group, name) for name in ("scope", "name", "model", "n", "p_value")}
                for group in run.labels.groups
            ],
            group_precision=_share(grouped & known, grouped) if wrong else None,
            group_recall=_share(grouped & known, known),
            row_precision=_share(known.intersection(rows), rows),
            row_recall=_share(known.intersection(rows), known),
            top_precision=_share(known.intersection(rows[:FROM_THE_TOP]), rows[:FROM_THE_TOP]),
            row_share=Share.of(len(run.listed("row")), run.labels.checked),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One figure on clean test outcomes, means over seeds."""

    setting: str
    figure: str
    seeds: int
    before: Estimate
    after: Estimate
    difference: Estimate


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--routellm", type=Path, required=True, help="checkout of github.com/lm-sys/RouteLLM"
    )
    parser.add_argument(
        "--normalised", type=Path, required=True, help="folder of tool-calling outcomes"
    )
    parser.add_argument("--seeds", type=int, default=5, help="results are written as they come")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    evals, training = arguments.routellm / "routellm" / "evals", Training.of(find_recipe("fast"))
    paths = {TITLES["gsm8k"]: evals / "gsm8k"}
    paths |= {
        TITLES[path.name.removesuffix(".jsonl.gz")]: path
        for path in sorted(arguments.normalised.glob("bfcl__*.jsonl.gz"))
    }
    others = {title: read_traffic(path) for title, path in paths.items()}
    sample, mmlu = (
        OnSample(read_traffic(shipped_file("data/sample.jsonl.gz"))),
        OnMmlu(read_traffic(evals / "mmlu")),
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    for seed in range(arguments.seeds):
        for part in (
            sample.run(training, seed),
            on_others(others, training, seed),
            mmlu.run(training, seed),
        ):
            found += part
            _write(found, [*sample.compared(), *mmlu.compared()], arguments.out, seeds=seed + 1)
        print(
            f"{seed + 1} of {arguments.seeds} seeds, {time.process_time():.0f} s of processor time",
            flush=True,
        )


def _write(found: list[Found], compared: list[Compared], out: Path, *, seeds: int) -> None:
    """Write what is known so far."""
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": (
            "python -m benchmarks.suspicious --routellm RouteLLM --normalised normalised --seeds"
            f" {seeds} -o {out}"
        ),
        "recipe": "fast",
        "found": [asdict(one) for one in found],
        "compared": [asdict(one) for one in compared],
    }
    out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(as_markdown(results), encoding="utf-8")


def on_others(others: dict[str, Traffic], training: Training, seed: int) -> Iterator[Found]:
    """Yield what is listed where no label is known to be wrong."""
    for title, traffic in others.items():
        yield Found.of(title, training.run(traffic, seed=seed), seed)


@dataclass(frozen=True, slots=True)
class OnSample:
    """The synthetic sample, as it is and with labels turned round; ``before`` and ``after`` are
    runs without and with ``row_weight``.
    """

    traffic: Traffic
    before: list[TrainedRun] = field(default_factory=list)
    after: list[TrainedRun] = field(default_factory=list)

    def run(self, training: Training, seed: int) -> Iterator[Found]:
        """Yield what is found with one seed."""
        yield Found.of(SAMPLE, training.run(self.traffic, seed=seed), seed)
        for model, share in TURNED:
            noisy, wrong = turned(self.traffic, model, share, seed=seed)
            run = training.run(noisy, seed=seed)
            yield Found.of(SAMPLE, run, seed, wrong)
            if (model, share) == WEIGHTED:
                self.before.append(run)
                self.after.append(training.run(noisy, seed=seed, row_weight=ROW_WEIGHT))

    def compared(self) -> list[Compared]:
        """Return what ``row_weight`` did, over all seeds so far."""
        judge = Judge.of(self.traffic)
        setting = (
            f"{SAMPLE}, {WEIGHTED[1]:.0%} of the {WEIGHTED[0]} labels turned round, `row_weight ="
            f" {ROW_WEIGHT}`"
        )
        figures = {"APGR": lambda run: judge.apgr(run, run.with_task), "Brier score": judge.brier}
        return [
            judge.compared(setting, name, *_statistics(of, self.before, self.after))
            for name, of in figures.items()
        ]


@dataclass(frozen=True, slots=True)
class OnMmlu:
    """MMLU, with and without the column task; ``before`` and ``after`` are runs without and with
    ``group_weight``.
    """

    traffic: Traffic
    broken: str = BROKEN
    before: list[TrainedRun] = field(default_factory=list)
    after: list[TrainedRun] = field(default_factory=list)

    def run(self, training: Training, seed: int) -> Iterator[Found]:
        """Yield what is found with one seed."""
        ids = frozenset(
            name
            for name, task in zip(self.traffic.ids, self.traffic.tasks, strict=True)
            if task == self.broken
        )
        wrong = Wrong(
            what=f"frontier labels of {self.broken} ({len(ids)} samples)", model="frontier", ids=ids
        )
        self.before.append(training.run(self.traffic, seed=seed))
        self.after.append(training.run(self.traffic, seed=seed, group_weight=GROUP_WEIGHT))
        yield Found.of(TITLES["mmlu"], self.before[-1], seed, wrong)
        without_tasks = changed(self.traffic, task=[None] * len(self.traffic))
        yield Found.of(
            f"{TITLES['mmlu']}, without the column task",
            training.run(without_tasks, seed=seed),
            seed,
            wrong,
        )

    def compared(self) -> list[Compared]:
        """Return what ``group_weight`` did, over all seeds so far."""
        if not self.after:
            return []
        judge, setting = Judge.of(self.traffic), f"MMLU, `group_weight = {GROUP_WEIGHT}`"
        figures = {
            "APGR, all tasks, task told": lambda run: judge.apgr(run, run.with_task),
            "APGR without the broken task, task told": lambda run: judge.apgr(
                run, run.with_task, without=self.broken
            ),
            "APGR without the broken task, text alone": lambda run: judge.apgr(
                run, run.without_task, without=self.broken
            ),
        }
        return [
            judge.compared(setting, name, *_statistics(of, self.before, self.after))
            for name, of in figures.items()
        ]


def _statistics(
    of: Callable[[TrainedRun], Statistic], *runs: Sequence[TrainedRun]
) -> list[list[Statistic]]:
    return [[of(run) for run in some] for some in runs]


def turned(traffic: Traffic, model: Model, share: float, *, seed: int) -> tuple[Traffic, Wrong]:
    """Return the traffic with a share of the labels of one model turned round, and which."""
    outcomes = traffic.outcomes
    quality = np.array(outcomes.cheap_quality if model == "cheap" else outcomes.frontier_quality)
    able = np.flatnonzero(~np.isnan(quality) & (quality != 0.5))
    rows = np.random.default_rng(seed).choice(able, round(share * len(able)), replace=False)
    quality[rows] = 1.0 - quality[rows]
    ids = frozenset(traffic.ids[row] for row in rows)
    wrong = Wrong(
        what=f"{share:.0%} of the {model} labels turned round ({len(ids)} of {len(able):,})",
        model=model,
        ids=ids,
    )
    return changed(traffic, **{f"{model}_quality": quality}), wrong


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges runs by the outcomes as they are."""

    data: BenchmarkSet
    place: dict[str, int]

    @classmethod
    def of(cls, traffic: Traffic) -> Judge:
        """Return the judge of runs on some traffic."""
        return cls(
            BenchmarkSet.of(traffic).in_one_fold(),
            {name: row for row, name in enumerate(traffic.ids)},
        )

    def apgr(self, run: TrainedRun, score: FloatArray, *, without: str | None = None) -> Statistic:
        """Return APGR of the run's test samples, or of those of other tasks than ``without``."""
        rows, whole = self._rows(run), np.full(len(self.data), np.nan)
        whole[rows] = score
        kept = rows[~np.isnan(self.data.gain[rows]) & (self.data.tasks[rows] != (without or "-"))]
        return apgr(whole, self.data, kept)

    def brier(self, run: TrainedRun) -> Statistic:
        """Return the Brier score of ``p_cheap_fails`` on the run's test samples."""
        rows = self._rows(run)
        error = (run.p_cheap_fails - (1.0 - self.data.cheap[rows])) ** 2
        known = ~np.isnan(error)
        rows, error = rows[known], error[known]
        return lambda weight: (
            (weight[..., rows] * error).sum(axis=-1) / weight[..., rows].sum(axis=-1)
        )

    def compared(
        self, setting: str, figure: str, before: Sequence[Statistic], after: Sequence[Statistic]
    ) -> Compared:
        """Return the means over seeds, and the difference."""
        whole = np.ones(len(self.data))
        names = [(when, seed) for when in ("before", "after") for seed in range(len(before))]
        drawn = draw(
            {
                f"{when} {seed}": one
                for (when, seed), one in zip(names, [*before, *after], strict=True)
            },
            self.data.groups,
        )
        chosen = np.random.default_rng(0).integers(0, len(before), size=(len(before), N_DRAWS))

        def over_seeds(when: str) -> FloatArray:
            return np.stack([drawn[f"{when} {seed}"] for seed in range(len(before))])[
                chosen, np.arange(N_DRAWS)
            ].mean(axis=0)

        values = [float(np.mean([one(whole) for one in each])) for each in (before, after)]
        draws = [over_seeds("before"), over_seeds("after")]
        estimates = [
            Estimate(value, *percentile_interval(of), n=len(self.data))
            for value, of in zip(
                [*values, values[1] - values[0]], [*draws, draws[1] - draws[0]], strict=True
            )
        ]
        return Compared(
            setting=setting,
            figure=figure,
            seeds=len(before),
            before=estimates[0],
            after=estimates[1],
            difference=estimates[2],
        )

    def _rows(self, run: TrainedRun) -> NDArray[np.intp]:
        return np.array([self.place[name] for name in run.ids], dtype=np.intp)


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in results["found"]:
        kinds.setdefault((one["traffic"], one["wrong"]), []).append(one)
    lines = [
        f"# Suspicious labels, {results['date']}",
        "",
        (
            f"Recipe `{results['recipe']}`. Shares are those of the first seed with exact 95 %"
            " intervals, then lowest and highest over the seeds. `benchmarks/suspicious.py` says"
            " what is counted."
        ),
        "",
        "## Tasks and regions",
        "",
        "| traffic | known to be wrong | seeds | found | precision | recall |",
        "| --- " * 6 + "|",
    ]
    for (traffic, wrong), runs in kinds.items():
        cells = [
            traffic,
            wrong or "nothing",
            len(runs),
            _named(runs),
            _over(runs, "group_precision"),
            _over(runs, "group_recall"),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "## Rows", ""]
    lines += [
        (
            f"| traffic | known to be wrong | precision | of the first {FROM_THE_TOP} | recall |"
            " samples with a row on the list |"
        ),
        "| --- " * 6 + "|",
    ]
    for (traffic, wrong), runs in kinds.items():
        of_rows = (
            [""] * 3
            if BROKEN in wrong
            else [_over(runs, name) for name in ("row_precision", "top_precision", "row_recall")]
        )
        lines.append(
            "| "
            + " | ".join([traffic, wrong or "nothing", *of_rows, _over(runs, "row_share")])
            + " |"
        )
    lines += [
        "",
        "## Letting them count less",
        "",
        "| setting | figure | seeds | without | with | difference |",
        "| --- " * 6 + "|",
    ]
    for one in results["compared"]:
        estimates = [str(Estimate(**one[name])) for name in ("before", "after", "difference")]
        lines.append(
            "| " + " | ".join([one["setting"], one["figure"], str(one["seeds"]), *estimates]) + " |"
        )
    return "\n".join([*lines, "", "Made by", "", f"    {results['command']}", ""])


def _named(runs: list[dict[str, Any]]) -> str:
    """Return which groups were found, in how many runs."""
    counts: dict[str, list[int]] = {}
    for run in runs:
        for group in run["groups"]:
            name = "a region" if group["scope"] == "region" else f"task {group['name']}"
            counts.setdefault(f"{name} ({group['model']})", []).append(group["n"])
    named = [f"{name} in {len(sizes)} of {len(runs)} runs" for name, sizes in counts.items()]
    return "; ".join(named) or "nothing"


def _over(runs: list[dict[str, Any]], what: str) -> str:
    """Return a share of the first seed, and its range over all."""
    shares = [Share(**run[what]) for run in runs if run[what]]
    if not shares:
        return ""
    return (
        f"{shares[0]}; {min(one.value for one in shares):.1%} to"
        f" {max(one.value for one in shares):.1%}"
    )


def _share(
    part: Sequence[str] | frozenset[str] | set[str],
    whole: Sequence[str] | frozenset[str] | set[str],
) -> Share | None:
    return Share.of(len(part), len(whole)) if whole else None


if __name__ == "__main__":
    main()
