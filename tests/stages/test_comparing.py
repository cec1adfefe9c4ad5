"""Two bundles side by side, from their folders."""

import json

from difficulty.metrics import Resampling
from difficulty.stages.deploying.comparing import FILES, SAME_BUNDLE, compare_bundles
from tests.journey import DRAWS


def test_a_bundle_beside_itself_differs_in_nothing(journey, tmp_path):
    """Every difference is 0 with no width; all three files say so."""
    result = compare_bundles(
        journey.bundle,
        journey.bundle,
        journey.traffic,
        tmp_path / "out",
        resampling=Resampling(DRAWS),
    )
    assert result.verdict.answer == "no_difference"
    assert result.warnings == (SAME_BUNDLE,)
    quality = result.figures["quality"].difference
    assert (quality.value, quality.low, quality.high) == (0.0, 0.0, 0.0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert written["verdict"]["answer"] == "no_difference"
    assert "task" in written["slices"]
    for name in FILES[1:]:
        assert "No difference shown" in (tmp_path / "out" / name).read_text()
