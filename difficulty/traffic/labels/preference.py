"""Label source ``preference``: who won a comparison of the two answers, ties kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from difficulty.errors import InvalidValueError
from difficulty.traffic.labels.report import SourceReport
from difficulty.traffic.labels.rows import Fields, changed, given, refuse_beside, without
from difficulty.traffic.readers.raw import RawRow

_TIES = ("tie", "tie (bothbad)", "both", "neither", "both bad", "draw")
_SEATS = {"a": "model_a", "model_a": "model_a", "b": "model_b", "model_b": "model_b"}


class Preferences:
    """Read ``winner``: ``cheap``, ``frontier``, a tie, a model's name, or ``model_a`` / ``model_b``
    beside columns of these names.

    Which model is the cheap one is read from the row's ``cheap_model`` and ``frontier_model``, else
    from the options. A comparison of other models is refused. Both bad is a tie too: neither answer
    is worth more than the other.

    Parameters
    ----------
    cheap, frontier : str, optional
        Names of the two models, for rows that do not have them.
    """

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {"cheap": str, "frontier": str}

    def __init__(self, *, cheap: str | None = None, frontier: str | None = None) -> None:
        self._pair = {"cheap": cheap, "frontier": frontier}
        self._votes: Counter[str] = Counter()

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows with their winners as preferences."""
        return changed(rows, self._labelled)

    def report(self) -> SourceReport:
        """Return how often either model won."""
        warnings = () if self._votes else ("no row has a column winner with a vote",)
        return SourceReport(
            source="preference", found=dict(sorted(self._votes.items())), warnings=warnings
        )

    def _labelled(self, fields: Fields) -> Fields:
        winner = fields.get("winner")
        if not given(winner):
            return without(fields, "winner")
        refuse_beside(fields, "winner", "preference")
        pair = {side: fields.get(f"{side}_model") or name for side, name in self._pair.items()}
        vote = _vote(str(winner).strip(), fields, pair)
        self._votes[vote] += 1
        named = {f"{side}_model": name for side, name in pair.items() if name}
        return without(fields, "winner", "model_a", "model_b") | named | {"preference": vote}


def _vote(winner: str, fields: Fields, pair: Mapping[str, str | None]) -> str:
    """Return cheap, tie or frontier."""
    seats = {seat: fields.get(seat) for seat in ("model_a", "model_b") if given(fields.get(seat))}
    if seats and {*seats.values()} != {*pair.values()}:
        hint = (
            "Name both: --labels preference:cheap=NAME,frontier=NAME; leave out comparisons of"
            " other models."
        )
        raise InvalidValueError(
            "model_a and model_b",
            tuple(seats.values()),
            rule="be the cheap and the frontier model",
            hint=hint,
        )
    if winner.lower() in _TIES:
        return "tie"
    name = seats.get(_SEATS.get(winner.lower(), ""), winner)
    found = [side for side, model in pair.items() if name == model or str(name).lower() == side]
    if len(found) != 1:
        known = ", ".join(
            map(str, dict.fromkeys(["cheap", "frontier", "tie", *filter(None, pair.values())]))
        )
        raise InvalidValueError(
            "winner", winner, rule=f"be one of {known}, or model_a or model_b beside those columns"
        )
    return found[0]
