"""Fine-tuning an encoder. What needs torch runs on a BERT of two layers with random weights."""

import importlib.util
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from difficulty.encoders import finetune as module
from difficulty.encoders.base import TuningData
from difficulty.encoders.finetune import finetune, tuning_on
from difficulty.encoders.sentence import find_source, load_sentence_encoder
from difficulty.encoders.transformer import Frame
from difficulty.engine import LocalEngine, open_engine
from difficulty.errors import EncoderError, InvalidValueError, MissingExtraError, TooFewSamplesError
from difficulty.metrics import auroc
from difficulty.recipe import FinetuneSettings
from tests.fakes import write_transformer
from tests.journey import forget
from tests.tiny_bert import SPECIAL, write_sentence_encoder

N_WORDS = 8
SETTINGS = FinetuneSettings(
    epochs=2, batch_size=16, learning_rate=1e-3, frozen_layers=0, gain_weight=1.0, task_weight=0.2
)
TOO_FAST = {"epochs": 3, "learning_rate": 0.02}
FRAME = Frame(prefix=(2,), suffix=(3,), max_tokens=16)

with_torch = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "sentence_transformers")),
    reason="needs the encoders extra: make test-slow",
)


def made_up(n=400, *, seed=0, unseen=100):
    """Return two-word requests: the cheap model fails those of one odd and one even word, so no
    word alone says anything.

    The last ``unseen`` are held out. Half of them name a task.
    """
    rng = np.random.default_rng(seed)
    words = rng.integers(0, N_WORDS, (n, 2))
    hard = words[:, 0] % 2 != words[:, 1] % 2
    failure = np.column_stack(
        [rng.random(n) < np.where(hard, 0.95, 0.05), rng.random(n) < 0.1]
    ).astype(float)
    return TuningData(
        ids=(words + len(SPECIAL)).tolist(),
        failure=failure,
        gain=failure[:, 0] - failure[:, 1],
        weight=np.ones(n),
        unseen=np.arange(n) >= n - unseen,
        tasks=[
            ("even" if row.sum() % 2 == 0 else "odd") if number % 2 else None
            for number, row in enumerate(words)
        ],
    )


