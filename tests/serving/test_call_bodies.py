"""The parts of a body are counted in time that grows with it, and as JSON has them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from difficulty.serving.call_bodies import count_parts_outside_texts

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
    assert count_parts_outside_texts(body) == expected


def test_blocks_do_not_cut_what_is_escaped():
    """Backslashes and quotes around the end of each block."""
    text = '\\"[,' * 100_000 + "\\" * 99_999
    for shift in range(6):
        body = json.dumps(["x" * shift + text, [1, 2]]).encode()
        assert count_parts_outside_texts(body) == 4
