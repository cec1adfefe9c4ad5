import math

import pytest

from difficulty.errors import UnknownNameError
from difficulty.plugins import known_names, resolve

TABLE = {"root": "math:sqrt", "gone": "no_such_module:thing"}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package that adds the name ``power`` to the kind "test shape"."""
    info = tmp_path / "shapes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[difficulty.test_shapes]\npower = math:pow\nroot = math:cbrt\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_resolve_gives_what_the_table_names():
    """Other names of the table are not imported: one of them does not exist."""
    assert resolve("root", TABLE, kind="test shape") is math.sqrt


def test_resolve_refuses_an_unknown_name_and_lists_the_known():
    with pytest.raises(
        UnknownNameError,
        match=r"unknown test shape 'roots', perhaps 'root' is meant\. Known: gone, root\.",
    ):
        resolve("roots", TABLE, kind="test shape")


@pytest.mark.usefixtures("plugin")
def test_resolve_finds_names_that_other_packages_add():
    assert resolve("power", TABLE, kind="test shape") is math.pow
    assert known_names(TABLE, kind="test shape") == ["gone", "power", "root"]


@pytest.mark.usefixtures("plugin")
def test_resolve_prefers_the_own_name():
    assert resolve("root", TABLE, kind="test shape") is math.sqrt


@pytest.mark.usefixtures("plugin")
def test_names_of_another_kind_are_not_known():
    assert known_names({}, kind="test line") == []
