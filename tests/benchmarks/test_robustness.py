from benchmarks.lib.other_languages import ASKS
from benchmarks.lib.other_wordings import OTHER_WORDINGS
from benchmarks.robustness import PUBLISHED, as_markdown, measure_set
from difficulty.metrics import Resampling
from difficulty.stages.ingest import ingest
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_recipe, shipped_file


def test_every_view_and_perturbation_is_on_the_page(tmp_path):
    """On a part of the shipped sample."""
    path = tmp_path / "traffic.parquet"
    ingest([shipped_file("data/sample.jsonl.gz")], path, near_duplicates=False)
    traffic = Traffic.read(path).select(range(400))
    names = ["polite", "unrelated_untagged"]
    found = measure_set(
        traffic, find_recipe("fast"), views=[1], names=names, resampling=Resampling(50)
    )
    view = found["views"]["view 1"]
    assert [*view["figures"]] == [*names, *OTHER_WORDINGS]
    assert view["figures"]["polite"]["unchanged"]["value"] > 0.8
    assert [*view["languages"]] == [*ASKS]
    # Never confident noise: what is not English is unlike the traffic.
    flagged = {language: told["flagged"] for language, told in view["languages"].items()}
    assert min(n for language, n in flagged.items() if language != "English") >= 11
    page = as_markdown({"date": "x", "commands": ["y"], "sets": {"mmlu": found}})
    assert "| unrelated untagged |" in page
    assert all(f"| {router} |" in page for router, _ in PUBLISHED)
    assert {len(asks) for asks in ASKS.values()} == {12}
