"""Honesty checks: each on what it is for, and on what it must let pass."""

import dataclasses
import sys

import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.evaluation import Finding, Provenance, evaluate
from difficulty.evaluation.decision.model_mix import ModelMix
from difficulty.evaluation.decision.order import order_text
from difficulty.evaluation.findings import CHECKS, Evidence, calibration_off, failing
from difficulty.evaluation.views import reliability
from difficulty.metrics import Resampling
from difficulty.records import Estimate

from .conftest import outcomes_of, scored_of

OWN = Provenance(requests=1000, own_traffic=True, seen={"same text": 400})
OTHER = Provenance(requests=600, own_traffic=False, seen={"same text": 0, "same group": 0})


def found(scored, provenance=None, n_draws=100):
    """Return severity and name of each finding."""
    result = evaluate(scored, Resampling(n_draws), provenance=provenance)
    return [(finding.severity, finding.name) for finding in result.findings]


@pytest.mark.parametrize("provenance", [None, OTHER])
def test_sound_evaluation_has_no_finding(many, provenance):
    assert found(many, provenance) == []


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (OWN, [("info", "training_overlap")]),
        (dataclasses.replace(OWN, own_traffic=False), [("warning", "training_overlap")]),
        (dataclasses.replace(OTHER, seen=None), [("info", "overlap_unknown")]),
        (dataclasses.replace(OTHER, same_ids=3), [("warning", "same_ids")]),
        (dataclasses.replace(OTHER, threshold_rows=600), [("error", "threshold_on_judged_data")]),
        (dataclasses.replace(OTHER, suspicious=60), [("warning", "suspicious_labels")]),
        (dataclasses.replace(OTHER, suspicious=5), []),
        (dataclasses.replace(OTHER, selected=5), [("error", "selection_bias")]),
        (dataclasses.replace(OTHER, certain=5), [("warning", "selection_bias")]),
    ],
)
def test_where_requests_come_from_is_checked(many, provenance, expected):
    """Six hundred requests are judged; one in a hundred with suspicious labels is let pass."""
    assert found(many, provenance) == expected


def test_overlap_is_counted_by_kind(many):
    """The message and the numbers say how many were left out, and how that is known."""
    provenance = Provenance(
        requests=700,
        own_traffic=False,
        seen={"same text": 60, "same group": 40, "nearly the same text": 0},
    )
    (finding,) = evaluate(many, Resampling(50), provenance=provenance).findings
    assert (
        "100 of 700 requests were seen in training (60 same text, 40 same group): left out"
        " of every figure" in finding.message
    )
    assert finding.numbers == {
        "left_out": 100,
        "requests": 700,
        "same_text": 60,
        "same_group": 40,
        "nearly_the_same_text": 0,
    }


def test_equal_scores_are_found_once(many):
    """That a constant has no signal need not be said twice."""
    assert found(dataclasses.replace(many, difficulty_score=np.full(len(many), 0.4))) == [
        ("error", "equal_scores")
    ]


def test_noise_is_found(many):
    assert found(
        dataclasses.replace(many, difficulty_score=np.random.default_rng(3).random(len(many)))
    ) == [("error", "no_signal")]


def test_noise_without_frontier_outcomes_is_found_by_auroc(many):
    outcomes = dataclasses.replace(many.outcomes, frontier_quality=np.full(len(many), np.nan))
    noise = dataclasses.replace(
        many,
        difficulty_score=np.random.default_rng(3).random(len(many)),
        outcomes=outcomes,
        target="failure",
    )
    result = evaluate(noise, Resampling(100))
    assert [finding.name for finding in result.findings] == ["no_signal"]
    assert "AUROC" in result.findings[0].message


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.0, []), (0.3, [("warning", "calibration_off")])]
)
def test_calibration_is_off_where_chance_does_not_explain_it(many, shift, expected):
    shifted = np.clip(many.p_cheap_fails + shift, 0, 1)
    assert found(dataclasses.replace(many, p_cheap_fails=shifted)) == expected


