"""A trained run at a prompt: judged, asked, shipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from difficulty.evaluation import Evaluation, read_metrics
from difficulty.evaluation.displays.summary_html import (
    evaluation_html,
    number_text,
    shortened,
    table_html,
)
from difficulty.face.given_data import (
    AnyPath,
    HeldFolder,
    as_folder,
    as_path,
    make_parent,
    speaks_python,
)
from difficulty.face.judging_data import evaluate
from difficulty.face.shipped_bundle import ShippedBundle, ship
from difficulty.face.traffic_data import as_traffic
from difficulty.metrics.arrays import FloatArray
from difficulty.recipe import Recipe, parse_recipe
from difficulty.storage import DEFAULT_CACHE, refuse_existing
from difficulty.text import quantity_text
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.training.run import Run

if TYPE_CHECKING:
    from difficulty.encoders.base import Encoder
    from difficulty.integrations.tracked_step import Tracker
    from difficulty.sklearn import DifficultyClassifier


class TrainedRun:
    """A trained run, as :func:`train` returns it.

    Parameters
    ----------
    folder : str or Path
        A folder that ``train`` wrote.

    Raises
    ------
    RunError
        If there is none, or it is damaged.
    """

    def __init__(self, folder: AnyPath, *, _holder: HeldFolder | None = None) -> None:
        self.folder, copy = as_folder(folder)
        self._holder = _holder or copy  # its folder is removed when nothing refers to it any more
        self.details = Run.read(self.folder, cache=DEFAULT_CACHE)

    @classmethod
    def read(cls, folder: AnyPath) -> TrainedRun:
        """Open a run folder."""
        return cls(folder)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The test samples judged, which nothing was learned from; no threshold is chosen yet."""
        return read_metrics(self.folder / "metrics.json")

    @cached_property
    def model(self) -> DifficultyClassifier:
        """The model with scikit-learn's methods: ``predict_proba(["text"])``, ``predict(...)``,
        ``difficulty_score(...)``.
        """
        from difficulty.sklearn import DifficultyClassifier

        return DifficultyClassifier.from_run(self.details)

    def evaluate(self, data: Any = None, out: AnyPath | None = None, **options: Any) -> Evaluation:
        """Judge the score on traffic; without any, return the figures of the test samples.

        Parameters
        ----------
        data : as in :func:`read`, optional
            Requests that training saw are left out.
        out : str or Path, optional
            Folder for ``metrics.json``, ``report.html`` and ``report.md``.
        **options
            As in :func:`evaluate`.
        """
        if data is None and out is None:
            return self.evaluation
        return evaluate(self.folder, self.details.test if data is None else data, out, **options)

    def predict_proba(self, texts: Iterable[Any], *, tasks: Any = None) -> FloatArray:
        """Return how probably the cheap model does and fails.

        Parameters
        ----------
        texts : list of n str, or of messages
        tasks : sequence of n str, optional
            Where known.

        Returns
        -------
        ndarray of shape (n, 2)
            The second column is ``p_cheap_fails``.
        """
        return self.model.predict_proba(texts, tasks=tasks)

    def score(self, data: Any, *, tasks: Any = None) -> FloatArray:
        """Return the ``difficulty_score`` of each request, in [0, 1]: how much it is worth the
        frontier model.

        Parameters
        ----------
        data : list of str, or of messages; or as in :func:`read`
            Rows of traffic that cannot be used have no score: ``d.read(data).rejects``.
        tasks : sequence of str, optional
            One for each text, where known; those of traffic are its own.

        Returns
        -------
        ndarray of shape (n,)
        """
        if _is_texts(data):
            return self.model.difficulty_score(data, tasks=tasks)
        rows, run = as_traffic(data).rows, self.details
        tokens = tokenize(rows, view=run.view, tokenizer=run.tokenizer)
        scores = run.model.predict(tokens.ids, tokens.tasks if tasks is None else tasks)
        return np.asarray(scores.difficulty_score)

    def plot(self, kind: str = "cost_quality", ax: Any = None, **style: Any) -> Any:
        """Draw a picture of the test samples: see ``Evaluation.plot``.

        Parameters
        ----------
        kind : {"cost_quality", "calibration", "scores"}
        ax : matplotlib Axes, optional
        **style
            As the display's ``plot`` takes it.
        """
        return self.evaluation.plot(kind, ax, **style)

    def ship(self, path: AnyPath, objective: str | None = None, **options: Any) -> ShippedBundle:
        """Export to ONNX, check the export, choose the threshold and write the bundle.

        Parameters
        ----------
        path : str or Path
            Bundle folder, named ``<name>-<version>``; must not exist.
        objective : str, optional
            Such as ``"share=0.3"`` or ``"quality=0.9"`` (docs/thresholds.md); default: the
            recipe's.
        **options
            As in :func:`ship`: ``prices``, ``policy``, ``models``, ...

        Raises
        ------
        NoSignalError
            If the score carries no signal.
        NotAttainableError
            If no threshold meets the objective.
        """
        return ship(self.folder, path, objective, **options)

    def save(self, folder: AnyPath) -> TrainedRun:
        """Copy the run into a folder of your own, which must not exist, and return it there."""
        out = as_path(folder)
        refuse_existing(out, what="run folder")
        make_parent(out)
        shutil.copytree(self.folder, out)
        return TrainedRun(out)

    def __repr__(self) -> str:
        samples = self.details.record.samples
        apgr = self.evaluation.overall.get("apgr")
        known = f", APGR {number_text(apgr)}" if apgr and apgr.value is not None else ""
        name = f"recipe {self.details.recipe.name}, target {self.details.record.target}"
        return shortened(f"Run({name}, {quantity_text(samples.fit, 'fit sample')}{known})")

    def _repr_html_(self) -> str:
        record = self.details.record
        samples = record.samples
        rows = [
            ("recipe", record.recipe.name),
            ("target", record.target),
            *(
                (f"{name} samples", f"{n:,}")
                for name, n in samples.as_dict().items()
                if n or name != "aside"
            ),
        ]
        advice = (self.details.learning_curve, record.familiarity)
        notes = [each.sentence for each in advice if each]
        return table_html(f"Run {self.folder.name}", rows, notes) + evaluation_html(self.evaluation)


