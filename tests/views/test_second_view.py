import json

import pytest

from difficulty.conversation import part_types
from difficulty.encoders.base import load_encoder
from difficulty.errors import InvalidValueError
from difficulty.recipe import parse_recipe
from difficulty.runtime import Router
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.text import TextView
from difficulty.traffic.table import Traffic
from difficulty.training.view_learning import count_boilerplate
from difficulty.views import marks
from difficulty.views.boilerplate import LearnedView, hashes_of
from tests.journey import DRAWS, RECIPE, sample_rows, write_rows
from tests.views.requests import odd_conversations
from tests.views.shapes import PAGE, SHAPES, page

ASK = "How many days does the moon need to go round the earth once?"
PROSE = "The tide was out and the boats lay on their sides in the mud of the harbour. " * 6
HOUSE = "the Nordlicht bank, " * 24 + "in the old town of Bergen"
REMINDER = f"<system-reminder>\n{PROSE[:200]}\n</system-reminder>"


def user(text):
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    "wrapped",
    [
        f"{ASK}\n\n{REMINDER}",
        f"{REMINDER}{ASK}",
        f"<documents><document>{PROSE}</document></documents>\n{ASK}",
        f"{PROSE}\n\n{PROSE}\n\n{PROSE}\n\n{ASK}",
        f"Context:\n{PROSE}\n\nQuestion: {ASK}",
        "\n".join([PROSE] * 7) + f"\n{ASK}",
        f"{ASK}\n\n{PROSE}\n\n{PROSE}\n\n{PROSE}",
    ],
)
def test_wrapped_ask_is_read_as_the_plain_one(wrapped):
    """A model that was trained on plain requests reads the same bytes."""
    view = TextView(2)(wrapped)
    assert view.text.removeprefix("Question: ") == ASK
    assert view.masked_share == pytest.approx(1 - len(ASK) / len(wrapped), abs=0.05)


def test_lone_message_is_read_as_one_beside_another():
    """What is told at a glance of a lone message is what a closer look tells of it."""
    asked = f"Context: {PROSE[:310]}\n\nQuestion: {ASK}"
    for text in (asked, *(each[-1]["content"] for each in odd_conversations(300, seed=2))):
        beside = TextView(2)([{"role": "assistant", "content": "Yes."}, user(text)])
        masked = {kind: n for kind, n in beside.masked if kind != "turns"}
        assert dict(TextView(2)([user(text)]).masked) == masked
    assert TextView(2)(asked).text == f"Question: {ASK}"


def test_two_asks_behind_the_same_wrapper_stay_different():
    first, second = (
        TextView(2)(f"{PROSE}\n\n{PROSE}\n\n{PROSE}\n\n{ask}") for ask in (ASK, "Why?")
    )
    assert first.text != second.text


def test_text_is_no_longer_than_allowed_whatever_comes():
    learned = LearnedView(frozenset({"system", "turns", "tool", "text", "passage", "mail"}))
    for messages in odd_conversations(60):
        view = TextView(2, max_chars=500, learned=learned)(messages)
        assert len(view.text) <= 502
        assert 0.0 <= view.masked_share <= 1.0
        view.text.encode()


def test_sentence_of_nearly_every_request_is_boilerplate_and_one_of_a_task_is_not():
    """A sentence in 6 % of the requests names a task, as MMLU's moral_scenarios do."""
    house, moral = f"You speak for {HOUSE}.", "Which of these two acts is morally wrong?"
    requests = [
        [user(f"{house} {moral if row % 16 == 0 else ''} What about case {row * 7} of them?")]
        for row in range(160)
    ]
    view = TextView(2, learned=count_boilerplate(requests, salt=bytes(16)))
    assert view(requests[0]).text == f"{moral} What about case 0 of them?"
    assert dict(view(requests[1]).masked) == {"house": len(house)}


def test_sentence_of_one_system_prompt_is_boilerplate():
    desk = {"role": "system", "content": "You answer mail for the repair desk of a bicycle shop."}
    house = f"Reply to this letter, please, and do it {HOUSE}."
    ours = [[desk, user(f"{house} Wheel {row} broke again.")] for row in range(60)]
    others = [[user(f"Something else entirely, number {row}.")] for row in range(600)]
    learned = count_boilerplate([*ours, *others], salt=bytes(16))
    assert learned.kinds == {"system"}
    text = TextView(2, learned=learned)(ours[0]).text
    assert text == f"{desk['content']}\nWheel 0 broke again."


def test_little_boilerplate_stays():
    """Heads learn by themselves that a sentence of every request says nothing."""
    requests = [[user(f"Be brief, please, as always. What about {row}?")] for row in range(60)]
    assert count_boilerplate(requests, salt=bytes(16)) == LearnedView(salt=bytes(16))


def test_boilerplate_that_is_the_ask_stays():
    requests = [[user(f"Write today's market report for {HOUSE}.")]] * 60
    view = TextView(2, learned=count_boilerplate(requests, salt=bytes(16)))
    assert view.learned.hashes
    assert view(requests[0]).text == requests[0][0]["content"]


