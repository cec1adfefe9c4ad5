"""The test vectors of docs/answers.md, and the facts in Node.js against those in Python."""

import json
import random
import subprocess

import numpy as np
import pytest

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts
from tests.answers.test_kinds import ODD
from tests.conftest import REPOSITORY
from tools.answer_vectors import FOLDER, facts_of

KINDS_OF_TEXTS = ("arithmetic", "final", "options", "cues", "shape", "copying", "logprobs")
VECTORS = [
    pytest.param(form["kinds"], case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FOLDER.glob("*.json"))
    for form in [json.loads(path.read_text())]
    for case in form["cases"]
]
PIECES = [
    *"0123456789+-*/=()[]{}\\$%.,:;\n \"'`#?!<>\t",
    *"\u2248\u00d7\u00f7\u03a9\u044f\u6570\U0001f600\u0663\u00bd\u00c9\u0416\u00a0",
    *("answer is ", "The Answer: C", "\\frac{", "\\\\frac{1}{2}", "####", "\\boxed{", '"answer":'),
    *('"reasoning": "', "A. x y\n", "\nB) 12\n", "(B) ", "however ", "can't ", "1,000", "**"),
    *(" x ", " of ", "\\times ", "\\\\", "\\n", " apples", " not clear ", "Yes", "[No]", "```"),
    *("3 + 4 = 7", " = ", "- ", "2. ", "step ", " more than ", "9" * 50, "a = b = "),
]
SCRIPT = """
import { readFileSync } from 'node:fs';
import { FACTS, readFacts } from './src/answers/facts.js';
const { names, cases } = JSON.parse(readFileSync(process.argv[1], 'utf8'));
const places = names.map((name) => FACTS.indexOf(name));
const rows = cases.map(([text, answer]) => {
  const values = readFacts({ text }, answer);
  return places.map((place) => (Number.isNaN(values[place]) ? null : values[place]));
});
process.stdout.write(JSON.stringify(rows));
"""


@pytest.mark.parametrize(("kinds", "case"), VECTORS)
def test_facts_are_those_of_the_vectors(kinds, case):
    computed, expected = facts_of(case, tuple(kinds)), case["facts"]
    assert computed.keys() == expected.keys()
    for name, value in expected.items():
        assert computed[name] == (value and pytest.approx(value, rel=1e-6, abs=1e-6)), name


@pytest.mark.node
def test_facts_in_node_are_those_of_python(tmp_path):
    """2,000 answers of pieces that the rules look for, seed 0, and odd ones."""
    rng = random.Random(0)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(0, 150))) for _ in range(4000)]
    odd = [text[:100_000] for text in ODD if "\ud800" not in text]
    cases = [*zip(texts[:2000], texts[2000:], strict=True), *zip(odd, odd, strict=True)]
    answers = [_draw_answer(text, texts, rng) for _, text in cases]
    names = [name for name in FACTS if name.split(".")[0] in KINDS_OF_TEXTS]
    places = [FACTS.index(name) for name in names]
    expected = np.array(
        [
            read_facts(Asked(text=text), answer)[places]
            for (text, _), answer in zip(cases, answers, strict=True)
        ]
    )
    computed = _run_node(tmp_path / "cases.json", names, cases, answers)
    np.testing.assert_allclose(computed, expected, rtol=1e-6, atol=1e-6, equal_nan=True)


def _draw_answer(text, texts, rng):
    return Answer(
        text,
        finish_reason=rng.choice(["stop", "length", None, "other"]),
        logprobs=tuple(-rng.expovariate(2) for _ in range(rng.randint(0, 40))) or None,
        others=tuple(rng.choices([*texts[:50], text], k=rng.choice([0, 0, 3]))),
    )


def _run_node(path, names, cases, answers):
    forms = [
        {
            "text": answer.text,
            "finishReason": answer.finish_reason,
            "logprobs": answer.logprobs,
            "others": answer.others,
        }
        for answer in answers
    ]
    rows = [(text, form) for (text, _), form in zip(cases, forms, strict=True)]
    path.write_text(json.dumps({"names": names, "cases": rows}))
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", SCRIPT, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY / "examples" / "node",
        timeout=120,
    )
    return np.array(json.loads(done.stdout), dtype=float)
