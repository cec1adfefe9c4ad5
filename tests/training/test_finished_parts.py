"""Parts of an unfinished run are used again, and only where they are its own."""

import numpy as np
import pytest

from difficulty.errors import RunError
from difficulty.training.finished_parts import FinishedParts


def claimed(folder, key, *, resume=True):
    parts = FinishedParts(folder, resume=resume)
    parts.claim({"key": key})
    return parts


def make(calls):
    calls.append(1)
    return {"one": np.arange(3)}


def test_a_finished_part_is_not_made_again(tmp_path):
    calls = []
    for _ in range(2):
        with claimed(tmp_path / "parts", 1) as parts:
            assert parts.arrays("part", lambda: make(calls))["one"].tolist() == [0, 1, 2]
            assert parts.form("form", lambda: {"at": len(calls)}) == {"at": 1}
    assert calls == [1]


@pytest.mark.parametrize(("key", "resume"), [(2, True), (1, False)])
def test_parts_of_another_run_or_unasked_for_are_thrown_away(tmp_path, key, resume):
    calls = []
    with claimed(tmp_path / "parts", 1) as parts:
        parts.arrays("part", lambda: make(calls))
    with claimed(tmp_path / "parts", key, resume=resume) as parts:
        parts.arrays("part", lambda: make(calls))
        parts.remove()
    assert calls == [1, 1]
    assert not (tmp_path / "parts").exists()


def test_an_unfinished_part_counts_for_nothing(tmp_path):
    calls = []

    def broken():
        calls.append(1)
        raise RuntimeError

    with claimed(tmp_path / "parts", 1) as parts, pytest.raises(RuntimeError):
        parts.arrays("part", broken)
    with claimed(tmp_path / "parts", 1) as parts:
        parts.arrays("part", lambda: make(calls))
    assert len(calls) == 2


def test_two_trainings_do_not_share_parts(tmp_path):
    with claimed(tmp_path / "parts", 1), pytest.raises(RunError, match="another one is writing"):
        claimed(tmp_path / "parts", 1)


def test_without_a_claim_nothing_is_kept(tmp_path):
    parts, calls = FinishedParts(tmp_path / "parts"), []
    assert not parts.kept
    parts.arrays("part", lambda: make(calls))
    assert not (tmp_path / "parts").exists()
