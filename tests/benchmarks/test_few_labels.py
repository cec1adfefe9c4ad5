import numpy as np
import pytest
from scipy.special import expit

from benchmarks.few_labels import as_markdown, log_loss, slope


def test_slope_of_probabilities_that_are_half_as_sure_as_they_should_be():
    x = np.linspace(-3.0, 3.0, 501)
    assert slope(expit(x), expit(x)) == pytest.approx(1.0, abs=1e-3)
    assert slope(expit(x / 2), expit(x)) == pytest.approx(2.0, abs=1e-3)


def test_log_loss_by_hand():
    assert log_loss(np.array([0.5, 0.25]), np.array([1.0, 0.0])) == pytest.approx(
        (np.log(2.0) + np.log(4.0 / 3.0)) / 2
    )


def test_page_has_a_row_for_each_way():
    figures = {"slope, text only": (1.96, 0.1)}
    sizes = [{"labels": 500, "split": figures}, {"labels": 500, "cross": figures}]
    page = as_markdown({"date": "2026-11-28", "recipe": "fast", "draws": 2, "sizes": sizes})
    assert "| 500 | split | 1.960 ± 0.100 |" in page
    assert "| 500 | cross |" in page
