"""From a fitted :class:`~difficulty.model.difficulty.DifficultyModel` to one ONNX graph.

Inputs ``input_ids`` and ``attention_mask`` (int64, batch x tokens, padding at the end); outputs
``difficulty_score``, ``p_cheap_fails`` and, where trained, ``p_frontier_fails`` and ``familiarity``
(float32, batch). The whole model is inside. Only operators of opset 17 that every runtime has are
used, and of ``ai.onnx.ml`` the one for trees.

Where the request's task is known, ``input_ids`` begins with the task's id, which follows those of
the vocabulary (:func:`task_ids`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from difficulty.channels import Channel
from difficulty.channels.heads import LinearHead
from difficulty.encoders.base import Encoder
from difficulty.errors import InvalidValueError
from difficulty.model.calibration import Calibrator
from difficulty.model.combination import Combination, OutcomeStack
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.familiarity import Familiarity, Percentile
from difficulty.tensors import GraphBuilder, RequestTensors, Tensor

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """Affine functions of the evidence.

    Attributes
    ----------
    weights : mapping of str to ndarray of shape (columns of the part, n_functions)
        By part.
    bias : ndarray of shape (n_functions,)
    """

    weights: Mapping[str, FloatArray]
    bias: FloatArray

    @classmethod
    def side_by_side(cls, functions: Sequence[Affine]) -> Affine:
        """Return the functions of all, in order."""
        sizes = {part: len(rows) for each in functions for part, rows in each.weights.items()}
        weights = {
            part: np.hstack(
                [each.weights.get(part, np.zeros((size, len(each.bias)))) for each in functions]
            )
            for part, size in sizes.items()
        }
        return cls(weights, np.concatenate([each.bias for each in functions]))

    def then(self, weights: FloatArray, bias: FloatArray) -> Affine:
        """Return ``values @ weights + bias`` of these functions' values."""
        parts = {part: rows @ weights for part, rows in self.weights.items()}
        return Affine(parts, self.bias @ weights + bias)


class HeadEvidence:
    """Tensors of shape (batch, columns), by name."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._starts: dict[str, int] = {}
        self._joined: Tensor | None = None
        self.width = 0

    def add(self, part: str, tensor: Tensor, width: int) -> None:
        """Put a tensor beside those that are there."""
        self._tensors[part], self._starts[part] = tensor, self.width
        self.width += width

    def column(self, part: str, column: int = 0) -> int:
        """Return the place of a part's column in the whole."""
        return self._starts[part] + column

    def joined(self) -> Tensor:
        """Return all columns, of shape (batch, width); nothing may be added afterwards."""
        if self._joined is None:
            tensors = list(self._tensors.values())
            self._joined = tensors[0].graph.concat(tensors, axis=1)
        return self._joined

    def affine(self, functions: Affine) -> Tensor:
        """Evaluate affine functions, of shape (batch, n_functions)."""
        whole = np.zeros((self.width, len(functions.bias)))
        for part, weights in functions.weights.items():
            start = self._starts[part]
            whole[start : start + len(weights)] = weights
        return self.joined().affine(whole, functions.bias)


@dataclass(frozen=True, slots=True)
class Branch:
    """A combination and the logits that it reads, channel by channel.

    Attributes
    ----------
    combination : Combination
    logits : Affine
        Of the channels that have heads of outcomes.
    places : sequence of int
        Where those channels stand among all that the combination reads.
    says : sequence of (int, Affine)
        Where a channel stands that says the gain itself, and what it says.
    """

    combination: Combination
    logits: Affine
    places: Sequence[int]
    says: Sequence[tuple[int, Affine]] = ()

    @property
    def models(self) -> list[OutcomeStack]:
        """The outcomes, cheap first."""
        cheap, frontier = self.combination.cheap, self.combination.frontier
        return [cheap, frontier] if frontier else [cheap]

    def said_gain(self) -> Affine:
        """Return what channels that say the gain itself add to the logit of the score."""
        combination = self.combination
        if combination.gain is None or not self.says:
            return Affine({}, np.zeros(1))
        slope = 2.0 * combination.score_calibrator.slope
        weights = np.array([[slope * combination.gain.weights[place]] for place, _ in self.says])
        return Affine.side_by_side([one for _, one in self.says]).then(weights, np.zeros(1))

    def stack(self) -> Affine:
        """Return ``slope * (weights . logits + intercept) + intercept`` of each outcome."""
        models, width = self.models, len(self.models)
        weights, bias = np.zeros((len(self.logits.bias), width)), np.zeros(width)
        for column, outcome in enumerate(models):
            slope = outcome.calibrator.slope
            # logits stand channel by channel, in each as the outcomes stand here
            weights[column::width, column] = slope * outcome.stack.coefficients[self.places]
            bias[column] = slope * outcome.stack.intercept + outcome.calibrator.intercept
        return self.logits.then(weights, bias)


