"""Training and judging on logs of a policy, beside the truth that such logs do not show.

    python -m benchmarks.logged_training -o benchmarks/results/2026-11-27-logged-training

The requests of the synthetic sample with both outcomes known are split by group as ``difficulty
train`` splits them, with another seed in each repetition. A policy guesses how the cheap model will
do, right three times in four, and gives it 90 % of what it holds for easy and 15 % of the rest; its
log shows the outcome of the model that was called and nothing of the other. Three models are made
of the fit and calibration samples, by the code of ``difficulty train``: from both outcomes of every
request, from the log with its propensities, and from the log without them, its bias accepted. All
are judged on both outcomes of the test samples, which no model saw; the weighted one also on the
test samples as the log shows them, weighted and as they are.

Figures are means over the repetitions, the standard deviation of single ones behind them.
Differences are paired, with Student's intervals; all repetitions split one sample, so they tell the
chance of split and log, and are too narrow for another sample. AUROC is of cheap quality below 1/2.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.repetitions import mean_of, surroundings, table, write
from benchmarks.lib.simulated_logs import Policy
from difficulty.encoders.base import Encoder
from difficulty.metrics import auroc, brier, expected_calibration_error
from difficulty.model.combination import Scores
from difficulty.recipe import Recipe
from difficulty.stages.ingest import ingest
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic, pa, pq
from difficulty.training.assemble import build_model, known_tasks
from difficulty.training.material import Material, gather
from difficulty.training.shipped import find_encoder, find_recipe

FloatArray = NDArray[np.float64]
Figures = dict[str, float]
_KEPT = (
    "id",
    "messages",
    "task",
    "group",
    "cheap_model",
    "frontier_model",
    "cheap_quality",
    "frontier_quality",
)
FORMS = ("both outcomes of every request", "the log, weighted", "the log as it is")
BOTH, WEIGHTED, PLAIN = FORMS
MODEL_FIGURES = ("mean p_cheap_fails", "bias", "brier", "auroc", "ece")
JUDGED_FIGURES = ("brier", "brier, frontier", "ece")
_TITLES = {
    "mean p_cheap_fails": "mean `p_cheap_fails`",
    "brier": "Brier",
    "brier, frontier": "Brier, frontier",
    "auroc": "AUROC",
    "ece": "ECE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One repetition: each model judged on the truth, and the weighted one on each form of the test
    samples.
    """

    truth: float
    """Failure rate of the cheap model on the test samples."""
    effective: float
    """Equally weighted cheap outcomes that those of the log are worth."""
    trained_on: dict[str, Figures]
    judged_on: dict[str, Figures]


@dataclass(frozen=True, slots=True)
class Experiment:
    """Repeats training and judging on one sample."""

    requests: pa.Table
    recipe: Recipe
    encoder: Encoder
    policy: Policy

    def repetition(self, seed: int) -> Found:
        """Return what one split and one log come to."""
        forms = dict(zip(FORMS, self._forms(seed), strict=True))
        models = {name: _predict(form) for name, form in forms.items()}
        truth = _test(forms[BOTH])
        logged = forms[WEIGHTED].logged
        assert logged
        return Found(
            truth=float(truth.cheap_failure.mean()),
            effective=logged.effective["cheap"],
            trained_on={name: _of_model(scores, truth) for name, scores in models.items()},
            judged_on={
                name: _judged(models[WEIGHTED], _test(form)) for name, form in forms.items()
            },
        )

    def _forms(self, seed: int) -> Iterator[Material]:
        """Yield what each model is trained and judged on; all have the same samples in the same
        splits.
        """
        labels = {"accept_selection_bias": True}
        recipe = replace(self.recipe, target="failure", seed=seed)
        accepting = replace(recipe, labels=replace(recipe.labels, **labels))
        known, unknown = (
            self.policy.log(self.requests, np.random.default_rng(seed), propensity=written)
            for written in (True, False)
        )
        for traffic, its_recipe in (
            (Traffic(self.requests), recipe),
            (known, recipe),
            (unknown, accepting),
        ):
            with TemporaryDirectory() as scratch:
                path = Path(scratch) / "traffic.parquet"
                traffic.write(path)
                yield gather(
                    path,
                    its_recipe,
                    self.encoder,
                    find=None,
                    start=None,
                    teacher=None,
                    unlabelled=None,
                    progress=lambda _: None,
                )


def _predict(material: Material) -> Scores:
    """Fit a model as ``difficulty train`` does, and return what it says of the test samples."""
    fit, recipe = material.fit, material.recipe
    model = build_model(
        recipe, material.encoder, material.target, tasks=known_tasks(recipe, fit)
    ).fit(fit, material.calibration)
    picked = material.tokens.at(material.rows("test"))
    return model.predict(picked.ids, picked.tasks)


def _test(material: Material) -> Outcomes:
    return material.traffic.outcomes[material.rows("test")]


