"""The router in Node.js that was written from docs/bundle.md: it reproduces every bundle's golden
vectors, and decides as Python does.
"""

import json
import random
import re
import subprocess
from collections import Counter
from dataclasses import replace

import onnx
import pytest

from difficulty.bundle import (
    Chosen,
    Exploration,
    Fallback,
    FileEntry,
    Manifest,
    Policy,
    read_bundle,
    write_bundle,
)
from difficulty.bundle.policy import AnswerRule, CutOffs, Early
from difficulty.conversation.request_numbers import read_numbers
from difficulty.export.parity import golden_requests
from difficulty.needs.limits import Eligibility, ModelLimits
from difficulty.recipe import FeatureSettings, parse_recipe
from difficulty.request import Request
from difficulty.routes import Stick, ValidatorRule
from difficulty.runtime import Router
from difficulty.runtime.service import check_forms
from difficulty.stages.choosing import policy_files
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.text import TextView
from difficulty.training.shipped import find_encoder
from difficulty.views.boilerplate import LearnedView, hashes_of
from tests.answer_checks import write_with_check
from tests.attack import grammar
from tests.attack import test_attack_answers as answers
from tests.bundle.conftest import SAVED as SAVED_BUNDLE
from tests.conftest import REPOSITORY
from tests.fakes import load_transformer
from tests.journey import DRAWS, RECIPE, sample_rows, write_rows
from tests.journey_tools import make_tool_journey, odd_requests, tools_of
from tests.views.requests import odd_conversations

pytestmark = pytest.mark.node
NODE = REPOSITORY / "examples" / "node"
SCORES = ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
TOLERANCE = 1e-4


