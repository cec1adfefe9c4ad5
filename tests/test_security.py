"""SECURITY.md: its numbers are the code's."""

import dataclasses
import re
from importlib import import_module

import pytest

from tests.conftest import REPOSITORY

ROWS = re.findall(
    r"^\| [^|]+ \| ([\d,]+)(?: (GiB|MiB|s))? \| `([\w.]+):([\w.]+)` \|$",
    (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)
UNITS = {"": 1, "s": 1, "MiB": 1 << 20, "GiB": 1 << 30}


def test_limits_are_named():
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("number", "unit", "module", "name"), ROWS, ids=lambda value: str(value))
def test_limit_is_the_code_s(number, unit, module, name):
    owner, _, field = name.partition(".")
    value = getattr(import_module(module), owner)
    if field and dataclasses.is_dataclass(value):
        (value,) = [one.default for one in dataclasses.fields(value) if one.name == field]
    elif field:  # a named tuple
        value = value._field_defaults[field]
    assert int(number.replace(",", "")) * UNITS[unit] == value
