"""Scores from a bundle: text view, tokenizer and ONNX session, and nothing of the lab.

With early exit a small graph decides the requests that are far from the threshold, and the scorer
is asked about the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import onnxruntime as ort
from tokenizers import Tokenizer

from difficulty.bundle.policy import Early, Policy
from difficulty.bundle.store import EARLY_GRAPH, Bundle
from difficulty.conversation.request_numbers import FEATURES, NumberedIds, numbered, read_numbers
from difficulty.errors import BundleError, DifficultyError, RequestError, ScoringError
from difficulty.runtime.rule import ABOVE, WITHIN, Ruling
from difficulty.runtime.session import FloatArray, Graph, load_session
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer

_REQUIRED = ("difficulty_score", "p_cheap_fails")
_OPTIONAL = ("p_frontier_fails", "familiarity")
EARLY_OUTPUT = "early_score"
# Tokens of the requests that are scored before the first: runtimes set themselves up on them.
_WARM_UP_LENGTHS = (1, 16, 64)


class Encoded(NamedTuple):
    """Token ids of one request."""

    ids: list[int]
    """What the graph reads: the task's id where the scorer knows it, then the text's; with the
    request's numbers where the graph reads those.
    """
    tokens: int
    """Tokens of the whole request."""
    estimated: bool = False
    """Whether ``tokens`` is an estimate, as some of the text was left out before."""
    with_task: bool = False
    """Whether the first id is the task's."""
    masked_share: float = 0.0
    """Share of the request that was left out as context."""
    is_cut: bool | None = None
    """Whether more than that was left out; ``None``: as the counts tell."""

    @property
    def without_task(self) -> list[int]:
        """What the graph would read if the task were not known."""
        if not self.with_task:
            return self.ids
        ids = self.ids
        return numbered(ids[1:], ids.numbers if isinstance(ids, NumberedIds) else None)

    @property
    def truncated(self) -> bool:
        """Whether the scorer sees less than the whole request, context that was left out apart."""
        if self.is_cut is not None:
            return self.is_cut
        return self.estimated or self.tokens > len(self.ids) - self.with_task


class Score(NamedTuple):
    """Outputs of the scorer for one request."""

    difficulty_score: float
    p_cheap_fails: float
    p_frontier_fails: float | None
    familiarity: float | None

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Score:
        """Build from the graph's outputs by name.

        Raises
        ------
        ScoringError
            If any output is not a number.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise ScoringError(f"{name} must be a number: got {value}. Verify the bundle.")
        familiarity = values.get("familiarity")
        return cls(
            values["difficulty_score"],
            values["p_cheap_fails"],
            values.get("p_frontier_fails"),
            # A share whose sum in float32 may end a little above 1.
            None if familiarity is None else min(familiarity, 1.0),
        )


class Scorer:
    """Score requests; safe to use from several threads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    tokenizer : RequestTokenizer
    view : TextView
    task_ids : mapping of str to int, optional
        Ids that stand before the text's where the task is known.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        tokenizer: RequestTokenizer,
        view: TextView,
        *,
        task_ids: Mapping[str, int] | None = None,
    ) -> None:
        self.graph = Graph(
            session,
            "scorer.onnx",
            _REQUIRED,
            _OPTIONAL,
            most_tokens=tokenizer.max_tokens + 1,
            may_read_numbers=True,
        )
        self.tokenizer = tokenizer
        self.view = view
        self.task_ids = dict(task_ids or {})
        self.outputs = self.graph.outputs

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1) -> Scorer:
        """Build the scorer of a checked bundle; ``threads`` are ONNX Runtime's for one call."""
        manifest = bundle.manifest
        session = load_session(bundle.files["scorer.onnx"], threads=threads)
        try:
            raw = Tokenizer.from_buffer(bundle.files["tokenizer.json"])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # tokenizers raises plain Exception, and panics in Rust
            raise BundleError(
                f"tokenizer.json cannot be loaded ({error}). Ship the bundle again."
            ) from error
        tokenizer = RequestTokenizer(raw, max_tokens=manifest.max_tokens)
        scorer = cls(
            session,
            tokenizer,
            TextView(manifest.text_view, max_chars=manifest.max_chars, learned=bundle.learned_view),
            task_ids=manifest.task_ids,
        )
        if set(scorer.outputs) != set(manifest.outputs):
            raise BundleError(
                f"scorer.onnx must have the outputs of the manifest, {sorted(manifest.outputs)}:"
                f" got {sorted(scorer.outputs)}. Ship the bundle again."
            )
        if scorer.reads_numbers != (manifest.request_numbers is not None):
            said, has = ("has", "none") if manifest.request_numbers is None else ("lacks", "it")
            raise BundleError(
                f"scorer.onnx must have the input {FEATURES!r} where the manifest names"
                f" request_numbers: it {said} the input, the manifest has {has}. Ship the bundle"
                " again."
            )
        return scorer

    @property
    def reads_numbers(self) -> bool:
        """Whether the graph reads numbers of requests."""
        return self.graph.reads_numbers

    def encode(
        self,
        messages: str | Sequence[Mapping[str, Any]],
        task: str | None = None,
        tools: object = None,
    ) -> Encoded:
        """Return the ids of a request; a task that the scorer was not trained with counts as not
        known, and tools that it was not trained with count for nothing.

        Raises
        ------
        ScoringError
            If the request holds no text.
        """
        view = self.view(messages)
        ids, total = self.tokenizer.encode(view.text)
        if not ids or not view.text.strip():
            raise ScoringError(
                "a request must hold some text to be scored: got none. Send text, or route it"
                " without the scorer."
            )
        is_cut = view.truncated or total > self.tokenizer.max_tokens
        total = view.whole(total)
        reads_numbers = self.graph.reads_numbers
        numbers = read_numbers(messages, tools, view.question) if reads_numbers else None
        task_id = None if task is None else self.task_ids.get(task)
        with_task = task_id is not None
        return Encoded(
            numbered(ids if task_id is None else [task_id, *ids], numbers),
            total,
            estimated=view.shortened,
            with_task=with_task,
            masked_share=view.masked_share,
            is_cut=is_cut,
        )

    def score_ids(self, ids: Sequence[int]) -> Score:
        """Return the score of one tokenized request."""
        return Score.of(dict(zip(self.outputs, self.graph.one(ids), strict=True)))

    def warm_up(self) -> None:
        """Score a request of each of a few lengths.

        Raises
        ------
        BundleError
            If a plain request cannot be scored.
        """
        try:
            for length in _WARM_UP_LENGTHS:
                self.score_ids([0] * min(length, self.tokenizer.max_tokens))
            self.score("warm up")
        except (KeyboardInterrupt, SystemExit, DifficultyError):
            raise
        except BaseException as error:  # whatever the libraries raise, and panics in Rust
            what = f"{type(error).__name__} {error!s:.300}".strip()
            raise BundleError(
                f"tokenizer.json and scorer.onnx must score a plain request: got {what}. Ship the"
                " bundle again."
            ) from error

    def score(
        self,
        messages: str | Sequence[Mapping[str, Any]],
        task: str | None = None,
        tools: object = None,
    ) -> Score:
        """Return the score of one request."""
        return self.score_ids(self.encode(messages, task, tools).ids)

    def score_many(self, rows: Sequence[Sequence[int]]) -> dict[str, FloatArray]:
        """Return each output for many tokenized requests, arrays of shape (n_requests,) in the
        order of ``rows``.
        """
        return self.graph.many(rows)


