"""The demo writes today what it wrote when ``tests/data/freeze`` was made; see ``tests/freeze.py``.

A change that means to write something else makes the reference anew (``python -m tests.freeze``)
and says so. Decisions on ``docs/vectors`` are held by ``tests/test_docs.py``.
"""

import pytest

from tests.freeze import (
    digests_of,
    first_difference,
    names_in,
    outlines_of,
    read_reference,
    this_machine,
    write_demo,
)

MACHINE, DIGESTS, OUTLINES = read_reference()
SAME_MACHINE = this_machine() == MACHINE


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("freeze"))


@pytest.fixture(scope="session")
def outlines(demo):
    return outlines_of(demo)


@pytest.fixture(scope="session")
def digests(demo):
    return digests_of(demo)


@pytest.mark.long
def test_demo_writes_the_same_files(demo):
    assert names_in(demo) == list(OUTLINES)


@pytest.mark.long
@pytest.mark.parametrize("name", list(OUTLINES))
def test_file_of_the_demo_is_as_it_was(outlines, digests, name):
    """First what it says, so that a difference is named, then its bytes."""
    difference = first_difference(name, OUTLINES[name], outlines[name], same_machine=SAME_MACHINE)
    assert not difference, difference
    if SAME_MACHINE and name in DIGESTS:
        message = f"{name}: bytes differ, though by less than 1e-9 or beyond the outline"
        assert digests[name] == DIGESTS[name], message


@pytest.mark.parametrize(
    ("before", "after", "same_machine", "said"),
    [
        ('{"a": 0.5}', '{"a": 0.50000000001}', True, ""),
        ('{"a": 0.5}', '{"a": 0.5000001}', True, "line 1, from column 1:"),
        ('{"a": 0.5}', '{"a": 0.5000001}', False, ""),
        ('{"a": 0.5}', '{"a": 0.51}', False, "line 1"),
        ('x\n{"a": 0.5}', 'x\n{"b": 0.5}', False, "line 2"),
        ("x 1", "x 1 2", True, "line 1"),
        ("x", "x\ny", True, "was 1 lines, now 2"),
    ],
)
def test_comparison_sees_words_and_numbers(before, after, same_machine, said):
    difference = first_difference("run/m.json", before, after, same_machine=same_machine)
    assert said in difference
    assert bool(said) == bool(difference)


def test_scores_of_float32_may_differ_by_a_hundredth_on_another_processor():
    """There a request near the threshold may go the other way."""
    assert not first_difference("report/m.json", "0.500 of 247", "0.501 of 248", same_machine=False)
    assert first_difference("report/m.json", "0.50", "0.52", same_machine=False)
