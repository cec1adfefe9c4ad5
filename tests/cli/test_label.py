"""``difficulty label`` on the command line, with models on loopback."""

import json
import shlex

import pytest

pytest.importorskip("litellm", exc_type=ImportError)

from benchmarks.lib.model_upstream import PRICE, Reply, judging, serving, usual_upstream
from tests.labelling.purchases import PRICES_TOML, make_traffic, requests

PAIR = ("--cheap", "cheap", "--frontier", "frontier", "--judge", "judge", "--budget-usd", "5")
REST = ("--prices", "prices.toml", "--max-tokens", "100", "--judge-max-tokens", "60")


@pytest.fixture
def words(tmp_path):
    """The words of a command that is whole but for the address."""
    make_traffic(tmp_path, requests(12))
    (tmp_path / "prices.toml").write_text(PRICES_TOML)
    return ("label", "traffic.parquet", *PAIR, *REST, "-o", "labelled.parquet")


def test_plan_first_then_yes_then_the_same_again(run, words, tmp_path):
    upstream = usual_upstream()
    with serving(upstream) as url:
        plan = run(*words, "--base-url", url, code=0).out
        assert not upstream.attempts
        bought = run(*words, "--base-url", url, "--yes", code=0).out
        paid = sum(upstream.paid.values())
        again = run(*words, "--base-url", url, "--yes", "--no-advice", "--json", code=0).out
    assert "12 of 12 requests to label, judge judge" in plan
    assert "calls      cheap 12, frontier 12, judge 24" in plan
    assert "budget     5.00 USD; it is never passed" in plan
    assert "nothing was called or written; --yes spends the money" in plan
    assert "12 of 12 requests labelled for" in bought
    assert "Go on. 12 labels do not carry a training yet" in bought
    assert "position bias of the judge +0.0 points" in bought
    assert "difficulty train labelled.parquet -o runs/first" in bought
    assert sum(upstream.paid.values()) == paid
    form = json.loads(again)
    assert (form["labelled"], form["went_well"], form["plan"]["resumed"]) == (12, True, True)
    assert (tmp_path / "labelled.journal.jsonl").exists()


def test_plan_as_json(run, words):
    with serving(usual_upstream()) as url:
        form = json.loads(run(*words, "--base-url", url, "--json", code=0).out)
    assert (form["spent"], form["requests"]) == (False, 12)


def test_purchase_that_a_model_ends_is_exit_code_1(run, words):
    with serving(usual_upstream(cheap=lambda body, n: Reply(status=401))) as url:
        stopped = run(*words, "--base-url", url, "--yes", code=1).out
    assert "ended by cheap answers no call here: HTTP 401" in stopped
    assert "the same command again" in stopped


def test_each_model_may_have_its_own_server_and_key(run, words, monkeypatch):
    upstream = usual_upstream()
    with serving(upstream) as url, serving(usual_upstream()) as other:
        arguments = ("--base-url", other, "--base-url", f"judge={url}", "--n", "2", "--yes")
        run(*words, *arguments, code=0)
    assert {body["model"] for body in upstream.bodies} == {"judge"}
    complaint = run(*words, "--base-url", "teacher=http://x", code=2).complaint
    assert "unknown model of --base-url 'teacher'" in complaint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("--budget-usd", "0"), "the budget must be a number of USD above 0: got 0.0"),
        (("--judge", "cheap"), "models favour their own answers"),
        (("--judge", "exact"), "judging exactly needs reference answers"),
        (("--bundle", "nothing"), "nothing"),
    ],
)
def test_bad_input_is_one_sentence(run, words, changes, said):
    with serving(usual_upstream()) as url:
        assert said in run(*words, "--base-url", url, *changes, code=2).complaint


def test_names_from_outside_do_not_reach_the_terminal_raw(run, words):
    hostile = "\x1b[31mjudge\x07"
    upstream = usual_upstream()
    upstream.models[hostile] = lambda body, n: Reply(status=404)
    with serving(upstream) as url:
        done = run(*words, "--judge", hostile, "--base-url", url, "--yes")
    assert done.code == 1
    assert "\x1b" not in done.out + done.err


def test_money_that_is_left_buys_the_next_round_by_the_command_that_is_printed(run, words):
    with serving(usual_upstream()) as url:
        given = (*words, "--base-url", url, "--no-advice")
        first = run(*given, "--n", "4", "--yes", code=0).out
        assert "USD left" in first
        line = first.partition("for more labels\n")[2].splitlines()[0]
        command = shlex.split(line)
        budget = command[command.index("--budget-usd") + 1]
        assert 0 < float(budget) < 5
        assert command[:3] == ["difficulty", "label", "labelled.parquet"]
        assert command[command.index("--out") + 1] == "labelled-2.parquet"
        assert "--no-advice" in command
        assert not {"--yes", "--n"} & {*command}
        second = run(*command[1:], "--yes", "--json", code=0).out
    form = json.loads(second)
    assert (form["labelled"], form["next_round"]) == (8, None)  # all of them by now


def test_another_judge_buys_no_answer_again(run, words, tmp_path):
    upstream = usual_upstream(other=judging())
    upstream.prices = {**PRICE, "other": PRICE["judge"]}
    with serving(upstream) as url:
        given = (*words[:-1], "second.parquet", "--base-url", url, "--no-advice")
        first = run(*given[:-1], "-o", "labelled.parquet", "--yes", "--json", code=0).out
        paid, spent = dict(upstream.paid), json.loads(first)["spent_usd"]
        other = (*given, "--judge", "other", "--journal", "labelled.journal.jsonl")
        plan = run(*other, code=0).out
        assert "calls      cheap 0, frontier 0, judge 24" in plan
        assert "another judge: the budget counts what the answers in the journal cost" in plan
        refused = run(*other, "--budget-usd", f"{spent:.6f}", "--yes", code=2).complaint
        assert "of which" in refused
        over = run(*other, "-o", "labelled.parquet", "--yes", code=2).complaint
        assert "labels of one judge must not go over those of another" in over
        second = json.loads(run(*other, "--yes", "--json", code=0).out)
        again = json.loads(run(*other, "--yes", "--json", code=0).out)
        back = run(*given[:-1], "-o", "labelled.parquet", "--yes", "--json", code=0).out
    assert second["labelled"] == again["labelled"] == json.loads(back)["labelled"] == 12
    assert set(upstream.paid.values()) == {1}
    assert len(upstream.paid) - len(paid) == 24 == upstream.calls("other")
    assert second["measured_by"] == "judge:other"
    assert (tmp_path / "second.parquet").exists()
