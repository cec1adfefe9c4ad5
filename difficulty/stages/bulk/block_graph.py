"""The graph of a scorer for blocks of requests: the same numbers in less time and more memory.

Its packed token table is unpacked once (``unpacked_table.py``), and n-grams are counted by sorting,
not by comparing each with each. In the shipped graph they are counted by a matrix of all pairs:
operators of ONNX have no other way, and of one short request it costs nothing. Of 130 tokens it
takes a third of the time, and since it grows with their square few requests fit into a call. Here
the graph is cut in two around it: the first part makes the n-grams, they are counted between the
two, and the second part takes the counts. The counts are the same numbers, so every bit of a score
stays as it was; only sums that are padded otherwise may end in another last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.runtime.session import MOST_ROWS, FloatArray, Graph, load_session
from difficulty.stages.bulk.unpacked_table import unpack_tables

# Requests of a call hold so many tokens together: with fewer the calls themselves take the time,
# with more what is gathered no longer fits into the processor's cache.
_MOST_TOKENS = 8_192
# With a transformer a token takes so long that calls cost nothing beside it: what is made of this
# many tokens stays in the cache (of 128 tokens each, 4 requests take 140 us a token, 16 take 188).
_FEW_TOKENS = 512
_HEAVY = 1_000_000
"""Numbers that a token is multiplied with; a transformer has more, and nothing else has."""
_TRIED = (1, 2, 7, 30, 200)
"""Tokens of the requests by which both ways are compared."""


class CountedGraph(Graph):
    """A graph whose n-grams are counted outside of it; see :func:`block_graph`."""

    def __init__(
        self,
        whole: Graph,
        first: bytes,
        second: bytes,
        grams: str,
        counts: str,
        *,
        most_tokens: int = _MOST_TOKENS,
    ) -> None:
        self.__dict__.update(whole.__dict__)
        self._most_tokens = most_tokens
        self._first = load_session(first, name="the n-grams of scorer.onnx")
        self._second = load_session(second)
        self._grams, self._counts = grams, counts
        self._asked = {item.name for item in self._first.get_inputs()}
        self._taken = {item.name for item in self._second.get_inputs()}

    def _run(self, feeds: dict[str, NDArray[Any]]) -> list[FloatArray]:
        asked = {name: value for name, value in feeds.items() if name in self._asked}
        (grams,) = self._first.run([self._grams], asked)
        between = {self._grams: grams, self._counts: count_equals(grams)}
        taken = {name: value for name, value in (feeds | between).items() if name in self._taken}
        values: list[FloatArray] = self._second.run(self.outputs, taken)
        return values

    def _most_rows(self, longest: int) -> int:
        return max(1, min(MOST_ROWS, self._most_tokens // max(1, longest)))


class FewTokensGraph(Graph):
    """A graph that is asked about few tokens at once."""

    def __init__(self, whole: Graph) -> None:
        self.__dict__.update(whole.__dict__)

    def _most_rows(self, longest: int) -> int:
        return max(1, min(MOST_ROWS, _FEW_TOKENS // max(1, longest)))


def block_graph(graph: Graph, content: bytes, *, vocabulary: int) -> Graph:
    """Return a graph that gives the very same numbers in less time; the graph itself where there
    is none, or the package ``onnx`` is not installed. Of one request the graph is asked itself.

    Parameters
    ----------
    graph : Graph
    content : bytes
        What its session was made of.
    vocabulary : int
        Number of token ids.
    """
    rng = np.random.default_rng(0)
    try:
        unpacked = unpack_tables(content)
        quicker: Graph | None = _counted(graph, unpacked)
        if quicker is None:
            is_heavy = _is_heavy(content)
            if unpacked is content and not is_heavy:
                return graph
            quicker = FewTokensGraph(graph) if is_heavy else copy(graph)
            if unpacked is not content:
                quicker.session = load_session(unpacked)
        for length in _TRIED:  # each by itself: nothing is padded
            rows = [rng.integers(0, n, length).tolist() for n in (vocabulary, min(3, vocabulary))]
            before, after = graph.many(rows), quicker.many(rows)
            if not all(np.array_equal(after[name], before[name]) for name in before):
                return graph
    except Exception:  # whatever the runtime makes of the parts: the graph stays as it is
        return graph
    return quicker


def count_equals(values: NDArray[Any]) -> NDArray[np.int32]:
    """Return for each number how often it stands in its row.

    Parameters
    ----------
    values : ndarray of integers, of shape (..., n)

    Returns
    -------
    ndarray of shape (..., n)
    """
    width = values.shape[-1]
    if not values.size:
        return np.zeros(values.shape, np.int32)
    rows = values.reshape(-1, width)
    # Number and place in one integer: sorted together, so nothing has to be sorted by another.
    bits = width.bit_length()
    largest = max(abs(int(rows.max())), abs(int(rows.min()))) + 1
    kind = np.int32 if largest << bits < 2**31 else np.int64
    keys = (rows.astype(kind) << bits) | np.arange(width, dtype=kind)
    keys.sort(axis=1)
    places = keys & ((1 << bits) - 1)
    keys >>= bits
    is_first = np.ones(rows.shape, bool)
    np.not_equal(keys[:, 1:], keys[:, :-1], out=is_first[:, 1:])
    runs = np.diff(np.flatnonzero(is_first), append=rows.size).astype(np.int32)
    counts = np.empty(rows.size, np.int32)
    starts = np.arange(0, rows.size, width, dtype=np.int64)
    counts[(places + starts[:, None]).ravel()] = np.repeat(runs, runs)
    return counts.reshape(values.shape)


def _counted(whole: Graph, content: bytes) -> CountedGraph | None:
    """Return a graph cut in two around the counting; ``None`` where it counts in no known way."""
    try:
        import onnx
    except ImportError:
        return None
    model = onnx.load_from_string(content)
    names = _find_counting(model.graph)
    if names is None:
        return None
    most_tokens = _FEW_TOKENS if _has_many_weights(model.graph) else _MOST_TOKENS
    new = [
        onnx.helper.make_tensor_value_info(
            name, onnx.TensorProto.INT32, ["batch", f"{name}.orders", "grams"]
        )
        for name in names
    ]
    # The first part has no table of many megabytes: only what it needs is copied.
    first = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    first.graph.name = model.graph.name
    needed = _needed(model.graph, {names[0]})
    first.graph.output.append(new[0])
    first.graph.node.extend(node for node in model.graph.node if needed & {*node.output})
    first.graph.input.extend(item for item in model.graph.input if item.name in needed)
    first.graph.initializer.extend(item for item in model.graph.initializer if item.name in needed)
    for node in list(model.graph.node):
        if {*names} & {*node.output}:
            model.graph.node.remove(node)
    model.graph.input.extend(new)
    _drop_unused(model.graph)
    return CountedGraph(
        whole, first.SerializeToString(), model.SerializeToString(), *names, most_tokens=most_tokens
    )


def _is_heavy(content: bytes) -> bool:
    try:
        import onnx
    except ImportError:
        return False
    return _has_many_weights(onnx.load_from_string(content).graph)


def _has_many_weights(graph: Any) -> bool:
    """Return whether a token is multiplied with as many numbers as in a transformer."""
    products = [node for node in graph.node if node.op_type in ("MatMul", "MatMulInteger")]
    read = {name for node in products for name in node.input}
    sizes = (math.prod(item.dims) for item in graph.initializer if item.name in read)
    return bool(sum(sizes) > _HEAVY)


def _find_counting(graph: Any) -> tuple[str, str] | None:
    """Return the n-grams that are counted, and their counts, both int32."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = []
    for equal in graph.node:
        if equal.op_type != "Equal":
            continue
        sides = [makers[name] for name in equal.input if name in makers]
        if [side.op_type for side in sides] != ["Unsqueeze", "Unsqueeze"]:
            continue
        grams = {side.input[0] for side in sides}
        counts = _follow(readers, equal.output[0], ("Cast", "ReduceSum", "Cast"))
        if len(grams) == 1 and counts and _is_int32(makers.get(min(grams))):
            found.append((grams.pop(), counts))
    return found[0] if len(found) == 1 else None


def _follow(readers: dict[str, list[Any]], name: str, kinds: Iterable[str]) -> str:
    """Return what comes out of a row of nodes that nothing else reads from; "" for another row."""
    node = None
    for kind in kinds:
        nodes = readers.get(name, [])
        if len(nodes) != 1 or nodes[0].op_type != kind:
            return ""
        (node,) = nodes
        name = node.output[0]
    return name if _is_int32(node) else ""


def _is_int32(node: Any) -> bool:
    return node is not None and any(item.name == "to" and item.i == 6 for item in node.attribute)


def _needed(graph: Any, outputs: set[str]) -> set[str]:
    """Return the names that some tensors follow from, theirs among them."""
    needed = {*outputs}
    for node in reversed(graph.node):
        if needed & {*node.output}:
            needed |= {*node.input}
    return needed


def _drop_unused(graph: Any) -> None:
    """Drop nodes, constants and inputs that no output follows from."""
    needed = _needed(graph, {item.name for item in graph.output})
    for node in [node for node in graph.node if not needed & {*node.output}]:
        graph.node.remove(node)
    for items in (graph.initializer, graph.input):
        for place in reversed(range(len(items))):
            if items[place].name not in needed:
                del items[place]
    del graph.value_info[:]
