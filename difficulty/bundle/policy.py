"""``policy.json``: the router's rule with its numbers, and how the threshold was chosen."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from difficulty.errors import FieldError
from difficulty.form import (
    Form,
    SavedForm,
    Sha256,
    Share,
    above,
    at_least,
    at_most,
    between,
    matching,
    non_empty,
)
from difficulty.needs import Eligibility
from difficulty.routes import Stick, ValidatorRule, check_tasks


@dataclass(frozen=True, kw_only=True)
class Fallback(Form):
    """When the frontier model is asked after the cheap one answered."""

    on_validation_failure: bool = True
    on_call_failure: bool = True
    """Whether the frontier model is called when a call of the cheap one fails or times out."""
    validators: tuple[ValidatorRule, ...] = ()
    """What an answer has to pass; without any, no answer fails."""
    streaming: Literal["pass", "buffer"] = "pass"
    """Streamed cheap answers: sent on unchecked, or held back until they are checked."""
    catch_rate: Share | None = None
    """Share of the cheap model's failures that validation catches; ``None``: unknown."""


@dataclass(frozen=True, kw_only=True)
class Exploration(Form):
    """What is tried beside the rule, so that the log can teach; off by default."""

    epsilon: Annotated[float, between(0, 0.5)] = 0.0
    """Probability with which a scored request takes the other route."""
    shadow: Share = 0.0
    """Share of the requests that also go to the other model; nobody sees that answer."""
    seed: Annotated[int, at_least(0)] = 0
    """Chance is a hash of this and of the request's id."""


@dataclass(frozen=True, kw_only=True)
class Chosen(Form):
    """How the threshold was chosen, and what was expected of it then."""

    objective: str
    """As the user wrote it: ``share=0.3``."""
    calibration_data: str
    """Hash of the texts of the rows the threshold was chosen on."""
    n: Annotated[int, at_least(0)]
    """Number of rows the threshold was chosen on: of the calibration split, or of fit and
    calibration by scores of heads that did not see them.
    """
    expected: dict[str, Any]
    """``frontier_share``, ``quality``, ``gap_recovered``, ``cost``, ``risk`` and
    ``fallback_share``, each with value, low, high, n.
    """
    assumed: tuple[str, ...] = ()
    """What these expectations rest on, a sentence each."""
    guarantee: str | None = None
    """What is promised for a finite number of samples, and with which confidence."""


@dataclass(frozen=True, kw_only=True)
class CutOffs(Form):
    """Where the early score decides for one kind of requests."""

    low: Share
    """Cheap when ``early_score < low``."""
    high: Share
    """Frontier when ``early_score > high``."""
    n: Annotated[int, at_least(0)]
    """Requests that they were chosen on."""
    expected: dict[str, Any]
    """``asked``: share of these requests that the scorer is asked about; ``changed``: share of
    decisions that differ from its own.
    """


@dataclass(frozen=True, kw_only=True)
class Early(Form):
    """Early exit: ``early.onnx`` decides outside the cut-offs, the scorer between them."""

    threshold: Share
    """The threshold that the cut-offs were chosen for; with any other they do not count."""
    budget: Share
    """Share of the requests that need a score whose decision may differ from the scorer's."""
    confidence: Share
    """How sure it is that the budget is kept, on traffic like that of the choice."""
    with_task: CutOffs | None = None
    """For requests with a task that the scorer knows; ``None``: the scorer decides them."""
    without_task: CutOffs | None = None
    """For all others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, cut in (("with_task", self.with_task), ("without_task", self.without_task)):
            if cut and not cut.low <= self.threshold <= cut.high:
                what = f"{cut.low:g}, {self.threshold:g}, {cut.high:g}"
                raise FieldError(
                    f"must have the threshold between the cut-offs: got {what}", where=(name,)
                )


@dataclass(frozen=True, kw_only=True)
class AnswerRule(Form):
    """The learned check of the cheap model's answer; see :mod:`difficulty.runtime.answers`."""

    threshold: Share
    """The frontier model is asked too when ``answer_score > threshold``."""
    kind: Literal["check", "both"] = "both"
    """``check``: the request's score sends nothing; ``both``: it sends what is above the policy's
    threshold, and the check looks at the answers of the rest.
    """
    on_unknown: Literal["pass", "escalate"] = "pass"
    """What becomes of an answer that cannot be checked."""
    request_threshold: Share | None = None
    """Threshold of the request's score where no check can count: answers that are streamed past
    it, facts that have moved. ``None``: the policy's own.
    """
    stale_shift: Share | None = None
    """Share of the facts whose means may move by more than half a deviation; past it the check no
    longer counts. ``None``: it counts whatever moves.
    """


_LEFT_OUT = ("answer", "stick", "eligibility")
"""Keys of a policy that are written only where they are set: readers from before know none."""


