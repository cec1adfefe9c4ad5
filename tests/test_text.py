"""Quantities as people read them."""

import ast
import re
from pathlib import Path

import pytest

from difficulty.text import part_text, quantity_text


@pytest.mark.parametrize(
    ("n", "words", "text"),
    [
        (0, ("sample",), "0 samples"),
        (1, ("sample",), "1 sample"),
        (1.0, ("row has", "rows have"), "1 row has"),
        (2, ("row has", "rows have"), "2 rows have"),
        (12_345, ("labelled request",), "12,345 labelled requests"),
    ],
)
def test_one_is_not_many(n, words, text):
    assert quantity_text(n, *words) == text


def test_part_agrees_with_how_many_it_is():
    """One of five was, three of five were; no message of the package writes such a pair by hand."""
    assert part_text(1, 5, "row", "was", "were") == "1 of 5 rows was"
    assert part_text(3, 1_200, "row", "was", "were") == "3 of 1,200 rows were"
    by_hand = re.compile(r"\{\} of \{\} [a-z ]*s (?:were|are|have|do|look)\b")
    found = []
    for path in sorted((Path(__file__).parents[1] / "difficulty").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    each.value if isinstance(each, ast.Constant) else "{}" for each in node.values
                )
                if by_hand.search("".join(parts)):
                    found.append(f"{path.name}:{node.lineno}")
    assert found == []
