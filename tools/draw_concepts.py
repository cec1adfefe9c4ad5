"""Draw the pictures of ``docs/concepts.md`` from the figures of a judged bundle.

    make demo
    python -m tools.draw_concepts demo-out/report/metrics.json

The figures are the demo's, so they say nothing about real models; what they show is what each word
means. Pictures are written to ``docs/concepts/``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "concepts"
WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 20, 46
INK, SOFT, LINE, FILL = "#37474f", "#90a4ae", "#3f51b5", "#c5cae9"
OTHER = "#ef6c00"


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metrics", type=Path, help="metrics.json of difficulty evaluate")
    metrics = json.loads(parser.parse_args().metrics.read_text(encoding="utf-8"))
    FOLDER.mkdir(exist_ok=True)
    pictures = {
        "gap": draw_gap(metrics),
        "apgr": draw_apgr(metrics),
        "threshold": draw_threshold(metrics),
        "calibration": draw_calibration(metrics),
        "promise": draw_promise(metrics),
        "familiarity": draw_familiarity(metrics),
    }
    for name, picture in pictures.items():
        (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")


class Plane:
    """A picture with two axes: points in data units, drawn in pixels."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], what: str) -> None:
        self.x, self.y, self.what = x, y, what
        self.parts: list[str] = []

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixels of a point."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str = LINE, style: str = ""
    ) -> None:
        """Draw a line through points."""
        points = " ".join(
            f"{a},{b}" for a, b in (self.at(x, y) for x, y in zip(xs, ys, strict=True))
        )
        self.parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" {style}/>'
        )

    def area(self, xs: Sequence[float], ys: Sequence[float], colour: str = FILL) -> None:
        """Fill what a closed line goes around."""
        points = " ".join(
            f"{a},{b}" for a, b in (self.at(x, y) for x, y in zip(xs, ys, strict=True))
        )
        self.parts.append(f'<polygon points="{points}" fill="{colour}" fill-opacity="0.55"/>')

    def dot(self, x: float, y: float, colour: str = LINE, radius: float = 4) -> None:
        """Mark a point."""
        a, b = self.at(x, y)
        self.parts.append(f'<circle cx="{a}" cy="{b}" r="{radius}" fill="{colour}"/>')

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", dy: float = 0, **more: Any
    ) -> None:
        """Write words at a point."""
        a, b = self.at(x, y)
        colour, size = more.get("colour", INK), more.get("size", 13)
        self.parts.append(
            f'<text x="{a + more.get("dx", 0)}" y="{b + dy}" fill="{colour}" font-size="{size}" '
            f'text-anchor="{anchor}">{escape(words)}</text>'
        )

    def axes(
        self, x_words: str, y_words: str, x_ticks: Sequence[float], y_ticks: Sequence[float]
    ) -> None:
        """Draw both axes with percentages at the ticks."""
        corner, right = self.at(self.x[0], self.y[0]), self.at(self.x[1], self.y[0])
        self.parts.append(
            f'<path d="M{corner[0]},{TOP} V{corner[1]} H{right[0]}" fill="none" stroke="{SOFT}"/>'
        )
        for tick in x_ticks:
            self.text(tick, self.y[0], _percent(tick), anchor="middle", dy=17, size=12)
        for tick in y_ticks:
            self.text(self.x[0], tick, _percent(tick), anchor="end", dx=-6, dy=4, size=12)
        self.text(self.x[1], self.y[0], x_words, anchor="end", dy=36)
        self.parts.append(f'<text x="{LEFT + 8}" y="{TOP + 4}" fill="{INK}" font-size="13">')
        self.parts.append(f"{escape(y_words)}</text>")

    def svg(self) -> str:
        """Return the picture; its title is what a screen reader says."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'role="img" font-family="system-ui, sans-serif"><title>{escape(self.what)}</title>'
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>'
            f"{''.join(self.parts)}</svg>\n"
        )


def draw_gap(metrics: dict[str, Any]) -> str:
    """Return the quality of all cheap and all frontier, and the gap between."""
    cheap = metrics["baselines"]["always_cheap"]["quality"]["value"]
    frontier = metrics["baselines"]["always_frontier"]["quality"]["value"]
    routed = metrics["overall"]["quality"]["value"]
    plane = Plane(
        (0, 3), (0, 1), f"Mean quality: all cheap {cheap:.3f}, all frontier {frontier:.3f}"
    )
    plane.axes("", "mean quality of the answers", (), (0, 0.5, 1))
    bars = (("everything cheap", cheap), ("routed", routed), ("everything frontier", frontier))
    for place, (words, value) in enumerate(bars):
        xs = [place + 0.25, place + 0.75]
        colour = LINE if words == "routed" else FILL
        plane.area([*xs, *xs[::-1]], [0, 0, value, value], colour)
        plane.text(place + 0.5, 0, words, anchor="middle", dy=17)
        plane.text(place + 0.5, value, _percent(value, 1), anchor="middle", dy=-6)
    for level in (cheap, frontier):
        plane.line([0, 3], [level, level], SOFT, 'stroke-dasharray="4 4"')
    plane.line([2.9, 2.9], [cheap, frontier], OTHER)
    plane.text(2.88, cheap, "the gap", anchor="end", dy=18, colour=OTHER)
    return plane.svg()


def draw_apgr(metrics: dict[str, Any]) -> str:
    """Return quality against the frontier share, of the score and of chance."""
    curve = metrics["baseline_curves"]["score"]
    shares, quality = curve["frontier_share"], curve["quality"]
    cheap, frontier = quality[0], quality[-1]
    recovered = [(value - cheap) / (frontier - cheap) for value in quality]
    top = max(1.0, *recovered) + 0.08
    value = metrics["overall"]["apgr"]["value"]
    plane = Plane(
        (0, 1), (min(0.0, *recovered), top), f"APGR {value:.2f}: the area under the curve"
    )
    plane.area([*shares, 1, 0], [*recovered, 0, 0])
    plane.axes(
        "share of requests sent to the frontier model",
        "share of the gap that is recovered",
        (0, 0.25, 0.5, 0.75, 1),
        (0, 0.5, 1),
    )
    plane.line([0, 1], [0, 1], SOFT, 'stroke-dasharray="4 4"')
    plane.text(0.62, 0.56, "at random: area 0.5", colour=INK, dy=14)
    plane.line(shares, recovered)
    plane.text(0.40, 0.25, f"area: APGR {value:.2f}", size=15)
    return plane.svg()


def draw_threshold(metrics: dict[str, Any]) -> str:
    """Return how many requests have which score, and where the threshold cuts."""
    bars = metrics["histogram"]
    counts = [
        sum(parts)
        for parts in zip(bars["needed"], bars["not_needed"], bars["unknown"], strict=True)
    ]
    edges = bars["edges"]
    shown = [place for place, count in enumerate(counts) if count]
    low, high = edges[shown[0]], edges[shown[-1] + 1]
    plane = Plane((low, high), (0, max(counts) * 1.25), "Requests by difficulty_score")
    for place in shown:
        xs = [edges[place], edges[place + 1]]
        plane.area([*xs, *xs[::-1]], [0, 0, counts[place], counts[place]], FILL)
        needed = bars["needed"][place]
        plane.area([*xs, *xs[::-1]], [0, 0, needed, needed], OTHER)
    plane.axes("difficulty_score", "requests; orange: the frontier model was better", (), ())
    for tick in (low, (low + high) / 2, high):
        plane.text(tick, 0, f"{tick:.2f}", anchor="middle", dy=17, size=12)
    return plane.svg()


def draw_calibration(metrics: dict[str, Any]) -> str:
    """Return how often the cheap model failed, where so much was said."""
    bins = metrics["calibration"]["p_cheap_fails"]
    kept = [place for place, n in enumerate(bins["n"]) if n]
    top = max(bins["high"][place] or 0 for place in kept) * 1.05
    plane = Plane((0, top), (0, top), "Observed against predicted failures of the cheap model")
    ticks = [tick / 5 for tick in range(6) if tick / 5 <= top]
    plane.axes("predicted: p_cheap_fails", "observed share of failures", ticks, ticks)
    plane.line([0, top], [0, top], SOFT, 'stroke-dasharray="4 4"')
    for place in kept:
        predicted = bins["predicted"][place]
        plane.line([predicted] * 2, [bins["low"][place], bins["high"][place]], FILL)
        plane.dot(predicted, bins["observed"][place])
    plane.text(top * 0.72, top * 0.72, "says what happens", anchor="end", dy=-14)
    return plane.svg()


def draw_promise(metrics: dict[str, Any]) -> str:
    """Return the risk of what is kept, with its interval, against the share that is kept."""
    curve = metrics["curve"]
    places = [place for place, value in enumerate(curve["risk"]["value"]) if value is not None]
    places = [place for place in places if curve["risk"]["high"][place] is not None]
    kept = [1 - curve["frontier_share"]["value"][place] for place in places]
    risk, high = ([curve["risk"][end][place] for place in places] for end in ("value", "high"))
    inside = [place for place, share in enumerate(kept) if share > 0.05]
    xs = [kept[place] for place in inside]
    room = (max(xs) - min(xs)) * 0.9
    top = max(high[place] for place in inside) * 1.3
    plane = Plane((min(xs), max(xs) + room), (0, top), "Risk of what is kept, and its upper end")
    plane.axes(
        "share of requests kept on the cheap model",
        "failures among the kept requests",
        [tick / 10 for tick in range(11) if min(xs) <= tick / 10 <= max(xs) + room],
        [tick / 20 for tick in range(20) if tick / 20 < top],
    )
    plane.line(xs, [risk[place] for place in inside])
    plane.line(xs, [high[place] for place in inside], OTHER, 'stroke-dasharray="5 3"')
    last = max(range(len(xs)), key=xs.__getitem__)
    plane.text(xs[last], high[inside[last]], "upper end: may be promised", colour=OTHER, dx=8)
    plane.text(xs[last], risk[inside[last]], "seen on these samples", colour=LINE, dx=8, dy=8)
    return plane.svg()


def draw_familiarity(metrics: dict[str, Any]) -> str:
    """Return how many requests are how familiar."""
    slices = sorted(metrics["slices"]["familiarity"].items())
    counts = [figures["frontier_share"]["n"] for _, figures in slices]
    plane = Plane((0, len(slices)), (0, max(counts) * 1.3), "Requests by familiarity")
    plane.axes("familiarity", "requests of this traffic", (), ())
    for place, ((words, _), count) in enumerate(zip(slices, counts, strict=True)):
        xs = [place + 0.2, place + 0.8]
        colour = OTHER if place == 0 else FILL
        plane.area([*xs, *xs[::-1]], [0, 0, count, count], colour)
        plane.text(place + 0.5, count, f"{count:,}", anchor="middle", dy=-6)
        plane.text(place + 0.5, 0, words, anchor="middle", dy=17)
    plane.text(0.2, counts[0], "sent on by min_familiarity 0.05", colour=OTHER, dy=-26)
    return plane.svg()


def _percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"


if __name__ == "__main__":
    main()
