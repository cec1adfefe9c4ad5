"""From a fitted :class:`~difficulty.model.difficulty.DifficultyModel` to one ONNX graph.

Inputs ``input_ids`` and ``attention_mask`` (int64, batch x tokens, padding at the end); outputs ``difficulty_score``,
``p_cheap_fails`` and, where trained, ``p_frontier_fails`` and ``familiarity`` (float32, batch). The whole model is inside. Only
operators of opset 17 that every runtime has are used. Heads of one channel are evaluated together: what differs between outcomes are
columns of one table.

Where the request's task is known, ``input_ids`` begins with the task's id, which follows those of the vocabulary (:func:`task_ids`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from difficulty.errors import InvalidValueError
from difficulty.export.builder import GraphBuilder
from difficulty.export.encoders import Inputs, embedding
from difficulty.features.ngrams import LEFT_MULTIPLIER, RIGHT_MULTIPLIER
from difficulty.model.calibration import Calibrator
from difficulty.model.channels import Channel, EmbeddingChannel, NeighbourChannel, NgramChannel, TaskGuessChannel, TunedChannel
from difficulty.model.combination import Combination, OutcomeModel
from difficulty.model.difficulty import DifficultyModel, FittedChannel
from difficulty.model.familiarity import Familiarity, Percentile, Wording
from difficulty.model.heads import LinearHead
from difficulty.model.stacking import GainWeights

__all__ = ["build_graph", "task_ids"]

FloatArray = NDArray[np.float64]
_TINY = np.float32(1e-12)
_MOST_TOKENS = 16_384
"""Longest request that a graph can count n-grams of."""
_COUNTS = np.arange(1, _MOST_TOKENS + 1)
_FACTORS = np.vstack([[0.0, 0.0], np.column_stack([(1 + np.log(_COUNTS)) ** 2, 1 + np.log(_COUNTS)]) / _COUNTS[:, None]]).astype(np.float32)


@dataclass(slots=True)
class _Parts:
    """Names of tensors that the channels give."""

    logits: dict[str, str] = field(default_factory=dict)
    """By channel, of shape (batch, outcomes), cheap first."""
    embedding: str | None = None
    wording: str | None = None
    """Mean log share of the token pairs, above that of the rarest, of shape (batch, 1)."""


def build_graph(model: DifficultyModel) -> onnx.ModelProto:
    """Return the ONNX form of a fitted model."""
    graph = GraphBuilder()
    inputs, parts = _inputs(graph, model), _Parts()
    for channel in model.channels:
        _add_channel(graph, inputs, channel, model, parts)
    values = _branch(graph, model.blind_, [parts.logits[channel.name] for channel in model.channels])
    if model.informed_ and inputs.task:
        informed = _branch(graph, model.informed_, [parts.logits[channel.name] for channel in model.informed_channels])
        known = graph("Greater", graph.widen(inputs.task, 1), graph.constant(np.int64(0)))
        values = graph("Where", known, informed, values)
    columns = {"difficulty_score": _score_column(model.blind_), "p_cheap_fails": 0}
    columns |= {"p_frontier_fails": 1} if model.blind_.frontier else {}
    outputs = {name: graph("Gather", values, graph.constant(np.int64(column)), axis=1) for name, column in columns.items()}
    if model.familiarity_:
        outputs["familiarity"] = _familiarity(graph, model.familiarity_, parts)
    for name, value in outputs.items():
        graph("Identity", value, output=name)
    shape = ["batch", "tokens"]
    return graph.build(
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in outputs],
        name="difficulty",
    )


def task_ids(model: DifficultyModel) -> dict[str, int]:
    """Return the id of each task that the model knows: they follow those of the vocabulary."""
    if model.tasks is None or model.informed_ is None:
        return {}
    start = _vocabulary_size(model)
    return {task: start + place for place, task in enumerate(model.tasks.tasks)}


def _vocabulary_size(model: DifficultyModel) -> int:
    """Return the number of ids of a model with task channels: the first of its channels is n-grams."""
    return next(channel.features.vocabulary_size for channel in model.channels if isinstance(channel, NgramChannel))


def _inputs(graph: GraphBuilder, model: DifficultyModel) -> Inputs:
    """Take the task off the ids: its place becomes a padding id that no channel reads."""
    mask = graph.cast("attention_mask")
    if model.tasks is None or model.informed_ is None:
        return Inputs("input_ids", mask, None)
    vocabulary = graph.constant(np.int64(_vocabulary_size(model)))
    is_text = graph("Less", "input_ids", vocabulary)
    ids = graph("Where", is_text, "input_ids", graph.constant(np.int64(0)))
    first = graph("Gather", "input_ids", graph.constant(np.int64(0)), axis=1)
    place = graph("Add", graph("Sub", first, vocabulary), graph.constant(np.int64(1)))
    return Inputs(ids, graph("Mul", mask, graph.cast(is_text)), graph("Max", place, graph.constant(np.int64(0))))


def _add_channel(graph: GraphBuilder, inputs: Inputs, channel: Channel, model: DifficultyModel, parts: _Parts) -> None:
    """Add a channel with its heads, and those of the task channel that stands beside it."""
    if isinstance(channel, NgramChannel):
        _add_ngrams(graph, inputs, channel, model, parts)
        return
    if not isinstance(channel, EmbeddingChannel | NeighbourChannel | TaskGuessChannel | TunedChannel):
        known = "embedding, neighbours, ngrams, task guess, tuned"
        raise InvalidValueError("channel", channel.name, rule=f"be one that can be exported: {known}")
    fitted = model.fitted_[channel.name]
    parts.embedding = vectors = parts.embedding or embedding(graph, inputs, channel.encoder)
    if isinstance(channel, TaskGuessChannel):
        vectors = graph("Softmax", graph.affine(vectors, fitted.state[:-1], fitted.state[-1]), axis=1)
    elif isinstance(channel, NeighbourChannel):
        near = graph("MatMul", vectors, graph.constant((channel.sharpness * fitted.state.T).astype(np.float32)))
        vectors = graph("Softmax", near, axis=1)
    parts.logits[channel.name] = _dense_logits(graph, vectors, _heads(fitted))
    beside = model.task_channel_of(channel)
    if beside and inputs.task:
        heads = _heads(model.fitted_[beside.name])
        logits = _dense_logits(graph, vectors, _first(heads, beside.dim))
        parts.logits[beside.name] = _shifted(graph, logits, heads, beside.dim, inputs.task)


def _add_ngrams(graph: GraphBuilder, inputs: Inputs, channel: NgramChannel, model: DifficultyModel, parts: _Parts) -> None:
    """Add the n-gram heads and, where tasks are known, those fitted beside a column for each task."""
    idf, heads = model.fitted_[channel.name].state, _heads(model.fitted_[channel.name])
    common = model.familiarity_.wording[0] if model.familiarity_ and model.familiarity_.wording else None
    beside = model.task_channel_of(channel)
    if beside is None or not inputs.task:
        parts.logits[channel.name], parts.wording = _ngram_logits(graph, inputs, channel, idf, heads, common)
        return
    with_task = _heads(model.fitted_[beside.name])
    both, parts.wording = _ngram_logits(graph, inputs, channel, idf, heads + _first(with_task, beside.dim), common)
    parts.logits[channel.name] = graph.cut(both, 0, len(heads))
    parts.logits[beside.name] = _shifted(graph, graph.cut(both, len(heads), None), with_task, beside.dim, inputs.task)


def _shifted(graph: GraphBuilder, logits: str, heads: list[LinearHead], dim: int, task: str) -> str:
    """Add what the heads' task columns say; the first row is for a task that is not known."""
    shifts = np.stack([head.coefficients[dim:] for head in heads], axis=1)
    padded = np.vstack([np.zeros(len(heads)), shifts]).astype(np.float32)
    return graph("Add", logits, graph("Gather", graph.constant(padded), task))


