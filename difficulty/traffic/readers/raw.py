"""The raw row: what every reader yields and every label source passes on, before anything is
checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class RawRow(NamedTuple):
    """One row of a source as it came, or the reason why it could not be read."""

    source: str
    """File the row is from, as the user wrote it; a split of a saved dataset is
    ``folder:split``.
    """
    line: int
    """Line of a text file where the row begins, or number of the row in a binary one; counted from
    1.
    """
    fields: Mapping[str, Any] | None
    """Column to value, or ``None`` when the row could not be read."""
    problem: str = ""
    """Why the row could not be read, or why a label source refused it: subject, rule, what came."""
    raw: str = ""
    """Beginning of a row that could not be read."""
