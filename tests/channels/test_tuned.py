"""A model with a fine-tuned encoder: made-up heads stand for the training, which is not needed
here.
"""

import hashlib
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from difficulty.channels import task_channels_of
from difficulty.channels.heads import LinearHead
from difficulty.channels.length import LengthChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.tuned import TunedChannel, TunedPart, held_out, part_of
from difficulty.errors import RunError
from difficulty.export.graph import build_graph, task_ids
from difficulty.model.combination import GainWeights, fit_combination
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.saved_model import load_model, save_model
from difficulty.tokens import pad
from tests.fakes import (
    VOCABULARY,
    labelled_tokens,
    load_encoder,
    load_transformer,
    random_ids,
    with_tasks,
)

SHARE = 0.3
TOLERANCE = 1e-5
TASKS = ["easy", "hard", "middle"]
FIT, CALIBRATION = labelled_tokens(400), labelled_tokens(150, seed=1)
SEEN = ~held_out(FIT.groups, SHARE)
GROUPS = [f"group {number}" for number in range(4_000)]


@pytest.fixture(
    scope="module", params=[load_encoder, load_transformer], ids=["static", "transformer"]
)
def encoder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("encoder"))


def heads_of(encoder, *, frontier=True):
    """Return heads as tuning would: the cheap model's failure grows along one direction, the
    frontier model's along another.
    """
    cheap, other = np.random.default_rng(4).normal(size=(2, encoder.dim))
    return LinearHead(2.0 * cheap, -0.3), LinearHead(other, -2.0) if frontier else None


def tuned_model(
    encoder, fit=FIT, calibration=CALIBRATION, *, tasks=(), target="benefit", frontier=True
):
    """Return a fitted model with n-grams and a tuned encoder."""
    tuned = TunedChannel(encoder, held_out=SHARE, heads=heads_of(encoder, frontier=frontier))
    channels = [NgramChannel(len(VOCABULARY), buckets=512), tuned]
    model = DifficultyModel(
        channels,
        task_channels=task_channels_of(channels, tasks),
        target=target,
        rng=np.random.default_rng(7),
    )
    return model.fit(fit, calibration)


def with_changed_outcomes(data, rows):
    """Return the requests with the outcomes of some turned round."""
    cheap, frontier = data.outcomes.cheap_quality.copy(), data.outcomes.frontier_quality.copy()
    cheap[rows], frontier[rows] = 1.0 - cheap[rows], 1.0 - frontier[rows]
    return replace(
        data, outcomes=replace(data.outcomes, cheap_quality=cheap, frontier_quality=frontier)
    )


def weights_of(combination):
    return [
        *combination.cheap.stack.coefficients,
        *combination.frontier.stack.coefficients,
        *combination.gain.weights,
    ]


def test_tuned_heads_are_taken_as_they_are(encoder):
    """They were fitted when the encoder was; what a channel says is its embedding times them."""
    model = tuned_model(encoder)
    heads, fitted = model.channels[1].heads, model.fitted_["tuned"]
    assert fitted.state is None
    assert (fitted.cheap is heads[0], fitted.frontier is heads[1]) == (True, True)
    logits = model._logits([channel.prepare(FIT.ids) for channel in model.channels])
    assert logits.cheap[:, 1] == pytest.approx(
        encoder.encode(FIT.ids) @ heads[0].coefficients - 0.3
    )


def out_of_fold(channels, data):
    """Return the logits that a model of these channels combines, and the folds."""
    model = DifficultyModel(channels, rng=np.random.default_rng(7))
    fold = model._folds(data)
    return model._out_of_fold(model._prepare(data.ids, None), data, fold), fold


def test_combination_is_fitted_on_held_out_samples_alone(encoder):
    """By hand: out-of-fold logits of those samples and no other, shrinking towards equal
    weights.
    """
    model = tuned_model(encoder)
    logits, _ = out_of_fold(model.channels, FIT)
    rows = np.flatnonzero(~SEEN)
    even = GainWeights(np.array([0.5, 0.5]), 0.0)
    expected = fit_combination(
        logits[rows, [0, 1]], FIT.outcomes[rows], target="benefit", start=even, prior=even.weights
    )
    assert weights_of(model.without_task_) == pytest.approx(weights_of(expected))


def test_outcomes_that_the_encoder_saw_do_not_combine_it(encoder, monkeypatch):
    """Held-out outcomes do. The n-gram heads are kept as they are, since every outcome moves
    those.
    """
    kept = tuned_model(encoder)._fit_channels
    monkeypatch.setattr(
        DifficultyModel,
        "_fit_channels",
        lambda self, prepared, data, rows: kept(prepared, FIT, rows),
    )
    plain, seen, unseen = (
        weights_of(tuned_model(encoder, data).without_task_)
        for data in (FIT, with_changed_outcomes(FIT, SEEN), with_changed_outcomes(FIT, ~SEEN))
    )
    assert seen == plain
    assert np.abs(np.subtract(unseen, plain)).max() > 0.01


