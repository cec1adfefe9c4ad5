"""Traffic from a log without texts."""

import numpy as np

from difficulty.stages.watching import logged_scores


def test_answer_of_a_fallback_says_nothing_of_what_escalating_gains():
    """It was asked because the cheap answer had failed; on its own route it counts."""
    names = (*logged_scores._TEXT, "preference")
    columns = {name: np.array([None, None], dtype=object) for name in names}
    columns |= {name: np.full(2, np.nan) for name in logged_scores._NUMBERS}
    columns["id"] = np.array(["fell", "sent"], dtype=object)
    columns["frontier_role"] = np.array(["fallback", "answer"], dtype=object)
    columns["frontier_quality"] = np.array([1.0, 1.0])
    columns["time"] = np.array(["2026-07-01", "2026-07-01"], dtype="datetime64[us]")
    rows = [logged_scores._row(columns, row) for row in range(2)]
    assert [row["frontier_quality"] for row in rows] == [None, 1.0]
