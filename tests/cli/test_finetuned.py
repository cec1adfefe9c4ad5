"""A fine-tuned encoder on the command line, from traffic to a verified bundle."""

import importlib.util

import pytest

from difficulty.bundle import read_bundle
from difficulty.channels.tuned import TunedChannel
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import sample_rows
from tests.tiny_bert import write_sentence_encoder

with_torch = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "sentence_transformers")),
    reason="needs the encoders extra: make test-slow",
)


@pytest.fixture(scope="module")
def sentence_encoder(tmp_path_factory):
    """A random BERT over the words of the sample."""
    words = sorted(
        {
            word
            for row in sample_rows()
            for message in row["messages"]
            for word in message["content"].lower().split()
        }
    )
    return write_sentence_encoder(
        tmp_path_factory.mktemp("bert"), [word for word in words if word.isalnum()]
    )


@pytest.mark.slow
@with_torch
def test_tuned_recipe_from_traffic_to_verified_bundle(run, journey, sentence_encoder, tmp_path):
    """The run says what it is; trained again, the encoder that was tuned is found."""
    recipe = tmp_path / "tuned.toml"
    recipe.write_text(
        f'name = "tuned"\nfolds = 2\n[features]\nencoder = "{sentence_encoder}"\nembedding ='
        " false\n[features.ngrams]\nbuckets = 1024\n[features.transformer]\nmax_tokens ="
        " 48\n[features.finetune]\nepochs = 1\nfrozen_layers = 1\n[export]\nmax_score_difference ="
        " 1e-3\n"
    )
    options = ("--recipe", recipe, "--cache", "cache", "--no-tracking")
    trained = run("train", journey.traffic, "-o", "run", *options, code=0)
    assert "target benefit; 464 fit, 141 calibration, 194 test samples" in trained.out
    made = Run.read(tmp_path / "run")
    (tuned,) = [channel for channel in made.model.channels if isinstance(channel, TunedChannel)]
    assert tuned.held_out == 0.15
    assert made.learning_curve is None
    assert "fine-tuned encoder saw all tasks" in made.record.familiarity.sentence
    assert (made.encoder.frame.max_tokens, made.encoder.digest) == (48, tuned.encoder.digest)
    traffic = Traffic.read(journey.traffic)
    assert made.out_of_fold.ids == traffic.select(traffic.splits() == "fit").ids
    run("ship", "run", "-o", "tuned-1", "--allow-no-signal", code=0)
    assert "10 files match their hashes" in run("verify", "tuned-1", code=0).out
    assert read_bundle(tmp_path / "tuned-1").manifest.outputs[-1] == "familiarity"
    again = run("train", journey.traffic, "-o", "again", *options, code=0)
    figures, _, _ = trained.out.partition("report: ")
    assert figures == again.out.partition("report: ")[0]
    assert len(list((tmp_path / "cache" / "tuned").iterdir())) == 1