def test_kinds_that_the_traffic_has_are_read_in_part():
    requests = [[user(f"<context>{PROSE}</context>\n{ASK} {row}")] for row in range(40)]
    requests += [[user(f"{REMINDER}\n{ASK} {row}")] for row in range(19)]  # too few of them
    learned = count_boilerplate(requests, salt=bytes(16))
    text = TextView(2, learned=learned)(f"<context>{PROSE * 4}</context>\n{ASK}").text
    assert learned.kinds == {"passage"}
    assert text.startswith("[passage 4]\n<context>The tide")
    assert text.endswith(ASK)
    assert len(text) < 600 + len(ASK) + 20


def test_view_json_is_read_as_it_was_written_and_nothing_else():
    learned = LearnedView(
        frozenset({"system", "text"}), hashes_of(["one sentence", "another"], b"s" * 16), b"s" * 16
    )
    assert LearnedView.parse(learned.as_bytes) == learned
    form = json.loads(learned.as_bytes)
    for change in (
        {"format": 2},
        {"kinds": ["?"]},
        {"salt": "00"},
        {"sentences": "AAAA"},
        {"x": 1},
    ):
        with pytest.raises(InvalidValueError, match=r"view\.json"):
            LearnedView.parse(json.dumps(form | change).encode())
    for content in (b"", b"[]", b"null", b"\xff"):
        with pytest.raises(InvalidValueError, match=r"view\.json"):
            LearnedView.parse(content)


def test_training_and_serving_read_the_same_bytes(journey, tmp_path):
    """Traffic with house sentences and context: the bundle makes of every request the text that the
    run was trained on.
    """
    rows = sample_rows()
    for number, row in enumerate(rows):
        house = f"You speak for {HOUSE}. Keep it short."
        extra = f"\n<context>\n{PROSE}\n</context>" if number % 9 == 0 else ""
        row["messages"][-1]["content"] = f"{house}\n{row['messages'][-1]['content']}{extra}"
    ingest([write_rows(tmp_path / "wrapped.jsonl", rows)], tmp_path / "wrapped.parquet")
    run, _ = train(
        tmp_path / "wrapped.parquet",
        tmp_path / "run",
        recipe=parse_recipe({**RECIPE, "text": {"view": 2}}, name="small.toml"),
        encoder=load_encoder(journey.encoder),
        more_labels=False,
        unseen_tasks=False,
        draws=DRAWS,
    )
    assert run.view.learned.hashes
    assert "passage" in run.view.learned.kinds
    shipped = ship(tmp_path / "run", tmp_path / "shipped-1", allow_no_signal=True, draws=DRAWS)
    router = Router.from_bundle(shipped.bundle)
    requests = [*run.test.messages(), *odd_conversations(20, seed=1)]
    for messages in requests:
        assert router.scorer.view(messages) == run.view(messages)
    masked = next(each for each in requests if run.view(each).masked)
    decision = router.decide(masked)
    assert decision.masked_share == run.view(masked).masked_share > 0
    assert decision.tokens_source == "estimate"


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}


def test_step_and_media_are_read_the_same_of_requests_and_of_ingested_traffic(tmp_path):
    """The table keeps no images and no flags, but what the view reads of them."""
    seen = [user([IMAGE, {"type": "text", "text": f"{ASK} See both."}, IMAGE])]
    first = [user(ASK), CALL, {"role": "tool", "content": "4 degrees", "is_error": True}]
    later = [*first[:2], first[2] | {"is_error": False}, CALL, {"role": "tool", "content": "Error"}]
    again = [*later, {"role": "tool", "content": "rain"}, CALL, {"role": "tool", "content": "-"}]
    requests = [seen, first, later, again, [user(ASK)]]
    rows = [
        {"id": str(place), "messages": messages, "cheap_quality": 1.0}
        for place, messages in enumerate(requests)
    ]
    for name, source in (("once", None), ("twice", "once")):  # and what was ingested before
        path = tmp_path / f"{source}.parquet" if source else write_rows(tmp_path / "r.jsonl", rows)
        ingest([path], tmp_path / f"{name}.parquet", near_duplicates=False)
    learned = LearnedView(frozenset({"image", "step", "tool"}))
    for view in (TextView(2), TextView(2, learned=learned)):
        expected = [view(messages) for messages in requests]
        for name in ("once", "twice"):
            traffic = Traffic.read(tmp_path / f"{name}.parquet")
            assert traffic.views(view) == expected
            changed = traffic.with_columns({"messages": traffic.messages()})
            assert changed.views(view) == expected
    lines = [view.text.partition("\n")[0] for view in expected]
    assert lines == ["[image 2]", "[step 1 error]", "[step 2 error]", "[step 3 fine]", ASK]
    kinds = count_boilerplate(requests * 20, salt=bytes(16)).kinds
    assert kinds == {"image", "step", "tool", "turns"}


def test_types_of_media_are_those_of_needs():
    """The view stands below the rooms that read parts, so it has a table of its own."""
    told = {name: kind for name, kind in part_types.TYPES.items() if kind in part_types.MEDIA}
    assert marks._TYPES == told


def test_page_of_requests_says_what_the_code_reads():
    """``python -m tests.views.shapes`` writes it again."""
    content = PAGE.read_text(encoding="utf-8")
    assert content == page(content)
    assert len(SHAPES) >= 10
