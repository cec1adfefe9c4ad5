"""Bundles that mean harm: whole by their hashes, and holding a router up, eating its memory,
bringing libraries down or answering nonsense.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper

from difficulty.bundle import read_bundle, write_bundle
from tests.versions import fields_of

OUTPUTS = ("difficulty_score", "p_cheap_fails")


def graph_of(nodes, constants, *, kind=TensorProto.FLOAT, shape=("batch",), outputs=OUTPUTS):
    """Return a scorer that gives ``score`` for each request, made by some nodes."""
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    given = [helper.make_tensor_value_info(name, kind, [*shape]) for name in outputs]
    same = [helper.make_node("Identity", ["score"], [name]) for name in outputs]
    graph = helper.make_graph([*nodes, *same], "hostile", ids, given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def constant(name, values, kind=np.int64):
    """Return a tensor of a graph."""
    return onnx.numpy_helper.from_array(np.array(values, dtype=kind), name)


def endless():
    """Return a graph with a loop of 2^62 trips."""
    true = helper.make_node("Identity", ["on"], ["still"])
    more = helper.make_node("Add", ["x", "one"], ["next"])
    body = helper.make_graph(
        [true, more],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["n"]),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "go", "start"], ["looped"], body=body),
        helper.make_node("Identity", ["looped"], ["score"]),
    ]
    constants = [
        constant("trips", 2**62),
        constant("go", True, np.bool_),
        constant("start", [0.0], np.float32),
        constant("one", [0.0], np.float32),
    ]
    return graph_of(nodes, constants)


def hungry():
    """Return a graph that asks for 256 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["largest"], keepdims=0),
        helper.make_node("Reshape", ["largest", "one"], ["score"]),
    ]
    return graph_of(nodes, [constant("shape", [2**36]), constant("one", [1])])


def constant_score(value, *, dtype=np.float32, **graph):
    """Return a graph that gives one value, for one request or for many."""
    nodes = [
        helper.make_node("Shape", ["input_ids"], ["both"]),
        helper.make_node("Gather", ["both", "first"], ["batch"]),
        helper.make_node("Expand", ["value", "batch"], ["score"]),
    ]
    return graph_of(nodes, [constant("first", [0]), constant("value", [value], dtype)], **graph)


def out_of_bounds():
    """Return a graph that reads beyond its table."""
    nodes = [
        helper.make_node("ReduceMax", ["input_ids"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Add", ["most", "far"], ["beyond"]),
        helper.make_node("Gather", ["table", "beyond"], ["score"]),
    ]
    return graph_of(nodes, [constant("far", 2**40), constant("table", [0.5], np.float32)])


def reading_elsewhere():
    """Return a graph whose table lies in a file outside of the bundle."""
    graph = onnx.load_from_string(constant_score(0.5))
    tensor = next(one for one in graph.graph.initializer if one.name == "value")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../../etc/passwd"
    return graph.SerializeToString()


def with_files(folder, source, **files):
    """Write a bundle that is whole, with some files in the place of a sound one's; ``outputs`` and
    other fields of the manifest likewise.
    """
    old = read_bundle(source)
    contents = {name.replace("__", "."): files.pop(name) for name in [*files] if "__" in name}
    fields = fields_of(old, name="hostile", version="1", **files)
    return write_bundle(folder / "hostile-1", {**old.files, **contents}, fields).path


def with_graph(folder, source, content):
    """Write a bundle that is whole but for its graph."""
    return with_files(folder, source, scorer__onnx=content, outputs=OUTPUTS)


def with_splitting_tokenizer(folder, source):
    """Write a bundle whose tokenizer looks back without end on a certain request."""
    old = read_bundle(source)
    tokenizer = json.loads(old.files["tokenizer.json"])
    tokenizer["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Removed",
        "invert": False,
    }
    first, *rest = old.files["golden.jsonl"].decode().split("\n")
    row = {**json.loads(first), "messages": "a" * 40 + "b"}
    return with_files(
        folder,
        source,
        tokenizer__json=json.dumps(tokenizer).encode(),
        golden__jsonl="\n".join([json.dumps(row), *rest]).encode(),
    )
