"""How far decisions hold when requests come in other clothes: surface forms, instructions, and text
that comes along.

    python -m benchmarks.robustness --routellm RouteLLM --normalised normalised -o
    benchmarks/results/2026-11-28-robustness

Recipe ``fast`` is trained on a set as ``difficulty train`` does it, without any wrapper, and
shipped for a frontier share of 0.3, once for each text view. Then the test requests of the set are
scored as they are and under every perturbation of ``difficulty.perturb``; the tasks are not told.
What is asked of a request stays the same, so its decision should. What should change a decision is
the ask: *told apart* is the chance that, of a request that was sent to the frontier model and one
that was kept, the perturbed score still puts the first above the second; 0.5 would be a score that
says the same of all.

What to expect of a score at all, ``--less`` says: the same requests, as they are, by a scorer that
was trained on the same samples but for a fifth of those to fit. Where fewer decisions hold under a
perturbation than that, it is the perturbation; where as many do, it is the small set.

Three more rows have courtesy and instructions in other words, which nothing was written by. Beside
it: how many requests the familiarity of the bundle flags, at the bound that training
recommends (or 0.02, the edge of the traffic, where it recommends none), and what becomes of twelve
asks in eight languages.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.other_languages import ASKS
from benchmarks.lib.other_wordings import OTHER_WORDINGS, put_around
from benchmarks.lib.protocol import BenchmarkSet, FloatArray, apgr, draw, estimate, read_traffic
from benchmarks.lib.results import write_results
from difficulty.bundle import read_bundle
from difficulty.diagnostics.unfamiliar import EDGE
from difficulty.metrics import Resampling
from difficulty.perturb import PERTURBATIONS, Stability, measure_stability, perturb
from difficulty.recipe import AugmentSettings, Recipe, parse_recipe
from difficulty.records import Estimate
from difficulty.runtime.scorer import Scorer
from difficulty.stages.deploying.traffic_scores import score_traffic
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.text import TEXT_VIEWS
from difficulty.thresholds.ways import WayWanted
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_encoder, find_recipe

SETS = {
    "mmlu": "MMLU: Mixtral-8x7B / GPT-4",
    "gsm8k": "GSM8K: Mixtral-8x7B / GPT-4",
    "tools": "Tool calls: Hermes-2-Pro-8B / GPT-4",
}
AUGMENTED = tuple(PERTURBATIONS)[::2]
"""What ``--augment`` trains with: every other one, so that the rest shows what it is worth for
clothes that training did not have.
"""
BOUND = EDGE
"""On familiarity, where training recommends none."""
PUBLISHED = (
    ("MIRT-BERT", "94.5"),
    ("NIRT-BERT", "44.5"),
    ("vLLM-SR", "100.0"),
    ("CARROT", "93.6"),
    ("MLP", "96.9"),
    ("GraphRouter", "97.5"),
    ("KNN", "51.3"),
    ("RouteLLM", "99.8"),
    ("RouterDC", "97.6"),
)
"""Robustness by the table in README.md of github.com/RouteWorks/RouterArena at commit 0a6c872."""


@dataclass(frozen=True, eq=False)
class Shipped:
    """A bundle's scorer with what its policy compares scores with."""

    scorer: Scorer
    threshold: float
    bound: float
    recommended: float
    """Bound on familiarity that training recommends; 0: none."""

    def react(self, traffic: Traffic) -> tuple[Stability, FloatArray]:
        """Return what it says of requests, and their familiarity."""
        outputs = score_traffic(self.scorer, traffic).outputs
        score = outputs["difficulty_score"].astype(np.float64)
        familiarity = outputs["familiarity"].astype(np.float64)
        return Stability(score, score > self.threshold, familiarity < self.bound), familiarity