def _of_model(scores: Scores, truth: Outcomes) -> Figures:
    """Return the figures of ``p_cheap_fails``, where all outcomes are known."""
    p, failure = scores.p_cheap_fails, truth.cheap_failure
    values = (
        p.mean(),
        (p - failure).mean(),
        brier(p, failure),
        auroc(p, failure > 0.5),
        expected_calibration_error(p, failure),
    )
    return {name: float(value) for name, value in zip(MODEL_FIGURES, values, strict=True)}


def _judged(scores: Scores, outcomes: Outcomes) -> Figures:
    """Return the figures that a user sees, who knows these outcomes and no others."""
    assert scores.p_frontier_fails is not None
    p, failure, weight = _where_known(scores.p_cheap_fails, outcomes.cheap_failure, outcomes.weight)
    frontier = _where_known(scores.p_frontier_fails, outcomes.frontier_failure, outcomes.weight)
    values = (
        brier(p, failure, weight=weight),
        brier(*frontier[:2], weight=frontier[2]),
        expected_calibration_error(p, failure, weight=weight),
    )
    return dict(zip(JUDGED_FIGURES, values, strict=True))


def _where_known(
    probability: FloatArray, outcome: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    known = ~np.isnan(outcome)
    return probability[known], outcome[known], weight[known]


def ingested(sample: Path) -> pa.Table:
    """Return the requests of which both outcomes are known, near-duplicates tied as by ``difficulty
    ingest``.
    """
    with gzip.open(sample, "rt", encoding="utf-8") as lines:
        rows = [{name: row[name] for name in _KEPT} for row in map(json.loads, lines)]
    known = [
        row
        for row in rows
        if row["cheap_quality"] is not None and row["frontier_quality"] is not None
    ]
    with TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "rows.jsonl", Path(scratch) / "rows.parquet"
        source.write_text("".join(json.dumps(row) + "\n" for row in known), encoding="utf-8")
        ingest([source], out)
        return pq.read_table(out)


def main() -> None:
    """Run the repetitions and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=Path, default=Path("data/sample.jsonl.gz"))
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--repetitions", type=int, default=12)
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    recipe, requests = find_recipe(arguments.recipe), ingested(arguments.sample)
    experiment = Experiment(requests, recipe, find_encoder(recipe.features), Policy())
    found = []
    for seed in range(arguments.repetitions):
        found.append(experiment.repetition(seed))
        print(seed, found[-1], flush=True)
    results = surroundings() | {
        "recipe": recipe.name,
        "requests": len(requests),
        "repetitions": [asdict(one) for one in found],
    }
    write(
        arguments.out,
        results,
        page(found, results),
        f"python -m benchmarks.logged_training -o {arguments.out}",
    )


def page(found: list[Found], results: dict[str, object]) -> list[str]:
    """Return the lines of the page."""
    trained = {
        form: {name: [one.trained_on[form][name] for one in found] for name in MODEL_FIGURES}
        for form in FORMS
    }
    judged = {
        form: {name: [one.judged_on[form][name] for one in found] for name in JUDGED_FIGURES}
        for form in FORMS
    }
    truth, effective = (
        mean_of([one.truth for one in found]),
        mean_of([one.effective for one in found]),
    )
    return [
        "# Training and judging on logged traffic",
        "",
        *__doc__.strip().splitlines()[4:],
        "",
        (
            f"{results['requests']:,} requests, recipe `{results['recipe']}`, target `failure`,"
            f" {len(found)} repetitions. The cheap model failed on {truth.spread} of the test"
            f" samples. The cheap outcomes of a log were worth {effective.value:,.0f} equally"
            " weighted ones."
        ),
        "",
        "## Trained on, judged on the truth",
        "",
        *_figures("trained on", trained, MODEL_FIGURES),
        "",
        "Bias is the mean of `p_cheap_fails` minus the failure rate. Differences:",
        "",
        *_differences(trained, ((WEIGHTED, BOTH), (WEIGHTED, PLAIN)), MODEL_FIGURES[1:]),
        "",
        "## The weighted model, judged on",
        "",
        *_figures("judged on", judged, JUDGED_FIGURES),
        "",
        *_differences(judged, ((WEIGHTED, BOTH), (PLAIN, BOTH)), JUDGED_FIGURES),
    ]


Samples = dict[str, dict[str, list[float]]]


def _figures(what: str, found: Samples, names: Sequence[str]) -> list[str]:
    rows = [
        [form, *(mean_of(figures[name]).spread for name in names)]
        for form, figures in found.items()
    ]
    return table([what, *(_TITLES.get(name, name) for name in names)], rows)


def _differences(
    found: Samples, pairs: Iterable[tuple[str, str]], names: Sequence[str]
) -> list[str]:
    rows = [
        [
            f"{a} - {b}",
            *(mean_of(np.subtract(found[a][name], found[b][name])).signed for name in names),
        ]
        for a, b in pairs
    ]
    return table(["difference", *(_TITLES.get(name, name) for name in names)], rows)


if __name__ == "__main__":
    main()
