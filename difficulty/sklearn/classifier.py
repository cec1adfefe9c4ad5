"""Whether the cheap model fails a text, as a classifier of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from difficulty.channels import Tasks
from difficulty.encoders.base import Encoder
from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray
from difficulty.model.combination import Scores
from difficulty.model.difficulty import DifficultyModel
from difficulty.recipe import Recipe, SplitSettings, parse_recipe
from difficulty.sklearn.text_groups import TextInput, messages_of, samples_of
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.checks.sample_table import sample_table
from difficulty.traffic.duplicates import Grouper, place_together
from difficulty.traffic.writer import TrafficWriter
from difficulty.training.assemble import build_model, known_tasks, knows_numbers
from difficulty.training.material import gather
from difficulty.training.shipped import find_encoder, find_recipe

if TYPE_CHECKING:
    from difficulty.training.run import Run

_ALL_LEARN = SplitSettings(fit=0.75, calibration=0.25, test=0.0)
"""Whoever cross-validates judges by folds of their own: no sample is kept from learning."""


@dataclass(frozen=True, slots=True)
class TextModel:
    """A fitted model with what it needs to read texts."""

    model: DifficultyModel
    view: TextView
    tokenizer: RequestTokenizer

    def scores(self, texts: Iterable[TextInput], tasks: Tasks | None = None) -> Scores:
        """Return scores and probabilities of n texts.

        Parameters
        ----------
        texts : iterable of n str, or of messages
        tasks : sequence of n str or None, optional
        """
        read = [
            self.view([{"role": each.role, "content": each.content} for each in messages_of(text)])
            for text in texts
        ]
        if tasks is not None and len(tasks) != len(read):
            raise InvalidValueError(
                "tasks",
                f"{len(tasks):,}",
                rule=f"have one entry for each of the {len(read):,} texts",
            )
        rows = self.tokenizer.encode_batch([view.text for view in read])
        return self.model.predict([row.ids for row in rows], tasks)


class DifficultyClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify texts by whether the cheap model fails them, with calibrated probabilities.

    Of two classes the greater one is the failure: 1 of (0, 1), True of (False, True), ``"hard"`` of
    (``"easy"``, ``"hard"``). The probability is the model's ``p_cheap_fails``. Texts that are equal
    or nearly so never stand on both sides of the split inside ``fit``; for splits of your own see
    :func:`~difficulty.sklearn.near_groups`.

    Parameters
    ----------
    recipe : str, Path, mapping or Recipe, default "fast"
        Name of a shipped recipe, path of a TOML file, or what stands in one. Its split and target
        do not count: all samples are learned from, three quarters by the heads and, where the
        recipe calibrates on samples of their own, a quarter by the calibrators.
    encoder : str, Path or Encoder, optional
        In place of the recipe's.
    threshold : float, default 0.5
        ``predict`` says failure where the probability is above it.
    random_state : int, optional
        In place of the recipe's seed.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
    text_model_ : TextModel
        The fitted model, with tokenizer and text view.

    Examples
    --------
    >>> from sklearn.model_selection import GroupKFold, cross_val_predict  # doctest: +SKIP
    >>> p_fails = cross_val_predict(
    ...     DifficultyClassifier(), texts, failed, method="predict_proba",
    ...     cv=GroupKFold(5), groups=near_groups(texts),
    ... )[:, 1]  # doctest: +SKIP
    """

    classes_: NDArray[Any]
    text_model_: TextModel

    def __init__(
        self,
        recipe: str | Path | Mapping[str, Any] | Recipe = "fast",
        *,
        encoder: str | Path | Encoder | None = None,
        threshold: float = 0.5,
        random_state: int | None = None,
    ) -> None:
        self.recipe = recipe
        self.encoder = encoder
        self.threshold = threshold
        self.random_state = random_state

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Return the fitted classifier of a run; classes are False and True."""
        classifier = cls(run.recipe)
        classifier.classes_ = np.array([False, True])
        classifier.text_model_ = TextModel(run.model, run.view, run.tokenizer)
        return classifier

    def fit(
        self,
        X: Iterable[TextInput],
        y: ArrayLike,
        *,
        groups: Iterable[Any] | None = None,
        sample_weight: Iterable[float] | None = None,
    ) -> Self:
        """Fit heads and calibrators.

        Parameters
        ----------
        X : iterable of n str, or of messages
        y : array-like of shape (n,)
            Two classes; the greater one: the cheap model failed.
        groups : iterable of n, optional
            What belongs together beside equal texts, such as a conversation.
        sample_weight : iterable of n float, optional

        Raises
        ------
        InvalidValueError
            If there are not two classes, or lengths differ.
        TooFewSamplesError
            If there are fewer than about a hundred texts, or five of either class.
        """
        labels = np.asarray(y)
        self.classes_ = unique_labels(labels)
        if len(self.classes_) != 2:
            raise InvalidValueError(
                "y", f"{len(self.classes_)} classes", rule="hold two classes: fails, or does not"
            )
        samples = samples_of(
            X,
            groups=groups,
            outcomes=(labels != self.classes_[1]).astype(np.float64),
            weight=sample_weight,
        )
        recipe, encoder = self._chosen()
        with TemporaryDirectory(prefix="difficulty-") as folder:
            path = Path(folder) / "traffic.parquet"
            with TrafficWriter(path) as writer, Grouper(folder=writer.folder) as grouper:
                writer.add(sample_table(samples))
                writer.place(place_together(samples, grouper))
                writer.commit(None)
            material = gather(
                path,
                recipe,
                encoder,
                find=find_encoder,
                start=None,
                teacher=None,
                unlabelled=None,
                progress=lambda _: None,
            )
        recipe, learned = material.recipe, material.learned
        model = build_model(
            recipe,
            material.encoder,
            material.target,
            tasks=known_tasks(recipe, learned),
            numbers=knows_numbers(recipe, learned),
            calibration=material.how,
        ).fit(material.fit, material.calibration)
        self.text_model_ = TextModel(model, material.view, material.tokenizer)
        return self

    def predict_proba(self, X: Iterable[TextInput], *, tasks: Tasks | None = None) -> FloatArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : iterable of n str, or of messages
        tasks : sequence of n str or None, optional
            What kind of request each is, where the classifier is of a run with tasks.

        Returns
        -------
        ndarray of shape (n, 2)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self, "text_model_")
        fails = np.asarray(self.text_model_.scores(_as_list(X), tasks).p_cheap_fails)
        return np.column_stack([1.0 - fails, fails])

    def predict(self, X: Iterable[TextInput], *, tasks: Tasks | None = None) -> NDArray[Any]:
        """Return the class of each text, of shape (n,)."""
        fails = self.predict_proba(X, tasks=tasks)[:, 1]
        return np.asarray(self.classes_[(fails > self.threshold).astype(np.intp)])

    def difficulty_score(self, X: Iterable[TextInput], *, tasks: Tasks | None = None) -> FloatArray:
        """Return what a router compares with its threshold, of shape (n,): of a run that knows both
        models, how much the frontier model is worth.
        """
        check_is_fitted(self, "text_model_")
        return np.asarray(self.text_model_.scores(_as_list(X), tasks).difficulty_score)

    def _chosen(self) -> tuple[Recipe, Encoder]:
        recipe = as_recipe(self.recipe)
        seed = recipe.seed if self.random_state is None else int(self.random_state)
        recipe = replace(recipe, seed=seed, split=_ALL_LEARN, target="failure")
        if recipe.features.finetune or recipe.distil:
            raise InvalidValueError(
                "recipe",
                recipe.name,
                rule="be one without a section finetune or distil here",
                hint="Use difficulty.train.",
            )
        return with_encoder(recipe, self.encoder)

    def __sklearn_tags__(self) -> Any:
        """Say what scikit-learn may send: texts, in a list, and two classes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.classifier_tags.multi_class = False
        tags.no_validation = True
        return tags


def as_recipe(given: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """Return a recipe by name, path or content.

    Raises
    ------
    RecipeError
        If there is none, or it holds something that is not allowed.
    """
    if isinstance(given, Recipe):
        return given
    if isinstance(given, Mapping):
        return parse_recipe({"name": "own", **given}, name="recipe")
    return find_recipe(str(given))


def with_encoder(
    recipe: Recipe, given: str | Path | Encoder | None, *, cache: Path | None = None
) -> tuple[Recipe, Encoder]:
    """Return a recipe with its encoder, or with another by name, folder or as it is."""
    if given is not None and not isinstance(given, str | Path):
        return recipe, given
    if given is not None:
        recipe = replace(recipe, features=replace(recipe.features, encoder=str(given)))
    return recipe, find_encoder(recipe.features, cache=cache)


def _as_list(X: Iterable[TextInput]) -> Sequence[TextInput]:
    if isinstance(X, str):
        raise InvalidValueError("X", "one string", rule="be a list of texts", hint="Pass [text].")
    return list(X)
