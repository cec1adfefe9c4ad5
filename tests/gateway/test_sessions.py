"""What a gateway remembers of sessions, and what that does to the next step."""

import threading
import tracemalloc

import pytest

from difficulty.answers.answer import Answer, ToolCall
from difficulty.bundle import Policy
from difficulty.gateway.requests import Gateway
from difficulty.gateway.sessions import Sessions, price_switch
from difficulty.gateway.visits import Usage
from difficulty.records import Prices
from difficulty.routes import Held
from tests.data.make_bundle import POLICY
from tests.runtime.conftest import hand_made

STICK = {"stick": {"margin": 0.1}}
PRICES = Prices(
    date="2026-11-01",
    cheap_input=1.0,
    cheap_output=2.0,
    frontier_input=10.0,
    frontier_output=20.0,
    frontier_cached_input=1.0,
)


NOTHING_SAID = Usage()


class Clock:
    """A clock that stands until it is set."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        """Return what it shows."""
        return self.now


def gateway_of(policy=None, **options):
    return Gateway(hand_made(STICK | (policy or {})), salt="s", **options)


def step(gateway, text, *, answer="Fine.", messages=None, usage=NOTHING_SAID, **known):
    """Open, answer and close one step; return its event."""
    body = {"messages": messages or [{"role": "user", "content": text}]}
    visit = gateway.open(body, id=text, **known)
    gateway.note(visit, "answer", answer=Answer(answer), usage=usage)
    return gateway.close(visit)


def told(event):
    return event.route, event.reason, event.held_on


def test_session_keeps_its_model():
    """w100 scores 0.5, w130 0.65, w150 0.75; threshold 0.6, margin 0.1."""
    gateway, known = gateway_of(), {"session": "s1", "client": "c1"}
    assert told(step(gateway, "w100", **known)) == ("cheap", "within_threshold", None)
    assert told(step(gateway, "w130", **known)) == ("cheap", "stick", "cheap")
    assert told(step(gateway, "w150", **known)) == ("frontier", "above_threshold", "cheap")
    assert told(step(gateway, "w110", **known)) == ("frontier", "stick", "frontier")
    assert told(step(gateway, "w90", **known)) == ("cheap", "within_threshold", "frontier")


def test_policy_without_stick_remembers_nothing():
    gateway = gateway_of({"stick": None})
    assert told(step(gateway, "w130", session="s1")) == ("frontier", "above_threshold", None)
    assert len(gateway.sessions) == 0


def test_ids_that_repeat_across_clients_do_not_mix():
    gateway = gateway_of()
    step(gateway, "w100", session="1", client="a")
    assert told(step(gateway, "w130", session="1", client="b"))[1:] == ("above_threshold", None)
    assert told(step(gateway, "w130", session="1", client="a"))[1:] == ("stick", "cheap")
    # Nor do parts that read the same when they stand together.
    step(gateway, "w100", session="bc", client="a")
    assert step(gateway, "w130", session="c", client="ab").held_on is None


def test_session_without_an_id_is_found_by_how_it_began():
    """By its first answer too: many conversations begin with the same question."""
    gateway, question = gateway_of(), {"role": "user", "content": "w100"}
    step(gateway, "w100", answer="In Oslo it rains.", client="c")
    answer = {"role": "assistant", "content": "In Oslo it rains."}
    further = [question, answer, {"role": "user", "content": "w130"}]
    first = {"messages": [{"role": "user", "content": "w130"}, *further[1:]]}
    assert gateway.open(first, id="x", client="c").decision.held_on is None
    assert gateway.open({"messages": further}, id="x", client="c").decision.held_on == "cheap"
    assert gateway.open({"messages": further}, id="x", client="d").decision.held_on is None
    other = [question, {"role": "assistant", "content": "It snows."}, *further[2:]]
    assert gateway.open({"messages": other}, id="x", client="c").decision.held_on is None
    # Its third step is the same session.
    longer = [*further, {"role": "assistant", "content": "w3"}, {"role": "user", "content": "w7"}]
    step(gateway, "x", messages=longer, client="c")
    assert len(gateway.sessions) == 1


def test_conversations_that_begin_with_the_same_answer_do_not_mix():
    """A greeting, or examples in the prompt: all conversations of an application have them."""
    gateway, known = gateway_of(), {"client": "c"}
    greeting = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "Hello!"}]
    first = [*greeting, {"role": "user", "content": "w100"}]
    assert step(gateway, "w100", messages=first, answer="w4 w5", **known).held_on is None
    other = [*greeting, {"role": "user", "content": "w130"}]
    assert step(gateway, "w130", messages=other, **known).held_on is None
    # Each step finds the one before by that one's answer.
    said = {"role": "assistant", "content": "w4 w5"}
    second = [*first, said, {"role": "user", "content": "w130"}]
    event = step(gateway, "x", messages=second, answer="w6 w7", **known)
    assert event.held_on == "cheap"
    third = [*second, {"role": "assistant", "content": "w6 w7"}, {"role": "user", "content": "w8"}]
    found = gateway.open({"messages": third}, id="x", **known)
    assert found.decision.held_on == "cheap"
    # And the second may be asked again.
    assert gateway.open({"messages": second}, id="x", **known).decision.held_on == "cheap"


def test_first_answer_that_calls_a_tool_finds_the_loop_again():
    gateway = gateway_of({"stick": {"within": "loop", "margin": 0.5}})
    asked = [{"role": "user", "content": "w100"}]
    visit = gateway.open({"messages": asked}, id="a")
    call = ToolCall("weather", '{"city": "Oslo"}')
    gateway.note(visit, "answer", answer=Answer("", tool_calls=(call,)))
    gateway.close(visit)
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}
    loop = [*asked, called, {"role": "tool", "content": "w3"}]
    assert gateway.open({"messages": loop}, id="b").decision.held_on == "cheap"
    # A question of the user's ends the loop.
    ended = [*loop, {"role": "user", "content": "w150"}]
    assert gateway.open({"messages": ended}, id="b").decision.held_on is None


@pytest.mark.parametrize(
    "messages",
    [
        None,
        "w130",
        [],
        [None],
        ["w130"],
        [{"role": "user", "content": 7}, {"role": "assistant", "content": "a"}],
        [{"role": ["user"], "content": "w130"}],
        [{"role": "assistant", "content": ""}],
        [{"role": "assistant", "content": "\ud83d"}],
    ],
)
def test_messages_that_begin_no_conversation_are_decided(messages):
    gateway = gateway_of()
    for _ in range(2):
        visit = gateway.open({"messages": messages}, id="x", client="\udcff")
        gateway.note(visit, "answer", answer=Answer("\udcff"))
        gateway.close(visit)
    assert visit.decision.route in ("cheap", "frontier")


def test_explored_step_changes_nothing_for_the_next_and_a_fallback_does():
    gateway = gateway_of({"exploration": {"epsilon": 0.5}})
    events = [step(gateway, f"w100 {n}", session=str(n)) for n in range(40)]
    explored = [event for event in events if event.route == "frontier"]
    assert 5 < len(explored) < 35
    held = [gateway.open({"messages": "w130"}, id="x", session=str(n)) for n in range(40)]
    assert {visit.decision.held_on for visit in held} == {"cheap"}
    assert {visit.routed.propensity for visit in held} == {0.5}
    gateway = gateway_of({"fallback": {"validators": [{"check": "non_empty"}]}})
    visit = gateway.open({"messages": "w100"}, id="x", session="1")
    assert gateway.falls_back(visit, gateway.note(visit, "answer", answer=Answer("")))
    gateway.note(visit, "fallback", answer=Answer("Yes"))
    gateway.close(visit)
    assert told(step(gateway, "w110", session="1")) == ("frontier", "stick", "frontier")


def test_request_that_was_not_answered_changes_nothing():
    gateway = gateway_of()
    step(gateway, "w100", session="1")
    visit = gateway.open({"messages": "w190"}, id="x", session="1")
    gateway.note(visit, "answer", error="timeout")
    gateway.close(visit, "failed")
    assert step(gateway, "w130", session="1").held_on == "cheap"


def test_price_of_a_switch_is_known_where_cached_tokens_and_prices_are():
    """5,000 tokens at 10 less 1 USD a million: 0.045 USD. The cheap model has no price for cached
    ones: unknown is not zero.
    """
    gateway = gateway_of(prices=PRICES)
    step(gateway, "w100", session="1", usage=Usage(5000, 10, 0))
    held = step(gateway, "w130", session="1", usage=Usage(6000, 10, 4900))
    assert (held.reason, held.switch_cost_usd) == ("stick", pytest.approx(0.045))
    switched = step(gateway, "w150", session="1", usage=Usage(7000, 10, 0))
    assert (switched.route, switched.switch_cost_usd) == ("frontier", pytest.approx(0.054))
    assert step(gateway, "w110", session="1", usage=Usage(7000, 10, 0)).switch_cost_usd is None
    # Nothing was found where something might have been: nothing is lost.
    assert step(gateway, "w90", session="1").held_on == "frontier"
    for cached, expected in ((None, None), (0, 0.0)):
        step(gateway, "w100", session=str(cached), usage=Usage(5000, 10, cached))
        step(gateway, "w100", session=str(cached), usage=Usage(5000, 10, cached))
        assert step(gateway, "w130", session=str(cached)).switch_cost_usd == expected
    assert price_switch(None, Held("cheap", cached_tokens=5)) is None


def test_cold_and_forgotten_sessions_are_decided_alone():
    clock, policy = Clock(), Policy.parse(POLICY)
    sessions = Sessions(secret="s", keep_s=600, clock=clock)
    key = sessions.key(None, session="1", client=None)
    sessions.note(key, policy, "cheap")
    clock.now += 600
    assert sessions.find(key, policy, []).idle_s == 600
    clock.now += 1
    assert sessions.find(key, policy, []) is None
    assert len(sessions) == 0


def test_clocks_that_jump_hold_nothing_for_ever():
    clock, policy = Clock(), Policy.parse(POLICY)
    sessions = Sessions(secret="s", most=3, keep_s=600, clock=clock)
    keys = [sessions.key(None, session=str(n), client=None) for n in range(8)]
    sessions.note(keys[0], policy, "cheap")
    clock.now -= 500
    assert sessions.find(keys[0], policy, []).idle_s == 0.0
    for key in keys[1:]:
        sessions.note(key, policy, "frontier")
    assert len(sessions) == 3
    clock.now += 1e9
    sessions.note(keys[0], policy, "cheap")
    assert len(sessions) == 1


def test_bundle_that_names_other_models_begins_anew():
    sessions, policy = Sessions(secret="s"), Policy.parse(POLICY)
    key = sessions.key(None, session="1", client=None)
    sessions.note(key, policy, "cheap")
    same = Policy.parse(POLICY | {"threshold": 0.1, "frontier_model": "another"})
    assert sessions.find(key, same, []).route == "cheap"
    assert sessions.find(key, Policy.parse(POLICY | {"cheap_model": "another"}), []) is None


def test_a_million_sessions_take_bounded_memory():
    """Here fifty thousand through a store of five thousand: under 4 MB."""
    policy, sessions = Policy.parse(POLICY), Sessions(secret="s", most=5_000)
    tracemalloc.start()
    for n in range(50_000):
        sessions.note(sessions.key(None, session=str(n), client="c"), policy, "cheap")
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sessions) == 5_000
    assert size < 4_000_000


def test_threads_share_a_store():
    policy, sessions = Policy.parse(POLICY), Sessions(secret="s", most=50)
    failures = []

    def work(start):
        try:
            for n in range(2_000):
                key = sessions.key(None, session=str((start * n) % 97), client=None)
                sessions.note(key, policy, "cheap", prompt=n, cached=n)
                sessions.find(key, policy, [])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(sessions) <= 50