def test_combination_where_the_task_is_known_is_fitted_on_held_out_samples_alone(
    encoder, monkeypatch
):
    fit, calibration = with_tasks(FIT, seed=2), with_tasks(CALIBRATION, seed=3)
    kept = tuned_model(encoder, fit, calibration, tasks=TASKS)._fit_channels
    monkeypatch.setattr(
        DifficultyModel,
        "_fit_channels",
        lambda self, prepared, data, rows: kept(prepared, fit, rows),
    )
    models = [
        tuned_model(encoder, data, calibration, tasks=TASKS)
        for data in (fit, with_changed_outcomes(fit, SEEN), with_changed_outcomes(fit, ~SEEN))
    ]
    assert [channel.name for channel in models[0].channels_beside_task] == ["ngrams+task", "tuned"]
    plain, seen, unseen = (weights_of(model.with_task_) for model in models)
    assert seen == plain
    assert np.abs(np.subtract(unseen, plain)).max() > 0.01


def test_out_of_fold_scores_of_seen_samples_leave_the_tuned_encoder_out(encoder):
    """A head that knew every outcome by heart would change them else; of held-out samples it is
    heard.
    """
    one = tuned_model(encoder)
    loud = TunedChannel(
        encoder,
        held_out=SHARE,
        heads=tuple(LinearHead(5.0 * head.coefficients, 1.0) for head in heads_of(encoder)),
    )
    other = DifficultyModel([one.channels[0], loud], rng=np.random.default_rng(7)).fit(
        FIT, CALIBRATION
    )
    for name in ("difficulty_score", "p_cheap_fails", "p_frontier_fails"):
        before, after = (getattr(model.out_of_fold_.scores, name) for model in (one, other))
        assert after[SEEN].tolist() == before[SEEN].tolist(), name
        assert (after[~SEEN] != before[~SEEN]).all(), name


def test_out_of_fold_scores_of_held_out_samples_are_the_models_own(encoder):
    """Its combination and calibration, on logits by n-gram heads of other folds."""
    model = tuned_model(encoder)
    logits, fold = out_of_fold(model.channels, FIT)
    assert model.out_of_fold_.fold.tolist() == fold.tolist()
    expected = model.without_task_.scores(logits).difficulty_score
    assert model.out_of_fold_.scores.difficulty_score[~SEEN] == pytest.approx(expected[~SEEN])


CHOICES = {
    "benefit": {},
    "failure": {"target": "failure"},
    "cheap only": {
        "target": "failure",
        "frontier": False,
        "fit": labelled_tokens(400, frontier=False),
        "calibration": labelled_tokens(150, seed=1, frontier=False),
    },
    "tasks": {
        "fit": with_tasks(FIT, seed=2),
        "calibration": with_tasks(CALIBRATION, seed=3),
        "tasks": TASKS,
    },
}
IDS = [[], [5], *random_ids(np.random.default_rng(1), 60)]
TOLD = (["easy", None, "hard", "not known"] * len(IDS))[: len(IDS)]


@pytest.fixture(params=CHOICES, ids=str)
def model(request, encoder):
    return tuned_model(encoder, **CHOICES[request.param])


def test_out_of_fold_scores_are_probabilities_for_every_sample(model):
    scores = model.out_of_fold_.scores.by_name()
    assert {"difficulty_score", "p_cheap_fails"} <= set(scores)
    for name, values in scores.items():
        assert ((values > 0) & (values < 1)).all(), name
        assert len(values) == len(FIT)


def test_model_read_back_gives_the_same_scores_to_the_last_bit(model, encoder, tmp_path):
    save_model(model, tmp_path)
    again = load_model(tmp_path, encoder=encoder)
    before, after = (one.predict(IDS, TOLD).by_name() for one in (model, again))
    assert {name: values.tolist() for name, values in after.items()} == {
        name: values.tolist() for name, values in before.items()
    }
    assert next(channel for channel in again.channels if channel.name == "tuned").held_out == SHARE


