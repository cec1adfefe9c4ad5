"""Recipes: what is trained and how, read once from TOML at the edge. Unknown keys fail.

``pipelines/`` holds the shipped ones. Every number a recipe leaves out has the default that stands
here.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from difficulty.errors import FieldError, RecipeError
from difficulty.form import (
    Form,
    Sha256,
    Share,
    above,
    at_least,
    at_most,
    below,
    between,
    finite,
    load_toml,
    non_empty,
)
from difficulty.routes import Stick, ValidatorRule, check_tasks

_Positive: TypeAlias = Annotated[float, finite, above(0)]


@dataclass(frozen=True, kw_only=True)
class TextSettings(Form):
    """From messages to token ids."""

    view: int = 2
    max_chars: Annotated[int, at_least(2)] = 8192
    """Longest text in characters; of longer ones head and tail are kept."""
    max_tokens: Annotated[int, between(2, 16_384)] = 512
    """Most tokens the scorer sees; of more, head and tail are kept."""


@dataclass(frozen=True, kw_only=True)
class SplitSettings(Form):
    """Shares of the requests, by hash of their group."""

    fit: Annotated[float, above(0), below(1)] = 0.6
    calibration: Annotated[float, above(0), below(1)] = 0.2
    test: Annotated[float, at_least(0), below(1)] = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        # Shares such as 0.7, 0.2 and 0.1 do not add up to 1 exactly.
        if abs(sum(self.fractions) - 1.0) > 1e-9:
            shares = ", ".join(f"{share:g}" for share in self.fractions)
            raise FieldError(f"must have fit, calibration and test add up to 1: got {shares}")

    @property
    def fractions(self) -> tuple[float, float, float]:
        """The three shares."""
        return self.fit, self.calibration, self.test


@dataclass(frozen=True, kw_only=True)
class LabelSettings(Form):
    """What outcomes are worth: those of logged traffic, seen only for the model that was called,
    and suspicious ones.
    """

    largest_weight: Annotated[float, finite, at_least(1)] = 50.0
    """A row counts 1 / propensity, cut at this."""
    accept_selection_bias: bool = False
    """Whether to learn from outcomes seen only where an unknown policy chose to look."""
    group_weight: Annotated[float, above(0), at_most(1)] = 1.0
    """Fit samples of a task or region with suspicious labels count this much."""
    row_weight: Annotated[float, above(0), at_most(1)] = 1.0
    """Fit samples with a label that is suspicious by itself count this much."""


@dataclass(frozen=True, kw_only=True)
class NgramSettings(Form):
    """Heads on token n-grams."""

    buckets: Annotated[int, between(1, 2**24)] = 65_536
    strength: Annotated[float, above(0)] = 0.3
    """Inverse regularisation, scikit-learn's C."""
    weighting: Literal["counts", "presence"] = "counts"
    """Whether it counts how often an n-gram is there, or only whether."""
    mean_penalty: Annotated[float, above(0)] | None = None
    """Of a ridge regression on what the mean gain of the request's task leaves over; none: there
    is none.
    """


