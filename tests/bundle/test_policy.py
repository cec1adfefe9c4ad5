import pytest
from pydantic import ValidationError

from difficulty.bundle import Policy
from tests.data.make_bundle import POLICY


def test_policy_reads_what_a_bundle_holds():
    """Defaults: easy tasks are cheap below 256 tokens, nothing is unfamiliar, a failed validation falls back."""
    policy = Policy.model_validate({key: value for key, value in POLICY.items() if key != "max_cheap_tokens"})
    assert (policy.max_cheap_tokens, policy.min_familiarity, policy.task_thresholds) == (256, 0.0, {})
    assert (policy.fallback.on_validation_failure, policy.on_error) == (True, "frontier")
    assert policy.review_date.isoformat() == "2030-01-01"


def test_policy_survives_json():
    policy = Policy.model_validate({**POLICY, "task_thresholds": {"code": 0.25}, "fallback": {"on_validation_failure": False}})
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"treshold": 0.5}, ("treshold",), "Extra inputs are not permitted"),
        ({"fallback": {"always": True}}, ("fallback", "always"), "Extra inputs are not permitted"),
        ({"threshold": 70}, ("threshold",), "less than or equal to 1"),
        ({"threshold": -0.1}, ("threshold",), "greater than or equal to 0"),
        ({"threshold": float("nan")}, ("threshold",), "or equal to"),
        ({"threshold": None}, ("threshold",), "valid number"),
        ({"task_thresholds": {"code": 1.5}}, ("task_thresholds", "code"), "less than or equal to 1"),
        ({"min_familiarity": 2}, ("min_familiarity",), "less than or equal to 1"),
        ({"max_cheap_tokens": -1}, ("max_cheap_tokens",), "greater than or equal to 0"),
        ({"cheap_model": ""}, ("cheap_model",), "at least 1 character"),
        ({"on_error": "cheap"}, ("on_error",), "'frontier'"),
        ({"review_date": "soon"}, ("review_date",), "valid date"),
        ({"easy_tasks": ["code", "chat"], "hard_tasks": ["chat", "code"]}, (), "a task is easy or hard, not both: got chat, code"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_policy_refuses(change, where, message):
    with pytest.raises(ValidationError, match=message) as caught:
        Policy.model_validate({**POLICY, **change})
    assert caught.value.errors()[0]["loc"] == where


@pytest.mark.parametrize("key", ["threshold", "cheap_model", "frontier_model", "review_date", "chosen"])
def test_policy_needs(key):
    with pytest.raises(ValidationError, match=f"{key}\n  Field required"):
        Policy.model_validate({name: value for name, value in POLICY.items() if name != key})


def test_policy_cannot_be_changed_once_read():
    with pytest.raises(ValidationError, match="frozen"):
        Policy.model_validate(POLICY).threshold = 0.1
