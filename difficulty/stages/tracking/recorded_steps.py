"""What is recorded of a training, an evaluation and a shipped bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from difficulty import __version__
from difficulty.errors import UndefinedMetricError
from difficulty.evaluation.result import Evaluation
from difficulty.integrations.tracked_step import TrackedData, TrackedRun, TrackedStep, Tracker
from difficulty.report.blocks import Extras
from difficulty.stages.evaluate import suspects_of, write_report
from difficulty.text import quantity_text
from difficulty.training.run import Run

if TYPE_CHECKING:
    from difficulty.stages.evaluate import Judgement
    from difficulty.stages.ship import Shipped

# Named one by one: suspicious.jsonl and the like hold the user's texts.
_TRAINING_FILES = ("run.json", "model.json", "model.npz", "metrics.json")
_TOLD = ("apgr", "auroc", "quality", "cost")
"""Figures that the note of a training names, where they are known."""


def record_training(
    tracker: Tracker, run: Run, evaluation: Evaluation, traffic: Path
) -> TrackedRun:
    """Record a finished run with its report, the figures of its test samples and their pictures.

    Raises
    ------
    TrackingError
        If the store refuses; the run folder stays.
    """
    record = run.record
    with TemporaryDirectory() as scratch:
        extras = Extras(suspects=suspects_of(record.labels), traffic=traffic.name, kind="run")
        write_report(evaluation, extras, Path(scratch))
        files = [(run.folder / name, "run") for name in _TRAINING_FILES]
        files += [(Path(scratch) / name, "report") for name in ("report.html", "report.md")]
        return tracker.log(
            TrackedStep(
                step="train",
                name=f"train {run.folder.name} ({run.recipe.name})",
                note=_training_note(run, evaluation, traffic),
                parameters=_flat(record.recipe.as_dict()) | record.samples.as_dict(),
                metrics=_values(evaluation),
                tags=_tags(evaluation)
                | {
                    "training_data": record.training_data,
                    "target": record.target,
                    "recipe": run.recipe.name,
                },
                figures=_figures(evaluation),
                files=files,
                pictures=draw_figures(evaluation),
                data=TrackedData(
                    traffic, record.training_data, sum(record.samples.as_dict().values())
                ),
                run_folder=run.folder,
            )
        )


def record_evaluation(
    tracker: Tracker, judged: Judgement, folder: Path, *, scorer: Path, traffic: Path, texts: bool
) -> TrackedRun:
    """Record an evaluation; a page that holds texts of requests stays here.

    Parameters
    ----------
    folder : Path
        Where the evaluation was written.
    scorer : Path
        Run or bundle that was judged.
    texts : bool
        Whether report.html shows texts.

    Raises
    ------
    TrackingError
        If the store refuses; what was written stays.
    """
    evaluation, lineage = judged.evaluation, judged.evaluation.lineage
    verdict = evaluation.verdict
    kept = [name for name in judged.written if not (texts and name == "report.html")]
    return tracker.log(
        TrackedStep(
            step="evaluate",
            name=f"evaluate {scorer.name} on {traffic.name}",
            note=verdict.sentence
            if verdict
            else f"{quantity_text(judged.judged, 'sample')} judged.",
            parameters={
                name: value for name, value in lineage.items() if isinstance(value, str | int)
            },
            metrics=_values(evaluation),
            tags=_tags(evaluation),
            figures=_figures(evaluation),
            files=[(folder / name, "evaluation") for name in kept],
            pictures=draw_figures(evaluation),
            data=TrackedData(traffic, str(lineage.get("judged_data", "")), judged.judged),
            run_folder=scorer if lineage.get("scorer") == "run" else None,
        )
    )


def record_shipping(tracker: Tracker, shipped: Shipped, run: Path, bundle: Path) -> TrackedRun:
    """Record a shipped bundle, as a model that MLflow can serve.

    Raises
    ------
    TrackingError
        If the store refuses; the bundle stays.
    """
    evaluation, policy = shipped.evaluation, shipped.bundle.policy
    verdict = evaluation.verdict
    parity = shipped.parity
    return tracker.log(
        TrackedStep(
            step="ship",
            name=f"ship {bundle.name} from {run.name}",
            note=verdict.sentence if verdict else f"Bundle {shipped.bundle.label}.",
            parameters={
                "objective": policy.chosen.objective,
                "threshold": policy.threshold,
                "max_cheap_tokens": policy.max_cheap_tokens,
                "easy_tasks": ", ".join(policy.easy_tasks),
                "hard_tasks": ", ".join(policy.hard_tasks),
                "cheap_model": policy.cheap_model,
                "frontier_model": policy.frontier_model,
                "min_familiarity": policy.min_familiarity,
            },
            metrics=_values(evaluation) | {"parity_max_difference": parity.max_difference},
            tags=_tags(evaluation)
            | {"bundle": shipped.bundle.label, "bundle_digest": shipped.bundle.digest},
            figures=_figures(evaluation),
            files=[
                (bundle / name, "bundle") for name in ("card.md", "metrics.json", "policy.json")
            ],
            pictures=draw_figures(evaluation),
            run_folder=run,
            bundle=bundle,
        )
    )


def draw_figures(evaluation: Evaluation) -> dict[str, bytes]:
    """Return the cost–quality curve, the reliability of probabilities and the scores, as PNG by
    file name; what is not known is left out.
    """
    # Here, as only who is tracked needs it; its objects alone, for pyplot keeps state.
    from matplotlib.figure import Figure

    from difficulty.evaluation.displays.cost_quality import CostQualityDisplay
    from difficulty.evaluation.displays.reliability import CalibrationDisplay
    from difficulty.evaluation.displays.score_bars import ScoreDisplay

    displays: dict[str, Callable[[Evaluation], Any]] = {
        "cost-quality.png": CostQualityDisplay.from_evaluation,
        "calibration.png": CalibrationDisplay.from_evaluation,
        "scores.png": ScoreDisplay.from_evaluation,
    }
    pictures = {}
    for name, display in displays.items():
        figure, written = Figure(figsize=(6.4, 4.0), layout="constrained"), BytesIO()
        with suppress(UndefinedMetricError):
            display(evaluation).plot(figure.add_subplot())
            figure.savefig(written, format="png", dpi=120)
            pictures[name] = written.getvalue()
    return pictures


def _training_note(run: Run, evaluation: Evaluation, traffic: Path) -> str:
    samples = run.record.samples
    known = {name: evaluation.overall.get(name) for name in _TOLD}
    figures = [
        f"{name} {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
        for name, figure in known.items()
        if figure is not None and None not in (figure.value, figure.low, figure.high)
    ]
    return (
        f"Recipe {run.recipe.name} on {traffic.name}: {samples.fit:,} fit, {samples.calibration:,}"
        f" calibration, {quantity_text(samples.test, 'test sample')}. On the test samples:"
        f" {', '.join(figures)}."
    )


def _values(evaluation: Evaluation) -> dict[str, float]:
    """Return figures with their ends, as ``apgr``, ``low/apgr`` and ``high/apgr``: MLflow shows
    what stands before a slash as a group.
    """
    values: dict[str, float] = {}
    for name, estimate in evaluation.overall.items():
        ends = {"": estimate.value, "low/": estimate.low, "high/": estimate.high}
        if estimate.value is not None:
            values |= {f"{end}{name}": float(v) for end, v in ends.items() if v is not None}
    return values


def _figures(evaluation: Evaluation) -> dict[str, Mapping[str, Any]]:
    return {name: estimate.as_dict() for name, estimate in evaluation.overall.items()}


def _tags(evaluation: Evaluation) -> dict[str, str]:
    verdict = dict(evaluation.verdict.tags) if evaluation.verdict else {}
    return {**verdict, "difficulty_version": __version__}


def _flat(form: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in form.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat
