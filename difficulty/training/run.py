"""The run folder that training writes and evaluation and shipping read.

    run.json             what was trained, on what, with which versions
    model.json, model.npz
    encoder/             the encoder with its tokenizer
    calibration.parquet  samples that calibrators and thresholds use
    test.parquet         samples that nothing was fitted on
    view.json            what text view 2 knows of the traffic, where the recipe has it
    seen.npz             hashes of texts and groups of the fit and calibration samples, sketches
                         that know nearly the same texts again, and the keys by which a bundle does
    kinds.json           kinds of those samples with their outcomes, without their texts
    suspicious.jsonl     labels that may be wrong, by id of the sample
    out_of_fold.npz      scores of the samples that heads learned from, each by heads that did not
                         see it: of the fit samples, and of the calibration samples where the run
                         says calibration "cross"; with their lengths and hashes of their texts
    learned.parquet      those samples without their texts, where the run says calibration "cross"
    answer_check.json, answer_check.npz, answer_scores.npz
                         the check of answers, where the traffic has some, and its scores of the
                         samples, each by parts that did not see it
    metrics.json         the test samples judged, before a threshold is chosen
    early.npz            a light student of a model whose encoder takes milliseconds, for early exit
    learning_curve.json  what more labels would bring, where that was measured

It holds the user's texts (in calibration.parquet and test.parquet) and stays in the lab; the bundle
that is shipped does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from difficulty import __version__
from difficulty.answer_check.answer_record import AnswerRecord
from difficulty.answer_check.answered import AnswerScores
from difficulty.answer_check.check import AnswerCheck
from difficulty.answer_check.saved_check import ANSWER_SCORES_FILE, load_check, read_answer_scores
from difficulty.diagnostics.learning_curve import LearningCurve
from difficulty.diagnostics.signal import Signal
from difficulty.diagnostics.suspicion import LabelSummary, read_suspicious
from difficulty.diagnostics.unfamiliar import FamiliarityAdvice
from difficulty.early_exit import EarlyModel, load_early
from difficulty.encoders.base import Encoder, load_encoder
from difficulty.encoders.transformer import kept_on_disk
from difficulty.errors import RunError
from difficulty.evaluation import TaskMeans
from difficulty.form import SavedForm
from difficulty.kinds import PathKind, mistaken
from difficulty.model.combination import Calibration, Scores, Target
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.saved_model import load_model
from difficulty.recipe import Recipe
from difficulty.storage.mapped import write_arrays
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.logged import LoggedReport, weigh_logged
from difficulty.traffic.outcomes import ungraded_notes
from difficulty.traffic.table import Traffic
from difficulty.training.reading import Reading
from difficulty.training.seen_traffic import Seen
from difficulty.views.boilerplate import LearnedView

RUN_FORMAT = 1
VIEW_FILE = "view.json"
CARRIED_OVER = (
    "the check of answers began as one that saw these requests with another cheap model's outcomes:"
    " on those that it learned from it looks better than it is, and so does a threshold chosen on"
    " them; the figures of the test samples, which neither run saw, are not touched by this"
)
"""Of a check that was carried over to a new cheap model on the same requests."""


@dataclass(frozen=True, kw_only=True)
class SplitSamples(SavedForm):
    """Samples of each split; those aside are used for nothing."""

    fit: int
    calibration: int
    test: int
    aside: int

    @property
    def beside_test(self) -> int:
        """Samples that figures of the test samples leave out."""
        return self.fit + self.calibration + self.aside


@dataclass(frozen=True, kw_only=True)
class StartRecord(SavedForm):
    """The run that a warm start continued."""

    created: str
    cheap_model: str | None
    frontier_model: str | None
    training_data: str
    samples: SplitSamples
    run: str
    """Its folder, which may have been moved since."""
    seen: int
    """Requests of the new traffic that it was fitted or calibrated on."""
    asks_again: bool = False
    """Whether those were learned from, as another cheap model answered them: then the check alone
    was carried over.
    """


@dataclass(frozen=True, kw_only=True)
class CandidateRecord(SavedForm):
    """A candidate that a search tried; figures are means over the nested folds."""

    name: str
    features: tuple[str, ...]
    changed: dict[str, Any]
    """Settings that differ from the recipe's."""
    value: float
    low: float
    high: float
    with_task: float
    without_task: float
    behind_best: float
    standard_error: float
    """Of ``behind_best``."""
    seconds: float
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class RecipesCompared(SavedForm):
    """What two shipped recipes read, on the same nested folds."""

    first: str
    second: str
    """Shipped recipes; the candidates that read what they read are in the search's list."""
    first_value: float
    second_value: float
    ahead: float
    """Of the second."""
    standard_error: float
    """Of ``ahead``."""


@dataclass(frozen=True, kw_only=True)
class SearchRecord(SavedForm):
    """What a search tried and chose; the settings are those of the recipe's section ``search``."""

    figure: str
    seed: int
    minutes: float
    folds: int
    encoders: tuple[str, ...]
    ngram_strengths: tuple[float, ...]
    embedding_strengths: tuple[float, ...]
    buckets: tuple[int, ...]
    neighbour_sharpness: tuple[float, ...]
    samples: int
    seconds: float
    chosen: str
    best: str
    tried: tuple[CandidateRecord, ...]
    untried: tuple[str, ...]
    note: str
    missing: tuple[str, ...] = ()
    """Encoders that could not be had, each with the reason."""
    compared: RecipesCompared | None = None
    """Where both were tried."""


@dataclass(frozen=True, kw_only=True)
class RunRecord(SavedForm):
    """The content of ``run.json``."""

    format: int = RUN_FORMAT
    created: str
    target: Target
    cheap_model: str | None
    frontier_model: str | None
    """Models of the traffic; ``None`` where it names none."""
    training_data: str
    """Hash of the traffic."""
    samples: SplitSamples
    task_gains: TaskMeans | None
    """Mean gain of each task among the fit samples, for the target ``benefit``."""
    recipe: Recipe
    libraries: dict[str, str]
    teacher: dict[str, Any] | None = None
    """Recipe of the teacher as its run says it, which may be of another version."""
    unlabelled: int = 0
    """Requests that have no label but the teacher's opinion."""
    start: StartRecord | None = None
    search: SearchRecord | None = None
    reading: Reading | None = None
    familiarity: FamiliarityAdvice | None = None
    logged: LoggedReport | None = None
    labels: LabelSummary | None = None
    signal: Signal | None = None
    answer: AnswerRecord | None = None
    """The check of answers; ``None`` where there is none."""
    ungraded: int = 0
    """Samples of which a check of the form was known and which counted as unlabelled, as others
    were graded.
    """
    calibration: Calibration = "split"
    """What the recipe's came to; heads of earlier runs keep off the calibration samples."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures has to know."""
        notes = (
            *ungraded_notes(self.ungraded),
            *notes_of(self.logged, self.reading, self.signal, self.labels),
        )
        return (*notes, CARRIED_OVER) if self.has_carried_check else notes

    @property
    def has_carried_check(self) -> bool:
        """Whether the check of answers saw these requests before, with another cheap model."""
        return bool(self.start and self.start.asks_again and self.answer)


def notes_of(*parts: LoggedReport | Reading | Signal | LabelSummary | None) -> tuple[str, ...]:
    """Return the sentences of all parts that there are."""
    return tuple(note for part in parts if part for note in part.notes)


_LIBRARIES = ("numpy", "scipy", "scikit-learn", "tokenizers", "onnx", "onnxruntime")


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that shape a run, where they are installed."""
    versions = {"difficulty": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


CURVE_FILE = "learning_curve.json"
EARLY_FILE = "early.npz"
OUT_OF_FOLD_FILE = "out_of_fold.npz"
LEARNED_FILE = "learned.parquet"


_SCORES = ("difficulty_score", "p_cheap_fails", "p_frontier_fails")


class NamedScores(NamedTuple):
    """Scores of n requests."""

    ids: Sequence[str] | NDArray[np.str_]
    scores: Scores
    totals: NDArray[np.int64] | None = None
    """Tokens of each request, shape (n,); runs of earlier versions do not say."""
    text_hashes: Sequence[str] | NDArray[np.str_] | None = None
    """Of the normalised texts; runs of earlier versions have none."""

    def write(self, path: Path) -> None:
        """Write them as :attr:`Run.out_of_fold` reads them."""
        arrays: dict[str, Any] = {"ids": np.asanyarray(self.ids), **self.scores.by_name()}
        if self.totals is not None and self.text_hashes is not None:
            arrays |= {"totals": self.totals, "text_hashes": np.asanyarray(self.text_hashes)}
        write_arrays(path, arrays)


@dataclass(frozen=True)
class Run:
    """A finished run; read it with :meth:`read`."""

    folder: Path
    record: RunRecord
    cache: Path | None = None
    """Where embeddings of slow encoders are kept; without it they are computed again."""

    @classmethod
    def read(cls, folder: Path, *, cache: Path | None = None) -> Run:
        """Open a run folder.

        Raises
        ------
        RunError
            If there is none, it is damaged, or of an unknown format.
        """
        if not (folder / "run.json").is_file():
            raise RunError(
                mistaken(folder, PathKind.RUN)
                or f"no run at {str(folder)!r}: run.json is missing. Name a folder written by"
                " 'difficulty train'."
            )
        try:
            content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(
                f"run.json in {str(folder)!r} is damaged ({error}). Train again."
            ) from error
        if content.get("format") != RUN_FORMAT:
            raise RunError(
                f"run format {content.get('format')!r} is not the one this version reads"
                f" ({RUN_FORMAT}). Train again."
            )
        record = RunRecord.parse_from("run.json", content, error=RunError, advice="Train again.")
        return cls(folder, record, cache)

    @property
    def learning_curve(self) -> LearningCurve | None:
        """What more labels would bring; ``None`` where that was not measured."""
        path = self.folder / CURVE_FILE
        if not path.is_file():
            return None
        return LearningCurve.parse_from(path.name, json.loads(path.read_text(encoding="utf-8")))

    @property
    def recipe(self) -> Recipe:
        """The recipe it was trained by."""
        return self.record.recipe

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, hashes checked."""
        encoder = load_encoder(self.folder / "encoder")
        return kept_on_disk(encoder, self.cache) if self.cache else encoder

    @cached_property
    def model(self) -> DifficultyModel:
        """The fitted model."""
        return load_model(self.folder, encoder=self.encoder)

    @cached_property
    def early(self) -> EarlyModel | None:
        """The light student of the model; ``None`` where it has none."""
        path = self.folder / EARLY_FILE
        return load_early(path) if path.is_file() else None

    @cached_property
    def tokenizer(self) -> RequestTokenizer:
        """The tokenizer with the recipe's limit."""
        return RequestTokenizer.from_file(
            self.encoder.tokenizer_path, max_tokens=self.recipe.text.max_tokens
        )

    @cached_property
    def view(self) -> TextView:
        """The text view, with what it learned of the traffic."""
        path = self.folder / VIEW_FILE
        learned = LearnedView.parse(path.read_bytes()) if path.is_file() else None
        text = self.recipe.text
        return TextView(text.view, max_chars=text.max_chars, learned=learned)

    @cached_property
    def calibration(self) -> Traffic:
        """Samples that calibrators and thresholds use, logged ones weighted as in training."""
        return self._weighed("calibration.parquet")

    @cached_property
    def test(self) -> Traffic:
        """Samples that nothing was fitted on, logged ones weighted as in training."""
        return self._weighed("test.parquet")

    @cached_property
    def out_of_fold(self) -> NamedScores:
        """Scores of the samples that heads learned from, by heads that did not see them.

        Raises
        ------
        RunError
            If the run has none: it was written by an earlier version.
        """
        with self._open_out_of_fold() as arrays:
            return NamedScores(
                arrays["ids"].tolist(),
                _scores_in(arrays),
                arrays.get("totals"),
                arrays["text_hashes"].tolist() if "text_hashes" in arrays else None,
            )

    @cached_property
    def learned(self) -> Traffic | None:
        """The fit and calibration samples without their texts, in the order of
        :attr:`out_of_fold`, logged ones weighted as in training; ``None`` where heads keep off the
        calibration samples, and in runs of earlier versions.
        """
        return self._weighed(LEARNED_FILE) if (self.folder / LEARNED_FILE).is_file() else None

    @cached_property
    def unseen_calibration(self) -> Scores | None:
        """Scores of the calibration samples by heads that did not see them, where the run's heads
        did; ``None`` where the model itself has such.
        """
        if self.record.calibration == "split":
            return None
        # The names of millions are looked up as arrays: as strings they would take a gigabyte.
        with self._open_out_of_fold() as arrays:
            rows = _rows_named(arrays["ids"], np.array(self.calibration.ids))
            return _scores_in(arrays).at(rows)

    @cached_property
    def unseen_learned(self) -> tuple[Scores, NDArray[np.int64]]:
        """Scores of the :attr:`learned` samples by heads that did not see them, and their token
        counts.
        """
        with self._open_out_of_fold() as arrays:
            return _scores_in(arrays), arrays["totals"]

    @property
    def learned_hashes(self) -> list[str] | None:
        """Hashes of the normalised texts of the :attr:`learned` samples; runs of earlier versions
        have none.
        """
        with self._open_out_of_fold() as arrays:
            return arrays["text_hashes"].tolist() if "text_hashes" in arrays else None

    @cached_property
    def check(self) -> AnswerCheck | None:
        """The check of the cheap model's answers; ``None`` where the run has none."""
        return load_check(self.folder)

    def answer_scores(self, traffic: Traffic) -> AnswerScores | None:
        """Return what the check says of calibration or test samples, NaN where there is no answer,
        each by parts that did not see the sample; ``None`` where the run has no check.
        """
        path = self.folder / ANSWER_SCORES_FILE
        return read_answer_scores(path, traffic.ids) if path.is_file() else None

    @property
    def remembers_ids(self) -> bool:
        """Whether the run knows the ids of its fit samples; runs of earlier versions do not."""
        return (self.folder / OUT_OF_FOLD_FILE).is_file()

    @cached_property
    def suspicious(self) -> set[str]:
        """Ids of the samples in tasks or regions with suspicious labels."""
        return read_suspicious(self.folder / "suspicious.jsonl", ["task", "region"])

    @cached_property
    def seen(self) -> Seen:
        """What fitting and calibration saw."""
        return Seen.read(self.folder / "seen.npz")

    @property
    def seen_keys(self) -> NDArray[np.uint8] | None:
        """Keys by which a bundle knows the texts of fitting and calibration again, 16 bytes each;
        ``None`` in runs of earlier versions.
        """
        with np.load(self.folder / "seen.npz", allow_pickle=False) as arrays:
            return arrays["keys"] if "keys" in arrays else None

    def _open_out_of_fold(self) -> NpzFile:
        """Open the file, whose arrays are read one by one."""
        path = self.folder / OUT_OF_FOLD_FILE
        if not path.is_file():
            raise RunError(f"run {str(self.folder)!r} holds no out-of-fold scores. Train it again.")
        opened: NpzFile = np.load(path, allow_pickle=False)
        return opened

    def _weighed(self, name: str) -> Traffic:
        return weigh_logged(Traffic.read(self.folder / name), self.recipe.labels)[0]


def _scores_in(arrays: Mapping[str, NDArray[Any]]) -> Scores:
    found: dict[str, Any] = {name: arrays.get(name) for name in _SCORES}
    return Scores(**found)


def _rows_named(names: NDArray[np.str_], wanted: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return where wanted names stand among all, each of which is there once."""
    order = np.argsort(names)
    rows: NDArray[np.intp] = order[np.searchsorted(names, wanted, sorter=order)]
    return rows
