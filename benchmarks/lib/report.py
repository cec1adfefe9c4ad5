"""The benchmark's results as a page that can be read without knowing the project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.lib.protocol import BROKEN

INTRODUCTION = f"""\
# Difficulty scores on public routing outcomes

A router sends each request to a cheap or to a frontier model. A difficulty score says which
requests are worth the frontier model: send
the highest scores there, as many as the budget allows. This page compares scores on requests of
which both models' outcomes are known.

**How to read it.**

- *APGR*: the share of the quality gap between the two models that is recovered, averaged over all
  shares of requests sent to the frontier
  model. 0.5 for a random order, higher is better.
- *CPT50*, *CPT80*: the share of frontier calls that recovers 50 % and 80 % of the gap. Lower is
  better.
- *Inside a task*: of two requests of the same task and fold, the chance that the one where the
  frontier model is strictly better has the
  higher score; mean over tasks. 0.5 for a score that knows the task alone. *Across folds*, pairs of
  two folds count too, by rank inside the
  fold; that pulls every figure down, because a fold in which a task happens to go well is scored by
  a model for which it went badly.
- *ECE*, *Brier*: how well `p_cheap_fails`, the probability that the cheap model's answer will not
  do, agrees with what happened. 0 is best;
  the Brier score of always saying the mean stands beside it.
- Brackets hold 95 % intervals.

**How it was made.** Every request is scored by a model that did not learn from it: five folds,
equal texts and known groups in one fold. A set is learned by itself; below 2,000 labels heads
learn from calibration samples too, above them
where a recipe's name ends with `-cross`.
Scores are ranked inside each fold before they are pooled. All methods have the same folds, the same
text of the user's messages (ours
read the system message too) and, where they need an encoder, the same all-MiniLM-L6-v2 embeddings.
Intervals come from bootstrap draws
of whole groups, the same draws for every method, so differences are paired. Other projects' routers
are trained by their own packages
with their own settings; each script in `benchmarks/peers` says what deviates. Where scores are
*given*, they were made before, on the
same folds. The default recipe was chosen on seven of these sets (all but the primes), among about
88 scorers and 400 blends of them, and confirmed
once on nine sets kept aside ([docs/what-did-not-help.md](../../docs/what-did-not-help.md)); numbers
of requests that offer functions were chosen on these
tool calls. What ours are above others here is flattered by that. The settings of the
reference methods were tuned on MMLU, a little, which flatters
them there. Seconds are processor
time, mean over folds; the embeddings that peers and references are given are computed before, and
not counted.

One MMLU subject, {BROKEN}, has broken frontier labels upstream: the frontier model is marked right
on 3 % of 270 questions.
Figures without it stand beside those with it.
"""


MEANS = """\
Sets count alike. In each bootstrap draw all sets are drawn again; sets of the same requests share
their draws. Where a set has
one task or none, a method that is told the task is the one that reads the text alone, and the mean
gain of the task is a random
order. Methods that were not run on every set of a table are not in it."""


def as_markdown(results: Mapping[str, Any], *, stem: str) -> str:
    """Return the page; ``stem`` is the name that its pictures' names begin with."""
    parts = [INTRODUCTION, *_means(results), _overview(results, stem)]
    parts += [_one_set(name, found, stem) for name, found in results["sets"].items()]
    return "\n".join([*parts, _foot(results)])


def _means(results: Mapping[str, Any]) -> list[str]:
    """Return the table of five rows, and the means over sets with what ours are above others."""
    means = results.get("means") or []
    if not means or len(means[0]["sets"]) < 2:
        return []
    lines = ["## In short", "", *short_table(results), "", "## Means over sets", "", MEANS, ""]
    for found in means:
        titles = ", ".join(results["sets"][name]["title"] for name in found["sets"])
        lines += [f"### {found['title'][0].upper()}{found['title'][1:]}", "", f"{titles}.", ""]
        ours = list(found["differences"])
        heads = [f"{found['methods'][name]['title']}, minus this" for name in ours]
        lines += [_row(["method", "mean APGR", *heads]), _row(["---"] * (len(ours) + 2))]
        for name in sorted(
            found["methods"], key=lambda one: -_value(found["methods"][one], "apgr")
        ):
            method = found["methods"][name]
            bold = "**" if method["kind"] == "ours" else ""
            minus = [found["differences"][one].get(name) for one in ours]
            cells = [_signed(figure) if figure else "" for figure in minus]
            lines.append(_row([f"{bold}{method['title']}{bold}", _cell(method, "apgr"), *cells]))
        lines.append("")
    return ["\n".join(lines)]


