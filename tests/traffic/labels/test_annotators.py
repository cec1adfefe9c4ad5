"""Several annotators of one request as one sample, and how far they agree."""

import pytest

from difficulty.traffic.labels.annotators import Annotators
from difficulty.traffic.readers import RawRow


def joined(rows):
    """Send rows through the source; return the rows that can be used, those that are refused, and
    the report.
    """
    source = Annotators()
    found = list(
        source.rows(
            [
                RawRow("in.jsonl", line, {"id": "r", "prompt": "x", **row})
                for line, row in enumerate(rows, start=1)
            ]
        )
    )
    return (
        [row.fields for row in found if not row.problem],
        [row for row in found if row.problem],
        source.report(),
    )


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (
            [{"cheap_quality": 0.2, "frontier_quality": 1}, {"cheap_quality": "0.6"}],
            {"cheap_quality": 0.4, "frontier_quality": 1},
        ),
        ([{"cheap_passed": True}, {"cheap_passed": "true"}], {"cheap_passed": True}),
        (
            [{"cheap_passed": True}, {"cheap_passed": False}, {"cheap_passed": True}],
            {"cheap_quality": 2 / 3},
        ),
        (
            [{"cheap_passed": True, "cheap_quality": 0.5}, {"cheap_passed": False}],
            {"cheap_quality": 0.5},
        ),
        ([{"preference": "frontier"}, {"preference": "Frontier"}], {"preference": "frontier"}),
        (
            [{"preference": "frontier"}, {"preference": "tie"}],
            {"cheap_quality": 0.25, "frontier_quality": 0.75},
        ),
        ([{"preference": "tie"}, {"preference": "tie"}], {"preference": "tie"}),
        (
            [
                {"preference": "frontier", "cheap_quality": 0.5},
                {"preference": "frontier"},
                {"preference": "tie"},
            ],
            {"cheap_quality": 0.5, "preference": "frontier"},
        ),
        (
            [{"preference": "frontier", "cheap_quality": 0.5}, {"preference": "tie"}],
            {"cheap_quality": 0.5, "preference": "tie"},
        ),
    ],
)
def test_outcomes_of_all_become_one(said, outcome):
    used, refused, _ = joined([{"annotator": f"a{n}", **row} for n, row in enumerate(said)])
    assert not refused
    assert used == [
        {"id": "r", "prompt": "x", "n_annotators": len(said)}
        | {name: pytest.approx(value) for name, value in outcome.items()}
    ]


def test_second_row_of_one_annotator_is_refused():
    """An annotator who is heard twice would agree with themselves; rows without a name are all
    different people.
    """
    rows = [
        {"annotator": "a", "cheap_quality": 0},
        {"annotator": "a", "cheap_quality": 1},
        {"cheap_quality": 1},
        {"cheap_quality": 1},
    ]
    used, refused, _ = joined(rows)
    assert used[0]["cheap_quality"] == pytest.approx(2 / 3)
    assert [(row.line, row.problem) for row in refused] == [
        (
            2,
            (
                "an annotator must label a request once: got 'a'. Line 1 of in.jsonl has the first;"
                " keep the one that counts."
            ),
        )
    ]


@pytest.mark.parametrize(
    "bad",
    [{"preference": "left"}, {"cheap_passed": "perhaps"}, {"cheap_quality": 3}, {"annotator": [1]}],
)
def test_label_that_cannot_be_is_refused_and_the_others_stay(bad):
    used, refused, _ = joined([{"annotator": "a", "cheap_quality": 1}, {"annotator": "b", **bad}])
    assert (len(refused), used[0]["cheap_quality"]) == (1, 1)


def test_agreement_is_reported_for_each_outcome():
    """Three requests of two annotators; on the verdict they agree twice, on the votes never."""
    verdicts, votes = (
        [(True, True), (False, False), (True, False)],
        [("cheap", "tie"), ("tie", "frontier"), ("frontier", "tie")],
    )
    rows = [
        {"id": f"r{n}", "annotator": who, "cheap_passed": verdicts[n][k], "preference": votes[n][k]}
        for n in range(3)
        for k, who in enumerate("ab")
    ]
    _, _, report = joined(rows)
    assert (
        report.counts["requests"],
        report.counts["annotators"],
        report.counts["with_several"],
    ) == (3, 2, 3)
    assert report.counts["agreement"]["cheap_passed"] == {
        "requests": 3,
        "pairs_equal": pytest.approx(2 / 3, abs=1e-4),
        "alpha": 0.4444,
    }
    assert report.counts["agreement"]["preference"]["pairs_equal"] == 0
    assert not report.warnings


def test_requests_of_one_annotator_each_are_warned_of():
    _, _, report = joined(
        [
            {"id": "a", "annotator": "x", "cheap_passed": True},
            {"id": "b", "annotator": "x", "cheap_passed": True},
        ]
    )
    assert report.warnings == ("no request has more than one annotator: rows are joined by id",)
    assert report.counts["agreement"] == {}
