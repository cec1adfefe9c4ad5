"""A real LiteLLM proxy and what clients, models and caches do to it."""

import importlib.util

import pytest

from difficulty.recipe import PolicySettings
from difficulty.stages.ship import ship
from tests.integrations.gateways import RULES, Running, proxies, started_together, write_config
from tests.journey import DRAWS

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(
        importlib.util.find_spec("litellm") is None, reason="needs the extra gateway"
    ),
]

EASY = {"metadata": {"task": "classify"}}
CACHE = "  cache: true\n  cache_params:\n    type: local\n"


@pytest.fixture(scope="module")
def running(journey, tmp_path_factory):
    """A proxy with the hook, held-back streams, a check of schemas, and LiteLLM's cache."""
    folder = tmp_path_factory.mktemp("hostile")
    rules = RULES | {"validators": (*RULES["validators"], {"check": "json_schema"})}
    ship(
        journey.run,
        folder / "hostile-1",
        policy=PolicySettings(**rules, streaming="buffer"),
        draws=DRAWS,
    )
    with proxies.upstreams(folder) as upstream:
        config = write_config(
            folder / "proxy.yaml",
            folder / "hostile-1",
            upstream,
            *("--hook", "--log", folder / "decisions"),
        )
        written = config.read_text()
        config.write_text(written.replace("litellm_settings:\n", f"litellm_settings:\n{CACHE}"))
        with started_together({"hook": config}) as started:
            yield Running(folder / "hostile-1", started["hook"], folder / "decisions")


def test_cached_tokens_are_logged_and_a_hit_of_litellms_cache_costs_nothing(running):
    """The same question twice: 4 of its 10 tokens came from the provider's cache, then all of it
    from the proxy's.
    """
    events = [running.ask("[cached:4] Hello", **EASY)[1] for _ in range(2)]
    (first,), (second,) = (event.calls for event in events)
    assert (first.cached_tokens, first.cache_hit, second.cache_hit) == (4, False, True)
    assert first.cost_usd > 0
    assert (second.cost_usd, events[1].cost_usd) == (0.0, 0.0)


@pytest.mark.parametrize("fault", ["cut", "early"])
def test_held_back_stream_that_breaks_is_the_frontier_models(running, fault):
    """Whether LiteLLM goes on by itself, as it does before the first word, or not: the cheap model
    failed, the frontier one answered, and the client sees one answer.
    """
    reply, event = running.ask(f"[fault:{fault}] Hello", stream=True, **EASY)
    assert "Half" not in reply.text
    assert "frontier" in reply.text
    assert (event.route, event.fallback, event.outcome) == ("cheap", "error", "answered")
    assert [(call.role, call.side, call.passed) for call in event.calls] == [
        ("answer", "cheap", False),
        ("fallback", "frontier", True),
    ]
