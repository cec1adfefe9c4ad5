"""Functions on local paths take URLs: copied in before, and out after."""

import sys
from pathlib import Path

import pytest

from difficulty.cli.app import holding
from difficulty.errors import OutputExistsError, StorageError, TrafficError, UnknownNameError
from difficulty.storage import (
    local_copy,
    named,
    on_urls,
    place_of,
    refuse_existing,
    url_of,
    whole_file,
)
from difficulty.storage.remote import Place


@pytest.fixture
def root(tmp_path):
    return f"memory://{tmp_path.name}"


@on_urls
def upper(source: Path, out: Path, *, overwrite: bool = False, journal: Path | None = Path("j")):
    refuse_existing(out, overwrite=overwrite)
    with whole_file(out) as file:
        file.write(source.read_text().upper())
    notes = out.with_name(f"{out.stem}.notes.txt")
    if "note" in source.read_text():
        notes.write_text("a note")
    else:
        notes.unlink(missing_ok=True)
    if "fail" in source.read_text():
        raise TrafficError(f"{source} must not fail: {out} was written.")
    return named(str(out))


@on_urls
def folder(out_path: Path, name: str = "manifest.json"):
    refuse_existing(out_path / name)
    out_path.mkdir(exist_ok=True)
    (out_path / name).write_text("x")


@on_urls
def kinds(one: Path, some: list[Path], name: str, either: str | Path, none: Path | None = None):
    return [type(value).__name__ for value in (one, *some, name, either, none)]


def test_texts_are_paths_where_only_paths_may_stand(tmp_path):
    """In a notebook a path is a text; a text that is one stays."""
    told = kinds("a", ["b", Path("c")], "d", "e")
    assert told == ["PosixPath", "PosixPath", "PosixPath", "str", "str", "NoneType"]
    assert kinds(Path("a"), (), "d", Path("e"), none="f")[-1] == "PosixPath"
    (tmp_path / "a.txt").write_text("text")
    upper(str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))
    assert (tmp_path / "b.txt").read_text() == "TEXT"


def put(url, text, tmp_path):
    (tmp_path / "put").write_text(text)
    Place(url).copy_file_out(tmp_path / "put")


def text_at(url):
    with Place(url).open() as file:
        return file.read().decode()


def test_urls_are_known_though_a_path_lost_a_slash(tmp_path):
    assert url_of(Path("s3://bucket/a")) == url_of("s3://bucket/a") == "s3://bucket/a"
    assert url_of(Path("file:///a/b")) == "file:///a/b"
    assert [url_of(path) for path in ("a/b", "/a:/b", "C:/a", Path("s3"), "-")] == [None] * 5
    with pytest.raises(UnknownNameError, match="unknown storage 's4://'"):
        url_of("s4://bucket/a")


def test_output_and_what_lies_beside_it_are_copied_out(root, tmp_path):
    put(f"{root}/a.txt", "note", tmp_path)
    told = upper(Path(f"{root}/a.txt"), Path(f"{root}/deep/b.txt"))
    assert (text_at(f"{root}/deep/b.txt"), told) == ("NOTE", f"{root}/deep/b.txt")
    assert Place(f"{root}/deep").files() == ["b.notes.txt", "b.txt"]


def test_what_is_there_is_refused_and_replaced_when_allowed(root, tmp_path):
    put(f"{root}/a.txt", "note", tmp_path)
    upper(Path(f"{root}/a.txt"), Path(f"{root}/b.txt"))
    with pytest.raises(OutputExistsError, match=f"'{root}/b.txt' exists already"):
        upper(Path(f"{root}/a.txt"), Path(f"{root}/b.txt"))
    put(f"{root}/a.txt", "plain", tmp_path)
    upper(Path(f"{root}/a.txt"), Path(f"{root}/b.txt"), overwrite=True)
    assert text_at(f"{root}/b.txt") == "PLAIN"
    assert Place(root).files() == ["a.txt", "b.txt"]  # the note of the run before is gone


