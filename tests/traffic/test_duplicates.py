import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difficulty.engine import LocalEngine
from difficulty.records import Message, Sample
from difficulty.traffic.duplicates import Grouper, place_together
from difficulty.traffic.near import NearSearch
from difficulty.traffic.stored.splits import assign_splits

LONG = (
    "the quick brown fox jumps over the lazy dog while seven small birds watch from the old oak"
    " tree near our river"
)
OTHER = (
    "please write a short poem about winter evenings in a quiet town with snow on every roof and"
    " smoke from chimneys"
)


def sample(text, group=None, role="user"):
    return Sample(id="x", messages=(Message(role, text),), group=group, cheap_quality=1.0)


def placed(*samples, near=True):
    with Grouper(near=near) as grouper:
        return place_together(samples, grouper), grouper


def found(*texts):
    """Return what the search finds of each text."""
    search = NearSearch(LocalEngine())
    search.begin(texts)
    near = list(search.find())
    search.close()
    return near


def test_equal_texts_share_a_key_whatever_case_and_spaces():
    (a, b, c), grouper = placed(
        sample("Hello  World"), sample("hello world\n"), sample("hello there")
    )
    assert a == b
    assert a.split_group != c.split_group
    assert (grouper.exact_duplicates, grouper.near_duplicates, grouper.n_groups) == (1, 0, 2)


def test_near_texts_share_a_key_and_are_counted():
    (a, b, c), grouper = placed(sample(LONG), sample(LONG + " today"), sample(OTHER))
    assert a.split_group == b.split_group != c.split_group
    assert (grouper.exact_duplicates, grouper.near_duplicates) == (0, 1)


def test_near_texts_are_apart_when_not_asked_for():
    (a, b), _ = placed(sample(LONG), sample(LONG + " today"), near=False)
    assert a.split_group != b.split_group


def test_short_questions_with_other_numbers_are_not_near():
    (a, b), _ = placed(sample("What is 12 plus 30?"), sample("What is 12 plus 31?"))
    assert a.split_group != b.split_group


def test_samples_of_one_group_share_a_key():
    (a, b, c), _ = placed(sample("one", "u1"), sample(LONG, "u1"), sample("two", "u2"))
    assert a.split_group == b.split_group != c.split_group


def test_a_bridge_takes_the_oldest_key_and_lists_the_other():
    """The third is of the group of the first and equal to the second, which are apart already."""
    (a, b, bridge), _ = placed(sample("one", "u1"), sample(LONG), sample(LONG, "u1"))
    assert bridge.split_group == a.split_group
    assert bridge.near_groups == (b.split_group,)


def test_the_same_instructions_do_not_make_two_requests_near():
    def ask(text):
        return Sample(
            id="x",
            messages=(Message("system", LONG * 20), Message("user", text)),
            cheap_quality=1.0,
        )

    (a, b, c), _ = placed(
        ask("Where is my parcel?"), ask("Close my account."), ask("where is my parcel?")
    )
    assert a.split_group == c.split_group != b.split_group


def test_near_texts_are_found_in_scripts_without_spaces():
    text = (
        "明日の天気を教えてください。東京は雨が降りますか、それとも晴れますか。"
        "傘を持って行くべきでしょうか。"
    )
    (a, b), _ = placed(sample(text), sample(text + "はい"))
    assert a.split_group == b.split_group


def test_a_short_text_is_near_to_its_own_letters_alone():
    texts = ["hello world", "hello, world!", "world hello", "hello world 2", "?!"]
    assert found(*texts) == [[], [0], [], [], []]


def test_a_text_of_a_megabyte_is_compared():
    long = " ".join(str(number) for number in range(150_000))
    assert found(long, long + " end") == [[], [0]]


texts = st.sampled_from(
    [
        LONG,
        LONG + " today",
        LONG + " and then today",
        OTHER,
        OTHER + " please",
        "one",
        "two",
        "hi there you",
    ]
)
requests = st.lists(
    st.builds(sample, texts, st.sampled_from([None, None, "u1", "u2", "u3"])), max_size=25
)


@settings(max_examples=60)
@given(requests, requests)
def test_more_samples_move_none_of_the_old_keys(old, new):
    assert placed(*old)[0] == placed(*old, *new)[0][: len(old)]


@settings(max_examples=60)
@given(requests, st.integers(0, 20))
def test_nothing_that_belongs_together_straddles_a_split(samples, seed):
    """Equal texts and samples of one group, unless set aside, sit in one split."""
    places, _ = placed(*samples)
    sides = assign_splits(
        [p.split_group for p in places],
        [p.near_groups for p in places],
        seed=seed,
        fractions=(0.4, 0.3, 0.3),
    )
    for kind in (
        lambda one: one.messages[0].content,
        lambda one: one.group,
        lambda one: _family(one.messages[0].content),
    ):
        seen: dict[str, set[str]] = {}
        for one, side in zip(samples, sides.tolist(), strict=True):
            if side != "aside" and kind(one) is not None:
                seen.setdefault(kind(one), set()).add(side)
        assert all(len(found) == 1 for found in seen.values())


def _family(text):
    """LONG and "LONG today", OTHER and "OTHER please" are near to each other, each to each."""
    return {LONG: "a", LONG + " today": "a", OTHER: "b", OTHER + " please": "b"}.get(text)


@pytest.mark.parametrize("text", ["\ud800 lone", "\x00", "a" * 1_000])
def test_odd_texts_have_a_key(text):
    (place,), _ = placed(sample(text))
    assert len(place.split_group) == 32


ASK = "Which of these metals melts at the lowest temperature, and where is it mined?"
PROSE = "The tide was out and the boats lay on their sides in the mud of the harbour. " * 9


@pytest.mark.parametrize(
    ("wrapped", "is_copy"),
    [
        (f"{PROSE}\n\n{PROSE}\n\n{ASK}", False),
        (f"<context>{PROSE}</context>\n{ASK.replace('is it', 'is mercury')}", True),
        (f"Hello!\n\n{ASK.replace('is it', 'is mercury')}\n\nThanks a lot.", True),
        (f"<context>{PROSE}</context>\nWhat does the report say of the price of boats?", False),
    ],
)
def test_wrapped_copy_shares_the_key_of_the_plain_one(wrapped, is_copy):
    """If its ask stands on its own, as far as one can tell."""
    plain = [
        ASK,
        ASK.replace("is it", "is mercury"),
        "What does the report say of the price of boats?",
    ]
    (*keys, own), grouper = placed(*map(sample, [*plain, wrapped]), near=False)
    assert (own.split_group in {key.split_group for key in keys}) == is_copy
    assert grouper.wrapped_copies == is_copy