def test_model_and_graph_agree(model):
    session = ort.InferenceSession(
        build_graph(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    known = task_ids(model)
    rows, mask = pad(
        [[known[task], *ids] if task in known else ids for ids, task in zip(IDS, TOLD, strict=True)]
    )
    names = [one.name for one in session.get_outputs()]
    outputs = dict(
        zip(names, session.run(names, {"input_ids": rows, "attention_mask": mask}), strict=True)
    )
    expected = model.predict(IDS, TOLD).by_name()
    assert list(outputs) == list(expected)
    for name, values in expected.items():
        assert outputs[name] == pytest.approx(values, abs=TOLERANCE), name


def test_model_with_another_encoder_is_refused(encoder, tmp_path):
    save_model(tuned_model(encoder), tmp_path)
    with pytest.raises(
        RunError, match="the model was fitted with encoder [0-9a-f]{12}: got [0-9a-f]{12}"
    ):
        load_model(tmp_path, encoder=load_encoder(tmp_path / "other", seed=1))


def test_length_is_not_taken_to_know_as_much_as_a_tuned_encoder(encoder):
    """Where no gain is known the weights are those that are shrunk to; a length alone would drag
    them off.
    """
    tuned = TunedChannel(encoder, held_out=SHARE, heads=heads_of(encoder))
    model = DifficultyModel(
        [NgramChannel(len(VOCABULARY), buckets=512), tuned, LengthChannel()],
        rng=np.random.default_rng(7),
    )
    unknown = replace(FIT.outcomes, frontier_quality=np.full(len(FIT), np.nan))
    assert model.fit(
        replace(FIT, outcomes=unknown), CALIBRATION
    ).without_task_.gain.weights.tolist() == [0.5, 0.5, 0.0]


def test_lot_of_a_group_by_hand():
    """The first eight bytes of its hash, as a fraction: groups below the share are held out."""
    first = hashlib.sha256(b"held out:a").digest()[:8][::-1]
    lot = int.from_bytes(first, "big") / 2**64
    assert held_out(["a"], lot).tolist() == [False]
    assert held_out(["a"], lot + 1e-9).tolist() == [True]


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_share_of_the_groups_is_met(share):
    """Of 4,000 groups, within five deviations."""
    found = held_out(GROUPS, share)
    assert found.dtype == np.bool_
    assert found.mean() == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / len(GROUPS)))


def test_requests_of_a_group_share_its_lot_wherever_they_stand():
    once = dict(zip(GROUPS, held_out(GROUPS, 0.3), strict=True))
    mixed = [*GROUPS[::-1], "new", *GROUPS[:50]]
    assert [
        bool(unseen)
        for group, unseen in zip(mixed, held_out(mixed, 0.3), strict=True)
        if group in once
    ] == [bool(once[group]) for group in mixed if group in once]


def test_larger_share_holds_out_the_same_groups_and_more():
    few, many = held_out(GROUPS, 0.1), held_out(GROUPS, 0.2)
    assert not (few & ~many).any()
    assert (many & ~few).any()


def test_no_groups_hold_nothing_out():
    assert held_out([], 0.5).tolist() == []


def parted(encoder):
    """Return a tuned channel that sees all samples, with two parts whose heads differ."""
    cheap, frontier = heads_of(encoder)
    other = LinearHead(-cheap.coefficients, 1.5), frontier
    parts = [TunedPart(encoder, (cheap, frontier)), TunedPart(encoder, other)]
    return TunedChannel(encoder, held_out=0.0, heads=(cheap, frontier), parts=parts)


def test_parts_are_dealt_by_the_name_of_the_group_alone():
    part = part_of(GROUPS, 3)
    assert np.bincount(part).min() > 1_200
    assert part_of(GROUPS[5:10], 3).tolist() == part[5:10].tolist()
    assert not held_out(GROUPS, 0.0).any()


def test_what_is_said_of_a_part_is_said_by_the_encoder_that_did_not_see_it(encoder):
    """By hand: each part by its own heads, and then with the mean that all have."""
    channel, part = parted(encoder), part_of(FIT.groups, 2)
    cheap, _ = channel.logits_unseen(FIT.ids, FIT.groups)
    vectors, direction = encoder.encode(FIT.ids), channel.heads[0].coefficients
    raw = np.where(part == 0, vectors @ direction - 0.3, 1.5 - vectors @ direction)
    for number in (0, 1):
        rows = part == number
        assert cheap[rows] == pytest.approx(raw[rows] - raw[rows].mean() + raw.mean())


def test_model_with_parts_learns_from_all_samples(encoder):
    """Every sample combines the channels, by what the parts say of it, and calibration may be
    cross-fitted.
    """
    channels = [NgramChannel(len(VOCABULARY), buckets=512), parted(encoder)]
    model = DifficultyModel(channels, rng=np.random.default_rng(7), calibration="cross")
    model.fit(FIT, CALIBRATION)
    both = FIT.joined(CALIBRATION)
    assert model._unseen(both.groups).all()
    logits, _ = out_of_fold(channels, both)
    assert (
        logits.cheap[:, 1].tolist() == channels[1].logits_unseen(both.ids, both.groups)[0].tolist()
    )
    expected = fit_combination(logits, both.outcomes, target="benefit", shares=model.shares([0, 1]))
    assert weights_of(model.without_task_) == pytest.approx(weights_of(expected))


def test_model_with_parts_is_saved_without_them(encoder, tmp_path):
    """The scorer needs the encoder that saw all samples alone."""
    channels = [NgramChannel(len(VOCABULARY), buckets=512), parted(encoder)]
    model = DifficultyModel(channels, rng=np.random.default_rng(7), calibration="cross")
    model.fit(FIT, CALIBRATION)
    save_model(model, tmp_path)
    again = load_model(tmp_path, encoder=encoder)
    assert (again.channels[1].held_out, again.channels[1].parts) == (0.0, ())
    assert again.predict(FIT.ids).difficulty_score.tolist() == pytest.approx(
        model.predict(FIT.ids).difficulty_score.tolist()
    )
