"""Labels bought of a server on loopback through litellm's SDK: what is paid, kept and said."""

import json
import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip("litellm", exc_type=ImportError)

from benchmarks.lib.model_upstream import (
    Reply,
    judging,
    serving,
    shown_pair,
    truth,
    unit,
    user_text,
    usual_upstream,
)
from difficulty.errors import InvalidValueError, OutputExistsError, TooFewSamplesError, TrafficError
from difficulty.labelling.buying import Patience
from difficulty.stages.labelling.label import label
from difficulty.traffic.table import Traffic
from tests.labelling.purchases import HASTE, PRICES, make_traffic, options, requests


@pytest.fixture
def traffic(tmp_path):
    return make_traffic(tmp_path, requests(40))


def buy(traffic, url, out="labelled.parquet", **more):
    """Label, with the options of the purchase among ``more``."""
    own = {
        name: more.pop(name)
        for name in ("bundle_path", "export", "human", "spend", "prices", "patience", "on_shop")
        if name in more
    }
    settings = {"spend": True, "prices": PRICES, "patience": HASTE, "with_advice": False} | own
    return label(traffic, traffic.parent / out, options(url, **more), **settings)


def test_answers_and_verdicts_are_bought_once_and_written(traffic):
    upstream = usual_upstream()
    with serving(upstream) as url:
        report = buy(traffic, url, n=12)
        paid = sum(upstream.paid.values())
        again = buy(traffic, url, n=12)
    labelled = Traffic.read(traffic.parent / "labelled.parquet")
    assert (report.tried, report.labelled, report.stopped) == (12, 12, "")
    assert paid == 12 * 4 == sum(upstream.paid.values())
    assert report.spent_usd == pytest.approx(upstream.billed_usd)
    assert again.votes == report.votes
    assert again.plan.resumed
    assert again.spent_usd == pytest.approx(report.spent_usd)
    known = [row for row, vote in enumerate(labelled.column("preference")) if vote]
    assert len(known) == 12
    inclusion = np.array(labelled.column("inclusion"), dtype=float)
    assert np.isfinite(inclusion).sum() == 12
    assert {labelled.column("measured_by")[row] for row in known} == {"judge:judge"}
    assert {labelled.column("cheap_model")[row] for row in known} == {"cheap"}
    assert labelled.column("cheap_answer")[known[0]].startswith("cheap: Question")
    assert sum(filter(None, labelled.column("frontier_cost_usd"))) > 0
    # A vote says who is better, and of neither model how often it fails.
    assert labelled.outcomes.measures == {"votes:judge:judge": 12}
    assert np.isnan(labelled.outcomes.without_votes().cheap_quality).all()
    for row in known:
        text = labelled.messages([row])[0][0]["content"]
        mark = truth(f"[user]\n{text}", "cheap: x", "frontier: x")
        vote = {"A": "cheap", "B": "frontier", "TIE": "tie"}[mark]
        assert labelled.column("preference")[row] == vote
    assert json.loads((traffic.parent / "labelled.summary.json").read_text())["labelled"] == 12


def test_dry_run_calls_nobody_and_writes_nothing(traffic):
    upstream = usual_upstream()
    with serving(upstream) as url:
        plan = buy(traffic, url, n=10, spend=False)
    assert not upstream.attempts
    assert [path.name for path in traffic.parent.iterdir() if "label" in path.name] == []
    assert plan.to_buy == {"cheap": 10, "frontier": 10, "judge": 20}
    assert 0 < plan.expected_usd < 10 * plan.worst_request_usd


def test_number_of_requests_is_what_the_budget_buys(traffic):
    with serving(usual_upstream()) as url:
        plan = buy(traffic, url, budget_usd=0.03, spend=False)
    assert 1 < plan.requests < 40
    assert plan.expected_usd == pytest.approx(0.03, rel=0.2)


def test_answers_of_the_log_are_not_bought_again(tmp_path):
    rows = requests(12)
    for row in rows:
        row |= {"frontier_answer": "frontier: as logged", "frontier_model": "frontier"}
    rows[0]["cheap_answer"] = "cheap: as logged"
    rows[1] |= {"cheap_quality": 1.0, "frontier_quality": 0.0}
    rows[2]["frontier_model"] = "another"
    traffic, upstream = make_traffic(tmp_path, rows), usual_upstream()
    with serving(upstream) as url:
        report = buy(traffic, url, cheap="openai/cheap", frontier="frontier")
    assert report.plan.left_out == {
        "have an outcome": 1,
        "have a frontier model other than frontier": 1,
    }
    assert (upstream.calls("frontier"), upstream.calls("cheap")) == (0, 9)
    labelled = Traffic.read(tmp_path / "labelled.parquet")
    assert labelled.column("frontier_answer")[0] == "frontier: as logged"
    assert report.labelled == 10