def node(*words):
    """Run Node.js in the example's folder."""
    return subprocess.run(
        ["node", *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=NODE,
        timeout=120,
    )


def assert_reproduced(bundle):
    done = node("cli.js", bundle, "--verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^\d+ golden vectors: all reproduced$", done.stdout, flags=re.MULTILINE)


def train_and_ship(folder, traffic, encoder, *, export=None, **features):
    """Return a bundle of the small recipe with another encoder."""
    form = {
        **RECIPE,
        "export": export or {},
        "features": {**RECIPE["features"], "encoder": "named", **features},
    }
    recipe = parse_recipe(form, name="small.toml")
    train(
        traffic,
        folder / "run",
        recipe=recipe,
        encoder=encoder,
        more_labels=False,
        unseen_tasks=False,
        draws=DRAWS,
    )
    return ship(folder / "run", folder / "shipped-1", allow_no_signal=True, draws=DRAWS).bundle


def with_policy(bundle, folder, **changes):
    """Write the bundle again with another policy and the golden vectors that belong to it."""
    router = Router.from_bundle(bundle)
    policy = replace(bundle.policy, **changes)
    files = {**bundle.files, **policy_files(router.scorer, policy, version=folder.name)}
    manifest = bundle.manifest.as_dict(without={"files", "sha256"})
    return write_bundle(folder, files, manifest)


@pytest.fixture(scope="module")
def fast(journey, tmp_path_factory):
    """A bundle with the shipped encoder, whose tokenizer makes word pieces, and with tasks."""
    encoder = find_encoder(FeatureSettings(encoder="static-minilm-256"))
    return train_and_ship(tmp_path_factory.mktemp("fast"), journey.traffic, encoder)


def test_its_own_tests_pass():
    done = node("--test", *sorted(str(path) for path in (NODE / "test").glob("*.test.js")))
    assert done.returncode == 0, done.stdout[-4000:]


def test_text_view_2_of_odd_requests_is_that_of_python(tmp_path):
    requests = odd_conversations(150)
    learned = LearnedView(
        frozenset({"system", "turns", "text", "passage", "reminder", "json", "house"}),
        hashes_of(["A sentence that comes again and again."], bytes(16)),
    )
    views = {"null": TextView(2), learned.as_bytes.decode(): TextView(2, learned=learned)}
    (tmp_path / "requests.json").write_text(json.dumps([list(views), requests]), encoding="ascii")
    script = (
        'import { readFileSync } from "node:fs";'
        ' import { secondView } from "./src/text.js";'
        ' import { LearnedView } from "./src/views/boilerplate.js";'
        ' const [views, requests] = JSON.parse(readFileSync(process.argv[1], "utf8"));'
        " const known = views.map((view) => JSON.parse(view))"
        ".map((form) => (form ? LearnedView.parse(form) : undefined));"
        " console.log(JSON.stringify(known.map((view) => requests.map((messages) => {"
        " const { text, totalChars, cut, masked, question } = secondView(messages, 8192, view);"
        " return [text, totalChars, cut, masked, question]; }))))"
    )
    done = node("--input-type=module", "-e", script, tmp_path / "requests.json")
    assert done.stderr == ""
    for view, made in zip(views.values(), json.loads(done.stdout), strict=True):
        for messages, (text, total, cut, masked, question) in zip(requests, made, strict=True):
            counts = tuple((kind, count) for kind, count in masked)
            assert (text, total, cut, counts, question) == view(messages)


def test_fields_are_those_that_python_reads():
    """Both refuse what they do not know, so a new field needs both."""
    done = node(
        "-e", 'import("./src/fields.js").then(({ FIELDS }) => console.log(JSON.stringify(FIELDS)))'
    )
    models = {
        "MANIFEST": Manifest,
        "FILE": FileEntry,
        "POLICY": Policy,
        "FALLBACK": Fallback,
        "CHOSEN": Chosen,
    }
    models |= {
        "VALIDATOR": ValidatorRule,
        "EXPLORATION": Exploration,
        "EARLY": Early,
        "CUT_OFFS": CutOffs,
        "ANSWER": AnswerRule,
        "STICK": Stick,
        "ELIGIBILITY": Eligibility,
        "LIMITS": ModelLimits,
    }
    assert json.loads(done.stdout) == {
        name: list(model.__dataclass_fields__) for name, model in models.items()
    }


def test_golden_vectors_of_a_fast_bundle_are_reproduced(fast):
    assert fast.manifest.task_ids
    assert_reproduced(fast.path)


def test_golden_vectors_with_task_thresholds_and_familiarity_are_reproduced(fast, tmp_path):
    """Both outcomes of either rule are among them."""
    scores = [
        Router.from_bundle(fast).scorer.score(request["messages"])
        for request in golden_requests()[:39]
    ]
    levels = sorted({score.familiarity for score in scores})
    least = levels[len(levels) // 3]
    familiar = sorted(score.difficulty_score for score in scores if score.familiarity >= least)
    changes = {
        "min_familiarity": least,
        "threshold": familiar[len(familiar) // 2],
        "task_thresholds": {"classify": 0.0, "a task nobody listed": 0.0},
        "max_cheap_tokens": 3,
        "hard_tasks": (),
    }
    bundle = with_policy(fast, tmp_path / "ruled-1", **changes)
    rows = [json.loads(line) for line in bundle.files["golden.jsonl"].splitlines()]
    assert {row["reason"] for row in rows} == {
        "unfamiliar",
        "above_threshold",
        "within_threshold",
        "scorer_error",
    }
    assert {row["threshold"] for row in rows} == {bundle.policy.threshold, 0.0}
    assert_reproduced(bundle.path)


@pytest.mark.parametrize("int8", [True, False], ids=["int8", "float32"])
def test_golden_vectors_of_a_bundle_with_a_transformer_are_reproduced(journey, tmp_path, int8):
    """Its embedding is read by a head, beside the guess of the task, and as shares of centres."""
    words = json.loads((journey.encoder / "tokenizer.json").read_text())["model"]["vocab"]
    encoder = load_transformer(tmp_path / "encoder", vocabulary=words, max_tokens=32, int8=int8)
    read = {
        "embedding": {"strength": 0.1, "beside_guess": True},
        "neighbours": {"centres": 8, "strength": 0.1},
    }
    bundle = train_and_ship(tmp_path, journey.traffic, encoder, **read)
    operators = {
        node.op_type for node in onnx.load_from_string(bundle.files["scorer.onnx"]).graph.node
    }
    assert {"Softmax", "MatMulInteger"} & operators == (
        {"Softmax", "MatMulInteger"} if int8 else {"Softmax"}
    )
    assert_reproduced(bundle.path)


def test_changed_golden_vector_is_reported(fast, tmp_path):
    """The answer is no: exit code 1."""
    rows = [json.loads(line) for line in fast.files["golden.jsonl"].splitlines()]
    rows[0] |= {"difficulty_score": 2.0}
    golden = "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")
    manifest = fast.manifest.as_dict(without={"files", "sha256"})
    changed = write_bundle(tmp_path / "changed-1", {**fast.files, "golden.jsonl": golden}, manifest)
    done = node("cli.js", changed.path, "--verify")
    assert done.returncode == 1
    assert re.search(
        r"plain: difficulty_score is 0\.\d+, expected 2$", done.stdout, flags=re.MULTILINE
    )


def decided_by_both(bundle, tmp_path):
    """Let Node.js and Python decide three hundred requests of the sample, every other with its
    task; return Python's decisions.

    Everything is equal, scores within the tolerance.
    """
    rows = sample_rows(1_100)[800:]
    requests = [
        {
            "id": row["id"],
            "messages": row["messages"],
            **({"task": row["task"]} if number % 2 else {}),
        }
        for number, row in enumerate(rows)
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="ascii")
    done = node("cli.js", bundle.path, "--input", file)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    decisions = Router.from_bundle(read_bundle(bundle.path)).decide_many(
        Request(form["messages"], form.get("task")) for form in requests
    )
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for row, decision in zip(found, decisions, strict=True):
        expected = decision.as_dict()
        for name in SCORES:
            assert row[name] == (
                None if expected[name] is None else pytest.approx(expected[name], abs=TOLERANCE)
            )
        assert {name: row[name] for name in expected if name not in SCORES} == {
            name: value for name, value in expected.items() if name not in SCORES
        }
    return decisions


def test_decisions_on_traffic_are_those_of_python(fast, tmp_path):
    assert len({decision.reason for decision in decided_by_both(fast, tmp_path)}) >= 3


@pytest.mark.parametrize("n", [500, pytest.param(2_000, marks=pytest.mark.slow)])
def test_numbers_of_requests_are_those_of_python(tmp_path, n):
    """In a bundle that reads them, and for requests of all kinds."""
    made = make_tool_journey(tmp_path)
    assert_reproduced(made.bundle)
    requests = odd_requests(n)
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(
        ["node", "test/numbers.js"],
        input=lines,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=NODE,
        timeout=120,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    numbers = [read_numbers(one["messages"], one["tools"]) for one in requests]
    assert sum(each is not None for each in numbers) > n / 5
    assert found == [None if each is None else each.tolist() for each in numbers]
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"messages": "Hi", "tools": tools_of(7)}) + "\n")
    decided = json.loads(node("cli.js", made.bundle, "--input", file).stdout)
    expected = Router.load(made.bundle).decide("Hi", tools=tools_of(7)).difficulty_score
    assert decided["difficulty_score"] == pytest.approx(expected, abs=TOLERANCE)


