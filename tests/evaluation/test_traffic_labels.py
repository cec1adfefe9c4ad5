"""Slices by what traffic knows of its requests."""

from difficulty.evaluation.slices import traffic_labels
from difficulty.stages.ingest import ingest
from difficulty.traffic.table import Traffic
from tests.journey import write_rows


def row(number, *messages, **columns):
    said = [{"role": role, "content": content} for role, content in messages]
    return {"id": f"r{number}", "messages": said, "cheap_quality": 1, **columns}


def test_labels_of_each_kind(tmp_path):
    """Script of the request's own text, turns of the user, instructions, source and the pair; what
    is not told is None.
    """
    rows = [
        row(
            0,
            ("user", "How high is the tower?"),
            source="web",
            cheap_model="small",
            frontier_model="large",
        ),
        row(1, ("system", "Answer briefly."), ("user", "Где вокзал?"), cheap_model="small"),
        row(
            2,
            ("user", "one"),
            ("assistant", "two"),
            ("user", "three"),
            ("assistant", "four"),
            ("user", "five"),
            source="app",
        ),
        row(3, *(("user", f"part {number}") for number in range(4))),
        row(4, ("system", "Только инструкция")),
    ]
    ingest(
        [write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "out.parquet", near_duplicates=False
    )
    labels = traffic_labels(Traffic.read(tmp_path / "out.parquet"))
    assert labels["script"] == ["latin", "cyrillic", "latin", "latin", "cyrillic"]
    assert labels["language"] == ["en", "unclear", "unclear", "unclear", "ru"]
    assert labels["turns"] == ["1", "1", "2-3", "4+", "1"]
    assert labels["system"] == [
        f"{word} system message" for word in ("without", "with", "without", "without", "with")
    ]
    assert labels["source"] == ["web", None, "app", None, None]
    assert labels["model_pair"] == ["small / large", "small / unknown", None, None, None]
