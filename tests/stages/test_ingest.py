import json
import time

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from difficulty.errors import (
    OutputExistsError,
    TrafficError,
    TrafficNotFoundError,
    UnknownNameError,
)
from difficulty.stages.ingest import ingest
from difficulty.traffic.rows import Scale
from difficulty.traffic.table import Traffic
from tests.journey import write_rows

GOOD = {"id": "a", "prompt": "Hello", "cheap_quality": 0, "frontier_quality": 1}


def write(path, rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows),
        encoding="utf-8",
    )
    return path


def rejects(out):
    path = out.with_name(f"{out.stem}.rejects.jsonl")
    return (
        [json.loads(line) for line in path.read_text().split("\n") if line] if path.exists() else []
    )


def test_good_rows_go_on_and_bad_rows_go_to_the_rejects(tmp_path):
    source = write(
        tmp_path / "in.jsonl",
        [
            GOOD,
            {**GOOD, "id": "b", "cheap_quality": 7},
            "{oops",
            {**GOOD, "id": "c", "prompt": "Bye"},
            GOOD,
            {"prompt": "no outcome"},
        ],
    )
    summary = ingest([source], out := tmp_path / "out.parquet", allow_rejects=True)
    assert Traffic.read(out).ids == ["a", "c", "in-6"]
    assert (summary.rows, summary.kept, summary.unlabelled) == (6, 3, 1)
    assert [(row["line"], row["id"], row["reason"].partition(":")[0]) for row in rejects(out)] == [
        (2, "b", "cheap_quality must be in [0, 1] or null"),
        (3, None, "a line must be one JSON object"),
        (5, "a", "id must be unique"),
    ]
    assert rejects(out)[2]["reason"].endswith(f"Line 1 of {source} has it.")
    assert sum(summary.rejected.values()) == 3
    assert json.loads((tmp_path / "out.summary.json").read_text()) == summary.as_dict()


def test_the_summary_counts_by_hand(tmp_path):
    rows = [
        {
            "prompt": "one",
            "cheap_quality": 0,
            "frontier_quality": 1,
            "task": "x",
            "cheap_tokens": 5,
            "contaminated": True,
        },
        {
            "prompt": "two",
            "cheap_quality": 1,
            "frontier_quality": 0.5,
            "task": "x",
            "cheap_model": "c",
            "frontier_model": "f",
        },
        {"prompt": "ONE", "cheap_passed": True, "frontier_quality": 1},
        {"prompt": "a\ud800", "preference": "frontier"},
    ]
    summary = ingest([write(tmp_path / "in.jsonl", rows)], tmp_path / "out.parquet")
    assert summary.cheap_quality == pytest.approx(2 / 3)
    assert summary.frontier_quality == pytest.approx(2.5 / 3)
    assert (summary.frontier_better, summary.cheap_better, summary.tied) == (0.5, 0.25, 0.25)
    assert summary.known_outcomes == {
        "cheap_quality": 2,
        "frontier_quality": 3,
        "cheap_passed": 1,
        "preference": 1,
        "both": 3,
    }
    assert (
        summary.exact_duplicates,
        summary.near_duplicates,
        summary.groups,
        summary.largest_group,
    ) == (1, 0, 3, 2)
    assert (summary.generated_ids, summary.repaired_messages, summary.contaminated) == (4, 1, 1)
    assert summary.tasks == {"x": 2, "": 2}
    assert summary.model_pairs == {"c / f": 1}
    assert summary.known_tokens["cheap_tokens"] == 1
    assert Traffic.read(tmp_path / "out.parquet").ids == [f"in-{line}" for line in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("rows", "warning"),
    [
        (
            [{"cheap_quality": 1, "frontier_quality": 0}],
            "check that the two columns are not swapped",
        ),
        (
            [
                {"cheap_quality": 0.5, "frontier_quality": 0.5},
                {"cheap_quality": 1, "frontier_quality": 1},
            ],
            "there is nothing to route",
        ),
        ([{"cheap_passed": True}], "the cheap model has quality 1 on every sample: one class"),
        ([{"cheap_passed": True}] * 10, "only 10 samples"),
        ([{"cheap_passed": True, "group": "g"}] * 10, "one group holds 10 of 10 samples"),
        (
            [
                {"cheap_passed": True, "cheap_model": "c"},
                {"cheap_passed": True, "cheap_model": "d"},
            ],
            "more than one pair of models",
        ),
        ([{"cheap_passed": True}, {"weight": -1}], "1 of 2 rows was rejected"),
    ],
)
def test_the_summary_warns(rows, warning, tmp_path):
    source = write(
        tmp_path / "in.jsonl", [{"prompt": f"request {n}", **row} for n, row in enumerate(rows)]
    )
    summary = ingest([source], tmp_path / "out.parquet", allow_rejects=True)
    assert any(warning in found for found in summary.warnings)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (
            [{"text": "x", "score": 1}] * 3,
            r"got 3, all rejected, 3 of them because messages or prompt must be given.* found:"
            r" text, score\.",
        ),
        ([{"prompt": "x", "cheap_quality": 70}], "pass --scale 0,100"),
        ([{"prompt": "x", "cheap_quality": "good"}], "because cheap_quality must be in"),
        ([{"prompt": "x", "cheap_quality": float("nan")}], "because cheap_quality must be in"),
        (["id,prompt,cheap_quality"], "because a line must be one JSON object"),
        ([], "it is empty"),
    ],
)
def test_traffic_without_a_usable_row_is_refused_and_nothing_is_left(rows, reason, tmp_path):
    source = write(tmp_path / "in.jsonl", rows)
    with pytest.raises(TrafficError, match=reason) as caught:
        ingest([source], tmp_path / "out.parquet")
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == [source]