def short_table(results: Mapping[str, Any]) -> list[str]:
    """Return five rows: the first recipe told the task and on the text alone, the best of the plain
    references, the best of other projects' routers, and the length of the request.
    """
    whole, sets = results["means"][0], results["sets"]
    ours = next(name for name, one in whole["methods"].items() if one["kind"] == "ours")
    told = f"{ours}_task"
    tools = [name for name in whole["sets"] if name.startswith("bfcl")]
    beside = next((one for one in results["means"] if _peers_of(one)), None)
    peer = max(_peers_of(beside), key=lambda one: _mean_of(beside, one)) if beside else None
    rows = [told, ours, whole["best_plain"], peer, "length"]
    heads = [
        f"mean of {len(whole['sets'])} sets",
        *(["MMLU"] if "mmlu" in sets else []),
        *([f"tool calls, mean of {len(tools)}"] if tools else []),
        *([f"mean of {len(beside['sets'])} sets with routers' scores"] if beside else []),
        f"{whole['methods'][told if told in whole['methods'] else ours]['title']} minus this",
    ]
    lines = [_row(["router", *heads]), _row(["---"] * (len(heads) + 1))]
    for name in dict.fromkeys(row for row in rows if row):
        told_of = [_mean_of(whole, name)]
        if "mmlu" in sets:
            told_of.append(_value(_method(sets["mmlu"], name), "apgr"))
        if tools:
            told_of.append(
                sum(_value(_method(sets[one], name), "apgr") for one in tools) / len(tools)
            )
        if beside:
            told_of.append(_mean_of(beside, name))
        where = whole if name in whole["methods"] else beside
        minus = (where or whole)["differences"].get(told, {}).get(name)
        title = ((where or whole)["methods"].get(name) or _method(sets["mmlu"], name))["title"]
        lines.append(
            _row(
                [
                    f"**{title}**" if name in (told, ours) else title,
                    *("" if value < 0 else f"{value:.3f}" for value in told_of),
                    _signed(minus) if minus else "",
                ]
            )
        )
    return lines


def _peers_of(found: Mapping[str, Any]) -> list[str]:
    return [name for name, one in found["methods"].items() if one["kind"] == "peer"]


def _mean_of(found: Mapping[str, Any], name: str) -> float:
    return _value(found["methods"].get(name, {}), "apgr")