@speaks_python
def train(
    data: Any,
    recipe: str | Path | Mapping[str, Any] | Recipe = "fast",
    out: AnyPath | None = None,
    *,
    encoder: str | Path | Encoder | None = None,
    target: str | None = None,
    start_from: AnyPath | TrainedRun | None = None,
    teacher: AnyPath | TrainedRun | None = None,
    unlabelled: AnyPath | None = None,
    accept_selection_bias: bool = False,
    more_labels: bool = True,
    unseen_tasks: bool = True,
    cache: AnyPath | None = None,
    tracker: Tracker | None = None,
    draws: int = 1000,
    progress: Callable[[str], None] | None = None,
) -> TrainedRun:
    """Fit a difficulty model and judge it on held-out requests.

    Parameters
    ----------
    data : as in :func:`read`
    recipe : str, Path, mapping or Recipe, default "fast"
        Name of a shipped recipe, path of a TOML file, or what stands in one.
    out : str or Path, optional
        Run folder to write; default: a temporary one, which goes with the run (``run.save``).
    encoder : str, Path or Encoder, optional
        In place of the recipe's.
    target : {"benefit", "failure", "auto"}, optional
        In place of the recipe's.
    start_from : path or Run, optional
        A run of another model pair to start from.
    teacher : path or Run, optional
        What recipe ``distilled`` learns from.
    unlabelled : path, optional
        Requests for the teacher to judge.
    accept_selection_bias : bool
        Learn from outcomes seen only where an unknown policy chose to look.
    more_labels, unseen_tasks : bool
        Measure what more labels would bring, and how the score fares on new tasks; without both it
        takes about half of the time.
    cache : str or Path, optional
        Where converted encoders and embeddings are kept; default ``~/.cache/difficulty``.
    tracker : Tracker, optional
        Told about the finished run, such as ``difficulty.integrations.mlflow.MlflowTracker``.
    draws : int
        Bootstrap draws behind the intervals.
    progress : callable, optional
        Told what is being done, in a few words: ``progress=print``.

    Returns
    -------
    TrainedRun
        ``run.evaluation``, ``run.model.predict_proba(texts)``, ``run.ship(path)``.

    Raises
    ------
    TooFewSamplesError
        If there are too few samples, or too few of one outcome.
    TrafficError
        If nothing can be learned from the outcomes.
    RecipeError
        If there is no such recipe, or it holds something that is not allowed.

    Examples
    --------
    >>> import difficulty as d
    >>> run = d.train("traffic.parquet", recipe="fast")  # doctest: +SKIP
    """
    from difficulty.metrics.bootstrap import enough_draws
    from difficulty.sklearn.classifier import as_recipe, with_encoder
    from difficulty.stages.train import train as fit
    from difficulty.training.shipped import find_encoder

    start = _as_run(start_from)
    chosen = start.recipe if start and recipe == "fast" else as_recipe(recipe)
    if target:
        chosen = parse_recipe({**chosen.as_dict(), "target": target}, name="target")
    if accept_selection_bias:
        chosen = replace(chosen, labels=replace(chosen.labels, accept_selection_bias=True))
    kept = as_path(cache) if cache else DEFAULT_CACHE
    if start and recipe == "fast" and encoder is None:
        found = start.encoder
    else:
        chosen, found = with_encoder(chosen, encoder, cache=kept)
    traffic = as_traffic(data)
    holder = None if out else HeldFolder()
    folder = holder.path / "run" if holder else as_path(out or "")
    fit(
        traffic.path,
        folder,
        recipe=chosen,
        encoder=found,
        find=lambda features: find_encoder(features, cache=kept),
        start=start,
        teacher=_as_run(teacher),
        unlabelled=as_path(unlabelled) if unlabelled else None,
        cache=kept,
        more_labels=more_labels,
        unseen_tasks=unseen_tasks,
        tracker=tracker,
        draws=enough_draws(draws),
        progress=progress,
    )
    return TrainedRun(folder, _holder=holder)


def _as_run(given: AnyPath | TrainedRun | None) -> Run | None:
    if given is None:
        return None
    return given.details if isinstance(given, TrainedRun) else Run.read(as_path(given))


def _is_texts(data: Any) -> bool:
    """Return whether these are texts or conversations, and no rows."""
    if not isinstance(data, list | tuple) or not data:
        return False
    return all(isinstance(each, str | list | tuple) for each in data)
