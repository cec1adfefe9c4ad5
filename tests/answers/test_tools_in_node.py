"""The facts about tool calls in Node.js against those in Python, on calls that are damaged."""

import json
import random
import subprocess

import numpy as np
import pytest

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts
from tests.answers.test_calls import HARD
from tests.conftest import REPOSITORY

WORDS = (
    "find book free rooms Monday Ghent seats 12 3.5 15% true Zürich 月曜日 😀 née o'clock".split()
)
TYPES = ["string", "integer", "number", "boolean", "array", "object", "Float", "any", ["string", 7]]
PIECES = [
    *"{}[]()\"'\\,:=.-+*/ \n\t`;%?é月😀\ud800",
    *(
        "<tool_call>",
        "</tool_call>",
        "\\u00e9",
        "\\ud83d\\ude00",
        "null",
        "None",
        "1e400",
        "-.5",
        "007",
    ),
    *("```json\n", '"name"', '"arguments": ', "tool_calls", "f(", "[free(", "lambda x: x", "NaN"),
]
SCRIPT = """
import { readFileSync } from 'node:fs';
import { askedOf } from './src/answers/asked.js';
import { parseAnswer } from './src/answers/answer.js';
import { FACTS, readFacts } from './src/answers/facts.js';
const orNull = (value) => (Number.isNaN(value) ? null : value);
const rows = JSON.parse(readFileSync(process.argv[1], 'utf8')).map(([body, answer]) =>
  Array.from(readFacts(askedOf(body.messages, body.tools), parseAnswer(answer)), orNull),
);
process.stdout.write(JSON.stringify({ FACTS, rows }));
"""


@pytest.mark.node
def test_facts_in_node_are_those_of_python(tmp_path):
    """2,000 requests with damaged calls in every form, seed 0, and hard ones."""
    draw = Draw(random.Random(0))
    cases = [draw.case() for _ in range(2000)]
    tools = [{"name": "free_rooms", "parameters": {"properties": {"name": {"type": "string"}}}}]
    cases += [({"messages": text, "tools": tools}, text) for text in HARD.values()]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    computed = json.loads(
        subprocess.run(
            ["node", "--input-type=module", "--eval", SCRIPT, str(path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY / "examples" / "node",
            timeout=120,
        ).stdout
    )
    assert tuple(computed["FACTS"]) == FACTS
    expected = np.array([read_facts(Asked.of(body), Answer.parse(text)) for body, text in cases])
    np.testing.assert_allclose(
        np.array(computed["rows"], float), expected, rtol=1e-6, atol=1e-6, equal_nan=True
    )
    known = ~np.isnan(expected[:, FACTS.index("tools.calls")])
    assert known.mean() > 0.8
    called = expected[known][:, FACTS.index("tools.no_call")] == 0
    assert 0.4 < called.mean() < 0.95


class Draw:
    """Requests and answers by chance."""

    def __init__(self, rng):
        self.rng = rng

    def case(self):
        """Return a request's body, and an answer as a column of traffic holds it."""
        functions = [self._function() for _ in range(self.rng.randint(0, 4) or 1)]
        tools = [{"type": "function", "function": function} for function in functions]
        messages = [{"role": "user", "content": self._text(20)}]
        if self.rng.random() < 0.3:
            messages.append({"role": "tool", "content": self._text(6)})
        body = {"messages": messages, "tools": tools}
        if self.rng.random() < 0.3:
            lines = "\n".join([self._text(3), *map(json.dumps, functions)])
            body = {
                "messages": [{"role": "system", "content": self._damage(lines, 0.1)}, *messages]
            }
        return body, self._answer(functions)

    def _text(self, most):
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(0, most)))

    def _function(self):
        names = self.rng.sample(["day", "seats", "city", "prices", "name", "__proto__"], 4)
        return {
            "name": self.rng.choice(["free_rooms", "bookRoom", "a.b", "constructor"]),
            "description": self._text(6),
            "parameters": {
                "properties": {name: self._schema(2) for name in names},
                "required": self.rng.sample([*names, "other"], self.rng.randint(0, 3)),
                "$defs": {"Day": {"type": "string", "enum": ["Monday", "12"]}},
            },
        }

    def _schema(self, depth):
        schema = {"type": self.rng.choice(TYPES)}
        kind = self.rng.random()
        if kind < 0.15:
            schema["enum"] = self.rng.sample([*WORDS, 1, 2, True, None], 4)
        elif kind < 0.25:
            schema = {"$ref": self.rng.choice(["#/$defs/Day", "#/$defs/No", "x"])}
        elif kind < 0.35 and depth:
            schema = {"anyOf": [self._schema(depth - 1), {"type": "null"}]}
        elif kind < 0.5 and depth:
            schema |= {"items": self._schema(depth - 1), "properties": {"day": self._schema(0)}}
        elif kind < 0.6:
            schema["default"] = self._value(0)
        return schema

    def _value(self, depth):
        pick = self.rng.random()
        if depth and pick < 0.15:
            return [self._value(depth - 1) for _ in range(self.rng.randint(0, 3))]
        if depth and pick < 0.3:
            return {name: self._value(depth - 1) for name in self.rng.sample(["day", "x"], 1)}
        simple = [12, 3.5, 0.15, 15, -1e20, True, False, None, "", "true", self._text(3)]
        return self.rng.choice([*simple, *WORDS])

    def _answer(self, functions):
        calls = [self._call(functions) for _ in range(self.rng.randint(0, 3))]
        prose = self.rng.choice(["", self._text(8), f"Sure:\n{self._text(4)}"])
        form = self.rng.randrange(5)
        if form == 0:
            listed = [
                {"function": {"name": name, "arguments": self._damage(json.dumps(given), 0.2)}}
                for name, given in calls
            ]
            return json.dumps({"role": "assistant", "content": prose, "tool_calls": listed})
        written = [json.dumps({"name": name, "arguments": given}) for name, given in calls]
        if form == 1:
            text = "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in written)
        elif form == 2:
            text = f"```json\n[{', '.join(written)}]\n```"
        else:
            python = ", ".join(
                f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})"
                for name, given in calls
            )
            text = f"[{python}]" if form == 3 else python
        return self._damage(f"{prose}\n{text}", 0.4)

    def _call(self, functions):
        function = self.rng.choice(functions)
        names = [*function["parameters"]["properties"], "other"]
        given = {name: self._value(2) for name in self.rng.sample(names, self.rng.randint(0, 4))}
        return self.rng.choice([function["name"], function["name"], "unknown"]), given

    def _damage(self, text, probability):
        while self.rng.random() < probability and text:
            at = self.rng.randrange(len(text))
            kept = at + self.rng.choice([0, 0, 1, 5])
            text = text[:at] + self.rng.choice(["", *PIECES]) + text[kept:]
        return text
