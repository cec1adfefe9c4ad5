"""The format of arena votes: two models answered one conversation, and a person said which did
better.

Read are the layouts of LMSYS' sets: ``conversation_a`` and ``conversation_b`` as lists of messages
(33k conversations, 100k and 140k preferences), and the 55k preferences with ``prompt``,
``response_a``, ``response_b`` and ``winner_model_a``, ``winner_model_b``, ``winner_tie``. Both bad
is a tie: neither did better. Votes on other models than the two named are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from difficulty.errors import DifficultyError, InvalidValueError
from difficulty.traffic.formats.json_records import files_like, parsed, read_records
from difficulty.traffic.formats.logged_call import (
    MALFORMED,
    LoggedCall,
    problem_of,
    sided,
    split_answer,
)
from difficulty.traffic.outcomes import VOTES
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import as_float, flag

_MODELS = {"model_a", "model_b"}
_TIES = {"tie", "tie (bothbad)", "tie (both bad)", "both_bad", "bothbad", "both bad"}
_VOTED = ("winner_model_a", "winner_model_b", "winner_tie")
_PAIRED = {"cheap", "frontier"}


class ArenaFormat:
    """Votes on the answers of two models."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options

    def files(self, path: Path) -> list[Path]:
        """Return the files, where all below ``path`` hold votes with conversations."""
        return files_like(path, _is_vote, self._options)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield one row a vote on the two models."""
        pair = self._options.pair
        if not pair.named:
            # It refuses, and names the models.
            yield from sided(_each_model(read_records(file, self._options)), pair, source=file)
        for row in read_records(file, self._options):
            if row.fields is None or row.problem:
                yield row
                continue
            try:
                sample = _sample(row.fields, pair)
            except (DifficultyError, *MALFORMED) as error:
                yield row._replace(problem=problem_of(error))
            else:
                yield row._replace(**sample)


def _is_vote(record: Mapping[str, Any]) -> bool:
    said = "winner" in record or record.keys() >= {*_VOTED}
    told = record.keys() >= {"conversation_a", "conversation_b"}
    answered = record.keys() >= {"prompt", "response_a", "response_b"}
    return record.keys() >= _MODELS and said and (told or answered)


def _each_model(rows: Iterator[RawRow]) -> Iterator[tuple[RawRow, LoggedCall | None]]:
    for row in rows:
        for name in sorted(_MODELS):
            yield row, LoggedCall(model=(row.fields or {}).get(name), messages="")


def _sample(row: Mapping[str, Any], pair: ModelPair) -> dict[str, Any]:
    """Return what becomes of a row: its columns, or why it is left out."""
    models = {letter: row.get(f"model_{letter}") for letter in "ab"}
    for letter, model in models.items():
        if not isinstance(model, str):
            raise InvalidValueError(f"model_{letter}", model, rule="be the name of a model")
    sides = {letter: pair.side(model) for letter, model in models.items()}
    if {*sides.values()} != _PAIRED:
        others = sorted(str(models[letter]) for letter, side in sides.items() if side is None)
        reason = (
            f"its model {others[0]!r:.80} is neither --cheap nor --frontier"
            if others
            else "both of its models are the same of the two"
        )
        return {"fields": None, "left_out": reason}
    answers, messages = _conversations(row)
    winner = _winner(row)
    return {
        "fields": {
            "id": row.get("question_id") or row.get("id"),
            "messages": messages,
            "measured_by": VOTES,
            "preference": "tie" if winner == "tie" else sides[winner],
            "timestamp": _moment(row.get("tstamp") or row.get("timestamp")),
            **{f"{side}_model": models[letter] for letter, side in sides.items()},
            **{f"{side}_answer": answers[letter] for letter, side in sides.items()},
            **{
                name: row[name]
                for name in ("language", "turn", "judge", "winner")
                if row.get(name) is not None
            },
        }
    }


def _conversations(row: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return both last answers, and the messages before them.

    Of several turns each model saw its own earlier answers; those of the first model stand in the
    request.
    """
    if "conversation_a" in row:
        split = {letter: split_answer(row.get(f"conversation_{letter}")) for letter in "ab"}
        return {letter: answer for letter, (_, answer) in split.items()}, split["a"][0]
    turns = [_listed(row.get(name)) for name in ("prompt", "response_a", "response_b")]
    asked, first, second = turns
    messages = []
    for number, text in enumerate(asked):
        messages.append({"role": "user", "content": text})
        if number + 1 < len(asked):
            earlier = first[number] if number < len(first) else ""
            messages.append({"role": "assistant", "content": earlier})
    return {"a": first[-1] if first else None, "b": second[-1] if second else None}, messages


def _listed(value: Any) -> list[Any]:
    found = parsed(value)
    return found if isinstance(found, list) else [] if found is None else [found]


def _winner(row: Mapping[str, Any]) -> str:
    """Return ``a``, ``b`` or ``tie``."""
    said = row.get("winner")
    if said is None and (won := [name for name in _VOTED if flag(row.get(name), name)]):
        said = won[0].removeprefix("winner_")
    word = str(said).strip().lower()
    if word in _TIES:
        return "tie"
    if word in ("model_a", "a", "model_b", "b"):
        return word[-1]
    raise InvalidValueError("winner", said, rule="be model_a, model_b or a tie")


def _moment(value: Any) -> Any:
    """Return a time; numbers count seconds, as the sets do."""
    seconds = as_float(value)
    try:
        return value if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return value
