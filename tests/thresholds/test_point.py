import numpy as np
import pytest

from difficulty.errors import InvalidValueError, NotAttainableError, UnknownNameError
from difficulty.registry import resolve
from difficulty.thresholds import OBJECTIVES
from difficulty.thresholds.curve import PolicyCurve
from difficulty.thresholds.point import Objective, choose, operating_point, parse_objective
from tests.thresholds.conftest import NAN, scored


def seeded():
    return np.random.default_rng(0)


@pytest.fixture
def many():
    """Four hundred requests in groups of two, the score knowing something of the gain, a tenth of each fixed route."""
    rng = np.random.default_rng(3)
    score = np.round(rng.random(400), 2)
    gain = np.where(rng.random(400) < score, rng.integers(-1, 3, 400).clip(-1, 1), 0.0)
    gain[rng.random(400) < 0.1] = NAN
    cost = rng.gamma(2, 1e-4, 400)
    return scored(
        score,
        gain=gain,
        cheap=rng.choice([0.0, 0.5, 1.0], 400),
        fixed=rng.choice([NAN, 0.0, 1.0], 400, p=[0.8, 0.1, 0.1]),
        groups=np.repeat(np.arange(200), 2).astype(str),
        costs=(cost, 20 * cost),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("share=0.3", ("share", 0.3)), (" quality = 0.9 ", ("quality", 0.9)), ("share=1e-3", ("share", 0.001)), ("share=70", ("share", 70.0))],
)
def test_objective_is_read(text, expected):
    assert parse_objective(text) == expected


def test_objective_is_written_as_the_user_wrote_it():
    assert [str(Objective("share", value)) for value in (0.3, 1.0, 0.125)] == ["share=0.3", "share=1", "share=0.125"]


@pytest.mark.parametrize("text", ["share", "", "0.3", "share=", "share=a third", "share=0.3=0.4", "share=30%"])
def test_objective_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(InvalidValueError, match="objective must be written as name=number: got .* For example: share=0.3 or quality=0.9"):
        parse_objective(text)


@pytest.mark.parametrize("text", ["shares=0.3", "=0.3", "Share=0.3"])
def test_unknown_objective_names_the_known_ones(text):
    with pytest.raises(UnknownNameError, match=r"unknown objective .*\. Known: quality, share\."):
        parse_objective(text)


def test_percentage_is_refused_with_a_hint():
    with pytest.raises(InvalidValueError, match=r"share must be in \[0, 1\]: got 70.0. Shares are fractions, not percentages"):
        choose(scored([0.2, 0.8]), parse_objective("share=70"), n_draws=10, rng=seeded())


def test_operating_point_by_hand():
    """At threshold 0.5 the first two requests are sent: qualities 1, 1, 1, 0, half the requests, one of a gap of two, costs in mills."""
    traffic = scored([0.9, 0.8, 0.2, 0.1], cheap=[0, 1, 1, 0], gain=[1, 0, 0, 1], costs=([0.001] * 4, [0.011] * 4))
    point = operating_point(traffic, 0.5, objective="share=0.5", n_draws=200, rng=seeded())
    assert point.frontier_share.value == 0.5
    assert point.quality.value == 0.75
    assert point.gap_recovered.value == 0.5
    assert point.cost.value == pytest.approx(1000 * (0.011 * 2 + 0.001 * 2) / 4)
    assert [estimate.n for estimate in (point.frontier_share, point.quality, point.gap_recovered, point.cost)] == [4, 4, 4, 4]


def test_weighted_operating_point_by_hand():
    point = operating_point(scored([0.9, 0.1], cheap=[0, 1], gain=[1, -1], weight=[3, 1]), 0.5, objective="x", n_draws=10, rng=seeded())
    assert (point.frontier_share.value, point.quality.value) == (0.75, 1.0)
    assert point.gap_recovered.value == pytest.approx(3 / 2)


def test_intervals_contain_the_value(many):
    point = choose(many, Objective("share", 0.3), n_draws=300, rng=seeded())
    for name in ("frontier_share", "quality", "gap_recovered", "cost"):
        estimate = getattr(point, name)
        assert estimate.low < estimate.value < estimate.high, name
        assert 0 < estimate.n <= 400


def test_unknown_figures_say_why():
    point = operating_point(scored([0.9, 0.1], cheap=[0.5, 1]), 0.5, objective="share=0.5", n_draws=10, rng=seeded())
    assert point.frontier_share.value == 0.5
    assert (point.quality.value, point.quality.note) == (None, "no request has both outcomes known")
    assert point.gap_recovered.note == "no request has both outcomes known, or the frontier model is not better"
    assert point.cost.note == "no prices were given, or no token counts are known"


def test_same_seed_same_point(many):
    one, other = (choose(many, Objective("quality", 0.5), n_draws=50, rng=seeded()).as_dict() for _ in range(2))
    assert one == other
    assert one["objective"] == "quality=0.5"


ATTAINABLE = {"share": (0.25, 0.5, 1.0), "quality": (0.2, 0.5, 0.8)}
"""For the contract below: numbers that every objective can be asked for on the traffic ``many``."""


def test_every_objective_has_numbers_for_the_contract():
    assert set(ATTAINABLE) == set(OBJECTIVES)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ATTAINABLE.items() for value in values])
def test_objective_keeps_the_contract(many, name, value):
    """It gives a threshold of the curve, the same each time; the point carries it, and what was asked for stands in its objective."""
    find = resolve(name, OBJECTIVES, kind="objective")
    curve = PolicyCurve.of(many)
    threshold = find(curve, value)
    assert isinstance(threshold, float)
    assert threshold in curve.thresholds
    assert find(curve, value) == threshold
    point = choose(many, Objective(name, value), n_draws=20, rng=seeded())
    assert (point.threshold, point.objective) == (threshold, f"{name}={value:g}")


@pytest.mark.parametrize("value", [-1.0, 1.5, NAN, float("inf")])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_refuses_what_it_cannot_mean(many, name, value):
    with pytest.raises(InvalidValueError, match=f"{name} must be"):
        choose(many, Objective(name, value), n_draws=20, rng=seeded())


@pytest.mark.parametrize(("name", "value", "fixed"), [("share", 0.1, 1.0), ("quality", 0.9, 0.0)])
def test_objective_that_cannot_be_reached_exits_with_1(name, value, fixed):
    """The input is fine and the answer is no."""
    with pytest.raises(NotAttainableError, match="Nearest|Take tasks out") as caught:
        choose(scored([0.3, 0.6], gain=[1, 1], fixed=[fixed, fixed]), Objective(name, value), n_draws=10, rng=seeded())
    assert caught.value.exit_code == 1