def read_outcomes(
    evidence: HeadEvidence, branches: Sequence[Branch], task: Tensor | None, *, n_tasks: int
) -> dict[str, Tensor]:
    """Return the outputs by name, each of shape (batch,).

    Parameters
    ----------
    evidence : HeadEvidence
    branches : sequence of one or two Branch
        For requests without and with a known task.
    task : Tensor or None
        Of shape (batch,), 0 to ``n_tasks``: above 0 the second branch is read, which knows as many
        outcomes as the first.
    """
    # one sigmoid gives the outcomes and, where a gain is read from them, every channel's own
    gains = [branch for branch in branches if branch.combination.gain is not None]
    first = Affine.side_by_side(
        [*(branch.stack() for branch in branches), *(branch.logits for branch in gains)]
    )
    values, width = evidence.affine(first).sigmoid(), len(first.bias)
    n_outcomes = len(branches[0].models)
    columns = np.arange(len(branches) * n_outcomes).reshape(len(branches), n_outcomes)
    direct = None
    if any(branch.says for branch in gains):
        direct = evidence.affine(Affine.side_by_side([branch.said_gain() for branch in gains]))
    joined, total = [values], width
    calibrators = [outcome.calibrator for branch in branches for outcome in branch.models]
    # a calibrator with two knots is the sigmoid alone
    if any(len(calibrator.knots) > 2 for calibrator in calibrators):
        joined.append(pieces(values, width, list(enumerate(calibrators))))
        columns = columns + width
        total += len(calibrators)
    if gains:
        joined.append(_gain_scores(values, width, len(calibrators), gains, direct))
    scores = total + np.arange(len(branches)) if gains else columns[:, 0]
    picked = np.column_stack([scores, columns]).astype(np.int64)
    every = values.graph.concat(joined, axis=1)
    names = ("difficulty_score", "p_cheap_fails", "p_frontier_fails")[: n_outcomes + 1]
    places = picked[0].tolist()
    if len(branches) > 1 and task is not None:
        # Row 0 is no known task; a row for each task reads the second branch.
        by_task = values.graph.constant(picked[[0] + [1] * n_tasks])
        every, places = every.take_along(by_task.take(task), axis=1), list(range(len(names)))
    return {name: every.take(place, axis=1) for name, place in zip(names, places, strict=True)}


def read_familiarity(
    familiarity: Familiarity,
    evidence: HeadEvidence,
    *,
    topic: int | None,
    wording: int | None,
    extent: int | None = None,
) -> Tensor:
    """Return the percentile of the smallest of the measures' percentiles, of shape (batch,).

    Parameters
    ----------
    familiarity : Familiarity
    evidence : HeadEvidence
    topic, wording, extent : int or None
        Columns with the cosine, with the mean log share of pairs above that of the rarest, and with
        minus the number of tokens.
    """
    maps = []
    if familiarity.topic and topic is not None:
        maps.append((topic, familiarity.topic[1]))
    if familiarity.wording and wording is not None:
        common, percentile = familiarity.wording
        above_rarest = percentile.knots - common.log_share.min()
        maps.append((wording, Percentile(above_rarest, percentile.values)))
    if familiarity.extent and extent is not None:
        maps.append((extent, familiarity.extent))
    shares = pieces(evidence.joined(), evidence.width, maps)
    least = shares.min(1) if len(maps) > 1 else shares
    return pieces(least, 1, [(0, familiarity.joint)]).squeeze(1)


def pieces(
    columns: Tensor, width: int, maps: Sequence[tuple[int, Calibrator | Percentile]]
) -> Tensor:
    """Return piecewise-linear maps that start at 0, each of a column; of shape (batch, n_maps).

    A piece adds its height times the share of it that the value has passed, which is cut to [0, 1].
    """
    n_pieces = [len(line.knots) - 1 for _, line in maps]
    scale, start = np.zeros((width, sum(n_pieces))), np.zeros(sum(n_pieces))
    heights = np.zeros((sum(n_pieces), len(maps)))
    begin = 0
    for row, ((column, line), number) in enumerate(zip(maps, n_pieces, strict=True)):
        here, length = slice(begin, begin + number), np.diff(line.knots)
        scale[column, here], start[here] = 1.0 / length, -line.knots[:-1] / length
        heights[here, row] = np.diff(line.values)
        begin += number
    return columns.affine(scale, start).clip(0, 1) @ heights.astype(np.float32)


