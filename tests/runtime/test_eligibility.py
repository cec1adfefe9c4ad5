"""What neither exploration nor error may bring to a model that cannot take it."""

import logging

import numpy as np
import pytest
from tokenizers import Tokenizer

from difficulty.gateway.requests import Gateway
from difficulty.needs import Eligibility, Needs
from difficulty.needs.takers import BOTH, find_takers, is_plain, needs_of
from difficulty.request import Request, request_row
from tests.conftest import REPOSITORY
from tests.needs.bodies import IMAGE_TOKENS_AT_LEAST, WORDS, make_body
from tests.runtime.conftest import hand_made

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


def text(content):
    return {"type": "text", "text": content}


NOTHING = Needs()


def takers(needs=NOTHING, eligibility=None, **counts):
    stated = None if eligibility is None else Eligibility.parse(eligibility)
    return find_takers(stated, needs, **counts)


@pytest.mark.parametrize(
    ("cheap", "needs", "rule"),
    [
        ({"tools": False}, Needs(tools=True), "tools"),
        ({"json_schema": False}, Needs(json_schema=True), "json_schema"),
        ({"modalities": ["text", "image"]}, Needs(modalities=("audio",)), "audio"),
        ({"modalities": ["image"]}, Needs(modalities=("unknown",)), "unknown_part"),
        ({"languages": ["en", "de"]}, Needs(languages=("de", "th")), "language"),
        ({"residency": ["EU"]}, Needs(residency=("eu", "us")), "residency"),
        ({"context_tokens": 100}, Needs(answer_tokens=101), "context_window"),
    ],
)
def test_each_rule_by_hand(cheap, needs, rule):
    said = takers(needs, {"cheap": cheap, "frontier": {"residency": ["eu", "us"]}})
    assert said == ("frontier", (f"cheap.{rule}",))
    assert takers(Needs(residency=("eu",)), {"cheap": {"residency": ["EU"]}}).takers == "cheap"


def test_nothing_stated_means_text_of_ordinary_length_for_the_cheap_model():
    assert takers() == BOTH
    assert takers(Needs(tools=True, json_schema=True, languages=("th",))) == BOTH
    assert takers(Needs(modalities=("image",))) == ("frontier", ("cheap.image",))
    assert takers(given=32_768 - 1_024) == BOTH
    assert takers(given=32_768 - 1_023) == ("frontier", ("cheap.context_window",))


def test_a_place_that_is_demanded_and_not_stated_is_taken_by_neither():
    assert takers(Needs(residency=("eu",))) == (
        "neither",
        ("cheap.residency", "frontier.residency"),
    )


WINDOW = {"cheap": {"context_tokens": 8_192}, "answer_tokens": 192}


def test_given_count_counts_as_it_is():
    assert takers(Needs(), WINDOW, given=8_000) == BOTH
    assert takers(Needs(), WINDOW, given=8_001).rules == ("cheap.context_window",)
    assert takers(Needs(answer_tokens=193), WINDOW, given=8_000).takers == "frontier"
    long = Needs.of({"messages": "word " * 100_000})
    assert takers(long, WINDOW, given=8_000) == BOTH


def test_estimates_stay_on_the_safe_side():
    """8,000 words of four letters and a space are 8,000 tokens to many, and counted as 13,334."""
    assert takers(Needs.of({"messages": "word " * 8_000}), WINDOW).takers == "frontier"
    assert takers(Needs.of({"messages": "word " * 4_795}), WINDOW) == BOTH
    assert takers(Needs(), WINDOW, counted=5_333) == BOTH
    assert takers(Needs(), WINDOW, counted=5_334).takers == "frontier"


def test_request_goes_where_it_can_be_taken_before_any_other_rule():
    router = hand_made({"eligibility": WINDOW})
    long = router.decide("w7 " * 100_000, "classify")
    assert (long.route, long.model, long.reason) == ("frontier", "frontier", "ineligible")
    assert (long.can_take, long.ineligible) == ("frontier", ("cheap.context_window",))
    assert (long.difficulty_score, long.fallback, long.error) == (None, None, None)
    assert router.decide("w7", "classify", tokens=400_098).reason == "ineligible"
    assert router.decide("w7", "classify").reason == "easy_task"


