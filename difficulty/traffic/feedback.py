"""Late outcomes of requests: a thumb, a ticket, a score, a test or an annotator's word that came
after the call, and how several on one request become its outcome.

Every event is kept with the request (in ``extra``, under ``late_outcomes``), together with what was
known before any came. The outcome is worked out of these anew each time: events that come twice
change nothing, and a rule can be changed later. An event with a time or a name of its own counts
once. Equal ones without count as often as they stand in the feedback of one run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from difficulty.errors import InvalidValueError
from difficulty.records import OUTCOMES
from difficulty.routes import Route
from difficulty.traffic.outcomes import GAIN_OF_VOTE, VALIDATORS, VOTES
from difficulty.traffic.rows import Scale, choice, flag, moment, quality, says_something, text

ConflictRule = Literal["last", "mean", "first"]
KEPT_IN = "late_outcomes"
"""Key of ``extra`` under which the events of a request are kept."""
UNSAID = "feedback"
"""What an event was measured by that does not say it."""
FEEDBACK_COLUMNS = (
    *("id", "side", "model", "quality", "passed", "measured_by", "timestamp", "event"),
    *OUTCOMES,
)
"""Columns that are read of feedback."""
_QUALITIES = ("quality", "cheap_quality", "frontier_quality")
_WORDS = {
    **dict.fromkeys(("up", "thumbs_up", "thumbsup", "like", "good", "positive"), 1.0),
    **dict.fromkeys(("down", "thumbs_down", "thumbsdown", "dislike", "bad", "negative"), 0.0),
}


class Feedback(NamedTuple):
    """One event, as it was read."""

    id: str
    """Of the request."""
    said: Mapping[str, float]
    """What was said, as numbers: by column of the contract, or by ``quality`` and ``passed`` of the
    model that answered.
    """
    side: Route | None
    model: str | None
    measured_by: str | None
    timestamp: str | None
    """ISO 8601, in UTC."""
    name: str | None
    """The event's own id."""


def read_feedback(
    fields: Mapping[str, Any], *, scale: Scale | None = None, measured_by: str | None = None
) -> Feedback:
    """Check one row of feedback.

    Parameters
    ----------
    fields : mapping of str to object
        Column to value; see ``FEEDBACK_COLUMNS``.
    scale : Scale, optional
        Scale of the qualities where that is not [0, 1].
    measured_by : str, optional
        What outcomes were measured by where the row does not say it.

    Raises
    ------
    InvalidValueError
        If it names no request, says nothing of any answer, or what nobody understands.
    """
    id = text(fields.get("id"), "id")
    if id is None:
        raise InvalidValueError("id", None, rule="name the request that the feedback is of")
    side = choice(fields.get("side"))
    if side not in (None, "cheap", "frontier"):
        raise InvalidValueError("side", side, rule="be 'cheap', 'frontier' or null")
    said = {
        name: value
        for name in (*_QUALITIES, "passed", "cheap_passed", "preference")
        if (value := _number(fields.get(name), name, scale)) is not None
    }
    if not said:
        raise InvalidValueError(
            "feedback", None, rule="say something: quality, passed or preference"
        )
    when = moment(fields.get("timestamp"), "timestamp")
    return Feedback(
        id=id,
        said=said,
        side=side,
        model=text(fields.get("model"), "model"),
        measured_by=text(fields.get("measured_by"), "measured_by") or measured_by,
        timestamp=None if when is None else when.isoformat(timespec="milliseconds"),
        name=text(fields.get("event"), "event"),
    )


def _number(value: Any, name: str, scale: Scale | None) -> float | None:
    if not says_something(value):
        return None
    if name in _QUALITIES:
        word = value.strip().lower().replace(" ", "_") if isinstance(value, str) else None
        if word in _WORDS:
            return _WORDS[word]
        if scale is None or isinstance(value, bool):
            return quality(value, name)
        return scale.to_unit(value, name)
    if name != "preference":
        return float(bool(flag(value, name)))
    vote = choice(value)
    if vote not in GAIN_OF_VOTE:
        raise InvalidValueError("preference", vote, rule="be 'cheap', 'tie', 'frontier' or null")
    return GAIN_OF_VOTE[vote]


class LateEvent(NamedTuple):
    """What one event says of one outcome, as it is kept; a list of these in JSON."""

    timestamp: str | None
    value: float
    measured_by: str | None
    name: str | None = None
    times: int = 1

    @property
    def counts_once(self) -> bool:
        """Whether it is known to be the same when it comes again."""
        return self.timestamp is not None or self.name is not None


