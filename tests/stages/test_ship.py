import json
import re
from datetime import date
from types import SimpleNamespace

import pytest

from difficulty.bundle import read_bundle
from difficulty.diagnostics.signal import Signal
from difficulty.errors import (
    BundleError,
    InvalidValueError,
    NotAttainableError,
    ParityError,
    UndefinedMetricError,
    UnknownNameError,
)
from difficulty.evaluation.result import read_metrics
from difficulty.export.parity import golden_requests
from difficulty.recipe import PolicySettings
from difficulty.records import Prices
from difficulty.request import Request
from difficulty.runtime import Router
from difficulty.stages import exporting
from difficulty.stages import ship as ship_module
from difficulty.stages.deploying import traffic_scores
from difficulty.stages.deploying.shippable import signal_notes
from difficulty.stages.ship import bundle_name, ship
from difficulty.stages.verify import verify
from difficulty.thresholds.point import EXPECTED
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import DRAWS

CONTRACT = (
    "auroc", "apgr", "cpt_50", "cpt_80", "brier", "ece", "routing_precision", "routing_recall",
    "frontier_share", "quality", "cost"
)  # fmt: skip
PRICES = Prices(
    date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=3, frontier_output=12
)


def test_bundle_says_what_it_is_made_from(journey):
    bundle, record = read_bundle(journey.bundle), Run.read(journey.run).record
    manifest, policy = bundle.manifest, bundle.policy
    assert (manifest.name, manifest.version, manifest.target) == ("small", "1", "benefit")
    assert manifest.outputs == (
        "difficulty_score",
        "p_cheap_fails",
        "p_frontier_fails",
        "familiarity",
    )
    assert (manifest.training_data, manifest.recipe["name"]) == (record.training_data, "small")
    assert (policy.cheap_model, policy.frontier_model) == ("example/cheap-8b", "example/frontier")
    assert (policy.easy_tasks, policy.hard_tasks, policy.max_cheap_tokens) == (
        ("classify",),
        ("multi-step planning",),
        256,
    )
    assert (policy.chosen.objective, policy.chosen.n) == ("share=0.3", record.samples.calibration)
    assert set(policy.chosen.expected) == set(EXPECTED)


def test_threshold_keeps_its_promise_on_the_calibration_samples(journey):
    """Asked the way requests are: at most 30 % of the calibration requests go to the frontier
    model, as the policy says.
    """
    calibration, router = Run.read(journey.run).calibration, Router.load(journey.bundle)
    tokens = [
        None if count is None else int(count) for count in calibration.column("prompt_tokens")
    ]
    decisions = router.decide_many(map(Request, calibration.messages(), calibration.tasks, tokens))
    share = sum(decision.route == "frontier" for decision in decisions) / len(decisions)
    assert share <= 0.3
    assert share == pytest.approx(router.policy.chosen.expected["frontier_share"]["value"])


def test_metrics_have_every_name_of_the_contract(journey):
    form = json.loads((journey.bundle / "metrics.json").read_text())
    assert form["threshold"] == read_bundle(journey.bundle).policy.threshold
    sets = {"overall": form["overall"]} | {
        f"{kind} {name}": part
        for kind, parts in form["slices"].items()
        for name, part in parts.items()
    }
    assert {"task code", "task classify"} <= set(sets)
    for name, figures in sets.items():
        assert set(CONTRACT) <= set(figures), name
        for figure in CONTRACT:
            assert (
                {"value", "low", "high", "n"}
                <= set(figures[figure])
                <= {"value", "low", "high", "n", "note"}
            )
    overall = form["overall"]
    for figure in set(CONTRACT) - {"cost", "ece"}:  # ece has no interval
        assert overall[figure]["low"] <= overall[figure]["value"] <= overall[figure]["high"]
        assert overall[figure]["n"] > 0
    assert (overall["cost"]["value"], overall["cost"]["note"]) == (
        None,
        "no request has prices and token counts for both models",
    )
    assert (
        read_metrics(journey.bundle / "metrics.json").counts["requests"]
        == form["counts"]["requests"]
    )


def test_only_the_test_samples_are_judged(journey):
    assert read_metrics(journey.bundle / "metrics.json").counts["requests"] == len(
        Run.read(journey.run).test
    )


def words(text):
    return re.findall(r"[a-z]+", text.lower())


