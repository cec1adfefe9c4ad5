"""Choosing requests to label: with their copies, in rounds, stopped early."""

import json

import numpy as np
import pytest

from difficulty.encoders.base import load_encoder
from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.labelling import selection
from difficulty.labelling.selection import choose_requests
from difficulty.labelling.telling import Sides, clusters_of, telling_sizes
from difficulty.stages.ingest import ingest
from difficulty.traffic.table import Traffic
from tests.fakes import write_encoder

KINDS = 6


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(write_encoder(tmp_path_factory.mktemp("encoder") / "words"))


def ingested(folder, rows, **options):
    source = folder / "rows.jsonl"
    source.write_text(
        "".join(json.dumps({"id": str(n), **row}) + "\n" for n, row in enumerate(rows))
    )
    ingest([source], folder / "rows.parquet", near_duplicates=False, overwrite=True, **options)
    return Traffic.read(folder / "rows.parquet")


def texts(n, *, seed=0):
    """Return requests of kinds with words of their own; the last kind is rare."""
    rng = np.random.default_rng(seed)
    kinds = np.minimum(rng.integers(0, 4 * KINDS, n) // 4, KINDS - 1)
    kinds[rng.random(n) < 0.04] = KINDS
    words = kinds[:, None] * 25 + rng.integers(1, 25, (n, 5))
    return kinds, [" ".join(f"w{word}" for word in row) + f" n{i}" for i, row in enumerate(words)]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory):
    """400 requests without outcomes; every fifth has three copies more."""
    _, said = texts(250)
    rows = [{"prompt": text} for text in said]
    rows += [{"prompt": said[n].upper() + "!"} for n in range(0, 250, 5) for _ in range(3)]
    return ingested(tmp_path_factory.mktemp("traffic"), rows)


def choose(traffic, n, encoder, **options):
    return choose_requests(traffic, n, encoder=encoder, **options)


def test_it_chooses_the_number_asked_for_and_no_copy_twice(traffic, encoder):
    choice = choose(traffic, 60, encoder)
    assert len(choice) == len(set(choice.rows.tolist())) == 60
    keys = [traffic.bare_keys()[row] for row in choice.rows]
    assert len(set(keys)) == 60
    assert choice.n_eligible == 400
    assert (
        "60 of 400 requests without a label are chosen, 150 of them copies" in (choice.sentences[0])
    )
    assert "50% of the chance of a plain random draw" in choice.sentences[1]
    assert "rare kinds" in choice.sentences[1]


def test_the_same_seed_chooses_the_same_and_another_seed_others(traffic, encoder):
    first, again, other = (choose(traffic, 30, encoder, seed=seed) for seed in (3, 3, 4))
    assert first.rows.tolist() == again.rows.tolist() != other.rows.tolist()
    assert first.inclusion == pytest.approx(again.inclusion)


def test_every_request_keeps_its_share_of_a_plain_draw(traffic, encoder):
    """A request with copies is one of four: its own chance is a quarter of its unit's."""
    plain = choose(traffic, 40, encoder, random_share=1.0)
    assert plain.inclusion == pytest.approx(np.full(40, 0.1))
    assert plain.sentences[1] == "Every request is as probable as any other."
    for share in (0.3, 0.7):
        assert choose(traffic, 40, encoder, random_share=share).inclusion.min() >= share * 0.1


def test_inclusions_are_how_often_a_request_is_chosen(traffic, encoder, monkeypatch):
    """100 seeds: the sum of 1 / inclusion is the number of requests, and so is that of any part of
    them, on average.
    """
    vectors = np.random.default_rng(0).normal(size=(400, 4))
    monkeypatch.setattr(selection, "embed", lambda part, _: vectors[: len(part)])
    value = np.random.default_rng(1).normal(size=400) + 1.0
    sums = []
    for seed in range(100):
        choice = choose(traffic, 30, encoder, seed=seed)
        inverse = 1 / choice.settled()[choice.rows]
        sums.append([inverse.sum(), inverse @ value[choice.rows]])
    error = np.std(sums, axis=0) / np.sqrt(100)
    assert (np.abs(np.mean(sums, axis=0) - [400, value.sum()]) < 3.5 * error).all()