def main() -> None:
    """Run the benchmark and write ``<out>.json`` and ``<out>.md``."""
    arguments = _arguments()
    kept = arguments.out.with_suffix(".json")
    before = json.loads(kept.read_text()) if arguments.keep and kept.is_file() else {}
    sets, commands = dict(before.get("sets", {})), list(before.get("commands", []))
    for name in arguments.sets:
        measured = measure_set(
            read_traffic(_source(name, arguments)),
            find_recipe(arguments.recipe),
            views=arguments.views,
            names=arguments.perturbations,
            resampling=Resampling(arguments.draws),
            augment=arguments.augment,
            trained_with=arguments.trained_with,
            less=arguments.less,
            most=arguments.most,
        )
        views = sets.get(name, {}).get("views", {}) | measured["views"]
        sets[name] = measured | {"views": views}
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "commands": [*commands, f"python -m benchmarks.robustness {shlex.join(sys.argv[1:])}"],
        "sets": {name: sets[name] for name in SETS if name in sets},
    }
    write_results(arguments.out, results, as_markdown(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routellm", type=Path, help="checkout of RouteLLM")
    parser.add_argument("--normalised", type=Path, help="folder of outcomes as traffic files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--views", nargs="+", type=int, default=[*TEXT_VIEWS])
    parser.add_argument(
        "--perturbations", nargs="+", choices=PERTURBATIONS, default=[*PERTURBATIONS]
    )
    parser.add_argument("--augment", action="store_true", help="beside it, train with wrappers")
    parser.add_argument(
        "--trained-with",
        nargs="+",
        choices=PERTURBATIONS,
        default=[*AUGMENTED],
        help="what --augment trains with; default: every other one",
    )
    parser.add_argument(
        "--less", action="store_true", help="beside it, train on four fifths of the fit samples"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep sets and views that OUT.json has, and add to them"
    )
    parser.add_argument("--most", type=int, help="test requests, drawn at random; default: all")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    return parser.parse_args()


def _source(name: str, arguments: argparse.Namespace) -> Path:
    if name == "tools":
        return Path(arguments.normalised / _TOOLS)
    folder = Path(arguments.routellm / "routellm" / "evals")
    return folder / "mmlu" if name == "mmlu" else folder / "gsm8k" / "gsm8k_responses.csv"


_TOOLS = "bfcl__hermes-2-pro-llama-3-8b__gpt-4-0125-preview.jsonl.gz"


def measure_set(
    traffic: Traffic,
    recipe: Recipe,
    *,
    views: Sequence[int],
    names: Sequence[str],
    resampling: Resampling,
    augment: bool = False,
    trained_with: Sequence[str] = AUGMENTED,
    less: bool = False,
    most: int | None = None,
) -> dict[str, Any]:
    """Return the figures of one set, by view."""
    split = recipe.split
    parts = traffic.splits((split.fit, split.calibration, split.test), recipe.seed)
    rows = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(parts == "test"))
    test = traffic.select(np.sort(rows[:most]))
    results: dict[str, Any] = {"n": len(test), "views": {}}
    for view in views:
        plain = _with_view(recipe, view)
        recipes = {f"view {view}": plain}
        if augment:
            with_wrappers = AugmentSettings(perturbations=tuple(trained_with))
            what = "" if tuple(trained_with) == AUGMENTED else f" with {' and '.join(trained_with)}"
            recipes[f"view {view}, augmented{what}"] = replace(plain, augment=with_wrappers)
        for name, each in recipes.items():
            with tempfile.TemporaryDirectory() as scratch:
                bundle = make_bundle(traffic, each, Path(scratch))
            found = measure_bundle(bundle, test, names=names, resampling=resampling)
            if less and each is plain:
                other = _with_less(traffic, parts, each)
                found["figures"][LESS] = _agreement(bundle, other, test, resampling)
            results["views"][name] = found
    return results


LESS = "trained_on_four_fifths"


def _with_less(traffic: Traffic, parts: NDArray[np.str_], recipe: Recipe) -> Shipped:
    """Return what is made of the same traffic without a fifth of the groups of fit samples."""
    groups = np.asarray(traffic.split_groups)
    names = np.unique(groups[parts == "fit"])
    rng = np.random.default_rng(recipe.seed)
    dropped = rng.choice(names, len(names) // 5, replace=False)
    kept = ~((parts == "fit") & np.isin(groups, dropped))
    with tempfile.TemporaryDirectory() as scratch:
        return make_bundle(traffic.select(kept), recipe, Path(scratch))


def _agreement(
    bundle: Shipped, other: Shipped, test: Traffic, resampling: Resampling
) -> dict[str, Any]:
    first, _ = bundle.react(test)
    second, _ = other.react(test)
    found = measure_stability(
        first,
        second,
        gain=test.outcomes.gain,
        groups=np.asarray(test.split_groups),
        resampling=resampling,
    )
    return {key: estimate.as_dict() for key, estimate in found.items()}


def _with_view(recipe: Recipe, view: int) -> Recipe:
    form = recipe.as_dict()
    return parse_recipe(form | {"text": {**form["text"], "view": view}}, name=recipe.name)


def make_bundle(traffic: Traffic, recipe: Recipe, scratch: Path) -> Shipped:
    """Train and ship as the commands do, and return the scorer."""
    path = scratch / "traffic.parquet"
    traffic.write(path)
    run, _ = train(
        path,
        scratch / "run",
        recipe=recipe,
        encoder=find_encoder(recipe.features),
        more_labels=False,
        draws=_FEW_DRAWS,
    )
    shipped = ship(
        scratch / "run",
        scratch / "scorer-1",
        objective="share=0.3",
        answer=WayWanted("off"),
        allow_no_signal=True,
        seen=False,
        draws=_FEW_DRAWS,
    )
    advice = run.record.familiarity
    recommended = advice.recommended if advice else 0.0
    bundle = read_bundle(scratch / "scorer-1")
    return Shipped(
        Scorer.from_bundle(bundle),
        shipped.bundle.policy.threshold,
        recommended or BOUND,
        recommended,
    )


_FEW_DRAWS = 20
"""Of metrics that nobody reads here."""


def measure_bundle(
    bundle: Shipped, test: Traffic, *, names: Sequence[str], resampling: Resampling
) -> dict[str, Any]:
    """Return what a bundle does to test requests under every perturbation."""
    messages, ids, groups = test.messages(), test.ids, np.asarray(test.split_groups)
    plain, familiarity = bundle.react(test)
    figures: dict[str, dict[str, Estimate]] = {}
    spread: dict[str, float] = {}
    for name in [*names, *OTHER_WORDINGS]:
        change = perturb if name in PERTURBATIONS else put_around
        changed = change(name, messages, ids=ids)
        rows = np.flatnonzero([new != old for new, old in zip(changed, messages, strict=True)])
        if not len(rows):
            continue
        perturbed, _ = bundle.react(test.with_columns({"messages": changed}))
        spread[name] = float(np.std(perturbed.score[rows]))
        figures[name] = measure_stability(
            plain.at(rows),
            perturbed.at(rows),
            gain=test.outcomes.gain[rows],
            groups=groups[rows],
            resampling=resampling,
        )
    return {
        "threshold": bundle.threshold,
        "bound": bundle.bound,
        "recommended": bundle.recommended,
        "plain": {
            "frontier_share": float(np.mean(plain.sent)),
            "unfamiliar": float(np.mean(familiarity < bundle.bound)),
            "spread": float(np.std(plain.score)),
            "apgr": _apgr_of(plain.score, test, resampling),
        },
        "spread": spread,
        "figures": {
            name: {key: estimate.as_dict() for key, estimate in part.items()}
            for name, part in figures.items()
        },
        "languages": _languages(bundle),
    }


def _apgr_of(score: FloatArray, test: Traffic, resampling: Resampling) -> dict[str, Any]:
    data = BenchmarkSet.of(test).in_one_fold()
    statistic = apgr(score, data, data.rows())
    draws = draw({"apgr": statistic}, data.groups, n_draws=resampling.draws)["apgr"]
    found = estimate(statistic, draws, n=len(data), n_rows=len(data))
    return {"value": found.value, "low": found.low, "high": found.high}


def _languages(bundle: Shipped) -> dict[str, dict[str, float]]:
    """Return, by language, the range of the scores and how many asks are flagged."""
    told: dict[str, dict[str, float]] = {}
    for language, asks in ASKS.items():
        encoded = [bundle.scorer.encode(ask).ids for ask in asks]
        outputs = bundle.scorer.score_many(encoded)
        told[language] = {
            "n": len(asks),
            "flagged": int(np.sum(outputs["familiarity"] < bundle.bound)),
            "lowest": float(outputs["difficulty_score"].min()),
            "highest": float(outputs["difficulty_score"].max()),
        }
    return told


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = [f"# Robustness, {results['date']}", "", _HOW_TO_READ, ""]
    for name, part in results["sets"].items():
        lines += _set_lines(SETS.get(name, name), part)
    lines += ["## What others publish", "", _OTHERS, "", "| router | robustness |", "| --- | --- |"]
    lines += [f"| {router} | {value} |" for router, value in PUBLISHED]
    commands = [f"    {command}" for command in results["commands"]]
    return "\n".join([*lines, "", "Made by", "", *commands, ""])


_HOW_TO_READ = (
    "Each row is the test requests of a set in other clothes; what is asked stays the same. *Same"
    " decision*: share of the requests that the score sends where it sent them. *Told apart*: of a"
    " request that was sent and one that was kept, the chance that the score still puts the first"
    " higher; 50 % says nothing any more. *APGR*: change against the requests as they are."
    " *Flagged*: less familiar than the bound. *Safe*: same decision, or flagged, which goes to the"
    " frontier model. Brackets hold 95 % intervals, by group. Nothing was trained, chosen or tuned"
    " on these texts, but for columns *augmented*, which learned from 30 % of the fit samples in"
    " the clothes marked *trained with*. `benchmarks/robustness.py` says how it is made."
)
_OTHERS = (
    "RouterArena asks each router the same requests again, perturbed, and counts how"
    " often the choice stays; other requests, other changes and more than two models, so the"
    " figures tell the range, not a ranking."
)


def _set_lines(title: str, part: Mapping[str, Any]) -> list[str]:
    lines = [f"## {title}", ""]
    for view, found in part["views"].items():
        plain = found["plain"]
        what = "recommended by training" if found["recommended"] else "the edge of the traffic"
        lines += [
            (
                f"{part['n']:,} test requests, {view}: {100 * plain['frontier_share']:.1f} % go to"
                f" the frontier model, standard deviation of the scores {plain['spread']:.3f};"
                f" bound on familiarity {found['bound']:g} ({what}), which flags"
                f" {100 * plain['unfamiliar']:.1f} % of the requests as they are; APGR as they"
                f" are {as_change(plain['apgr']).replace('+', '')}."
            ),
            "",
        ]
    views = part["views"]
    lines += _table("Same decision", "unchanged", views, as_percent)
    lines += _table("APGR", "apgr_change", views, as_change)
    lines += _table("Told apart", "told_apart", views, as_percent)
    lines += _table("Flagged", "unfamiliar", views, as_percent)
    lines += _table("Safe", "unchanged_or_unfamiliar", views, as_percent)
    lines += [
        "**Other languages** (scores, and how many of twelve asks are flagged)",
        "",
        f"| language | {' | '.join(views)} |",
        f"| --- |{' --- |' * len(views)}",
    ]
    for language in ASKS:
        cells = (
            f"{told['lowest']:.3f} to {told['highest']:.3f}, {told['flagged']} of {told['n']}"
            for told in (found["languages"][language] for found in views.values())
        )
        lines.append(f"| {language} | {' | '.join(cells)} |")
    return [*lines, ""]


def _table(title: str, figure: str, views: Mapping[str, Any], shown: Any) -> list[str]:
    names = {name: part for view in views.values() for name, part in view["figures"].items()}
    with_wrappers = any("augmented" in view for view in views)
    lines = [
        f"**{title}**",
        "",
        f"| perturbation | requests | {' | '.join(views)} |",
        f"| --- | --- |{' --- |' * len(views)}",
    ]
    for name in names:
        row = [found["figures"].get(name) for found in views.values()]
        cells = " | ".join("not measured" if part is None else shown(part[figure]) for part in row)
        n = names[name]["unchanged"]["n"]
        mark = " (trained with)" if with_wrappers and name in AUGMENTED else ""
        lines.append(f"| {name.replace('_', ' ')}{mark} | {n:,} | {cells} |")
    return [*lines, ""]


def as_percent(figure: Mapping[str, Any]) -> str:
    """Return a share with its interval, in percent."""
    if figure["value"] is None:
        return "not defined"
    if figure["low"] is None:
        return f"{100 * figure['value']:.1f} %"
    low, high = 100 * figure["low"], 100 * figure["high"]
    return f"{100 * figure['value']:.1f} % ({low:.1f} to {high:.1f})"


def as_change(figure: Mapping[str, Any]) -> str:
    """Return a change with its interval."""
    if figure["value"] is None:
        return "not defined"
    if figure["low"] is None:
        return f"{figure['value']:+.3f}"
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})"


if __name__ == "__main__":
    main()
