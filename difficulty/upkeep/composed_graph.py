"""A scorer's ONNX graph with maps behind its outputs, and a check of answers that goes on to read
what it learned from.

A map is three constants and a few operators of opset 17 behind an output of the graph. Constants
have names of their own: a graph that was recalibrated before is found by them and gets the composed
map in their place, so that graphs do not grow with the quarters.

The check of answers was fitted beside the probabilities as they were. So where these move, the
inverse map stands before its input, and what it says stays the same to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from difficulty.errors import InvalidValueError
from difficulty.upkeep.logit_map import EDGE, LogitMap

_PREFIX = "recalibration"
_FEATURES = "features"
OF_ANSWERS = "p_answer_fails"
"""What a check of answers says."""
_REQUEST = ("p_cheap_fails", "p_frontier_fails")
"""Last columns of the features of a check of answers."""


def recalibrated_scorer(content: bytes, maps: Mapping[str, LogitMap]) -> bytes:
    """Return a graph whose outputs are mapped.

    Parameters
    ----------
    content : bytes
        ``scorer.onnx``, perhaps recalibrated before.
    maps : mapping of str to LogitMap
        By output; what is left out stays as it is.

    Raises
    ------
    InvalidValueError
        If the graph has no such output.
    """
    return _mapped(content, maps)


def recalibrated_check(content: bytes, map_: LogitMap) -> bytes:
    """Return ``answer.onnx``, perhaps recalibrated before, with ``p_answer_fails`` mapped. What its
    threshold is compared with, ``answer_score``, stays: a map keeps the order, and thresholds that
    stand go on to mean what they did.
    """
    return _mapped(content, {OF_ANSWERS: map_})


def _mapped(content: bytes, maps: Mapping[str, LogitMap]) -> bytes:
    model = onnx.load_model_from_string(content)
    outputs = {item.name for item in model.graph.output}
    for name, map_ in maps.items():
        if name not in outputs:
            raise InvalidValueError("output", name, rule=f"be one of {sorted(outputs)}")
        if map_.is_identity:
            continue
        if (earlier := _stored(model, f"{_PREFIX}.{name}")) is not None:
            _store(model, f"{_PREFIX}.{name}", map_.after(earlier))
        else:
            _append(model, name, map_)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def maps_of(content: bytes) -> dict[str, LogitMap]:
    """Return the maps that recalibrations have put behind outputs, by output."""
    model = onnx.load_model_from_string(content)
    found = {item.name: _stored(model, f"{_PREFIX}.{item.name}") for item in model.graph.output}
    return {name: map_ for name, map_ in found.items() if map_ is not None}


def check_as_before(content: bytes, maps: Mapping[str, LogitMap]) -> bytes:
    """Return ``answer.onnx`` that undoes the maps of a scorer, of which it reads two outputs.

    Parameters
    ----------
    content : bytes
    maps : mapping of str to LogitMap
        What the scorer's outputs get now, on top of what they got before.
    """
    inverses = [maps.get(name, LogitMap()).inverse for name in _REQUEST]
    if all(each.is_identity for each in inverses):
        return content
    model = onnx.load_model_from_string(content)
    names = [f"{_PREFIX}.{name}" for name in _REQUEST]
    stored = [_stored(model, name) for name in names]
    if any(each is not None for each in stored):
        for name, inverse, earlier in zip(names, inverses, stored, strict=True):
            # The newest map was done last, so it is undone first.
            _store(model, name, (earlier or LogitMap()).after(inverse))
    else:
        _prepend(model, inverses)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _append(model: onnx.ModelProto, name: str, map_: LogitMap) -> None:
    """Put a map behind an output: what made it makes another tensor from now on."""
    graph, before = model.graph, f"{name}.before"
    for node in graph.node:
        for names in (node.input, node.output):
            for place, each in enumerate(names):
                if each == name:
                    names[place] = before
    graph.node.extend(_map_nodes(model, f"{_PREFIX}.{name}", map_, before, name))


def _prepend(model: onnx.ModelProto, inverses: list[LogitMap]) -> None:
    """Put maps before the last two columns of the features."""
    graph, read = model.graph, f"{_FEATURES}.read"
    for node in graph.node:
        for place, each in enumerate(node.input):
            if each == _FEATURES:
                node.input[place] = read
    width = next(item for item in graph.input if item.name == _FEATURES)
    n_features = width.type.tensor_type.shape.dim[1].dim_value
    sizes = f"{_PREFIX}.columns"
    graph.initializer.append(
        numpy_helper.from_array(np.array([n_features - 2, 1, 1], dtype=np.int64), sizes)
    )
    parts = [f"{_PREFIX}.facts", *(f"{name}.after" for name in _REQUEST)]
    nodes = [helper.make_node("Split", [_FEATURES, sizes], parts, f"{_PREFIX}.split", axis=1)]
    columns = [parts[0]]
    for name, inverse in zip(_REQUEST, inverses, strict=True):
        nodes += _map_nodes(model, f"{_PREFIX}.{name}", inverse, f"{name}.after", f"{name}.learned")
        columns.append(f"{name}.learned")
    nodes.append(helper.make_node("Concat", columns, [read], f"{_PREFIX}.concat", axis=1))
    # Nodes stand in the order in which they are computed.
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def _map_nodes(
    model: onnx.ModelProto, name: str, map_: LogitMap, source: str, target: str
) -> list[onnx.NodeProto]:
    """Return the nodes of ``sigmoid(slope * logit + shift)``; what is no number stays none."""
    constants = {"low": EDGE, "high": 1.0 - EDGE, "one": 1.0}
    for constant, value in constants.items():
        _set(model, f"{name}.{constant}", np.float32(value))
    _store(model, name, map_)

    def node(op: str, inputs: list[str], output: str) -> onnx.NodeProto:
        return helper.make_node(op, inputs, [output], name=f"{output}.node")

    low, high, one = (f"{name}.{constant}" for constant in constants)
    return [
        node("Clip", [source, low, high], f"{name}.cut"),
        node("Log", [f"{name}.cut"], f"{name}.log"),
        node("Sub", [one, f"{name}.cut"], f"{name}.rest"),
        node("Log", [f"{name}.rest"], f"{name}.log_rest"),
        node("Sub", [f"{name}.log", f"{name}.log_rest"], f"{name}.logit"),
        node("Mul", [f"{name}.logit", f"{name}.slope"], f"{name}.steeper"),
        node("Add", [f"{name}.steeper", f"{name}.shift"], f"{name}.shifted"),
        node("Sigmoid", [f"{name}.shifted"], f"{name}.mapped"),
        # Clip may make a number of what is none.
        node("IsNaN", [source], f"{name}.unknown"),
        node("Where", [f"{name}.unknown", source, f"{name}.mapped"], target),
    ]


def _stored(model: onnx.ModelProto, name: str) -> LogitMap | None:
    values = {
        item.name: float(numpy_helper.to_array(item))
        for item in model.graph.initializer
        if item.name in (f"{name}.slope", f"{name}.shift")
    }
    if len(values) < 2:
        return None
    return LogitMap(values[f"{name}.slope"], values[f"{name}.shift"])


def _store(model: onnx.ModelProto, name: str, map_: LogitMap) -> None:
    _set(model, f"{name}.slope", np.float32(map_.slope))
    _set(model, f"{name}.shift", np.float32(map_.shift))


def _set(model: onnx.ModelProto, name: str, value: Any) -> None:
    """Put a constant into a graph, in place of the one of its name."""
    constant = numpy_helper.from_array(np.asarray(value), name)
    for item in model.graph.initializer:
        if item.name == name:
            item.CopyFrom(constant)
            return
    model.graph.initializer.append(constant)
