"""Compare our recipes with other projects' routers and with reference methods, on public routing
outcomes, with one command.

    python -m benchmarks.quality --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-27-quality

``RouteLLM`` is a checkout of github.com/lm-sys/RouteLLM; ``normalised`` holds tool-calling outcomes
as traffic files (``bfcl__*.jsonl.gz``) and may be left out. Writes ``<out>.json``, ``<out>.md`` and
pictures beside them; the page says what was done and how to read it.

``--given`` names a folder of scores of further routers on the same folds
(``benchmarks/lib/methods.py`` says how they are stored).

Embeddings, peers' environments and all scores stay in the folder ``--work``. Scores are kept under
a key of everything that decides them, so adding a recipe (``--recipes fast accurate``) runs that
recipe alone, and an interrupted run goes on where it was. The first run needs about an hour on two
cores, most of it other projects' training, and network access for their packages (about 4 GB).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.lib.experiments import TITLES, experiments
from benchmarks.lib.judge import judge
from benchmarks.lib.methods import Bench
from benchmarks.lib.peer_environments import PEERS
from benchmarks.lib.plots import plot_apgr, plot_curves
from benchmarks.lib.protocol import N_DRAWS
from benchmarks.lib.report import as_markdown
from difficulty import __version__
from difficulty.training.shipped import find_recipe

RECIPES = ("fast", "accurate", "finetuned", "distilled")


def main() -> None:
    """Run the benchmark."""
    arguments = _arguments()
    recipes = [find_recipe(name) for name in arguments.recipes]
    sets: dict[str, Any] = {}
    for experiment in experiments(arguments.routellm, arguments.normalised):
        if arguments.sets and experiment.name not in arguments.sets:
            continue
        bench = Bench(experiment, arguments.work)
        methods = []
        for recipe in recipes:
            _say(f"{experiment.name}: {recipe.name}")
            methods += bench.recipe(recipe)
        for name in arguments.peers:
            _say(f"{experiment.name}: {name}")
            methods += bench.peer(name)
        methods += bench.references()
        methods += bench.given(arguments.given) if arguments.given else []
        _say(f"{experiment.name}: figures")
        sets[experiment.name] = {"title": experiment.title} | judge(
            experiment.outcomes, methods, n_draws=arguments.draws
        )
    write(_described(arguments, sets), arguments.out)


def write(results: dict[str, Any], out: Path) -> None:
    """Write results, page and pictures."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(
        json.dumps(_without_nan(results), indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    out.with_suffix(".md").write_text(as_markdown(results, stem=out.name), encoding="utf-8")
    plot_apgr(results, out.with_name(f"{out.name}-apgr.svg"))
    for name, found in results["sets"].items():
        plot_curves(found, out.with_name(f"{out.name}-{name}.svg"))
    _say(f"wrote {out}.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--routellm", type=Path, required=True, help="checkout of github.com/lm-sys/RouteLLM"
    )
    parser.add_argument("--normalised", type=Path, help="folder of tool-calling outcomes")
    parser.add_argument(
        "--recipes",
        nargs="*",
        default=RECIPES,
        help=f"shipped names or TOML files; default: {' '.join(RECIPES)}",
    )
    parser.add_argument(
        "--sets", nargs="*", choices=[*TITLES, "mmlu-to-gsm8k"], help="default: all that are there"
    )
    parser.add_argument(
        "--peers", nargs="*", default=list(PEERS), choices=list(PEERS), help="default: all"
    )
    parser.add_argument(
        "--given", type=Path, help="folder of out-of-fold scores of routers that are not run here"
    )
    parser.add_argument(
        "--draws", type=int, default=N_DRAWS, help=f"bootstrap draws; default: {N_DRAWS:,}"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(".benchmark"),
        help="embeddings, environments and scores; default: .benchmark",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="path of the results without suffix"
    )
    return parser.parse_args()


def _described(arguments: argparse.Namespace, sets: dict[str, Any]) -> dict[str, Any]:
    """Return the figures with how they were made."""
    packages = ("numpy", "scikit-learn", "sentence-transformers")
    versions = {"Python": platform.python_version(), "difficulty": __version__} | {
        name: version(name) for name in packages
    }
    command = f"python -m benchmarks.quality --recipes {shlex.join(arguments.recipes)}"
    command += f" --sets {shlex.join(arguments.sets)}" if arguments.sets else ""
    date = datetime.now(UTC).date().isoformat()
    return {
        "date": date,
        "command": command,
        "n_draws": arguments.draws,
        "versions": versions,
        "sets": sets,
    }


def _without_nan(value: Any) -> Any:
    """Return the same with ``None`` for what is not defined: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
