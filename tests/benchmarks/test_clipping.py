import json
import sys

import numpy as np
import pytest

from benchmarks import clipping
from benchmarks.clipping import CUTS, clipped, ingested, main
from benchmarks.lib.simulated_logs import Policy


@pytest.fixture(scope="module")
def requests():
    return ingested(600)


def test_a_low_cut_leaves_the_bias_that_the_weights_undo(requests):
    """With a smallest propensity of 0.1 a cut at 5 is too low, and from 10 on nothing is cut."""
    found = clipped(requests, 0.1, logs=30)
    error, more = (
        dict(zip(CUTS, found.error, strict=True)),
        dict(zip(CUTS, found.more, strict=True)),
    )
    assert more[5.0].low > 0.01
    assert [error[cut].value for cut in CUTS[1:]] == [pytest.approx(error[50.0].value)] * (
        len(CUTS) - 1
    )
    assert error[50.0].value < 0.07


def test_policy_logs_the_route_it_took_and_that_outcome_alone(requests):
    """Guesses are always right here, so the route follows from the outcome with the probability
    that is logged.
    """
    failed = np.arange(600) < 200
    table = clipping.with_columns(requests, cheap_quality=np.where(failed, 0.0, 1.0))
    log = Policy(right=1.0, easy=0.8, hard=0.25).log(table, np.random.default_rng(0))
    cheap = np.array(log.column("route")) == "cheap"
    p = np.where(failed, 0.25, 0.8)
    assert np.array(log.column("propensity")) == pytest.approx(np.where(cheap, p, 1 - p))
    assert (np.isnan(log.outcomes.cheap_quality) == ~cheap).all()
    assert (np.isnan(log.outcomes.frontier_quality) == cheap).all()
    assert cheap[failed].mean() == pytest.approx(0.25, abs=0.1)
    assert cheap[~failed].mean() == pytest.approx(0.8, abs=0.1)
    unknown = Policy().log(table, np.random.default_rng(0), propensity=False)
    assert unknown.column("propensity") == [None] * 600


def test_page_and_figures_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(clipping, "SIZES", (200,))
    monkeypatch.setattr(clipping, "SMALLEST", (0.1,))
    monkeypatch.setattr(sys, "argv", ["clipping", "--logs", "4", "-o", str(tmp_path / "found")])
    main()
    (policy,) = json.loads((tmp_path / "found.json").read_text())["policies"]
    assert len(policy["error"]) == len(policy["more"]) == len(CUTS)
    assert "the same" in (tmp_path / "found.md").read_text()
