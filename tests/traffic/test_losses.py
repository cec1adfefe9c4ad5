"""What would be lost in silence is refused as a whole, with the option that reads it."""

import json

import pytest

from difficulty.errors import TrafficError
from difficulty.stages.ingest import ingest
from difficulty.traffic.losses import Losses
from difficulty.traffic.rows import Scale
from difficulty.traffic.table import Traffic
from tests.journey import write_rows

CHEAP = [1, 2, 5, 3, 4, 1, 5, 2, 3, 1]


def rows_of(cheap=CHEAP, **columns):
    """Rows whose frontier quality is the best of the scale."""
    return [
        {"id": f"r{n}", "prompt": f"request {n}", "cheap_quality": value}
        | {"frontier_quality": max(cheap)}
        | columns
        for n, value in enumerate(cheap)
    ]


@pytest.fixture
def refusal(tmp_path):
    """Return a function that ingests rows and is refused, with the complaint; nothing is left."""

    def refuse(rows, **options):
        source = write_rows(tmp_path / "in.jsonl", rows)
        with pytest.raises(TrafficError) as caught:
            ingest([source], tmp_path / "out.parquet", **options)
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fronteir_quality", "frontier_quality"),
        ("cheap_qualty", "cheap_quality"),
        ("prompt_token", "prompt_tokens"),
        ("Frontier Quality", "frontier_quality"),
        ("cheapPassed", "cheap_passed"),
        ("weigth", "weight"),
        ("tasks", "task"),
        ("timestmp", "timestamp"),
        ("mesages", "messages"),
    ],
)
def test_a_misspelt_column_is_refused_with_the_name_that_is_meant(refusal, name, meant):
    rows = [{"prompt": "x", "cheap_quality": 0.5, "frontier_quality": 1, "task": "t"}] * 3
    rows = [{**row, "id": str(n)} for n, row in enumerate(rows)]
    for row in rows:
        row.pop("prompt" if meant == "messages" else meant, None)
        row[name] = [{"role": "user", "content": "x"}] if meant == "messages" else 1
    complaint = refusal(rows)
    assert f"{name!r} (perhaps {meant!r})" in complaint
    assert "--keep-unknown-columns" in complaint


def test_unknown_columns_that_are_near_nothing_are_extras(tmp_path):
    rows = rows_of([0, 1], team="a", model="b", latency_ms=3, frontier_passed=True, prompts=1)
    summary = ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "out.parquet")
    assert summary.kept == 2


def test_right_answers_are_kept_and_no_preference_misspelt(tmp_path, refusal):
    """Unless the column only says who was better."""
    answers = rows_of([0, 1], reference="Paris", expected_answer="4")
    ingest([write_rows(tmp_path / "answers.jsonl", answers)], tmp_path / "kept.parquet")
    kept = Traffic.read(tmp_path / "kept.parquet").column("extra")
    assert kept == [{"reference": "Paris", "expected_answer": "4"}] * 2
    for path in [*tmp_path.iterdir()]:
        path.unlink()
    assert "'reference' (perhaps 'preference')" in refusal(rows_of([0, 1], reference="cheap"))


