"""``difficulty route --why``: an explanation, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from difficulty.cli.console import say
from difficulty.text import one_line, quantity_text

_MOST_PARTS = 5
_MOST_FEATURES = 5
_LEAST_SHOWN = 5e-4


def print_explanation(why: Mapping[str, Any]) -> None:
    """Print why a request was decided as it was; ``why`` is the JSON form."""
    parts = sorted(
        (part for part in why["parts"] if part["finest"]), key=lambda part: -abs(part["push"])
    )
    for title, sign in (("towards the frontier model:", 1.0), ("towards the cheap model:", -1.0)):
        pushing = [part for part in parts if sign * part["push"] >= _LEAST_SHOWN]
        _print_rows(title, [_part_row(part) for part in pushing[:_MOST_PARTS]])
    features = sorted(why["features"], key=lambda feature: -abs(feature["push"]))
    _print_rows("beside the words:", [_feature_row(each) for each in features[:_MOST_FEATURES]])
    _print_rows("nearest kinds of training traffic:", [_kind_row(each) for each in why["nearest"]])
    changes = [f"{change['sentence']} -> {change['route']}" for change in why["changes"]]
    _print_rows("what would change it:", changes)
    for note in why["notes"]:
        say(one_line(f"note: {note}"))


def _print_rows(title: str, rows: Sequence[str]) -> None:
    if not rows:
        return
    say(title)
    for row in rows:
        say(one_line(f"  {row}"))


def _part_row(part: Mapping[str, Any]) -> str:
    return f'{part["push"]:+.4f}  "{part["text"]}"  (without it {part["score"]:.4f})'


def _feature_row(feature: Mapping[str, Any]) -> str:
    value = feature["value"]
    shown = "" if value is None else f" {value:g}" if isinstance(value, float) else f" {value}"
    if feature["name"] == "length":
        return f"{feature['push']:+.4f}  length{shown}  (said twice {feature['score']:.4f})"
    return f"{feature['push']:+.4f}  {feature['name']}{shown}  (unknown {feature['score']:.4f})"


def _kind_row(kind: Mapping[str, Any]) -> str:
    tasks = ", ".join(f"{task} {_percent(share)}" for task, share in kind["tasks"].items())
    least, _, most = kind["tokens"]
    script = f", {kind['script']} script" if kind["script"] else ""
    named = f"{tasks or 'no task named'}, {least:,.0f} to {quantity_text(most, 'token')}{script}"
    size = f"{quantity_text(kind['requests'], 'request')}, {_percent(kind['share'])} of the traffic"
    outcomes = "; ".join(
        f"{name} {_figure(kind[key])}"
        for name, key in (("cheap", "cheap_quality"), ("frontier", "frontier_quality"))
        if kind[key]
    )
    far = "" if kind["alike"] else ", unlike most of them"
    near = f"cosine {kind['cosine']:.2f}{far}"
    return f"{named}: {size}; {outcomes or 'outcomes not known'}; {near}"


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return _percent(figure["value"])
    ends = f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}"
    return f"{_percent(figure['value'])} ({ends})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