class EarlyScorer:
    """Guess the scorer's score from a few cheap features; reads the same ids as the scorer.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    most_tokens : int
        Longest request there usually is, the task's id included.
    """

    def __init__(self, session: ort.InferenceSession, *, most_tokens: int) -> None:
        self.graph = Graph(session, EARLY_GRAPH, (EARLY_OUTPUT,), most_tokens=most_tokens)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1) -> EarlyScorer | None:
        """Build the early scorer of a checked bundle; ``None`` where the bundle has none."""
        if EARLY_GRAPH not in bundle.files:
            return None
        session = load_session(bundle.files[EARLY_GRAPH], threads=threads, name=EARLY_GRAPH)
        return cls(session, most_tokens=bundle.manifest.max_tokens + 1)

    def score_ids(self, ids: Sequence[int]) -> float:
        """Return the early score of one tokenized request.

        Raises
        ------
        ScoringError
            If it is not a number.
        """
        score = self.graph.one(ids)[0]
        if not math.isfinite(score):
            raise ScoringError(f"{EARLY_OUTPUT} must be a number: got {score}. Verify the bundle.")
        return score

    def score_many(self, rows: Sequence[Sequence[int]]) -> FloatArray:
        """Return the early scores of many tokenized requests, in order; one that is not a number is
        NaN or infinite.
        """
        return self.graph.many(rows)[EARLY_OUTPUT]


def exits(policy: Policy) -> Early | None:
    """Return the early exit of a policy where it holds: for the threshold that its cut-offs were
    chosen for, and for it alone.
    """
    early = policy.early
    if (
        early is None
        or early.threshold != policy.threshold
        or policy.task_thresholds
        or policy.min_familiarity > 0
    ):
        return None
    return early


def exit_early(early: Early, score: float, *, with_task: bool) -> Ruling | None:
    """Return the verdict of an early score; ``None`` where the scorer has to be asked.

    Parameters
    ----------
    early : Early
    score : float
    with_task : bool
        Whether the request came with a task that the scorer knows.
    """
    cut = early.with_task if with_task else early.without_task
    if cut is None:
        return None
    if score > cut.high:
        return ABOVE
    return WITHIN if score < cut.low else None


_LONGEST_ERROR = 200


def describe(error: BaseException) -> str:
    """Return what may be said of an error: its message where it is one of ours, which hold nothing
    of the request, else its type alone.
    """
    is_ours = isinstance(error, ScoringError | RequestError)
    return (str(error) if is_ours else type(error).__name__)[:_LONGEST_ERROR]


def kept(error: BaseException) -> BaseException:
    """Return an error that costs one request; raise one that is meant to end the program."""
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        raise error
    return error