def test_early_exit_decides_as_in_python(journey, tmp_path):
    """The golden vectors hold what the early graph gives; on traffic both routers leave early for
    the same requests.
    """
    words = json.loads((journey.encoder / "tokenizer.json").read_text())["model"]["vocab"]
    encoder = load_transformer(tmp_path / "encoder", vocabulary=words, max_tokens=32)
    read = {"embedding": {"strength": 0.1, "beside_guess": True}}
    bundle = train_and_ship(
        tmp_path, journey.traffic, encoder, export={"early": True, "early_budget": 0.08}, **read
    )
    assert bundle.policy.early
    assert_reproduced(bundle.path)
    decisions = decided_by_both(bundle, tmp_path)
    assert {decision.scored_by for decision in decisions} == {"scorer", "early", None}
    assert {decision.route for decision in decisions if decision.scored_by == "early"} == {
        "cheap",
        "frontier",
    }


def test_early_graph_with_another_output_is_refused(fast, tmp_path):
    manifest = fast.manifest.as_dict(without={"files", "sha256"})
    strange = write_bundle(
        tmp_path / "strange-1", {**fast.files, "early.onnx": fast.files["scorer.onnx"]}, manifest
    )
    done = node("cli.js", strange.path, "Hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: early.onnx must have the outputs early_score: got difficulty_score, "
    )


