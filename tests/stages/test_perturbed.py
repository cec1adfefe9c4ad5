"""Judging requests in other clothes."""

import pytest

from difficulty.evaluation.result import read_metrics
from difficulty.metrics import Resampling
from difficulty.perturb import PERTURBATIONS
from difficulty.stages.evaluate import evaluate_scorer


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_some_requests_are_judged_under_every_perturbation(journey, tmp_path, kind):
    """Figures and a note of how many; the run's own threshold is not chosen, so a share is sent."""
    evaluate_scorer(
        getattr(journey, kind),
        journey.traffic,
        tmp_path / "out",
        resampling=Resampling(30),
        perturbed=40,
    )
    evaluation = read_metrics(tmp_path / "out" / "metrics.json")
    assert {*evaluation.robustness} <= {*PERTURBATIONS}
    assert len(evaluation.robustness) >= len(PERTURBATIONS) - 2
    same = evaluation.robustness["trailing_newlines"]
    assert (same["unchanged"].value, same["unchanged"].n) == (1.0, 40)
    assert same["apgr_change"].value == pytest.approx(0.0, abs=1e-9)
    assert any(note.startswith("Robustness: 40 of") for note in evaluation.notes)
    assert "In other clothes" in (tmp_path / "out" / "report.md").read_text()