def test_rare_kinds_come_more_often_than_by_chance(traffic, encoder, monkeypatch):
    """A tenth of the texts lies apart: as a cluster it counts by the root of its number."""
    rare = set(traffic.bare_keys()[225:250])
    monkeypatch.setattr(
        selection,
        "embed",
        lambda part, _: np.eye(2)[[int(key in rare) for key in part.bare_keys()]],
    )
    rows = [choose(traffic, 60, encoder, seed=seed, random_share=0.3).rows for seed in range(6)]
    assert np.isin(traffic.bare_keys(), list(rare))[np.concatenate(rows)].mean() > 0.13


def test_requests_of_which_the_score_is_unsure_come_more_often(traffic, encoder):
    unsure = np.arange(400) % 2 == 0
    p = np.where(unsure, 0.5, 0.001)
    scores = {"difficulty_score": p, "p_cheap_fails": p, "p_frontier_fails": p}
    rows = np.concatenate(
        [choose(traffic, 40, encoder, scores=scores, seed=seed).rows for seed in range(5)]
    )
    assert unsure[rows].mean() > 0.6


def test_requests_near_to_the_threshold_count_up_to_twice():
    score = np.linspace(0, 1, 101)
    sizes = telling_sizes(np.ones(101), np.zeros(101, int), Sides(score * 0 + 0.5), None)
    assert np.ptp(sizes) == 0.0
    near = telling_sizes(np.ones(101), np.zeros(101, int), Sides(score), 0.5) / telling_sizes(
        np.ones(101), np.zeros(101, int), Sides(score), None
    )
    assert near[50] == pytest.approx(2.0, abs=0.01)
    assert near[[0, 100]] == pytest.approx([1.0, 1.0], abs=0.01)


def test_what_is_sure_is_not_left_out():
    sizes = telling_sizes(np.ones(2), np.zeros(2, int), Sides(np.array([0.0, 0.5])), None)
    assert 0 < sizes[0] < sizes[1]


@pytest.mark.parametrize("vectors", [np.zeros((9, 3)), np.ones((2, 3)), np.zeros((0, 3))])
def test_texts_that_cannot_be_told_apart_are_one_cluster(vectors):
    assert set(clusters_of(vectors, 100, seed=0).tolist()) <= {0}


def labelled(traffic, choice, tried=None):
    """Return the file as a round leaves it."""
    column = choice.settled(tried)
    rows = choice.rows[:tried]
    quality = [None] * len(traffic)
    for row in rows:
        quality[row] = 0.5
    known = traffic.column("cheap_quality")
    quality = [old if old is not None else new for old, new in zip(known, quality, strict=True)]
    return traffic.with_columns(
        {
            "cheap_quality": quality,
            "frontier_quality": quality,
            "inclusion": [None if np.isnan(value) else float(value) for value in column],
        }
    )


def test_a_further_round_takes_others_and_updates_what_was_chosen(traffic, encoder):
    first = choose(traffic, 30, encoder)
    between = labelled(traffic, first)
    second = choose(between, 50, encoder, scores=np.linspace(0, 1, 400), threshold=0.4, seed=1)
    taken = {traffic.bare_keys()[row] for row in first.rows}
    assert not taken & {traffic.bare_keys()[row] for row in second.rows}
    assert "30 were chosen before" in second.sentences[0]
    column = second.settled()
    assert set(np.flatnonzero(~np.isnan(column))) == {*first.rows, *second.rows}
    assert (column[first.rows] > first.settled()[first.rows]).all()
    assert ((0 < column[~np.isnan(column)]) & (column[~np.isnan(column)] <= 1)).all()
    assert second.settled(0) == pytest.approx(first.settled(), nan_ok=True)


def test_sums_over_two_rounds_hold_for_all_requests(traffic, encoder, monkeypatch):
    """The second round goes by a score that the first one's outcomes decide."""
    vectors = np.random.default_rng(0).normal(size=(400, 4))
    monkeypatch.setattr(selection, "embed", lambda part, _: vectors[: len(part)])
    value = np.random.default_rng(1).random(400) ** 2
    sums = []
    for seed in range(60):
        first = choose(traffic, 20, encoder, seed=seed)
        scores = np.clip(value * (0.2 + value[first.rows].mean()), 0, 1)
        second = choose(labelled(traffic, first), 40, encoder, scores=scores, seed=seed + 999)
        column = second.settled(30)
        rows = np.flatnonzero(~np.isnan(column))
        sums.append([np.sum(1 / column[rows]), np.sum(value[rows] / column[rows])])
    error = np.std(sums, axis=0) / np.sqrt(60)
    assert (np.abs(np.mean(sums, axis=0) - [400, value.sum()]) < 3.5 * error).all()