def test_damaged_bundle_is_refused_with_the_file_named(fast, tmp_path):
    copy = with_policy(fast, tmp_path / "copy-1").path
    graph = copy / "scorer.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    done = node("cli.js", copy, "Hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: bundle file scorer.onnx was changed: its hash is not the manifest's."
    )


def odd_answers(count):
    """Return requests with answers, as JSON: plain ones, and such as nobody should send."""
    rng = random.Random(0)
    return [
        {
            "id": str(number),
            "messages": [{"role": "user", "content": f"w{rng.randint(1, 199)} {text_of(rng)}"}],
            "tools": [tool_of(rng) for _ in range(rng.choice((0, 1, 3)))],
            "task": rng.choice((None, "classify")),
            "answer": rng.choice((plain_answer, plain_answer, answers.odd_text, odd_message))(rng),
        }
        for number in range(count)
    ]


def text_of(rng):
    return grammar.text(rng)[:200]


def plain_answer(rng):
    return f"w{rng.randint(1, 199)} 3 * 4 = {rng.randint(10, 14)}. {text_of(rng)}"


def tool_of(rng):
    kind = rng.choice(("string", "integer", "boolean", "array", 7))
    parameters = {"type": "object", "required": ["a"], "properties": {"a": {"type": kind}}}
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def odd_message(rng):
    """Return a message with tool calls, or a completion around it."""
    arguments = ('{"a": "x"}', '{"a": 3}', '{"a": ', "[1]", "[" * 1_000, "9" * 300, "", "null")
    call = {"function": {"name": rng.choice("fg"), "arguments": rng.choice(arguments)}}
    message = {"role": "assistant", "content": rng.choice((None, plain_answer(rng), 7))}
    message["tool_calls"] = [call] * rng.choice((0, 1, 2, 30))
    if rng.random() < 0.5:
        return message
    logprobs = {"content": [{"logprob": rng.choice((-0.5, -3.25, None, "x"))} for _ in range(5)]}
    finish = rng.choice(("stop", "length", None))
    choice = {"message": message, "finish_reason": finish, "logprobs": logprobs}
    return {"choices": [choice] * rng.choice((0, 1, 3))}


@pytest.mark.parametrize("n", [500, pytest.param(2_000, marks=pytest.mark.slow)])
def test_answers_are_judged_as_in_python(tmp_path, n):
    """Plain and odd ones: equal verdicts, scores within 0.000001."""
    rule = {"threshold": 0.5, "on_unknown": "escalate"}
    bundle = write_with_check(SAVED_BUNDLE, tmp_path / "words-1", rule=rule)
    forms = odd_answers(n)
    expected = list(check_forms(Router.from_bundle(bundle), forms))
    file = write_rows(tmp_path / "answers.jsonl", forms)
    done = node("cli.js", bundle.path, "--check", file)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(expected) == n
    reasons = Counter(verdict["reason"] for verdict in expected)
    assert min(reasons["above_threshold"], reasons["within_threshold"]) > n / 20
    for wanted, verdict in zip(expected, found, strict=True):
        for name in ("id", "escalate", "reason", "threshold", "bundle_version"):
            assert verdict[name] == wanted[name], forms[int(wanted["id"])]
        for name in ("answer_score", "p_answer_fails"):
            assert verdict[name] == pytest.approx(wanted[name], abs=1e-6)


def test_golden_answers_are_reproduced(tmp_path):
    bundle = write_with_check(SAVED_BUNDLE, tmp_path / "words-1")
    assert_reproduced(bundle.path)
