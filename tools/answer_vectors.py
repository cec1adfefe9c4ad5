"""Write the facts of the answers' test vectors again: ``docs/vectors/answers/*.json``.

Run ``python -m tools.answer_vectors`` after a change of what a fact means (``FACTS_VERSION`` goes
up with it), and ``python -m tools.answer_vectors --check`` to learn, by exit code 1, which files do
not hold what this version computes. A file has ``kinds``, the beginnings of the names that it is
about, and ``cases``: ``request`` as OpenAI's API takes it, ``answer`` as a column of traffic holds
it, and ``facts`` by name: those that are not named are 0, those that are null are not known.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "vectors" / "answers"


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description="Write the facts of docs/vectors/answers again.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if one differs")
    is_check = parser.parse_args().check
    outdated = [path for path in sorted(FOLDER.glob("*.json")) if path.read_text() != render(path)]
    if is_check:
        sys.exit(f"out of date: {', '.join(path.name for path in outdated)}" if outdated else 0)
    for path in outdated:
        path.write_text(render(path))


def render(path: Path) -> str:
    """Return a file's text with the facts that this version computes."""
    form = json.loads(path.read_text())
    for case in form["cases"]:
        case["facts"] = facts_of(case, tuple(form["kinds"]))
    lines = ",\n".join(json.dumps(case) for case in form["cases"])
    return f'{{"kinds": {json.dumps(form["kinds"])}, "cases": [\n{lines}\n]}}\n'


def facts_of(case: dict[str, Any], kinds: tuple[str, ...]) -> dict[str, float | None]:
    """Return the facts of some kinds that are not 0, each as the shortest text of its float32."""
    values = read_facts(Asked.of(case["request"]), Answer.parse(case["answer"]))
    return {
        name: None if np.isnan(value) else float(str(value))
        for name, value in zip(FACTS, values, strict=True)
        if name.split(".")[0] in kinds and value != 0
    }


if __name__ == "__main__":
    main()
