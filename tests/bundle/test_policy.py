import json
from dataclasses import FrozenInstanceError

import pytest

from difficulty.bundle import Policy
from difficulty.errors import FieldError
from tests.data.make_bundle import POLICY


def test_policy_reads_what_a_bundle_holds():
    """Defaults: easy tasks are cheap below 256 tokens, nothing is unfamiliar, a failed validation
    falls back.
    """
    policy = Policy.parse(
        {key: value for key, value in POLICY.items() if key != "max_cheap_tokens"}
    )
    assert (policy.max_cheap_tokens, policy.min_familiarity, policy.task_thresholds) == (
        256,
        0.0,
        {},
    )
    assert (policy.fallback.on_validation_failure, policy.on_error) == (True, "frontier")
    assert policy.review_date.isoformat() == "2030-01-01"


def test_policy_survives_json():
    policy = Policy.parse(
        {**POLICY, "task_thresholds": {"code": 0.25}, "fallback": {"on_validation_failure": False}}
    )
    assert Policy.parse(json.loads(json.dumps(policy.as_dict()))) == policy


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"treshold": 0.5}, ("treshold",), "is not a field that this version knows"),
        (
            {"fallback": {"always": True}},
            ("fallback", "always"),
            "is not a field that this version knows",
        ),
        ({"threshold": 70}, ("threshold",), r"must be in \[0, 1\]"),
        ({"threshold": -0.1}, ("threshold",), r"must be in \[0, 1\]"),
        ({"threshold": float("nan")}, ("threshold",), r"must be in \[0, 1\]"),
        ({"threshold": None}, ("threshold",), "must be a number: got None"),
        ({"task_thresholds": {"code": 1.5}}, ("task_thresholds", "code"), r"must be in \[0, 1\]"),
        ({"min_familiarity": 2}, ("min_familiarity",), r"must be in \[0, 1\]"),
        ({"max_cheap_tokens": -1}, ("max_cheap_tokens",), "must be at least 0"),
        ({"cheap_model": ""}, ("cheap_model",), "must be a non-empty string"),
        ({"on_error": "cheap"}, ("on_error",), "'frontier'"),
        ({"review_date": "soon"}, ("review_date",), "must be a date"),
        (
            {"easy_tasks": ["code", "chat"], "hard_tasks": ["chat", "code"]},
            (),
            "easy or hard, not both: got chat, code",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_policy_refuses(change, where, message):
    with pytest.raises(FieldError, match=message) as caught:
        Policy.parse({**POLICY, **change})
    assert caught.value.where == where


@pytest.mark.parametrize(
    "key", ["threshold", "cheap_model", "frontier_model", "review_date", "chosen"]
)
def test_policy_needs(key):
    with pytest.raises(FieldError, match=f"{key} is missing"):
        Policy.parse({name: value for name, value in POLICY.items() if name != key})


def test_policy_cannot_be_changed_once_read():
    with pytest.raises(FrozenInstanceError):
        Policy.parse(POLICY).threshold = 0.1


CHECK = {"threshold": 0.55, "kind": "check", "request_threshold": 0.6}


def test_policy_without_a_check_is_written_as_ever():
    """Older routers refuse fields that they do not know."""
    assert "answer" not in Policy.parse(POLICY).as_dict()
    assert "answer" not in Policy.parse({**POLICY, "answer": None}).as_dict()


def test_policy_with_a_check_survives_json():
    policy = Policy.parse({**POLICY, "threshold": 1.0, "answer": CHECK})
    assert (policy.answer.on_unknown, policy.answer.stale_shift) == ("pass", None)
    assert Policy.parse(json.loads(json.dumps(policy.as_dict()))) == policy


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"answer": {"threshold": 1.2}}, ("answer", "threshold"), r"must be in \[0, 1\]"),
        ({"answer": {**CHECK, "kind": "request"}}, ("answer", "kind"), "'check' or 'both'"),
        ({"answer": {**CHECK, "on_unknown": "?"}}, ("answer", "on_unknown"), "'escalate'"),
        ({"answer": CHECK}, ("threshold",), "must be 1 where answer.kind is 'check'"),
        (
            {"threshold": 1.0, "task_thresholds": {"code": 0.4}, "answer": CHECK},
            ("task_thresholds", "code"),
            "must be 1 where answer.kind is 'check'",
        ),
        (
            {"threshold": 1.0, "answer": {"threshold": 0.5, "kind": "check"}},
            ("answer", "request_threshold"),
            "all requests would stay cheap",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_policy_refuses_a_check(change, where, message):
    with pytest.raises(FieldError, match=message) as caught:
        Policy.parse({**POLICY, **change})
    assert caught.value.where == where
