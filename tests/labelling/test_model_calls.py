"""Calls through litellm's SDK to a server on loopback: one attempt each, what it was billed, and
what a failure of it means.
"""

import asyncio

import pytest
from tokenizers import Tokenizer

pytest.importorskip("litellm", exc_type=ImportError)

from benchmarks.lib.model_upstream import Reply, Upstream, serving
from difficulty.economics.prices import TokenPrice
from difficulty.errors import InvalidValueError
from difficulty.labelling.model_calls import (
    CalledModel,
    CallFailure,
    ListedPrice,
    ModelCaller,
    ModelQuestion,
    known_price,
    most_prompt_tokens,
    refuse_unknown_provider,
    same_model,
)
from tests.conftest import REPOSITORY

PRICE = ListedPrice(TokenPrice(input=2.0, output=8.0, cached_input=1.0))
ASKED = ModelQuestion(({"role": "user", "content": "What is due?"},))


def usage(prompt, completion, **more):
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


MODELS = {
    "whole": Reply("hello", usage=usage(100, 10)),
    "cached": Reply("x", usage=usage(100, 10, prompt_tokens_details={"cached_tokens": 50})),
    "says its cost": Reply("x", usage=usage(100, 10, cost=0.5)),
    "says it in a header": Reply(
        "x", usage=usage(100, 10), headers={"x-litellm-response-cost": "0.25"}
    ),
    "cut": Reply("x", usage=usage(1, 1)),
    "limited": Reply(status=429, headers={"retry-after": "7"}),
    "limited until": Reply(status=429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "busy": Reply(status=503),
    "broken": Reply(status=500),
    "gone": Reply(status=502),
    "too long": Reply(status=400),
    "no key": Reply(status=401),
    "no such model": Reply(status=404),
    "no money": Reply(status=402),
    "prose": Reply(body=b"not json"),
    "nothing": Reply(body={"choices": []}),
    "hangs": Reply("x", hang_s=8.0),
}
MODELS["cut"].finish_reason = "length"


@pytest.fixture(scope="module")
def called():
    """What came of one call of every model, made side by side, and the server."""
    models = {name: lambda body, n, r=reply: r for name, reply in MODELS.items()}
    upstream = Upstream(models, dict.fromkeys(MODELS, (2.0, 8.0)))

    async def ask_all(url):
        caller = ModelCaller(timeout_s=4.0)
        models = {
            name: CalledModel(name=name, price=PRICE, max_tokens=50, base_url=url)
            for name in MODELS
        }
        models["nobody"] = CalledModel(
            name="nobody", price=PRICE, max_tokens=50, base_url="http://127.0.0.1:9/v1"
        )
        await asyncio.gather(caller(models["whole"], ASKED))  # loads what the first call loads
        calls = (caller(model, ASKED) for model in models.values())
        replies = await asyncio.gather(*calls, return_exceptions=True)
        await caller.close()
        return dict(zip(models, replies, strict=True))

    with serving(upstream) as url:
        return asyncio.run(ask_all(url)), upstream


def test_answer_has_its_tokens_and_its_bill(called):
    reply = called[0]["whole"]
    assert reply.message == {"role": "assistant", "content": "hello"}
    assert (reply.prompt_tokens, reply.completion_tokens) == (100, 10)
    assert reply.usd == pytest.approx((100 * 2 + 10 * 8) / 1e6)
    assert called[0]["cached"].usd == pytest.approx((50 * 2 + 50 * 1 + 10 * 8) / 1e6)
    assert called[0]["cut"].message["finish_reason"] == "length"


def test_what_the_server_says_it_bills_counts_where_it_is_more(called):
    assert called[0]["says its cost"].usd == 0.5
    assert called[0]["says it in a header"].usd == 0.25


@pytest.mark.parametrize(
    ("name", "kind", "billed"),
    [
        ("limited", "limited", False),
        ("limited until", "limited", False),
        ("busy", "again", False),
        ("broken", "again", True),
        ("gone", "again", True),
        ("too long", "request", False),
        ("no key", "denied", False),
        ("no such model", "denied", False),
        ("no money", "account", False),
        ("prose", "again", True),
        ("nothing", "again", True),
        ("hangs", "again", True),
        ("nobody", "again", False),
    ],
)
def test_failure_says_whether_to_ask_again_and_whether_it_may_have_been_billed(
    called, name, kind, billed
):
    failure = called[0][name]
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.billed) == (kind, billed)


def test_server_says_how_long_to_wait(called):
    assert called[0]["limited"].retry_after_s == 7.0
    assert called[0]["limited until"].retry_after_s == 0.0
    assert called[0]["busy"].retry_after_s is None


def test_a_call_is_one_attempt(called):
    """What is not known to be paid once must not be asked twice behind our back."""
    attempts = {name: called[1].calls(name) for name in MODELS}
    assert attempts == {name: 2 if name == "whole" else 1 for name in MODELS}


def test_no_key_of_another_provider_goes_to_a_server_of_ones_own(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OWN_KEY", "own")
    model = CalledModel(name="x", price=PRICE, max_tokens=5, base_url="http://127.0.0.1:9/v1")
    assert ModelCaller()._options(model)["api_key"] == "none"
    named = CalledModel(
        name="x", price=PRICE, max_tokens=5, base_url="http://127.0.0.1:9/v1", api_key_env="OWN_KEY"
    )
    assert ModelCaller()._options(named)["api_key"] == "own"


@pytest.mark.parametrize(
    "text", ["plain words", "ß日本語🙂" * 20, "\u0000\u0301a" * 9, "  \n" * 30]
)
def test_no_prompt_has_more_tokens_than_are_reckoned_with(text):
    tokenizer = Tokenizer.from_file(str(REPOSITORY / "models/static-minilm-256/tokenizer.json"))
    question = ModelQuestion(({"role": "user", "content": text},))
    assert len(tokenizer.encode(text).ids) <= most_prompt_tokens(question)


def test_tools_are_reckoned_with():
    tools = ({"type": "function", "function": {"name": "find", "description": "x" * 500}},)
    asked = most_prompt_tokens(ASKED)
    assert most_prompt_tokens(ASKED._replace(tools=tools)) > asked + 500 + 1_000


def test_price_that_litellm_knows():
    assert known_price("gpt-4o-mini").usd(1_000_000, 0) == pytest.approx(0.15)
    assert known_price("gpt-4o-mini").usd(0, 1_000_000) == pytest.approx(0.6)
    assert known_price("openai/no-such-model") is None


def test_model_without_a_provider_is_refused():
    with pytest.raises(InvalidValueError, match="must name its provider"):
        refuse_unknown_provider(CalledModel(name="no-such-model", price=PRICE, max_tokens=5))


def test_logs_seldom_name_the_provider():
    assert same_model("openai/gpt-4o", "gpt-4o")
    assert same_model("openrouter/mistralai/M-7B", "mistralai/m-7b")
    assert not same_model("gpt-4o", "gpt-4o-mini")
