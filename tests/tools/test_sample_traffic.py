"""The sample traffic: reproducible, valid, as its card says, and neither trivial nor hopeless to
learn from.
"""

import gzip
import itertools
import json
import re
import tomllib
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.records import Message, Prices, Sample
from tools.sample_traffic.__main__ import main
from tools.sample_traffic.generator import (
    SAMPLE_SEED,
    SAMPLE_SIZE,
    TASK_SHARES,
    draw_requests,
    generate,
    write_sample,
)
from tools.sample_traffic.outcomes import (
    CHEAP,
    FRONTIER,
    chance_right,
    draw_outcome,
    visible_difficulty,
)
from tools.sample_traffic.pen import Pen, sentences
from tools.sample_traffic.request import TASKS, Load, Traits

DATA = Path(__file__).parents[2] / "data"


def _rows(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def rows():
    return _rows(DATA / "sample.jsonl.gz")


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(7)
    return [(request, draw_outcome(request, rng, rng)) for request in draw_requests(3000, rng=rng)]


def _sample(row):
    messages = tuple(Message(**message) for message in row["messages"])
    return Sample(
        **row | {"messages": messages, "timestamp": datetime.fromisoformat(row["timestamp"])}
    )


def _known(rows, field):
    return [row[field] for row in rows if row[field] is not None]


def test_pen_fills_slots_inside_of_slots():
    """A slot may become text with further slots, and a number keeps to its range."""
    pen = Pen(np.random.default_rng(0), {"whole": ["$part and ${3-3}"], "part": ["this"]})
    assert pen.fill("($whole), 5$ or $$PATH") == "(this and 3), 5$ or $$PATH"


def test_slot_that_comes_twice_gets_two_fillings():
    """Nobody moves from one city to the same city; where there is one filling, it comes again."""
    pen = Pen(np.random.default_rng(0), {"city": ["Lyon", "Graz"], "team": ["legal"]})
    assert {pen.fill("$city to $city") for _ in range(20)} == {"Lyon to Graz", "Graz to Lyon"}
    assert pen.fill("$team, $team") == "legal, legal"


def test_pen_refuses_an_unknown_slot():
    with pytest.raises(KeyError, match="nothing_of_the_kind"):
        Pen(np.random.default_rng(0)).fill("$nothing_of_the_kind")


def test_sentences_start_with_a_capital_and_have_the_right_article():
    assert sentences("the lift stops. a apple fell!\nwhy") == "The lift stops. An apple fell!\nWhy"


def test_visible_difficulty_adds_up():
    """Worked by hand from the constants in the card: 0.16 + 2 * 0.05 + 0.36 + 0.50 + 0.02 * 1 + 10
    * 0.004; and, of a summary, 0.20 + 0.2 * 0.96 + 0.16 * 1.
    """
    asked = {"load": Load(steps=2, arithmetic=1), "rare": True}
    code = Traits(task="code", n_words=200, code_lines=10, **asked)
    assert visible_difficulty(code) == pytest.approx(1.18)
    summary = Traits(task="summarize", n_words=400, **asked)
    assert visible_difficulty(summary) == pytest.approx(0.552)


def test_chance_right_falls_with_difficulty_and_favours_the_frontier_model():
    difficulty = np.linspace(0.0, 2.0, 21)
    cheap, frontier = (
        [chance_right(float(d), model) for d in difficulty] for model in (CHEAP, FRONTIER)
    )
    assert all(left > right for left, right in itertools.pairwise(cheap))
    assert all(f > c for d, c, f in zip(difficulty, cheap, frontier, strict=True) if d > 0.2)


def test_generate_is_a_function_of_its_seed():
    first, again, other = (
        list(generate(60, rng=np.random.default_rng(seed))) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("n", [0, -3])
def test_generate_refuses_to_write_nothing(n):
    with pytest.raises(InvalidValueError, match="must be at least 1"):
        list(generate(n, rng=np.random.default_rng(0)))


def test_write_sample_writes_the_same_bytes_each_time(tmp_path):
    write_sample(tmp_path / "a.jsonl.gz", n=40, seed=3)
    main(["-o", str(tmp_path / "b.jsonl.gz"), "-n", "40", "--seed", "3"])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_shipped_sample_is_what_the_generator_writes(rows):
    """Lines are compared, not bytes: another zlib packs the same lines differently."""
    assert rows == list(generate(SAMPLE_SIZE, rng=np.random.default_rng(SAMPLE_SEED)))
    assert (DATA / "sample.jsonl.gz").stat().st_size < 1_100_000


def test_rows_keep_the_traffic_contract(rows):
    """Every row becomes a sample, so each has text, outcomes in range and at least one of them."""
    samples = [_sample(row) for row in rows]
    assert len({sample.id for sample in samples}) == len(samples)
    assert {sample.cheap_model for sample in samples} == {"example/cheap-8b"}
    assert all(
        sample.timestamp.tzinfo and sample.timestamp.month in (7, 8, 9) for sample in samples
    )
    assert [sample.timestamp for sample in samples] == sorted(
        sample.timestamp for sample in samples
    )


def test_base_rates_are_those_of_the_card(rows):
    cheap, frontier = _known(rows, "cheap_quality"), _known(rows, "frontier_quality")
    assert np.mean(cheap) == pytest.approx(0.79, abs=0.015)
    assert np.mean(frontier) == pytest.approx(0.915, abs=0.015)
    assert 0.91 < len(frontier) / len(rows) < 0.95
    assert 0.94 < len(cheap) / len(rows) < 0.97
    assert 0.2 < len(_known(rows, "cheap_passed")) / len(rows) < 0.35


def test_task_mix_is_that_of_the_card(rows):
    shares = Counter(row["task"] for row in rows)
    assert set(shares) == set(TASKS) == set(TASK_SHARES)
    assert all(
        shares[task] / len(rows) == pytest.approx(share, abs=0.025)
        for task, share in TASK_SHARES.items()
    )


def test_tasks_are_as_the_story_says(rows):
    """The cheap model does short routine tasks nearly as well as the frontier model, and plans
    badly.
    """
    known = [row for row in rows if None not in (row["cheap_quality"], row["frontier_quality"])]
    gains = {
        task: np.array(
            [
                (row["cheap_quality"], row["frontier_quality"])
                for row in known
                if row["task"] == task and row["prompt_tokens"] < 256
            ]
        ).mean(axis=0)
        for task in TASKS
    }
    for task in ("classify", "extract", "summarize"):
        cheap, frontier = gains[task]
        assert cheap > 0.87
        assert 0.0 < frontier - cheap < 0.065
    cheap, frontier = gains["multi-step planning"]
    assert cheap < 0.45
    assert frontier - cheap > 0.35
    for task in ("question answering", "code"):
        cheap, frontier = gains[task]
        assert 0.1 < frontier - cheap < 0.3


def test_only_summaries_are_graded(rows):
    assert {row["cheap_quality"] for row in rows if row["task"] == "summarize"} == {
        None,
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
    }
    assert {row["cheap_quality"] for row in rows if row["task"] != "summarize"} == {None, 0.0, 1.0}


def test_answers_that_failed_show_it_more_often(rows):
    """A label with excuses is the plainest sign."""
    labels = [
        row
        for row in rows
        if row["task"] == "classify" and row["cheap_answer"] and row["cheap_quality"] is not None
    ]
    shown = {
        quality: np.mean(
            [" " in row["cheap_answer"] for row in labels if row["cheap_quality"] == quality]
        )
        for quality in (0.0, 1.0)
    }
    assert shown[0.0] == pytest.approx(0.6, abs=0.12)
    assert shown[1.0] == pytest.approx(0.08, abs=0.03)


def test_some_answers_were_not_kept(rows):
    lost = np.mean([row["cheap_answer"] is None for row in rows])
    assert lost == pytest.approx(0.04, abs=0.01)


def test_frontier_answers_are_longer(rows):
    assert (
        1.15
        < np.mean([row["frontier_tokens"] for row in rows])
        / np.mean([row["cheap_tokens"] for row in rows])
        < 1.35
    )


def test_hard_requests_fail_more_often_and_more_with_the_cheap_model(labelled):
    """The text shows why a request fails, but not fully."""
    known = [
        (request, outcome)
        for request, outcome in labelled
        if None not in (outcome.cheap_quality, outcome.frontier_quality)
    ]
    visible = np.array([visible_difficulty(request.traits) for request, _ in known])
    cheap = np.array([outcome.cheap_quality for _, outcome in known])
    frontier = np.array([outcome.frontier_quality for _, outcome in known])
    assert 0.45 < np.corrcoef(visible, 1.0 - cheap)[0, 1] < 0.85
    middle = (visible > 0.45) & (visible < 0.95)
    assert (frontier - cheap)[middle].mean() > (frontier - cheap)[visible < 0.3].mean() + 0.2


def test_nobody_answers_most_impossible_requests(labelled):
    impossible = [
        outcome.frontier_quality for request, outcome in labelled if request.traits.impossible
    ]
    assert 0.03 < len(impossible) / len(labelled) < 0.07
    assert np.mean([quality for quality in impossible if quality is not None]) < 0.6


@pytest.mark.long
def test_requests_sent_again_stay_in_their_group_and_are_few(rows):
    """Word trigrams of 1,500 requests: few pairs share four fifths, and nearly all of those come
    from one sender.
    """
    shingles = [_trigrams(row) for row in rows[:1500]]
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(shingles)), 2)
        if _alike(shingles[i], shingles[j])
    ]
    assert 0.01 < len({later for _, later in pairs}) / len(shingles) < 0.035
    assert sum(rows[i]["group"] != rows[j]["group"] for i, j in pairs) <= 3


def _trigrams(row):
    words = re.findall(r"\w+", " ".join(message["content"] for message in row["messages"]).lower())
    return {tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))}


def _alike(left, right):
    smaller, larger = sorted((len(left), len(right)))
    return smaller >= 0.8 * larger and len(left & right) >= 0.8 * len(left | right)


def test_example_prices_are_prices():
    prices = tomllib.loads((DATA / "prices.example.toml").read_text(encoding="utf-8"))
    sides = {
        f"{model}_{side}": prices[model][side]
        for model in ("cheap", "frontier")
        for side in ("input", "output")
    }
    assert Prices(date=prices["date"], **sides).frontier_output > prices["cheap"]["output"]
