"""What checking an answer takes, on one thread: facts, the rest, the whole, and how it grows.

    python -m benchmarks.answer_latency lean-1 full-1 -o OUT

Milliseconds of processor time of the one thread that checks, so that other work on the machine
counts little: the median of ``--rounds`` checks of different texts after a warm-up, and the tenth
percentile. Texts are made up: a worked sum of 64 tokens with an answer of 256, and LaTeX of a given
number of characters. The decision is there already, as in a gateway.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.repetitions import surroundings, table, write
from difficulty.answers.answer import Answer
from difficulty.answers.facts import read_facts
from difficulty.runtime import Router
from difficulty.runtime.answer_checker import read_asking

__all__ = ["as_page", "main", "measure"]

QUESTION_TOKENS, ANSWER_TOKENS = 64, 256
LATEX_CHARS = (256, 512, 1_024, 2_048, 4_096, 65_536)
_WARM_UP = 30


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+", help="bundles with a check of answers")
    parser.add_argument("--rounds", type=int, default=400, help="checks of each kind")
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    arguments = parser.parse_args()
    results = surroundings() | {"bundles": {}}
    for path in arguments.bundles:
        results["bundles"][path.name] = measure(Router.load(path), rounds=arguments.rounds)
    command = f"python -m benchmarks.answer_latency {shlex.join(sys.argv[1:])}"
    write(arguments.out, results, as_page(results), command)


def measure(
    router: Router, *, rounds: int, tokens: tuple[int, int] = (QUESTION_TOKENS, ANSWER_TOKENS)
) -> dict[str, Any]:
    """Return milliseconds of each part, and of LaTeX answers by their characters."""
    checker = router.answers
    assert checker is not None
    question = _grown(router, _sum_question, tokens[0])
    answers = [_grown(router, lambda n, k=k: _sum_answer(n, k), tokens[1]) for k in range(50)]
    messages = [{"role": "user", "content": question}]
    asked, _ = read_asking({"messages": messages}, None)
    decision = router.decide(messages)
    parts: dict[str, Callable[[str], object]] = {
        "facts": lambda text: read_facts(asked, Answer(text)),
        "check": lambda text: checker.check(asked, messages, Answer(text), decision),
    }
    found: dict[str, Any] = {
        name: _time(part, answers, rounds=rounds) for name, part in parts.items()
    }
    found["beside"] = {name: found["check"][name] - found["facts"][name] for name in found["check"]}
    found["latex"] = {
        str(size): _time(parts["check"], [_latex(size, k) for k in range(50)], rounds=rounds)
        for size in LATEX_CHARS
    }
    return found


def _time(part: Callable[[str], object], texts: list[str], *, rounds: int) -> dict[str, float]:
    for number in range(_WARM_UP):
        part(texts[number % len(texts)])
    taken = []
    for number in range(rounds):
        began = time.thread_time_ns()
        part(texts[number % len(texts)])
        taken.append((time.thread_time_ns() - began) / 1e6)
    return {"p50": float(np.median(taken)), "p10": float(np.quantile(taken, 0.1))}


def _grown(router: Router, text: Callable[[int], str], tokens: int) -> str:
    """Return the longest text of at most so many tokens."""
    n = 1
    while router.scorer.tokenizer.encode(text(n + 1)).total <= tokens:
        n += 1
    return text(n)


def _sum_question(n: int) -> str:
    return "A shop sells pens. " + "".join(
        f"On day {day} it sold {3 * day + 4} boxes of {day + 2} pens. " for day in range(1, n + 1)
    )


def _sum_answer(n: int, k: int) -> str:
    return "".join(
        f"On day {day} that is {day + k} * {day + 2} = {(day + k) * (day + 2)} pens, since each box"
        f" holds {day + 2}.\n"
        for day in range(1, n + 1)
    )


def _latex(size: int, k: int) -> str:
    step = (
        rf"\[ \frac{{{k + 3}}}{{{k + 7}}} \times {k + 7} = {k + 3}, \quad x_{k} = \sqrt{{{k}}} \]"
        "\n"
    )
    return (step * (size // len(step) + 1))[: size - 14] + rf"\boxed{{{k + 3:03}}}"


def as_page(results: dict[str, Any]) -> list[str]:
    """Return the results as lines of Markdown."""
    bundles = results["bundles"]
    rows = [
        [
            name,
            *(f"{one[part][at]:.2f}" for part in ("facts", "beside", "check") for at in one[part]),
        ]
        for name, one in bundles.items()
    ]
    head = [
        "bundle",
        *(f"{part} {at}" for part in ("facts", "beside", "whole") for at in ("p50", "p10")),
    ]
    growth = [
        [f"{int(size):,}", *(f"{one['latex'][size]['p50']:.2f}" for one in bundles.values())]
        for size in next(iter(bundles.values()))["latex"]
    ]
    return [
        "# What checking an answer takes",
        "",
        f"Milliseconds of one thread's processor time, {QUESTION_TOKENS} tokens of a request and"
        f" {ANSWER_TOKENS} of an answer. *Beside*: the whole without the facts.",
        "",
        *table(head, rows),
        "",
        "LaTeX by characters, the whole check, median:",
        "",
        *table(["characters", *bundles], growth),
    ]


if __name__ == "__main__":
    main()
