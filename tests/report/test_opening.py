"""The verdict follows from the numbers."""

import dataclasses

import numpy as np
import pytest

from difficulty.evaluation.findings import Finding
from difficulty.records import Estimate
from difficulty.report.blocks import Extras
from difficulty.report.opening import summary_section, verdict
from difficulty.report.wording import as_percent, complement
from tests.evaluation.conftest import scored_of
from tests.report.conftest import judge

EXTRAS = Extras(cheap_model="small", frontier_model="large")


def changed(evaluation, *, overall=None, baselines=None, **changes):
    merged = {
        name: {**dict(part), **(baselines or {}).get(name, {})}
        for name, part in evaluation.baselines.items()
    }
    return dataclasses.replace(
        evaluation, overall={**evaluation.overall, **(overall or {})}, baselines=merged, **changes
    )


def sure(value):
    return Estimate(value=value, low=value - 0.01, high=value + 0.01, n=100)


def test_a_routing_that_beats_chance_at_its_share_and_cost_works(evaluation):
    """Share, gain kept, lead over chance: with the intervals of the metrics."""
    found = verdict(changed(evaluation, findings=()), EXTRAS)
    assert (found.tone, found.word) == ("good", "Routing works on this traffic")
    assert found.text.startswith(
        f"{as_percent(complement(evaluation.overall['frontier_share']))} of the requests stay on"
        " small"
    )
    assert as_percent(evaluation.overall["gap_recovered"]) in found.text


def test_a_warning_tempers_the_verdict(evaluation):
    warned = (Finding(name="few_samples", severity="warning", message="Few."),)
    assert (
        verdict(changed(evaluation, findings=warned), EXTRAS).word == "Routing works, with warnings"
    )


def test_an_error_comes_before_everything(evaluation):
    grave = (
        Finding(name="threshold_on_judged_data", severity="error", message="Judged where chosen."),
    )
    found = verdict(changed(evaluation, findings=grave), EXTRAS)
    assert (found.tone, found.word, found.text) == (
        "error",
        "Do not rely on these figures yet",
        "Judged where chosen.",
    )


def test_no_lead_over_chance_at_the_same_share_is_said(evaluation):
    level = {"random": {"quality_difference": Estimate(value=0.01, low=-0.01, high=0.03, n=9)}}
    found = verdict(changed(evaluation, findings=(), baselines=level), EXTRAS)
    assert found.word == "Routing by this score is not shown to beat chance"
    assert "higher by 0.010 (-0.010 to 0.030)" in found.text
    behind = {"random": {"quality_difference": Estimate(value=-0.02, low=-0.03, high=-0.01, n=9)}}
    assert (
        "lower by 0.020 (0.010 to 0.030)"
        in verdict(changed(evaluation, findings=(), baselines=behind), EXTRAS).text
    )


def test_no_lead_over_chance_for_the_money_is_said(evaluation):
    """All cheap costs 1, all frontier 11, routing 6: random routing of that cost keeps half of the
    gain.
    """
    ends = {"always_cheap": {"cost": sure(1.0)}, "always_frontier": {"cost": sure(11.0)}}
    costs = {"cost": sure(6.0)}
    for kept, word in (
        (0.7, "Routing works on this traffic"),
        (0.505, "For its cost, this routing is not shown to beat chance"),
    ):
        found = verdict(
            changed(
                evaluation,
                findings=(),
                overall={**costs, "gap_recovered": sure(kept)},
                baselines=ends,
            ),
            EXTRAS,
        )
        assert found.word == word
        assert "the same money would keep about 50.0 %" in found.text


@pytest.mark.parametrize(("target", "words"), [("benefit", "APGR"), ("failure", "AUROC")])
def test_without_a_threshold_the_order_is_judged(judged_requests, target, words):
    judged = dataclasses.replace(judged_requests, threshold=None, target=target)
    if target == "failure":
        judged = dataclasses.replace(
            judged,
            outcomes=dataclasses.replace(
                judged.outcomes, frontier_quality=np.full(len(judged), np.nan)
            ),
        )
    found = verdict(dataclasses.replace(judge(judged), findings=()), EXTRAS)
    assert found.word == "No threshold has been chosen"
    assert "better than chance" in found.text
    assert words in found.text


def test_unknown_quality_is_said_with_its_reason():
    unknown = np.full(60, np.nan)
    found = judge(
        scored_of(np.linspace(0, 1, 60), [0, 1] * 30, unknown, target="failure"), n_draws=5
    )
    verdict_found = verdict(dataclasses.replace(found, findings=()), EXTRAS)
    assert verdict_found.word == "What routing does to quality is not known"
    assert "No request has the known quality of both models" in verdict_found.text


def test_saving_is_told_in_money_where_prices_are_known(evaluation):
    """The share kept and the share of the cost saved, each with its interval."""
    facts = dict(summary_section(evaluation, EXTRAS).blocks[2].items)
    assert f"{as_percent(evaluation.overall['saving'])} less" in facts["What it saves"]
    assert "with large for everything" in facts["What it saves"]
