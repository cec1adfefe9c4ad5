"""The same ask in other clothes."""

import pytest

from difficulty.perturb import PERTURBATIONS, perturb

ASK = "What is the capital of Norway?\nA. Bergen\nB. Oslo\nAnswer:"
REQUESTS = [
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASK}],
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": ASK},
    ],
    [{"role": "system", "content": ASK}],
]
IDS = ["a", "b", "c"]
KEEPS_WORDS = [name for name in PERTURBATIONS if name not in ("typos", "option_letters")]


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_perturbation_changes_the_request_and_nothing_that_it_was_given(name):
    before = [[dict(message) for message in request] for request in REQUESTS]
    changed = perturb(name, REQUESTS, ids=IDS)
    assert REQUESTS == before
    assert name == "typos" or all(new != old for new, old in zip(changed, REQUESTS, strict=True))
    assert all(
        set(message) == {"role", "content"} and isinstance(message["content"], str)
        for request in changed
        for message in request
    )


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_request_gets_the_same_whatever_stands_beside_it(name):
    together = perturb(name, REQUESTS, ids=IDS)
    assert [perturb(name, [row], ids=[key])[0] for row, key in zip(REQUESTS, IDS, strict=True)] == (
        together
    )


@pytest.mark.parametrize("name", KEEPS_WORDS)
def test_words_of_the_ask_stay(name):
    for request in perturb(name, REQUESTS, ids=IDS):
        text = "\n".join(message["content"] for message in request).lower()
        assert "capital of norway" in " ".join(text.split())


def test_options_are_lettered_anew():
    assert "\nA) Bergen\nB) Oslo" in perturb("option_letters", REQUESTS, ids=IDS)[0][1]["content"]


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("unrelated_untagged", 3_000, 4_000), ("relevant_tagged", 3_000, 4_000),
     ("long_untagged", 12_000, 13_000)],
)  # fmt: skip
def test_passages_have_the_length_that_was_promised(name, least, most):
    text = perturb(name, REQUESTS, ids=IDS)[0][1]["content"]
    assert least <= len(text) - len(ASK) <= most
    assert text.endswith(ASK)


def test_relevant_passages_take_up_words_of_the_ask():
    relevant, unrelated = (
        perturb(name, REQUESTS, ids=IDS)[0][1]["content"].removesuffix(ASK)
        for name in ("relevant_untagged", "unrelated_untagged")
    )
    assert "Norway" in relevant
    assert "Norway" not in unrelated


def test_about_a_fiftieth_of_the_letters_get_a_typo():
    text = "abcdefghij " * 500
    changed = perturb("typos", [[{"role": "user", "content": text}]], ids=["a"])[0][0]["content"]
    words = zip(text.split(), changed.split(), strict=True)
    assert 0.1 < sum(new != old for new, old in words) / 500 < 0.3


def test_empty_asks_are_no_trouble():
    for name in PERTURBATIONS:
        assert len(perturb(name, [[{"role": "user", "content": ""}]], ids=["a"])) == 1