def untrained(folder):
    """Write a folder that passes for a sentence-transformers encoder until it is loaded."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def tune(
    folder, cache, data=None, *, settings=SETTINGS, precision="float32", progress=None, seed=0
):
    return finetune(
        str(folder),
        data or made_up(),
        cache,
        settings=settings,
        frame=FRAME,
        precision=precision,
        seed=seed,
        progress=progress,
    )


CHANGES = {
    "ids": lambda data: replace(data, ids=[[5, 6], *data.ids[1:-1], [7, 8]]),
    "failure": lambda data: replace(data, failure=1.0 - data.failure),
    "gain": lambda data: replace(data, gain=-data.gain),
    "weight": lambda data: replace(data, weight=2.0 * data.weight),
    "unseen": lambda data: replace(data, unseen=~data.unseen),
    "tasks": lambda data: replace(data, tasks=[None] * len(data.ids)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_digest_depends_on_everything_that_training_reads(change):
    """An encoder tuned on other data must not be used again."""
    assert made_up().digest == made_up().digest
    assert change(made_up()).digest != made_up().digest


@pytest.mark.parametrize("unseen", [19, 381], ids=["held out", "to train on"])
def test_too_few_samples_are_refused(tmp_path, unseen):
    with pytest.raises(
        TooFewSamplesError,
        match=rf"at least 20 samples to train on .* got {400 - unseen} and {unseen}\. Use recipe",
    ):
        tune(untrained(tmp_path / "encoder"), tmp_path / "cache", made_up(unseen=unseen))
    assert not (tmp_path / "cache" / "tuned").exists()


def test_samples_without_an_outcome_do_not_count(tmp_path):
    data = made_up()
    data.failure[310:] = np.nan
    with pytest.raises(TooFewSamplesError, match="got 300 and 10"):
        tune(untrained(tmp_path / "encoder"), tmp_path / "cache", data)


def test_missing_torch_is_said(tmp_path, monkeypatch):
    forget(monkeypatch, "torch")
    monkeypatch.delitem(sys.modules, "difficulty.encoders.trainer", raising=False)
    with pytest.raises(MissingExtraError, match="fine-tuning needs"):
        tune(untrained(tmp_path / "encoder"), tmp_path / "cache")


def test_converted_encoder_cannot_be_trained(tmp_path):
    """It is a graph, without the weights that torch would train."""
    with pytest.raises(
        EncoderError,
        match=r"holds an encoder that was converted before.*Name the one that it was made from",
    ):
        find_source(str(write_transformer(tmp_path)))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_sentence_encoder(
        tmp_path_factory.mktemp("bert"), [f"w{number}" for number in range(N_WORDS)]
    )


def train(folder, data, cache, *, say=lambda _: None, **settings):
    """Return a trained model, and the losses on held-out samples after each epoch."""
    from difficulty.encoders import trainer

    settings = replace(SETTINGS, **settings)
    model = trainer.train(folder, data, cache, settings=settings, frame=FRAME, seed=0, say=say)
    state = json.loads((trainer.last_checkpoint(cache) / "trainer_state.json").read_text())
    return model.eval(), [entry["eval_loss"] for entry in state["log_history"]]


def batch_of(data, rows):
    from difficulty.encoders.trainer import Batches

    return Batches(data, FRAME)([(rows, np.full(len(rows), 1 / len(rows)))])


def logits_of(model, data, rows):
    import torch

    batch = batch_of(data, rows)
    with torch.no_grad():
        return model.outcome_head(model.embed(batch["input_ids"], batch["attention_mask"])).numpy()


def held_out_auroc(model, data):
    rows = np.flatnonzero(data.unseen)
    return auroc(logits_of(model, data, rows)[:, 0], data.failure[rows, 0])


@pytest.mark.slow
@with_torch
def test_tuning_learns_what_heads_on_frozen_embeddings_cannot(tmp_path):
    """Only layers that move can tell which words stand together."""
    folder = write_sentence_encoder(
        tmp_path / "bert", [f"w{number}" for number in range(N_WORDS)], dropout=0.0
    )
    data = replace(made_up(1_200, unseen=300), tasks=[None] * 1_200)
    found = {}
    for frozen in (0, 2):
        model, losses = train(
            folder, data, tmp_path / str(frozen), epochs=8, learning_rate=2e-3, frozen_layers=frozen
        )
        found[frozen] = held_out_auroc(model, data), min(losses)
    assert found[0][0] > 0.85, found
    assert found[2][0] < 0.6, found
    assert found[0][1] < 0.7 * found[2][1], found


@pytest.mark.slow
@with_torch
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_layers_do_not_move(encoder, tmp_path, frozen):
    """Token embeddings never do."""
    model, _ = train(encoder, made_up(200, unseen=50), tmp_path, epochs=1, frozen_layers=frozen)
    before = dict(load_sentence_encoder(encoder).named_parameters())
    moved = {
        name for name, value in model.encoder.named_parameters() if not value.equal(before[name])
    }
    layers = {int(name.split("layer.")[1].split(".")[0]) for name in moved if "layer." in name}
    assert layers == set(range(frozen, 2))
    assert not any("embeddings" in name for name in moved)


@pytest.mark.slow
@with_torch
def test_best_epoch_is_kept(encoder, tmp_path):
    """A learning rate that ruins the encoder does not: the weights are those with the least loss on
    held-out samples.
    """
    data = made_up(200, unseen=50)
    model, losses = train(encoder, data, tmp_path, **TOO_FAST)
    assert len(losses) == 3
    assert losses[-1] > min(losses)
    batch = batch_of(data, np.flatnonzero(data.unseen))
    assert model(**batch)["loss"].item() == pytest.approx(min(losses), rel=1e-5)


class Interrupted(Exception):
    """Stands for a crash or Ctrl-C."""


def interrupt_at(step):
    def progress(text):
        if text.startswith(f"fine-tuning: step {step:,} of"):
            raise Interrupted

    return progress


@pytest.fixture(scope="module")
def whole(encoder, tmp_path_factory):
    """What an uninterrupted run gives: two epochs of 19 steps."""
    return tune(encoder, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@with_torch
@pytest.mark.parametrize("step", [3, 13, 19, 20, 33, 38], ids=lambda step: f"step {step} of 38")
def test_interrupted_run_goes_on_to_the_same_weights(encoder, whole, tmp_path, monkeypatch, step):
    """With dropout, in the first epoch and in the second, and between them; before the first
    checkpoint it starts again.
    """
    monkeypatch.setattr("difficulty.encoders.trainer._SAVE_EVERY", 5)
    with pytest.raises(Interrupted):
        tune(encoder, tmp_path, progress=interrupt_at(step))
    assert [path.suffix for path in (tmp_path / "tuned").iterdir()] == [".unfinished"]
    assert bool(list((tmp_path / "tuned").glob("*/checkpoint-*"))) == (step > 5)
    told = []
    again = tune(encoder, tmp_path, progress=told.append)
    assert len(told) < 38 or step == 3
    assert again.weights.tolist() == whole.weights.tolist()
    assert again.bias.tolist() == whole.bias.tolist()
    assert again.encoder.digest == whole.encoder.digest


@pytest.mark.slow
@with_torch
def test_moved_cache_still_holds_the_best_epoch(encoder, tmp_path):
    """The second of three epochs is the best, and training is interrupted in the third."""
    data = made_up(200, unseen=50)
    undisturbed, losses = train(encoder, data, tmp_path / "whole", **TOO_FAST)
    assert np.argmin(losses) == 1
    with pytest.raises(Interrupted):
        train(encoder, data, tmp_path / "cache", say=interrupt_at(25), **TOO_FAST)
    (tmp_path / "cache").rename(tmp_path / "moved")
    model, again = train(encoder, data, tmp_path / "moved", **TOO_FAST)
    assert again == losses
    assert model.heads()[0].tolist() == undisturbed.heads()[0].tolist()


@pytest.mark.slow
@with_torch
def test_checkpoint_cut_short_is_passed_over(tmp_path):
    """A process that dies while it writes leaves a folder without the file that is written last."""
    from difficulty.encoders.trainer import last_checkpoint

    assert last_checkpoint(tmp_path / "nowhere") is None
    for step in (5, 10, 50):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


@pytest.mark.slow
@with_torch
def test_run_interrupted_while_converting_trains_no_step_again(
    encoder, whole, tmp_path, monkeypatch
):
    def crash(*_, **__):
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(module, "convert", crash)
        with pytest.raises(Interrupted):
            tune(encoder, tmp_path)
    told = []
    again = tune(encoder, tmp_path, progress=told.append)
    assert told == []
    assert (again.encoder.digest, again.weights.tolist()) == (
        whole.encoder.digest,
        whole.weights.tolist(),
    )


@pytest.mark.slow
@with_torch
def test_finished_encoder_is_used_again(encoder, tmp_path):
    """Nothing is trained; another seed, or other data, is another encoder."""
    first, told = tune(encoder, tmp_path), []
    again = tune(encoder, tmp_path, progress=told.append)
    assert told == []
    assert (again.encoder.digest, again.weights.tolist()) == (
        first.encoder.digest,
        first.weights.tolist(),
    )
    assert len(list((tmp_path / "tuned").iterdir())) == 1
    other = tune(encoder, tmp_path, seed=1, progress=told.append)
    assert len(told) == 38
    assert other.encoder.digest != first.encoder.digest
    assert len(list((tmp_path / "tuned").iterdir())) == 2


@pytest.mark.slow
@with_torch
def test_damaged_checkpoint_is_refused(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("difficulty.encoders.trainer._SAVE_EVERY", 5)
    with pytest.raises(Interrupted):
        tune(encoder, tmp_path, progress=interrupt_at(7))
    (weights,) = (tmp_path / "tuned").glob("*/checkpoint-5/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    message = r"'.*/checkpoint-5' cannot be read .*Remove '.*\.unfinished' to start again"
    with pytest.raises(EncoderError, match=message):
        tune(encoder, tmp_path)
    shutil.rmtree(weights.parents[1])
    assert tune(encoder, tmp_path).weights.shape == (32, 2)


@pytest.mark.slow
@with_torch
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("int8", 0.15)])
def test_converted_encoder_with_its_heads_gives_the_trainers_logits(
    encoder, tmp_path, monkeypatch, precision, tolerance
):
    """In float32 arithmetic, so that nothing but the conversion is between them; the first word
    decides, so that logits differ soon.
    """
    monkeypatch.setattr("difficulty.encoders.trainer._has_bfloat16", lambda _: False)
    data = made_up()
    data.failure[:, 0] = [words[0] % 2 for words in data.ids]
    tuned = tune(encoder, tmp_path / "cache", data, precision=precision)
    model, _ = train(encoder, data, tmp_path / "again")
    expected = logits_of(model, data, np.arange(len(data.ids)))
    found = tuned.encoder.encode(data.ids) @ tuned.weights + tuned.bias
    assert expected[:, 0].std() > 0.5
    assert found == pytest.approx(expected, abs=tolerance)


@pytest.mark.slow
@with_torch
def test_outcome_that_nobody_knows_teaches_nothing(encoder, tmp_path):
    """Of the cheap model's outcomes alone an encoder is tuned too; the frontier model's head stays
    at one half.
    """
    data = made_up()
    data.failure[:, 1] = np.nan
    data.gain[:] = np.nan
    tuned = tune(encoder, tmp_path, data)
    assert np.isfinite(tuned.weights).all()
    assert np.abs(tuned.weights[:, 0]).max() > 0
    assert (np.abs(tuned.weights[:, 1]).max(), tuned.bias[1]) == (0.0, 0.0)


@pytest.mark.slow
@with_torch
def test_encoder_that_sees_all_samples_keeps_its_last_epoch(encoder, tmp_path):
    """Nothing is held out of it, so nothing says which epoch was best; two of 25 steps each."""
    told = []
    tuned = tune(encoder, tmp_path, made_up(unseen=0), progress=told.append)
    assert tuned.epochs == 2
    assert told[-1] == "fine-tuning: step 50 of 50 on cpu"


@pytest.mark.slow
@with_torch
def test_tuned_encoder_says_after_how_many_epochs_it_was_best(encoder, tmp_path):
    data = made_up(200, unseen=50)
    model, losses = train(encoder, data, tmp_path, **TOO_FAST)
    assert model.epochs == np.argmin(losses) + 1


def test_too_few_samples_are_refused_where_none_are_held_out(tmp_path):
    with pytest.raises(TooFewSamplesError, match=r"got 19 and 0"):
        tune(untrained(tmp_path / "encoder"), tmp_path / "cache", made_up(19, unseen=0))


def test_engine_whose_workers_cannot_train_together_is_refused():
    with pytest.raises(InvalidValueError, match="must have workers that train together"):
        with tuning_on(LocalEngine(processes=2)):
            pass


@pytest.mark.parametrize(("n", "world"), [(16, 2), (3, 4)])
def test_parts_of_a_batch_hold_each_row_once(n, world):
    """One that would be empty has a row that counts nothing."""
    pytest.importorskip("torch", reason="needs the encoders extra: make test-slow")
    from difficulty.encoders.trainer import _parted

    rows, weight = np.arange(100, 100 + n), np.arange(1.0, n + 1)
    parts = _parted(rows, weight, world)
    assert len(parts) == world
    assert all(len(part) for part, _ in parts)
    total = np.zeros(n)
    for part, own in parts:
        total[part - 100] += own
    assert total.tolist() == weight.tolist()


@pytest.mark.slow
@with_torch
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets to the collector
def test_workers_of_ray_train_together(encoder, tmp_path, monkeypatch):
    """Without what is dropped by chance two workers come to the weights of one process but for the
    order of sums, the same each time.
    """
    pytest.importorskip("ray", reason="needs the extra scale: make test-scale")
    folder = write_sentence_encoder(
        tmp_path / "bert", [f"w{number}" for number in range(N_WORDS)], dropout=0.0
    )
    alone = tune(folder, tmp_path / "alone")
    with open_engine("ray", workers=2) as engine, tuning_on(engine):
        told = []
        first = tune(folder, tmp_path / "first", progress=told.append)
        again = tune(folder, tmp_path / "again")
    assert told == ["fine-tuning on 2 workers together"]
    assert again.weights.tolist() == first.weights.tolist()
    assert again.encoder.digest == first.encoder.digest
    assert first.epochs == alone.epochs
    assert first.weights == pytest.approx(alone.weights, abs=5e-3 * np.abs(alone.weights).max())
    vectors = [each.encoder.encode(made_up().ids) for each in (alone, first)]
    assert vectors[1] == pytest.approx(vectors[0], abs=2e-3)