class LateOutcomes:
    """What is known of one request: its outcomes before feedback, and the events since.

    Parameters
    ----------
    before : mapping of str to object
        Its outcomes and ``measured_by``, as the traffic had them first.
    events : mapping of str to list of LateEvent, optional
        Outcome to what was said of it, in the order in which it came.
    """

    def __init__(
        self, before: Mapping[str, Any], events: Mapping[str, list[LateEvent]] | None = None
    ) -> None:
        self.before = dict(before)
        self._events = {name: list(said) for name, said in (events or {}).items()}
        self._new: dict[str, Counter[LateEvent]] = {}

    @classmethod
    def parse(cls, form: Mapping[str, Any]) -> LateOutcomes:
        """Return what :meth:`as_dict` wrote."""
        events = {
            name: [LateEvent(*event) for event in said] for name, said in form["events"].items()
        }
        return cls(form["before"], events)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        events = {name: [list(event) for event in said] for name, said in self._events.items()}
        return {"before": self.before, "events": events}

    def add(self, outcome: str, event: LateEvent) -> bool:
        """Take an event; ``False`` where it was known already."""
        said = self._events.setdefault(outcome, [])
        came = self._new.setdefault(outcome, Counter())
        came[event] += 1
        for place, known in enumerate(said):
            if known._replace(times=1) == event:
                if event.counts_once or came[event] <= known.times:
                    return False
                said[place] = known._replace(times=came[event])
                return True
        said.append(event)
        return True

    @property
    def contradictions(self) -> int:
        """Outcomes of which different things were said."""
        return sum(len({event.value for event in self._all(name)}) > 1 for name in self._events)

    def settled(self, rule: ConflictRule) -> dict[str, Any]:
        """Return the outcomes and ``measured_by`` by a rule."""
        said = {name: events for name in OUTCOMES if (events := self._all(name))}
        picked = {name: _picked(events, rule) for name, events in said.items()}
        values = {name: _mean(events) for name, events in picked.items()}
        outcomes: dict[str, Any] = dict.fromkeys(OUTCOMES)
        outcomes |= {name: values[name] for name in values if name.endswith("_quality")}
        if "cheap_passed" in values:
            share = values["cheap_passed"]
            # Verdicts that differ are no verdict; their share is a quality.
            if share in (0.0, 1.0):
                outcomes["cheap_passed"] = bool(share)
            elif outcomes["cheap_quality"] is None:
                outcomes["cheap_quality"] = share
        if "preference" in values:
            outcomes["preference"] = _vote(values["preference"])
        return {**outcomes, "measured_by": self._measured_by(picked)}

    def _all(self, outcome: str) -> list[LateEvent]:
        """Return what was said of an outcome, the earliest first; what stood there before any
        feedback is the earliest.
        """
        known = _as_number(outcome, self.before.get(outcome))
        first = [] if known is None else [LateEvent(None, known, self.before.get("measured_by"))]
        # Stable: what has no time stays in the order in which it came, and before the rest.
        return first + sorted(
            self._events.get(outcome, []), key=lambda event: event.timestamp or ""
        )

    def _measured_by(self, picked: Mapping[str, list[LateEvent]]) -> str | None:
        """Return what the outcomes that count were measured by."""
        names = {
            event.measured_by
            for outcome, events in picked.items()
            # A verdict on the form counts only where nobody graded the answer.
            if not (outcome == "cheap_passed" and "cheap_quality" in picked)
            for event in events
            if event.measured_by
        }
        ordered = sorted(names, key=lambda name: (name.partition(":")[0] == VALIDATORS, name))
        return "+".join(ordered) or None


def event_of(feedback: Feedback, outcome: str, value: float) -> LateEvent:
    """Return what a row of feedback says of one outcome."""
    unsaid = VOTES if outcome == "preference" else UNSAID
    return LateEvent(feedback.timestamp, value, feedback.measured_by or unsaid, feedback.name)


def _as_number(outcome: str, value: Any) -> float | None:
    if value is None:
        return None
    return GAIN_OF_VOTE[value] if outcome == "preference" else float(value)


def _picked(events: list[LateEvent], rule: ConflictRule) -> list[LateEvent]:
    """Return the events that count, of at least one."""
    return events if rule == "mean" else [events[-1 if rule == "last" else 0]]


def _mean(events: Iterable[LateEvent]) -> float:
    listed = list(events)
    return sum(event.value * event.times for event in listed) / sum(event.times for event in listed)


def _vote(mean: float) -> str:
    # Half-way between two votes the tie is meant: nobody agreed on more.
    return min(GAIN_OF_VOTE, key=lambda vote: (abs(GAIN_OF_VOTE[vote] - mean), vote != "tie"))
