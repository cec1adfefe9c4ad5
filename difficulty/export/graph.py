"""From a fitted :class:`~difficulty.model.difficulty.DifficultyModel` to one ONNX graph.

Inputs ``input_ids`` and ``attention_mask`` (int64, batch x tokens, padding at the end); outputs ``difficulty_score``,
``p_cheap_fails`` and, where trained, ``p_frontier_fails`` (float32, batch). The whole model is inside. Only operators of opset 17
that every runtime has are used. Heads of one channel are evaluated together: what differs between outcomes are columns of one table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from difficulty.errors import InvalidValueError
from difficulty.export.builder import GraphBuilder
from difficulty.features.ngrams import LEFT_MULTIPLIER, RIGHT_MULTIPLIER
from difficulty.model.calibration import Calibrator
from difficulty.model.channels import Channel, NgramChannel, StaticChannel
from difficulty.model.difficulty import DifficultyModel, FittedChannel, OutcomeModel
from difficulty.model.stacking import GainWeights

__all__ = ["build_graph"]

FloatArray = NDArray[np.float64]
_TINY = np.float32(1e-12)
_END = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Names of tensors that every channel reads."""

    ids: str
    mask: str
    """float32, (batch, tokens)."""


def build_graph(model: DifficultyModel) -> onnx.ModelProto:
    """Return the ONNX form of a fitted model."""
    graph = GraphBuilder()
    inputs = _Inputs("input_ids", graph.cast("attention_mask"))
    logits = [_channel_logits(graph, inputs, channel, model.fitted_[channel.name]) for channel in model.channels]
    joined = graph("Concat", *logits, axis=1) if len(logits) > 1 else logits[0]
    outputs = _outputs(graph, model, joined)
    shape = ["batch", "tokens"]
    return graph.build(
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in outputs],
        name="difficulty",
    )


def _channel_logits(graph: GraphBuilder, inputs: _Inputs, channel: Channel, fitted: FittedChannel) -> str:
    """Return logits of shape (batch, outcomes), cheap first."""
    heads = [fitted.cheap, fitted.frontier] if fitted.frontier else [fitted.cheap]
    weights = np.stack([head.coefficients for head in heads], axis=1)
    bias = np.array([head.intercept for head in heads])
    if isinstance(channel, NgramChannel):
        return _ngram_logits(graph, inputs, channel, fitted.state, weights, bias)
    if isinstance(channel, StaticChannel):
        return _static_logits(graph, inputs, channel, weights, bias)
    raise InvalidValueError("channel", channel.name, rule="be one that can be exported: ngrams, static")


def _ngram_logits(
    graph: GraphBuilder, inputs: _Inputs, channel: NgramChannel, idf: FloatArray, weights: FloatArray, bias: FloatArray
) -> str:
    """Exact sublinear tf-idf of unigrams and hashed bigrams, through the heads, divided by the vector's length."""
    vocabulary, n_outcomes = channel.features.vocabulary_size, weights.shape[1]
    table = np.column_stack([idf**2, idf[:, None] * weights])
    unigrams = _ngram_sums(graph, inputs.ids, inputs.mask, table[:vocabulary])
    left = graph("Mul", _cut(graph, inputs.ids, 0, -1), graph.constant(np.int64(LEFT_MULTIPLIER)))
    right = graph("Mul", _cut(graph, inputs.ids, 1, _END), graph.constant(np.int64(RIGHT_MULTIPLIER)))
    hashed = graph("Mod", graph("Add", left, right), graph.constant(np.int64(channel.features.buckets)))
    bigrams = _ngram_sums(graph, hashed, _cut(graph, inputs.mask, 1, _END), table[vocabulary:])
    sums = graph("Add", unigrams, bigrams)
    squared = _cut(graph, sums, 0, 1)
    length = graph("Sqrt", graph("Max", squared, graph.constant(_TINY)))
    raw = _cut(graph, sums, n_outcomes + 2, _END)
    return graph("Add", graph("Div", raw, length), graph.constant(bias.astype(np.float32)))


def _ngram_sums(graph: GraphBuilder, ids: str, mask: str, table: FloatArray) -> str:
    """Return sums over the n-grams of one order, of shape (batch, 2 * columns of ``table``).

    An n-gram that occurs c times is met c times; each time it carries ``(1 + ln c) / c`` of a head's weight and
    ``(1 + ln c)^2 / c`` of the squared length. The first columns are sums with the second factor, the last with the first.
    """
    once = graph.constant(np.float32(1))
    same = graph.cast(graph("Equal", _widen(graph, ids, 2), _widen(graph, ids, 1)))
    valid = _widen(graph, mask, 2)
    count = graph("Max", graph("MatMul", same, valid), once)
    tf = graph("Add", graph("Log", count), once)
    share = graph("Div", graph("Mul", valid, tf), count)
    factors = graph("Transpose", graph("Concat", graph("Mul", share, tf), share, axis=2), perm=[0, 2, 1])
    rows = graph("Gather", graph.constant(table.astype(np.float32)), ids)
    return graph("Reshape", graph("MatMul", factors, rows), graph.constant([0, 2 * table.shape[1]]))


