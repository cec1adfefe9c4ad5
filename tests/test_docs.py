"""The pages say what the code does: test vectors, fields, keys, links and command lines are read
from them and checked.
"""

import json
import pkgutil
import re
import shlex
import subprocess
import sys
import typing
from dataclasses import MISSING
from types import SimpleNamespace

import numpy as np
import pytest
import typer

from difficulty.bundle import Chosen, Exploration, Fallback, FileEntry, Manifest, Policy
from difficulty.bundle.policy import AnswerRule, CutOffs, Early
from difficulty.cli.app import build_app
from difficulty.conversation import messages_of, tools_of
from difficulty.conversation.request_numbers import NUMBERS, read_numbers
from difficulty.errors import InvalidValueError
from difficulty.evaluation import REPORTED
from difficulty.events import Call, DecisionEvent, Escalation
from difficulty.form import Form
from difficulty.recipe import Recipe
from difficulty.request import Request
from difficulty.routes import Stick, ValidatorRule
from difficulty.runtime import AnswerVerdict, Decision, Router, Scorer
from difficulty.runtime.scorer import EarlyScorer
from difficulty.text import TextView
from difficulty.thresholds import OBJECTIVES
from difficulty.tokens import RequestTokenizer
from difficulty.views.boilerplate import LearnedView
from tests.conftest import REPOSITORY
from tests.reference import average_gap_recovered, calls_for_gap, cost_quality_curve

DOCS = REPOSITORY / "docs"
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (REPOSITORY / "README.md", *sorted(DOCS.glob("*.md")))
    if path.is_file()
}
ENCODER = REPOSITORY / "models" / "static-minilm-256"


