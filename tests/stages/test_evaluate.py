import json

import numpy as np
import pytest

from difficulty.economics import PriceList, load_price_list
from difficulty.economics.usage import Volume
from difficulty.errors import BundleError, RunError, TooFewSamplesError, TrafficError
from difficulty.evaluation.result import read_metrics
from difficulty.metrics import Resampling
from difficulty.runtime import Router
from difficulty.stages import evaluate as evaluate_module
from difficulty.stages.economics import Question, weigh_up, write_economics
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.thresholds import rechoose
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.conftest import REPOSITORY
from tests.journey import DRAWS, sample_rows, write_rows

RANKED = ("auroc", "apgr", "cpt_50", "cpt_80", "brier", "ece", "brier_frontier", "ece_frontier")


def subset(journey, folder, split, *, extra=()):
    """Ingest the sample rows of one split under new ids, and some others."""
    run = Run.read(journey.run)
    traffic = Traffic.read(journey.traffic)
    splits = dict(
        zip(
            traffic.ids,
            traffic.splits(run.recipe.split.fractions, run.recipe.seed).tolist(),
            strict=True,
        )
    )
    rows = [
        {**row, "id": f"new-{row['id']}", "group": None}
        for row in sample_rows()
        if splits[row["id"]] == split
    ]
    ingest([write_rows(folder / f"{split}.jsonl", [*rows, *extra])], folder / f"{split}.parquet")
    return folder / f"{split}.parquet"


def new_rows(n=30):
    """Return rows that nothing was trained on."""
    return [
        {
            "id": f"fresh-{number}",
            "prompt": f"Fresh request number {number} about {number * 7919} crates",
            "cheap_quality": number % 2,
            "frontier_quality": 1,
        }
        for number in range(n)
    ]


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_only_the_test_split_of_its_own_traffic_is_judged(journey, tmp_path, kind):
    result = evaluate_scorer(
        getattr(journey, kind), journey.traffic, tmp_path / "out", resampling=Resampling(DRAWS)
    )
    assert (result.judged, result.left_out) == (194, 606)
    assert result.evaluation.counts["requests"] == 194
    assert read_metrics(tmp_path / "out" / "metrics.json") == result.evaluation
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json",
        "report.html",
        "report.md",
    }


def test_run_and_bundle_agree(journey, tmp_path):
    """Python model and ONNX Runtime, the batch tokenizer and the one of serving: the same
    figures.
    """
    run, bundle = (
        evaluate_scorer(
            path, journey.traffic, tmp_path / path.name, resampling=Resampling(DRAWS)
        ).evaluation
        for path in (journey.run, journey.bundle)
    )
    for name in RANKED:
        one, other = run.overall[name], bundle.overall[name]
        assert one.n == other.n > 0
        assert (one.value, one.low, one.high) == pytest.approx(
            (other.value, other.low, other.high), abs=1e-6
        ), name
    for task, figures in run.slices["task"].items():
        assert figures["auroc"].value == pytest.approx(
            bundle.slices["task"][task]["auroc"].value, abs=1e-6
        )


def test_training_and_evaluation_of_the_run_give_the_same_figures(journey, tmp_path):
    again = evaluate_scorer(
        journey.run, journey.traffic, tmp_path / "out", resampling=Resampling(DRAWS)
    ).evaluation
    trained = read_metrics(journey.run / "metrics.json")
    assert {name: again.overall[name] for name in RANKED} == {
        name: trained.overall[name] for name in RANKED
    }
    assert again.baselines["task_mean"]["apgr"] == trained.baselines["task_mean"]["apgr"]


def test_shipping_and_evaluation_of_the_bundle_give_the_same_figures(journey, tmp_path):
    again = evaluate_scorer(
        journey.bundle, journey.traffic, tmp_path / "out", resampling=Resampling(DRAWS)
    ).evaluation
    shipped = read_metrics(journey.bundle / "metrics.json")
    assert again.threshold == shipped.threshold
    assert dict(again.overall) == dict(shipped.overall)
    # The same plain ways to stand beside, the means of tasks that training learnt among them.
    assert "task_mean" in shipped.baselines
    assert {**again.baselines} == {**shipped.baselines}


@pytest.mark.parametrize("split", ["fit", "calibration"])
def test_nothing_that_training_saw_is_judged(journey, tmp_path, split):
    """New ids and no groups do not hide a text that was seen."""
    traffic = subset(journey, tmp_path, split, extra=new_rows())
    result = evaluate_scorer(journey.run, traffic, tmp_path / "out", resampling=Resampling(DRAWS))
    assert result.judged == 30
    assert "whose text or group training saw are left out" in result.note


def test_traffic_that_was_all_seen_cannot_judge(journey, tmp_path):
    traffic = subset(journey, tmp_path, "calibration")
    with pytest.raises(
        TooFewSamplesError,
        match=(
            "evaluation needs samples that training did not see: all 141 were seen. Pass other"
            " traffic"
        ),
    ):
        evaluate_scorer(journey.run, traffic, tmp_path / "out", resampling=Resampling(DRAWS))
    assert not (tmp_path / "out").exists()


