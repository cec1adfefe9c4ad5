"""Traffic that offers functions, from labels to decisions: the numbers of the request reach the
score on every way in.
"""

import json

import numpy as np
import onnx
import pytest

from difficulty.bundle import read_bundle, write_bundle
from difficulty.conversation.request_numbers import NUMBERS_VERSION, read_numbers
from difficulty.errors import BundleError
from difficulty.export.graph import build_graph
from difficulty.gateway.requests import Gateway
from difficulty.integrations.layouts import model_config
from difficulty.metrics import auroc
from difficulty.recipe import parse_recipe
from difficulty.request import Request, read_requests
from difficulty.runtime import Router
from difficulty.stages.deploying.traffic_scores import score_traffic
from difficulty.stages.ingest import ingest
from difficulty.stages.route import score_rows
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.stages.verify import verify
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import DRAWS, RECIPE, sample_rows, train_on, write_rows
from tests.journey_tools import make_tool_journey, tools_of
from tests.serving.conftest import ask, connected, serving_decisions

ASKED = "Which meeting is next, and what is the price of the parcel?"
MESSAGES = [{"role": "user", "content": ASKED}]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_tool_journey(tmp_path_factory.mktemp("tools"))


@pytest.fixture(scope="module")
def router(made):
    return Router.load(made.bundle)


def score_of(router, tools):
    return router.scorer.score(MESSAGES, None, tools).difficulty_score


def test_bundle_says_that_it_reads_numbers(made, router):
    bundle = read_bundle(made.bundle)
    assert bundle.manifest.request_numbers == NUMBERS_VERSION
    assert router.scorer.reads_numbers
    graph = onnx.load_from_string(bundle.files["scorer.onnx"]).graph
    assert [item.name for item in graph.input] == ["input_ids", "attention_mask", "features"]
    assert 'name: "features" data_type: TYPE_FP32 dims: [ 25 ]' in model_config(bundle)


def test_run_says_that_it_reads_numbers(made):
    notes = json.loads((made.run / "metrics.json").read_text())["notes"]
    assert any("samples offer functions: the score reads how many" in note for note in notes)


def test_golden_vectors_hold_requests_that_offer_functions(made, router):
    found = verify(made.bundle)
    assert (found.differences, found.passed) == ([], True)
    rows = [
        json.loads(line) for line in read_bundle(made.bundle).files["golden.jsonl"].splitlines()
    ]
    offering = {row["id"]: row for row in rows if row["features"]}
    assert len(offering) == 6
    for row in offering.values():
        question = router.scorer.view(row["messages"]).question
        numbers = read_numbers(row["messages"], row.get("tools"), question)
        assert row["features"] == numbers.tolist()


def test_changed_number_of_a_golden_vector_is_told(made, tmp_path):
    bundle = read_bundle(made.bundle)
    rows = [json.loads(line) for line in bundle.files["golden.jsonl"].splitlines()]
    row = next(row for row in rows if row["id"] == "tools-two")
    row["features"][0] += 1
    golden = "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")
    manifest = bundle.manifest.as_dict(without={"files", "sha256"})
    write_bundle(tmp_path / "changed-1", {**bundle.files, "golden.jsonl": golden}, manifest)
    (difference,) = verify(tmp_path / "changed-1").differences
    assert difference.startswith("tools-two: features is [2.0, ")


def test_score_learns_from_offered_functions(made, router):
    traffic = Traffic.read(made.traffic)
    chosen = np.array([tools is not None for tools in traffic.column("tools")])
    offering = traffic.select(chosen)
    scores = score_traffic(router.scorer, offering).outputs["difficulty_score"]
    gain = (offering.outcomes.gain > 0).astype(float)
    assert auroc(scores.astype(np.float64), gain) > 0.75
    assert score_of(router, tools_of(8)) > score_of(router, tools_of(1)) + 0.1


def test_every_way_in_reads_tools(made, router, tmp_path):
    tools, plain = tools_of(8), router.decide(MESSAGES)
    decided = router.decide(MESSAGES, tools=tools)
    assert decided.difficulty_score != plain.difficulty_score
    together = router.decide_many([Request(MESSAGES), Request(MESSAGES, tools=tools)])
    assert [one.difficulty_score for one in together] == pytest.approx(
        [plain.difficulty_score, decided.difficulty_score], abs=1e-6
    )
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"messages": MESSAGES, "tools": tools}) + "\n")
    (row,) = score_rows(router.scorer, read_requests(file), version="1")
    assert row["difficulty_score"] == pytest.approx(decided.difficulty_score, abs=1e-6)
    visit = Gateway(router).open({"messages": MESSAGES, "tools": tools}, id="a")
    assert visit.decision.difficulty_score == decided.difficulty_score


