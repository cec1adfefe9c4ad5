"""The journey of traffic in which most requests offer functions, and fail where they offer many."""

import json
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np

from difficulty.encoders.base import StaticEncoder
from difficulty.recipe import parse_recipe
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from tests.journey import DRAWS, RECIPE, sample_rows, write_rows, write_word_encoder

TOPICS = ("weather", "order", "invoice", "meeting", "parcel", "contract", "route", "price")


class ToolJourney(NamedTuple):
    """Where everything lies."""

    traffic: Path
    run: Path
    bundle: Path


def tools_of(n):
    """Return n functions as a request's body offers them."""
    return [
        {
            "type": "function",
            "function": {
                "name": f"get_{topic}",
                "description": f"Find the {topic} that the question names",
                "parameters": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "kinds": {"type": "array"}},
                    "required": ["name"],
                },
            },
        }
        for topic in TOPICS[:n]
    ]


def make_tool_journey(folder, *, n=500, encoder=None, export=None):
    """Ingest, train and ship."""
    rng, rows = np.random.default_rng(0), sample_rows(n)
    for row in rows:
        offered = int(rng.integers(0, 9))
        row["tools"] = tools_of(offered) if offered else None
        row["cheap_quality"] = float(rng.random() < (0.9 if offered < 5 else 0.2))
        row["frontier_quality"] = float(rng.random() < 0.95)
        row.pop("cheap_passed", None)
        row.pop("preference", None)
    traffic = folder / "traffic.parquet"
    ingest([write_rows(folder / "tools.jsonl", rows)], traffic)
    words = encoder or StaticEncoder.load(write_word_encoder(folder / "encoder", rows))
    features = {**RECIPE["features"], "encoder": "named", "trees": {"components": 4}, "numbers": {}}
    form = {**RECIPE, "name": "tools", "features": features, "export": export or {}}
    recipe = parse_recipe(form, name="tools.toml")
    run, bundle = folder / "run", folder / "tools-1"
    train(
        traffic,
        run,
        recipe=recipe,
        encoder=words,
        more_labels=False,
        unseen_tasks=False,
        draws=DRAWS,
    )
    ship(run, bundle, allow_no_signal=True, draws=DRAWS)
    return ToolJourney(traffic, run, bundle)


_PIECES = (
    "find weather city Each both OR and, then? 'quote' 14:30 3,5 1.000 getUserName user_id second."
    " End! (a) Ünïcode ПРИВЕТ Ёлка 漢字 É Βeta ß İ × \U0001f600 \ud83d x.y\n`code` \u2028 \u00a0"
).split(" ")


def odd_requests(n, *, seed=1):
    """Return requests as they come over the wire; half of what they hold is malformed."""
    odd = _Odd(seed)
    made = [{"messages": odd.messages(), "tools": odd.tools()} for _ in range(n)]
    return json.loads(json.dumps(made))


class _Odd:
    """Parts of requests by chance."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def text(self, longest=12):
        pieces = (self.rng.choice(_PIECES) for _ in range(self.rng.randrange(longest)))
        return self.rng.choice([" ", "_", "", "\n"]).join(pieces)

    def anything(self, depth=0):
        inner = range(self.rng.randrange(3) if depth < 3 else 0)
        return self.rng.choice(
            [
                *(None, True, 3, 2.5, "array", 10**30, self.text(3)),
                [self.anything(depth + 1) for _ in inner],
                {self.text(2): self.anything(depth + 1) for _ in inner},
            ]
        )

    def schema(self):
        kind = self.rng.choice(["string", "array", "object", ["array", "null"], None, 5])
        form = {"type": kind, "description": self.rng.choice([self.text(), 3, None])}
        if self.rng.random() < 0.3:
            form["enum"] = self.rng.choice([["a", "b"], "x", None, []])
        return self.rng.choice([form] * 3 + [self.anything()])

    def parameters(self):
        names = [self.text(2), "7", "__proto__", "constructor", self.text(1)]
        own = {self.rng.choice(names): self.schema() for _ in range(self.rng.randrange(5))}
        listed = [[*list(own)[:2], "zz", "zz"], [*own], "a", None, [1]]
        form = {
            "properties": self.rng.choice([own] * 3 + [self.anything()]),
            "required": self.rng.choice(listed),
        }
        return self.rng.choice([form] * 3 + [self.anything()])

    def function(self):
        form = {
            "name": self.rng.choice([self.text(2), "getWeather", "f", self.text(2), "", 3]),
            "description": self.rng.choice([self.text(), self.text(300), None]),
            self.rng.choice(["parameters", "input_schema"]): self.parameters(),
        }
        wrapped = {"type": "function", "function": form}
        return self.rng.choice([form, wrapped, wrapped, self.anything()])

    def line(self):
        nested = "[" * self.rng.choice([50, 198, 210, 3_000])
        both = json.dumps([self.function(), self.function()])
        return self.rng.choice(
            [
                json.dumps(self.function(), ensure_ascii=self.rng.random() < 0.5),
                f"<tools>{both}</tools> \r",
                self.text(),
                '{"name": NaN}',
                f'{{"name":"a","x":{nested}1{"]" * 50}}}',
                "{bad",
            ]
        )

    def message(self):
        role = self.rng.choice(["user", "user", "system", "developer", "assistant", 3])
        parts = [{"type": "text", "text": self.text()}, {"type": "image_url"}]
        kinds = [self.text(30), self.text(4_000), parts, None, self.anything()]
        content = self.rng.choice(kinds)
        if role in ("system", "developer") and self.rng.random() < 0.7:
            content = "\n".join(self.line() for _ in range(self.rng.randrange(6)))
        return self.rng.choice([{"role": role, "content": content}] * 9 + [self.anything()])

    def messages(self):
        listed = [self.message() for _ in range(self.rng.randrange(4))]
        return self.rng.choice([listed] * 17 + [self.text(), self.text(), self.anything()])

    def tools(self):
        few = [self.function() for _ in range(self.rng.randrange(6))]
        size = self.rng.randrange(200) if self.rng.random() < 0.1 else 0
        many = [self.function() for _ in range(size)]
        return self.rng.choice([None, few, many, self.anything()])