def findings(result):
    return [
        (finding.severity, finding.name)
        for finding in result.evaluation.findings
        if finding.name != "calibration_off"
    ]


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_own_traffic_is_told_from_other(journey, tmp_path, kind):
    """That training saw most of its own traffic is no fault; what was left out is said."""
    result = evaluate_scorer(
        getattr(journey, kind), journey.traffic, tmp_path / "out", resampling=Resampling(DRAWS)
    )
    assert ("info", "training_overlap") in findings(result)
    (overlap,) = [
        finding for finding in result.evaluation.findings if finding.name == "training_overlap"
    ]
    assert (overlap.numbers["left_out"], overlap.numbers["requests"]) == (606, 800)
    lineage = result.evaluation.lineage
    traffic = Traffic.read(journey.traffic)
    assert (lineage["training_data"], lineage["judged_data"]) == (
        traffic.data_hash,
        traffic.data_hash,
    )
    assert (lineage["scorer"], lineage["judged"], lineage["left_out"], lineage["recipe"]) == (
        kind,
        194,
        606,
        "small",
    )
    assert lineage["objective"] == ("share=0.3" if kind == "bundle" else None)


def test_seen_requests_in_other_traffic_are_a_warning(journey, tmp_path):
    traffic = subset(journey, tmp_path, "fit", extra=new_rows(60))
    result = evaluate_scorer(journey.run, traffic, tmp_path / "out", resampling=Resampling(DRAWS))
    assert ("warning", "training_overlap") in findings(result)


def test_an_edited_training_request_is_told_by_its_id(journey, tmp_path):
    """Its text is new, its id is not."""
    run = Run.read(journey.run)
    rows = [*new_rows(60), {**new_rows(61)[60], "id": run.out_of_fold.ids[0]}]
    ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "in.parquet")
    result = evaluate_scorer(
        journey.run, tmp_path / "in.parquet", tmp_path / "out", resampling=Resampling(DRAWS)
    )
    (finding,) = [finding for finding in result.evaluation.findings if finding.name == "same_ids"]
    assert finding.numbers["same_ids"] == 1
    assert result.judged == 61


def test_threshold_chosen_on_the_judged_traffic_is_found(journey, tmp_path):
    """A bundle remembers the texts that its threshold was chosen on."""
    traffic = subset(journey, tmp_path, "test")
    rechoose(
        journey.bundle,
        traffic,
        tmp_path / "small-2",
        objective="share=0.2",
        resampling=Resampling(DRAWS),
    )
    judged = evaluate_scorer(
        tmp_path / "small-2", traffic, tmp_path / "out", resampling=Resampling(DRAWS)
    )
    assert findings(judged)[0] == ("error", "threshold_on_judged_data")
    before = evaluate_scorer(
        journey.bundle, traffic, tmp_path / "before", resampling=Resampling(DRAWS)
    )
    assert "threshold_on_judged_data" not in [name for _, name in findings(before)]


def test_edited_requests_of_the_training_are_left_out(journey, tmp_path):
    """Ingested alone, under new ids and groups, with a word added at the end."""
    run = Run.read(journey.run)
    traffic = Traffic.read(journey.traffic)
    fit = set(
        np.array(traffic.ids)[
            traffic.splits(run.recipe.split.fractions, run.recipe.seed) == "fit"
        ].tolist()
    )
    long = [
        row
        for row in sample_rows()
        if row["id"] in fit and isinstance(row["messages"][-1]["content"], str)
    ]
    long = [row for row in long if len(row["messages"][-1]["content"].split()) > 25][:20]
    edited = [
        {**row, "id": f"new-{place}", "group": f"new-{place}", "messages": [
            *row["messages"][:-1],
            row["messages"][-1] | {"content": row["messages"][-1]["content"] + " please"},
        ]}
        for place, row in enumerate(long)
    ]  # fmt: skip
    ingest([write_rows(tmp_path / "in.jsonl", [*edited, *new_rows()])], tmp_path / "in.parquet")
    result = evaluate_scorer(
        journey.run, tmp_path / "in.parquet", tmp_path / "out", resampling=Resampling(DRAWS)
    )
    assert len(long) == 20
    assert (result.judged, result.left_out) == (30, 20)
    (found,) = [one for one in result.evaluation.findings if one.name == "training_overlap"]
    assert (found.numbers["nearly_the_same_text"], found.severity) == (20, "warning")


def test_bundle_without_memory_says_that_it_does_not_know_other_traffic(journey, tmp_path):
    ship(journey.run, tmp_path / "small-9", seen=False, draws=DRAWS)
    result = evaluate_scorer(
        tmp_path / "small-9",
        subset(journey, tmp_path, "test"),
        tmp_path / "out",
        resampling=Resampling(DRAWS),
    )
    assert (result.judged, result.left_out) == (194, 0)
    assert "whether single samples overlap is not known" in result.note