def test_service_reads_tools(router):
    with serving_decisions(router) as server, connected(server) as connection:
        form = {"messages": MESSAGES, "tools": tools_of(8)}
        _, found = ask(connection, "POST", "/decide", form)
    expected = router.decide(MESSAGES, tools=tools_of(8)).difficulty_score
    assert found["difficulty_score"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("tools", ["json?", 3, [None], [{"function": []}], {}, [[]]], ids=repr)
def test_tools_that_are_none_change_nothing(router, tools):
    found = router.decide(MESSAGES, tools=tools)
    assert found.reason != "scorer_error"
    assert found.difficulty_score == router.decide(MESSAGES).difficulty_score


def test_bundle_of_before_decides_as_if_there_were_no_tools(journey):
    router = Router.load(journey.bundle)
    assert not router.scorer.reads_numbers
    assert "request_numbers" not in json.loads(read_bundle(journey.bundle).manifest_bytes)
    found = router.decide(MESSAGES, tools=tools_of(8))
    assert found.difficulty_score == router.decide(MESSAGES).difficulty_score


def test_manifest_and_graph_must_agree(made, journey, tmp_path):
    for number, folder in enumerate((made.bundle, journey.bundle)):
        bundle = read_bundle(folder)
        manifest = bundle.manifest.as_dict(without={"files", "sha256"})
        reads = manifest.pop("request_numbers", None)
        manifest["request_numbers"] = None if reads else NUMBERS_VERSION
        write_bundle(tmp_path / f"mixed-{number}", bundle.files, manifest)
        with pytest.raises(BundleError, match=r"must have the input 'features' where the manifest"):
            Router.load(tmp_path / f"mixed-{number}")


def test_numbers_of_another_version_are_refused(made, tmp_path):
    bundle = read_bundle(made.bundle)
    manifest = bundle.manifest.as_dict(without={"files", "sha256"})
    with pytest.raises(BundleError, match=r"request numbers 2 are not those .* Upgrade"):
        write_bundle(tmp_path / "later-1", bundle.files, manifest | {"request_numbers": 2})


def test_run_scores_as_its_bundle(made, router):
    run = Run.read(made.run)
    assert run.model.reads_numbers
    offered = [None, *(tools_of(n) for n in range(1, 9))]
    ids = [router.scorer.encode(MESSAGES, None, tools).ids for tools in offered]
    expected = run.model.predict(ids).difficulty_score
    found = [score_of(router, tools) for tools in offered]
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_traffic_without_tools_has_the_graph_that_it_had(journey, tmp_path):
    """A recipe with the section, on traffic in which nobody offers a function."""
    features = {**RECIPE["features"], "numbers": {}}
    train_on(journey.traffic, tmp_path / "run", journey.encoder, features=features)
    graphs = [build_graph(Run.read(run).model) for run in (journey.run, tmp_path / "run")]
    assert graphs[0].SerializeToString() == graphs[1].SerializeToString()


def test_search_keeps_the_numbers(made, tmp_path):
    encoder = Run.read(made.run).encoder
    form = {
        **RECIPE,
        "features": {**RECIPE["features"], "encoder": "named", "numbers": {}},
        "search": {"minutes": 0.001, "folds": 3},
    }
    recipe = parse_recipe(form, name="searched.toml")
    options = {"more_labels": False, "unseen_tasks": False, "draws": DRAWS}
    train(made.traffic, tmp_path / "run", recipe=recipe, encoder=encoder, **options)
    run = Run.read(tmp_path / "run")
    assert run.record.search
    assert run.model.reads_numbers


def test_run_of_tools_can_be_started_from(made, tmp_path):
    """Also by traffic in which nobody offers a function: all numbers are unknown then."""
    started = Run.read(made.run)
    rows = sample_rows(1_000)[500:]
    ingest([write_rows(tmp_path / "others.jsonl", rows)], tmp_path / "others.parquet")
    train(
        tmp_path / "others.parquet",
        tmp_path / "run",
        recipe=started.recipe,
        encoder=started.encoder,
        start=started,
        more_labels=False,
        unseen_tasks=False,
        draws=DRAWS,
    )
    run = Run.read(tmp_path / "run")
    assert run.model.reads_numbers
    scores = run.model.predict([[5, 6]])
    assert np.isfinite(scores.difficulty_score).all()
    ship(tmp_path / "run", tmp_path / "next-1", allow_no_signal=True, draws=DRAWS)
    assert verify(tmp_path / "next-1").passed
