"""The configuration that is printed: read back as YAML, it is what was meant."""

import json
from dataclasses import replace

import pytest
import yaml
from typer.testing import CliRunner

from difficulty.bundle import read_bundle
from difficulty.cli.app import build_app
from difficulty.errors import InvalidValueError
from difficulty.integrations.litellm_config import HANDLER, Upstream, proxy_config, to_yaml
from difficulty.records import Prices

PRICES = Prices(
    date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=3.0, frontier_output=12.0
)
PAIR = {
    "cheap": Upstream(model="hosted_vllm/hermes-8b", api_base="http://127.0.0.1:1/v1"),
    "frontier": Upstream(model="openai/gpt-5"),
}


@pytest.fixture(scope="module")
def policy(journey):
    return read_bundle(journey.bundle).policy


@pytest.mark.parametrize("mode", ["auto_router", "hook"])
def test_yaml_reads_back_as_the_form(policy, tmp_path, mode):
    form = proxy_config(tmp_path, policy, **PAIR, mode=mode, log=tmp_path / "log: 1", prices=PRICES)
    assert yaml.safe_load(to_yaml(form)) == form


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "1e3",
        "a: b",
        "- x",
        "",
        "#",
        "tab\there",
        "null",
        3e-06,
        0.1,
        5,
        True,
        None,
        [],
        {},
        [[1], []],
        "ü\u2028",
    ],
)
def test_yaml_takes_no_value_for_another(value):
    form = {"key": value, "list": [value, {"inner": value}]}
    assert yaml.safe_load(to_yaml(form)) == form


def test_link_that_is_followed_stays_a_link(journey, tmp_path):
    """Without --follow the proxy is told the folder that the link leads to now."""
    (tmp_path / "current").symlink_to(journey.bundle)
    words = [
        "litellm-config",
        str(tmp_path / "current"),
        "--cheap",
        "openai/a",
        "--frontier",
        "openai/b",
        "--json",
    ]
    for more, bundle in (([], journey.bundle.resolve()), (["--follow"], tmp_path / "current")):
        settings = json.loads(CliRunner().invoke(build_app(), [*words, *more]).stdout)[
            "callback_settings"
        ]["difficulty"]
        assert (settings["bundle"], settings.get("follow", False)) == (str(bundle), bool(more))


def test_auto_router_asks_the_handler_for_the_tier(policy, tmp_path):
    form = proxy_config(tmp_path, policy, **PAIR)
    router = form["model_list"][0]["litellm_params"]["complexity_router_config"]
    assert (router["classifier_type"], router["classifier_plugin"]) == ("custom", HANDLER)
    assert (router["tiers"]["SIMPLE"], router["tiers"]["REASONING"]) == ("cheap", "frontier")
    assert form["router_settings"]["fallbacks"] == [{"cheap": ["frontier"]}, {"auto": ["frontier"]}]


def test_routed_model_of_the_hook_is_the_frontier_model_should_the_hook_be_missing(
    policy, tmp_path
):
    form = proxy_config(tmp_path, policy, **PAIR, mode="hook", name="smart")
    assert form["model_list"][0] == {
        "model_name": "smart",
        "litellm_params": {"model": "openai/gpt-5"},
    }


def test_no_fallback_is_configured_where_the_policy_wants_none(policy, tmp_path):
    strict = replace(policy, fallback=replace(policy.fallback, on_call_failure=False))
    assert "fallbacks" not in proxy_config(tmp_path, strict, **PAIR)["router_settings"]


def test_keys_and_names_that_cannot_be_are_refused(policy, tmp_path):
    with pytest.raises(InvalidValueError, match="os.environ/NAME"):
        Upstream(model="openai/x", api_key="sk-secret")
    with pytest.raises(InvalidValueError, match="model must be named"):
        Upstream(model="")
    with pytest.raises(InvalidValueError, match="name must be another one"):
        proxy_config(tmp_path, policy, **PAIR, name="cheap")


def test_command_prints_yaml_or_json_that_say_the_same(journey, tmp_path):
    words = [
        "litellm-config",
        str(journey.bundle),
        "--cheap",
        "openai/a",
        "--frontier",
        "openai/b",
        "--log",
        str(tmp_path),
        "--hook",
    ]
    plain, machine = (CliRunner().invoke(build_app(), [*words, *more]) for more in ([], ["--json"]))
    assert (plain.exit_code, machine.exit_code) == (0, 0)
    assert yaml.safe_load(plain.stdout) == json.loads(machine.stdout)


def test_setting_from_the_environment_is_what_its_variable_spells(journey, monkeypatch):
    """Numbers and truth values are read, and a secret of digits stays text."""
    litellm = pytest.importorskip("litellm")
    from difficulty.integrations.litellm import build_handler

    texts = {"threads": "2", "log_texts": "True", "shadow_timeout_s": "1.5", "salt": "123"}
    form = {"bundle": str(journey.bundle)} | {name: f"os.environ/D_{name}" for name in texts}
    for name, text in texts.items():
        monkeypatch.setenv(f"D_{name}", text)
    monkeypatch.setattr(litellm, "callback_settings", {"difficulty": form})
    build_handler.cache_clear()
    settings = build_handler().settings
    build_handler.cache_clear()
    read = (settings.threads, settings.log_texts, settings.shadow_timeout_s, settings.salt)
    assert read == (2, True, 1.5, "123")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("on", True), ("Yes", True), ("0", False), ("off", False), ("no", False)],
)
def test_truth_from_the_environment_is_spelt_as_elsewhere(journey, monkeypatch, text, value):
    litellm = pytest.importorskip("litellm")
    from difficulty.integrations.litellm import build_handler

    monkeypatch.setenv("D_LOG_TEXTS", text)
    form = {"bundle": str(journey.bundle), "log_texts": "os.environ/D_LOG_TEXTS"}
    monkeypatch.setattr(litellm, "callback_settings", {"difficulty": form})
    build_handler.cache_clear()
    settings = build_handler().settings
    build_handler.cache_clear()
    assert settings.log_texts is value


@pytest.mark.parametrize(
    "name", ["123", "null", "on", "Off", "x: &a [1]", "a #b", "gpt-4o", "a\nb"]
)
def test_yaml_takes_no_key_for_another(name):
    assert yaml.safe_load(to_yaml({"fallbacks": [{name: ["frontier"]}]})) == {
        "fallbacks": [{name: ["frontier"]}]
    }