def test_calibration_that_is_surely_off_by_little_is_no_finding():
    """With many requests chance explains not even 0.03; up to 0.05 is fine."""
    rng, n = np.random.default_rng(1), 20_000
    p = rng.uniform(0.1, 0.6, n)
    cheap = (rng.random(n) >= p).astype(float)
    names = {}
    for shift in (0.03, 0.1):
        scored = scored_of(p, cheap, np.ones(n), p_cheap_fails=p + shift)
        result = evaluate(scored, Resampling(2))
        assert result.overall["calibration_p"].value < 1e-6
        names[shift] = [finding.name for finding in result.findings]
    assert names == {0.03: [], 0.1: ["calibration_off"]}


def off_in(n, size, n_simulations, seed):
    """Return in how many draws of perfect probabilities they are called off; groups share luck."""
    rng, count = np.random.default_rng(seed), 0
    for _ in range(n_simulations):
        codes = np.repeat(np.arange(n), size)[:n]
        p = rng.uniform(0.02, 0.6, n)
        luck = np.where(rng.random(n) < 0.7, rng.random(n)[codes], rng.random(n))
        scored = scored_of(p, (luck >= p).astype(float), np.ones(n), p_cheap_fails=p)
        scored = dataclasses.replace(scored, groups=codes.astype(str))
        overall = reliability(scored, np.arange(n), Resampling(1).of(scored.groups))
        count += bool(
            calibration_off(Evidence(scored=scored, overall=overall, counts={}, provenance=None))
        )
    return count


@pytest.mark.parametrize("size", [1, 3])
def test_perfect_probabilities_are_seldom_called_off(size):
    """A small simulation: at most 5 % of 200 draws, and what chance adds to that."""
    counts = {n: off_in(n, size, 200, seed=n) for n in (20, 60, 200)}
    assert max(counts.values()) <= 17, counts


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 10])
def test_perfect_probabilities_are_called_off_in_at_most_one_of_twenty(size, capsys):
    """2,000 draws of each size; 5 % are 100, and chance adds up to 20."""
    counts = {n: off_in(n, size, 2000, seed=n) for n in (20, 60, 100, 200, 1000)}
    with capsys.disabled():
        sys.stdout.write(f"\ngroups of {size}: called off in {counts} of 2,000\n")
    assert max(counts.values()) <= 120, counts


