"""A validator of another package: named by a policy, asked by a gateway, without an edit here."""

from dataclasses import replace

import pytest

from difficulty.answers.answer import Answer
from difficulty.bundle import Fallback, read_bundle, write_bundle
from difficulty.errors import BundleError
from difficulty.gateway.settings import build_gateway, parse_settings
from difficulty.gateway.validators import Verdict
from difficulty.routes import ValidatorRule
from difficulty.runtime import Router
from difficulty.stages.choosing import policy_files
from tests.versions import SAVED, fields_of


class Polite:
    """Fail answers without a word that is asked for."""

    def __init__(self, *, word):
        self.word = word

    def __call__(self, answer, asked):
        """Return whether the word is there."""
        return Verdict(self.word in answer.text, "not polite")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package that adds the validator ``polite``."""
    info = tmp_path / "manners-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: manners\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[difficulty.validators]\npolite = {__name__}:Polite\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def bundle(tmp_path):
    """A bundle whose policy asks for politeness."""
    old = read_bundle(SAVED)
    rule = ValidatorRule(check="polite", options={"word": "please"})
    policy = replace(old.policy, threshold=1.0, fallback=Fallback(validators=(rule,)))
    files = policy_files(Router.from_bundle(old).scorer, policy, version="words-2")
    manifest = fields_of(old, name="words", version="2")
    return write_bundle(tmp_path / "words-2", {**old.files, **files}, manifest).path


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(("answer", "fallback"), [("Wait, please.", False), ("Wait.", True)])
def test_validator_of_another_package_decides_what_falls_back(bundle, answer, fallback):
    gateway = build_gateway(parse_settings({"bundle": str(bundle)}))
    visit = gateway.open({"messages": [{"role": "user", "content": "w7"}]}, id="r1")
    assert visit.route == "cheap"
    call = gateway.note(visit, "answer", answer=Answer(answer))
    assert gateway.falls_back(visit, call) == fallback
    (check,) = call.checks
    assert (check.name, check.passed) == ("polite", not fallback)


@pytest.mark.usefixtures("plugin")
def test_options_are_those_of_its_constructor(bundle):
    policy = read_bundle(bundle).policy
    assert policy.fallback.validators[0].options == {"word": "please"}


def test_without_that_package_the_gateway_does_not_start(bundle):
    """A policy that checks nothing in silence would be worse."""
    with pytest.raises(BundleError, match=r"unknown validator 'polite'\. Known: arithmetic, "):
        build_gateway(parse_settings({"bundle": str(bundle)}))
