"""Tests of arrays that lie in files."""

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest

from difficulty.storage import mapped
from difficulty.storage.mapped import (
    GrowingRows,
    is_mapped,
    let_go,
    load_rows,
    parts_of_rows,
    save_rows,
    write_arrays,
)

ROWS = np.arange(3_000, dtype=np.int32).reshape(1_000, 3)


@pytest.fixture(params=[0, 1 << 20], ids=["in a file", "in memory"])
def rows(request):
    """Rows that came in blocks, and whether they lie in a file."""
    growing = GrowingRows(np.int32, (3,), most=request.param)
    for start in range(0, len(ROWS), 300):
        growing.add(ROWS[start : start + 300])
    return growing.whole(), request.param == 0


def test_rows_are_what_was_added(rows):
    """Wherever they lie; nobody may write to them."""
    whole, in_file = rows
    assert is_mapped(whole) == in_file
    assert np.array_equal(whole, ROWS)
    assert not whole.flags.writeable


def test_rows_are_there_again_after_they_were_let_go(rows):
    """What is let go of is read from the file again; arrays in memory stay."""
    whole, in_file = rows
    assert is_mapped(np.asarray(whole)[5:]) == in_file  # a view of another kind as well
    first = whole[:10].copy()
    let_go(np.asarray(whole))
    let_go(whole, 500, 900)
    assert np.array_equal(whole[:10], first)
    assert np.array_equal(whole, ROWS)


def test_no_rows_are_an_empty_array():
    """Of the shape that was said."""
    assert GrowingRows(np.float32, (4,)).whole().shape == (0, 4)


def test_parts_are_all_rows(rows, monkeypatch):
    """In order, some at a time."""
    monkeypatch.setattr(mapped, "_PART", 1_000)
    parts = [*parts_of_rows(rows[0])]
    assert len(parts) > 1
    assert np.array_equal(np.concatenate(parts), ROWS)


@pytest.mark.parametrize("packed", [False, True])
def test_archive_has_the_bytes_of_numpys(rows, packed, tmp_path, monkeypatch):
    """Written a part at a time."""
    monkeypatch.setattr(mapped, "_PART", 1_000)
    words = np.array(["é", "b"])
    write_arrays(tmp_path / "own.npz", {"rows": rows[0], "words": words}, packed=packed)
    with (tmp_path / "numpys.npz").open("wb") as file:
        (np.savez_compressed if packed else np.savez)(file, rows=ROWS, words=words)
    own, numpys = (np.load(tmp_path / name) for name in ("own.npz", "numpys.npz"))
    with own, numpys:
        assert own.files == numpys.files
        for name in own.files:
            assert own.zip.read(f"{name}.npy") == numpys.zip.read(f"{name}.npy")


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_saved_rows_are_read_back(most, tmp_path, monkeypatch):
    """Large ones stay in their file, which may be removed meanwhile."""
    monkeypatch.setattr(mapped, "MOST_IN_MEMORY", most)
    save_rows(tmp_path / "rows.npy", ROWS)
    array = load_rows(tmp_path / "rows.npy")
    (tmp_path / "rows.npy").unlink()
    assert is_mapped(array) == (most == 0)
    assert np.array_equal(array, ROWS)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_full_disk_is_told_by_its_place(monkeypatch):
    """Where temporary files lie, or the file that was to be written."""
    full = Path("/dev/full")
    growing = GrowingRows(np.int32, (3,), most=0)
    with full.open("w+b", buffering=0) as file:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: file)
        with pytest.raises(OSError, match="No space left") as refused:
            growing.add(ROWS)
    assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, tempfile.gettempdir())
    with pytest.raises(OSError, match="No space left") as refused:
        save_rows(full, ROWS)
    assert refused.value.filename == str(full)
