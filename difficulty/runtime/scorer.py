"""Scores from a bundle: text view, tokenizer and ONNX session, and nothing of the lab."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from difficulty.bundle.store import Bundle
from difficulty.errors import BundleError, InvalidValueError, ScoringError
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer, pad

__all__ = ["Encoded", "Score", "Scorer", "load_session", "most_rows"]

FloatArray = NDArray[np.float32]
_INPUTS = {"input_ids", "attention_mask"}
_REQUIRED = ("difficulty_score", "p_cheap_fails")
_OPTIONAL = ("p_frontier_fails", "familiarity")
_WARM_UP_LENGTHS = (1, 16, 64)
_MOST_ROWS = 256
_MOST_PAIRS = 2_000_000
"""A batch of ``rows`` requests of ``tokens`` tokens makes tensors of ``rows * tokens**2`` numbers; this bounds them."""


class Encoded(NamedTuple):
    """Token ids of one request."""

    ids: list[int]
    """What the graph reads: the id of the task where it is known to the scorer, then those of the text."""
    tokens: int
    """Tokens of the whole request."""
    estimated: bool = False
    """Whether ``tokens`` is an estimate, because the middle of the text was left out before tokenizing."""
    informed: bool = False
    """Whether the first id is the task's."""

    @property
    def truncated(self) -> bool:
        """Whether the scorer sees less than the whole request."""
        return self.estimated or self.tokens > len(self.ids) - self.informed


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
        return cls(values["difficulty_score"], values["p_cheap_fails"], values.get("p_frontier_fails"), values.get("familiarity"))


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
        inputs, found = ({item.name for item in items} for items in (session.get_inputs(), session.get_outputs()))
        if inputs != _INPUTS:
            raise BundleError(f"scorer.onnx must have the inputs {sorted(_INPUTS)}: got {sorted(inputs)}. Ship the bundle again.")
        missing = [name for name in _REQUIRED if name not in found]
        if missing:
            raise BundleError(f"scorer.onnx must have the output {missing[0]!r}: got {sorted(found)}. Ship the bundle again.")
        self.session = session
        self.tokenizer = tokenizer
        self.view = view
        self.task_ids = dict(task_ids or {})
        self._ones = np.ones((1, tokenizer.max_tokens + 1), dtype=np.int64)
        self.outputs = [name for name in (*_REQUIRED, *_OPTIONAL) if name in found]

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1) -> Scorer:
        """Build the scorer of a checked bundle; ``threads`` is what ONNX Runtime may use for one call."""
        manifest = bundle.manifest
        session = load_session(bundle.files["scorer.onnx"], threads=threads)
        try:
            raw = Tokenizer.from_buffer(bundle.files["tokenizer.json"])
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleError(f"tokenizer.json cannot be loaded ({error}). Ship the bundle again.") from error
        tokenizer = RequestTokenizer(raw, max_tokens=manifest.max_tokens)
        scorer = cls(session, tokenizer, TextView(manifest.text_view, max_chars=manifest.max_chars), task_ids=manifest.task_ids)
        if set(scorer.outputs) != set(manifest.outputs):
            raise BundleError(
                f"scorer.onnx must have the outputs of the manifest, {sorted(manifest.outputs)}: got {sorted(scorer.outputs)}. "
                "Ship the bundle again."
            )
        return scorer

    def encode(self, messages: str | Sequence[Mapping[str, Any]], task: str | None = None) -> Encoded:
        """Return the ids of a request; a task that the scorer was not trained with counts as not known.

        Raises
        ------
        ScoringError
            If the request holds no text.
        """
        view = self.view(messages)
        ids, total = self.tokenizer.encode(view.text)
        if not ids or not view.text.strip():
            raise ScoringError("a request must hold some text to be scored: got none. Send text, or route it without the scorer.")
        total = view.whole(total)
        task_id = None if task is None else self.task_ids.get(task)
        if task_id is None:
            return Encoded(ids, total, estimated=view.truncated)
        return Encoded([task_id, *ids], total, estimated=view.truncated, informed=True)

    def score_ids(self, ids: Sequence[int]) -> Score:
        """Return the score of one tokenized request."""
        input_ids = np.array([ids or [0]], dtype=np.int64)
        mask = self._ones[:, : len(ids)] if 0 < len(ids) <= self._ones.shape[1] else np.full_like(input_ids, bool(ids))
        values = self.session.run(self.outputs, {"input_ids": input_ids, "attention_mask": mask})
        return Score.of({name: value.item() for name, value in zip(self.outputs, values, strict=True)})

    def warm_up(self) -> None:
        """Score a request of each of a few lengths: runtimes set themselves up on the first."""
        for length in _WARM_UP_LENGTHS:
            self.score_ids([0] * min(length, self.tokenizer.max_tokens))
        self.score("warm up")

    def score(self, messages: str | Sequence[Mapping[str, Any]], task: str | None = None) -> Score:
        """Return the score of one request."""
        return self.score_ids(self.encode(messages, task).ids)

    def score_many(self, rows: Sequence[Sequence[int]]) -> dict[str, FloatArray]:
        """Return each output for many tokenized requests, arrays of shape (n_requests,) in the order of ``rows``."""
        results = {name: np.zeros(len(rows), dtype=np.float32) for name in self.outputs}
        for picked in _batches([len(row) for row in rows]):
            ids, mask = pad([rows[index] for index in picked])
            values = self.session.run(self.outputs, {"input_ids": ids, "attention_mask": mask})
            for name, value in zip(self.outputs, values, strict=True):
                results[name][picked] = value
        return results


def _batches(lengths: Sequence[int]) -> Iterator[NDArray[np.intp]]:
    """Yield row numbers in batches of like length, bounded in rows and in memory."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    end = len(order)
    while end > 0:  # longest first, so the first batch is the largest that memory must hold
        size = most_rows(lengths[order[end - 1]])
        yield order[max(0, end - size) : end]
        end -= size


def most_rows(longest: int) -> int:
    """Return how many requests of at most ``longest`` tokens one call may hold."""
    return max(1, min(_MOST_ROWS, _MOST_PAIRS // max(1, longest) ** 2))


def load_session(graph: bytes, *, threads: int = 1) -> ort.InferenceSession:
    """Return a session for a graph held in memory; ``threads`` is what one call may use."""
    if threads < 1:
        raise InvalidValueError("threads", threads, rule="be 1 or more")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps the largest batch's memory for good, and is no faster
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, none of them public
        raise BundleError(f"scorer.onnx cannot be loaded ({error}). Ship the bundle again.") from error
