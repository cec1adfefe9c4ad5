"""What label sources do with raw rows: change them one by one, or join those of one request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar, TypeAlias

from difficulty.errors import InvalidValueError
from difficulty.traffic.labels import SourceReport
from difficulty.traffic.outcomes import VALIDATORS, VOTES
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import choice, number, quality, says_something, text

Fields: TypeAlias = Mapping[str, Any]
# Columns that hold the request; a later row of it may leave them out.
_REQUEST = ("messages", "prompt")
_PAIR = ("cheap_model", "frontier_model")


def without(fields: Fields, *names: str) -> dict[str, Any]:
    """Return the columns but those named: a raw column that became an outcome is not kept beside
    it.
    """
    return {name: value for name, value in fields.items() if name not in names}


def measured(fields: Fields, by: str) -> dict[str, Any]:
    """Return the columns with what the outcomes were measured by, unless the row says it itself."""
    said = fields.get("measured_by")
    return {**fields, "measured_by": said if says_something(said) else by}


def refuse_beside(fields: Fields, raw: str, outcome: str) -> None:
    """Refuse a row that has a raw column and the outcome it would become: they may not agree."""
    if says_something(fields.get(outcome)):
        rule, hint = f"not stand beside {outcome}", "Leave one of the two columns out."
        raise InvalidValueError(raw, fields[raw], rule=rule, hint=hint)


@dataclass(slots=True)
class LabelledRequest:
    """The rows of one request: the first as it came, of the others only what their source reads."""

    row: RawRow
    labels: list[Fields] = field(default_factory=list)
    lines: list[tuple[str, int]] = field(default_factory=list)
    digest: bytes = b""


def join(
    rows: Iterable[RawRow], read: Callable[[Fields], Fields], refused: list[RawRow]
) -> list[LabelledRequest]:
    """Read all rows and return the requests in the order of their first rows; rows that are refused
    go to ``refused``.

    Rows of one ``id`` are one request. A later one may leave the request out; what it says of it
    must be the same. A row without an id is a request of its own.

    Parameters
    ----------
    read : callable
        From the columns of a row to its labels; raises ``InvalidValueError`` for what cannot be.
    refused : list
        Takes the rows that cannot be read or break a rule, each with its problem.
    """
    requests: dict[Any, LabelledRequest] = {}
    for row in rows:
        if row.fields is None or row.problem:
            refused.append(row)
            continue
        try:
            _add(requests, row, row.fields, read)
        except InvalidValueError as error:
            refused.append(row._replace(problem=str(error)))
    return list(requests.values())


def _add(
    requests: dict[Any, LabelledRequest],
    row: RawRow,
    fields: Fields,
    read: Callable[[Fields], Fields],
) -> None:
    # Read first: a row that is refused must not open a request.
    labels = read(fields)
    own_id = text(fields.get("id"), "id")
    key = (row.source, row.line) if own_id is None else own_id
    request = requests.setdefault(key, LabelledRequest(row, digest=_digest(fields)))
    if request.labels:
        _check_same(request, fields)
    request.labels.append(labels)
    request.lines.append((row.source, row.line))


def _check_same(request: LabelledRequest, fields: Fields) -> None:
    """Refuse a row that has the id of another request, or of another pair of models."""
    first = request.row.fields or {}
    place = f"Line {request.row.line} of {request.row.source} has the id first."
    if (
        any(says_something(fields.get(name)) for name in _REQUEST)
        and _digest(fields) != request.digest
    ):
        rule = "name one request: this row has other messages"
        raise InvalidValueError("id", fields["id"], rule=rule, hint=place)
    for name in _PAIR:
        if says_something(fields.get(name)) and fields[name] != first.get(name):
            rule = f"be that of the first row of id {fields['id']!r}"
            raise InvalidValueError(name, fields[name], rule=rule, hint=place)


def _digest(fields: Fields) -> bytes:
    said = json.dumps([fields.get(name) or None for name in _REQUEST], sort_keys=True, default=str)
    return blake2b(said.encode(), digest_size=16).digest()


_TIES = ("tie", "tie (bothbad)", "both", "neither", "both bad", "draw")
# As arenas write it: winner names a seat, two columns say who sat there.
_SEATS = {"a": "model_a", "model_a": "model_a", "b": "model_b", "model_b": "model_b"}


class _RowByRow:
    """A source that changes the columns of each row and counts what it meets."""

    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {}
    _name: ClassVar[str]
    _nothing: ClassVar[str]
    """What is wrong with traffic in which it meets nothing."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """Yield the rows, labelled; a row that breaks a rule goes on with the reason."""
        for row in rows:
            if row.fields is None or row.problem:
                yield row
                continue
            try:
                yield row._replace(fields=self._labelled(row.fields))
            except InvalidValueError as error:
                yield row._replace(problem=str(error))

    def report(self) -> SourceReport:
        """Return how often each was met."""
        warnings = () if self._counts else (self._nothing,)
        counts = dict(sorted(self._counts.items()))
        return SourceReport(source=self._name, counts=counts, warnings=warnings)

    def _labelled(self, fields: Fields) -> Fields:
        raise NotImplementedError


class Preferences(_RowByRow):
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

    options = {"cheap": str, "frontier": str}
    _name, _nothing = "preference", "no row has a column winner with a vote"

    def __init__(self, *, cheap: str | None = None, frontier: str | None = None) -> None:
        super().__init__()
        self._pair = {"cheap": cheap, "frontier": frontier}

    def _labelled(self, fields: Fields) -> Fields:
        winner = fields.get("winner")
        if not says_something(winner):
            return without(fields, "winner")
        refuse_beside(fields, "winner", "preference")
        pair = {side: fields.get(f"{side}_model") or name for side, name in self._pair.items()}
        vote = _vote(str(winner).strip(), fields, pair)
        self._counts[vote] += 1
        named = {f"{side}_model": name for side, name in pair.items() if name}
        voted = without(fields, "winner", "model_a", "model_b") | named | {"preference": vote}
        return measured(voted, VOTES)


def _vote(winner: str, fields: Fields, pair: Mapping[str, str | None]) -> str:
    """Return cheap, tie or frontier."""
    seats = {
        seat: fields.get(seat)
        for seat in ("model_a", "model_b")
        if says_something(fields.get(seat))
    }
    # A comparison of other models says nothing of these two.
    if seats and {*seats.values()} != {*pair.values()}:
        rule, hint = (
            "be the cheap and the frontier model",
            "Name both: --labels preference:cheap=NAME,frontier=NAME; leave out comparisons of"
            " other models.",
        )
        raise InvalidValueError("model_a and model_b", (*seats.values(),), rule=rule, hint=hint)
    if winner.lower() in _TIES:
        return "tie"
    name = seats.get(_SEATS.get(winner.lower(), ""), winner)
    sides = [side for side, model in pair.items() if name == model or str(name).lower() == side]
    if len(sides) != 1:  # two where both models have one name
        words = dict.fromkeys(["cheap", "frontier", "tie", *filter(None, pair.values())])
        rule = f"be one of {', '.join(map(str, words))}, or model_a or model_b beside those columns"
        raise InvalidValueError("winner", winner, rule=rule)
    return sides[0]


_RULE = "be in (0, 1]"
_ROUNDING = 1e-9  # 0.8 - 0.7 is a little below 0.1


class GapMargin(_RowByRow):
    """Mark a request as a tie where the two qualities differ by less than a margin and nobody
    voted.

    The qualities stay as they are, and so does what is learned of either model alone; only the gain
    becomes 0. A difference equal to the margin is no tie.

    Parameters
    ----------
    margin : float
        In quality units, in (0, 1].
    """

    options = {"margin": lambda text: number(text, "margin", rule=_RULE)}

    def __init__(self, *, margin: float | None = None) -> None:
        super().__init__()
        if margin is None or not 0.0 < margin <= 1.0:
            raise InvalidValueError(
                "margin", margin, rule=_RULE, hint="Write for example: gap:margin=0.1."
            )
        self._margin = margin

    def report(self) -> SourceReport:
        """Return how many rows have both qualities, how many of those have equal ones, and how many
        more became ties.
        """
        names = ("both_qualities", "equal", "within_margin")
        counts = {"margin": self._margin} | {name: self._counts[name] for name in names}
        warnings = ("no row has both qualities: the margin changed nothing",)
        return SourceReport(source="gap", counts=counts, warnings=() if self._counts else warnings)

    def _labelled(self, fields: Fields) -> Fields:
        cheap = quality(fields.get("cheap_quality"), "cheap_quality")
        frontier = quality(fields.get("frontier_quality"), "frontier_quality")
        if cheap is None or frontier is None:
            return fields
        self._counts["both_qualities"] += 1
        if cheap == frontier:
            self._counts["equal"] += 1
            return fields
        if (
            says_something(fields.get("preference"))
            or abs(frontier - cheap) >= self._margin - _ROUNDING
        ):
            return fields
        self._counts["within_margin"] += 1
        return {**fields, "preference": "tie"}


_PASSED = ("passed", "pass", "ok", "valid", "success", "true", "1", "1.0")
_FAILED = ("failed", "fail", "error", "invalid", "failure", "false", "0", "0.0")


class Validation(_RowByRow):
    """Read ``validation``, the verdict on the answer of the model in ``route``; without a route, on
    the cheap model's.

    A verdict on the cheap answer becomes ``cheap_passed``; one on the frontier answer is kept as
    ``frontier_passed`` beside the outcomes, since a check that passed is no quality. Of a request
    whose cheap answer failed and that then went to the frontier model, write the route that was
    chosen first: cheap.
    """

    _name, _nothing = "validation", "no row has a column validation with a verdict"

    def _labelled(self, fields: Fields) -> Fields:
        verdict = fields.get("validation")
        if not says_something(verdict):
            return without(fields, "validation")
        passed = _passed(verdict)
        if choice(fields.get("route")) == "frontier":
            side, outcome = "frontier", "frontier_passed"
        else:
            side, outcome = "cheap", "cheap_passed"
        refuse_beside(fields, "validation", outcome)
        self._counts[f"{side} {'passed' if passed else 'failed'}"] += 1
        return measured(without(fields, "validation") | {outcome: passed}, VALIDATORS)


def _passed(verdict: Any) -> bool:
    word = str(verdict).strip().lower()
    if word in _PASSED or word in _FAILED:
        return word in _PASSED
    raise InvalidValueError(
        "validation", verdict, rule=f"be one of {', '.join((*_PASSED, *_FAILED))}, or null"
    )