def test_what_the_cheap_model_alone_can_take_never_falls_back():
    router = hand_made({"eligibility": {"frontier": {"tools": False}}})
    decision = router.decide("w199", "multi-step planning", tools=[{"name": "f"}])
    assert (decision.route, decision.reason, decision.fallback) == ("cheap", "ineligible", None)
    assert (decision.can_take, decision.ineligible) == ("cheap", ("frontier.tools",))
    assert router.decide("w199").reason == "above_threshold"


def test_what_neither_can_take_is_told_and_counted(caplog):
    router = hand_made({"eligibility": {side: {"tools": False} for side in ("cheap", "frontier")}})
    with caplog.at_level(logging.WARNING, logger="difficulty.runtime"):
        decision = router.decide("w7 SECRET", tools=[{"name": "f"}])
    assert (decision.route, decision.can_take) == ("frontier", "neither")
    assert decision.ineligible == ("cheap.tools", "frontier.tools")
    assert router.untaken == 1
    assert "neither model can take a request (cheap.tools, frontier.tools)" in caplog.text
    assert "SECRET" not in caplog.text


def test_request_with_an_image_is_never_scored_as_if_it_were_its_text():
    """C31: not known to take it, it is ineligible; known to, unfamiliar where hardly any text is
    beside.
    """
    asked = user(text("w1 w2"), IMAGE)
    unstated = hand_made().decide(asked)
    assert (unstated.route, unstated.ineligible) == ("frontier", ("cheap.image",))
    seeing = hand_made({"eligibility": {"cheap": {"modalities": ["text", "image"]}}})
    for messages in (asked, user(IMAGE), user(text(" "), IMAGE)):
        for tokens in (None, 7):
            decision = seeing.decide(messages, tokens=tokens)
            assert (decision.route, decision.reason) == ("frontier", "unfamiliar")
            assert (decision.difficulty_score, decision.error) == (None, None)
    assert seeing.decide(asked, "classify").reason == "easy_task"
    much = seeing.decide(user(text("w1 " * 150), IMAGE))
    assert (much.reason, much.scored_by) == ("within_threshold", "scorer")


def test_image_in_a_tools_result_is_seen():
    result = {"type": "tool_result", "tool_use_id": "1", "content": [text("w1"), IMAGE]}
    assert hand_made().decide(user(result)).ineligible == ("cheap.image",)


def test_callers_words_are_joined_with_what_is_read():
    router = hand_made({"eligibility": {"frontier": {"residency": ["eu"]}}})
    told = router.decide(user(text("w1"), IMAGE), needs=Needs(residency=("eu",)))
    assert told.ineligible == ("cheap.image", "cheap.residency")
    odd = router.decide("w1", needs="eu")
    assert (odd.route, odd.reason) == ("frontier", "scorer_error")
    assert odd.error == "needs must be Needs or None: got a text."


def test_bad_task_or_count_takes_no_request_to_a_model_that_cannot_take_it():
    router = hand_made({"eligibility": {"frontier": {"modalities": ["text"]}, "cheap": SEES}})
    for named in ({"task": 5}, {"tokens": "x"}, {"tokens": -1}):
        assert router.decide(user(text("w1"), IMAGE), **named).model == "cheap-8b"


SEES = {"modalities": ["image"]}


def test_batches_and_golden_vectors():
    """A batch decides as one request does; golden vectors are of the scorer."""
    router = hand_made()
    requests = [Request("w7"), Request(user(text("w7"), IMAGE)), Request("w199")]
    assert router.decide_many(requests) == [router.consider(request) for request in requests]
    assert router.consider(requests[1], eligible=False).reason == "within_threshold"


def test_look_at_lengths_says_what_the_whole_look_says():
    """Of texts of all lengths about the window, with and without a caller's count."""
    rng, plain = np.random.default_rng(7), 0
    for _ in range(3_000):
        room = int(rng.integers(0, 60))
        stated = Eligibility.parse({"cheap": {"context_tokens": 100}, "answer_tokens": room})
        content = "".join(rng.choice(["a", " ", "5", "{", "字", "😀"], int(rng.integers(0, 40))))
        messages = content if rng.random() < 0.5 else [{"role": "user", "content": content}]
        tokens = [None, 3, 100 - room, 101 - room, -1, "x"][int(rng.integers(0, 6))]
        request = Request(messages, tokens=tokens)
        if is_plain(stated, request):
            plain += 1
            needs = needs_of(request)
            assert not needs.ask_in_media
            assert find_takers(stated, needs, given=tokens, counted=len(content)) == BOTH
    assert plain > 300
    for odd in ([{"role": "user", "content": "x", "tool_calls": []}], [{"role": "tool"}], None, 5):
        assert not is_plain(None, Request(odd))
    assert not is_plain(None, Request("x", tools=[{"name": "f"}]))