def _heads(fitted: FittedChannel) -> list[LinearHead]:
    return [fitted.cheap, fitted.frontier] if fitted.frontier else [fitted.cheap]


def _first(heads: list[LinearHead], dim: int) -> list[LinearHead]:
    """Return the heads on the first ``dim`` columns alone."""
    return [LinearHead(head.coefficients[:dim], head.intercept) for head in heads]


def _ngram_logits(
    graph: GraphBuilder, inputs: Inputs, channel: NgramChannel, idf: FloatArray, heads: list[LinearHead], common: Wording | None
) -> tuple[str, str | None]:
    """Exact sublinear tf-idf of unigrams and hashed bigrams, through the heads, divided by the vector's length; and the wording.

    Columns of the table: squared idf, one for each head and, for the wording, how much more common than the rarest a pair is, and 1.
    """
    vocabulary, n_heads = channel.features.vocabulary_size, len(heads)
    table = np.column_stack([idf**2, idf[:, None] * np.stack([head.coefficients for head in heads], axis=1)])
    if common:
        pairs = np.column_stack([common.log_share - common.log_share.min(), np.ones(len(common.log_share))])
        table = np.column_stack([table, np.vstack([np.zeros((vocabulary, 2)), pairs])])
    unigrams = _ngram_sums(graph, inputs.ids, inputs.mask, table[:vocabulary])
    left = graph("Mul", graph.cut(inputs.ids, 0, -1), graph.constant(np.int64(LEFT_MULTIPLIER)))
    right = graph("Mul", graph.cut(inputs.ids, 1, None), graph.constant(np.int64(RIGHT_MULTIPLIER)))
    hashed = graph("Mod", graph("Add", left, right), graph.constant(np.int64(channel.features.buckets)))
    both = graph("Mul", graph.cut(inputs.mask, 0, -1), graph.cut(inputs.mask, 1, None)) if inputs.task else None
    bigrams = _ngram_sums(graph, hashed, both or graph.cut(inputs.mask, 1, None), table[vocabulary:])
    sums = graph("Add", unigrams, bigrams)
    length = graph("Sqrt", graph("Max", graph.cut(sums, 0, 1), graph.constant(_TINY)))
    start = table.shape[1] + 1
    raw = graph("Div", graph.cut(sums, start, start + n_heads), length)
    logits = graph("Add", raw, graph.constant(np.array([head.intercept for head in heads], dtype=np.float32)))
    if not common:
        return logits, None
    total = graph("Max", graph.cut(sums, start + n_heads + 1, None), graph.constant(_TINY))
    return logits, graph("Div", graph.cut(sums, start + n_heads, start + n_heads + 1), total)


