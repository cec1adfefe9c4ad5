"""What few labels give where heads keep off the calibration samples, and where they learn from them
too.

    python -m benchmarks.few_labels --routellm RouteLLM -o benchmarks/results/2026-11-28-few-labels

Of RouteLLM's MMLU the first n requests of a draw count as labelled, whole groups outside of one of
five folds, whose requests are judged. ``split`` fits heads on 80 % of the labelled and calibrates
on 20 %, by group; ``cross`` fits on all and calibrates out of fold. Both see the same labels. The
recipe is the shipped one.

*Slope*: of a logistic regression of the cheap model's failures on the logit of ``p_cheap_fails``;
1 is right, above it probabilities are nearer to the base rate than they should be. *Loss*: the mean
log loss of ``p_cheap_fails``. *Sent*: the share of the fold above the threshold that sends 30 % of
the labelled, by their out-of-fold scores and by those of the heads that learned from them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from benchmarks.learning_curves import Labelled, training_rows
from benchmarks.lib.protocol import FOLDS, FloatArray, apgr
from benchmarks.lib.recipes import Trainer
from benchmarks.lib.results import write_results
from difficulty.channels.heads import fit_head
from difficulty.model.combination import Calibration
from difficulty.training.shipped import find_recipe

SIZES = (200, 500, 1000, 2000)
WAYS: tuple[Calibration, ...] = ("split", "cross")
SHARE = 0.3
FIGURES = (
    *(f"{figure}, {kind}" for kind in ("text only", "task told") for figure in ("slope", "loss")),
    *(f"apgr, {kind}" for kind in ("text only", "task told")),
    "sent, out of fold",
    "sent, by heart",
)


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--draws", type=int, default=10, help="draws of the labelled requests")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    arguments = parser.parse_args()
    recipe = find_recipe(arguments.recipe)
    trainers = {way: Trainer.of(replace(recipe, calibration=way)) for way in WAYS}
    source = arguments.routellm / "routellm" / "evals" / "mmlu"
    data = Labelled.of(source, trainers["split"])
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "recipe": recipe.name,
        "draws": arguments.draws,
        "sizes": [
            {"labels": size} | {way: figures_of(data, size, trainers[way], arguments.draws)}
            for size in arguments.sizes
            for way in WAYS
        ],
    }
    write_results(arguments.out, results, as_markdown(results))


def figures_of(
    labelled: Labelled, size: int, trainer: Trainer, draws: int
) -> dict[str, tuple[float, float]]:
    """Return the mean of each figure over draws of the labels, and its standard error."""
    drawn = [drawn_figures(labelled, size, trainer, seed) for seed in range(draws)]
    values = {name: np.array([one[name] for one in drawn if name in one]) for name in FIGURES}
    return {
        name: (float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))))
        for name, each in values.items()
        if len(each) > 1
    }


def drawn_figures(labelled: Labelled, size: int, trainer: Trainer, seed: int) -> dict[str, float]:
    """Return the figures of one draw, of which one fold is judged."""
    data, fold = labelled.data, seed % FOLDS
    rows, asked = training_rows(data, fold, size, seed), np.flatnonzero(data.fold == fold)
    may_learn = np.zeros(len(data), dtype=bool)
    may_learn[rows] = True
    model = trainer.fit(labelled.traffic, labelled.tokens, may_learn)
    picked, failure = labelled.tokens.at(asked), 1.0 - data.cheap[asked]
    figures: dict[str, float] = {}
    for kind, tasks in (("text only", None), ("task told", picked.tasks)):
        scores = model.predict(picked.ids, tasks)
        whole = np.zeros(len(data))
        whole[asked] = scores.difficulty_score
        figures |= {
            f"slope, {kind}": slope(scores.p_cheap_fails, failure),
            f"loss, {kind}": log_loss(scores.p_cheap_fails, failure),
            f"apgr, {kind}": float(apgr(whole, data, asked)(np.ones(len(data)))),
        }
    if model.calibration == "cross":  # the last scores are those that know the task
        known = labelled.tokens.at(rows)
        by_heart = model.predict(known.ids, known.tasks).difficulty_score
        for name, of_labelled in (
            ("out of fold", model.out_of_fold_.scores.difficulty_score),
            ("by heart", by_heart),
        ):
            threshold = np.quantile(of_labelled, 1.0 - SHARE)
            figures[f"sent, {name}"] = float(np.mean(scores.difficulty_score > threshold))
    return figures


def slope(p: FloatArray, failure: FloatArray) -> float:
    """Return the slope of the outcomes on the logits of probabilities; 1 is calibrated."""
    x = logit(np.clip(p, 1e-6, 1.0 - 1e-6))[:, None]
    return float(fit_head(x, failure, np.ones(len(p)), strength=1e6).coefficients[0])


def log_loss(p: FloatArray, failure: FloatArray) -> float:
    """Return the mean log loss."""
    p = np.clip(p, 1e-6, 1.0 - 1e-6)
    return float(-np.mean(failure * np.log(p) + (1.0 - failure) * np.log(1.0 - p)))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        f"# What few labels give, {results['date']}",
        "",
        (
            f"Recipe `{results['recipe']}` on RouteLLM's MMLU, means over {results['draws']} draws"
            " of the labels, plus or minus one standard error. `benchmarks/few_labels.py` says what"
            " was done."
        ),
        "",
        "| labels | calibration | " + " | ".join(FIGURES) + " |",
        "| --- | --- |" + " --- |" * len(FIGURES),
    ]
    for row in results["sizes"]:
        for way in (way for way in WAYS if way in row):
            cells = [
                "{:.3f} ± {:.3f}".format(*row[way][name]) if name in row[way] else ""
                for name in FIGURES
            ]
            lines.append(f"| {row['labels']:,} | {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
