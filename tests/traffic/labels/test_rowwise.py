"""The sources that read one row at a time: validation, gap, preference."""

import pytest

from difficulty.traffic.labels import find_labels
from difficulty.traffic.readers import RawRow


def label(text, fields):
    """Send one row through a source and return it with the report."""
    source = find_labels(text)
    (row,) = source.rows([RawRow("in.jsonl", 1, {"prompt": "x", **fields})])
    return row, source.report()


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"validation": "passed"}, {"cheap_passed": True}),
        ({"validation": "Error", "route": "cheap"}, {"cheap_passed": False, "route": "cheap"}),
        ({"validation": 1, "route": "Frontier"}, {"frontier_passed": True, "route": "Frontier"}),
        (
            {"validation": False, "route": "frontier", "measured_by": "tests"},
            {"frontier_passed": False, "route": "frontier", "measured_by": "tests"},
        ),
        ({"validation": None, "cheap_quality": 1}, {"cheap_quality": 1}),
        ({"validation": "", "cheap_passed": False}, {"cheap_passed": False}),
    ],
)
def test_validation_becomes_the_outcome_of_the_model_that_answered(fields, outcome):
    row, _ = label("validation", fields)
    by = {"measured_by": "validators"} if fields["validation"] not in (None, "") else {}
    assert row.fields == {"prompt": "x", **by, **outcome}


def test_validation_counts_its_verdicts():
    source = find_labels("validation")
    rows = [
        {"validation": "ok"},
        {"validation": "ok"},
        {"validation": "fail"},
        {"validation": "fail", "route": "frontier"},
        {},
    ]
    assert len(list(source.rows([RawRow("f", 1, row) for row in rows]))) == 5
    assert source.report().counts == {"cheap failed": 1, "cheap passed": 2, "frontier failed": 1}


@pytest.mark.parametrize(
    ("text", "fields", "problem"),
    [
        ("validation", {"validation": "maybe"}, "validation must be one of passed, pass, ok"),
        (
            "validation",
            {"validation": "ok", "cheap_passed": True},
            "validation must not stand beside cheap_passed: got 'ok'",
        ),
        ("gap:margin=0.1", {"cheap_quality": 7, "frontier_quality": 1}, "cheap_quality must be in"),
        (
            "preference",
            {"winner": "cheap", "preference": "cheap"},
            "winner must not stand beside preference",
        ),
        (
            "preference",
            {"winner": "gpt-4"},
            "winner must be one of cheap, frontier, tie, or model_a",
        ),
        ("preference", {"winner": "model_a"}, "winner must be one of cheap, frontier, tie"),
        (
            "preference:cheap=s,frontier=b",
            {"winner": "model_a", "model_a": "s", "model_b": "other"},
            "model_a and model_b must be the cheap and the frontier model: got .'s', 'other'.",
        ),
    ],
)
def test_row_that_breaks_a_rule_goes_on_with_the_reason(text, fields, problem):
    row, _ = label(text, fields)
    assert row.fields == {"prompt": "x", **fields}
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(row.problem)


@pytest.mark.parametrize(
    ("cheap", "frontier", "vote", "preference"),
    [
        (0.8, 0.85, None, "tie"),
        (0.85, 0.8, "", "tie"),
        (0.7, 0.8, None, None),  # equal to the margin, though 0.8 - 0.7 is a little less in floats
        (0.2, 0.9, None, None),
        (0.5, 0.5, None, None),
        (0.8, 0.85, "frontier", "frontier"),
        (None, 0.85, None, None),
        ("0.8", "true", None, None),
    ],
)
def test_gap_below_the_margin_is_a_tie_unless_somebody_voted(cheap, frontier, vote, preference):
    row, _ = label(
        "gap:margin=0.1", {"cheap_quality": cheap, "frontier_quality": frontier, "preference": vote}
    )
    assert (row.fields["preference"] or None) == preference
    assert (row.fields["cheap_quality"], row.fields["frontier_quality"]) == (cheap, frontier)


def test_gap_reports_what_the_margin_changed():
    source = find_labels("gap:margin=0.25")
    pairs = [(0.5, 0.5), (0.5, 0.6), (0.5, 1.0), (None, 1.0)]
    rows = [
        RawRow("f", 1, {"cheap_quality": cheap, "frontier_quality": frontier})
        for cheap, frontier in pairs
    ]
    assert len(list(source.rows(rows))) == 4
    assert source.report().counts == {
        "margin": 0.25,
        "both_qualities": 3,
        "equal": 1,
        "within_margin": 1,
    }


@pytest.mark.parametrize(
    ("winner", "vote"),
    [
        ("cheap", "cheap"),
        ("Frontier", "frontier"),
        ("tie", "tie"),
        ("tie (bothbad)", "tie"),
        ("small-8b", "cheap"),
        ("big", "frontier"),
        ("model_a", "frontier"),
        ("b", "cheap"),
    ],
)
def test_winner_becomes_a_preference(winner, vote):
    """The seats are the other way round than the models: model_a is the frontier model."""
    row, _ = label(
        "preference:cheap=small-8b,frontier=big",
        {"winner": winner, "model_a": "big", "model_b": "small-8b"},
    )
    assert row.fields == {
        "prompt": "x",
        "cheap_model": "small-8b",
        "frontier_model": "big",
        "measured_by": "votes",
        "preference": vote,
    }


def test_winner_reads_the_names_of_its_row():
    row, report = label(
        "preference", {"winner": "big", "cheap_model": "small", "frontier_model": "big"}
    )
    assert row.fields["preference"] == "frontier"
    assert report.counts == {"frontier": 1}
