"""Compare our recipes with other projects' routers and with reference methods, on public routing
outcomes, with one command.

    python -m benchmarks.quality --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-27-quality

``RouteLLM`` is a checkout of github.com/lm-sys/RouteLLM; ``normalised`` holds the outcomes of other
sets as traffic files (``NAME.jsonl.gz`` of the names in ``benchmarks/lib/experiments.py``) and may
be left out. Writes ``<out>.json``, ``<out>.md`` and pictures beside them; the page says what was
done and how to read it.

``--given`` names a folder of scores of further methods on the same folds
(``benchmarks/lib/methods.py`` says how they are stored); a set whose references are among them
needs no embeddings.

Embeddings, peers' environments, all scores and the figures of sets that are done stay in the folder
``--work``, under a key of everything that decides them, so adding a recipe (``--recipes fast
accurate``) runs that recipe alone, and an interrupted run goes on where it was. The first run needs
about an hour on two cores, most of it other projects' training, and network access for their
packages (about 4 GB).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.experiments import TITLES, TRANSFER, Experiment, experiments
from benchmarks.lib.judge import Judged, judge
from benchmarks.lib.means import means_of
from benchmarks.lib.methods import Bench
from benchmarks.lib.peer_environments import PEERS
from benchmarks.lib.plots import plot_apgr, plot_curves
from benchmarks.lib.protocol import N_DRAWS
from benchmarks.lib.references import REFERENCES
from benchmarks.lib.report import as_markdown
from benchmarks.lib.stored import digest_of, stored
from difficulty import __version__
from difficulty.recipe import Recipe, parse_recipe
from difficulty.training.shipped import find_recipe

RECIPES = ("fast", "accurate", "finetuned", "distilled")


def main() -> None:
    """Run the benchmark."""
    arguments = _arguments()
    recipes = [_recipe(name) for name in arguments.recipes]
    judged = {
        experiment.name: _judged(experiment, recipes, arguments)
        for experiment in experiments(arguments.routellm, arguments.normalised, arguments.sets)
    }
    means = means_of({name: one for name, one in judged.items() if name != TRANSFER})
    write(_described(arguments, judged, means), arguments.out)


def _recipe(name: str) -> Recipe:
    """Return a recipe by name or path; ``@cross`` or ``@split`` behind it says what becomes of its
    calibration samples.
    """
    name, _, calibration = name.partition("@")
    recipe = find_recipe(name)
    if not calibration:
        return recipe
    form = recipe.as_dict() | {"name": f"{recipe.name}-{calibration}", "calibration": calibration}
    return parse_recipe(form, name=name)


def _judged(
    experiment: Experiment, recipes: Sequence[Recipe], arguments: argparse.Namespace
) -> Judged:
    """Return what is said of every method on one set; a set that is done is read from disk."""
    bench = Bench(experiment, arguments.work)
    methods = []
    for recipe in recipes:
        _say(f"{experiment.name}: {recipe.name}")
        methods += bench.recipe(recipe)
    for name in arguments.peers:
        _say(f"{experiment.name}: {name}")
        methods += bench.peer(name)
    given = bench.given(arguments.given) if arguments.given else []
    methods += [one for one in given if one.name not in {other.name for other in methods}]
    if not {*REFERENCES} <= {one.name for one in methods}:
        methods = [one for one in methods if one.name not in REFERENCES] + bench.references()
    _say(f"{experiment.name}: figures")
    key = digest_of(
        [str(arguments.draws), *(f"{one.name} {one.title} {one.reason}" for one in methods)],
        *(
            (Path(__file__).parent / "lib" / name).read_bytes()
            for name in ("judge.py", "protocol.py")
        ),
        *(one.score.tobytes() for one in methods if one.score is not None),
    )
    arrays = stored(
        arguments.work / "judged" / f"{experiment.name}.npz",
        key,
        lambda path: np.savez(
            path, **judge(experiment.outcomes, methods, n_draws=arguments.draws).as_arrays()
        ),
    )
    found = Judged.from_arrays(arrays)
    return Judged({"title": experiment.title} | found.figures, found.apgr)


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
    parser.add_argument("--normalised", type=Path, help="folder of traffic files of other sets")
    parser.add_argument(
        "--recipes",
        nargs="*",
        default=RECIPES,
        help="shipped names or TOML files, with @cross behind one for calibration by out-of-fold"
        f" predictions; default: {' '.join(RECIPES)}",
    )
    parser.add_argument(
        "--sets", nargs="*", choices=[*TITLES, TRANSFER], help="default: all that are there"
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


def _described(
    arguments: argparse.Namespace, judged: Mapping[str, Judged], means: list[dict[str, Any]]
) -> dict[str, Any]:
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
        "means": means,
        "sets": {name: one.figures for name, one in judged.items()},
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
