"""Quantities as people read them."""

import pytest

from difficulty.text import quantity_text


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
