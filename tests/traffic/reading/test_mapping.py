"""Columns of a table under any name, by --map and by a mapping file."""

import json

import pytest

from difficulty.errors import InvalidValueError, TrafficError, UnknownNameError
from difficulty.stages.ingest import ingest
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.mapping import TableMapping, read_mapping
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.table import Traffic


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sample(tmp_path, rows, *columns, mapping=None, **more):
    """Return the traffic of rows with columns mapped, and the summary."""
    if mapping is not None:
        (tmp_path / "m.toml").write_text(mapping)
    summary = ingest(
        [lines(tmp_path / "in.jsonl", rows)],
        tmp_path / "t.parquet",
        mapping=read_mapping(None if mapping is None else tmp_path / "m.toml", columns, ()),
        overwrite=True,
        **more,
    )
    return Traffic.read(tmp_path / "t.parquet"), summary


def column(traffic, name):
    return traffic._table[name].to_pylist()


ROW = {
    "User text": "What is 2 + 2?",
    "scores": {"small": 4, "big": [1, 5]},
    "meta": '{"use case": "maths"}',
    "id": 7,
}


def test_columns_of_any_name_and_paths_into_objects_are_read(tmp_path):
    traffic, _ = sample(
        tmp_path,
        [ROW],
        "prompt=User text",
        "cheap_quality=scores.small",
        "frontier_quality=scores.big.1",
        "task=meta.use case",
        mapping="[scale]\ncheap_quality = [0, 5]\nfrontier_quality = [1, 5]\n",
    )
    assert traffic.outcomes.cheap_quality.tolist() == [0.8]
    assert traffic.outcomes.frontier_quality.tolist() == [1.0]
    assert traffic.tasks == ["maths"]
    assert json.loads(column(traffic, "extra")[0])["scores"] == ROW["scores"]


def test_several_columns_become_messages_or_one_prompt(tmp_path):
    row = {
        "sys": "Be short.",
        "q1": "One?",
        "a1": "Yes.",
        "q2": "Two?",
        "ctx": None,
        "passed": True,
    }
    traffic, _ = sample(
        tmp_path, [row], "system=sys", "user=q1", "assistant=a1", "user=q2", "cheap_passed=passed"
    )
    assert [m["role"] for m in column(traffic, "messages")[0]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    traffic, _ = sample(
        tmp_path, [row], "prompt=q1", "prompt=ctx", "prompt=q2", "cheap_passed=passed"
    )
    assert column(traffic, "messages")[0] == [{"role": "user", "content": "One?\n\nTwo?"}]


def test_words_constants_and_times_mean_what_the_file_says(tmp_path):
    mapping = """
[columns]
prompt = "q"
timestamp = "when"
cheap_quality = "verdict"
[constants]
measured_by = "tests"
[words]
cheap_quality = { pass = 1, partly = 0.5, fail = 0 }
[times]
timestamp = "%d.%m.%Y %H:%M"
"""
    rows = [
        {"q": "a", "when": "01.08.2026 06:25", "verdict": "Pass"},
        {"q": "b", "when": "02.08.2026 06:25", "verdict": "partly"},
        {"q": "c", "when": "02.08.2026 06:25", "verdict": "n/a"},
    ]
    traffic, summary = sample(tmp_path, rows, mapping=mapping, allow_rejects=True)
    assert traffic.outcomes.cheap_quality.tolist() == [1.0, 0.5]
    assert traffic.outcomes.measured_by.tolist() == ["tests", "tests"]
    assert column(traffic, "timestamp")[0].isoformat() == "2026-08-01T06:25:00+00:00"
    assert summary.rejected == {"cheap_quality must be one of 'pass', 'partly', 'fail'": 1}


def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(TrafficError) as refused:
        sample(tmp_path, [ROW], "prompt=User txt")
    assert str(refused.value) == (
        "a column that is mapped must be in the table: no column 'User txt' (for prompt). Nearest:"
        " 'User text'; --map prompt=\"User text\"."
    )
    assert not (tmp_path / "t.parquet").exists()


def test_a_table_without_a_request_is_refused_with_the_column_that_may_be_it(tmp_path):
    with pytest.raises(
        TrafficError, match="No column 'prompt'. Nearest: 'User text'; --map prompt=\"User text\""
    ):
        ingest([lines(tmp_path / "in.jsonl", [ROW])], tmp_path / "t.parquet")


def test_names_of_the_pair_are_kept_where_the_rows_have_none(tmp_path):
    options = ReadOptions(pair=ModelPair(cheap=("small",), frontier=("big*",)))
    rows = [{"q": "a", "s": 1}, {"q": "b", "s": 0, "cheap_model": "own"}]
    traffic, _ = sample(tmp_path, rows, "prompt=q", "cheap_quality=s", options=options)
    assert column(traffic, "cheap_model") == ["small", "own"]
    assert column(traffic, "frontier_model") == [None, None]


def test_a_column_under_the_name_of_a_mapped_one_is_kept_as_an_extra(tmp_path):
    traffic, _ = sample(
        tmp_path, [{"prompt": "Template 3", "filled": "Hi", "cheap_passed": 1}], "prompt=filled"
    )
    assert column(traffic, "messages")[0][0]["content"] == "Hi"
    assert json.loads(column(traffic, "extra")[0]) == {"prompt (unread)": "Template 3"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[colums]\n", "Perhaps 'columns' is meant"),
        ('[columns]\npromt = "x"\n', "unknown field of \\[columns\\] 'promt'"),
        ("[scale]\nprompt = [1, 5]\n", "unknown field of \\[scale\\] 'prompt'"),
        ("[scale]\ncheap_quality = [1, 1]\n", "two different numbers"),
        ('[pivot]\nrequest = "a"\n', "pivot.model is missing"),
        ("not toml", "be a readable TOML file"),
    ],
)
def test_a_mapping_file_that_says_what_none_does_is_refused(tmp_path, text, error):
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises((TrafficError, InvalidValueError, UnknownNameError), match=error):
        TableMapping.read(tmp_path / "m.toml")