def test_text_that_the_tokenizer_drops_does_not_stop_the_others(journey, tmp_path):
    rows = [
        *new_rows(),
        {"id": "empty", "prompt": "\u200b", "cheap_quality": 1, "frontier_quality": 1},
    ]
    ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "in.parquet")
    for path in (journey.run, journey.bundle):
        result = evaluate_scorer(
            path, tmp_path / "in.parquet", tmp_path / path.name, resampling=Resampling(5)
        )
        # A bundle takes one stranger in a hundred for one of its own.
        assert 29 <= result.judged == 31 - result.left_out


def test_price_list_with_hosting_says_whether_it_pays(journey, tmp_path):
    """In the report, and in a file with the figures of the command of that name."""
    prices = load_price_list(REPOSITORY / "data" / "prices.example.toml")
    result = evaluate_scorer(
        journey.bundle,
        journey.traffic,
        tmp_path,
        prices=prices,
        volume=Volume(2e6, 2e6),
        resampling=Resampling(DRAWS),
    )
    assert set(result.written) == {path.name for path in tmp_path.iterdir()}
    assert "economics.json" in result.written
    made = json.loads((tmp_path / "economics.json").read_text())
    assert "Does it pay?" in (tmp_path / "report.html").read_text()
    assert "## Does it pay?" in (tmp_path / "report.md").read_text()
    same = weigh_up(
        journey.traffic,
        prices,
        Question(volume=Volume(2e6, 2e6), resampling=Resampling(DRAWS)),
        bundle_path=journey.bundle,
    )
    assert made["policy"] == json.loads(json.dumps(same.as_dict()))["policy"]


def test_a_run_has_no_policy_that_could_pay(journey, tmp_path):
    """Nobody has chosen how many requests stay cheap, so there is nothing to weigh up."""
    prices = load_price_list(REPOSITORY / "data" / "prices.example.toml")
    result = evaluate_scorer(
        journey.run, journey.traffic, tmp_path, prices=prices, resampling=Resampling(DRAWS)
    )
    assert "economics.json" not in result.written


def test_money_of_another_plan_is_shown_and_not_weighed(journey, tmp_path):
    """A file about requests taken at random says nothing of what the bundle's policy saves."""
    prices = load_price_list(REPOSITORY / "data" / "prices.example.toml")
    question = Question(keep_cheap=0.3, volume=Volume(10.0, 10.0), resampling=Resampling(DRAWS))
    cases = {}
    for name, bundle in (("random", None), ("policy", journey.bundle)):
        made = weigh_up(journey.traffic, prices, question, bundle_path=bundle)
        write_economics(made, tmp_path / f"{name}.json")
        cases[name] = evaluate_scorer(
            journey.bundle,
            journey.traffic,
            tmp_path / name,
            economics=tmp_path / f"{name}.json",
            resampling=Resampling(DRAWS),
        ).evaluation.verdict
        assert "Does it pay?" in (tmp_path / name / "report.html").read_text()
    assert cases["random"].money is None
    assert cases["policy"].money.answer == "wait"
    assert cases["policy"].answer == "do_not_switch_on"


def test_price_list_of_tokens_alone_weighs_nothing_up(journey, tmp_path):
    listed = load_price_list(REPOSITORY / "data" / "prices.example.toml")
    bare = PriceList(date=listed.date, cheap=listed.cheap, frontier=listed.frontier)
    result = evaluate_scorer(
        journey.bundle, journey.traffic, tmp_path, prices=bare, resampling=Resampling(DRAWS)
    )
    assert (
        set(result.written)
        == {path.name for path in tmp_path.iterdir()}
        == {"metrics.json", "report.html", "report.md"}
    )
    assert result.evaluation.overall["cost"].value is not None


def test_crash_leaves_no_metrics(journey, tmp_path, monkeypatch):
    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_module, "evaluate", crash)
    with pytest.raises(KeyboardInterrupt):
        evaluate_scorer(journey.run, journey.traffic, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_neither_run_nor_bundle_is_refused(journey, tmp_path):
    with pytest.raises(
        RunError,
        match="neither a run nor a bundle at .* written by 'difficulty train' or 'difficulty ship'",
    ):
        evaluate_scorer(tmp_path, journey.traffic, tmp_path / "out")


def test_damaged_input_is_refused(journey, tmp_path):
    with pytest.raises(TrafficError, match="must be ingested traffic: it is traffic that was not"):
        evaluate_scorer(journey.run, journey.source, tmp_path / "out")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BundleError):
        evaluate_scorer(tmp_path, journey.traffic, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_training_and_serving_count_the_tokens_of_a_long_request_alike(journey, tmp_path):
    """Of a request longer than ``max_chars`` both estimate the tokens of the whole from the part
    that is kept.
    """
    row = {
        "id": "long",
        "prompt": "Count every box in the hall. " * 2_000,
        "cheap_quality": 1,
        "frontier_quality": 1,
    }
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n")
    ingest([tmp_path / "long.jsonl"], tmp_path / "long.parquet")
    traffic, run = Traffic.read(tmp_path / "long.parquet"), Run.read(journey.run)
    lab = tokenize(traffic, view=run.view, tokenizer=run.tokenizer)
    served = Router.load(journey.bundle).decide(row["prompt"])
    assert lab.totals.tolist() == [served.tokens]
    assert served.tokens > 10 * len(lab.ids[0])