def blocks(page, language):
    """Return the contents of a page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], flags=re.MULTILINE | re.DOTALL)


def vectors(name):
    """Return the lines of a file of test vectors, which the router in Node.js is tested with
    too.
    """
    return [
        json.loads(line)
        for line in (DOCS / "vectors" / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    ]


SECOND_VIEW_VECTORS = vectors("text-view-2")
TEXT_VECTORS, REQUEST_VECTORS, RULE_VECTORS, EXIT_VECTORS, NUMBER_VECTORS, BODY_VECTORS = map(
    vectors, ("text-view-1", "requests", "rule", "early-exit", "numbers", "bodies")
)
MANIFEST, POLICY = (json.loads(block) for block in blocks("bundle.md", "json"))


class FixedSession:
    """An ONNX session that answers every request with the same outputs; ``None`` is not a
    number.
    """

    def __init__(self, **values):
        self.values = values

    def get_inputs(self):
        """Return what a scorer asks for by name."""
        return [SimpleNamespace(name=name) for name in ("input_ids", "attention_mask")]

    def get_outputs(self):
        """Return the names of the fixed outputs."""
        return [SimpleNamespace(name=name) for name in self.values]

    def run(self, names, feed):
        """Return one float32 a request for each output."""
        values = [np.nan if self.values[name] is None else self.values[name] for name in names]
        return [np.full(len(feed["input_ids"]), value, dtype=np.float32) for value in values]


def router(*, max_chars=8192, max_tokens=512, task_ids=None, policy=POLICY, early=None, **values):
    values = {"difficulty_score": 0.5, "p_cheap_fails": 0.5} | values
    tokenizer = RequestTokenizer.from_file(ENCODER / "tokenizer.json", max_tokens=max_tokens)
    scorer = Scorer(
        FixedSession(**values), tokenizer, TextView(max_chars=max_chars), task_ids=task_ids
    )
    return Router(scorer, Policy.parse(policy), version="docs-1", early=early)


def by_case(vectors):
    return pytest.mark.parametrize("vector", vectors, ids=lambda vector: vector["case"])


@by_case(TEXT_VECTORS)
def test_text_vector_is_what_the_code_gives(vector):
    view = TextView(1, max_chars=vector["max_chars"])
    if vector["text"] is None:
        with pytest.raises((InvalidValueError, TypeError)):
            view(vector["messages"])
        return
    assert view(vector["messages"])[:3] == (vector["text"], vector["total_chars"], vector["cut"])


@by_case(SECOND_VIEW_VECTORS)
def test_vector_of_text_view_2_is_what_the_code_gives(vector):
    known = vector["view"]
    learned = LearnedView.parse(json.dumps(known).encode()) if known else None
    view = TextView(2, max_chars=vector["max_chars"], learned=learned)(vector["messages"])
    assert (view.text, view.total_chars, view.truncated, dict(view.masked)) == (
        *(vector["text"], vector["total_chars"], vector["cut"], vector["masked"]),
    )


@by_case(REQUEST_VECTORS)
def test_request_vector_is_what_the_code_gives(vector):
    made = router(
        max_chars=vector["max_chars"],
        max_tokens=vector["max_tokens"],
        task_ids=vector.get("task_ids"),
    )
    messages, task = vector["messages"], vector.get("task")
    decision = made.consider(Request(messages, task), eligible=False)
    ids = None if decision.reason == "scorer_error" else made.scorer.encode(messages, task).ids
    found = {
        "text": made.scorer.view(messages).text,
        "input_ids": ids,
        "tokens": decision.tokens,
        "tokens_source": decision.tokens_source,
        "truncated": decision.truncated,
    }
    assert found == {name: vector[name] for name in found}


@by_case(RULE_VECTORS)
def test_rule_vector_is_what_the_code_gives(vector):
    policy = {
        name: value
        for name, value in (POLICY | vector.get("policy", {})).items()
        if name not in vector.get("without", ())
    }
    outputs = {name: vector[name] for name in ("difficulty_score", "familiarity") if name in vector}
    made = router(policy=policy, **outputs)
    asked = Request("one two three", vector["task"], vector["tokens"], held=vector.get("held"))
    decision = made.consider(asked).as_dict()
    expected = {name: vector[name] for name in ("route", "reason", "threshold", "fallback")}
    assert {name: decision[name] for name in expected} == expected


@by_case(BODY_VECTORS)
def test_body_vector_is_what_the_code_gives(vector):
    read = {"messages": messages_of(vector["body"]), "tools": tools_of(vector["body"])}
    assert read == {name: vector[name] for name in read}


@by_case(NUMBER_VECTORS)
def test_number_vector_is_what_the_code_gives(vector):
    found = read_numbers(vector["messages"], vector["tools"])
    assert (None if found is None else found.tolist()) == vector["numbers"]


def test_page_names_the_numbers_in_order():
    table = PAGES["bundle.md"].split("## Numbers of the request", 1)[1].split("\n## ", 1)[0]
    assert tuple(re.findall(r"^\| [0-9]+ \| `(\w+)` \|", table, flags=re.MULTILINE)) == NUMBERS


@by_case(EXIT_VECTORS)
def test_early_exit_vector_is_what_the_code_gives(vector):
    """By the router itself: its early graph answers with the vector's score, its scorer with
    0.5.
    """
    early = EarlyScorer(FixedSession(early_score=vector["early_score"]), most_tokens=512)
    made = router(policy=POLICY | vector["policy"], early=early, task_ids={"known": 7})
    decision = made.consider(Request("one two three", "known" if vector["informed"] else None))
    left = decision.scored_by == "early"
    assert (decision.route if left else None, decision.reason if left else None) == (
        vector["route"],
        vector["reason"],
    )
    assert decision.difficulty_score == (float(np.float32(vector["early_score"])) if left else 0.5)


def test_vectors_hold_both_kinds_of_cut_and_a_request_that_cannot_be_scored():
    """They would be of little help without the cases that are easy to get wrong."""
    assert {True, False, None} == {vector["cut"] for vector in TEXT_VECTORS}
    assert {"tokenizer", "estimate", None} == {
        vector["tokens_source"] for vector in REQUEST_VECTORS
    }
    assert {vector["reason"] for vector in EXIT_VECTORS} == {
        "above_threshold",
        "within_threshold",
        None,
    }
    # What the models take has vectors of its own.
    assert {vector["reason"] for vector in RULE_VECTORS} | {"ineligible"} == set(
        typing.get_args(typing.get_type_hints(Decision)["reason"])
    )


def test_bundle_page_shows_vectors_and_the_policy_that_stand_in_the_files():
    shown = [
        json.loads(line) for block in blocks("bundle.md", "jsonl") for line in block.splitlines()
    ]
    assert len(shown) == 2
    assert [vector for vector in shown if vector not in [*REQUEST_VECTORS, *RULE_VECTORS]] == []
    assert json.loads((DOCS / "vectors" / "policy.json").read_text()) == POLICY


def test_bundle_page_says_what_a_field_is_when_it_is_missing():
    """A reader in another language needs the default of every field that a policy may lack."""
    optional = [
        name
        for model in (Policy, Chosen, Fallback)
        for name, field in model.__dataclass_fields__.items()
        if _has_default(field)
    ]
    rows = [
        line
        for line in PAGES["bundle.md"].splitlines()
        if line.startswith("|") and "missing" in line
    ]
    assert [
        name for name in optional if not any(f"`{name}`" in row.split("|")[1] for row in rows)
    ] == []


def _has_default(field):
    return field.default is not MISSING or field.default_factory is not MISSING


def test_bundle_page_examples_are_valid():
    assert Manifest.parse(MANIFEST).text_view == 1
    assert Policy.parse(POLICY).on_error == "frontier"


def names_of(*models):
    return [name for model in models for name in model.__dataclass_fields__]


FIELDS = [
    *(
        ("bundle.md", name)
        for name in names_of(
            Manifest,
            Policy,
            Early,
            AnswerRule,
            Stick,
            CutOffs,
            Chosen,
            Fallback,
            ValidatorRule,
            Exploration,
            FileEntry,
        )
    ),
    *(("serving.md", name) for name in Decision.__dataclass_fields__),
    *(("serving.md", name) for name in AnswerVerdict.__dataclass_fields__),
    *(
        ("decision-log.md", name)
        for kind in (DecisionEvent, Call, Escalation)
        for name in kind.__dataclass_fields__
    ),
    *(("metrics.md", name) for name in REPORTED),
    *(("thresholds.md", name) for name in OBJECTIVES),
]


@pytest.mark.parametrize(("page", "name"), FIELDS)
def test_page_has_a_row_for_every_field(page, name):
    """A row begins with the field's name in a table's first column, alone or with others."""
    assert re.search(
        rf"^\|[^|]*`(?:[\w.]+\.)?{re.escape(name)}`[^|]*\|", PAGES[page], flags=re.MULTILINE
    )


def recipe_keys(model=Recipe, prefix=""):
    """Yield each key of a recipe with its default as TOML; sections have none."""
    hints = typing.get_type_hints(model)
    for name, field in model.__dataclass_fields__.items():
        inner = [kind for kind in (hints[name], *typing.get_args(hints[name])) if _is_section(kind)]
        yield from (
            recipe_keys(inner[0], f"{prefix}{name}.") if inner else [(prefix + name, _toml(field))]
        )


def _is_section(kind):
    return isinstance(kind, type) and issubclass(kind, Form)


def _toml(field):
    if not _has_default(field):
        return "required"
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return f"`{json.dumps(default)}`"


@pytest.mark.parametrize(("key", "default"), list(recipe_keys()))
def test_recipes_page_has_every_key_with_its_default(key, default):
    assert f"| `{key}` | {default} |" in PAGES["recipes.md"]


def test_metrics_page_example_is_worked_right():
    """The table of the example gives the figures that the text arrives at."""
    rows = re.findall(
        r"^\| [A-D] \| ([\d.]+) \| ([01]) \| ([01]) \|", PAGES["metrics.md"], flags=re.MULTILINE
    )
    score, cheap, frontier = np.array(rows, dtype=float).T
    share, quality = cost_quality_curve(score, cheap, frontier)
    gap = {"cheap_quality": cheap.mean(), "frontier_quality": frontier.mean()}
    assert f"APGR = {average_gap_recovered(share, quality, **gap):.3f}" in PAGES["metrics.md"]
    assert (
        f"CPT(80 %) = {calls_for_gap(share, quality, target=0.8, **gap):.2f}" in PAGES["metrics.md"]
    )


def test_commands_page_is_up_to_date():
    run = [sys.executable, str(DOCS / "generate_commands.py"), "--check"]
    done = subprocess.run(
        run, capture_output=True, text=True, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)}
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_links_between_pages_lead_somewhere():
    broken = []
    others = (
        REPOSITORY / name for name in ("CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")
    )
    for path in (REPOSITORY / "README.md", *others, *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
            if (
                not re.match(r"[a-z]+:|#", target)
                and not (path.parent / target.partition("#")[0]).exists()
            ):
                broken.append((path.name, target))
    assert broken == []


def test_modules_that_pages_name_are_there():
    """Paths and dotted names below ``difficulty``; groups of entry points are no modules."""
    pages = {**PAGES, "CONTRIBUTING.md": (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")}
    text = "\n".join(pages.values())
    groups = re.findall(r"`(difficulty\.\w+s)` \|$", PAGES["architecture.md"], flags=re.MULTILINE)
    names = set(re.findall(r"\bdifficulty(?:\.[A-Za-z_]\w*)+", text)) - {*groups}
    paths = set(re.findall(r"(?<!\.cache/)\bdifficulty(?:/\w+)+(?:\.py)?\b", text))
    assert [name for name in sorted(names) if not _resolves(name)] == []
    assert [path for path in sorted(paths) if not (REPOSITORY / path).exists()] == []


def _resolves(name):
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def code_of(page):
    """Return the lines of fenced and indented blocks, and what stands in backticks."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```\w*\n(.*?)^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (.*)$", rest, flags=re.MULTILINE)
    inline = [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", rest)]
    return [line.strip() for block in fenced for line in block.splitlines()] + indented + inline


def command_lines():
    """Yield page and words of every ``difficulty ...`` line, without comments and the mark of a
    line that goes on.
    """
    for name, page in PAGES.items():
        before = "(Example|Usage): " if name == "commands.md" else r"(\$ )?([\w./-]*/)?"
        for line in code_of(page):
            if found := re.match(
                rf"{before}difficulty (?P<words>[a-z].*)", line.replace("...", "").rstrip("\\")
            ):
                yield name, shlex.split(re.sub(r"[\[\]|]", " ", found["words"]), comments=True)


@pytest.fixture(scope="module")
def commands():
    return typer.main.get_command(build_app()).commands


def test_command_lines_name_commands_and_options_that_exist(commands):
    wrong = []
    for page, words in command_lines():
        command = commands.get(words[0])
        known = (
            {
                "--help",
                *(
                    text
                    for option in command.params
                    for text in (*option.opts, *option.secondary_opts)
                ),
            }
            if command
            else set()
        )
        wrong += [
            (page, words)
            for word in words[1:]
            if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known
        ]
        wrong += [] if command else [(page, words)]
    assert wrong == []


def test_docs_name_every_command(commands):
    assert set(commands) <= {words[0] for _, words in command_lines()}


@pytest.mark.parametrize("page", list(PAGES))
def test_imports_on_a_page_work(page):
    for line in code_of(PAGES[page]):
        if re.match(r"(from|import) difficulty\b", line):
            exec(line, {})
