"""A proxy without a bundle: nothing is routed, all of it is logged, and the log is traffic."""

import importlib.util
import json

import pytest
import yaml
from typer.testing import CliRunner

from difficulty.cli.app import build_app
from difficulty.errors import FieldError
from difficulty.gateway.observing import Observer
from difficulty.gateway.settings import build_gateway, parse_settings
from difficulty.stages.ingest import ingest
from tests.integrations.gateways import Running, proxies

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="needs the extra gateway"
)


def config(*words):
    """Run the command and return what it prints and its exit code."""
    printed = CliRunner().invoke(build_app(), ["litellm-config", *map(str, words)])
    return printed.stdout if printed.exit_code == 0 else printed


@pytest.mark.gateway
def test_requests_go_where_they_went_and_become_unlabelled_traffic(tmp_path):
    with proxies.upstreams(tmp_path) as upstream:
        path = tmp_path / "proxy.yaml"
        words = ("--frontier-api-base", f"{upstream}/frontier/v1", "--name", "gpt-5")
        key = ("--frontier-api-key", "os.environ/EXAMPLE_KEY", "--log", tmp_path / "decisions")
        path.write_text(config("--observe", "--frontier", "openai/frontier", *words, *key))
        with proxies.proxy(path, tmp_path / "proxy.log") as proxy:
            running = Running(None, proxy, tmp_path / "decisions")
            whole, event = running.ask("What is a lien?", model="gpt-5")
            _, streamed = running.ask("And a bond?", model="gpt-5", stream=True)
    assert whole.status == 200
    for one in (event, streamed):
        assert (one.route, one.policy_route, one.reason) == ("frontier", "frontier", "observed")
        assert (one.propensity, one.bundle_version, one.fallback) == (1.0, "none", None)
        assert [(call.role, call.model) for call in one.calls] == [("answer", "openai/frontier")]
        assert one.outcome == "answered"
    summary = ingest([tmp_path / "decisions"], tmp_path / "traffic.parquet")
    assert (summary.rows, summary.kept, summary.unlabelled) == (2, 2, 2)


def test_the_configuration_holds_one_model_and_needs_no_bundle(tmp_path):
    words = ("--observe", "--to", "cheap", "--cheap", "hosted_vllm/hermes-8b", "--log", tmp_path)
    form = json.loads(config(*words, "--json"))
    assert yaml.safe_load(config(*words)) == form
    assert [entry["model_name"] for entry in form["model_list"]] == ["auto"]
    settings = parse_settings(form["callback_settings"]["difficulty"])
    assert (settings.observe.route, settings.cheap, settings.log_texts) == ("cheap", "auto", True)
    assert not settings.log_answers
    answers = json.loads(config(*words, "--log-answers", "--json"))["callback_settings"]
    assert parse_settings(answers["difficulty"]).log_answers
    gateway = build_gateway(settings)
    gateway.log.close()
    assert isinstance(gateway.router, Observer)
    visit = gateway.open({"messages": [{"role": "user", "content": "Hi"}]}, id="a")
    assert (visit.route, visit.reason, visit.routed.shadow) == ("cheap", "observed", False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--observe",), "--frontier must be given"),
        (("--observe", "--to", "cheap", "--frontier", "openai/x"), "--cheap must be given"),
        (("--observe", "--to", "both", "--frontier", "openai/x"), "--to must be"),
        (("b-1", "--observe", "--frontier", "openai/x"), "--observe must stand without a bundle"),
        (("--cheap", "x", "--frontier", "openai/x"), "BUNDLE must be given"),
    ],
)
def test_what_is_missing_or_too_much_is_refused(words, said):
    refused = config(*words)
    assert said in str(refused.exception)
    assert refused.exception.exit_code == 2


def test_settings_have_a_bundle_or_observe():
    with pytest.raises(FieldError, match="bundle is missing"):
        parse_settings({})
    with pytest.raises(FieldError, match="observe must not stand beside a bundle"):
        parse_settings({"bundle": "b-1", "observe": {"route": "cheap", "model": "m"}})
