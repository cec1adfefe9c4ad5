"""Early exit from a run to a router, with a small transformer over the words of the sample."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from difficulty.bundle import read_bundle
from difficulty.channels.heads import LinearHead
from difficulty.errors import BundleError, ParityError, RunError
from difficulty.evaluation.result import read_metrics
from difficulty.metrics import Resampling
from difficulty.request import Request
from difficulty.runtime import Router
from difficulty.stages import exporting
from difficulty.stages.choosing import choose_exits
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.judging import serve
from difficulty.stages.ship import ship
from difficulty.stages.thresholds import rechoose
from difficulty.stages.verify import verify
from difficulty.training.run import EARLY_FILE, Run
from tests.bundle.test_store import rewrite_manifest
from tests.journey import DRAWS, train_with_transformer

RECIPE = {
    "name": "tiny",
    "folds": 2,
    "features": {"ngrams": {"buckets": 1024}, "embedding": {"strength": 0.1, "beside_guess": True}},
    "policy": {"hard_tasks": ["multi-step planning"]},
    "export": {"early": True, "early_budget": 0.05},
}


@pytest.fixture(scope="module")
def run_folder(journey, tmp_path_factory):
    """A run of the recipe that asks for early exit."""
    return train_with_transformer(journey, tmp_path_factory.mktemp("early"), RECIPE)


@pytest.fixture(scope="module")
def shipped(run_folder):
    return ship(run_folder, run_folder.parent / "tiny-1", draws=DRAWS)


def requests_of(traffic, *, told=True):
    return [
        Request(messages, task if told else None)
        for messages, task in zip(traffic.messages(), traffic.tasks, strict=True)
    ]


def test_bundle_holds_the_early_graph_and_its_cut_offs(shipped):
    bundle, early = shipped.bundle, shipped.bundle.policy.early
    assert "early.onnx" in bundle.manifest.files
    assert (early.threshold, early.budget, early.confidence) == (
        bundle.policy.threshold,
        0.05,
        0.95,
    )
    assert shipped.notes == ()
    for cut in (early.with_task, early.without_task):
        assert cut.low <= early.threshold <= cut.high
        assert cut.expected["changed"]["value"] < 0.05
    assert verify(bundle.path).passed
    assert {"early_score"} <= set(json.loads(bundle.files["golden.jsonl"].split(b"\n")[0]))


@pytest.mark.parametrize("told", [True, False], ids=["with a task", "without"])
def test_expected_shares_are_what_the_router_does(shipped, run_folder, told):
    """On the calibration requests, and on the test requests as metrics.json says."""
    router, plain = Router.load(shipped.bundle.path), Router.load(shipped.bundle.path)
    plain._exits = None
    kind = "with_task" if told else "without_task"
    figures = read_metrics(shipped.bundle.path / "metrics.json").early[kind]
    expected = getattr(shipped.bundle.policy.early, kind).expected
    run = Run.read(run_folder)
    for traffic, asked, changed in (
        (run.calibration, expected["asked"]["value"], expected["changed"]["value"]),
        (run.test, figures["asked"].value, figures["changed"].value),
    ):
        decisions, slow = (
            one.decide_many(requests_of(traffic, told=told)) for one in (router, plain)
        )
        scored = [
            (fast, sure) for fast, sure in zip(decisions, slow, strict=True) if sure.scored_by
        ]
        assert {sure.scored_by for _, sure in scored} == {"scorer"}
        by = Counter(fast.scored_by for fast, _ in scored)
        assert by["scorer"] / len(scored) == pytest.approx(asked)
        assert np.mean([fast.route != sure.route for fast, sure in scored]) == pytest.approx(
            changed
        )
    assert by["early"]


def test_evaluating_the_bundle_says_what_early_exit_does(shipped, run_folder, journey, tmp_path):
    """On the test split of its own traffic the same as shipping, and nothing where a bundle has
    none.
    """
    evaluate_scorer(
        shipped.bundle.path, journey.traffic, tmp_path / "report", resampling=Resampling(DRAWS)
    )
    found = read_metrics(tmp_path / "report" / "metrics.json")
    assert found.early == read_metrics(shipped.bundle.path / "metrics.json").early
    assert found.early.keys() == {"with_task", "without_task"}
    told = [note for note in found.notes if "early exit changes" in note]
    assert len(told) == 2
    assert all(note.startswith("Figures are those of the scorer: of ") for note in told)
    assert "early exit changes" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    ship(run_folder, tmp_path / "tiny-2", early=False, draws=DRAWS)
    evaluate_scorer(
        tmp_path / "tiny-2", journey.traffic, tmp_path / "plain", resampling=Resampling(DRAWS)
    )
    assert read_metrics(tmp_path / "plain" / "metrics.json").early == {}


def test_card_and_metrics_say_what_early_exit_does(shipped):
    card = shipped.bundle.files["card.md"].decode()
    assert "## Early exit" in card
    assert "with a known task the scorer is asked about" in card
    assert "without a known task the scorer is asked about" in card


def test_recipe_without_it_and_a_ship_without_it_have_none(run_folder, tmp_path):
    found = ship(run_folder, tmp_path / "tiny-2", early=False, draws=DRAWS)
    assert found.bundle.policy.early is None
    assert "early.onnx" not in found.bundle.files
    assert b"early" not in found.bundle.files["policy.json"]
    assert "early" not in json.loads(found.bundle.files["metrics.json"])


def test_budget_that_cannot_be_shown_ships_without_and_says_so(run_folder, tmp_path):
    """0.5 % needs 598 requests; there are some 160."""
    copied = shutil.copytree(run_folder, tmp_path / "run")
    form = json.loads((copied / "run.json").read_text())
    form["recipe"]["export"]["early_budget"] = 0.005
    (copied / "run.json").write_text(json.dumps(form))
    found = ship(copied, tmp_path / "tiny-3", draws=DRAWS)
    assert found.bundle.policy.early is None
    assert len(found.notes) == 2
    assert "requests in groups and of weights like these to choose on" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"per_task": True}, "tasks have their own"),
        ({"min_familiarity": 0.05}, "min_familiarity asks for that"),
    ],
)
def test_policy_that_cannot_have_it_ships_without(run_folder, tmp_path, change, said):
    rules = replace(Run.read(run_folder).recipe.policy, **change)
    found = ship(run_folder, tmp_path / "tiny-4", policy=rules, draws=DRAWS)
    assert found.bundle.policy.early is None
    assert said in found.notes[0]


def test_run_without_a_student_is_refused_early_exit(journey, tmp_path):
    with pytest.raises(RunError, match="early exit needs a run with a student: .* has none"):
        ship(journey.run, tmp_path / "small-9", early=True, draws=DRAWS)


def test_early_graph_that_differs_is_not_shipped(run_folder, tmp_path, monkeypatch):
    def tampered(model, early):
        wrong = LinearHead(early.without_task.coefficients, early.without_task.intercept + 0.1)
        return original(model, type(early)(wrong, early.with_task))

    original = exporting.build_early_graph
    monkeypatch.setattr(exporting, "build_early_graph", tampered)
    with pytest.raises(ParityError, match="the exported early graph must stay within"):
        ship(run_folder, tmp_path / "tiny-5", draws=DRAWS)
    assert not (tmp_path / "tiny-5").exists()


def test_damaged_student_is_refused(run_folder, tmp_path):
    copied = shutil.copytree(run_folder, tmp_path / "run")
    (copied / EARLY_FILE).write_bytes(b"none")
    with pytest.raises(RunError, match=r"early\.npz' cannot be read"):
        ship(copied, tmp_path / "tiny-6", draws=DRAWS)


def test_threshold_chosen_again_has_cut_offs_of_its_own(shipped, journey, tmp_path):
    found = rechoose(
        shipped.bundle.path,
        journey.traffic,
        tmp_path / "tiny-7",
        objective="share=0.6",
        resampling=Resampling(DRAWS),
    )
    early = found.bundle.policy.early
    assert early.threshold == found.new.threshold != shipped.bundle.policy.threshold
    assert early.budget == 0.05
    assert any("such requests with a known task" in note for note in found.notes)
    assert verify(tmp_path / "tiny-7").passed


def test_thresholds_by_task_drop_the_cut_offs_and_a_later_choice_brings_them_back(
    shipped, journey, tmp_path
):
    dropped = rechoose(
        shipped.bundle.path,
        journey.traffic,
        tmp_path / "tiny-8",
        objective="share=0.6",
        per_task=True,
        resampling=Resampling(DRAWS),
    )
    assert dropped.bundle.policy.early is None
    note = "no early exit: its cut-offs belong to one threshold, and tasks have their own"
    assert note in dropped.notes
    assert Router.load(tmp_path / "tiny-8").decide("Plan a trip").scored_by == "scorer"
    again = rechoose(
        tmp_path / "tiny-8",
        journey.traffic,
        tmp_path / "tiny-9",
        objective="share=0.6",
        resampling=Resampling(DRAWS),
    )
    assert "early.onnx" in again.bundle.files


def test_cut_offs_without_the_graph_are_refused(shipped, tmp_path):
    copied = shutil.copytree(shipped.bundle.path, tmp_path / "tiny-1")
    manifest = json.loads((copied / "manifest.json").read_text())
    rewrite_manifest(
        copied,
        files={name: entry for name, entry in manifest["files"].items() if name != "early.onnx"},
    )
    (copied / "early.onnx").unlink()
    with pytest.raises(
        BundleError,
        match=(
            r"policy\.json has early cut-offs, but the bundle has no early\.onnx\. Ship the bundle"
            r" again"
        ),
    ):
        read_bundle(copied)


def test_decisions_worked_out_from_scores_leave_early_as_the_router_does(shipped, run_folder):
    """With early exit some of them differ from what the score says."""
    bundle, traffic = shipped.bundle, Run.read(run_folder).test
    router = Router.from_bundle(bundle)
    served = serve(router.scorer, traffic, target=bundle.manifest.target, early=router.early)
    decisions = router.decide_many(requests_of(traffic))
    assert "early" in {decision.scored_by for decision in decisions}
    expected = [decision.route == "frontier" for decision in decisions]
    assert served.decisions(bundle.policy).tolist() == expected


def test_a_promise_of_each_task_has_no_early_exit(shipped):
    """Also where every task is rare, so that none has a threshold of its own."""
    policy = shipped.bundle.policy
    promised = replace(policy, chosen=replace(policy.chosen, objective="risk=0.2 per task"))
    assert not promised.task_thresholds
    early, notes = choose_exits(promised, {}, budget=0.5)
    assert early is None
    assert notes == (
        "no early exit: its cut-offs belong to one threshold, and tasks have their own",
    )