def test_budget_ends_the_purchase_and_more_money_goes_on(traffic):
    upstream = usual_upstream()
    with serving(upstream) as url:
        first = buy(traffic, url, n=30, budget_usd=0.012)
        paid = dict(upstream.paid)
        second = buy(traffic, url, n=30, budget_usd=5.0)
    assert (first.stopped, first.went_well) == ("the budget", True)
    assert 0 < first.tried < 30
    assert first.spent_usd <= 0.012
    assert (second.tried, second.stopped) == (30, "")
    assert set(upstream.paid.values()) == {1}
    assert len(upstream.paid) > len(paid)
    assert second.spent_usd == pytest.approx(upstream.billed_usd)


def failing_at_first(model, *replies):
    """Return a model that fails each request in turn before it answers."""
    return lambda body, n: replies[n - 1] if n <= len(replies) else model(body, n)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_request_that_a_policy_denies_is_counted_and_the_purchase_goes_on(traffic, status):
    usual = usual_upstream().models

    def picky(body, n):
        """Deny a question by its text, at once; others take their time."""
        if "Question 7 " in user_text(body):
            return Reply(status=status)
        return usual["frontier"](body, n)

    upstream = usual_upstream(frontier=picky)
    with serving(upstream) as url:
        report = buy(traffic, url)
        again = buy(traffic, url)
    assert (report.tried, report.labelled, report.stopped) == (40, 39, "")
    assert again.labelled == 39
    (problem,) = report.problems
    assert problem.startswith(f"no answer of frontier: HTTP {status}")
    assert max(upstream.paid.values()) == 1


def test_failures_limits_and_hangs_are_lived_through(traffic):
    usual = usual_upstream().models
    upstream = usual_upstream(
        cheap=failing_at_first(
            usual["cheap"], Reply(status=429, headers={"retry-after": "0"}), Reply(status=503)
        ),
        frontier=failing_at_first(usual["frontier"], Reply(status=500)),
        judge=lambda body, n: (
            Reply(hang_s=5.0, text="late")
            if n == 1 and unit(str(body)) < 0.1
            else usual["judge"](body, n)
        ),
    )
    with serving(upstream) as url:
        report = buy(traffic, url, n=10, timeout_s=3.0)
    assert (report.labelled, report.stopped) == (10, "")
    assert upstream.billed_usd <= report.spent_usd <= 5.0
    assert report.failures["HTTP 500 (InternalServerError)"] == 10


def test_upstream_that_bills_more_than_it_said_ends_the_purchase(traffic):
    many = {"prompt_tokens": 20, "completion_tokens": 90_000, "total_tokens": 90_020}
    upstream = usual_upstream(frontier=lambda body, n: Reply("frontier: x", usage=many))
    with serving(upstream) as url:
        report = buy(traffic, url, at_once=1)
    assert not report.went_well
    assert "frontier billed 0.72004 USD" in report.stopped
    assert upstream.calls("frontier") == 1
    labelled = Traffic.read(traffic.parent / "labelled.parquet")
    assert sum(answer is not None for answer in labelled.column("frontier_answer")) == 1


def test_judge_that_answers_prose_is_unknown_and_stopped_early(traffic):
    upstream = usual_upstream(judge=lambda body, n: Reply("I think answer A is better."))
    with serving(upstream) as url:
        report = buy(traffic, url, at_once=1)
    assert (report.labelled, report.votes["unknown"], report.went_well) == (0, 20, False)
    assert "verdicts of judge cannot be read" in report.stopped
    labelled = Traffic.read(traffic.parent / "labelled.parquet")
    assert set(labelled.column("preference")) == {None}
    assert np.isnan(labelled.outcomes.gain).all()


def test_request_that_a_model_refuses_is_unknown_and_costs_no_verdict(traffic):
    usual = usual_upstream().models["cheap"]
    upstream = usual_upstream(
        cheap=lambda body, n: Reply(status=400) if "price" in str(body) else usual(body, n)
    )
    with serving(upstream) as url:
        report = buy(traffic, url)
    assert report.labelled == 36
    assert report.problems == {"no answer of cheap: HTTP 400 (BadRequestError)": 4}
    assert upstream.calls("judge") == 72


