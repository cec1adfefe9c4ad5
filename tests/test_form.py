from dataclasses import FrozenInstanceError, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from difficulty.errors import FieldError
from difficulty.form import Form, above, at_least, between, matching, non_empty


@dataclass(frozen=True, kw_only=True)
class Stop(Form):
    """A town on the way."""

    town: Annotated[str, non_empty]
    minutes: Annotated[int, at_least(0)] = 5


@dataclass(frozen=True, kw_only=True)
class Ticket(Form):
    """One field of each kind."""

    price: Annotated[float, above(0)]
    kind: Literal["single", "return"] = "single"
    seat: Annotated[str, matching("[0-9]+[A-F]", text="be a row and a letter")] | None = None
    full: bool = False
    day: date | None = None
    bought: datetime | None = None
    stops: tuple[Stop, ...] = ()
    shares: dict[str, Annotated[float, between(0, 1)]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None


def test_parse_turns_json_into_what_the_annotations_say():
    form = {
        "price": 2,
        "seat": "12A",
        "day": "2026-11-27",
        "bought": "2026-11-26T09:30:00Z",
        "stops": [{"town": "Lyon"}, {"town": "Nice", "minutes": 0}],
        "shares": {"adult": 1},
        "notes": {"any": [1, None]},
        "file": "a/b.pem",
    }
    assert Ticket.parse(form) == Ticket(
        price=2.0,
        seat="12A",
        day=date(2026, 11, 27),
        bought=datetime(2026, 11, 26, 9, 30, tzinfo=UTC),
        stops=(Stop(town="Lyon", minutes=5), Stop(town="Nice", minutes=0)),
        shares={"adult": 1.0},
        notes={"any": [1, None]},
        file=Path("a/b.pem"),
    )
    assert type(Ticket.parse(form).price) is float


def test_as_dict_is_json_that_parses_to_the_same():
    ticket = Ticket(
        price=3,
        bought=datetime(2026, 11, 26, tzinfo=UTC),
        stops=(Stop(town="Lyon"),),
        file=Path("a"),
    )
    form = ticket.as_dict(without={"shares", "notes", "full", "kind"})
    assert form == {
        "price": 3.0,
        "seat": None,
        "day": None,
        "bought": "2026-11-26T00:00:00Z",
        "stops": [{"town": "Lyon", "minutes": 5}],
        "file": "a",
    }
    assert Ticket.parse(form) == ticket


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": 0}, "price must be above 0: got 0."),
        ({"price": float("nan")}, "price must be above 0: got nan."),
        ({"price": "2"}, "price must be a number: got '2'."),
        ({"price": True}, "price must be a number: got True."),
        ({"full": 1}, "full must be true or false: got 1."),
        ({"kind": "both"}, "kind must be 'single' or 'return': got 'both'."),
        ({"seat": "12a"}, "seat must be a row and a letter: got '12a'."),
        ({"seat": "12A\n"}, "seat must be a row and a letter: got '12A\\n'."),
        ({"day": "soon"}, "day must be a date as 2026-11-27: got 'soon'."),
        ({"bought": 12}, "bought must be a time as 2026-11-27T09:30:00Z: got 12."),
        ({"stops": "Lyon"}, "stops must be a list: got 'Lyon'."),
        ({"stops": ["Lyon"]}, "stops.0 must be an object: got 'Lyon'."),
        (
            {"stops": [{"town": "Lyon"}, {"town": ""}]},
            "stops.1.town must be a non-empty string: got ''.",
        ),
        (
            {"stops": [{"town": "Lyon", "minutes": 1.0}]},
            "stops.0.minutes must be a whole number: got 1.0.",
        ),
        ({"stops": [{"minutes": 1}]}, "stops.0.town is missing."),
        ({"shares": {"adult": 1.5}}, "shares.adult must be in [0, 1]: got 1.5."),
        ({"shares": []}, "shares must be an object: got []."),
        ({"colour": "red"}, "colour is not a field that this version knows: got 'red'."),
        ({"file": 3}, "file must be a path: got 3."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parse_refuses(change, message):
    with pytest.raises(FieldError) as caught:
        Ticket.parse({"price": 1.0, **change})
    assert str(caught.value) == message


@pytest.mark.parametrize("content", [None, [], "price", 1])
def test_parse_needs_an_object(content):
    with pytest.raises(FieldError, match="content must be an object: got "):
        Ticket.parse(content)


def test_long_values_are_cut_in_the_message():
    with pytest.raises(FieldError) as caught:
        Ticket.parse({"price": "9" * 10_000})
    assert len(str(caught.value)) < 120


def test_building_and_replacing_are_checked_too():
    with pytest.raises(FieldError, match="price must be above 0"):
        Ticket(price=-1)
    with pytest.raises(FieldError, match="seat must be a row"):
        replace(Ticket(price=1), seat="window")
    with pytest.raises(FrozenInstanceError):
        Ticket(price=1).price = 2
