"""From a fitted :class:`~difficulty.model.difficulty.DifficultyModel` to one ONNX graph.

Inputs ``input_ids`` and ``attention_mask`` (int64, batch x tokens, padding at the end); outputs
``difficulty_score``, ``p_cheap_fails`` and, where trained, ``p_frontier_fails`` and ``familiarity``
(float32, batch). The whole model is inside. Only operators of opset 17 that every runtime has are
used.

Where the request's task is known, ``input_ids`` begins with the task's id, which follows those of
the vocabulary (:func:`task_ids`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from difficulty.channels import Channel
from difficulty.channels.heads import LinearHead
from difficulty.encoders.base import Encoder
from difficulty.errors import InvalidValueError
from difficulty.export.readout import Affine, Branch, HeadEvidence, read_familiarity, read_outcomes
from difficulty.model.combination import Combination
from difficulty.model.difficulty import DifficultyModel
from difficulty.tensors import GraphBuilder, RequestTensors

# names of parts that are no channel's
_TASK, _TOPIC = "(task)", "(topic)"


def build_graph(model: DifficultyModel, *, encoder: Encoder | None = None) -> onnx.ModelProto:
    """Return the ONNX form of a fitted model; ``encoder`` takes the place of the model's own, which
    reads the same ids.
    """
    graph, evidence = GraphBuilder(), HeadEvidence()
    requests = requests_of(graph, model, encoder=encoder)
    if requests.task:
        n_tasks = requests.n_blank - 1
        # the row of a request without a known task is all zero
        marks = graph.constant(np.eye(n_tasks + 1, dtype=np.float32)[:, 1:])
        evidence.add(_TASK, marks.take(requests.task), n_tasks)
    logits, wording = _add_channels(model, requests, evidence)
    topic = _add_topic(model, requests, evidence)
    branches = [_branch(model.without_task_, logits, model.channels)]
    if model.with_task_ and requests.task:
        branches.append(_branch(model.with_task_, logits, model.all_channels))
    outputs = read_outcomes(evidence, branches, requests.task, n_tasks=requests.n_blank - 1)
    if model.familiarity_:
        outputs["familiarity"] = read_familiarity(
            model.familiarity_, evidence, topic=topic, wording=wording
        )
    for name, value in outputs.items():
        # the copy costs nothing, and the graph of a model stays what it was, to the byte
        graph.output(graph("Identity", value), name, ["batch"])
    return graph.build("difficulty")


def task_ids(model: DifficultyModel) -> dict[str, int]:
    """Return the id of each task that the model knows: they follow those of the vocabulary."""
    if model.tasks is None or model.with_task_ is None:
        return {}
    start = _vocabulary_size(model)
    return {task: start + place for place, task in enumerate(model.tasks.tasks)}


def requests_of(
    graph: GraphBuilder, model: DifficultyModel, *, encoder: Encoder | None = None
) -> RequestTensors:
    """Return the inputs of a model's graph, as its channels read them."""
    vocabulary, n_tasks = _vocabulary_size(model), len(task_ids(model))
    return RequestTensors(graph, vocabulary=vocabulary, n_tasks=n_tasks, encoder=encoder)


def _vocabulary_size(model: DifficultyModel) -> int:
    """Return the number of token ids."""
    sizes = [channel.vocabulary_size for channel in model.channels]
    size = next((size for size in sizes if size is not None), None)
    if size is None:
        names = [channel.name for channel in model.channels]
        raise InvalidValueError("channels", names, rule="be one or more that know the vocabulary")
    return size


def _add_channels(
    model: DifficultyModel, requests: RequestTensors, evidence: HeadEvidence
) -> tuple[dict[str, Affine], int | None]:
    """Add what the heads on every channel read; return their logits by channel, and the column of
    the wording.
    """
    logits: dict[str, Affine] = {}
    wording = None
    common = model.familiarity_.wording if model.familiarity_ else None
    for channel in model.channels:
        beside = model.task_channel_of(channel) if requests.task else None
        heads, state = model.fitted_[channel.name].heads, model.fitted_[channel.name].state
        with_task = model.fitted_[beside.name].heads if beside else []
        # heads beside the task read the same columns, and a part for the task that is the last
        start = -len(beside.columns.tasks) if beside else None
        read = heads + [LinearHead(head.coefficients[:start], head.intercept) for head in with_task]
        log_share = common[0].log_share if common else None
        columns, weights, bias, place = channel.export_heads(requests, state, read, log_share)
        evidence.add(channel.name, columns, len(weights))
        wording = wording if place is None else evidence.column(channel.name, place)
        n = len(heads)
        logits[channel.name] = Affine({channel.name: weights[:, :n]}, bias[:n])
        if beside:
            shifts = np.stack([head.coefficients[start:] for head in with_task], axis=1)
            parts = {channel.name: weights[:, n:], _TASK: shifts}
            logits[beside.name] = Affine(parts, bias[n:])
    return logits, wording


def _add_topic(
    model: DifficultyModel, requests: RequestTensors, evidence: HeadEvidence
) -> int | None:
    """Add the cosine with the nearest centre; return its column."""
    encoder = next((channel.encoder for channel in model.channels if channel.encoder), None)
    if encoder is None or not model.familiarity_ or not model.familiarity_.topic:
        return None
    centres = model.familiarity_.topic[0].centres
    cosines = requests.embed(encoder) @ centres.T.astype(np.float32)
    evidence.add(_TOPIC, cosines.max(1), 1)
    return evidence.column(_TOPIC)


def _branch(
    combination: Combination, logits: dict[str, Affine], channels: Sequence[Channel]
) -> Branch:
    return Branch(combination, Affine.side_by_side([logits[channel.name] for channel in channels]))