def _static_logits(graph: GraphBuilder, inputs: _Inputs, channel: StaticChannel, weights: FloatArray, bias: FloatArray) -> str:
    """Sum of token vectors (the mean, once brought to unit length) through the heads."""
    encoder = channel.encoder
    scale = graph("Mul", inputs.mask, graph("Gather", graph.constant(encoder.scale), inputs.ids))
    vectors = graph.cast(graph("Gather", graph.constant(encoder.table), inputs.ids))
    total = graph("Squeeze", graph("MatMul", _widen(graph, scale, 1), vectors), graph.constant([1]))
    length = graph("Max", graph("ReduceL2", total, axes=[1], keepdims=1), graph.constant(_TINY))
    return graph.affine(graph("Div", total, length), weights, bias)


def _outputs(graph: GraphBuilder, model: DifficultyModel, logits: str) -> list[str]:
    """Add combination and calibration, and return the names of the outputs."""
    outcomes = [model.cheap_, model.frontier_] if model.frontier_ else [model.cheap_]
    names = ["p_cheap_fails", "p_frontier_fails"][: len(outcomes)]
    probabilities = _pieces(graph, graph("Sigmoid", _stack(graph, outcomes, logits)), [o.calibrator for o in outcomes])
    for column, name in enumerate(names):
        graph("Squeeze", _cut(graph, probabilities, column, column + 1), graph.constant([1]), output=name)
    if model.gain_ is None or model.score_calibrator_ is None:
        graph("Identity", "p_cheap_fails", output="difficulty_score")
    else:
        _gain_score(graph, model.gain_, model.score_calibrator_, graph("Sigmoid", logits), both=model.frontier_ is not None)
    return ["difficulty_score", *names]


def _stack(graph: GraphBuilder, outcomes: list[OutcomeModel], logits: str) -> str:
    """Return ``slope * (weights . logits + intercept) + intercept`` of each outcome; logits are channel by channel."""
    width = len(outcomes)
    weights = np.zeros((len(outcomes[0].stack.coefficients) * width, width))
    bias = np.zeros(width)
    for column, outcome in enumerate(outcomes):
        slope = outcome.calibrator.slope
        weights[column::width, column] = slope * outcome.stack.coefficients
        bias[column] = slope * outcome.stack.intercept + outcome.calibrator.intercept
    return graph.affine(logits, weights, bias)


def _pieces(graph: GraphBuilder, probabilities: str, calibrators: list[Calibrator]) -> str:
    """Add the piecewise-linear step: each piece adds its slope times how far the probability reaches into it."""
    if all(len(c.knots) == 2 for c in calibrators):
        return probabilities
    n_pieces = max(len(c.knots) for c in calibrators) - 1
    start, width, slope = (np.zeros((len(calibrators), n_pieces), dtype=np.float32) for _ in range(3))
    for row, c in enumerate(calibrators):
        pieces = slice(0, len(c.knots) - 1)
        start[row, pieces], width[row, pieces] = c.knots[:-1], np.diff(c.knots)
        slope[row, pieces] = np.diff(c.values) / np.diff(c.knots)
    reach = graph("Sub", _widen(graph, probabilities, 2), graph.constant(start))
    inside = graph("Min", graph("Relu", reach), graph.constant(width))
    return graph("ReduceSum", graph("Mul", inside, graph.constant(slope)), graph.constant([2]), keepdims=0)


def _gain_score(graph: GraphBuilder, gain: GainWeights, calibrator: Calibrator, probabilities: str, *, both: bool) -> None:
    """Add ``difficulty_score``; ``probabilities`` holds P(cheap fails) and, with ``both``, P(frontier fails) of each channel in turn.

    Without a head for the frontier model its probability counts as 1/2, as in the model.
    """
    weights = 2.0 * calibrator.slope * np.kron(gain.weights, [1.0, -1.0] if both else [1.0])
    constant = gain.intercept - (0.0 if both else 0.5 * gain.weights.sum())
    bias = np.array([2.0 * calibrator.slope * constant + calibrator.intercept])
    score = graph("Sigmoid", graph.affine(probabilities, weights[:, None], bias))
    graph("Squeeze", score, graph.constant([1]), output="difficulty_score")


def _cut(graph: GraphBuilder, value: str, start: int, end: int) -> str:
    """Slice columns ``start`` to ``end`` of axis 1."""
    return graph("Slice", value, graph.constant([start]), graph.constant([end]), graph.constant([1]))


def _widen(graph: GraphBuilder, value: str, axis: int) -> str:
    return graph("Unsqueeze", value, graph.constant([axis]))
