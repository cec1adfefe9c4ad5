"""A bundle knows the requests again that it was made from, whatever file they come in."""

import json
from functools import partial

import pytest

from difficulty.bundle import read_bundle
from difficulty.economics import load_price_list
from difficulty.economics.usage import parse_volume
from difficulty.errors import NoSignalError, SeenTrafficError, TooFewSamplesError
from difficulty.evaluation.findings import failing
from difficulty.metrics import Resampling
from difficulty.recipe import PromotionSettings
from difficulty.stages.economics import Question, weigh_up
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.overlap import overlap_of, threshold_rows
from difficulty.stages.promote import compare
from difficulty.stages.ship import ship
from difficulty.stages.thresholds import rechoose
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.conftest import REPOSITORY
from tests.journey import DRAWS, ROWS, sample_rows, write_rows

FEW = Resampling(DRAWS)
QUESTION = Question(volume=parse_volume("200000"), resampling=FEW)
NEW = sample_rows(1_600)[ROWS:]


def ingested(folder, name, rows):
    """Write rows and ingest them."""
    ingest([write_rows(folder / f"{name}.jsonl", rows)], folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


def seen_rows(journey):
    """Return the rows of the journey that training fitted or calibrated on."""
    run, traffic = Run.read(journey.run), Traffic.read(journey.traffic)
    splits = traffic.splits(run.recipe.split.fractions, run.recipe.seed)
    chosen = {
        name
        for name, split in zip(traffic.ids, splits, strict=True)
        if split in ("fit", "calibration")
    }
    return [row for row in sample_rows() if row["id"] in chosen]


def n_test(journey):
    """Return how many rows of the journey only judge."""
    return Run.read(journey.run).record.samples.test


@pytest.fixture(scope="module")
def again(journey, tmp_path_factory):
    """The traffic of the training with one more column: a file of another hash."""
    rows = [{**row, "region": "eu"} for row in sample_rows()]
    return ingested(tmp_path_factory.mktemp("again"), "again", rows)


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """Traffic that nothing was made from."""
    return ingested(tmp_path_factory.mktemp("later"), "later", NEW)


@pytest.fixture(scope="module")
def unknowing(journey, tmp_path_factory):
    """The same bundle without ``seen.bin``."""
    out = tmp_path_factory.mktemp("unknowing") / "small-9"
    ship(journey.run, out, seen=False, draws=DRAWS)
    return out


def finding_of(result):
    """Return the finding about overlap."""
    (found,) = [one for one in result.evaluation.findings if one.name == "training_overlap"]
    return found


def test_own_traffic_under_another_hash_is_known(journey, again, unknowing, tmp_path):
    """The rows of training are taken out, so that the figures are those of its test split."""
    judge = partial(evaluate_scorer, resampling=FEW)
    own = judge(journey.bundle, journey.traffic, tmp_path / "own")
    known = judge(journey.bundle, again, tmp_path / "known")
    unknown = judge(unknowing, again, tmp_path / "unknown")
    assert (own.judged, unknown.judged) == (n_test(journey), 800)
    assert own.judged - 8 <= known.judged <= own.judged + 8  # aside in, one in a hundred out
    apgr = {
        name: one.evaluation.overall["apgr"].value
        for name, one in (("own", own), ("known", known), ("unknown", unknown))
    }
    assert apgr["known"] == pytest.approx(apgr["own"], abs=0.05)
    assert apgr["unknown"] > apgr["own"] + 0.05
    assert finding_of(own).severity == "info"
    assert finding_of(known).severity == "warning"
    assert finding_of(known) in failing(known.evaluation.findings)
    assert "left out" in known.note
    assert "about 1 in 100 strangers looks so too" in known.note


def test_copies_in_other_case_spaces_and_punctuation_are_known(journey, tmp_path):
    rows = []
    for row in seen_rows(journey):
        content = row["messages"][-1]["content"].upper().replace(".", " ; ").replace(",", "")
        message = {**row["messages"][-1], "content": f"  {content} !"}
        rows.append({**row, "messages": [*row["messages"][:-1], message]})
    traffic = Traffic.read(ingested(tmp_path, "copies", rows))
    assert overlap_of(read_bundle(journey.bundle), traffic).seen.mean() > 0.99


def test_what_chance_names_is_no_warning(journey, later, tmp_path):
    """Of 800 strangers some 8 look seen; they are left out and nobody is alarmed."""
    result = evaluate_scorer(journey.bundle, later, tmp_path / "out", resampling=FEW)
    assert 780 <= result.judged <= 800
    overlap = overlap_of(read_bundle(journey.bundle), Traffic.read(later))
    assert overlap.left_out == result.left_out
    assert overlap.warning is None
    assert overlap.by_chance == pytest.approx(8, abs=2)
    if overlap.left_out:
        assert finding_of(result).severity == "info"


def test_few_seen_among_many_are_found(journey, tmp_path):
    """40 of 840: five times what chance names."""
    rows = [*NEW, *[{**row, "id": f"old-{row['id']}"} for row in seen_rows(journey)[:40]]]
    overlap = overlap_of(
        read_bundle(journey.bundle), Traffic.read(ingested(tmp_path, "mixed", rows))
    )
    assert 40 <= overlap.left_out <= 60
    assert "requests were seen when small-1 was made" in overlap.warning


def test_traffic_that_was_all_seen_is_refused(journey, tmp_path):
    traffic = ingested(tmp_path, "seen", [{**row, "region": "eu"} for row in seen_rows(journey)])
    with pytest.raises(TooFewSamplesError, match="that training did not see: all .* were seen"):
        evaluate_scorer(journey.bundle, traffic, tmp_path / "out", resampling=FEW)
    with pytest.raises(SeenTrafficError, match="it learned from all") as refused:
        rechoose(journey.bundle, traffic, tmp_path / "small-2", objective="share=0.3")
    assert refused.value.exit_code == 1
    assert not (tmp_path / "small-2").exists()


def test_bundle_may_be_shipped_without(unknowing, later, tmp_path):
    """It knows nothing then, and says so; a new threshold does not bring the file back."""
    bundle = read_bundle(unknowing)
    assert not (unknowing / "seen.bin").exists()
    assert bundle.seen is None
    assert overlap_of(bundle, Traffic.read(later)).counts is None
    result = evaluate_scorer(unknowing, later, tmp_path / "out", resampling=FEW)
    assert "overlap_unknown" in [one.name for one in result.evaluation.findings]
    rechosen = rechoose(
        unknowing, later, tmp_path / "small-2", objective="share=0.3", resampling=FEW
    )
    assert rechosen.bundle.seen is None


def test_thresholds_warn_and_leave_out_what_training_saw(journey, again, tmp_path):
    rechosen = rechoose(
        journey.bundle,
        again,
        tmp_path / "small-2",
        objective="share=0.3",
        allow_no_signal=True,
        resampling=FEW,
    )
    assert "requests were seen when small-1 was made" in rechosen.warnings[0]
    assert rechosen.warnings[0] in rechosen.bundle.files["card.md"].decode()
    assert rechosen.bundle.policy.chosen.n == pytest.approx(n_test(journey), abs=10)


def test_rows_that_chose_the_threshold_are_known_one_by_one(journey, later, tmp_path):
    """A part of them too, and those of the last choice alone."""
    choose = partial(rechoose, objective="share=0.3", allow_no_signal=True, resampling=FEW)
    first = choose(journey.bundle, later, tmp_path / "small-2").bundle
    part = ingested(tmp_path, "part", NEW[:100])
    traffic = Traffic.read(part)
    assert [one.part for one in first.seen] == ["training", "threshold"]
    assert threshold_rows(first, traffic, traffic) >= 97
    result = evaluate_scorer(first.path, part, tmp_path / "out", resampling=FEW)
    assert "threshold_on_judged_data" in [one.name for one in result.evaluation.findings]
    rest = ingested(tmp_path, "rest", NEW[100:])
    second = choose(first.path, rest, tmp_path / "small-3").bundle
    assert [one.part for one in second.seen] == ["training", "threshold"]
    assert threshold_rows(second, traffic, traffic) == 0


def test_promotion_leaves_out_what_either_bundle_saw_and_warns(journey, again, tmp_path):
    old = read_bundle(journey.bundle)
    settings = PromotionSettings(least_samples=1)
    comparison = compare(old, old, Traffic.read(again), settings=settings, resampling=FEW)
    assert comparison.n == pytest.approx(n_test(journey), abs=10)
    assert [warning.partition(":")[0] for warning in comparison.warnings] == [
        "challenger",
        "champion",
    ]


def test_economics_leave_out_what_the_bundle_saw_and_warn(journey, again):
    prices = load_price_list(REPOSITORY / "data" / "prices.example.toml")
    result = weigh_up(again, prices, QUESTION, bundle_path=journey.bundle)
    assert any(
        note.startswith("Warning: ") and "were seen when small-1 was made" in note
        for note in result.notes
    )


def test_threshold_needs_a_score_that_carries_something_here(journey, tmp_path):
    """Outcomes that have nothing to do with the requests: refused unless it is insisted."""
    rows = [
        {**row, "cheap_quality": float(place % 3 != 0), "frontier_quality": 1.0}
        for place, row in enumerate(NEW)
    ]
    traffic = ingested(tmp_path, "noise", rows)
    choose = partial(
        rechoose,
        journey.bundle,
        traffic,
        tmp_path / "small-2",
        objective="share=0.3",
        resampling=FEW,
    )
    with pytest.raises(NoSignalError, match="a score that carries a signal") as refused:
        choose()
    assert refused.value.exit_code == 1
    assert not (tmp_path / "small-2").exists()
    forced = choose(allow_no_signal=True)
    assert any("carries no signal" in note for note in forced.notes)
    assert "carries no signal" in forced.bundle.files["card.md"].decode()
    metrics = json.loads(forced.bundle.files["metrics.json"])
    assert any("carries no signal" in note for note in metrics["notes"])


def test_threshold_needs_requests_of_both_kinds(journey, tmp_path):
    """A cheap model that never failed says nothing of when it would."""
    rows = [{**row, "cheap_quality": 1.0, "frontier_quality": 1.0} for row in NEW]
    traffic = ingested(tmp_path, "easy", rows)
    with pytest.raises(NoSignalError, match="no request that the frontier model answered better"):
        rechoose(journey.bundle, traffic, tmp_path / "small-2", objective="share=0.3")
    assert not (tmp_path / "small-2").exists()
