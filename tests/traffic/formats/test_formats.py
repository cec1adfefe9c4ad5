from pathlib import Path

import pytest

from difficulty.errors import TrafficError, TrafficNotFoundError, UnknownNameError
from difficulty.plugins import resolve
from difficulty.stages.ingest import ingest
from difficulty.traffic.formats import FORMATS, find_format
from difficulty.traffic.table import Traffic


def test_a_table_of_the_contract_is_native(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,cheap_quality,frontier_quality\nHi,1,0\n")
    name, _, files = find_format(tmp_path / "a.csv")
    assert (name, files) == ("native", [tmp_path / "a.csv"])


def test_a_table_of_a_prompt_and_two_models_is_routellm(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "prompt,small,big,small_response,big_response\nHi,True,False,x,y\n"
    )
    name, _, files = find_format(tmp_path / "mine.csv")
    assert (name, files) == ("routellm", [tmp_path / "mine.csv"])


def test_a_folder_without_the_layout_is_native(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "Hi"}\n')
    assert find_format(tmp_path)[0] == "native"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_refuses_nothing_at_all(name, tmp_path):
    with pytest.raises(TrafficNotFoundError):
        find_format(tmp_path / "missing", name)
    with pytest.raises(TrafficError):
        find_format(tmp_path, name)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_has_the_two_methods(name):
    format_ = resolve(name, FORMATS, kind="format")()
    assert callable(format_.files)
    assert callable(format_.rows)


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(
        UnknownNameError, match=r"unknown format 'mtbench'. Known: arena, langfuse, litellm, log"
    ):
        find_format(Path(tmp_path), "mtbench")


OUTSIDE = '''
from difficulty.traffic.readers import RawRow


class Grades:
    """Text files in which each line is a mark of the cheap answer and a question."""

    def files(self, path):
        return sorted(path.glob("*.grades")) if path.is_dir() else []

    def rows(self, file):
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            mark, _, question = line.partition(" ")
            fields = {"prompt": question, "cheap_passed": mark == "+", "task": file.stem}
            yield RawRow(str(file), number, fields)
'''


@pytest.fixture
def outside_format(tmp_path, monkeypatch):
    """An installed package that adds the format ``grades``."""
    package = tmp_path / "package"
    info = package / "grades-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grades\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[difficulty.formats]\ngrades = outside_grades:Grades\n")
    (package / "outside_grades.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(package)


@pytest.mark.usefixtures("outside_format")
@pytest.mark.parametrize("name", ["auto", "grades"])
def test_ingest_reads_a_format_of_another_package(tmp_path, name):
    """No module of this package is edited: named, or by its layout."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "maths.grades").write_text("+ What is two plus two?\n- Prove it.\n- \n")
    summary = ingest([tmp_path / "in"], tmp_path / "out.parquet", format=name, allow_rejects=True)
    assert (summary.formats, summary.kept) == ({"grades": 1}, 2)
    assert summary.rejected == {"messages must hold some text to score": 1}
    traffic = Traffic.read(tmp_path / "out.parquet")
    assert traffic.ids == ["maths-1", "maths-2"]
    assert traffic.tasks == ["maths", "maths"]
    assert traffic.outcomes.cheap_quality.tolist() == [1.0, 0.0]
