"""Small stand-ins that need no download: a tokenizer of 200 words, a static encoder over it,
traffic that it can learn from.
"""

import hashlib
import json
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from difficulty.channels import Channel, task_channels_of
from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.length import LengthChannel
from difficulty.channels.neighbours import NeighbourChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_columns import TaskChannel
from difficulty.channels.task_guess import TaskGuessChannel
from difficulty.encoders import base as encoders
from difficulty.encoders.base import StaticEncoder, quantise_rows
from difficulty.encoders.quantise import quantise_graph
from difficulty.encoders.transformer import ENCODER_FILES, TransformerEncoder
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.traffic.outcomes import Outcomes

VOCABULARY = {"[UNK]": 0, **{f"w{number}": number for number in range(1, 200)}}
"""Word ``w7`` has id 7; anything else is 0."""

UNKNOWN = np.nan


def word_tokenizer(vocabulary=VOCABULARY):
    """Return a tokenizer of words."""
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


def write_encoder(folder, *, dim=8, seed=0):
    """Write an encoder folder with random vectors and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    table, scale = quantise_rows(np.random.default_rng(seed).normal(size=(len(VOCABULARY), dim)))
    np.savez(folder / "table.npz", table=table, scale=scale)
    word_tokenizer().save(str(folder / "tokenizer.json"))
    write_card(folder, format=1)
    return folder


def write_card(folder, **entries):
    """Write ``encoder.json`` with the hashes of what lies in the folder."""
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("table.npz", "tokenizer.json")
    }
    (folder / "encoder.json").write_text(json.dumps({"sha256": hashes} | entries))


def load_encoder(folder, **choices):
    """Write an encoder folder and return the encoder in it."""
    return StaticEncoder.load(write_encoder(folder, **choices))


def transformer_graph(rows, *, dim=8, seed=0, opset=17, layers=1):
    """Return a small encoder in ONNX: ``tanh((token + position) @ weights)``, its mean over the
    tokens at unit length.

    Further ``layers`` are more of ``tanh(... @ weights<n>)``.
    """
    rng, nodes, constants = np.random.default_rng(seed), [], []

    def add(op, *inputs, output=None, **attributes):
        name = output or f"{op}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], name=f"{name}.node", **attributes))
        return name

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    tokens = add(
        "Gather",
        constant("tokens.table", rng.normal(size=(rows, dim)).astype(np.float32)),
        "input_ids",
    )
    width = add("Squeeze", add("Gather", add("Shape", "input_ids"), constant("one", [1])))
    places = add("Range", constant("zero", np.int64(0)), width, constant("step", np.int64(1)))
    places = add(
        "Gather", constant("places.table", rng.normal(size=(512, dim)).astype(np.float32)), places
    )
    weights = constant("weights", rng.normal(size=(dim, dim)).astype(np.float32))
    hidden = add("Tanh", add("MatMul", add("Add", tokens, places), weights))
    for number in range(1, layers):
        more = constant(f"weights{number}", rng.normal(size=(dim, dim)).astype(np.float32))
        hidden = add("Tanh", add("MatMul", hidden, more))
    mask = add(
        "Unsqueeze", add("Cast", "attention_mask", to=TensorProto.FLOAT), constant("last", [2])
    )
    total = add("ReduceSum", add("Mul", hidden, mask), constant("along", [1]), keepdims=0)
    length = add(
        "Max", add("ReduceL2", total, axes=[1], keepdims=1), constant("tiny", np.float32(1e-12))
    )
    add("Div", total, length, output="embedding")
    shape = ["batch", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dim])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializer=constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def write_transformer(
    folder,
    *,
    vocabulary=VOCABULARY,
    rows=None,
    dim=8,
    seed=0,
    prefix=(1, 2),
    suffix=(3,),
    max_tokens=16,
    int8=False,
    opset=17,
    layers=1,
):
    """Write an encoder folder of the kind that sentence-transformers encoders become, and return
    its path; no torch.

    With 1,000 ``rows`` or more, ``int8`` shrinks the token table as well as the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graph = transformer_graph(
        rows or len(vocabulary), dim=dim, seed=seed, opset=opset, layers=layers
    )
    onnx.save(quantise_graph(graph) if int8 else graph, str(folder / "encoder.onnx"))
    word_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    frame = {"prefix": list(prefix), "suffix": list(suffix), "max_tokens": max_tokens}
    encoders.write_card(
        folder, ENCODER_FILES, kind="transformer", dim=dim, vocabulary=len(vocabulary), **frame
    )
    return folder


def load_transformer(folder, **choices):
    """Write an encoder folder and return the encoder in it."""
    return TransformerEncoder.load(write_transformer(folder, **choices))


