"""Files and folders appear whole, or nothing does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from difficulty.errors import OutputExistsError
from difficulty.storage import (
    move_into_place,
    read_bounded,
    refuse_existing,
    scratch_beside,
    whole_file,
    whole_folder,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_takes_its_place_at_the_end_and_others_can_read_it(tmp_path):
    with whole_file(tmp_path / "new" / "out.jsonl") as file:
        file.write("x\n")
        assert not (tmp_path / "new" / "out.jsonl").exists()
    assert (tmp_path / "new" / "out.jsonl").read_bytes() == b"x\n"
    assert (tmp_path / "new" / "out.jsonl").stat().st_mode & 0o777 == 0o644
    assert names(tmp_path / "new") == ["out.jsonl"]


def test_old_file_stays_when_writing_fails(tmp_path):
    (tmp_path / "out.jsonl").write_text("old")
    with pytest.raises(UnicodeEncodeError), whole_file(tmp_path / "out.jsonl") as file:
        file.write("\ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.jsonl", "old")]


def test_lone_surrogates_are_written_as_asked(tmp_path):
    with whole_file(tmp_path / "out.txt", errors="replace") as file:
        file.write("a\ud800")
    assert (tmp_path / "out.txt").read_text() == "a?"


def test_folder_takes_its_place_at_the_end_and_others_can_read_it(tmp_path):
    with whole_folder(tmp_path / "deep" / "run") as folder:
        (folder / "a").write_text("x")
        assert not (tmp_path / "deep" / "run").exists()
    assert (tmp_path / "deep" / "run" / "a").read_text() == "x"
    assert (tmp_path / "deep" / "run").stat().st_mode & 0o777 == 0o755
    assert names(tmp_path / "deep") == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_folder_that_is_not_finished_leaves_nothing(tmp_path, error):
    def write():
        with whole_folder(tmp_path / "run") as folder:
            (folder / "a").write_text("x")
            raise error

    with pytest.raises(error):
        write()
    assert names(tmp_path) == []


def test_folder_that_holds_something_is_never_replaced(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "run"):
        pass
    assert (names(tmp_path), names(tmp_path / "run")) == (["run"], ["old"])


@pytest.mark.parametrize("durable", [True, False])
def test_what_must_outlast_a_power_cut_is_synced_before_it_takes_its_place(
    tmp_path, monkeypatch, durable
):
    steps = []
    monkeypatch.setattr(os, "fsync", lambda _: steps.append("fsync"))
    for name in ("rename", "replace"):
        act = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *paths, act=act: (steps.append("move"), act(*paths)))
    with whole_folder(tmp_path / "run", durable=durable) as folder:
        (folder / "a").touch()
    with whole_file(tmp_path / "b", durable=durable):
        pass
    synced = ["fsync", "fsync", "move", "fsync", "fsync", "move", "fsync"]
    assert steps == (synced if durable else ["move", "move"])


def test_scratch_goes_with_what_was_not_moved_out_of_it(tmp_path):
    (tmp_path / "a").write_text("old")
    with scratch_beside(tmp_path / "a") as scratch:
        for name in ("a", "b"):
            (scratch / name).write_text("new")
        move_into_place(scratch / "a", tmp_path / "a")
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "new")


def test_scratch_of_a_killed_process_goes_with_the_next(tmp_path):
    """That of a living one, of another place, and the user's own stay."""
    code = (
        "import os, sys; from pathlib import Path; from difficulty.storage import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'a').write_text('x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False)
    (left,) = names(tmp_path)
    assert left.startswith(".run-")
    assert left.endswith(".part")
    (tmp_path / ".run-backup").mkdir()
    (tmp_path / ".run-backup.part").mkdir()
    with whole_folder(tmp_path / "runs"):
        assert left in names(tmp_path)
        with whole_folder(tmp_path / "run"):
            assert left not in names(tmp_path)
            with scratch_beside(tmp_path / "run"):
                assert len([name for name in names(tmp_path) if name.startswith(".run-")]) == 4
    assert names(tmp_path) == [".run-backup", ".run-backup.part", "run", "runs"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_names_the_file(tmp_path):
    """The device answers as a full disk does, and does not say whose file it was."""
    with pytest.raises(OSError, match="No space left on device") as caught:
        with whole_file(tmp_path / "out.jsonl"), Path("/dev/full").open("w") as full:
            full.write("x")
    assert caught.value.filename == str(tmp_path / "out.jsonl")
    assert names(tmp_path) == []


def test_what_exists_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "old").touch()
    (tmp_path / "link").symlink_to("nowhere")
    refuse_existing(tmp_path / "new", overwrite=False)
    refuse_existing(tmp_path / "old", overwrite=True)
    with pytest.raises(OutputExistsError, match="or pass --overwrite to replace it"):
        refuse_existing(tmp_path / "new", tmp_path / "old", overwrite=False)
    with pytest.raises(OutputExistsError, match="run folder .* remove it first"):
        refuse_existing(tmp_path / "link", what="run folder")


@pytest.mark.parametrize("overwrite", [None, False, True])
def test_a_pipe_is_never_replaced_by_a_file(tmp_path, overwrite):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputExistsError, match="is a device or a pipe"):
        refuse_existing(tmp_path / "pipe", overwrite=overwrite)


def test_a_pipe_in_a_files_place_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read_bounded(tmp_path / "pipe", most=10) == b""