def test_a_map_that_is_not_written_so_and_another_format_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="field=column"):
        read_mapping(None, ["prompt"], ())
    with pytest.raises(InvalidValueError, match="format must be native"):
        sample(tmp_path, [ROW], "prompt=q", format="log")


def test_prompts_and_messages_that_python_wrote_are_read(tmp_path):
    rows = [
        {"prompt": "['It\\'s one.']", "cheap_passed": True},
        {"prompt": "['Turn one', 'turn two']", "cheap_passed": True},
        {"messages": "[{'role': 'user', 'content': 'Hi'}]", "cheap_passed": True},
        {"messages": [{"from": "human", "value": "Ho"}], "cheap_passed": True},
    ]
    traffic, _ = sample(tmp_path, rows)
    assert [[m["content"] for m in ms] for ms in column(traffic, "messages")] == [
        ["It's one."],
        ["Turn one", "turn two"],
        ["Hi"],
        ["Ho"],
    ]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"route": "frontier", "propensity": 0.5}, "frontier_answer"),
        ({"model": "gpt-4-x", "cheap_quality": 1, "frontier_quality": 1}, "frontier_answer"),
        ({"cheap_passed": True}, "cheap_answer"),
        ({"frontier_quality": 1}, "frontier_answer"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_an_answer_at_the_end_of_messages_is_that_of_the_model_that_gave_it(
    tmp_path, more, name, as_text
):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    row = {"messages": json.dumps(messages) if as_text else messages, **more}
    options = ReadOptions(pair=ModelPair(frontier=("gpt-4*",)))
    traffic, summary = sample(tmp_path, [row], options=options)
    assert column(traffic, name) == ["Ho"]
    assert [m["role"] for m in column(traffic, "messages")[0]] == ["user"]
    assert summary.labels[0]["split_off"] == 1


def test_an_answer_of_nobody_is_kept_beside_the_outcomes_and_said(tmp_path):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    traffic, summary = sample(tmp_path, [{"messages": messages, "preference": "tie"}])
    assert json.loads(column(traffic, "extra")[0]) == {"answer": "Ho"}
    assert any("a model that no column names" in warning for warning in summary.warnings)


def test_ingested_traffic_stays_as_it_is_beside_a_mapped_table(tmp_path):
    old = [
        {
            "id": "o",
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "route": "cheap",
            "propensity": 1.0,
            "cheap_passed": True,
        }
    ]
    sample(tmp_path, old)
    (tmp_path / "t.parquet").rename(tmp_path / "old.parquet")
    new = lines(tmp_path / "new.jsonl", [{"q": "c", "cheap_passed": False}])
    summary = ingest(
        [tmp_path / "old.parquet", new],
        tmp_path / "all.parquet",
        mapping=read_mapping(None, ["prompt=q"], ()),
    )
    assert summary.kept == 2


def test_seconds_since_1970_are_times(tmp_path):
    rows = [
        {"prompt": "a", "cheap_passed": 1, "timestamp": t}
        for t in (1785565500, 1785565500123, "1785565500.5")
    ]
    traffic, _ = sample(tmp_path, rows)
    assert [t.isoformat()[:19] for t in column(traffic, "timestamp")] == ["2026-08-01T06:25:00"] * 3


def test_bad_input_is_one_sentence_each_and_nothing_is_lost(tmp_path):
    """Counters that slipped, clocks of two zones, a row of 10 MB, an id twice."""
    rows = [
        {
            "id": "a",
            "prompt": "x",
            "cheap_passed": 1,
            "cheap_tokens": -5,
            "timestamp": "2026-08-01T10:00:00",
        },
        {
            "id": "b",
            "prompt": "y",
            "cheap_passed": 1,
            "prompt_tokens": 10**14,
            "timestamp": "2026-08-01T10:00:00+02:00",
        },
        {
            "id": "c",
            "prompt": "z" * 10_000_000,
            "cheap_passed": 0,
            "cheap_tokens": "many",
            "timestamp": "2026-08-01T10:00:00Z",
        },
        {"id": "a", "prompt": "again", "cheap_passed": 0},
    ]
    traffic, summary = sample(tmp_path, rows, allow_rejects=True)
    assert (summary.rows, summary.kept, summary.rejected) == (4, 3, {"id must be unique": 1})
    assert column(traffic, "cheap_tokens") == [None, None, None]
    assert json.loads(column(traffic, "extra")[1]) == {"prompt_tokens (odd)": 10**14}
    assert [time.hour for time in column(traffic, "timestamp")] == [10, 8, 10]
    assert [warning for warning in summary.warnings if "token" in warning or "zone" in warning] == [
        "1 times name no zone and are taken as UTC, 2 name one (+02:00, UTC): where the clocks"
        " differ, requests stand in the wrong order",
        "3 token counts are no counts (below 0, above 100 million, a fraction or a word): they are"
        " taken as unknown, and kept beside the outcomes",
    ]