def runs_of_five(text):
    """Return every run of five words in a text."""
    found = words(text)
    return {" ".join(found[start : start + 5]) for start in range(len(found) - 4)}


def test_no_text_of_the_traffic_is_in_the_bundle(journey):
    """No five words in a row, in no file; that the search works is shown by the project's own
    texts, which are there.
    """
    traffic = Traffic.read(journey.traffic)
    own = {
        run
        for request in golden_requests()
        for run in runs_of_five(json.dumps(request["messages"]))
    }
    users = {
        run
        for messages in traffic.messages()
        for message in messages
        for run in runs_of_five(message["content"])
        # Five single letters stand in the bytes of a graph by chance.
        if len(run) > len("a b c d e")
    } - own
    shipped = {
        run
        for path in journey.bundle.iterdir()
        for run in runs_of_five(path.read_bytes().decode("latin-1"))
    }
    assert len(users) > 10_000
    assert not users & shipped
    assert "the opening hours of the" in shipped
    everything = b"".join(path.read_bytes() for path in journey.bundle.iterdir())
    assert not [name for name in traffic.ids if name.encode() in everything]
    assert not [
        group for group in set(traffic.column("group")) - {None} if group.encode() in everything
    ]


def test_card_carries_counts_and_figures(journey):
    card, bundle = (journey.bundle / "card.md").read_text(), read_bundle(journey.bundle)
    assert card.startswith("# small-1\n")
    assert f"difficulty_score > {bundle.policy.threshold:.6g}" in card
    assert "464 fit, 141 calibration, 194 test samples" in card
    assert "| APGR | 0." in card
    assert bundle.policy.review_date.isoformat() in card


def test_options_go_into_the_policy(journey, tmp_path):
    shipped = ship(
        journey.run,
        tmp_path / "other-2.1",
        objective="quality=0.5",
        policy=PolicySettings(
            easy_tasks=("extract",), hard_tasks=(), max_cheap_tokens=50, review_after_days=10
        ),
        models=("small-model", None),
        prices=PRICES,
        today=date(2026, 1, 1),
        draws=DRAWS,
    )
    policy = read_bundle(tmp_path / "other-2.1").policy
    assert (policy.cheap_model, policy.frontier_model) == ("small-model", "example/frontier")
    assert (policy.easy_tasks, policy.hard_tasks, policy.max_cheap_tokens) == (("extract",), (), 50)
    assert policy.review_date == date(2026, 1, 11)
    assert (policy.chosen.objective, policy.threshold) == ("quality=0.5", shipped.point.threshold)
    assert policy.chosen.expected["gap_recovered"]["value"] >= 0.5
    assert policy.chosen.expected["cost"]["value"] > 0
    assert shipped.evaluation.overall["cost"].value > 0


def test_task_of_the_rule_that_no_sample_has_is_named(journey, tmp_path):
    """With the one that was perhaps meant; a rule of known tasks goes without a word."""
    rules = PolicySettings(easy_tasks=("classify",), hard_tasks=("multi step planing", "zzz"))
    shipped = ship(journey.run, tmp_path / "b-1", policy=rules, allow_no_signal=True, draws=DRAWS)
    assert shipped.notes == (
        "no sample has these tasks of the rule: 'multi step planing' (did you mean 'multi-step"
        " planning'?), 'zzz'.",
    )


def test_parity_is_measured_on_calibration_and_suite(journey, tmp_path):
    report = ship(journey.run, tmp_path / "b-1", draws=5).parity
    assert report.n == len(Run.read(journey.run).calibration) + 2 * len(
        golden_requests()
    )  # the suite without and with a task
    assert 0 < report.max_difference < 5e-5  # familiarity is the steepest output on so few requests
    assert report.flips == 0