def _ngram_sums(graph: GraphBuilder, ids: str, mask: str, table: FloatArray) -> str:
    """Return sums over the n-grams of one order, of shape (batch, 2 * columns of ``table``).

    An n-gram that occurs c times is met c times; each time it carries ``(1 + ln c) / c`` of a head's weight and
    ``(1 + ln c)^2 / c`` of the squared length. The first columns are sums with the second factor, the last with the first. Both
    factors are looked up by c; what is masked looks up 0.
    """
    valid = graph.widen(mask, 2)
    same = graph.cast(graph("Equal", graph.widen(ids, 2), graph.widen(ids, 1)))
    count = graph.cast(graph("Mul", graph("MatMul", same, valid), valid), to=TensorProto.INT32)
    factors = graph("Squeeze", graph("Gather", graph.constant(_FACTORS), count), graph.constant([2]))
    rows = graph("Gather", graph.constant(table.astype(np.float32)), ids)
    sums = graph("MatMul", graph("Transpose", factors, perm=[0, 2, 1]), rows)
    return graph("Reshape", sums, graph.constant([0, 2 * table.shape[1]]))


def _dense_logits(graph: GraphBuilder, vectors: str, heads: list[LinearHead]) -> str:
    weights = np.stack([head.coefficients for head in heads], axis=1)
    return graph.affine(vectors, weights, np.array([head.intercept for head in heads]))


