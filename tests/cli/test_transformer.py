"""The journey with an encoder that is a graph, and finding encoders; no torch."""

import json
import os
import subprocess
import sys

import onnx
import pytest
from tokenizers import Tokenizer

from difficulty.bundle import read_bundle
from difficulty.encoders.base import StaticEncoder
from difficulty.encoders.transformer import TransformerEncoder
from difficulty.errors import EncoderError
from difficulty.recipe import FeatureSettings
from difficulty.training.run import Run
from difficulty.training.shipped import find_encoder
from tests.conftest import REPOSITORY
from tests.fakes import load_transformer, write_transformer
from tests.journey import timeless_metrics

RECIPE = """
name = "tiny"
folds = 2
[features]
encoder = "{encoder}"
[features.ngrams]
buckets = 1024
[features.embedding]
strength = 0.1
beside_guess = true
[features.neighbours]
centres = 8
strength = 0.1
[policy]
hard_tasks = ["multi-step planning"]
"""
SERVE = """
import sys
from difficulty.runtime import Router
router = Router.load(sys.argv[1])
print(*(router.decide(text).difficulty_score for text in sys.argv[2:]))
loaded = {name.split(".")[0] for name in sys.modules}
assert not {"torch", "sklearn", "scipy", "onnx", "sqlite3"} & loaded
"""
TEXTS = ["Which label fits: invoice or complaint?", "Plan a trip. " * 60, "?"]


@pytest.fixture
def recipe(journey, tmp_path):
    """A recipe that reads an int8 transformer over the words of the sample in every way there
    is.
    """
    words = Tokenizer.from_file(str(journey.encoder / "tokenizer.json")).get_vocab()
    encoder = write_transformer(tmp_path / "encoder", vocabulary=words, max_tokens=32, int8=True)
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(encoder=encoder))
    return path


def test_whole_journey_with_a_transformer(run, journey, recipe, tmp_path):
    """What was trained, what is shipped and what a router alone says are one thing."""
    options = ["--recipe", recipe, "--no-tracking", "--no-more-labels", "--cache", "kept"]
    assert "target benefit" in run("train", journey.traffic, "-o", "run", *options, code=0).out
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".sqlite"]
    model = Run.read(tmp_path / "run").model
    assert [channel.name for channel in model.channels] == [
        "ngrams",
        "task guess",
        "embedding",
        "neighbours",
    ]
    assert (
        "samples judged"
        in run("evaluate", "run", journey.traffic, "-o", "report", "--draws", 40, code=0).out
    )
    assert "same route on all" in run("ship", "run", "-o", "tiny-1", code=0).out
    assert "all reproduced" in run("verify", "tiny-1", code=0).out
    assert "MatMulInteger" in {
        node.op_type for node in onnx.load(tmp_path / "tiny-1" / "scorer.onnx").graph.node
    }
    assert (
        read_bundle(tmp_path / "tiny-1").manifest.recipe["features"]["neighbours"]["centres"] == 8
    )
    scored = [
        json.loads(run("score", "tiny-1", text, "--json", code=0).out)["difficulty_score"]
        for text in TEXTS
    ]
    assert len(set(scored)) == len(TEXTS)
    routed = run("route", "tiny-1", TEXTS[0], "--task", "multi-step planning", code=0)
    assert routed.out == "frontier -> example/frontier  (hard_task: no score needed)\n"
    served = serve(tmp_path / "tiny-1")
    assert served == pytest.approx(scored, abs=1e-6)
    tokens = [Run.read(tmp_path / "run").tokenizer.encode(text).ids for text in TEXTS]
    assert served == pytest.approx(model.predict(tokens).difficulty_score, abs=1e-4)


def test_float32_run_is_shipped_with_an_int8_encoder(run, journey, recipe, tmp_path):
    """The command says which weights stayed float32 and how many decisions changed; an encoder that
    is int8 already is refused.
    """
    words = Tokenizer.from_file(str(journey.encoder / "tokenizer.json")).get_vocab()
    exact = write_transformer(tmp_path / "exact", vocabulary=words, max_tokens=32, layers=2)
    int8 = recipe.read_text()
    recipe.write_text(RECIPE.format(encoder=exact) + "[export]\nint8_flips = 0.02\n")
    options = [
        "--recipe",
        recipe,
        "--no-tracking",
        "--no-more-labels",
        "--no-unseen-tasks",
        "--cache",
        "kept",
    ]
    run("train", journey.traffic, "-o", "run", *options, code=0)
    said = run("ship", "run", "-o", "tiny-1", "--int8", code=0).out
    assert "encoder: int8, " in said
    parity = json.loads(run("ship", "run", "-o", "tiny-2", "--int8", "--json", code=0).out)[
        "parity"
    ]
    assert parity["encoder"].startswith("int8, ")
    assert parity["flips"] <= 0.02 * parity["n"]
    assert "encoder: " not in run("ship", "run", "-o", "tiny-3", code=0).out
    assert "all reproduced" in run("verify", "tiny-1", code=0).out
    recipe.write_text(int8)
    run("train", journey.traffic, "-o", "int8", *options, code=0)
    assert (
        "int8 at shipping needs an encoder with float32 weights"
        in run("ship", "int8", "-o", "tiny-4", "--int8", code=2).err
    )