def test_of_many_requests_every_so_many_are_compared(journey, tmp_path, monkeypatch):
    """Through the quicker form of the graph, and some through the file itself; the bundle is the
    same.
    """
    n = len(Run.read(journey.run).calibration)
    monkeypatch.setattr(exporting, "MOST_COMPARED", 20)
    monkeypatch.setattr(exporting, "_MOST_BY_ITSELF", 7)
    monkeypatch.setattr(traffic_scores, "_MANY_SCORED", 50)
    shipped = ship(journey.run, tmp_path / "b-1", draws=DRAWS)
    every = -(-n // 20)
    assert shipped.parity.n == len(range(0, n, every)) + 2 * len(golden_requests())
    threshold = read_bundle(journey.bundle).policy.threshold
    assert shipped.point.threshold == pytest.approx(threshold, abs=1e-6)


@pytest.mark.parametrize(
    ("objective", "error"),
    [
        ("share=0.01", NotAttainableError),
        ("share=70", InvalidValueError),
        ("share", InvalidValueError),
        ("money=1", UnknownNameError),
        ("cost=1", UndefinedMetricError),
        ("risk=0.001", NotAttainableError),
    ],
)
def test_objective_that_cannot_be_met_ships_nothing(journey, tmp_path, objective, error):
    with pytest.raises(error):
        ship(journey.run, tmp_path / "b-1", objective=objective, draws=5)
    assert list(tmp_path.iterdir()) == []


def test_quality_needs_frontier_outcomes(journey, tmp_path, monkeypatch):
    """A run on production validation alone knows no gap to recover."""
    traffic = Run.read(journey.run).calibration
    monkeypatch.setattr(Run, "calibration", traffic)
    outcomes = traffic.outcomes
    outcomes.frontier_quality[:] = float("nan")
    with pytest.raises(
        UndefinedMetricError, match="objective quality needs samples with both outcomes"
    ):
        ship(journey.run, tmp_path / "b-1", objective="quality=0.5", draws=5)
    assert list(tmp_path.iterdir()) == []


def test_crash_at_the_last_step_ships_nothing(journey, tmp_path, monkeypatch):
    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ship_module, "bundle_card", crash)
    with pytest.raises(KeyboardInterrupt):
        ship(journey.run, tmp_path / "b-1", draws=5)
    assert list(tmp_path.iterdir()) == []


def test_ids_that_serving_would_make_otherwise_ship_nothing(journey, tmp_path, monkeypatch):
    """The gate asks the path that requests take: ids that are not the tokenizer's are found out,
    and the worst texts are named.
    """
    encode = RequestTokenizer.encode
    monkeypatch.setattr(
        RequestTokenizer,
        "encode",
        lambda self, text: encode(self, text)._replace(ids=encode(self, text).ids[:-1]),
    )
    with pytest.raises(ParityError, match=r"must stay within .* Worst requests: \S+ \("):
        ship(journey.run, tmp_path / "wrong-1", draws=DRAWS)
    assert not (tmp_path / "wrong-1").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("support-1", ("support", "1")), ("a-b-2.0.1", ("a-b", "2.0.1")), ("x-1rc1", ("x", "1rc1"))],
)
def test_bundle_name_is_read(tmp_path, name, expected):
    assert bundle_name(tmp_path / name) == expected


@pytest.mark.parametrize(
    "name", ["support", "support-", "-1", "support-v1", "support_1", "support-1 "]
)
def test_bundle_needs_a_version(tmp_path, name):
    with pytest.raises(
        BundleError, match="must be named <name>-<version>, for example support-1: got"
    ):
        bundle_name(tmp_path / name)


def test_version_is_never_shipped_twice(journey):
    with pytest.raises(BundleError, match="Bundles are never overwritten: choose a new version"):
        ship(journey.run, journey.bundle)


def test_verify_reproduces_the_golden_vectors(journey):
    found = verify(journey.bundle, today=date(2026, 11, 23))
    assert (found.golden, found.differences, found.passed) == (len(golden_requests()), [], True)
    assert found.warnings == []


def test_verify_warns_when_the_review_is_due(journey):
    due = read_bundle(journey.bundle).policy.review_date
    assert verify(journey.bundle, today=due).warnings == []
    (warning,) = verify(journey.bundle, today=date(due.year + 1, 1, 1)).warnings
    assert (
        warning
        == f"the threshold was to be reviewed by {due.isoformat()}: choose it again on recent"
        " traffic"
    )


def test_a_bundle_without_a_signal_of_its_score_says_so():
    """Also where it is shipped because its check of answers has one, or because that was asked."""

    def told(p_value, *, on_check=False):
        record = SimpleNamespace(signal=Signal(n=300, p_value=p_value))
        return " ".join(signal_notes(SimpleNamespace(record=record), on_check=on_check))

    assert told(0.001) == ""
    assert "carries a weak signal" in told(0.05)
    assert "carries no signal" in told(0.18)
    assert "rests on the check of the cheap model's answers alone" in told(0.18, on_check=True)