def test_unlabelled_rows_are_kept_and_what_may_be_their_outcome_is_named(tmp_path):
    """A column that may be an outcome and is not read is told: unlabelled may be a mistake."""
    rows = [{"prompt": f"request {n}", "score": 1} for n in range(3)]
    summary = ingest([write(tmp_path / "in.jsonl", rows)], out := tmp_path / "out.parquet")
    assert (summary.kept, summary.unlabelled, sum(summary.rejected.values())) == (3, 3, 0)
    assert any("no row has an outcome" in warning for warning in summary.warnings)
    assert any('--map cheap_quality="score"' in warning for warning in summary.warnings)
    assert np.isnan(Traffic.read(out).outcomes.cheap_quality).all()


def test_missing_sources_and_unknown_formats_are_refused(tmp_path):
    source = write(tmp_path / "in.jsonl", [GOOD])
    with pytest.raises(TrafficNotFoundError):
        ingest([tmp_path / "none.jsonl"], tmp_path / "out.parquet")
    with pytest.raises(UnknownNameError, match="unknown format"):
        ingest([source], tmp_path / "out.parquet", format="alpaca")
    with pytest.raises(TrafficError, match="at least one source"):
        ingest([], tmp_path / "out.parquet")
    with pytest.raises(TrafficError, match="found nothing of format 'routellm'"):
        ingest([source], tmp_path / "out.parquet", format="routellm")


def test_the_output_must_be_another_parquet_file(tmp_path):
    source = write(tmp_path / "in.jsonl", [GOOD])
    with pytest.raises(TrafficError, match=r"must go to a \.parquet file"):
        ingest([source], tmp_path / "out.csv")
    ingest([source], out := tmp_path / "out.parquet")
    with pytest.raises(OutputExistsError, match="exists already. Nothing was written"):
        ingest([source], out)
    with pytest.raises(TrafficError, match="must not be one of the sources"):
        ingest([out], out, overwrite=True)


def test_checks_in_other_processes_write_the_same_files(tmp_path, monkeypatch):
    """Rows that cannot be used and ids that come again among them, some from another block."""
    said = "the parcel that I ordered for my sister has not come, and nobody answers about number"
    texts = [f"{said} {number}" if number % 3 else f"{number} words" for number in range(700)]
    rows = [{**GOOD, "id": str(n % 650), "prompt": text} for n, text in enumerate(texts)]
    source = write(tmp_path / "in.jsonl", [*rows, {}, {**GOOD, "id": None}, {**GOOD, "id": "9"}])
    here, apart = (tmp_path / f"{name}.parquet" for name in ("here", "apart"))
    summary = ingest([source], here)
    assert (summary.kept, summary.rows) == (651, 703)
    assert summary.near_duplicates
    monkeypatch.setattr("difficulty.stages.ingest._LARGE", 0)
    monkeypatch.setattr("difficulty.stages.ingest.count_cores", lambda: 2)
    assert ingest([source], apart) == summary
    assert here.read_bytes() == apart.read_bytes()
    assert rejects(here) == rejects(apart)


