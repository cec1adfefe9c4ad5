"""A real LiteLLM proxy under load, for minutes: bundles that are exchanged and proxies that are
killed.
"""

import importlib.util
import random
import time

import pytest

from difficulty.gateway.log_files import read_log
from difficulty.recipe import PolicySettings
from difficulty.stages.ship import ship
from tests.integrations.gateways import RULES, Load, decisions_of, known_rows, proxies, write_config
from tests.journey import DRAWS
from tests.versions import DAMAGES, damage, make_version, point

pytestmark = [
    pytest.mark.slow,
    pytest.mark.gateway,
    pytest.mark.skipif(
        importlib.util.find_spec("litellm") is None, reason="needs the extra gateway"
    ),
]

SWITCHES, SECONDS, BAD = 20, 60.0, (3, 7, 10, 14, 18)
KILLS, AT_ONCE = 20, 10


@pytest.fixture(scope="module")
def shipped(journey, tmp_path_factory):
    """A bundle with validators."""
    folder = tmp_path_factory.mktemp("shipped")
    ship(journey.run, folder / "load-0", policy=PolicySettings(**RULES), draws=DRAWS)
    return folder / "load-0"


@pytest.fixture
def upstream(tmp_path):
    with proxies.upstreams(tmp_path) as address:
        yield address


def test_bundles_are_exchanged_under_load_and_bad_ones_never_decide(
    shipped, upstream, tmp_path, record_property
):
    """Twenty switches in a minute, five of them to damaged bundles; each version that is sound
    decides, and decides as it should.
    """
    sound = {
        n: make_version(tmp_path, n, threshold=0.3 + n / 50, name="load", source=shipped)
        for n in range(1, SWITCHES + 1)
    }
    point(tmp_path / "current", shipped)
    config = write_config(
        tmp_path / "proxy.yaml",
        tmp_path / "current",
        upstream,
        "--follow",
        "--log",
        tmp_path / "decisions",
    )
    config.write_text(
        config.read_text().replace("follow: true", "follow: true\n    follow_interval_s: 0.2")
    )
    rows, output = known_rows(400), tmp_path / "proxy.log"
    with proxies.proxy(config, output) as proxy, Load(proxy, rows, at_once=8) as load:
        assert load.wait_for(lambda reply: reply.decision.get("bundle") == "load-0")
        begun = time.monotonic()
        for n in range(SWITCHES):
            if n in BAD:
                refused = output.read_text().count("was refused")
                point(
                    tmp_path / "current", damage(tmp_path, sound[n + 1], DAMAGES[BAD.index(n) % 3])
                )
                assert wait_until(lambda: output.read_text().count("was refused") == refused + 1)  # noqa: B023
            else:
                point(tmp_path / "current", sound[n + 1])
                assert load.wait_for(lambda reply: reply.decision.get("bundle") == f"load-{n + 1}")  # noqa: B023
            time.sleep(max(0.0, begun + SECONDS * (n + 1) / SWITCHES - time.monotonic()))
        took = time.monotonic() - begun
    replies = [reply for _, reply, _ in load.seen]
    events = {event.id: event for event in read_log(tmp_path / "decisions")}
    record_property(
        "figures", f"{len(replies):,} requests while {SWITCHES} switches took {took:.1f} s"
    )
    assert [reply for reply in replies if reply.status != 200] == []
    assert {reply.decision["id"] for reply in replies} == {*events}
    good = {f"load-{n + 1}": sound[n + 1] for n in range(SWITCHES) if n not in BAD} | {
        "load-0": shipped
    }
    assert {event.bundle_version for event in events.values()} == {*good}
    decided = {version: decisions_of(bundle, rows, tmp_path) for version, bundle in good.items()}
    for row, reply, _ in load.seen:
        event = events[reply.decision["id"]]
        expected = decided[event.bundle_version][row["id"]]
        assert (event.route, event.reason, event.threshold) == (
            expected["route"],
            expected["reason"],
            expected["threshold"],
        )


def test_log_of_proxies_killed_at_random_moments_lacks_only_the_tail(
    shipped, upstream, tmp_path, record_property
):
    """Twenty kills under load. Of the answered requests, at most the last one of each sender was
    still in the queue.
    """
    chance, rows, answered, lost = random.Random(0), known_rows(400), 0, []
    for number in range(KILLS):
        log = tmp_path / f"decisions-{number}"
        config = write_config(
            tmp_path / "proxy.yaml", shipped, upstream, "--log", log, "--log-texts"
        )
        with (
            proxies.proxy(config, tmp_path / "proxy.log") as proxy,
            Load(proxy, rows, at_once=AT_ONCE) as load,
        ):
            assert load.wait_for(lambda reply: reply.status == 200)
            time.sleep(chance.uniform(0.0, 5.0))
            proxy.process.kill()
            proxy.process.wait()
        got = [reply.decision["id"] for _, reply, _ in load.seen if reply.status == 200]
        reader = read_log(log)
        events = list(reader)
        assert [event.seq for event in events] == list(range(len(events)))
        assert len({event.id for event in events}) == len(events)
        assert (reader.damaged, reader.missing) == (0, 0)
        assert reader.torn <= 1
        answered += len(got)
        lost.append(len({*got} - {event.id for event in events}))
    record_property(
        "figures", f"{KILLS} kills, {answered:,} requests answered, events of them lost: {lost}"
    )
    assert answered > 2 * KILLS * AT_ONCE
    assert max(lost) <= AT_ONCE


def wait_until(holds, *, at_most_s=60.0):
    """Wait until something holds; return whether it came to."""
    end = time.monotonic() + at_most_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()
