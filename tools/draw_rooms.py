"""Draw the rooms of the package and who imports whom, from the code: ``docs/architecture.svg``.

Run ``python -m tools.draw_rooms`` to draw it again, and ``python -m tools.draw_rooms --check`` to
learn, by exit code 1, that it is not up to date. The order of the rooms is that of the rules in
``tests/test_repository.py``, what a box says is the first sentence of the room's docstring.
"""

from __future__ import annotations

import argparse
import ast
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from html import escape

from tests.conftest import REPOSITORY
from tests.test_repository import ABOVE, DOORS, GROUND, LAB, ROUTER_SIDE, SOURCES, imported, room_of

PICTURE = REPOSITORY / "docs" / "architecture.svg"

WIDTH, MARGIN, GAP = 1040, 16, 10
BOX_HEIGHT, BOX_WIDTH = 58, 400
ARCS = 120
"""Room for the arcs beside each column."""
LAB_X, ROUTER_X = MARGIN + ARCS, WIDTH - MARGIN - ARCS // 2 - BOX_WIDTH
PER_LINE = 66
"""Characters of the small print that fit into a box."""
STEP = BOX_HEIGHT + GAP
NOTE = (
    "Blue: the lab, which makes a scorer.",
    "Green: the router side, which carries it and stays light.",
    "An arrow says \u201cimports\u201d; those that follow from others are left out.",
    "Every room may import the ground floor; stages, face and cli all rooms below them.",
)
FILLS = {"ground": "#eceff1", "lab": "#e3f0fb", "router": "#e6f4e6", "above": "#fdf1dc"}


def main() -> None:
    """Draw the picture, or check it."""
    parser = argparse.ArgumentParser(description="Draw docs/architecture.svg from the code.")
    parser.add_argument("--check", action="store_true", help="fail when it is not up to date")
    if not parser.parse_args().check:
        PICTURE.write_text(draw_rooms(), encoding="utf-8")
    elif not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != draw_rooms():
        sys.exit("docs/architecture.svg is not up to date: run python -m tools.draw_rooms")


def rooms() -> list[str]:
    """Return the rooms: folders, and modules at the top that are not of the ground floor."""
    named = {room_of(path) for path in SOURCES if "/" in path or room_of(path) not in GROUND}
    return sorted(named - {*DOORS})


def room_imports() -> dict[str, set[str]]:
    """Return for each room above the ground floor the other such rooms that it imports."""
    imports: dict[str, set[str]] = {room: set() for room in rooms() if room not in GROUND}
    for path, tree in SOURCES.items():
        if (room := room_of(path)) in imports:
            names = (name.split(".") for name in imported(tree))
            imports[room] |= {name[1] for name in names if name[0] == "difficulty"}
    return {room: (names & {*imports}) - {room} for room, names in imports.items()}