LIMITS = [
    {"cheap": {"context_tokens": 8_192, "tools": False}},
    {"cheap": {"context_tokens": 32_000, "modalities": ["image"], "json_schema": False}},
    {
        "cheap": {"modalities": ["text", "image", "audio", "video", "file"], "languages": ["en"]},
        "frontier": {"context_tokens": 16_000, "residency": ["eu"], "tools": False},
    },
    {
        "cheap": {"residency": ["eu", "us"], "context_tokens": 200_000},
        "frontier": {"modalities": ["text"], "languages": ["de", "en"], "context_tokens": 100_000},
    },
    {},
]


def truly_takes(limits, truth, form, prompt_tokens, *, room):
    """Return whether a model can truly take a request; what is not stated is no limit here."""
    window = limits.get("context_tokens")
    return all(
        (
            window is None or prompt_tokens + room <= window,
            "modalities" not in limits or truth.kinds <= {*limits["modalities"]},
            not truth.tools or limits.get("tools", True),
            not truth.schema or limits.get("json_schema", True),
            "languages" not in limits or truth.languages <= {*limits["languages"]},
            truth.residency <= {*limits.get("residency", ())},
        )
    )


@pytest.fixture(scope="module")
def count():
    """Return how many tokens a text has by a vocabulary of 30,000 words, which has each word of the
    generated texts whole.
    """
    tokenizer = Tokenizer.from_file(
        str(REPOSITORY / "models" / "static-minilm-256" / "tokenizer.json")
    )
    tokenizer.no_truncation()

    def counted(content):
        return len(tokenizer.encode(content, add_special_tokens=False).ids)

    assert counted(" ".join(WORDS)) == len(WORDS)
    return lambda content: len(content.split()) if content[0] != "[" else counted(content)


def generated(count, n=1_000):
    """Yield bodies with what they truly need, n for each policy, and the tokens given for some."""
    for number, eligibility in enumerate(LIMITS):
        rng = np.random.default_rng(number)
        for _ in range(n):
            body, form, truth = make_body(rng)
            tokens = sum(map(count, truth.texts)) + IMAGE_TOKENS_AT_LEAST * truth.images
            given = tokens if rng.random() < 0.4 else None
            yield eligibility, body, form, truth, tokens, given


EXPLORING = {"exploration": {"epsilon": 0.5, "shadow": 0.5, "seed": 1}}


def test_of_5000_generated_requests_none_goes_to_a_model_that_cannot_take_it(count):
    """By a gateway that explores half of its requests and asks both models of half; the service
    decides alike on the bodies that are posted to it.
    """
    gateways = {
        id(limits): Gateway(hand_made({"eligibility": limits} | EXPLORING)) for limits in LIMITS
    }
    reasons = dict.fromkeys(("ineligible", "neither", "cheap", "frontier"), 0)
    explored = 0
    for limits, body, form, truth, tokens, given in generated(count):
        gateway, number = gateways[id(limits)], sum(reasons.values())
        visit = gateway.open(body, id=str(number), tokens=given)
        asked = visit.decision
        room = 1_024 if truth.answer is None else truth.answer
        able = {
            side: truly_takes(limits.get(side, {}), truth, form, tokens, room=room)
            for side in ("cheap", "frontier")
        }
        if number % 2:
            posted = request_row(body | ({} if given is None else {"prompt_tokens": given}), 1)
            assert gateway.router.consider(posted.request) == asked, form
        if asked.can_take == "neither":
            reasons["neither"] += 1
            assert (visit.routed.propensity, visit.routed.shadow) == (1.0, False)
            continue
        assert able[asked.route], (asked, form, truth.kinds, tokens, given)
        assert able[visit.routed.route]
        explored += visit.routed.route != asked.route
        if asked.fallback or visit.may_fall_back:
            assert able["frontier"]
        if visit.routed.shadow:
            assert all(able.values())
        reasons["ineligible"] += asked.reason == "ineligible"
        reasons[asked.route] += 1
    assert sum(reasons.values()) - reasons["ineligible"] == 5_000
    assert min(*reasons.values(), explored) > 100