def test_checks_of_the_form_are_told(many):
    """Three of ten answers are known by a check alone; one of twenty is no reason to say so."""
    names = np.full(len(many), "exact", dtype=object)
    names[: 3 * len(many) // 10] = "validators:json"
    checked = dataclasses.replace(
        many, outcomes=dataclasses.replace(many.outcomes, measured_by=names)
    )
    result = evaluate(checked, Resampling(100))
    assert [finding.name for finding in result.findings] == ["form_checks"]
    assert "measured by validators:json alone" in result.findings[0].message
    assert result.measured_by == {
        "exact": len(many) - 3 * len(many) // 10,
        "validators:json": 3 * len(many) // 10,
    }
    names[len(many) // 20 :] = "exact"
    assert found(checked) == []


@pytest.mark.parametrize(("better", "severity"), [(-0.3, "error"), (0.0, "warning")])
def test_frontier_that_is_not_better_is_found(better, severity):
    """Clearly worse is an error; not clearly better a warning."""
    rng = np.random.default_rng(0)
    cheap = rng.random(400)
    frontier = np.clip(cheap + better + rng.normal(0, 0.3, 400), 0, 1)
    score = np.clip((1 + frontier - cheap) / 2 + rng.normal(0, 0.1, 400), 0, 1)
    assert (severity, "frontier_not_better") in found(
        scored_of(score, cheap, frontier, p_cheap_fails=1 - cheap)
    )


def test_groups_count_by_what_they_weigh(many):
    """Seven users hold nearly all requests, a hundred single ones the rest."""
    groups = np.r_[np.arange(len(many) - 100) % 7, np.arange(100) + 7].astype(str)
    result = evaluate(dataclasses.replace(many, groups=groups), Resampling(100))
    finding = next(finding for finding in result.findings if finding.name == "few_samples")
    assert finding.numbers["groups"] < 12


def test_thirty_requests_are_too_few(many):
    """They are judged all the same, with wide intervals."""
    rows = np.arange(30)
    arrays = (
        "difficulty_score",
        "p_cheap_fails",
        "p_frontier_fails",
        "outcomes",
        "groups",
        "n_tokens",
        "cheap_cost",
        "frontier_cost",
    )
    few = dataclasses.replace(
        many, **{name: getattr(many, name)[rows] for name in arrays}, tasks=many.tasks[:30]
    )
    result = evaluate(few, Resampling(100))
    finding = next(finding for finding in result.findings if finding.name == "few_samples")
    assert finding.numbers["requests"] == 30
    assert (
        "30 requests (100 are needed), 15 groups, by their weight (40 are needed)"
        in finding.message
    )
    quality = result.overall["quality"]
    assert quality.high - quality.low > 0.2


def test_nothing_known_of_the_frontier_is_no_finding_about_it():
    """Unknown is not worse."""
    cheap = (np.arange(200) % 3 == 0).astype(float)
    nan = np.full(200, np.nan)
    scored = scored_of(
        1 - cheap * 0.5,
        cheap,
        nan,
        outcomes=outcomes_of(cheap, nan),
        p_cheap_fails=1 - cheap,
        target="failure",
    )
    assert found(scored) == []


def test_findings_come_gravest_first_and_survive_json(many):
    provenance = Provenance(
        requests=700, own_traffic=False, seen={"same text": 100}, threshold_rows=600
    )
    findings = evaluate(many, Resampling(20), provenance=provenance).findings
    assert [finding.severity for finding in findings] == ["error", "warning"]
    assert tuple(Finding(**finding.as_dict()) for finding in findings) == findings
    assert failing(findings) == findings
    assert failing((Finding(name="a", severity="info", message="b"),)) == ()


def test_every_check_has_its_name_in_the_docs():
    """A finding that nobody can look up helps nobody."""
    from tests.conftest import REPOSITORY

    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"| `{name}` |" not in page] == []


def test_finding_refuses_an_unknown_severity():
    with pytest.raises(
        InvalidValueError, match="severity must be one of error, warning, info: got 'fatal'"
    ):
        Finding(name="a", severity="fatal", message="b")


def test_outcomes_of_another_model_are_said(many):
    """A score is made for a pair of models: what another cheap model does is another matter."""
    mixes = (
        ModelMix.of("cheap", "small", {"small": 10, "tiny": 90}),
        ModelMix.of("frontier", "large", {"large": 100}),
        ModelMix.of("cheap", None, {"tiny": 90}),
    )
    assert mixes[1:] == (None, None)
    source = dataclasses.replace(OTHER, other_models=mixes[:1])
    (finding,) = evaluate(many, Resampling(40), provenance=source).findings
    assert "'tiny' as the cheap model, and the scorer was made for 'small'" in finding.fact
    assert finding.numbers["cheap_requests"] == 90
    assert finding.message == f"{finding.fact} {finding.advice}"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.52, 0.6, "orders requests better than chance: APGR 0.560 (0.520 to 0.600)"),
        (0.45, 0.6, "cannot be told from chance: APGR 0.560 (0.450 to 0.600)"),
        (0.3, 0.45, "orders requests worse than chance"),
        (None, None, "cannot be told from chance: APGR 0.560 has no range (few)"),
    ],
)
def test_how_well_a_score_orders_has_one_wording(low, high, words):
    figure = Estimate(value=0.56, low=low, high=high, note="no interval: few")
    assert words in order_text({"apgr": figure})
