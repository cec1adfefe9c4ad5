"""Recipes: what is trained and how, read once from TOML at the edge. Unknown keys fail.

``pipelines/`` holds the shipped ones. Every number a recipe leaves out has the default that stands
here.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from difficulty.errors import RecipeError

_Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextSettings(_Settings):
    """From messages to token ids."""

    view: int = 1
    max_chars: int = Field(default=8192, ge=2)
    """Longest text in characters; of longer ones head and tail are kept."""
    max_tokens: int = Field(default=512, ge=2, le=16_384)
    """Most tokens the scorer sees; of more, head and tail are kept."""


class SplitSettings(_Settings):
    """Shares of the requests, by hash of their group."""

    fit: float = Field(default=0.6, gt=0, lt=1)
    calibration: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _add_up(self) -> SplitSettings:
        if abs(self.fit + self.calibration + self.test - 1.0) > 1e-9:
            raise ValueError("fit, calibration and test must add up to 1")
        return self

    @property
    def fractions(self) -> tuple[float, float, float]:
        """The three shares."""
        return self.fit, self.calibration, self.test


class LabelSettings(_Settings):
    """What outcomes are worth: those of logged traffic, seen only for the model that was called,
    and suspicious ones.
    """

    largest_weight: float = Field(default=50.0, ge=1, allow_inf_nan=False)
    """A row counts 1 / propensity, cut at this."""
    accept_selection_bias: bool = False
    """Whether to learn from outcomes seen only where an unknown policy chose to look."""
    group_weight: float = Field(default=1.0, gt=0, le=1)
    """Fit samples of a task or region with suspicious labels count this much."""
    row_weight: float = Field(default=1.0, gt=0, le=1)
    """Fit samples with a label that is suspicious by itself count this much."""


class NgramSettings(_Settings):
    """Heads on token n-grams."""

    buckets: int = Field(default=65_536, ge=1, le=2**24)
    strength: float = Field(default=0.3, gt=0)
    """Inverse regularisation, scikit-learn's C."""


class TransformerSettings(_Settings):
    """How a sentence-transformers encoder is carried; an encoder folder brings its own."""

    max_tokens: int = Field(default=256, ge=8, le=16_384)
    """Most tokens the encoder reads of a request, special ones included; of more, head and tail are
    kept.
    """
    precision: Literal["int8", "float32"] = "int8"
    """Of its weights."""


class FinetuneSettings(_Settings):
    """Training the encoder itself on both outcomes; its own heads then take the place of those on
    embeddings.
    """

    epochs: int = Field(default=2, ge=1)
    """Most epochs; the one with the least loss on held-out samples is kept."""
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0, le=0.1)
    frozen_layers: int = Field(default=3, ge=0)
    """Layers, counted from the tokens, that are left as they are; token embeddings always are."""
    gain_weight: float = Field(default=1.0, ge=0)
    """Weight of the error of the expected gain in the loss."""
    task_weight: float = Field(default=0.2, ge=0)
    """Weight of guessing the task, where it is known."""
    held_out: float = Field(default=0.15, gt=0, lt=1)
    """Share of the fit samples' groups that the encoder does not see: they choose the epoch and
    combine its scores with others.
    """


class EmbeddingSettings(_Settings):
    """Heads on embeddings."""

    strength: float = Field(default=0.003, gt=0)
    beside_guess: bool = False
    """Whether they are read as they are also where they are read as a guess of the task."""


class NeighbourSettings(_Settings):
    """Heads on how near a request is to centres of the training traffic."""

    centres: int = Field(default=256, ge=1, le=65_536)
    sharpness: float = Field(default=10.0, gt=0)
    """Shares of the centres are ``softmax(sharpness * cosine)``."""
    strength: float = Field(default=0.001, gt=0)


class LengthSettings(_Settings):
    """Heads on how long the request is, which neither n-grams nor embeddings know: both are brought
    to unit length.
    """

    strength: float = Field(default=1.0, gt=0)


class TaskSettings(_Settings):
    """A column for each task, used where the router knows the task of a request."""

    least_samples: int = Field(default=3, ge=1)
    """Fit samples a task needs to get a column; rarer ones count as not known."""
    guess: bool = True
    """Whether embeddings are read as a guess of the task, where the traffic names tasks; they are
    read as they are otherwise.
    """


