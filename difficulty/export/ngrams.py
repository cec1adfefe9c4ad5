"""Token n-grams in the scorer's graph: exact sublinear tf-idf of unigrams and hashed bigrams,
through all heads at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from difficulty.export.builder import GraphBuilder
from difficulty.export.encoders import Inputs
from difficulty.features.ngrams import LEFT_MULTIPLIER, RIGHT_MULTIPLIER
from difficulty.model.channels import NgramChannel
from difficulty.model.familiarity import Wording
from difficulty.model.heads import LinearHead

FloatArray = NDArray[np.float64]
_TINY = np.float32(1e-12)
_MOST_TOKENS = 16_384
"""Longest request that a graph can count n-grams of."""
_COUNTS = np.arange(1, _MOST_TOKENS + 1)
_FACTORS = np.vstack(
    [
        [0.0, 0.0],
        np.column_stack([(1 + np.log(_COUNTS)) ** 2, 1 + np.log(_COUNTS)]) / _COUNTS[:, None],
    ]
).astype(np.float32)


def ngram_columns(
    graph: GraphBuilder,
    inputs: Inputs,
    channel: NgramChannel,
    idf: FloatArray,
    heads: Sequence[LinearHead],
    common: Wording | None,
) -> str:
    """Return the logits of the heads without their intercepts and, where ``common`` is given, the
    wording, as columns.

    Every column is a ratio of two sums over n-grams. An n-gram that occurs c times is met c times;
    each time it carries ``(1 + ln c) / c`` of a head's weight and ``(1 + ln c)^2 / c`` of the
    squared length. Both factors are looked up by c. The wording is the mean, over pairs, of how
    much more common than the rarest a pair is.
    """
    table, n_heads = _table(channel, inputs, idf, heads, common), len(heads)
    rows = _rows(graph, inputs, channel)
    narrow = graph.cast(
        rows, to=TensorProto.INT32
    )  # half the bytes to compare, which is most of the work on long requests
    same = graph.cast(graph("Equal", graph.widen(narrow, 3), graph.widen(narrow, 2)))
    count = graph.cast(
        graph("ReduceSum", same, graph.constant([3]), keepdims=0), to=TensorProto.INT32
    )
    factors = graph(
        "Transpose", graph("Gather", graph.constant(_FACTORS), count), perm=[0, 1, 3, 2]
    )
    sums = graph("MatMul", factors, graph("Gather", graph.constant(table), rows))
    width = table.shape[1]
    flat = graph("Reshape", sums, graph.constant([0, 4 * width]))  # of both orders and both factors
    weights = [*range(1, n_heads + 1)] + ([n_heads + 1] if common else [])
    above = graph(
        "MatMul", flat, graph.constant(_adding(width, [(1, column) for column in weights]))
    )
    squares = [(0, 0)] * n_heads + ([(1, n_heads + 2)] if common else [])
    below = graph(
        "Max", graph("MatMul", flat, graph.constant(_adding(width, squares))), graph.constant(_TINY)
    )
    exponents = np.array(
        [0.5] * n_heads + ([1.0] if common else []), dtype=np.float32
    )  # a length is a root, a number of pairs is none
    return graph("Div", above, graph("Pow", below, graph.constant(exponents)))


def _rows(graph: GraphBuilder, inputs: Inputs, channel: NgramChannel) -> str:
    """Return the table's rows of the unigrams and of the bigrams, int64 of shape (batch, 2,
    tokens).

    A bigram stands at the place of its first token; one with padding or the task's id in it has a
    row of nothing.
    """
    vocabulary = channel.features.vocabulary_size
    nothing = vocabulary + inputs.n_blank - 1
    longer = graph(
        "Pad", inputs.rows, graph.constant([0, 0, 0, 0, 0, 1]), graph.constant(np.int64(nothing))
    )
    right = graph(
        "Slice",
        longer,
        graph.constant([1]),
        graph.constant([np.iinfo(np.int64).max]),
        graph.constant([2]),
    )
    mixed = graph(
        "Add",
        graph("Mul", inputs.rows, graph.constant(np.int64(LEFT_MULTIPLIER))),
        graph("Mul", right, graph.constant(np.int64(RIGHT_MULTIPLIER))),
    )
    hashed = graph(
        "Add",
        graph("Mod", mixed, graph.constant(np.int64(channel.features.buckets))),
        graph.constant(np.int64(nothing + 1)),
    )
    whole = graph("Less", graph("Max", inputs.rows, right), graph.constant(np.int64(vocabulary)))
    return graph(
        "Concat",
        inputs.rows,
        graph("Where", whole, hashed, graph.constant(np.int64(nothing))),
        axis=1,
    )


def _table(
    channel: NgramChannel,
    inputs: Inputs,
    idf: FloatArray,
    heads: Sequence[LinearHead],
    common: Wording | None,
) -> NDArray[np.float32]:
    """Return a row for each unigram, each row of nothing and each bucket of bigrams.

    Columns: squared idf, one for each head and, for the wording, how much more common than the
    rarest a pair is, and 1.
    """
    vocabulary = channel.features.vocabulary_size
    table = np.column_stack(
        [idf**2, idf[:, None] * np.stack([head.coefficients for head in heads], axis=1)]
    )
    if common:
        pairs = np.column_stack(
            [common.log_share - common.log_share.min(), np.ones(len(common.log_share))]
        )
        table = np.column_stack([table, np.vstack([np.zeros((vocabulary, 2)), pairs])])
    whole: NDArray[np.float32] = np.vstack(
        [inputs.table(table[:vocabulary]), table[vocabulary:]]
    ).astype(np.float32)
    return whole


def _adding(width: int, picked: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Return the matrix that adds a column of the table, under one of the factors, over both
    orders: (factor, column) for each result.
    """
    matrix = np.zeros((2, 2, width, len(picked)), dtype=np.float32)
    for place, (factor, column) in enumerate(picked):
        matrix[:, factor, column, place] = 1
    return matrix.reshape(4 * width, len(picked))
