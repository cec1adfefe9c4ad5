"""From a fitted :class:`~difficulty.model.difficulty.DifficultyModel` to one ONNX graph.

Inputs ``input_ids`` and ``attention_mask`` (int64, batch x tokens, padding at the end); outputs
``difficulty_score``, ``p_cheap_fails`` and, where trained, ``p_frontier_fails`` and ``familiarity``
(float32, batch). The whole model is inside. Only operators of opset 17 that every runtime has are
used.

A request is short, so what a graph costs is mostly its number of nodes. Whatever is linear is
multiplied out beforehand, and requests with and without a task take the same path up to the columns
that are read at its end.

Where the request's task is known, ``input_ids`` begins with the task's id, which follows those of
the vocabulary (:func:`task_ids`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from difficulty.encoders.transformer import TransformerEncoder
from difficulty.errors import InvalidValueError
from difficulty.export.builder import GraphBuilder
from difficulty.export.encoders import Inputs, embedding
from difficulty.export.evidence import Affine, Evidence, pieces
from difficulty.export.ngrams import ngram_columns
from difficulty.export.outcomes import Branch, outcomes
from difficulty.model.channels import (
    Channel,
    EmbeddingChannel,
    LengthChannel,
    NeighbourChannel,
    NgramChannel,
    TaskGuessChannel,
    TunedChannel,
)
from difficulty.model.difficulty import DifficultyModel, FittedChannel
from difficulty.model.familiarity import Familiarity, Percentile
from difficulty.model.heads import LinearHead

FloatArray = NDArray[np.float64]
_TASK, _TOPIC = "task", "topic"
_LONGEST = 16_384


@dataclass(slots=True)
class _Parts:
    """What the channels give."""

    encoder: TransformerEncoder | None = None
    """In place of the channels' own."""
    evidence: Evidence = field(default_factory=Evidence)
    logits: dict[str, Affine] = field(default_factory=dict)
    """By channel, cheap first."""
    embedding: str | None = None
    wording: int | None = None
    """The evidence's column with the mean log share of the token pairs, above that of the
    rarest.
    """


def build_graph(
    model: DifficultyModel, *, encoder: TransformerEncoder | None = None
) -> onnx.ModelProto:
    """Return the ONNX form of a fitted model; ``encoder`` takes the place of the model's own, which
    reads the same ids.
    """
    graph = GraphBuilder()
    inputs, parts = inputs_of(graph, model), _Parts(encoder=encoder)
    if inputs.task and model.tasks is not None:
        known = np.eye(len(model.tasks.tasks) + 1, dtype=np.float32)[:, 1:]
        parts.evidence.add(
            _TASK, graph("Gather", graph.constant(known), inputs.task), known.shape[1]
        )
    for channel in model.channels:
        _add_channel(graph, inputs, channel, model, parts)
    if model.familiarity_ and model.familiarity_.topic and parts.embedding:
        cosines = graph(
            "MatMul",
            parts.embedding,
            graph.constant(model.familiarity_.topic[0].centres.T.astype(np.float32)),
        )
        parts.evidence.add(_TOPIC, graph("ReduceMax", cosines, axes=[1], keepdims=1), 1)
    branches = [Branch(model.blind_, [parts.logits[channel.name] for channel in model.channels])]
    if model.informed_ and inputs.task:
        branches.append(
            Branch(model.informed_, [parts.logits[channel.name] for channel in model.all_channels])
        )
    outputs = outcomes(graph, parts.evidence, branches, inputs.task, n_tasks=len(task_ids(model)))
    if model.familiarity_:
        outputs["familiarity"] = _familiarity(graph, model.familiarity_, parts)
    for name, value in outputs.items():
        graph("Identity", value, output=name)
    shape = ["batch", "tokens"]
    return graph.build(
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, shape)
            for name in ("input_ids", "attention_mask")
        ],
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
    """Return the number of token ids."""
    for channel in model.channels:
        if isinstance(channel, NgramChannel):
            return channel.features.vocabulary_size
        if isinstance(channel, LengthChannel):
            continue
        if isinstance(
            channel, EmbeddingChannel | NeighbourChannel | TaskGuessChannel | TunedChannel
        ):
            return channel.encoder.vocabulary_size
        raise _cannot(channel)
    raise InvalidValueError("channels", [], rule="be one or more")


def inputs_of(graph: GraphBuilder, model: DifficultyModel) -> Inputs:
    """Take padding and the task off the ids: to a table both are rows past the vocabulary, to an
    encoder masked.
    """
    vocabulary, tasks = _vocabulary_size(model), task_ids(model)
    nothing = vocabulary + len(tasks)
    rows = graph(
        "Where",
        graph.cast("attention_mask", to=TensorProto.BOOL),
        "input_ids",
        graph.constant(np.int64(nothing)),
    )
    wide, n_blank = graph.widen(rows, 1), len(tasks) + 1
    if not tasks:
        return Inputs("input_ids", graph.cast("attention_mask"), None, wide, n_blank)
    is_text = graph("Less", rows, graph.constant(np.int64(vocabulary)))
    ids = graph("Where", is_text, rows, graph.constant(np.int64(0)))
    first = graph("Gather", "input_ids", graph.constant(np.int64(0)), axis=1)
    place = graph(
        "Max",
        graph("Sub", first, graph.constant(np.int64(vocabulary - 1))),
        graph.constant(np.int64(0)),
    )
    return Inputs(ids, graph.cast(is_text), place, wide, n_blank)