def serve(bundle):
    """Return the scores of the texts in a fresh process that imports the runtime and nothing else
    of the package.
    """
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", SERVE, str(bundle), *TEXTS]
    return [
        float(score)
        for score in subprocess.check_output(command, env=environment, text=True).split()
    ]


def test_run_is_the_same_from_an_empty_and_from_a_full_cache(
    run, journey, recipe, tmp_path, monkeypatch
):
    """The folder is named by the environment; the second time nothing is computed."""
    monkeypatch.setenv("DIFFICULTY_CACHE", str(tmp_path / "kept"))
    options = ["--recipe", recipe, "--no-tracking", "--no-more-labels"]
    run("train", journey.traffic, "-o", "first", *options, code=0)
    monkeypatch.setattr(
        "difficulty.encoders.transformer._run",
        lambda session, rows: pytest.fail(f"{len(rows)} requests were embedded again"),
    )
    run("train", journey.traffic, "-o", "second", *options, code=0)
    assert (tmp_path / "first" / "model.json").read_bytes() == (
        tmp_path / "second" / "model.json"
    ).read_bytes()
    assert timeless_metrics(tmp_path / "first") == timeless_metrics(tmp_path / "second")


def settings_of(encoder, **choices):
    return FeatureSettings.parse({"encoder": str(encoder), **choices})


def test_encoder_is_found_by_folder_and_keeps_its_embeddings(tmp_path):
    """A second search reads what the first computed, so it has no progress to tell."""
    folder, told = write_transformer(tmp_path / "encoder"), []
    ids = [[1, 2], [3]]
    first = find_encoder(settings_of(folder), cache=tmp_path / "kept").encode(ids)
    found = find_encoder(
        settings_of(folder),
        cache=tmp_path / "kept",
        progress=lambda done, total: told.append((done, total)),
    )
    assert isinstance(found, TransformerEncoder)
    assert found.encode(ids).tolist() == first.tolist()
    assert told == []
    assert (
        found.encode([*ids, [4]])[2].tolist() == load_transformer(folder).encode([[4]])[0].tolist()
    )
    assert told == [(3, 3)]


def test_shipped_encoder_is_found_by_name_and_needs_no_cache(tmp_path):
    found = find_encoder(settings_of("static-minilm-256"), cache=tmp_path / "kept")
    assert isinstance(found, StaticEncoder)
    assert not (tmp_path / "kept").exists()


def test_encoder_that_does_not_exist_is_refused(run, journey, tmp_path):
    for name in ("./nowhere", str(tmp_path / "nowhere"), "too/many/parts"):
        with pytest.raises(
            EncoderError,
            match=rf"no encoder at '{name}'\. Name a folder, a shipped encoder, or one of the Hub",
        ):
            find_encoder(settings_of(name), cache=tmp_path / "kept")
    (tmp_path / "lost.toml").write_text(RECIPE.format(encoder="./nowhere"))
    lost = run(
        "train", journey.traffic, "-o", "run", "--recipe", "lost.toml", "--no-tracking", code=2
    )
    assert "no encoder at './nowhere'" in lost.complaint


def test_folder_without_an_encoder_is_refused(tmp_path):
    with pytest.raises(
        EncoderError,
        match="holds no encoder: neither encoder.json nor modules.json nor config.json is in it",
    ):
        find_encoder(settings_of(tmp_path), cache=tmp_path / "kept")


def test_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        EncoderError,
        match=(
            r"holds no weights: expected \*\.safetensors or pytorch_model\*\.bin\. Download the"
            r" encoder again"
        ),
    ):
        find_encoder(settings_of(tmp_path), cache=tmp_path / "kept")


def test_weights_with_another_hash_are_refused_before_they_are_converted(tmp_path):
    """The hash of no bytes is well known."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    found = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with pytest.raises(
        EncoderError, match=f"have the sha256 {found}, expected {'0' * 64}. Get the right weights"
    ):
        find_encoder(settings_of(tmp_path, encoder_sha256="0" * 64), cache=tmp_path / "kept")
