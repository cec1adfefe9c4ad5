"""A follower before bundles that hold it up, eat its memory or bring libraries down."""

import json
import shutil
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from difficulty.bundle import read_bundle, write_bundle
from difficulty.errors import BundleError
from difficulty.runtime import ReloadingRouter, follow_path
from difficulty.runtime.probe import Limits, try_out
from tests.versions import TEXT, fields_of, make_version, point

OUTPUTS = ("difficulty_score", "p_cheap_fails")


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two sound bundles: 1 keeps ``TEXT`` cheap, 2 sends it to the frontier model."""
    folder = tmp_path_factory.mktemp("versions")
    return {
        number: make_version(folder, number, threshold=threshold)
        for number, threshold in ((1, 0.9), (2, 0.1))
    }


def graph_of(nodes, constants):
    """Return a scorer that gives ``score`` for each request, made by some nodes."""
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in OUTPUTS
    ]
    same = [helper.make_node("Identity", ["score"], [name]) for name in OUTPUTS]
    graph = helper.make_graph([*nodes, *same], "hostile", ids, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def constant(name, values, kind=np.int64):
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


def with_graph(folder, source, content):
    """Write a bundle that is whole but for its graph."""
    old = read_bundle(source)
    fields = fields_of(old, name="hostile", version="1", outputs=OUTPUTS)
    return write_bundle(folder / "hostile-1", {**old.files, "scorer.onnx": content}, fields).path


def with_splitting_tokenizer(folder, source):
    """Write a bundle whose tokenizer looks back without end on a certain request."""
    old = read_bundle(source)
    tokenizer = json.loads(old.files["tokenizer.json"])
    split = {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Removed",
        "invert": False,
    }
    tokenizer["pre_tokenizer"] = split
    first, *rest = old.files["golden.jsonl"].decode().split("\n")
    row = {**json.loads(first), "messages": "a" * 40 + "b"}
    files = {
        **old.files,
        "tokenizer.json": json.dumps(tokenizer).encode(),
        "golden.jsonl": "\n".join([json.dumps(row), *rest]).encode(),
    }
    fields = fields_of(old, name="hostile", version="1")
    return write_bundle(folder / "hostile-1", files, fields).path


@pytest.mark.parametrize("how", ["endless", "hungry", "splitting"])
def test_hostile_bundle_is_refused_and_the_next_good_one_taken(tmp_path, versions, how):
    bad = (
        with_splitting_tokenizer(tmp_path, versions[2])
        if how == "splitting"
        else with_graph(tmp_path, versions[2], {"endless": endless, "hungry": hungry}[how]())
    )
    point(tmp_path / "current", versions[1])
    limits = Limits(seconds=6.0, memory=3 << 30)
    with ReloadingRouter(
        follow_path(tmp_path / "current"), interval_s=0.1, limits=limits
    ) as router:
        point(tmp_path / "current", bad)
        wait_for(lambda: router.last_error)
        assert (router.version, router.decide(TEXT).route) == ("words-1", "cheap")
        if how == "endless":
            assert "was ended after 6 s" in router.last_error
        point(tmp_path / "current", versions[2])
        wait_for(lambda: router.version == "words-2")
        assert (router.last_error, router.decide(TEXT).route) == (None, "frontier")


def wait_for(condition, *, at_most_s=60.0):
    """Wait until something holds."""
    end = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_folder_that_changes_between_the_two_readings_is_refused(tmp_path, versions):
    """What was tried out must be what decides."""
    folder = shutil.copytree(versions[1], tmp_path / "served")
    bundle = read_bundle(folder)
    shutil.rmtree(folder)
    shutil.copytree(versions[2], folder)
    with pytest.raises(BundleError, match="found another one there"):
        try_out(bundle, Limits())


def test_memory_that_does_not_suffice_is_said(versions):
    with pytest.raises(BundleError, match=r"words-2 was tried out in another process with .* GiB"):
        try_out(read_bundle(versions[2]), Limits(memory=64 << 20))


def test_sound_bundle_passes(versions):
    try_out(read_bundle(versions[2]), Limits())
