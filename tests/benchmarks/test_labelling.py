"""The benchmark of buying labels in small: failing upstreams, a kill, a judge whose bias is told,
and a page.
"""

import json
import sys

import pytest

pytest.importorskip("litellm", exc_type=ImportError)

from benchmarks.labelling import _first_gains, main, one_run
from difficulty.labelling.judge_figures import position_bias


def test_run_counts_what_the_upstream_billed(tmp_path):
    runs = [one_run(seed, tmp_path) for seed in range(4)]
    assert all(0 <= run["billed"] <= run["spent"] <= run["limit"] for run in runs)
    assert sum(run["failed"] for run in runs) > 0
    assert len({run["limit"] for run in runs}) == 4


def test_simulated_judge_has_the_bias_that_it_is_told():
    import numpy as np

    gains = _first_gains(-0.2, 20_000, np.random.default_rng(0))
    assert position_bias(gains).value == pytest.approx(-0.2, abs=0.02)


@pytest.mark.long
def test_page_is_written(tmp_path, monkeypatch):
    words = ["--runs", "2", "--kills", "1", "--pairs", "12", "--replays", "3"]
    monkeypatch.setattr(sys, "argv", ["labelling", *words, "-o", str(tmp_path / "out")])
    main()
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["kills"]["calls paid twice"] == 0
    assert all(row["covers"] in (True, False) for row in results["judge"])
    page = (tmp_path / "out.md").read_text()
    assert "| the budget was passed | 0.0% [" in page
    assert "python -m benchmarks.labelling" in page
