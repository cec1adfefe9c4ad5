"""What the command line says of labels: suspicious ones after training, and a score without a
signal when it is to be shipped.
"""

import json

from tests.journey import write_rows
from tests.training.test_diagnosis import shuffled_rows


def test_pure_noise_is_told_after_training_and_refused_by_ship_with_exit_code_1(
    run, journey, tmp_path
):
    run(
        "ingest",
        write_rows(tmp_path / "in.jsonl", shuffled_rows()),
        "-o",
        "t.parquet",
        "--no-near-duplicates",
        code=0,
    )
    said = run(
        "train", "t.parquet", "-o", "run", "--recipe", journey.recipe_file, "--no-tracking", code=0
    ).out
    assert "- The score carries no signal: " in said
    refused = run("ship", "run", "-o", "noise-1", code=1)
    assert refused.complaint.startswith(
        "error: shipping needs a score that carries a signal, p at most 0.1: on "
    )
    assert refused.out == ""
    assert not (tmp_path / "noise-1").exists()
    run("ship", "run", "-o", "noise-1", "--objective", "share=0.3", "--allow-no-signal", code=0)
    assert "The score carries no signal" in (tmp_path / "noise-1" / "card.md").read_text()


def test_training_counts_suspicious_labels(run, journey):
    said = run(
        "train",
        journey.traffic,
        "-o",
        "run",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
        code=0,
    ).out
    n = json.loads((journey.run / "run.json").read_text())["labels"]["suspicious"]["row"]
    assert (
        f"suspicious labels: 0 samples by their task, 0 by region, {n} by themselves:"
        " suspicious.jsonl" in said
    )