@dataclass(frozen=True, kw_only=True)
class Policy(Form):
    """The router's rule; see :mod:`difficulty.runtime.rule` for how it is applied."""

    cheap_model: Annotated[str, non_empty]
    frontier_model: Annotated[str, non_empty]
    max_cheap_tokens: Annotated[int, at_least(0)] = 256
    """Easy tasks shorter than this go to the cheap model unscored; 0 switches that off."""
    easy_tasks: tuple[str, ...] = ()
    hard_tasks: tuple[str, ...] = ()
    threshold: Share
    """Frontier when ``difficulty_score > threshold``."""
    task_thresholds: dict[str, Share] = field(default_factory=dict)
    """Thresholds of single tasks, in place of ``threshold``."""
    min_familiarity: Share = 0.0
    """Requests less familiar than this go to the frontier model; 0 switches that off."""
    early: Early | None = None
    """Where most requests are decided by a small graph; ``None``: the scorer decides all."""
    answer: AnswerRule | None = None
    """The learned check of cheap answers; ``None``: there is none, and its key is left out."""
    stick: Stick | None = None
    """That sessions keep their model; ``None``: each request is decided alone, and the key is left
    out.
    """
    eligibility: Eligibility | None = None
    """What the two models take; ``None``: nothing is stated, and the key is left out."""
    fallback: Fallback = Fallback()
    exploration: Exploration = Exploration()
    on_error: Literal["frontier"] = "frontier"
    """Where a request goes that cannot be scored."""
    review_date: date
    chosen: Chosen

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self.easy_tasks, self.hard_tasks)
        if self.answer is None or self.answer.kind == "both":
            return
        used = {"threshold": self.threshold, **self.task_thresholds}
        if lower := next((name for name, share in used.items() if share < 1), None):
            where = (lower,) if lower == "threshold" else ("task_thresholds", lower)
            raise FieldError(
                "must be 1 where answer.kind is 'check', as the request's score sends nothing then:"
                f" got {used[lower]:g}",
                where=where,
            )
        if self.answer.request_threshold is None:
            raise FieldError(
                "must be a share where kind is 'check': without it, all requests would stay cheap"
                " unchecked where no check can count",
                where=("answer", "request_threshold"),
            )

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form; what is not set and older policies have no key for is left out."""
        unset = {name for name in _LEFT_OUT if getattr(self, name) is None}
        content = super().as_dict(without=without)
        return {name: value for name, value in content.items() if name not in unset}


BUNDLE_FORMAT = 1
MOST_TOKENS = 1 << 20
"""A router sets up arrays of this length before the first request."""
_NAME = matching(
    r"(?!\.{1,2}$)[^/\x00-\x1f\x7f\ud800-\udfff]+",
    text="be a string without '/', control characters and lone surrogates, not dots alone",
)
UNSEALED = "0" * 64


@dataclass(frozen=True, kw_only=True)
class FileEntry(Form):
    """Size and hash of one file."""

    sha256: Sha256
    bytes: Annotated[int, at_least(0)]


@dataclass(frozen=True, kw_only=True)
class TrainingSplit(SavedForm):
    """Seed and shares of the split, so that evaluation can find the test rows again."""

    seed: int
    fit: float
    calibration: float
    test: float

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Shares of fit, calibration and test samples."""
        return self.fit, self.calibration, self.test


@dataclass(frozen=True, kw_only=True)
class Manifest(Form):
    """What a bundle is; the fields are specified in ``docs/bundle.md``."""

    format: int = BUNDLE_FORMAT
    name: Annotated[str, _NAME]
    version: Annotated[str, _NAME]
    created: datetime
    target: Literal["benefit", "failure"]
    outputs: tuple[str, ...]
    """Outputs of ``scorer.onnx``, in order."""
    text_view: int
    max_chars: Annotated[int, at_least(2)]
    max_tokens: Annotated[int, at_least(1), at_most(MOST_TOKENS)]
    task_ids: dict[str, int] = field(default_factory=dict)
    """Ids that stand before the text's for tasks; not counted in ``max_tokens``."""
    request_numbers: int | None = None
    """Version of the numbers that ``scorer.onnx`` reads as ``features``; ``None``: it reads none,
    and the field is left out, as readers from before it know no such field.
    """
    score_tolerance: Annotated[float, above(0)]
    """How far another runtime's scores may be from ``golden.jsonl``."""
    cheap_model: str | None = None
    frontier_model: str | None = None
    training_data: str
    """Hash of the labelled traffic, as ``difficulty ingest`` reports it."""
    split: TrainingSplit
    recipe: dict[str, Any]
    """No ``Recipe``: a bundle of another version is served, whatever its recipe holds."""
    libraries: dict[str, str]
    files: dict[str, FileEntry]
    sha256: Sha256 = UNSEALED
    """Of the manifest itself, these 64 digits being zeros."""

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form."""
        content = super().as_dict(without=without)
        if self.request_numbers is None:
            content.pop("request_numbers", None)
        return content


def seal(content: bytes) -> bytes:
    """Put its own hash into the bytes of a manifest whose ``sha256`` is ``UNSEALED``."""
    # The last one: it is the manifest's last field, and 64 zeros may stand elsewhere too.
    before, _, after = content.rpartition(UNSEALED.encode())
    return before + sha256(content).hexdigest().encode() + after


def is_sealed(content: bytes, seal: str) -> bool:
    """Return whether the bytes of a manifest are those that ``seal`` was taken of."""
    return (
        # Once: a second one would be zeros too, so a change of it would not be seen.
        content.count(seal.encode()) == 1
        and sha256(content.replace(seal.encode(), UNSEALED.encode())).hexdigest() == seal
    )