@dataclass(frozen=True, kw_only=True)
class TransformerSettings(Form):
    """How a sentence-transformers encoder is carried; an encoder folder brings its own."""

    max_tokens: Annotated[int, between(8, 16_384)] = 256
    """Most tokens the encoder reads of a request, special ones included; of more, head and tail are
    kept.
    """
    precision: Literal["int8", "float32"] = "int8"
    """Of its weights."""


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(Form):
    """Training the encoder itself on both outcomes; its own heads then take the place of those on
    embeddings.
    """

    epochs: Annotated[int, at_least(1)] = 2
    """Most epochs; the one with the least loss on held-out samples is kept."""
    batch_size: Annotated[int, at_least(1)] = 32
    learning_rate: Annotated[float, above(0), at_most(0.1)] = 1e-4
    frozen_layers: Annotated[int, at_least(0)] = 3
    """Layers, counted from the tokens, that are left as they are; token embeddings always are."""
    gain_weight: Annotated[float, at_least(0)] = 1.0
    """Weight of the error of the expected gain in the loss."""
    task_weight: Annotated[float, at_least(0)] = 0.2
    """Weight of guessing the task, where it is known."""
    held_out: Annotated[float, above(0), below(1)] = 0.15
    """Share of the fit samples' groups that the encoder does not see: they choose the epoch and
    combine its scores with others.
    """
    folds: Annotated[int, at_least(0)] = 0
    """Parts of which each is held out of an encoder of its own, beside the one that ships, which
    sees all samples; 0: one encoder, and ``held_out``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds == 1:
            raise FieldError("must hold folds = 0 or at least 2: got 1")


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings(Form):
    """Heads on embeddings."""

    strength: Annotated[float, above(0)] = 0.003
    beside_guess: bool = False
    """Whether they are read as they are also where they are read as a guess of the task."""
    mean_penalty: Annotated[float, above(0)] | None = None
    """As that of n-grams; it takes the place of heads beside a column for each task."""


@dataclass(frozen=True, kw_only=True)
class NeighbourSettings(Form):
    """Heads on how near a request is to centres of the training traffic."""

    centres: Annotated[int, between(1, 65_536)] = 256
    sharpness: Annotated[float, above(0)] = 10.0
    """Shares of the centres are ``softmax(sharpness * cosine)``."""
    strength: Annotated[float, above(0)] = 0.001


@dataclass(frozen=True, kw_only=True)
class TreeSettings(Form):
    """Trees on what the tokens of a request are like, and on components of its embedding."""

    components: Annotated[int, between(1, 1_024)] = 32


@dataclass(frozen=True, kw_only=True)
class LengthSettings(Form):
    """Heads on how long the request is, which neither n-grams nor embeddings know: both are brought
    to unit length.
    """

    strength: Annotated[float, above(0)] = 1.0


@dataclass(frozen=True, kw_only=True)
class NumberSettings(Form):
    """Heads on numbers of the request that its token ids cannot carry, where enough of the traffic
    offers functions; trees read them too.
    """

    strength: Annotated[float, above(0)] = 0.02
    least_samples: Annotated[int, at_least(1)] = 60
    """Samples with numbers that they are learned from; with fewer they are not read."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Form):
    """A column for each task, used where the router knows the task of a request."""

    least_samples: Annotated[int, at_least(1)] = 3
    """Fit samples a task needs to get a column; rarer ones count as not known."""
    guess: bool = True
    """Whether embeddings are read as a guess of the task, where the traffic names tasks; they are
    read as they are otherwise.
    """


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(Form):
    """Which vectors the heads read. Each section can be ``false``, but not both ngrams and
    embedding; tasks and finetune need ngrams.
    """

    encoder: str = "static-minilm-256"
    """A shipped encoder's name, the path of an encoder folder, or a sentence-transformers encoder
    by name or folder.
    """
    encoder_sha256: Sha256 | None = None
    """What the hash of a sentence-transformers encoder's weights must be."""
    transformer: TransformerSettings = TransformerSettings()
    finetune: FinetuneSettings | Literal[False] = False
    ngrams: NgramSettings | Literal[False] = NgramSettings()
    embedding: EmbeddingSettings | Literal[False] = EmbeddingSettings()
    neighbours: NeighbourSettings | Literal[False] = False
    length: LengthSettings | Literal[False] = False
    trees: TreeSettings | Literal[False] = False
    numbers: NumberSettings | Literal[False] = False
    tasks: TaskSettings | Literal[False] = TaskSettings()
    extra: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Channels of other packages, by name, each with its own settings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.finetune and not self.ngrams:
            raise FieldError(
                "must hold ngrams beside finetune: they score the samples that the encoder saw"
            )
        if not self.ngrams and not self.embedding:
            raise FieldError("must hold at least one of ngrams and embedding")
        if self.finetune and (self.embedding or self.neighbours):
            raise FieldError(
                "must have embedding and neighbours set to false: finetune takes their place"
            )

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form; an empty ``extra`` is left out, as recipes never had it before."""
        settings = super().as_dict(without=without)
        if not self.extra:
            settings.pop("extra", None)
        return settings


@dataclass(frozen=True, kw_only=True)
class DistilSettings(Form):
    """Learning from a teacher run beside the labels."""

    share: Annotated[float, above(0), at_most(1)] = 0.5
    """How much the teacher's opinion counts beside a label; also the weight of an unlabelled
    request.
    """


@dataclass(frozen=True, kw_only=True)
class SearchSettings(Form):
    """Choosing features and regularisation by folds of the fit samples; what the sections of
    ``features`` say is tried first.
    """

    minutes: Annotated[float, finite, above(0)] = 5.0
    """No candidate is begun that is not expected to be done by then."""
    folds: Annotated[int, at_least(3)] = 5
    """Folds that candidates are judged by."""
    encoders: tuple[str, ...] = ()
    """Encoders that are tried beside ``features.encoder``, the fastest first."""
    ngram_strengths: tuple[_Positive, ...] = (0.1, 0.3, 1.0)
    embedding_strengths: tuple[_Positive, ...] = (0.001, 0.003, 0.01)
    buckets: tuple[Annotated[int, between(1, 2**24)], ...] = ()
    neighbour_sharpness: tuple[_Positive, ...] = (10.0, 20.0)
    """Neighbours are not tried without one."""


@dataclass(frozen=True, kw_only=True)
class AugmentSettings(Form):
    """Fit samples that are learned from in other clothes (:mod:`difficulty.perturb`)."""

    share: Share = 0.3
    """Of the fit samples; the others, and all by which is judged, stay as they are."""
    perturbations: tuple[str, ...] = ()
    """Names; none: all."""


@dataclass(frozen=True, kw_only=True)
class AnswerSettings(Form):
    """The check of the cheap model's answer, learned wherever traffic holds enough of them."""

    form: Literal["full", "lean"] = "full"
    """With trees on the facts of an answer, or without."""