def test_bias_and_agreement_are_measured(tmp_path):
    """The judge names the first in 3 of 10 orders whatever it is shown; people say the truth."""
    rows = requests(60)
    traffic, biased = make_traffic(tmp_path, rows), judging(truth, bias=0.3)
    seen = []

    def judge(body, attempt):
        reply = biased(body, attempt)
        _, first, _ = shown_pair(body)
        seen.append((reply.text[-4:], first.partition(":")[0]))
        return reply

    with serving(usual_upstream(judge=judge)) as url:
        report = buy(traffic, url)
    # What the server itself counted: marks for the first, less those for the second.
    marks = [text.strip("[]\n") for text, _ in seen]
    counted = (marks.count("A") - marks.count("B")) / len(marks)
    assert report.position_bias.value == pytest.approx(counted)
    assert abs(counted - 0.3) < 0.2
    assert report.position_bias.low < counted < report.position_bias.high
    assert report.votes["inconsistent"] > 5
    assert "verdicts decide it" in report.power or "no more verdicts" in report.power


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"budget_usd": 0.0}, InvalidValueError, "budget must be a number of USD above 0"),
        ({"budget_usd": 1e-7}, TooFewSamplesError, "budget must cover a request at its worst"),
        ({"judge": "openai/frontier"}, InvalidValueError, "favour their own answers"),
        ({"frontier": "cheap"}, InvalidValueError, "must be two models"),
        ({"prices": None}, InvalidValueError, "a server of your own"),
        ({"prices": None, "base_urls": {}}, InvalidValueError, "litellm's prices do not name"),
        ({"base_urls": {}}, InvalidValueError, "must name its provider"),
        ({"judge": "exact"}, TrafficError, "needs reference answers"),
        ({"judge": "people"}, InvalidValueError, "Pass --export"),
        ({"judge": "python:json"}, InvalidValueError, "python:module:function"),
        ({"judge": "python:json:nothing"}, InvalidValueError, "nothing"),
        ({"out": "traffic.parquet"}, OutputExistsError, "exists already"),
        ({"out": "labelled.csv"}, TrafficError, "must go to a .parquet file"),
        ({"n": 0}, InvalidValueError, "must be 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_spent(traffic, changes, error, said):
    upstream = usual_upstream()
    with serving(upstream) as url, pytest.raises(error, match=said):
        buy(traffic, url, **changes)
    assert not upstream.attempts
    assert not (traffic.parent / "labelled.parquet").exists()


def test_pair_may_be_judged_by_itself_where_the_user_says_so(traffic):
    with serving(usual_upstream()) as url:
        plan = buy(traffic, url, judge="frontier", allow_own_judge=True, spend=False)
    assert plan.judge == "frontier"


def test_journal_of_another_purchase_is_refused(traffic):
    with serving(usual_upstream()) as url:
        buy(traffic, url, n=5)
        with pytest.raises(TrafficError, match="of another purchase: it differs in max_tokens"):
            buy(traffic, url, n=5, max_tokens=90)
        with pytest.raises(OutputExistsError, match="labels of one judge must not go over those"):
            buy(traffic, url, n=5, judge="other-judge")


def test_traffic_without_anything_to_label_is_refused(tmp_path):
    rows = [row | {"cheap_quality": 1.0, "frontier_quality": 1.0} for row in requests(5)]
    with (
        serving(usual_upstream()) as url,
        pytest.raises(TooFewSamplesError, match="5 have an outcome"),
    ):
        buy(make_traffic(tmp_path, rows), url)


@pytest.mark.parametrize("column", ["expected", "reference", "gold_answer"])
def test_exact_holds_answers_against_references(tmp_path, column):
    texts = ["2 + 2?", "7 * 6?", "Capital of France?"]
    rows = requests(3, texts=texts)
    for row, reference in zip(rows, ("4", "42", "Paris"), strict=True):
        row[column] = reference
    answers = {
        "cheap": ["The answer is 4.", "I get 41.", "paris."],
        "frontier": ["So it is 5", "6 times 7 is 42.", "Lyon"],
    }
    models = {
        name: lambda body, n, said=said: Reply(said[texts.index(user_text(body))])
        for name, said in answers.items()
    }
    with serving(usual_upstream(**models)) as url:
        report = buy(make_traffic(tmp_path, rows), url, judge="exact")
    labelled = Traffic.read(tmp_path / "labelled.parquet")
    assert labelled.column("cheap_quality") == [1.0, 0.0, 1.0]
    assert labelled.column("frontier_quality") == [0.0, 1.0, 0.0]
    assert set(labelled.column("measured_by")) == {"exact"}
    assert report.calls["calls"] == 6


def test_validators_say_passed_of_the_cheap_answer_alone(traffic):
    upstream = usual_upstream(
        cheap=lambda body, n: Reply("" if "price" in str(body) else "Here it is.")
    )
    with serving(upstream) as url:
        report = buy(traffic, url, judge="validators")
    labelled = Traffic.read(traffic.parent / "labelled.parquet")
    assert upstream.calls("frontier") == 0
    assert labelled.column("cheap_passed").count(False) == 4
    assert set(labelled.column("cheap_quality")) == {None}
    assert report.measured_by == "validators:non_empty,refusal,tool_call"
    assert report.labelled == 40


def test_function_of_ones_own_judges_each_answer(traffic, tmp_path, monkeypatch):
    (tmp_path / "my_judge_of_tests.py").write_text(
        "def grade(messages, answer):\n"
        "    if 'offer' in answer:\n        raise ValueError(answer)\n"
        "    return None if 'ticket' in answer else answer.startswith('frontier')\n"
    )
    monkeypatch.chdir(tmp_path)
    with serving(usual_upstream()) as url:
        report = buy(traffic, url, judge="python:my_judge_of_tests:grade")
    labelled = Traffic.read(tmp_path / "labelled.parquet")
    assert report.problems == {"the judge failed (ValueError)": 4, "the judge does not know": 4}
    assert labelled.column("cheap_quality").count(0.0) == 32
    assert labelled.column("frontier_quality").count(1.0) == 32


def test_process_that_is_killed_pays_for_nothing_twice(traffic):
    """Kill -9 in the middle; what was under way then is the one thing that nobody knows."""
    usual = usual_upstream().models
    slow = {name: lambda body, n, m=model: _slowed(m(body, n)) for name, model in usual.items()}
    upstream = usual_upstream(**slow)
    with serving(upstream) as url:
        child = os.fork()
        if child == 0:
            try:
                buy(traffic, url, n=20, at_once=3)
            finally:
                os._exit(0)
        until = time.monotonic() + 60
        while sum(upstream.paid.values()) < 25 and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed = sum(upstream.paid.values())
        report = buy(traffic, url, n=20)
    assert 25 <= killed < 80
    assert max(upstream.attempts.values()) == 1
    lost = report.calls.get("lost", 0)
    assert lost <= 3
    assert report.labelled >= 20 - lost
    # Spent is never less than what was billed: what was lost counts at its worst.
    assert upstream.billed_usd - 1e-12 <= report.spent_usd <= 5.0


def _slowed(reply):
    time.sleep(0.02)
    return reply


def test_interruption_keeps_what_was_paid(traffic):
    upstream = usual_upstream()
    shops = []
    usual = upstream.models["judge"]

    def judge(body, n):
        if upstream.calls("judge") == 10:
            shops[0].stop("you stopped it")
        return usual(body, n)

    upstream.models["judge"] = judge
    with serving(upstream) as url:
        report = buy(traffic, url, at_once=2, on_shop=shops.append)
        again = buy(traffic, url, at_once=2)
    assert (report.stopped, report.went_well) == ("you stopped it", False)
    assert 0 < report.labelled < 40
    assert (again.labelled, again.calls.get("lost", 0)) == (40, 0)
    assert set(upstream.paid.values()) == {1}


def test_patience_has_an_end(traffic):
    upstream = usual_upstream(cheap=lambda body, n: Reply(status=429))
    patience = Patience(first_wait_s=0.0, longest_wait_s=0.0, tries_limited=2, failures_in_a_row=3)
    with serving(upstream) as url:
        report = buy(traffic, url, at_once=1, patience=patience)
    assert "3 calls of cheap in a row brought nothing, the last: HTTP 429" in report.stopped
    assert report.spent_usd == pytest.approx(upstream.billed_usd)


def test_feedback_that_was_there_is_no_judges_to_replace(tmp_path):
    """Users said 0.25 of three cheap answers: it stays and counts, and the judge fills the rest."""
    rows = [row | {"expected": "nothing says this"} for row in requests(8)]
    for row in rows[:3]:
        row |= {"cheap_quality": 0.25, "measured_by": "users"}
    with serving(usual_upstream()) as url:
        report = buy(make_traffic(tmp_path, rows), url, judge="exact")
    labelled = Traffic.read(tmp_path / "labelled.parquet")
    assert report.kept == 3
    assert labelled.column("cheap_quality") == [0.25] * 3 + [0.0] * 5
    assert labelled.column("frontier_quality") == [0.0] * 8
    assert set(labelled.column("measured_by")) == {"users+exact", "exact"}


def test_pairs_that_people_judged_are_not_written_over(traffic):
    """Refused before anything is paid, also where overwriting is allowed."""
    upstream = usual_upstream()
    with serving(upstream) as url:
        buy(traffic, url, n=6, export=(pairs := traffic.parent / "pairs.csv"))
        paid, text = sum(upstream.paid.values()), pairs.read_text("utf-8-sig")
        first, *rest = text.splitlines()
        pairs.write_text("\n".join([first, rest[0][:-2] + ",A,ann", *rest[1:]]) + "\n")
        with pytest.raises(OutputExistsError, match="holds 1 verdict of people"):
            label(
                traffic,
                traffic.parent / "other.parquet",
                options(url, n=6),
                spend=True,
                prices=PRICES,
                export=pairs,
                overwrite=True,
            )
    assert sum(upstream.paid.values()) == paid
    assert ",A,ann" in pairs.read_text()
