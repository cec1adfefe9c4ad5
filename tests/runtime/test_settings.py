"""Settings of a gateway: from a plain form to a gateway that logs."""

import pytest

from difficulty.errors import BundleNotFoundError, InvalidValueError
from difficulty.runtime.log import read_log
from difficulty.runtime.settings import build_gateway, parse_settings
from difficulty.stages.thresholds import rechoose
from tests.journey import DRAWS

PRICES = {"date": "2026-11-01", "cheap_input": 1.0, "cheap_output": 2.0, "frontier_input": 10.0, "frontier_output": 20.0}


def shout(messages):
    """Redact by writing in capitals."""
    return [{**message, "content": message["content"].upper()} for message in messages]


def test_settings_become_a_gateway_that_logs(journey, tmp_path):
    form = {
        "bundle": str(journey.bundle),
        "log": [{"kind": "json_lines", "path": str(tmp_path / "log"), "fsync": "always"}],
        "log_texts": True,
        "redact": f"{__name__}:shout",
        "prices": PRICES,
        "salt": "s",
    }
    gateway = build_gateway(parse_settings(form))
    gateway.close(gateway.open({"messages": [{"role": "user", "content": "hi"}]}, id="r1", group="u"))
    assert gateway.log.close()
    (event,) = read_log(tmp_path / "log")
    assert (event.id, event.messages[0]["content"], event.bundle_version) == ("r1", "HI", "small-1")
    assert gateway.prices.frontier_output == 20.0


def test_gateway_that_follows_takes_up_the_bundle_that_a_link_leads_to(journey, tmp_path):
    """The link is replaced, and the next decision names the new bundle."""
    again = tmp_path / "small-2"
    rechoose(journey.bundle, journey.traffic, again, objective="share=0.2", n_draws=DRAWS)
    (tmp_path / "current").symlink_to(journey.bundle)
    gateway = build_gateway(parse_settings({"bundle": str(tmp_path / "current"), "follow": True}))
    (tmp_path / "next").symlink_to(again)
    (tmp_path / "next").rename(tmp_path / "current")
    assert gateway.router.check()
    assert gateway.open({"messages": "hi"}, id="r1").decision.bundle_version == "small-2"
    gateway.router.stop()


def test_gateway_without_a_log_decides_all_the_same(journey):
    gateway = build_gateway(parse_settings({"bundle": str(journey.bundle)}))
    assert gateway.log is None
    assert gateway.close(gateway.open({"messages": "hi"}, id="r1")).outcome == "answered"


@pytest.mark.parametrize(
    ("change", "name"),
    [({"colour": "red"}, "colour"), ({"bundle": None}, "bundle"), ({"mode": "magic"}, "mode"), ({"threads": 0}, "threads")]
    + [({"prices": {**PRICES, "cheap_input": -1}}, "prices"), ({"shadow_timeout_s": 0}, "shadow_timeout_s")],
)
def test_settings_that_break_a_rule_are_refused_by_name(journey, change, name):
    with pytest.raises((InvalidValueError, ValueError), match=name):
        parse_settings({"bundle": str(journey.bundle), **change})


@pytest.mark.parametrize("change", [{"redact": "no.such:thing"}, {"redact": "nothing"}, {"log": [{"kind": "json_lines", "paht": "x"}]}])
def test_settings_that_name_what_is_not_there_are_refused(journey, change):
    with pytest.raises(InvalidValueError, match="gateway setting"):
        build_gateway(parse_settings({"bundle": str(journey.bundle), **change}))


def test_missing_bundle_is_refused(tmp_path):
    with pytest.raises(BundleNotFoundError):
        build_gateway(parse_settings({"bundle": str(tmp_path / "none")}))
