"""Settings of a gateway: from a plain form to a gateway that logs."""

import pytest

from difficulty.bundle import read_bundle
from difficulty.bundle.folder_registry import FolderRegistry
from difficulty.errors import (
    BundleNotFoundError,
    DifficultyError,
    FieldError,
    InvalidValueError,
    RegistryError,
)
from difficulty.gateway.log_files import read_log
from difficulty.gateway.settings import build_gateway, parse_settings
from difficulty.metrics import Resampling
from difficulty.stages.thresholds import rechoose
from tests.journey import DRAWS

PRICES = {
    "date": "2026-11-01",
    "cheap_input": 1.0,
    "cheap_output": 2.0,
    "frontier_input": 10.0,
    "frontier_output": 20.0,
}


def shout(messages):
    """Redact by writing in capitals."""
    return [{**message, "content": message["content"].upper()} for message in messages]


def test_settings_become_a_gateway_that_logs(journey, tmp_path):
    form = {
        "bundle": str(journey.bundle),
        "log": [{"kind": "json_lines", "path": str(tmp_path / "log"), "fsync": "always"}],
        "log_texts": True,
        "log_answers": True,
        "redact": f"{__name__}:shout",
        "prices": PRICES,
        "salt": "s",
    }
    gateway = build_gateway(parse_settings(form))
    gateway.close(
        gateway.open({"messages": [{"role": "user", "content": "hi"}]}, id="r1", group="u")
    )
    assert gateway.log.close()
    (event,) = read_log(tmp_path / "log")
    assert (event.id, event.messages[0]["content"], event.bundle_version) == ("r1", "HI", "small-1")
    assert gateway.prices.frontier_output == 20.0
    assert gateway.answers


def test_gateway_that_follows_takes_up_the_bundle_that_a_link_leads_to(journey, tmp_path):
    """The link is replaced, and the next decision names the new bundle."""
    again = tmp_path / "small-2"
    rechoose(
        journey.bundle, journey.traffic, again, objective="share=0.2", resampling=Resampling(DRAWS)
    )
    (tmp_path / "current").symlink_to(journey.bundle)
    gateway = build_gateway(parse_settings({"bundle": str(tmp_path / "current"), "follow": True}))
    (tmp_path / "next").symlink_to(again)
    (tmp_path / "next").rename(tmp_path / "current")
    assert gateway.router.look()
    assert gateway.open({"messages": "hi"}, id="r1").decision.bundle_version == "small-2"
    gateway.router.stop()


def test_gateway_that_follows_a_registry_takes_up_its_champion(journey, tmp_path):
    """Also back to the one before; versions are kept where ``bundle`` says."""
    again = tmp_path / "small-2"
    rechoose(
        journey.bundle, journey.traffic, again, objective="share=0.2", resampling=Resampling(DRAWS)
    )
    registry = FolderRegistry(tmp_path / "registry")
    first, second = (
        registry.publish(read_bundle(path), "support", tags={}, metrics={})
        for path in (journey.bundle, again)
    )
    registry.promote(first, replacing=None, notes={})
    form = {"bundle": str(tmp_path / "kept"), "registry": str(registry.folder), "name": "support"}
    gateway = build_gateway(parse_settings(form))
    decided = [gateway.open({"messages": "hi"}, id="r1").decision.bundle_version]
    registry.promote(second, replacing=first, notes={})
    assert gateway.router.look()
    decided.append(gateway.open({"messages": "hi"}, id="r1").decision.bundle_version)
    registry.roll_back("support")
    assert gateway.router.look()
    decided.append(gateway.open({"messages": "hi"}, id="r1").decision.bundle_version)
    gateway.router.stop()
    assert decided == ["small-1", "small-2", "small-1"]
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_registry_needs_a_name_and_a_champion(journey, tmp_path):
    form = {"bundle": str(tmp_path / "kept"), "registry": str(tmp_path / "registry")}
    with pytest.raises(
        InvalidValueError, match="gateway setting name must say what the bundle is published under"
    ):
        build_gateway(parse_settings(form))
    with pytest.raises(RegistryError, match="no registry at"):
        build_gateway(parse_settings({**form, "name": "support"}))
    FolderRegistry(tmp_path / "registry").publish(
        read_bundle(journey.bundle), "support", tags={}, metrics={}
    )
    with pytest.raises(RegistryError, match="'support' has no version or alias 'champion'"):
        build_gateway(parse_settings({**form, "name": "support"}))


def test_gateway_without_a_log_decides_all_the_same(journey):
    gateway = build_gateway(parse_settings({"bundle": str(journey.bundle)}))
    assert gateway.log is None
    assert gateway.close(gateway.open({"messages": "hi"}, id="r1")).outcome == "answered"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"colour": "red"}, "colour"),
        ({"bundle": None}, "bundle"),
        ({"mode": "magic"}, "mode"),
        ({"threads": 0}, "threads"),
    ]
    + [
        ({"prices": {**PRICES, "cheap_input": -1}}, "prices"),
        ({"shadow_timeout_s": 0}, "shadow_timeout_s"),
    ],
)
def test_settings_that_break_a_rule_are_refused_by_name(journey, change, name):
    with pytest.raises(FieldError, match=f"gateway settings: {name}"):
        parse_settings({"bundle": str(journey.bundle), **change})


SECRET = "a-very-secret-salt"


@pytest.mark.parametrize(
    "change",
    [
        {"salt": [SECRET]},
        {"slat": SECRET},
        {"sal": {"t": SECRET}},
        {"salt": SECRET, "threads": 0},
        {"salt": SECRET, "log": [{"kind": "json_lines", "paht": "x"}]},
        {"salt": SECRET, "redact": "nothing"},
    ],
)
def test_no_error_of_the_settings_says_the_salt(journey, change):
    with pytest.raises(DifficultyError) as refused:
        build_gateway(parse_settings({"bundle": str(journey.bundle), **change}))
    error = refused.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__


def test_settings_never_print_the_salt(journey):
    settings = parse_settings({"bundle": str(journey.bundle), "salt": SECRET})
    assert SECRET not in f"{settings!r} {settings} {settings.as_dict()}"
    assert settings.salt == SECRET


def test_clients_may_set_the_task_alone_unless_told_so(journey):
    assert parse_settings({"bundle": str(journey.bundle)}).client_may_set == ("task",)
    with pytest.raises(FieldError, match="client_may_set"):
        parse_settings({"bundle": str(journey.bundle), "client_may_set": ["route"]})


@pytest.mark.parametrize(
    "change",
    [
        {"redact": "no.such:thing"},
        {"redact": "nothing"},
        {"log": [{"kind": "json_lines", "paht": "x"}]},
    ],
)
def test_settings_that_name_what_is_not_there_are_refused(journey, change):
    with pytest.raises(InvalidValueError, match="gateway setting"):
        build_gateway(parse_settings({"bundle": str(journey.bundle), **change}))


def test_missing_bundle_is_refused(tmp_path):
    with pytest.raises(BundleNotFoundError):
        build_gateway(parse_settings({"bundle": str(tmp_path / "none")}))