def test_a_misspelt_column_is_kept_when_told_to(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", rows_of([0, 1], tasks="x"))
    ingest([source], tmp_path / "out.parquet", keep_unknown_columns=True)
    assert Traffic.read(tmp_path / "out.parquet").column("extra")[0] == {"tasks": "x"}
    # What was once kept is not asked about again.
    ingest([tmp_path / "out.parquet"], tmp_path / "again.parquet")


def test_columns_of_label_sources_are_known_and_may_be_misspelt(refusal):
    rows = [{"id": "a", "prompt": "x", "judge": "j", "cheap_scor": 3}]
    assert "perhaps 'cheap_score'" in refusal(rows, labels=["judge:scale=1,5"])


@pytest.mark.parametrize(
    ("values", "option"),
    [
        (CHEAP, "--scale 1,5"),
        ([1.0] * 85 + [2, 3, 5] * 5, "--scale 1,5"),
        ([7, 8, 10, 3], "--scale 1,10"),
        ([0, 7, 10, 3], "--scale 0,10"),
        ([70, 8.5, 100, 0], "--scale 0,100"),
        ([70], "--scale 0,100"),
        (["70", "8.5", "100"], "--scale 0,100"),
        ([-1, 1, -0.5, 0.2], "--scale WORST,BEST"),
        ([1200, 1400, 1000], "--scale WORST,BEST"),
    ],
)
def test_another_scale_is_refused_with_the_option_that_reads_it(refusal, values, option):
    rows = [
        {"id": f"r{n}", "prompt": f"request {n}", "cheap_quality": value}
        for n, value in enumerate(values)
    ]
    assert option in refusal(rows, allow_rejects=True)


@pytest.mark.parametrize(
    "values", [[0.5, 1.01, 0.2, 0.3, 0.9] * 4 + [0.1] * 10, [0, 1, 0, 7] * 1 + [1] * 9, [True, 1]]
)
def test_slips_of_the_pen_are_rejected_row_by_row(tmp_path, values):
    rows = [
        {"id": f"r{n}", "prompt": f"request {n}", "cheap_quality": value}
        for n, value in enumerate(values)
    ]
    summary = ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "out.parquet")
    assert summary.kept == sum(0 <= value <= 1 for value in values)


def test_stars_are_read_with_their_scale(tmp_path):
    """Worked by hand: (stars - 1) / 4."""
    source = write_rows(tmp_path / "in.jsonl", rows_of([1, 2, 5]))
    ingest([source], out := tmp_path / "out.parquet", scale=Scale(1, 5))
    outcomes = Traffic.read(out).outcomes
    assert outcomes.cheap_quality.tolist() == [0, 0.25, 1]
    assert outcomes.frontier_quality.tolist() == [1, 1, 1]
    # Traffic that is on [0, 1] already is not scaled again.
    new = write_rows(tmp_path / "new.jsonl", [{"id": "n", "prompt": "n", "cheap_quality": 3}])
    ingest([out, new], tmp_path / "all.parquet", scale=Scale(1, 5))
    both = Traffic.read(tmp_path / "all.parquet").outcomes
    assert both.cheap_quality.tolist() == [0, 0.25, 1, 0.5]