def test_errors_name_urls_and_what_stands_locally_is_copied(root, tmp_path):
    put(f"{root}/a.txt", "fail", tmp_path)
    with pytest.raises(TrafficError, match=f"^{root}/a.txt must not fail: {root}/b.txt was"):
        upper(Path(f"{root}/a.txt"), Path(f"{root}/b.txt"))
    assert text_at(f"{root}/b.txt") == "FAIL"


def test_what_cannot_be_sent_is_kept_here(root, tmp_path, monkeypatch):
    put(f"{root}/a.txt", "note", tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(place, local):
        raise StorageError(f"{place.url!r} is busy.")

    monkeypatch.setattr(Place, "copy_file_out", fail)
    with pytest.raises(StorageError, match=r"is busy\. What was written is kept in '.*unsent-"):
        upper(Path(f"{root}/a.txt"), Path(f"{root}/b.txt"))
    (kept,) = tmp_path.glob("difficulty-unsent-*")
    assert sorted(path.name for path in kept.iterdir()) == ["b.notes.txt", "b.txt"]
    assert (kept / "b.txt").read_text() == "NOTE"


def test_words_wait_for_the_output_and_go_with_it(root, tmp_path, monkeypatch, capsys):
    """Nothing says that a file was written before it is there, or where it could not be sent."""

    def write(path: Path, out: Path) -> None:
        out.write_text(path.read_text())
        sys.stdout.write("wrote it\n")

    put(f"{root}/a.txt", "note", tmp_path)
    send, said = Place.copy_file_out, []
    monkeypatch.setattr(
        Place, "copy_file_out", lambda *args: (said.append(capsys.readouterr().out), send(*args))
    )
    on_urls(write, hold=holding)(Path(f"{root}/a.txt"), Path(f"{root}/b.txt"))
    assert (said, capsys.readouterr().out) == ([""], "wrote it\n")

    def fail(place, local):
        raise StorageError(f"{place.url!r} is busy.")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Place, "copy_file_out", fail)
    with pytest.raises(StorageError, match="is busy"):
        on_urls(write, hold=holding)(Path(f"{root}/a.txt"), Path(f"{root}/c.txt"))
    assert capsys.readouterr().out == ""


def test_one_place_with_two_names_of_its_storage_is_one():
    assert place_of("s3a://bucket/a/") == place_of("s3://bucket/a") != place_of("gs://bucket/a")


def test_output_is_never_the_input(root, tmp_path):
    put(f"{root}/a.txt", "x", tmp_path)
    with pytest.raises(OutputExistsError, match="must not be what is read"):
        upper(Path(f"{root}/a.txt"), Path(f"{root}/a.txt"), overwrite=True)


def test_journal_stays_on_this_machine(root, tmp_path):
    put(f"{root}/a.txt", "x", tmp_path)
    with pytest.raises(StorageError, match="journal must be on this machine"):
        upper(Path(f"{root}/a.txt"), tmp_path / "b.txt", journal=Path(f"{root}/j"))
    with pytest.raises(StorageError, match="Pass --journal FILE"):
        upper(Path(f"{root}/a.txt"), Path(f"{root}/b.txt"), journal=None)


def test_new_folder_is_written_and_a_report_is_added_to(root):
    folder(Path(f"{root}/run"))
    assert Place(f"{root}/run").files() == ["manifest.json"]
    with pytest.raises(OutputExistsError, match=f"'{root}/run/manifest.json' exists"):
        folder(Path(f"{root}/run"))
    folder(Path(f"{root}/run"), "other.json")
    assert Place(f"{root}/run").files() == ["manifest.json", "other.json"]
    with local_copy(f"{root}/run") as copy:
        assert (copy / "other.json").read_text() == "x"
        assert named(f"at {copy}") == f"at {root}/run"
    assert not copy.exists()


def test_file_urls_are_local_paths(tmp_path):
    (tmp_path / "a b.txt").write_text("x")
    upper(Path(f"file://{tmp_path}/a%20b.txt"), Path(f"file://{tmp_path}/b.txt"))
    assert (tmp_path / "b.txt").read_text() == "X"


def test_local_paths_pass_by(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    assert upper(tmp_path / "a.txt", tmp_path / "b.txt") == str(tmp_path / "b.txt")
