from dataclasses import FrozenInstanceError, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from difficulty.errors import FieldError, InvalidValueError, RecipeError
from difficulty.form import (
    Form,
    above,
    at_least,
    at_most,
    below,
    between,
    finite,
    matching,
    non_empty,
    parse_toml,
    read_json,
    read_toml,
)


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
    luggage: Annotated[float, finite, at_least(0)] | tuple[float, float] = 0.0
    window: Stop | Literal[False] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.full and self.seat:
            raise FieldError("must be full or have a seat, not both")


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
        "luggage": [1, 2.5],
        "window": {"town": "Metz"},
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
        luggage=(1.0, 2.5),
        window=Stop(town="Metz"),
    )
    assert type(Ticket.parse(form).price) is float


def test_as_dict_is_json_that_parses_to_the_same():
    ticket = Ticket(
        price=3,
        bought=datetime(2026, 11, 26, tzinfo=UTC),
        stops=(Stop(town="Lyon"),),
        file=Path("a"),
    )
    form = ticket.as_dict(without={"shares", "notes", "full", "kind", "luggage"})
    assert form == {
        "price": 3.0,
        "seat": None,
        "day": None,
        "bought": "2026-11-26T00:00:00Z",
        "stops": [{"town": "Lyon", "minutes": 5}],
        "file": "a",
        "window": False,
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
        ({"stops": ["Lyon"]}, "stops.0 must be a section: got 'Lyon'."),
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
        ({"shares": []}, "shares must be a section: got []."),
        (
            {"colour": "red"},
            (
                "colour is not a field that this version knows: got 'red'. Known: bought, day,"
                " file, full, kind, luggage, notes, price, seat, shares, stops, window."
            ),
        ),
        ({"file": 3}, "file must be a path: got 3."),
        (
            {"sloth": 1},
            (
                "sloth is not a field that this version knows: got 1. Known: bought, day, file,"
                " full, kind, luggage, notes, price, seat, shares, stops, window."
            ),
        ),
        (
            {"stop": []},
            "stop is not a field that this version knows: got []. Perhaps 'stops' is meant.",
        ),
        ({"day": datetime(2026, 11, 27)}, "day must be a date as 2026-11-27: got datetime"),
        ({"bought": date(2026, 11, 27)}, "bought must be a time as 2026-11-27T09:30:00Z: got date"),
        ({"luggage": float("inf")}, "luggage must be a finite number or be a list of 2: got inf."),
        ({"luggage": "2"}, "luggage must be a number or be a list of 2: got '2'."),
        ({"luggage": [1, 2, 3]}, "luggage must be a number or be a list of 2: got [1, 2, 3]."),
        ({"luggage": [1, "2"]}, "luggage.1 must be a number: got '2'."),
        ({"window": True}, "window must be a section or be false: got True."),
        ({"window": 0}, "window must be a section or be false: got 0."),
        ({"window": {"town": ""}}, "window.town must be a non-empty string: got ''."),
        ({"full": True, "seat": "12A"}, "content must be full or have a seat, not both."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parse_refuses(change, message):
    with pytest.raises(FieldError) as caught:
        Ticket.parse({"price": 1.0, **change})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("content", [None, [], "price", 1])
def test_parse_needs_an_object(content):
    with pytest.raises(FieldError, match="content must be a section: got "):
        Ticket.parse(content)


@pytest.mark.parametrize("digits", [400, 5_000])
def test_number_that_no_float_holds_is_refused(digits):
    with pytest.raises(FieldError, match="price must be a number: got "):
        Ticket.parse({"price": 10**digits})


def test_long_values_are_cut_in_the_message():
    with pytest.raises(FieldError) as caught:
        Ticket.parse({"price": "9" * 10_000})
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("rule", "holding", "breaking"),
    [
        (at_least(2), [2, 3], [1, float("nan")]),
        (at_most(2**24), [2**24], [2**24 + 1]),
        (above(0), [1e-9], [0]),
        (below(1), [0.999], [1]),
        (between(1, 16_384), [1, 16_384], [0, 16_385]),
        (finite, [1e300], [float("inf"), float("-inf"), float("nan")]),
    ],
    ids=lambda value: getattr(value, "text", None),
)
def test_rule_holds_up_to_its_ends(rule, holding, breaking):
    assert all(map(rule.holds, holding))
    assert not any(map(rule.holds, breaking))


def test_numbers_in_a_rule_are_written_out():
    assert between(1, 2**24).text == "be in [1, 16777216]"


def test_refusal_names_the_file_and_says_what_to_do():
    """In the caller's own error, or as it is."""
    with pytest.raises(RecipeError) as caught:
        Ticket.parse_from("t.toml", {"price": -1}, error=RecipeError, advice="Pay.")
    assert str(caught.value) == "t.toml: price must be above 0: got -1. Pay."
    with pytest.raises(FieldError, match=r"^t\.toml: price is missing\.$") as caught:
        Ticket.parse_from("t.toml", {})
    assert caught.value.where == ("price",)


def test_file_that_is_not_there_is_refused_as_that(tmp_path):
    with pytest.raises(InvalidValueError, match=r"tickets must exist: got '.*a\.toml'. Check the"):
        read_toml(tmp_path / "a.toml", "tickets")


@pytest.mark.parametrize(
    "key", ["{}.a = 1", "[{}.a]", "a = {{ {}.a = 1 }}", '"b".{}.a = 1', " \t{} . a = 1"]
)
def test_key_of_very_many_parts_is_refused_before_it_is_read(key):
    """The reader's time grows with the square of their number: an hour for a file of a megabyte."""
    parts = ".".join(["a"] * 400_000)
    with pytest.raises(ValueError, match="it nests too deeply"):
        parse_toml(key.format(parts))
    assert parse_toml(key.format(".".join(["a"] * 50)))
    text = 'a = """\n' + "x.y, 1.2.3\n" * 1000 + '"""'
    assert len(parse_toml(text)["a"]) == 11_000


@pytest.mark.parametrize("content", [b"a = ", b"\xff"])
def test_file_that_is_no_toml_is_refused(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(
        InvalidValueError, match=r"tickets must be a readable TOML file: got '.*a\.toml'"
    ):
        read_toml(tmp_path / "a.toml", "tickets")


def test_building_and_replacing_are_checked_too():
    with pytest.raises(FieldError, match="price must be above 0"):
        Ticket(price=-1)
    with pytest.raises(FieldError, match="seat must be a row"):
        replace(Ticket(price=1), seat="window")
    with pytest.raises(FrozenInstanceError):
        Ticket(price=1).price = 2


@pytest.mark.parametrize(
    "read", [parse_toml, lambda text: read_json(b'{"a": ' + text[4:].encode() + b"}")]
)
def test_number_that_python_does_not_read_is_told_without_its_advice(read):
    with pytest.raises(ValueError, match="^it holds a whole number of more digits than"):
        read("a = " + "9" * 5_000)
