import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.traffic.reading.python_text import python_value, texts_of_list


def test_a_list_of_texts_is_read_by_hand():
    assert texts_of_list("""['It\\'s\\n', "two", 'caf\\xe9 \\u20ac \\\\n']""") == [
        "It's\n",
        "two",
        "café € \\n",
    ]


@given(st.lists(st.text(), min_size=1))
def test_every_list_of_texts_that_python_writes_is_read_back(texts):
    assert texts_of_list(repr(texts)) == texts


@pytest.mark.parametrize(
    "cell",
    ["", "['a', 1]", "['a'", "[]", "hello ['a']", "['a'] then", "__import__('os')", "['a' 'b']"],
)
def test_what_is_no_list_of_texts_is_none(cell):
    assert texts_of_list(cell) is None


def test_a_hostile_cell_takes_no_time():
    start = time.perf_counter()
    assert texts_of_list("['" + "\\" * 2_000_001 + "'] x") is None
    assert texts_of_list("['a'" + " " * 1_000_000 + "x") is None
    assert time.perf_counter() - start < 5


def test_messages_that_pandas_wrote_are_read_and_nothing_is_run():
    assert python_value("[{'role': 'user', 'content': None}]") == [
        {"role": "user", "content": None}
    ]
    for cell in ("__import__('os').getcwd()", "[" * 10_000, "1 +", "'x'" * 400_000):
        with pytest.raises(ValueError, match="Python|more than|malformed"):
            python_value(cell)