def test_an_interrupt_leaves_what_was_there_before(tmp_path):
    source = write(
        tmp_path / "in.jsonl", [{**GOOD, "id": str(n), "prompt": f"{n}"} for n in range(600)]
    )
    old = write(tmp_path / "old.jsonl", [GOOD, {}])
    ingest([old], out := tmp_path / "out.parquet", allow_rejects=True)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupt(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest([source], out, progress=interrupt, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_rejects_of_an_earlier_run_do_not_stay(tmp_path):
    source = write(tmp_path / "in.jsonl", [GOOD, {}])
    ingest([source], out := tmp_path / "out.parquet", allow_rejects=True)
    assert rejects(out)
    ingest([write(tmp_path / "in.jsonl", [GOOD])], out, overwrite=True)
    assert not rejects(out)


def test_progress_ends_with_the_number_of_rows(tmp_path):
    seen = []
    ingest(
        [write(tmp_path / "in.jsonl", [{**GOOD, "id": str(n)} for n in range(1_200)])],
        tmp_path / "out.parquet",
        progress=seen.append,
    )
    assert seen == [500, 1_000, 1_200]


def test_rows_without_ids_from_two_files_of_one_name_are_all_kept(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "in.jsonl", [{"prompt": f"from {folder}", "cheap_passed": True}])
    summary = ingest([tmp_path / "x", tmp_path / "y", tmp_path / "x"], tmp_path / "out.parquet")
    assert (summary.rows, summary.kept) == (2, 2)
    first, second = Traffic.read(tmp_path / "out.parquet").ids
    assert first == "in-1"
    assert second.startswith("in-1-")


def test_one_megabyte_and_odd_columns_are_kept(tmp_path):
    row = {
        **GOOD,
        "prompt": "long " * 200_000,
        "note": {"deep": [float("nan"), "\ud800"]},
        "extra": 5,
    }
    ingest([write(tmp_path / "in.jsonl", [row])], tmp_path / "out.parquet")
    traffic = Traffic.read(tmp_path / "out.parquet")
    assert len(traffic.messages()[0][0]["content"]) == 1_000_000
    assert set(traffic.column("extra")[0]) == {"note", "extra"}


def test_every_file_type_gives_the_same_samples(tmp_path):
    rows = [
        {
            "id": str(n),
            "messages": json.dumps([{"role": "user", "content": f"Request {n}"}]),
            "cheap_quality": 0.5,
        }
        for n in range(5)
    ]
    write(tmp_path / "a.jsonl", rows)
    dataset = datasets.Dataset.from_list(rows)
    dataset.to_csv(tmp_path / "a.csv")
    dataset.to_parquet(tmp_path / "a.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    hashes = set()
    for source in ("a.jsonl", "a.csv", "a.parquet", "saved"):
        ingest([tmp_path / source], tmp_path / "out.parquet", overwrite=True)
        hashes.add(Traffic.read(tmp_path / "out.parquet").data_hash)
    assert len(hashes) == 1


def test_answers_and_tools_are_kept_counted_and_ingested_again(tmp_path):
    tools = [{"type": "function", "function": {"name": "find"}}]
    calls = {"content": None, "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]}
    rows = [
        {**GOOD, "cheap_answer": "x" * 10_000_000, "tools": tools},
        {**GOOD, "id": "b", "cheap_answer": "", "frontier_answer": calls},
        {**GOOD, "id": "c"},
    ]
    summary = ingest([write(tmp_path / "in.jsonl", rows)], out := tmp_path / "out.parquet")
    assert summary.known_answers == {"cheap_answer": 2, "frontier_answer": 1, "tools": 1}
    ingest([out], again := tmp_path / "again.parquet")
    for traffic in (Traffic.read(out), Traffic.read(again)):
        assert traffic.column("cheap_answer") == ["x" * 10_000_000, "", None]
        assert traffic.column("frontier_answer") == [None, json.dumps(calls), None]
        assert traffic.column("tools") == [tools, None, None]
    assert Traffic.read(out).data_hash == Traffic.read(again).data_hash


def test_ingested_traffic_can_be_ingested_again_with_more(tmp_path):
    old = write(
        tmp_path / "old.jsonl",
        [{**GOOD, "team": "x", "timestamp": "2026-01-31T12:00:00Z", "group": "g"}],
    )
    new = write(tmp_path / "new.jsonl", [{**GOOD, "id": "b", "prompt": "Bye"}])
    ingest([old], tmp_path / "old.parquet")
    ingest([tmp_path / "old.parquet", new], tmp_path / "all.parquet")
    before, after = Traffic.read(tmp_path / "old.parquet"), Traffic.read(tmp_path / "all.parquet")
    assert after.ids == ["a", "b"]
    assert after.select([0]).data_hash == before.data_hash


def test_appended_rows_move_no_old_row(tmp_path):
    rows = [
        {
            "prompt": (
                f"what is the capital city of country number {n % 40} on the old map"
                f" {'please' * (n % 3)}"
            ),
            "cheap_passed": True,
        }
        for n in range(120)
    ]
    for name, n_rows in (("short", 70), ("long", 120)):
        write(tmp_path / "in.jsonl", rows[:n_rows])
        ingest([tmp_path / "in.jsonl"], tmp_path / f"{name}.parquet")
    short, long = Traffic.read(tmp_path / "short.parquet"), Traffic.read(tmp_path / "long.parquet")
    assert short.splits().tolist() == long.splits().tolist()[:70]


garbage = st.lists(
    st.binary(max_size=40)
    | st.dictionaries(
        st.sampled_from(["id", "prompt", "messages", "cheap_quality", "x"]),
        st.none() | st.floats() | st.text(max_size=9) | st.lists(st.integers(), max_size=2),
    ).map(lambda row: json.dumps(row).encode()),
    max_size=12,
)


@pytest.mark.long
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage)
def test_garbage_is_rejected_row_by_row_and_nothing_crashes(tmp_path, lines):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    source.write_bytes(b"\n".join([json.dumps(GOOD).encode(), *lines]))
    summary = ingest([source], out, allow_rejects=True, overwrite=True, scale=Scale(0, 1))
    assert summary.kept + sum(summary.rejected.values()) == summary.rows
    assert len(rejects(out)) == summary.rows - summary.kept
    assert pq.read_metadata(out).num_rows == summary.kept


def test_routellm_mmlu_is_ingested_whole_in_time(routellm, tmp_path):
    start = time.perf_counter()
    summary = ingest([routellm / "routellm/evals/mmlu"], out := tmp_path / "mmlu.parquet")
    assert time.perf_counter() - start < 60  # 20 s is the aim on a free machine
    assert (summary.rows, summary.kept, summary.contaminated, len(summary.tasks)) == (
        14_042,
        14_042,
        5,
        57,
    )
    assert (summary.cheap_quality, summary.frontier_quality) == (
        pytest.approx(0.6808, abs=1e-4),
        pytest.approx(0.8058, abs=1e-4),
    )
    assert summary.exact_duplicates == 105
    assert summary.largest_group <= 10
    assert (Traffic.read(out).splits() == "aside").mean() < 0.002


def test_routellm_gsm8k_is_ingested_by_the_same_path(routellm, tmp_path):
    summary = ingest([routellm / "routellm/evals/gsm8k"], tmp_path / "gsm8k.parquet")
    assert (summary.kept, summary.contaminated, summary.tasks) == (1_319, 12, {"gsm8k": 1_319})
    assert (summary.frontier_better, summary.cheap_quality) == (
        pytest.approx(0.2904, abs=1e-4),
        pytest.approx(0.6384, abs=1e-4),
    )


def test_tool_calling_traffic_is_ingested_by_the_same_path(normalised, tmp_path):
    for number, source in enumerate(sorted(normalised.glob("bfcl__*.jsonl.gz"))):
        summary = ingest([source], tmp_path / f"{number}.parquet")
        assert (summary.rows, summary.kept, summary.exact_duplicates) == (912, 912, 63)
        assert summary.known_tokens["cheap_tokens"] == 912


def test_a_column_that_may_be_the_missing_outcome_is_named(tmp_path):
    """Neither is near enough to the right name to be refused, and the frontier half would be
    missing in silence.
    """
    rows = [
        {"id": str(n), "prompt": f"request {n}", "cheap_quality": n % 2, "gpt4_quality": 1}
        for n in range(6)
    ]
    summary = ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "out.parquet")
    assert any(
        "nothing is known of the frontier model, and these columns are not read: 'gpt4_quality'"
        in warning
        for warning in summary.warnings
    )


def test_a_log_of_calls_names_one_pair_and_what_it_chose(tmp_path):
    """Rows that name one model each are no several pairs; that the log chose which is told."""
    rows = [
        {"prompt": f"Question {n}?", f"{side}_model": name, f"{side}_quality": n % 2}
        for n, (side, name) in enumerate([("cheap", "c"), ("frontier", "f")] * 6)
    ]
    summary = ingest([write_rows(tmp_path / "a.jsonl", rows)], tmp_path / "a.parquet")
    warnings = "\n".join(summary.warnings)
    assert "more than one pair" not in warnings
    assert "6 of the cheap and 6 of the frontier model's outcomes are of the calls" in warnings
    assert Traffic.read(tmp_path / "a.parquet").model_pair == ("c", "f")


def test_verdicts_of_the_form_of_frontier_answers_are_not_proposed_as_outcomes(tmp_path):
    """An answer of the right form is not therefore good, so no warning says to read it so."""
    rows = [
        {"id": str(n), "prompt": f"request {n}", "cheap_quality": n % 2, "frontier_passed": True}
        for n in range(6)
    ]
    source = write_rows(tmp_path / "in.jsonl", rows)
    summary = ingest([source], tmp_path / "out.parquet", keep_unknown_columns=True)
    assert not any("frontier_passed" in warning for warning in summary.warnings)
