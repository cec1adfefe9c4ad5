"""APGR of other projects' routers, as measured before this package existed; skipped where their
scores are not at hand.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from difficulty.metrics import rank_within
from tests.reference import average_gap_recovered, calls_for_gap, cost_quality_curve

FOLDER = Path(
    os.environ.get(
        "DIFFICULTY_PEERS", Path(__file__).parents[2] / ".." / "shared" / "data" / "peers"
    )
)
METHODS = [
    "random",
    "oracle",
    "length",
    "task_mean",
    "lr_minilm",
    "knn100",
    "tfidf",
    "blend",
    "llmrouter_knn100",
    "routellm_sw",
]
KNOWN = {
    "mmlu": [0.487, 1.285, 0.586, 0.681, 0.665, 0.678, 0.690, 0.697, 0.651, 0.650],
    "bfcl_hermes2pro": [0.478, 1.013, 0.516, 0.678, 0.613, 0.613, 0.658, 0.648, 0.610, 0.609],
    "bfcl_hermes2theta": [0.472, 0.986, 0.460, 0.732, 0.568, 0.561, 0.596, 0.598, 0.562, 0.553],
    "bfcl_llama3": [0.501, 0.908, 0.500, 0.544, 0.520, 0.524, 0.552, 0.537, 0.513, 0.545],
}


def peers(name):
    """Return the scores and outcomes of one set, or skip."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"no peer scores at {path}: set DIFFICULTY_PEERS to the folder that holds them")
    with np.load(path) as arrays:
        return {key: arrays[key] for key in arrays.files}


@pytest.mark.parametrize("name", KNOWN)
def test_apgr_of_known_routers(name):
    """Scores are ranked inside each fold, then pooled."""
    data = peers(name)
    cheap, frontier = data["cheap"], data["frontier"]
    for method, known in zip(METHODS, KNOWN[name], strict=True):
        share, quality = cost_quality_curve(
            rank_within(data[f"score__{method}"], data["fold"]), cheap, frontier
        )
        value = average_gap_recovered(
            share, quality, cheap_quality=cheap.mean(), frontier_quality=frontier.mean()
        )
        assert value == pytest.approx(known, abs=0.002), method


def test_calls_of_the_oracle():
    data = peers("mmlu")
    cheap, frontier = data["cheap"], data["frontier"]
    share, quality = cost_quality_curve(frontier - cheap, cheap, frontier)
    ends = {"cheap_quality": cheap.mean(), "frontier_quality": frontier.mean()}
    assert calls_for_gap(share, quality, target=0.5, **ends) == pytest.approx(0.06, abs=0.005)
    assert calls_for_gap(share, quality, target=0.8, **ends) == pytest.approx(0.10, abs=0.005)