def test_a_scale_is_applied_before_margins_and_rejects_what_is_off_it(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", [*rows_of([4, 1, 5, 5, 5]), *rows_of([6])[:1]])
    summary = ingest(
        [source], tmp_path / "out.parquet", scale=Scale(1, 5), labels=["gap:margin=0.3"]
    )
    assert summary.tied == 4 / 5
    assert list(summary.rejected) == ["cheap_quality must be on the scale from 1 to 5, or null"]


def long_rows(n=6):
    """Each request on two rows: who answered, and how good it was."""
    return [
        {"id": f"r{number}", "prompt": f"request {number}", f"{side}_quality": quality}
        | {f"{side}_model": side[0], f"{side}_tokens": 7, "model": side}
        for number in range(n)
        for side, quality in (("cheap", 0.25), ("frontier", 1.0))
    ]


def test_a_long_table_is_refused_with_the_option_that_joins_it(refusal):
    complaint = refusal(long_rows())
    assert "6 rows with the other half of an earlier row, the first of id 'r0'" in complaint
    assert complaint.endswith("Join them by id: --labels halves.")
    without_text = [row if "cheap_model" in row else {**row, "prompt": None} for row in long_rows()]
    assert "--labels halves" in refusal(without_text)


def test_a_table_of_calls_is_refused_with_the_option_that_joins_them(refusal):
    """One id for both rows, told apart by the model alone."""
    rows = [
        {"id": f"r{number}", "prompt": f"request {number}", "model": model, "score": 0.5}
        for number in range(6)
        for model in ("small", "large")
    ]
    complaint = refusal(rows)
    assert "6 of 12 rejected, 6 because id must be unique" in complaint
    assert "--pivot request=id,model=COLUMN,quality=COLUMN" in complaint
    assert "--pivot" not in refusal(
        [{"id": f"{n}", "prompt": "hi", "cheap_quality": "much"} for n in range(9)]
    )


def test_halves_are_joined_by_their_id(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", long_rows())
    summary = ingest([source], out := tmp_path / "out.parquet", labels=["halves"])
    assert (summary.rows, summary.kept, summary.joined) == (12, 6, 6)
    traffic = Traffic.read(out)
    assert traffic.outcomes.cheap_quality.tolist() == [0.25] * 6
    assert traffic.outcomes.frontier_quality.tolist() == [1.0] * 6
    assert traffic.model_pair == ("c", "f")
    assert traffic.tokens.frontier.tolist() == [7] * 6
    assert any("the first counts: model (6)" in warning for warning in summary.warnings)


def test_halves_that_contradict_each_other_are_rejected(tmp_path):
    rows = [
        *long_rows(9),
        {"id": "r0", "frontier_quality": 0.5},
        {"id": "r1", "prompt": "another", "cheap_quality": 0.25},
    ]
    source = write_rows(tmp_path / "in.jsonl", rows)
    summary = ingest([source], tmp_path / "out.parquet", labels=["halves"])
    assert summary.kept == 9
    assert sorted(summary.rejected) == [
        "frontier_quality must be that of the first row of id 'r0'",
        "prompt must be that of the first row of id 'r1'",
    ]
    rejects = (tmp_path / "out.rejects.jsonl").read_text()
    assert "got 'another prompt'" in rejects


def test_many_rejects_are_refused_with_their_reasons_and_places(refusal, tmp_path):
    bad = [{"id": "b", "prompt": "x", "cheap_quality": "good"}, {"id": "c", "prompt": ""}] * 2
    complaint = refusal([*rows_of([0, 1, 0.5]), *bad])
    assert (
        "got 4 of 7 rejected, 2 because cheap_quality must be in [0, 1] or null; 2 because"
        in complaint
    )
    assert "the first is line 4 of " in complaint
    assert "--allow-rejects" in complaint
    summary = ingest([tmp_path / "in.jsonl"], tmp_path / "out.parquet", allow_rejects=True)
    assert (summary.kept, sum(summary.rejected.values())) == (3, 4)


def test_a_fifth_of_the_rows_may_be_rejected(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", [*rows_of([0, 1, 0.5, 1]), {"id": "c"}])
    assert ingest([source], tmp_path / "out.parquet").kept == 4


def test_many_different_columns_are_compared_in_no_time():
    losses = Losses()
    for start in range(0, 50_000, 100):
        losses.see_raw({f"column_{number}": 1 for number in range(start, start + 100)})
    losses.refuse_misspelt()


def test_what_is_no_number_and_no_id_is_looked_at_without_harm():
    losses = Losses(["no such source"])
    for fields in (
        {"id": [1], "cheap_quality": {}, "frontier_quality": float("nan")},
        {"id": {"a": 1}, "cheap_quality": "1e999", "frontier_quality": "x"},
        {"id": 7, "cheap_quality": True},
        json.loads('{"cheap_quality": 1e400}'),
    ):
        losses.see_raw(fields)
        losses.see_labelled(fields)
    losses.refuse_scale()
    losses.refuse_halves()


def test_one_column_on_another_scale_gets_no_scale_that_spoils_the_other(refusal):
    """Stars beside qualities in [0, 1]: whatever --scale reads the one turns the other's 1 into the
    worst.
    """
    rows = rows_of(CHEAP * 3, frontier_quality=1.0)
    for number, row in enumerate(rows):
        row["id"], row["frontier_quality"] = f"r{number}", [0.0, 0.5, 1.0][number % 3]
    said = refusal(rows)
    assert "frontier_quality is on it already, and --scale is for both" in said
    for scale in (Scale(1, 5), Scale(0, 5)):
        assert "a scale must be that of both qualities" in refusal(rows, scale=scale)


def test_a_scale_that_no_column_is_on_is_refused(refusal):
    rows = rows_of([0.1, 0.9, 0.5] * 10)
    assert "within [0, 1] on every row" in refusal(rows, scale=Scale(0, 100))