@dataclass(frozen=True, kw_only=True)
class PolicySettings(Form):
    """The router's rule, as far as it is not learned."""

    max_cheap_tokens: Annotated[int, at_least(0)] = 256
    easy_tasks: tuple[str, ...] = ()
    hard_tasks: tuple[str, ...] = ()
    min_familiarity: Share | None = None
    """Requests less familiar than this go to the frontier model; 0 switches that off; ``None``:
    what training found by leaving tasks out.
    """
    objective: str = "share=0.3"
    """How the threshold is chosen when ``ship`` is not told otherwise."""
    per_task: bool = False
    """Whether each task gets a threshold of its own."""
    catch_rate: Share | None = None
    """Share of the cheap model's failures that validation catches; unknown: fallbacks are not
    reckoned with.
    """
    review_after_days: Annotated[int, at_least(1)] = 91
    validators: tuple[ValidatorRule, ...] = ()
    """What the cheap model's answers have to pass; a request whose answer fails goes to the
    frontier model once.
    """
    streaming: Literal["pass", "buffer"] = "pass"
    """Whether streamed answers of the cheap model are sent on as they come, unchecked, or held back
    until they are checked.
    """
    epsilon: Annotated[float, between(0, 0.5)] = 0.0
    """Probability with which a scored request takes the other route, so that the log can teach."""
    shadow: Share = 0.0
    """Share of the requests that are also sent to the other model, outside the request's time."""
    stick: Stick | None = None
    """That sessions keep their model; none: each request is decided alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self.easy_tasks, self.hard_tasks)

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form; without ``stick`` its key is left out, as in recipes of before."""
        settings = super().as_dict(without=without)
        if self.stick is None:
            settings.pop("stick", None)
        return settings