def _add_channel(
    graph: GraphBuilder, inputs: Inputs, channel: Channel, model: DifficultyModel, parts: _Parts
) -> None:
    """Add what a channel's heads read, and their logits with those of the task channel that stands
    beside it.
    """
    if isinstance(channel, NgramChannel):
        _add_ngrams(graph, inputs, channel, model, parts)
        return
    if isinstance(channel, LengthChannel):
        _add_length(graph, inputs, channel, model, parts)
        return
    if not isinstance(
        channel, EmbeddingChannel | NeighbourChannel | TaskGuessChannel | TunedChannel
    ):
        raise _cannot(channel)
    fitted = model.fitted_[channel.name]
    parts.embedding = vectors = parts.embedding or embedding(
        graph, inputs, parts.encoder or channel.encoder
    )
    if isinstance(channel, TaskGuessChannel):
        vectors = graph(
            "Softmax", graph.affine(vectors, fitted.state[:-1], fitted.state[-1]), axis=1
        )
    elif isinstance(channel, NeighbourChannel):
        near = graph(
            "MatMul",
            vectors,
            graph.constant((channel.sharpness * fitted.state.T).astype(np.float32)),
        )
        vectors = graph("Softmax", near, axis=1)
    heads = _heads(fitted)
    parts.evidence.add(channel.name, vectors, len(heads[0].coefficients))
    parts.logits[channel.name] = _logits(channel.name, heads)
    beside = model.task_channel_of(channel)
    if beside and inputs.task:
        parts.logits[beside.name] = _logits(
            channel.name, _heads(model.fitted_[beside.name]), task_from=beside.dim
        )


def _add_ngrams(
    graph: GraphBuilder,
    inputs: Inputs,
    channel: NgramChannel,
    model: DifficultyModel,
    parts: _Parts,
) -> None:
    """Add the n-gram heads and, where tasks are known, those fitted beside a column for each task:
    their logits are the evidence.
    """
    idf, heads = model.fitted_[channel.name].state, _heads(model.fitted_[channel.name])
    common = (
        model.familiarity_.wording[0] if model.familiarity_ and model.familiarity_.wording else None
    )
    beside = model.task_channel_of(channel) if inputs.task else None
    with_task = _heads(model.fitted_[beside.name]) if beside else []
    columns = (
        heads + [LinearHead(head.coefficients[: beside.dim], head.intercept) for head in with_task]
        if beside
        else heads
    )
    found = ngram_columns(graph, inputs, channel, idf, columns, common)
    width = len(columns) + (common is not None)
    parts.evidence.add(channel.name, found, width)
    parts.wording = parts.evidence.column(channel.name, len(columns)) if common else None
    parts.logits[channel.name] = Affine(
        {channel.name: np.eye(width)[:, : len(heads)]}, _intercepts(heads)
    )
    if beside:
        own = np.eye(width)[:, len(heads) : len(columns)]
        shifts = _weights(with_task)[beside.dim :]
        parts.logits[beside.name] = Affine(
            {channel.name: own, _TASK: shifts}, _intercepts(with_task)
        )


def _add_length(
    graph: GraphBuilder,
    inputs: Inputs,
    channel: LengthChannel,
    model: DifficultyModel,
    parts: _Parts,
) -> None:
    """Add the heads on the length: what they read is looked up by the number of tokens, those past
    the table counting as its last.
    """
    fitted = model.fitted_[channel.name]
    table = channel.transform(
        np.arange(_LONGEST + 1, dtype=np.float64)[:, None], fitted.state
    ).astype(np.float32)
    count = graph("ReduceSum", inputs.mask, graph.constant([1]), keepdims=0)
    place = graph.cast(
        graph("Min", count, graph.constant(np.float32(_LONGEST))), to=TensorProto.INT64
    )
    parts.evidence.add(channel.name, graph("Gather", graph.constant(table), place), channel.dim)
    parts.logits[channel.name] = _logits(channel.name, _heads(fitted))


def _logits(part: str, heads: list[LinearHead], *, task_from: int | None = None) -> Affine:
    """Return the logits of heads that read a part and, from column ``task_from`` on, the task."""
    weights = _weights(heads)
    if task_from is None:
        return Affine({part: weights}, _intercepts(heads))
    return Affine({part: weights[:task_from], _TASK: weights[task_from:]}, _intercepts(heads))


def _heads(fitted: FittedChannel) -> list[LinearHead]:
    return [fitted.cheap, fitted.frontier] if fitted.frontier else [fitted.cheap]


def _weights(heads: list[LinearHead]) -> FloatArray:
    return np.stack([head.coefficients for head in heads], axis=1)


def _intercepts(heads: list[LinearHead]) -> FloatArray:
    return np.array([head.intercept for head in heads])


def _familiarity(graph: GraphBuilder, familiarity: Familiarity, parts: _Parts) -> str:
    """Return the percentile of the smaller of the measures' percentiles, of shape (batch,)."""
    maps = []
    if familiarity.topic and _TOPIC in parts.evidence:
        maps.append((parts.evidence.column(_TOPIC), familiarity.topic[1]))
    if familiarity.wording and parts.wording is not None:
        wording, percentile = familiarity.wording
        maps.append(
            (
                parts.wording,
                Percentile(percentile.knots - wording.log_share.min(), percentile.values),
            )
        )
    shares = pieces(graph, parts.evidence.joined(graph), parts.evidence.width, maps)
    least = graph("ReduceMin", shares, axes=[1], keepdims=1) if len(maps) > 1 else shares
    return graph("Squeeze", pieces(graph, least, 1, [(0, familiarity.joint)]), graph.constant([1]))


def _cannot(channel: Channel) -> InvalidValueError:
    known = "embedding, length, neighbours, ngrams, task guess, tuned"
    return InvalidValueError("channel", channel.name, rule=f"be one that can be exported: {known}")
