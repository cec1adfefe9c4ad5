"""The parts of a body are counted in time that grows with it, and as JSON has them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from difficulty.serving.call_bodies import MOST_DEEP, RefusedError, measure_parts, parse_body

ENDLESS = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from difficulty.serving.call_bodies import has_too_many_parts
body = b'"' + b'\\\\"' * 50_000 + b',' * 2_000_100
has_too_many_parts(body)
"""


def test_a_text_without_an_end_is_counted_at_once():
    """Four seconds of an expression for 20 quotes grew to hours for these; 20 s of processor time
    are asked of the process.
    """
    done = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("seed", range(20))
def test_only_what_stands_outside_of_texts_counts(seed):
    rng = np.random.default_rng(seed)
    signs = list('[{,"\\ab:]}')
    texts = ["".join(rng.choice(signs, 12)) for _ in range(6)]
    value = [{text: texts} for text in texts]
    body = json.dumps(value).encode()
    # An object and a list for each row, and the commas between; one list around all.
    expected = 1 + len(value) * 2 + sum(len(texts) - 1 for _ in value) + len(value) - 1
    assert measure_parts(body).entries == expected


def test_blocks_do_not_cut_what_is_escaped():
    """Backslashes and quotes around the end of each block."""
    text = '\\"[,' * 100_000 + "\\" * 99_999
    for shift in range(6):
        body = json.dumps(["x" * shift + text, [1, 2]]).encode()
        assert measure_parts(body).entries == 4


@pytest.mark.parametrize("shift", range(3))
def test_depth_is_that_of_the_deepest_part(shift):
    """Brackets in texts are none, whatever block they stand in."""
    text = "x" * shift + '[{"\\' * 100_000
    value = [text, [[], [[text]]], {"a": {"b": []}}]
    assert measure_parts(json.dumps(value).encode()).depth == 4


def test_bodies_that_are_nested_too_deep_are_refused():
    fits = b"[" * MOST_DEEP + b"]" * MOST_DEEP
    assert parse_body(fits)
    assert len(parse_body(b"[" + b",".join([b"[{}]"] * MOST_DEEP) + b"]")) == MOST_DEEP
    with pytest.raises(RefusedError, match="nested at most 200 deep"):
        parse_body(b"[" + fits + b"]")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "a request must be JSON: it is empty"),
        (b"{", "a request must be JSON: it ends too soon"),
        (b'{"a": "b', "a request must be JSON: it ends too soon"),
        (b'{"a":\n 1, b}', "a request must be JSON: it breaks at line 2, column 5"),
        (b"{} {}", "a request must be JSON: it ends at character 4, and more follows"),
        (b"\xff", "a request must be JSON: it is no UTF-8, from byte 0xff at position 0 on"),
        (b'{"a": NaN}', "a request must be JSON: a number is too large, or none"),
        (b'{"a": 1e999}', "a request must be JSON: a number is too large, or none"),
        (b"9" * 5_000, "a request must be JSON: a number is too large, or none"),
    ],
)
def test_what_is_no_json_is_told_in_plain_words(body, said):
    with pytest.raises(RefusedError) as refused:
        parse_body(body)
    assert refused.value.error == said


def test_half_characters_go_no_further():
    """Decided on they can be; no model's server could be sent them."""
    pair, half = b'["\\ud83d\\ude00"]', b'["\\ud83d x"]'
    assert parse_body(pair, is_sent_on=True) == ["\U0001f600"]
    assert parse_body(half) == ["\ud83d x"]
    for body in (half, b'["\xed\xa0\xbd"]'):
        with pytest.raises(RefusedError, match="half of a character"):
            parse_body(body, is_sent_on=True)
