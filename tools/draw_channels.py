"""Draw what each channel makes of a request: ``docs/channels/NAME.svg``, for light and dark pages.

Run ``python -m tools.draw_channels`` to draw them again, and ``python -m tools.draw_channels
--check`` to learn, by exit code 1, that one is not up to date. A picture is a row of panels, each a
step: a title, a drawing, small print. What it shows is made up, its form is the channel's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from math import cos, log, pi, sin

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "docs" / "channels"
WIDTH, HEIGHT, GAP, MARGIN = 820, 170, 34, 6
INNER = 16
TOP, BOTTOM = 34, 118
"""Where the drawing of a panel begins and ends."""
THICKEST = 22
"""Most that a bar is thick."""
STYLE = """
text{font:12px sans-serif;fill:#263238}
.title{font-weight:bold}
.small{font-size:11px;fill:#546e7a}
.panel{fill:#f5f7f9;stroke:#b0bec5}
.token{fill:#e3f0fb;stroke:#90a4ae}
.bar,.dot{fill:#1565c0}
.other{fill:#c2410c}
.line{fill:none;stroke:#1565c0;stroke-width:1.6}
.axis{fill:none;stroke:#90a4ae}
.arrow{fill:none;stroke:#546e7a;stroke-width:1.4}
.tip{fill:#546e7a}
@media (prefers-color-scheme: dark){
text{fill:#eceff1}
.small{fill:#b0bec5}
.panel{fill:#1c262c;stroke:#546e7a}
.token{fill:#263f54;stroke:#78909c}
.bar,.dot{fill:#64b5f6}
.other{fill:#fb923c}
.line{stroke:#64b5f6}
.axis{stroke:#78909c}
.arrow{stroke:#b0bec5}
.tip{fill:#b0bec5}
}"""

Drawing = Callable[[float, float], Iterator[str]]
"""From left edge and width of a panel to elements."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One step."""

    title: str
    drawing: Drawing
    print: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """What a channel makes of a request, and the same in one sentence."""

    says: str
    panels: tuple[Panel, ...]


def main() -> None:
    """Draw the pictures, or check them."""
    parser = argparse.ArgumentParser(description="Draw docs/channels/*.svg.")
    parser.add_argument("--check", action="store_true", help="fail when one is not up to date")
    check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        path, drawn = FOLDER / f"{name}.svg", draw(picture)
        if not check:
            path.write_text(drawn, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != drawn:
            sys.exit(
                f"docs/channels/{name}.svg is not up to date: run python -m tools.draw_channels"
            )


def draw(picture: Picture) -> str:
    """Return a picture as SVG."""
    n = len(picture.panels)
    width = (WIDTH - 2 * MARGIN - (n - 1) * GAP) / n
    lefts = [MARGIN + place * (width + GAP) for place in range(n)]
    panels = [
        part
        for left, panel in zip(lefts, picture.panels, strict=True)
        for part in _panel(panel, left, width)
    ]
    arrows = [_arrow(left - GAP, left) for left in lefts[1:]]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            f' width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(picture.says)}">',
            f"<style>{STYLE}</style>",
            *panels,
            *arrows,
            "</svg>\n",
        ]
    )


def _panel(panel: Panel, left: float, width: float) -> Iterator[str]:
    yield (
        f'<rect class="panel" x="{left:.1f}" y="{MARGIN}" width="{width:.1f}"'
        f' height="{HEIGHT - 2 * MARGIN}" rx="6"/>'
    )
    yield _text(left + width / 2, 25, panel.title, "title")
    yield from panel.drawing(left + INNER, width - 2 * INNER)
    for place, line in enumerate(panel.print):
        yield _text(left + width / 2, 137 + 15 * place, line, "small")


def _arrow(start: float, end: float) -> str:
    y = HEIGHT / 2
    return (
        f'<path class="arrow" d="M{start + 5:.1f} {y}H{end - 11:.1f}"/>'
        f'<path class="tip" d="M{end - 12:.1f} {y - 5}L{end - 4:.1f} {y}L{end - 12:.1f} {y + 5}z"/>'
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "middle") -> str:
    label = f' class="{kind}"' if kind else ""
    return f'<text{label} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def tokens(*words: str) -> Drawing:
    """Return words in boxes, two a line."""

    def drawn(left: float, width: float) -> Iterator[str]:
        side = (width - 6) / 2
        for place, word in enumerate(words):
            x, y = left + (place % 2) * (side + 6), TOP + 4 + (place // 2) * 28
            yield f'<rect class="token" x="{x:.1f}" y="{y}" width="{side:.1f}" height="22" rx="4"/>'
            yield _text(x + side / 2, y + 15, word)

    return drawn


def bars(*values: tuple[str, float]) -> Drawing:
    """Return bars by name, from -1 to 1; those below 0 have the other colour."""

    def drawn(left: float, width: float) -> Iterator[str]:
        step, middle = (BOTTOM - TOP) / len(values), left + 0.62 * width
        lowest = any(value < 0 for _, value in values)
        start = middle if lowest else left + 0.58 * width
        reach = 0.38 * width if lowest else 0.42 * width
        thick = min(step - 6, THICKEST)
        for place, (name, value) in enumerate(values):
            y, size = TOP + place * step, abs(value) * reach
            x = start - size if value < 0 else start
            kind = "other" if value < 0 else "bar"
            yield _text(left, y + step / 2 + 4, name, "small", "start")
            yield (
                f'<rect class="{kind}" x="{x:.1f}" y="{y + (step - thick) / 2:.1f}"'
                f' width="{size:.1f}" height="{thick:.1f}"/>'
            )
        yield f'<path class="axis" d="M{start:.1f} {TOP}V{BOTTOM}"/>'

    return drawn


def curve(function: Callable[[float], float]) -> Drawing:
    """Return a function from [0, 1] to [0, 1]."""

    def drawn(left: float, width: float) -> Iterator[str]:
        points = [
            f"{left + width * place / 40:.1f} {BOTTOM - (BOTTOM - TOP) * function(place / 40):.1f}"
            for place in range(41)
        ]
        yield f'<path class="axis" d="M{left:.1f} {TOP}V{BOTTOM}H{left + width:.1f}"/>'
        yield f'<path class="line" d="M{"L".join(points)}"/>'

    return drawn


def scatter(*, centres: bool = False, arrow: bool = False) -> Drawing:
    """Return requests on a plane, in two clouds; with their centres, or the request as an arrow."""

    def drawn(left: float, width: float) -> Iterator[str]:
        height = BOTTOM - TOP
        for cloud, (x0, y0) in enumerate(((0.28, 0.32), (0.72, 0.64))):
            x, y = left + x0 * width, TOP + y0 * height
            for place in range(9):
                turn, far = 2 * pi * place / 9, 10 + 5 * (place * 7 % 4)
                kind = "other" if cloud else "dot"
                yield (
                    f'<circle class="{kind}" cx="{x + far * cos(turn):.1f}"'
                    f' cy="{y + 0.8 * far * sin(turn):.1f}" r="2.4"/>'
                )
            if centres:
                yield f'<path class="arrow" d="M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12"/>'
        if arrow:
            tip = left + 0.5 * width, TOP + 0.36 * height
            yield f'<path class="arrow" d="M{left:.1f} {BOTTOM}L{tip[0]:.1f} {tip[1]:.1f}"/>'
            yield f'<circle class="tip" cx="{tip[0]:.1f}" cy="{tip[1]:.1f}" r="3.4"/>'

    return drawn


def branches(question: str, no: str, yes: str, left_leaf: str, right_leaf: str) -> Drawing:
    """Return one tree: a question with two answers, and what they lead to."""

    def drawn(left: float, width: float) -> Iterator[str]:
        top, leaf, middle = TOP + 12, BOTTOM - 6, left + width / 2
        yield _text(middle, top, question)
        for x, answer, said in (
            (left + 0.2 * width, no, left_leaf),
            (left + 0.8 * width, yes, right_leaf),
        ):
            yield f'<path class="arrow" d="M{middle:.1f} {top + 6}L{x:.1f} {leaf - 16}"/>'
            yield _text((middle + x) / 2, (top + leaf) / 2, answer, "small")
            yield _text(x, leaf, said, "title")

    return drawn


def layers(*names: str) -> Drawing:
    """Return boxes on top of each other, the first below."""

    def drawn(left: float, width: float) -> Iterator[str]:
        step = (BOTTOM - TOP) / len(names)
        for place, name in enumerate(names):
            y = BOTTOM - (place + 1) * step
            yield (
                f'<rect class="token" x="{left:.1f}" y="{y + 2:.1f}" width="{width:.1f}"'
                f' height="{step - 4:.1f}" rx="4"/>'
            )
            yield _text(left + width / 2, y + step / 2 + 4, name, "small")

    return drawn


_ASKED = Panel("request", tokens("how", "many", "prime", "factors", "has", "84"), ("token ids",))
_OUTCOMES = Panel(
    "heads",
    bars(("cheap fails", 0.8), ("frontier fails", 0.35)),
    ("the gain is the", "difference of both"),
)
_GAIN = Panel("gain", bars(("expected gain", 0.55)), ("frontier minus", "cheap quality"))
PICTURES = {
    "ngrams": Picture(
        "Tokens and pairs of tokens each have a weight by how rare they are; two logistic heads add"
        " them up",
        (
            _ASKED,
            Panel(
                "words and pairs",
                bars(("how", 0.2), ("prime", 0.7), ("factors", 0.6), ("how many", 0.4)),
                ("there or not, times", "how rare; half each"),
            ),
            Panel(
                "learned weights",
                bars(("how", -0.1), ("prime", 0.5), ("factors", 0.9), ("how many", -0.4)),
                ("one list for", "each outcome"),
            ),
            _OUTCOMES,
        ),
    ),
    "length": Picture(
        "The logarithm of the number of tokens, on the scale of the traffic, and its square",
        (
            Panel("request", bars(("tokens", 0.7)), ("84 tokens",)),
            Panel(
                "on a log scale",
                curve(lambda x: log(1 + 30 * x) / log(31)),
                ("standard score,", "cut at 3 either way"),
            ),
            Panel(
                "and its square",
                curve(lambda x: 0.1 + 3.2 * (x - 0.45) ** 2),
                ("very short and very long", "may both be hard"),
            ),
            _OUTCOMES,
        ),
    ),
    "embedding": Picture(
        "Each token has a fixed vector, or a transformer reads them all; the sum at length 1 is"
        " what heads read",
        (
            _ASKED,
            Panel(
                "one vector",
                scatter(arrow=True),
                ("sum of token vectors, or", "a transformer's; length 1"),
            ),
            _OUTCOMES,
        ),
    ),
    "task-guess": Picture(
        "From the embedding a probability of each task; heads read those, and each task has its"
        " mean gain",
        (
            Panel("embedding", scatter(arrow=True), ("what the text is about",)),
            Panel(
                "which task is it",
                bars(("maths", 0.7), ("law", 0.1), ("code", 0.25), ("other", 0.05)),
                ("probabilities that", "add up to 1"),
            ),
            Panel(
                "mean gain of a task",
                bars(("maths", 0.6), ("law", 0.2), ("code", -0.2), ("other", 0.1)),
                ("few samples: nearer", "to the mean of all"),
            ),
            _GAIN,
        ),
    ),
    "neighbours": Picture(
        "How near the request is to each of up to 256 centres of the fit samples; every centre"
        " learns how requests around it fare",
        (
            Panel("centres", scatter(centres=True, arrow=True), ("k-means of the", "fit samples")),
            Panel(
                "shares",
                bars(("centre 1", 0.7), ("centre 2", 0.25), ("centre 3", 0.05)),
                ("softmax of cosines,", "they add up to 1"),
            ),
            _OUTCOMES,
        ),
    ),
    "trees": Picture(
        "Numbers of what the tokens are like and principal components of the embedding; boosted"
        " trees ask one after the other and say the gain",
        (
            Panel(
                "what tokens are like",
                bars(("digits", 0.5), ("questions", 0.3), ("signs", 0.2), ("rare words", 0.6)),
                ("all, the first 48 and", "the last 48 tokens"),
            ),
            Panel(
                "components",
                bars(("axis 1", 0.6), ("axis 2", -0.3), ("axis 3", 0.2)),
                ("32 axes along which", "embeddings differ most"),
            ),
            Panel(
                "30 to 260 trees",
                branches("digits above 0.1?", "no", "yes", "-0.01", "+0.02"),
                ("each adds a little", "to the gain"),
            ),
            _GAIN,
        ),
    ),
    "numbers": Picture(
        "Counts of the functions that a request offers, and how many of a function's words are in"
        " the question; heads read their logarithms, and trees read them as they are",
        (
            Panel(
                "request with its tools",
                layers("weather in Oslo?", "get_weather(city, day)", "book_room(people)"),
                ("of the body, or from", "the system message"),
            ),
            Panel(
                "25 numbers",
                bars(("functions", 0.3), ("parameters", 0.5), ("best fit", 0.8), ("second", 0.1)),
                ("counts and quotients:", "the same bits anywhere"),
            ),
            Panel(
                "on a log scale",
                curve(lambda x: log(1 + 30 * x) / log(31)),
                ("standard score, cut at 4;", "nothing offered: unknown"),
            ),
            _OUTCOMES,
        ),
    ),
    "tuned": Picture(
        "The upper layers of an encoder are trained on both outcomes; its own two heads say how"
        " likely each model fails",
        (
            _ASKED,
            Panel(
                "encoder",
                layers("token embeddings", "layers 1 to 3: as they were", "layers 4 to 6: trained"),
                ("on the outcomes of", "the fit samples"),
            ),
            _OUTCOMES,
        ),
    ),
    "beside-task": Picture(
        "Where the router knows the task: a column for it beside the vector, and heads that say"
        " what the mean gain of the task leaves over",
        (
            Panel(
                "request with its task",
                tokens("how", "many", "prime", "factors", "task:", "maths"),
                ("told, not guessed",),
            ),
            Panel(
                "mean gain of its task",
                bars(("maths", 0.6)),
                ("ten samples of the", "overall mean added"),
            ),
            Panel(
                "what it leaves over",
                bars(("n-grams", -0.15), ("trees", 0.2)),
                ("learned from the gain minus", "the mean of the others"),
            ),
            _GAIN,
        ),
    ),
    "combination": Picture(
        "Every channel says a gain; shares decide how much each counts until thousands of labels"
        " say more; the sum becomes the score",
        (
            Panel(
                "gains, out of fold",
                bars(("n-grams", 0.5), ("task guess", 0.7), ("trees", 0.4), ("length", -0.1)),
                ("by heads that did not", "see the request's fold"),
            ),
            Panel(
                "shares",
                bars(("n-grams", 0.9), ("task guess", 0.45), ("trees", 0.45), ("length", 0.02)),
                ("each divided by its spread;", "worth 10,000 samples"),
            ),
            Panel(
                "calibration",
                curve(lambda x: 1 / (1 + 2.718 ** (-9 * (x - 0.5)))),
                ("to what was observed", "where nothing learned"),
            ),
            Panel("score", bars(("score", 0.66)), ("(1 + expected gain) / 2",)),
        ),
    ),
}


if __name__ == "__main__":
    main()