def _familiarity(graph: GraphBuilder, familiarity: Familiarity, parts: _Parts) -> str:
    """Return the percentile of the smaller of the measures' percentiles, of shape (batch,)."""
    measures, maps = [], []
    if familiarity.topic and parts.embedding:
        cosines = graph("MatMul", parts.embedding, graph.constant(familiarity.topic[0].centres.T.astype(np.float32)))
        measures.append(graph("ReduceMax", cosines, axes=[1], keepdims=1))
        maps.append(familiarity.topic[1])
    if familiarity.wording and parts.wording:
        wording, percentile = familiarity.wording
        measures.append(parts.wording)
        maps.append(Percentile(percentile.knots - wording.log_share.min(), percentile.values))
    joined = graph("Concat", *measures, axis=1) if len(measures) > 1 else measures[0]
    least = graph("ReduceMin", _pieces(graph, joined, maps), axes=[1], keepdims=1)
    return graph("Squeeze", _pieces(graph, least, [familiarity.joint]), graph.constant([1]))


def _branch(graph: GraphBuilder, combination: Combination, logits: list[str]) -> str:
    """Add a combination with its calibration; return the probabilities and, for target benefit, the score, side by side."""
    joined = graph("Concat", *logits, axis=1) if len(logits) > 1 else logits[0]
    outcomes = [combination.cheap, combination.frontier] if combination.frontier else [combination.cheap]
    probabilities = _pieces(graph, graph("Sigmoid", _stack(graph, outcomes, joined)), [o.calibrator for o in outcomes])
    if combination.gain is None:
        return probabilities
    return graph("Concat", probabilities, _gain_score(graph, combination, combination.gain, graph("Sigmoid", joined)), axis=1)


def _score_column(combination: Combination) -> int:
    """Return the column of the score in what :func:`_branch` returns; for target failure it is P(cheap fails)."""
    if combination.gain is None:
        return 0
    return 2 if combination.frontier else 1


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


def _pieces(graph: GraphBuilder, columns: str, maps: Sequence[Calibrator | Percentile]) -> str:
    """Add a piecewise-linear map that starts at 0 to each column: a piece adds its slope times how far the value reaches into it."""
    if all(isinstance(one, Calibrator) and len(one.knots) == 2 for one in maps):
        return columns
    n_pieces = max(len(one.knots) for one in maps) - 1
    start, width, slope = (np.zeros((len(maps), n_pieces), dtype=np.float32) for _ in range(3))
    for row, one in enumerate(maps):
        pieces = slice(0, len(one.knots) - 1)
        start[row, pieces], width[row, pieces] = one.knots[:-1], np.diff(one.knots)
        slope[row, pieces] = np.diff(one.values) / np.diff(one.knots)
    reach = graph("Sub", graph.widen(columns, 2), graph.constant(start))
    inside = graph("Min", graph("Relu", reach), graph.constant(width))
    return graph("ReduceSum", graph("Mul", inside, graph.constant(slope)), graph.constant([2]), keepdims=0)


def _gain_score(graph: GraphBuilder, combination: Combination, gain: GainWeights, probabilities: str) -> str:
    """Return the score, of shape (batch, 1).

    ``probabilities`` holds P(cheap fails) and, where known, P(frontier fails) of each channel in turn. Without a head for the frontier
    model its probability counts as 1/2, as in the model.
    """
    slope, both = 2.0 * combination.score_calibrator.slope, combination.frontier is not None
    weights = slope * np.kron(gain.weights, [1.0, -1.0] if both else [1.0])
    constant = gain.intercept - (0.0 if both else 0.5 * gain.weights.sum())
    bias = np.array([slope * constant + combination.score_calibrator.intercept])
    return graph("Sigmoid", graph.affine(probabilities, weights[:, None], bias))
