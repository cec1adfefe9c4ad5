import pytest

from difficulty.files import whole_file


def test_file_takes_its_place_at_the_end_and_others_can_read_it(tmp_path):
    with whole_file(tmp_path / "new" / "out.jsonl") as file:
        file.write("x\n")
        assert not (tmp_path / "new" / "out.jsonl").exists()
    assert (tmp_path / "new" / "out.jsonl").read_bytes() == b"x\n"
    assert (tmp_path / "new" / "out.jsonl").stat().st_mode & 0o777 == 0o644


def test_old_file_stays_when_writing_fails(tmp_path):
    (tmp_path / "out.jsonl").write_text("old")
    with pytest.raises(UnicodeEncodeError), whole_file(tmp_path / "out.jsonl") as file:
        file.write("\ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.jsonl", "old")]


def test_lone_surrogates_are_written_as_asked(tmp_path):
    with whole_file(tmp_path / "out.txt", errors="replace") as file:
        file.write("a\ud800")
    assert (tmp_path / "out.txt").read_text() == "a?"