class FeatureSettings(_Settings):
    """Which vectors the heads read. Each section can be ``false``, but not both ngrams and
    embedding; tasks and finetune need ngrams.
    """

    encoder: str = "static-minilm-256"
    """A shipped encoder's name, the path of an encoder folder, or a sentence-transformers encoder
    by name or folder.
    """
    encoder_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """What the hash of a sentence-transformers encoder's weights must be."""
    transformer: TransformerSettings = TransformerSettings()
    finetune: FinetuneSettings | Literal[False] = False
    ngrams: NgramSettings | Literal[False] = NgramSettings()
    embedding: EmbeddingSettings | Literal[False] = EmbeddingSettings()
    neighbours: NeighbourSettings | Literal[False] = False
    length: LengthSettings | Literal[False] = False
    tasks: TaskSettings | Literal[False] = TaskSettings()
    extra: dict[str, dict[str, Any]] = {}
    """Channels of other packages, by name, each with its own settings."""

    @model_serializer(mode="wrap")
    def _without_empty(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``extra`` out where there is nothing in it, as in recipes of earlier versions."""
        form: dict[str, Any] = write(self)
        return form if self.extra else {key: form[key] for key in form if key != "extra"}

    @model_validator(mode="after")
    def _some(self) -> FeatureSettings:
        if self.finetune and not self.ngrams:
            raise ValueError(
                "finetune needs ngrams beside it: they score the samples that the encoder saw"
            )
        if not self.ngrams and not self.embedding:
            raise ValueError("features need at least one of ngrams and embedding")
        if self.finetune and (self.embedding or self.neighbours):
            raise ValueError(
                "finetune takes the place of embedding and neighbours: set both to false"
            )
        return self


class DistilSettings(_Settings):
    """Learning from a teacher run beside the labels."""

    share: float = Field(default=0.5, gt=0, le=1)
    """How much the teacher's opinion counts beside a label; also the weight of an unlabelled
    request.
    """


class SearchSettings(_Settings):
    """Choosing features and regularisation by folds of the fit samples; what the sections of
    ``features`` say is tried first.
    """

    minutes: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """No candidate is begun that is not expected to be done by then."""
    folds: int = Field(default=5, ge=3)
    """Folds that candidates are judged by."""
    encoders: tuple[str, ...] = ()
    """Encoders that are tried beside ``features.encoder``, the fastest first."""
    ngram_strengths: tuple[_Positive, ...] = (0.1, 0.3, 1.0)
    embedding_strengths: tuple[_Positive, ...] = (0.001, 0.003, 0.01)
    buckets: tuple[Annotated[int, Field(ge=1, le=2**24)], ...] = ()
    neighbour_sharpness: tuple[_Positive, ...] = (10.0, 20.0)
    """Neighbours are not tried without one."""


class ValidatorSettings(_Settings):
    """One check of the cheap model's answers."""

    check: str = Field(min_length=1)
    """Name of a validator: ``json``, ``json_schema``, ``tool_call``, ``regex``, ``non_empty``,
    ``refusal`` or ``python``.
    """
    tasks: tuple[str, ...] = ()
    """Tasks whose answers are checked; empty for every request."""
    options: dict[str, Any] = {}
    """The validator's own options."""


class PolicySettings(_Settings):
    """The router's rule, as far as it is not learned."""

    max_cheap_tokens: int = Field(default=256, ge=0)
    easy_tasks: tuple[str, ...] = ()
    hard_tasks: tuple[str, ...] = ()
    min_familiarity: float = Field(default=0.0, ge=0, le=1)
    """Requests less familiar than this go to the frontier model; 0 switches that off."""
    objective: str = "share=0.3"
    """How the threshold is chosen when ``ship`` is not told otherwise."""
    per_task: bool = False
    """Whether each task gets a threshold of its own."""
    catch_rate: float | None = Field(default=None, ge=0, le=1)
    """Share of the cheap model's failures that validation catches; unknown: fallbacks are not
    reckoned with.
    """
    review_after_days: int = Field(default=91, ge=1)
    validators: tuple[ValidatorSettings, ...] = ()
    """What the cheap model's answers have to pass; a request whose answer fails goes to the
    frontier model once.
    """
    streaming: Literal["pass", "buffer"] = "pass"
    """Whether streamed answers of the cheap model are sent on as they come, unchecked, or held back
    until they are checked.
    """
    epsilon: float = Field(default=0.0, ge=0, le=0.5)
    """Probability with which a scored request takes the other route, so that the log can teach."""
    shadow: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests that are also sent to the other model, outside the request's time."""

    @model_validator(mode="after")
    def _tasks_are_easy_or_hard(self) -> PolicySettings:
        both = sorted({*self.easy_tasks} & {*self.hard_tasks})
        if both:
            raise ValueError(f"a task is easy or hard, not both: got {', '.join(both)}")
        return self


class PromotionSettings(_Settings):
    """When a challenger may take the champion's place: figures on the same traffic, challenger
    minus champion.
    """

    max_quality_loss: float = Field(default=0.005, ge=0, le=1)
    """How far below 0 the 95 % interval of the difference in quality may reach; where quality is
    unknown, that of risk above 0.
    """
    max_share_increase: float = Field(default=0.02, ge=0, le=1)
    """Most that the frontier share may grow, in shares of all requests."""
    max_cost_increase: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    """Most that the cost may grow, as a share of the champion's; counts where prices are given."""
    least_samples: int = Field(default=200, ge=1)
    """Samples that the comparison must rest on."""


class ExportSettings(_Settings):
    """The parity gate: how far the graph may be from the Python model; and early exit."""

    max_score_difference: float = Field(default=1e-4, gt=0)
    max_flips: float = Field(default=0.0, ge=0, lt=1)
    """Share of calibration requests whose decision may differ, those within the score difference of
    the threshold left out.
    """
    int8: bool = False
    """Whether an encoder that was trained on with float32 weights is made int8, as far as
    ``int8_flips`` allows.
    """
    int8_flips: float = Field(default=0.002, ge=0, lt=1)
    """Share of the calibration requests whose decision that may change, however near they are to
    the threshold.
    """
    early: bool = False
    """Whether a small graph decides the requests that are far from the threshold; for encoders that
    take milliseconds.
    """
    early_budget: float = Field(default=0.005, gt=0, lt=1)
    """Most decisions that this may change, as a share of the requests that need a score."""


class Recipe(_Settings):
    """A parsed recipe."""

    name: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    target: Literal["auto", "benefit", "failure"] = "auto"
    """``auto``: benefit where both models' outcomes are known, else failure."""
    folds: int = Field(default=5, ge=2)
    text: TextSettings = TextSettings()
    split: SplitSettings = SplitSettings()
    labels: LabelSettings = LabelSettings()
    features: FeatureSettings = FeatureSettings()
    search: SearchSettings | Literal[False] = False
    distil: DistilSettings | Literal[False] = False
    policy: PolicySettings = PolicySettings()
    export: ExportSettings = ExportSettings()
    promotion: PromotionSettings = PromotionSettings()

    @model_validator(mode="after")
    def _search_alone(self) -> Recipe:
        if self.search and (self.features.finetune or self.distil):
            raise ValueError(
                "search goes together with neither features.finetune nor distil: leave one of"
                " them out"
            )
        return self


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises
    ------
    RecipeError
        If it is missing, is not TOML, or holds a key or value that is not allowed.
    """
    if not path.is_file():
        raise RecipeError(
            f"no recipe at {str(path)!r}. Pass a TOML file, or the name of a shipped recipe."
        )
    try:
        form = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} is not valid TOML: {error}.") from error
    return parse_recipe(form, name=path.name)


def parse_recipe(form: dict[str, Any], *, name: str) -> Recipe:
    """Check a recipe's content; ``name`` is how errors call it."""
    try:
        return Recipe.model_validate(form)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "recipe"
        if problem["type"] == "extra_forbidden":
            raise RecipeError(
                f"{name}: unknown key {where!r}. Remove it, or check its spelling and section."
            ) from error
        raise RecipeError(
            f"{name}: {where}: {problem['msg']}; got {problem['input']!r}."
        ) from error
