from pathlib import Path

import pytest

from difficulty.errors import TrafficError, TrafficNotFoundError, UnknownNameError
from difficulty.plugins import resolve
from difficulty.traffic.formats import FORMATS, find_format


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
        UnknownNameError, match=r"unknown format 'mtbench'. Known: log, native, routellm"
    ):
        find_format(Path(tmp_path), "mtbench")