def _method(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a method of a set; told the task where there is one."""
    methods: Mapping[str, Mapping[str, Any]] = found["methods"]
    return methods.get(name) or methods.get(name.removesuffix("_task")) or {}


def _overview(results: Mapping[str, Any], stem: str) -> str:
    """Return the APGR of every method on every set."""
    sets = results["sets"]
    names = list(dict.fromkeys(name for found in sets.values() for name in found["methods"]))
    titles = {
        name: method["title"]
        for found in sets.values()
        for name, method in found["methods"].items()
    }
    kinds = {
        name: method["kind"] for found in sets.values() for name, method in found["methods"].items()
    }
    first = next(iter(sets.values()))["methods"]
    order = sorted(
        names, key=lambda name: (kinds[name] != "ours", -_value(first.get(name, {}), "apgr"))
    )
    lines = [
        "## APGR on every set",
        "",
        f"![APGR of every method on every set, with intervals]({stem}-apgr.svg)",
        "",
    ]
    lines.append(_row(["method", *(found["title"] for found in sets.values())]))
    lines.append(_row(["---"] * (len(sets) + 1)))
    for name in order:
        bold = "**" if kinds[name] == "ours" else ""
        cells = [_cell(found["methods"].get(name, {}), "apgr") for found in sets.values()]
        lines.append(_row([f"{bold}{titles[name]}{bold}", *cells]))
    return "\n".join([*lines, ""])


def _one_set(name: str, found: Mapping[str, Any], stem: str) -> str:
    lines = [f"## {found['title']}", ""]
    lines.append(
        f"{found['rows']:,} requests; mean quality {found['cheap_quality']:.3f} (cheap) and"
        f" {found['frontier_quality']:.3f} (frontier); the frontier model is strictly better on"
        f" {found['frontier_better']:.1%}."
    )
    lines += [
        "",
        (
            "![Mean quality against the share of requests sent to the frontier"
            f" model]({stem}-{name}.svg)"
        ),
        "",
    ]
    return "\n".join(
        [*lines, *_figures(found), "", *_probabilities(found), *_differences(found), ""]
    )


def _figures(found: Mapping[str, Any]) -> list[str]:
    """Return the table of every method's figures."""
    columns = {
        "apgr": "APGR",
        f"apgr_without_{BROKEN}": f"APGR without {BROKEN}",
        "cpt_50": "CPT50",
        "cpt_80": "CPT80",
    }
    columns |= {
        "auroc_inside_task": "inside a task",
        "auroc_inside_task_across_folds": "inside a task, across folds",
    }
    present = {
        key: title
        for key, title in columns.items()
        if any(key in method for method in found["methods"].values())
    }
    lines = [
        _row(["method", *present.values(), "training, s", "scoring a request, ms"]),
        _row(["---"] * (len(present) + 3)),
    ]
    for method in _by_apgr(found):
        if "reason" in method:
            lines.append(_row([method["title"], method["reason"], *[""] * (len(present) + 1)]))
            continue
        seconds = [
            "" if method[key] is None else f"{method[key]:.{digits}f}"
            for key, digits in (("train_s", 1), ("score_ms", 2))
        ]
        lines.append(_row([method["title"], *(_cell(method, key) for key in present), *seconds]))
    return lines


def _probabilities(found: Mapping[str, Any]) -> list[str]:
    """Return the table of the calibrated probabilities; nothing where no method has one."""
    methods = [method for method in found["methods"].values() if "ece" in method]
    if not methods:
        return []
    lines = [f"`p_cheap_fails` (Brier score of the base rate: {found['base_rate_brier']:.3f}):", ""]
    lines += [
        _row(
            [
                "method",
                "ECE",
                "Brier",
                "familiarity below 0.05",
                "exported graph: largest difference, decisions that differ",
            ]
        )
    ]
    lines.append(_row(["---"] * 5))
    for method in methods:
        parity, below = method.get("parity"), method.get("share_below_familiarity_0.05")
        graph = (
            f"{parity['max_difference']:.0e}, {parity['flips']:.0f} of {parity['n']:,.0f}"
            if parity
            else ""
        )
        lines.append(
            _row(
                [
                    method["title"],
                    _cell(method, "ece"),
                    f"{method['brier']:.3f}",
                    "" if below is None else f"{below:.0%}",
                    graph,
                ]
            )
        )
    return [*lines, ""]


def _differences(found: Mapping[str, Any]) -> list[str]:
    """Return ours minus each other method, paired."""
    lines = []
    for suffix, ours in found["differences"].items():
        if not ours:
            continue
        what = "APGR of ours minus that of the other method, paired"
        lines += [f"{what}:" if suffix == "all" else f"{what}, without {BROKEN}:", ""]
        others = [name for name in found["methods"] if any(name in row for row in ours.values())]
        others.sort(key=lambda name: -_value(found["methods"][name], "apgr"))
        titles = [found["methods"][name]["title"] for name in ours]
        lines += [_row(["other method", *titles]), _row(["---"] * (len(ours) + 1))]
        for name in others:
            lines.append(
                _row(
                    [
                        found["methods"][name]["title"],
                        *(_estimate(row[name]) if name in row else "" for row in ours.values()),
                    ]
                )
            )
        lines.append("")
    return lines


def _foot(results: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"Made on {results['date']} by `{results['command']}` with {packages};"
        f" {results['n_draws']:,} bootstrap draws.\n"
    )


def _by_apgr(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(found["methods"].values(), key=lambda method: -_value(method, "apgr"))


def _value(method: Mapping[str, Any], key: str) -> float:
    return float(method[key]["value"]) if key in method else -1.0


def _cell(method: Mapping[str, Any], key: str) -> str:
    """Return a figure with its interval; why there is none, where the method could not be run."""
    if key in method:
        return _estimate(method[key])
    return "not run" if "reason" in method else ""


def _estimate(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _signed(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
