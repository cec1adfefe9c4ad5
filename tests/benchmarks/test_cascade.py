"""The benchmark of early exit on a small run: what it writes, and figures by hand."""

import json
import sys

import numpy as np
import pytest

from benchmarks.cascade import KINDS, _figures, main
from tests.stages.test_choosing import run_folder  # noqa: F401  # a fixture


def test_ratio_is_of_means_and_its_interval_is_over_requests():
    """3 of 6 ms; drawing the first request alone gives 1 of 2, the second alone 2 of 4."""
    found = _figures(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([[0, 0], [1, 1], [0, 1]]))
    assert found == {"mean_ms": 1.5, "median_ms": 1.5, "ratio": 0.5, "low": 0.5, "high": 0.5}


def test_page_and_figures_are_written(run_folder, tmp_path, monkeypatch):  # noqa: F811
    choices = ["--shares", "0.3", "--budget", "0.2", "--requests", "5"]
    monkeypatch.setattr(
        sys, "argv", ["cascade", str(run_folder), *choices, "-o", str(tmp_path / "found")]
    )
    main()
    found = json.loads((tmp_path / "found.json").read_text())
    (choice,) = found["choices"]
    assert set(choice["test"]) == set(KINDS)
    for kind in KINDS:
        assert choice["test"][kind]["changed"]["value"] == pytest.approx(0.1, abs=0.1)
        timed = found["timed"][kind]
        assert set(timed) == {"the scorer alone", "early exit, share 0.3", "bare encoder session"}
        assert timed["the scorer alone"]["ratio"] == 1.0
    page = (tmp_path / "found.md").read_text()
    assert page.count("| 0.3 |") == len(KINDS)