def random_ids(rng, n, *, longest=30):
    """Return n requests of 1 to ``longest`` token ids."""
    return [
        rng.integers(0, len(VOCABULARY), rng.integers(1, longest + 1)).tolist() for _ in range(n)
    ]


def labelled_tokens(n=300, *, seed=0, frontier=True):
    """Return requests whose cheap model fails the more, the larger their ids are on average; the
    frontier model fails one in ten.
    """
    rng = np.random.default_rng(seed)
    ids = [
        rng.integers(low, low + 100, rng.integers(3, 20)).tolist()
        for low in rng.integers(0, 100, n)
    ]
    p_fails = np.array([np.mean(row) for row in ids]) / 200
    known = np.ones(n) if frontier else np.full(n, UNKNOWN)
    outcomes = Outcomes(
        cheap_quality=(rng.random(n) > p_fails).astype(float),
        frontier_quality=(rng.random(n) > 0.1) * known,
        preferred_gain=np.full(n, UNKNOWN),
        weight=np.ones(n),
    )
    return LabelledTokens(
        ids=ids, outcomes=outcomes, groups=[f"g{number // 2}" for number in range(n)]
    )


def with_tasks(data, *, seed=0):
    """Return the requests with a task for nine in ten, on which alone the cheap model's failures
    depend.
    """
    rng = np.random.default_rng(seed)
    tasks = rng.choice(["easy", "middle", "hard"], len(data))
    p_fails = np.select([tasks == "easy", tasks == "middle"], [0.1, 0.4], 0.8)
    outcomes = replace(data.outcomes, cheap_quality=(rng.random(len(data)) > p_fails).astype(float))
    told = [
        str(task) if known else None
        for task, known in zip(tasks, rng.random(len(data)) < 0.9, strict=True)
    ]
    return replace(data, outcomes=outcomes, tasks=told)


def fit_model(
    encoder=None,
    *,
    n=300,
    n_calibration=150,
    target="benefit",
    frontier=True,
    tasks=False,
    channel=True,
    guess=False,
    length=False,
    weighting="counts",
):
    """Return a model fitted on made-up traffic: n-grams and, with an encoder, static embeddings.

    With ``tasks`` the traffic has them, and the model a channel for them unless ``channel`` is
    False; with ``guess`` the embeddings are read as a guess of the task, with ``length`` the number
    of tokens is read.
    """
    dense = (
        TaskGuessChannel(encoder, ["easy", "hard"])
        if guess
        else encoder and EmbeddingChannel(encoder, strength=0.1)
    )
    channels = [
        NgramChannel(len(VOCABULARY), buckets=512, weighting=weighting),
        *([dense] if dense else []),
        *([LengthChannel()] if length else []),
    ]
    fit, calibration = (
        labelled_tokens(n, frontier=frontier),
        labelled_tokens(n_calibration, seed=1, frontier=frontier),
    )
    if tasks:
        fit, calibration = with_tasks(fit, seed=2), with_tasks(calibration, seed=3)
    task_channels = (
        [TaskChannel(channels[0], ["easy", "hard", "middle"])] if tasks and channel else []
    )
    model = DifficultyModel(
        channels, task_channels=task_channels, target=target, rng=np.random.default_rng(7)
    )
    return model.fit(fit, calibration)


def fit_dense_model(encoder, *, with_task=True, n_calibration=150):
    """Return a model with every channel: embeddings as they are, as shares of centres and as a
    guess of the task, n-grams, length.

    Without ``with_task`` the traffic has no tasks, so there is neither a guess nor a channel that
    reads the task.
    """
    fit, calibration = labelled_tokens(300), labelled_tokens(n_calibration, seed=1)
    tasks = ["easy", "hard", "middle"] if with_task else []
    if with_task:
        fit, calibration = with_tasks(fit, seed=2), with_tasks(calibration, seed=3)
    channels = [
        NgramChannel(len(VOCABULARY), buckets=512),
        EmbeddingChannel(encoder, strength=0.1),
        NeighbourChannel(encoder, centres=6, strength=0.1),
        *([TaskGuessChannel(encoder, tasks)] if with_task else []),
        LengthChannel(),
    ]
    model = DifficultyModel(
        channels, task_channels=task_channels_of(channels, tasks), rng=np.random.default_rng(7)
    )
    return model.fit(fit, calibration)


class CountChannel(Channel):
    """A channel that nothing but the model knows: one column, the number of tokens."""

    name = "count"
    strength = 1.0

    def prepare(self, ids, tasks=None):
        """Return the number of tokens."""
        return np.array([[float(len(row))] for row in ids]).reshape(-1, 1)
