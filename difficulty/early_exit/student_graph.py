"""The graph of early exit: the model's n-gram heads and the student's, in one pass over the
tokens.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from difficulty.channels.heads import LinearHead
from difficulty.early_exit.student import EarlyModel, OwnPart, light_channel, own_part
from difficulty.export.graph import requests_of
from difficulty.model.difficulty import DifficultyModel
from difficulty.tensors import GraphBuilder, Tensor


def build_early_graph(model: DifficultyModel, early: EarlyModel) -> onnx.ModelProto:
    """Return the ONNX form of a student; inputs as those of the model's own graph, output
    ``early_score`` (float32, batch).

    Raises
    ------
    InvalidValueError
        If the model's first channel is not n-grams.
    """
    first, graph = light_channel(model), GraphBuilder()
    requests = requests_of(graph, model)
    beside = model.task_channel_of(first) if requests.task else None
    # of a branch the heads of the outcomes, cheap first, then the student's
    branches = [[*model.fitted_[first.name].heads, early.without_task]]
    owns = [[own_part(model.without_task_, 0)]]
    if beside and early.with_task and model.with_task_:
        branches.append([*model.fitted_[beside.name].heads, early.with_task])
        columns = (0, len(model.channels))
        owns.append([own_part(model.with_task_, column) for column in columns])
    heads = [head for branch in branches for head in branch]
    dim = len(early.without_task.coefficients)
    read = [LinearHead(head.coefficients[:dim], head.intercept) for head in heads]
    logits = first.export_heads(requests, model.fitted_[first.name].state, read).columns
    shifts = np.stack(
        [head.intercept + np.append(0.0, _task_weights(head, dim, model)) for head in heads], axis=1
    ).astype(np.float32)
    shift = graph.constant(shifts).take(requests.task) if requests.task else shifts[0]
    scores = _sums(logits + shift, len(branches[0]), owns).sigmoid()
    if requests.task and len(branches) > 1:
        without_task, with_task = (scores.take(column, axis=1) for column in (0, 1))
        score = (requests.task > 0).where(with_task, without_task)
    else:
        score = scores.squeeze(1)
    graph.output(score, "early_score", ["batch"])
    return graph.build("early")


def _task_weights(head: LinearHead, dim: int, model: DifficultyModel) -> NDArray[np.float64]:
    """Return what each task adds to a head's logit: nothing where the head has no columns for
    them.
    """
    n_tasks = len(model.tasks.tasks) if model.tasks else 0
    return head.coefficients[dim:] if len(head.coefficients) > dim else np.zeros(n_tasks)


def _sums(logits: Tensor, size: int, owns: list[list[OwnPart]]) -> Tensor:
    """Return the logit of each branch's score, of shape (batch, n_branches).

    Parameters
    ----------
    logits : Tensor
        Of ``size`` heads a branch, the student's last.
    owns : list of list of OwnPart
        For each branch, what the outcomes' heads of the first, second, ... branch add.
    """
    width = size * len(owns)
    # weights of the probabilities, then of the logits
    weights, bias = np.zeros((2 * width, len(owns))), np.zeros(len(owns))
    for branch, parts in enumerate(owns):
        for number, own in enumerate(parts):
            start = number * size
            weights[(0 if own.of_gain else width) + start, branch] = own.weight
            if own.of_gain and size > 2:
                weights[start + 1, branch] = -own.weight
            elif own.of_gain:
                bias[branch] -= 0.5 * own.weight  # without a head the frontier's logit is 0
        weights[width + branch * size + size - 1, branch] = 1.0
    return logits.graph.concat([logits.sigmoid(), logits], axis=1).affine(weights, bias)
