"""The answer that a text states in the end."""

import pytest

from difficulty.answers.scan import find_stated, lower, place_numbers


@pytest.mark.parametrize(
    ("text", "way", "stated", "different"),
    [
        ("3 and 4\n#### 1,250 \n", "hash", "1,250", 1),
        (r"so \boxed{\frac{1}{2}} and \boxed{3}", "box", "3", 2),
        ('{"reasoning": "7", "answer": "12"}', "json", "12", 1),
        ("First [Yes], no, [No].", "bracket", "No", 2),
        ("The final answer is: **42 apples**", "words", "42 apples**", 1),
        ("The Result would be 5", "words", "5", 1),
        ("we get 5 and then -7.5 of them", "number", "-7.5", 1),
        ("no idea", "none", "", 0),
        (r"\boxed{never closed", "none", "", 0),
        ("####", "none", "", 0),
        ("the answer is", "none", "", 0),
    ],
)
def test_first_way_that_occurs_counts_and_the_last_answer_in_it(text, way, stated, different):
    found = find_stated(text, lower(text), place_numbers(text))
    assert (found.way, found.text, found.different) == (way, stated, different)
    assert text[found.start :].startswith(stated)
