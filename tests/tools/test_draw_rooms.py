"""The architecture page and its picture say what the code is."""

import re

import pytest

from difficulty.plugins import entry_point_group
from tests.conftest import REPOSITORY
from tests.test_repository import GROUND, LAB, ROUTER_SIDE, SOURCES, room_of
from tools.draw_rooms import PICTURE, direct, draw_rooms, rooms

PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
GROUND_MODULES = {room_of(path) for path in SOURCES if "/" not in path} & GROUND - {""}


def test_picture_is_what_the_code_gives():
    """Run ``python -m tools.draw_rooms`` where it is not."""
    assert PICTURE.read_text(encoding="utf-8") == draw_rooms()


def test_picture_has_a_box_for_every_room_and_no_other():
    boxes = re.findall(r'class="room"[^>]*>([^<]+)<', draw_rooms())
    assert sorted(boxes) == sorted([*rooms(), "ground floor"])


def test_page_has_a_row_for_every_room_and_no_other():
    table = PAGE.partition("## The rooms")[2].partition("## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == rooms()


def test_page_names_the_half_of_each_room():
    for half, names in (("lab", LAB), ("router side", ROUTER_SIDE)):
        rows = re.findall(rf"^\| `(\w+)` \|.*\| {half} \|$", PAGE, flags=re.MULTILINE)
        assert sorted(rows) == sorted(names)


def test_page_names_the_modules_of_the_ground_floor():
    text = PAGE.partition("## The rooms")[2].partition("| room")[0]
    assert set(re.findall(r"`(\w+)`", text)) == GROUND_MODULES


@pytest.mark.parametrize("place", re.findall(r"^\| [^|]+ \| `(\w+/[\w/.]*)`", PAGE, flags=re.M))
def test_places_for_changes_are_there(place):
    assert any((folder / place).exists() for folder in (REPOSITORY / "difficulty", REPOSITORY))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\| `([A-Z]+)`", PAGE))))
def test_registries_are_there(name):
    """A table of names that the page sends readers to is one of some module."""
    assert any(
        re.search(rf"^{name}(:[^=]+)? = ", (REPOSITORY / "difficulty" / path).read_text(), re.M)
        for path in SOURCES
    )


def test_entry_points_are_those_that_the_code_asks_for():
    """The group of a kind is its name in the plural."""
    text = "".join((REPOSITORY / "difficulty" / path).read_text() for path in SOURCES)
    kinds = set(re.findall(r'(?:resolve|known_names)\([^\n]+, kind="([a-z ]+)"', text))
    groups = {entry_point_group(kind) for kind in kinds}
    assert set(re.findall(r"`(difficulty\.\w+s)` \|$", PAGE, flags=re.MULTILINE)) == groups


def test_arrows_that_follow_from_others_are_left_out():
    """From c to a there is a way through b already."""
    imports = {"a": set(), "b": {"a"}, "c": {"a", "b"}}
    assert direct(imports) == {("b", "a"), ("c", "b")}
