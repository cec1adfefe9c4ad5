"""Messages that end with an answer: logs keep a conversation as it stood after the call. What the
model said is no part of the request, so it is split off and kept as that model's answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from difficulty.errors import DifficultyError
from difficulty.routes import Route
from difficulty.text import message_text
from difficulty.traffic.labels import SourceReport
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.mapping import CALL
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import message_list, says_something


class LastAnswers:
    """Split off the answers at the end of messages.

    Whose answer it is says the call of a pivot, the route of the row, its column ``model`` by
    ``--cheap`` and ``--frontier``, or that the outcome of one model alone is known. Otherwise it is
    kept as ``answer`` beside the outcomes.
    """

    def __init__(self, pair: ModelPair) -> None:
        self._pair = pair
        self._counts: Counter[str] = Counter()

    def rows(self, rows: Iterable[RawRow], *, passes: Callable[[RawRow], bool]) -> Iterator[RawRow]:
        """Yield rows of which the messages end with the request."""
        for row in rows:
            if row.fields is None or row.problem or passes(row):
                yield row
            else:
                yield self._split(row, row.fields)

    def report(self) -> SourceReport | None:
        """Return how many answers there were; ``None`` where there was none."""
        if not self._counts:
            return None
        unknown = self._counts["of_unknown_models"]
        warning = (
            f"{unknown:,} messages end with the answer of a model that no column names: it is kept"
            " as 'answer'; say whose it is by --cheap or --frontier and a column 'model', or by"
            " --pivot"
        )
        return SourceReport(
            source="answers at the end of messages",
            counts={"split_off": self._counts["split_off"], "of_unknown_models": unknown},
            warnings=(warning,) if unknown else (),
        )

    def _split(self, row: RawRow, fields: Mapping[str, Any]) -> RawRow:
        messages = fields.get("messages")
        # What cannot hold one costs no reading.
        if not says_something(messages) or (
            isinstance(messages, str) and "assistant" not in messages and "gpt" not in messages
        ):
            return row
        try:
            parts = message_list(messages)
            if not _ends_with_answer(parts):
                return row
        except DifficultyError:
            return row  # for the parser to say
        answer = parts[-1]
        known: dict[str, Any] = {**fields, "messages": list(parts[:-1])}
        text = message_text(answer) if not answer.get("tool_calls") else json.dumps(answer)
        self._counts["split_off"] += 1
        call = fields.get(CALL)
        if isinstance(call, dict):
            if not says_something(call.get("answer")):
                known[CALL] = {**call, "answer": text}
            return row._replace(fields=known)
        name = f"{side}_answer" if (side := self._side(fields)) else "answer"
        self._counts["of_unknown_models"] += side is None
        if not says_something(known.get(name)):
            known[name] = text
        return row._replace(fields=known)

    def _side(self, fields: Mapping[str, Any]) -> Route | None:
        if fields.get("route") in get_args(Route):
            return fields["route"]  # type: ignore[no-any-return]
        model = fields.get("model")
        if isinstance(model, str) and (side := self._pair.side(model)):
            return side
        cheap = any(says_something(fields.get(name)) for name in ("cheap_quality", "cheap_passed"))
        frontier = says_something(fields.get("frontier_quality"))
        return None if cheap == frontier else "cheap" if cheap else "frontier"


def _ends_with_answer(messages: Sequence[Mapping[str, Any]]) -> bool:
    if len(messages) < 2 or messages[-1].get("role") != "assistant":
        return False
    # A conversation of the model alone is no request with an answer.
    return any(message.get("role") in ("user", "tool") for message in messages[:-1])