def test_who_stops_early_has_chosen_each_with_the_same_chance(traffic, encoder):
    choice = choose(traffic, 40, encoder, random_share=1.0)
    column = choice.settled(10)
    assert np.isnan(column).sum() == 390
    assert column[choice.rows[:10]] == pytest.approx(np.full(10, 0.025))
    assert np.isnan(choice.settled(0)).all()
    with pytest.raises(InvalidValueError, match="tried must be between 0 and 40"):
        choice.settled(41)


def test_all_are_taken_where_there_are_no_more(tmp_path, encoder):
    traffic = ingested(tmp_path, [{"prompt": text} for text in ("a", "b", "B!")])
    choice = choose(traffic, 10, encoder)
    assert len(choice) == 2
    assert sorted(choice.inclusion) == [0.5, 1.0]


def test_requests_with_both_outcomes_are_not_chosen_nor_their_copies(tmp_path, encoder):
    both = {"cheap_quality": 1, "frontier_quality": 1}
    rows = [{"prompt": "a"} | both, {"prompt": "A"}, {"prompt": "b"}, {"prompt": "c"}]
    choice = choose(ingested(tmp_path, rows), 9, encoder)
    assert sorted(choice.rows.tolist()) == [2, 3]
    column = choice.settled()
    assert column[[2, 3]] == pytest.approx([1.0, 1.0])
    assert column[0] == 0.5  # it stands for its copy too
    assert np.isnan(column[1])


def test_other_instructions_or_tools_make_another_request(tmp_path, encoder):
    def asked(system=None, **more):
        messages = [{"role": "system", "content": system}] if system else []
        return {"messages": [*messages, {"role": "user", "content": "Go on"}], **more}

    rows = [asked(), asked("Be brief"), asked(tools=[{"name": "f"}]), asked(), asked("Be brief")]
    assert len(choose(ingested(tmp_path, rows), 9, encoder)) == 3


def test_near_copies_are_one_unit_where_no_groups_are_named(tmp_path, encoder):
    story = "A farmer has %d sheep and sells them on the market of the next town for money."
    for group, units in ((None, 1), ("tickets", 3)):
        rows = [{"prompt": story % n, "group": group} for n in (17, 23, 31)]
        source = tmp_path / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        ingest([source], tmp_path / "rows.parquet", overwrite=True)
        choice = choose(Traffic.read(tmp_path / "rows.parquet"), 9, encoder)
        assert (len(choice), set(choice.inclusion)) == (units, {1 / 3 if units == 1 else 1.0})


def test_of_very_many_a_plain_draw_comes_first(traffic, encoder, monkeypatch):
    monkeypatch.setattr(selection, "_LOOKED_AT", 50)
    monkeypatch.setattr(selection, "_LOOKED_AT_PER_LABEL", 2)
    sums = []
    for seed in range(40):
        choice = choose(traffic, 20, encoder, seed=seed)
        sums.append((1 / choice.inclusion).sum())
        assert len(choice) == 20
    assert abs(np.mean(sums) - 400) < 3.5 * np.std(sums) / np.sqrt(40)


def test_what_cannot_be_chosen_is_said(traffic, encoder):
    with pytest.raises(InvalidValueError, match="n must be 1 or more requests to label: got 0"):
        choose(traffic, 0, encoder)
    with pytest.raises(InvalidValueError, match="scores must have one entry for each of the 400"):
        choose(traffic, 5, encoder, scores=np.zeros(3))
    with pytest.raises(InvalidValueError, match="eligible must have one entry"):
        choose(traffic, 5, encoder, eligible=np.ones(3, bool))
    with pytest.raises(TooFewSamplesError, match="got 400, all labelled or chosen before"):
        choose(traffic, 5, encoder, eligible=np.zeros(400, bool))
    with pytest.raises(InvalidValueError, match="random_share must be above 0"):
        choose(traffic, 5, encoder, random_share=0.0)
