"""What the command line says of labels: suspicious ones after training, and a score without a
signal when it is to be shipped.
"""

import re

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
    assert "warning: The score carries no signal: " in said
    assert "next: difficulty label " in said
    refused = run("ship", "run", "-o", "noise-1", code=1)
    assert refused.complaint.startswith(
        "error: shipping needs a score that carries a signal, p at most 0.1: on "
    )
    assert refused.out == ""
    assert not (tmp_path / "noise-1").exists()
    run("ship", "run", "-o", "noise-1", "--objective", "share=0.3", "--allow-no-signal", code=0)
    assert "The score carries no signal" in (tmp_path / "noise-1" / "card.md").read_text()


def test_training_lists_no_label_by_itself_unless_it_is_to_count_less(run, journey, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(journey.recipe_file.read_text() + "\n[labels]\nrow_weight = 0.9\n")
    said = [
        run(
            "train",
            journey.traffic,
            "-o",
            f"run{number}",
            "--recipe",
            file,
            "--no-tracking",
            code=0,
        )
        for number, file in enumerate((journey.recipe_file, recipe))
    ]
    assert "suspicious labels" not in said[0].out
    assert re.search(r"0 by region, [1-9]\d* by themselves: suspicious.jsonl", said[1].out)
