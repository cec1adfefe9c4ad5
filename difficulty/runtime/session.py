"""A graph of a bundle in an ONNX Runtime session: token ids in, numbers out, one request or
many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from difficulty.conversation.request_numbers import FEATURES, NUMBERS, NumberedIds, numbers_of
from difficulty.errors import BundleError, InvalidValueError
from difficulty.tokens import lengths_of, pad, pick

FloatArray = NDArray[np.float32]
Feeds = dict[str, NDArray[Any]]
_INPUTS = {"input_ids", "attention_mask"}
_UNKNOWN = np.full((1, len(NUMBERS)), np.nan, dtype=np.float32)
MOST_ROWS = 256
# A batch of ``rows`` requests of ``tokens`` tokens makes tensors of ``rows * tokens**2`` numbers;
# this bounds them, and what a session keeps: its memory arena holds on to that of the largest
# batch. Without the arena a transformer spends half of its time on pages.
_MOST_PAIRS = 300_000


class Graph:
    """Run a graph; safe to use from several threads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    name : str
        The file it comes from, for errors.
    required, optional : collection of str
        Outputs that it must have, and those that are read where it has them; in this order.
    most_tokens : int
        Longest request that no array is made for on the way.
    may_read_numbers : bool, default False
        Whether it may have an input for numbers of the requests too.

    Attributes
    ----------
    reads_numbers : bool
        Whether it has. The numbers are those beside the ids, unknown where there are none:
        :class:`~difficulty.conversation.request_numbers.NumberedIds`.

    Raises
    ------
    BundleError
        If the session has other inputs, or lacks a required output.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        name: str,
        required: Collection[str],
        optional: Collection[str] = (),
        *,
        most_tokens: int,
        may_read_numbers: bool = False,
    ) -> None:
        inputs = {item.name: item for item in session.get_inputs()}
        outputs = {item.name for item in session.get_outputs()}
        numbers = inputs.pop(FEATURES, None) if may_read_numbers else None
        if inputs.keys() != _INPUTS:
            raise BundleError(
                f"{name} must have the inputs {sorted(_INPUTS)}: got {sorted(inputs)}. Ship the"
                " bundle again."
            )
        if numbers is not None and numbers.shape[1:] != [len(NUMBERS)]:
            raise BundleError(
                f"{name} must read {len(NUMBERS)} numbers of a request as {FEATURES!r}: got the"
                f" shape {numbers.shape}. Ship the bundle again, or upgrade difficulty."
            )
        missing = [output for output in required if output not in outputs]
        if missing:
            raise BundleError(
                f"{name} must have the output {missing[0]!r}: got {sorted(outputs)}. Ship the"
                " bundle again."
            )
        self.session = session
        self.reads_numbers = numbers is not None
        self.outputs = [output for output in (*required, *optional) if output in outputs]
        self._ones = np.ones((1, most_tokens), dtype=np.int64)

    def one(self, ids: Sequence[int]) -> list[float]:
        """Return the outputs for one tokenized request."""
        input_ids = np.array([ids or [0]], dtype=np.int64)
        # A view of ones that were made once: one array less on the way of each decision.
        mask = (
            self._ones[:, : len(ids)]
            if 0 < len(ids) <= self._ones.shape[1]
            else np.full_like(input_ids, bool(ids))
        )
        feeds: Feeds = {"input_ids": input_ids, "attention_mask": mask}
        if self.reads_numbers:
            feeds[FEATURES] = ids.numbers[None] if isinstance(ids, NumberedIds) else _UNKNOWN
        return [value.item() for value in self.session.run(self.outputs, feeds)]

    def many(self, rows: Sequence[Sequence[int]]) -> dict[str, FloatArray]:
        """Return each output for many tokenized requests, arrays of shape (n_requests,) in the
        order of ``rows``.
        """
        results = {name: np.zeros(len(rows), dtype=np.float32) for name in self.outputs}
        for picked in _batches(lengths_of(rows), self._most_rows):
            chosen = pick(rows, picked)
            ids, mask = pad(chosen)
            feeds: Feeds = {"input_ids": ids, "attention_mask": mask}
            if self.reads_numbers:
                feeds[FEATURES] = numbers_of(chosen)
            for name, value in zip(self.outputs, self._run(feeds), strict=True):
                results[name][picked] = value
        return results

    def _run(self, feeds: Feeds) -> list[FloatArray]:
        """Return the outputs for a batch."""
        values: list[FloatArray] = self.session.run(self.outputs, feeds)
        return values

    def _most_rows(self, longest: int) -> int:
        """Return how many requests of at most ``longest`` tokens one call may hold."""
        return most_rows(longest)


def _batches(
    lengths: Sequence[int] | NDArray[np.int64], most: Callable[[int], int] | None = None
) -> Iterator[NDArray[np.intp]]:
    """Yield row numbers in batches of like length, bounded in rows and in memory."""
    lengths = np.asarray(lengths, dtype=np.int64)
    # Of like length, for what is padded is computed too.
    order = np.argsort(lengths, kind="stable")
    end = len(order)
    while end > 0:  # longest first, so the first batch is the largest that memory must hold
        size = (most or most_rows)(int(lengths[order[end - 1]]))
        yield order[max(0, end - size) : end]
        end -= size


def most_rows(longest: int, *, most_pairs: int = _MOST_PAIRS) -> int:
    """Return how many requests of at most ``longest`` tokens one call may hold."""
    return max(1, min(MOST_ROWS, most_pairs // max(1, longest) ** 2))


def load_session(
    graph: bytes, *, threads: int = 1, name: str = "scorer.onnx"
) -> ort.InferenceSession:
    """Return a session for a graph held in memory; ``threads`` is what one call may use, ``name``
    the file that errors speak of.
    """
    if threads < 1:
        raise InvalidValueError("threads", threads, rule="be 1 or more")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone: warnings speak of graphs, not of requests
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, none of them public
        raise BundleError(f"{name} cannot be loaded ({error}). Ship the bundle again.") from error
