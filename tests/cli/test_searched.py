import io
import json
from dataclasses import replace

from rich.console import Console

from difficulty.cli.train import search_table
from difficulty.recipe import SearchSettings
from difficulty.training.run import CandidateRecord, SearchRecord
from tests.journey import write_recipe


def entry(name, value, *, chosen=False):
    """Return a candidate of a report whose best one has 0.7."""
    return CandidateRecord(
        name=name,
        features=(name,),
        changed={},
        value=value,
        low=0.5,
        high=0.9,
        with_task=value,
        without_task=value,
        behind_best=0.7 - value,
        standard_error=0.01,
        seconds=5.0,
        chosen=chosen,
    )


REPORT = SearchRecord(
    figure="apgr",
    seed=0,
    **SearchSettings(minutes=0.5).as_dict(),
    samples=600,
    seconds=31.4,
    chosen="simple",
    best="rich",
    tried=(
        entry("plain", 0.6),
        entry("simple", 0.69, chosen=True),
        entry("middle", 0.695),
        entry("rich", 0.7),
    ),
    untried=("richer",),
    note="Optimistic.",
)


def shown(report, **options):
    """Return the lines that a wide console shows."""
    console = Console(file=io.StringIO(), width=160)
    console.print(search_table(report, **options))
    return console.file.getvalue().splitlines()


def test_table_has_the_best_first_and_the_chosen_one_however_far_behind():
    lines = shown(REPORT, most=1)
    rows = [line for line in lines if "[0.500, 0.900]" in line]
    assert [row.split()[1] for row in rows] == ["rich", "simple"]
    assert "best" in rows[0]
    assert "simple  <- chosen" in rows[1]
    assert "0.690 [0.500, 0.900]" in rows[1]
    assert "0.010 (0.010)" in rows[1]
    assert any("inner APGR" in line for line in lines)


def test_table_says_what_was_left_untried_and_what_the_figures_are_worth():
    text = "\n".join(shown(REPORT))
    assert "4 candidates tried in 31 s" in text
    assert "Left untried for want of time (0.5 minutes): 1, see run.json." in text
    assert text.rstrip().endswith("Optimistic.")
    assert "Left untried" not in "\n".join(shown(replace(REPORT, untried=())))


def test_a_searched_run_is_judged_and_shipped_like_any_other(run, journey, tmp_path):
    settings = "folds = 3\nngram_strengths = []\nembedding_strengths = []\nneighbour_sharpness = []"
    recipe = write_recipe(tmp_path / "auto.toml", journey.encoder, extra=f"[search]\n{settings}")
    quick = ("--no-tracking", "--no-more-labels", "--no-unseen-tasks", "--json")
    form = json.loads(
        run("train", journey.traffic, "-o", "run", "--recipe", recipe, *quick, code=0).out
    )
    assert {entry["name"] for entry in form["search"]["tried"]} >= {
        "ngrams",
        "embedding",
        "ngrams + tasks + guess",
    }
    assert sum(entry["chosen"] for entry in form["search"]["tried"]) == 1
    run("ship", "run", "-o", "bundle-1", code=0)
    run("verify", "bundle-1", code=0)
