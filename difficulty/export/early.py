"""The graph of early exit: the model's n-gram heads and the student's, in one pass over the
tokens.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from difficulty.errors import InvalidValueError
from difficulty.export.builder import GraphBuilder
from difficulty.export.graph import inputs_of
from difficulty.export.ngrams import ngram_columns
from difficulty.model.channels import NgramChannel
from difficulty.model.difficulty import DifficultyModel, FittedChannel
from difficulty.model.early import EarlyModel, OwnPart, own_part
from difficulty.model.heads import LinearHead

_OUTPUT = "early_score"


def build_early_graph(model: DifficultyModel, early: EarlyModel) -> onnx.ModelProto:
    """Return the ONNX form of a student; inputs as those of the model's own graph, output
    ``early_score`` (float32, batch).

    Raises
    ------
    InvalidValueError
        If the model's first channel is not n-grams.
    """
    first = model.channels[0]
    if not isinstance(first, NgramChannel):
        raise InvalidValueError(
            "first channel", first.name, rule="be ngrams, for a student to read"
        )
    graph = GraphBuilder()
    inputs = inputs_of(graph, model)
    beside = model.task_channel_of(first) if inputs.task else None
    branches = [_heads(model.fitted_[first.name], early.blind)]
    owns = [[own_part(model.blind_, 0)]]
    if beside and early.informed and model.informed_:
        branches.append(_heads(model.fitted_[beside.name], early.informed))
        owns.append([own_part(model.informed_, 0), own_part(model.informed_, len(model.channels))])
    heads = [head for found in branches for head in found]
    dim = first.features.dim
    columns = [LinearHead(head.coefficients[:dim], head.intercept) for head in heads]
    found = ngram_columns(graph, inputs, first, model.fitted_[first.name].state, columns, None)
    shifts = np.stack(
        [head.intercept + np.append(0.0, _task_weights(head, dim, model)) for head in heads], axis=1
    )
    if inputs.task:
        logits = graph(
            "Add", found, graph("Gather", graph.constant(shifts.astype(np.float32)), inputs.task)
        )
    else:
        logits = graph("Add", found, graph.constant(shifts[0].astype(np.float32)))
    scores = graph("Sigmoid", _sums(graph, logits, len(branches[0]), owns))
    if len(branches) == 1 or inputs.task is None:
        graph("Squeeze", scores, graph.constant([1]), output=_OUTPUT)
    else:
        blind, informed = (
            graph("Gather", scores, graph.constant(np.int64(column)), axis=1) for column in (0, 1)
        )
        graph(
            "Where",
            graph("Greater", inputs.task, graph.constant(np.int64(0))),
            informed,
            blind,
            output=_OUTPUT,
        )
    return graph.build(
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch"])],
        name="early",
    )


def _heads(fitted: FittedChannel, rest: LinearHead) -> list[LinearHead]:
    """Return the heads of a branch: those of the outcomes, cheap first, then the student's."""
    return [fitted.cheap, *([fitted.frontier] if fitted.frontier else []), rest]


def _task_weights(head: LinearHead, dim: int, model: DifficultyModel) -> NDArray[np.float64]:
    """Return what each task adds to a head's logit: nothing where the head has no columns for
    them.
    """
    n_tasks = len(model.tasks.tasks) if model.tasks else 0
    return head.coefficients[dim:] if len(head.coefficients) > dim else np.zeros(n_tasks)


def _sums(graph: GraphBuilder, logits: str, size: int, owns: list[list[OwnPart]]) -> str:
    """Return the logit of each branch's score, of shape (batch, n_branches).

    Parameters
    ----------
    logits : str
        Of ``size`` heads a branch, the student's last.
    owns : list of list of OwnPart
        For each branch, what the outcomes' heads of the first, second, ... branch add.
    """
    width = size * len(owns)
    weights, bias = (
        np.zeros((2 * width, len(owns))),
        np.zeros(len(owns)),
    )  # probabilities first, then logits
    for branch, parts in enumerate(owns):
        for number, own in enumerate(parts):
            start = number * size
            weights[(0 if own.of_gain else width) + start, branch] = own.weight
            if own.of_gain and size > 2:
                weights[start + 1, branch] = -own.weight
            elif own.of_gain:
                bias[branch] -= 0.5 * own.weight  # without a head the frontier's logit is 0
        weights[width + branch * size + size - 1, branch] = 1.0
    return graph.affine(graph("Concat", graph("Sigmoid", logits), logits, axis=1), weights, bias)