def direct(imports: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Return the arrows that do not follow from others: without them the picture is a thicket."""
    return {
        (room, below)
        for room, names in imports.items()
        for below in names
        if not any(below in _reached(between, imports) for between in names - {below})
    }


def _reached(room: str, imports: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [room]
    while waiting:
        new = imports[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def draw_rooms() -> str:
    """Return the picture as SVG."""
    imports = room_imports()
    lab = [room for room in LAB if room in imports]
    router = [room for room in (*ROUTER_SIDE, "integrations", "serving") if room in imports]
    columns = dict.fromkeys(lab, "lab") | dict.fromkeys(router, "router")
    floor = MARGIN + (len(lab) + 3) * STEP  # the top of the ground floor
    tops = {room: floor - STEP * place for side in (lab, router) for place, room in _counted(side)}
    tops |= {"stages": floor - STEP * (len(lab) + 1), "face": MARGIN + STEP, "cli": MARGIN}
    height = floor + BOX_HEIGHT + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            f' width="{WIDTH}" height="{height}" font-family="sans-serif" role="img"'
            ' aria-label="The rooms of the package and which imports which">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#546e7a"/></marker>'
            "</defs>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *(_arrow(*ends, tops, columns) for ends in sorted(_arrows(imports, columns))),
            *(_box(room, tops[room], columns[room]) for room in (*lab, *router)),
            *(_box(room, tops[room], "above") for room in ("stages", "face", "cli")),
            *_ground(floor),
            *_note(tops[router[-1]] - STEP),
            "</svg>\n",
        ]
    )


def _counted(rooms: Iterable[str]) -> Iterator[tuple[int, str]]:
    return enumerate(rooms, start=1)


def _arrows(imports: Mapping[str, set[str]], columns: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return the arrows inside each column, thinned, and all that cross from one to the other."""
    inside = {
        room: {below for below in imports[room] if columns.get(below) == side}
        for room, side in columns.items()
    }
    crossing = {
        (room, below)
        for room, side in columns.items()
        for below in imports[room]
        if columns.get(below, side) != side
    }
    return direct(inside) | crossing


def _box(room: str, top: int, side: str) -> str:
    left = ROUTER_X if side == "router" else LAB_X
    width = ROUTER_X + BOX_WIDTH - LAB_X if side == "above" else BOX_WIDTH
    fill = FILLS["above" if room in ABOVE else side]
    lines = _wrapped(_summary(room), PER_LINE * width // BOX_WIDTH)
    return _rectangle(left, top, width, fill, room, lines)


def _ground(top: int) -> Iterator[str]:
    """Yield the boxes of the shared modules and of the rooms that stand beside them."""
    modules = ", ".join(sorted(room for room in GROUND if f"{room}.py" in SOURCES))
    fill = FILLS["ground"]
    yield _rectangle(LAB_X, top, BOX_WIDTH, fill, "ground floor", _wrapped(modules, PER_LINE))
    beside = [room for room in rooms() if room in GROUND]
    width = BOX_WIDTH // max(len(beside), 1)
    for place, room in enumerate(beside):
        lines = _wrapped(_summary(room), PER_LINE * width // BOX_WIDTH)
        yield _rectangle(ROUTER_X + place * width, top, width, fill, room, lines)


def _note(bottom: int) -> Iterator[str]:
    """Yield the lines that say how to read the picture, where the right column leaves room."""
    for place, line in enumerate(reversed(NOTE), start=1):
        yield (
            f'<text x="{ROUTER_X + 12}" y="{bottom + BOX_HEIGHT - 18 * place}" font-size="12"'
            f' fill="#455a64">{escape(line)}</text>'
        )


def _rectangle(left: int, top: int, width: int, fill: str, name: str, lines: Iterable[str]) -> str:
    small = "".join(
        f'<text x="{left + 12}" y="{top + 36 + 14 * place}" font-size="11" fill="#455a64">'
        f"{escape(line)}</text>"
        for place, line in enumerate(lines)
    )
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{BOX_HEIGHT}" rx="6" fill="{fill}"'
        f' stroke="#90a4ae"/><text class="room" x="{left + 12}" y="{top + 20}" font-size="14"'
        f' font-weight="bold" fill="#263238">{escape(name)}</text>{small}'
    )


def _arrow(room: str, below: str, tops: Mapping[str, int], columns: Mapping[str, str]) -> str:
    """Return an arc beside a column, or a dashed line where an arrow crosses to the other side."""
    begin, end = tops[room] + BOX_HEIGHT // 2 + 6, tops[below] + BOX_HEIGHT // 2 - 6
    look = 'fill="none" stroke="#546e7a" marker-end="url(#tip)"'
    if columns[room] != columns[below]:
        path = f"M{LAB_X + BOX_WIDTH} {begin}L{ROUTER_X - 2} {end}"
        return f'<path d="{path}" {look} stroke-dasharray="5 4"/>'
    steps = (end - begin) // STEP + 1
    bulge = min(ARCS - 8, 18 + 16 * steps)
    edge, way = (LAB_X, -1) if columns[room] == "lab" else (ROUTER_X + BOX_WIDTH, 1)
    turn = edge + way * bulge
    path = f"M{edge} {begin}C{turn} {begin} {turn} {end} {edge + 2 * way} {end}"
    return f'<path d="{path}" {look}/>'


def _summary(room: str) -> str:
    """Return the first sentence of the room's docstring."""
    source = SOURCES.get(f"{room}/__init__.py") or SOURCES[f"{room}.py"]
    doc = ast.get_docstring(source) or ""
    return (
        " ".join(doc.partition("\n\n")[0].split())
        .partition(". ")[0]
        .partition("; see")[0]
        .rstrip(".")
    )


def _wrapped(words: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(words, width, max_lines=2, placeholder=" ...")


if __name__ == "__main__":
    main()