@dataclass(frozen=True, kw_only=True)
class PromotionSettings(Form):
    """When a challenger may take the champion's place: figures on the same traffic, challenger
    minus champion.
    """

    max_quality_loss: Share = 0.005
    """How far below 0 the 95 % interval of the difference in quality may reach; where quality is
    unknown, that of risk above 0.
    """
    max_share_increase: Share = 0.02
    """Most that the frontier share may grow, in shares of all requests."""
    max_cost_increase: Annotated[float, finite, at_least(0)] = 0.02
    """Most that the cost may grow, as a share of the champion's; counts where prices are given."""
    least_samples: Annotated[int, at_least(1)] = 200
    """Samples that the comparison must rest on."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Form):
    """The parity gate: how far the graph may be from the Python model; and early exit."""

    max_score_difference: Annotated[float, above(0)] = 1e-4
    max_flips: Annotated[float, at_least(0), below(1)] = 0.0
    """Share of calibration requests whose decision may differ, those within the score difference of
    the threshold left out.
    """
    int8: bool = False
    """Whether an encoder that was trained on with float32 weights is made int8, as far as
    ``int8_flips`` allows.
    """
    int8_flips: Annotated[float, at_least(0), below(1)] = 0.002
    """Share of the calibration requests whose decision that may change, however near they are to
    the threshold.
    """
    early: bool = False
    """Whether a small graph decides the requests that are far from the threshold; for encoders that
    take milliseconds.
    """
    early_budget: Annotated[float, above(0), below(1)] = 0.005
    """Most decisions that this may change, as a share of the requests that need a score."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Form):
    """A parsed recipe."""

    name: Annotated[str, non_empty]
    seed: Annotated[int, at_least(0)] = 0
    target: Literal["auto", "benefit", "failure"] = "auto"
    """``auto``: benefit where both models' outcomes are known, else failure."""
    folds: Annotated[int, at_least(2)] = 5
    calibration: Literal["auto", "cross", "split"] = "auto"
    """Whether heads keep off the calibration samples (``split``) or learn from them as well, with
    probabilities calibrated out of fold (``cross``); ``auto``: ``cross`` with few labels, where no
    promise is wanted.
    """
    text: TextSettings = TextSettings()
    split: SplitSettings = SplitSettings()
    labels: LabelSettings = LabelSettings()
    features: FeatureSettings = FeatureSettings()
    search: SearchSettings | Literal[False] = False
    distil: DistilSettings | Literal[False] = False
    augment: AugmentSettings | Literal[False] = False
    answer: AnswerSettings | Literal[False] = AnswerSettings()
    policy: PolicySettings = PolicySettings()
    export: ExportSettings = ExportSettings()
    promotion: PromotionSettings = PromotionSettings()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search and (self.features.finetune or self.distil):
            raise FieldError(
                "must hold search without features.finetune and distil: leave one of them out"
            )
        if self.calibration == "cross" and (blocking := self.needs_split):
            raise FieldError(
                f'must hold calibration = "cross" without {blocking}: leave one of them out'
            )

    @property
    def needs_split(self) -> str | None:
        """The section for which heads have to keep off the calibration samples, if there is one."""
        sections = {
            # saw all but a few of the samples, so they have no scores without that
            "features.finetune": self.features.finetune and not self.features.finetune.folds,
            # outcomes that a teacher mixed in are none to calibrate on
            "distil": self.distil,
            # how many decisions it changes is promised by samples that nothing else saw
            "export.early": self.export.early,
        }
        return next((name for name, wanted in sections.items() if wanted), None)


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
        content = load_toml(path)
    except ValueError as error:
        raise RecipeError(f"{path.name} is not valid TOML: {error}.") from error
    return parse_recipe(content, name=path.name)


def parse_recipe(content: Mapping[str, Any], *, name: str) -> Recipe:
    """Check a recipe's content; ``name`` is how errors call it."""
    return Recipe.parse_from(name, content, error=RecipeError, advice=_told_apart(content))


_WAYS = ("auto", "cross", "split")


def _told_apart(content: Mapping[str, Any]) -> str:
    """Return which of the two keys named ``calibration`` is meant, where one has the value of the
    other or stands in another section.
    """
    own = content.get("calibration", "auto")
    if isinstance(own, int | float | Mapping):
        return "The share of the calibration samples is calibration in the section [split]."
    for name, section in content.items():
        if isinstance(section, Mapping) and section.get("calibration") in _WAYS:
            what = "their share" if name == "split" else "no key"
            return (
                f'calibration = "{section["calibration"]}", whether heads keep off the calibration'
                f" samples, stands above the first section of the file; in [{name}] it is {what}."
            )
    return ""