def _gain_scores(
    values: Tensor, width: int, start: int, branches: Sequence[Branch], direct: Tensor | None
) -> Tensor:
    """Return a score for each branch, from its channels' probabilities at ``start`` on and what
    others say of the gain itself.
    """
    weights, bias = np.zeros((width, len(branches))), np.zeros(len(branches))
    for column, branch in enumerate(branches):
        size = len(branch.logits.bias)
        weights[start : start + size, column], bias[column] = _gain(branch)
        start += size
    logits = values.affine(weights, bias)
    return (logits if direct is None else logits + direct).sigmoid()


def _gain(branch: Branch) -> tuple[FloatArray, float]:
    """Return weights and bias of the score's logit."""
    combination = branch.combination
    gain, both = combination.gain, combination.frontier is not None
    assert gain is not None
    own = gain.weights[branch.places].copy()
    own[
        [list(branch.places).index(place) for place, _ in branch.says if place in branch.places]
    ] = 0
    # The score's calibrator reads twice the gain.
    slope = 2.0 * combination.score_calibrator.slope
    # A gain is P(cheap fails) - P(frontier fails): 1 and -1, channel by channel.
    weights: FloatArray = slope * np.kron(own, np.array([1.0, -1.0] if both else [1.0]))
    # Without a frontier head its probability counts as 1/2, as in the model.
    constant = gain.intercept - (0.0 if both else 0.5 * own.sum())
    return weights, slope * constant + combination.score_calibrator.intercept


# names of parts that are no channel's
_TASK, _TOPIC, _EXTENT = "(task)", "(topic)", "(extent)"


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
    logits, says, wording = _add_channels(model, requests, evidence)
    topic, extent = _add_topic(model, requests, evidence), None
    if model.familiarity_ and model.familiarity_.extent:
        evidence.add(_EXTENT, requests.mask.sum(1, keepdims=True) * -1.0, 1)
        extent = evidence.column(_EXTENT)
    branches = [_branch(model.without_task_, logits, says, model.channels)]
    if model.with_task_ and requests.task:
        branches.append(_branch(model.with_task_, logits, says, model.all_channels))
    outputs = read_outcomes(evidence, branches, requests.task, n_tasks=requests.n_blank - 1)
    if model.familiarity_:
        outputs["familiarity"] = read_familiarity(
            model.familiarity_, evidence, topic=topic, wording=wording, extent=extent
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
) -> tuple[dict[str, Affine], dict[str, Affine], int | None]:
    """Add what heads read; return by channel the logits of outcomes and the gain that it says
    itself, where there are some, and the column of the wording.
    """
    logits: dict[str, Affine] = {}
    says: dict[str, Affine] = {}
    wording = None
    common = model.familiarity_.wording if model.familiarity_ else None
    for channel in model.channels:
        besides = model.task_channels_of(channel) if requests.task else []
        fitted = model.fitted_[channel.name]
        # heads beside the task read the same columns, and a part for the task that is the last
        start = -len(besides[0].columns.tasks) if besides else 0
        heads = [(channel.name, "logits", head) for head in fitted.heads]
        for beside in besides:
            heads += [(beside.name, "logits", head) for head in model.fitted_[beside.name].heads]
        for one in (channel, *besides):
            if said := model.fitted_[one.name].gain:
                heads.append((one.name, "gain", said))
        read = [
            head if name == channel.name else LinearHead(head.coefficients[:start], head.intercept)
            for name, _, head in heads
        ]
        log_share = common[0].log_share if common else None
        columns, weights, bias, place = channel.export_heads(
            requests, fitted.state, read, log_share
        )
        evidence.add(channel.name, columns, len(weights))
        wording = wording if place is None else evidence.column(channel.name, place)
        for name in dict.fromkeys(name for name, _, _ in heads):
            for kind, found in (("logits", logits), ("gain", says)):
                own = [
                    number
                    for number, (other, what, _) in enumerate(heads)
                    if (other, what) == (name, kind)
                ]
                if not own:
                    continue
                parts = {channel.name: weights[:, own]}
                if name != channel.name:
                    shifts = [heads[number][2].coefficients[start:] for number in own]
                    parts[_TASK] = np.stack(shifts, axis=1)
                found[name] = Affine(parts, bias[own])
    return logits, says, wording


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
    combination: Combination,
    logits: dict[str, Affine],
    says: dict[str, Affine],
    channels: Sequence[Channel],
) -> Branch:
    names = [channel.name for channel in channels]
    places = [place for place, name in enumerate(names) if name in logits]
    return Branch(
        combination,
        Affine.side_by_side([logits[names[place]] for place in places]),
        places,
        [(place, says[name]) for place, name in enumerate(names) if name in says],
    )
