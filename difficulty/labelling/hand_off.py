"""Pairs of answers for people to judge, blind, and their verdicts read back.

A person sees the request and two answers, *A* and *B*, and no model's name. Which model is A is
decided for each request by a hash that a secret of the key file goes into; without that file nobody
can tell. Two forms are written: a CSV with empty cells to fill in, and tasks for Label Studio with
the labelling configuration beside them (its import format, ``[{"data": {...}}]``). Read back are
that CSV, and what Label Studio exports as JSON, JSON-MIN or CSV.

The version of the key file is raised when its meaning changes; readers refuse newer ones.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.answers.answer import Answer
from difficulty.errors import InvalidValueError, OutputExistsError, TooFewSamplesError, TrafficError
from difficulty.form import Record
from difficulty.storage import move_into_place, refuse_existing, scratch_beside
from difficulty.text import quantity_text, visible
from difficulty.traffic.formats.json_records import read_records
from difficulty.traffic.outcomes import GAIN_OF_VOTE
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions
from difficulty.traffic.table import Traffic

KEY_FORMAT = 1
_KEY = ".key.json"
PAIR, VERDICT, ANNOTATOR = "pair", "verdict", "annotator"
PEOPLE = "people"
"""What verdicts are measured by; with the annotator's name behind it where it is known."""
_COLUMNS = (PAIR, "request", "answer_a", "answer_b", VERDICT, ANNOTATOR)
_WORDS = {
    **dict.fromkeys(("a", "answer a", "answer_a", "a is better", "left"), "A"),
    **dict.fromkeys(("b", "answer b", "answer_b", "b is better", "right"), "B"),
    **dict.fromkeys(("tie", "equal", "both good", "both bad", "same", "draw", "both"), "tie"),
    **dict.fromkeys(("skip", "skipped", "cannot tell", "?", "unsure"), "skip"),
}
_CHOICES = (
    ("A", "A is better"),
    ("B", "B is better"),
    ("tie", "Both are equally good"),
    ("both bad", "Both are bad"),
    ("skip", "Cannot tell"),
)
_RULE = "be A, B, tie, both bad or skip"
# A spreadsheet takes these for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

LABEL_CONFIG = (
    """<View>
  <Style>.pair { display: flex; gap: 1em } .pair > div { flex: 1; white-space: pre-wrap }</Style>
  <Header value="Request"/>
  <Text name="request" value="$request"/>
  <View className="pair">
    <View><Header value="Answer A"/><Text name="answer_a" value="$answer_a"/></View>
    <View><Header value="Answer B"/><Text name="answer_b" value="$answer_b"/></View>
  </View>
  <Header value="Which answer serves the request better?"/>
  <Choices name="verdict" toName="request" choice="single" required="true">
"""
    + "".join(f'    <Choice value="{value}" alias="{alias}"/>\n' for alias, value in _CHOICES)
    + ("  </Choices>\n</View>\n")
)
"""What Label Studio shows: paste it under Settings, Labeling Interface, Code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff(Record):
    """What was written for people."""

    pairs: int
    without_answers: int
    """Requests left out because one of the answers is missing."""
    files: tuple[str, ...]
    """The tasks, the key and, for Label Studio, the configuration."""


class Key(NamedTuple):
    """Which request a pair is of, and on which side its cheap answer stands."""

    requests: Mapping[str, tuple[str, str]]
    """Pair to the request's id and the side of the cheap answer, ``A`` or ``B``."""

    def preference(self, pair: str, verdict: str) -> str:
        """Return the vote that a verdict is."""
        if verdict == "tie":
            return verdict
        return "cheap" if verdict == self.requests[pair][1] else "frontier"


def key_path(out: Path) -> Path:
    """Return where the key of a file of pairs goes."""
    return out.with_name(f"{out.stem}{_KEY}")


def is_key(path: Path) -> bool:
    """Return whether a file has the name of a key."""
    return path.name.endswith(_KEY)


def config_path(out: Path) -> Path:
    """Return where the labelling configuration of a file of tasks goes."""
    return out.with_name(f"{out.stem}.xml")


def write_hand_off(
    out: Path,
    traffic: Traffic,
    rows: NDArray[np.intp] | Sequence[int],
    *,
    seed: int = 0,
    overwrite: bool = False,
) -> HandOff:
    """Write pairs of answers for people to judge, and the key beside them.

    Parameters
    ----------
    out : Path
        ``.csv`` for a spreadsheet, ``.json`` for Label Studio; ``<stem>.key.json`` is the key, to
        be kept from those who judge, and ``<stem>.xml`` the configuration of Label Studio.
    traffic : Traffic
    rows : sequence of int
        Requests to be judged, in that order; those without both answers are left out.
    seed : int
        Of the secret that sides are decided by.
    overwrite : bool
        Whether files that are there may be replaced; never pairs that somebody has judged, and the
        key keeps what it had.

    Raises
    ------
    OutputExistsError
        If a file is there and may not be replaced, or a verdict stands in it.
    TrafficError
        If the file is neither ``.csv`` nor ``.json``.
    TooFewSamplesError
        If no request has both answers.
    """
    if out.suffix.lower() not in (".csv", ".json"):
        raise TrafficError(
            f"pairs for people must go to a .csv or .json file: got {str(out)!r}. Pass for example"
            " pairs.csv for a spreadsheet, pairs.json for Label Studio."
        )
    for_studio = out.suffix.lower() == ".json"
    files = [out, key_path(out), *([config_path(out)] if for_studio else [])]
    refuse_existing(*files, overwrite=overwrite)
    refuse_judged(out)
    picked = traffic.select(np.asarray(rows, dtype=np.intp))
    secret = blake2b(f"{seed}:{traffic.data_hash}".encode(), digest_size=16).hexdigest()
    # Pairs that were handed out before keep their key, wherever they are being judged.
    pairs, sides = [], _handed_out(key_path(out))
    cells = zip(
        picked.ids,
        picked.messages(),
        picked.column("cheap_answer"),
        picked.column("frontier_answer"),
        strict=True,
    )
    for id, messages, cheap, frontier in cells:
        if cheap is None or frontier is None:
            continue
        texts = [visible(Answer.parse(answer).as_text()) for answer in (cheap, frontier)]
        digest = blake2b(f"{secret}:{id}".encode("utf-8", "replace"), digest_size=9).digest()
        pair, swapped = digest[:8].hex(), bool(digest[8] & 1)
        sides[pair] = [id, "B" if swapped else "A"]
        first, second = reversed(texts) if swapped else texts
        pairs.append([pair, visible(_shown(messages)), first, second])
    if not pairs:
        raise TooFewSamplesError(
            f"people judge two answers: none of {quantity_text(len(picked), 'request')} has"
            " both. Have both models"
            " answer first (cheap_answer, frontier_answer)."
        )
    contents = {out: _tasks(pairs) if for_studio else _table(pairs)}
    contents[key_path(out)] = json.dumps({"format": KEY_FORMAT, "pairs": sides}, indent=1) + "\n"
    if for_studio:
        contents[config_path(out)] = LABEL_CONFIG
    _write(contents)
    return HandOff(
        pairs=len(pairs), without_answers=len(picked) - len(pairs), files=tuple(map(str, files))
    )


def refuse_judged(pairs: Path) -> None:
    """Refuse to write over pairs that somebody has judged.

    Raises
    ------
    OutputExistsError
        If a verdict stands in the file.
    """
    if not pairs.is_file():
        return
    try:
        rows = [row.fields for row in read_records(pairs, AS_FOUND) if row.fields is not None]
    except TrafficError:  # it is no file of pairs
        return
    verdicts = [said.verdict for row in rows if is_verdict(row) for said in _verdicts(row)]
    if judged := sum(verdict not in (None, "") for verdict in verdicts):
        raise OutputExistsError(
            f"{str(pairs)!r} holds {quantity_text(judged, 'verdict')} of people, and is not"
            " written over. Choose"
            " another name, or move it away: its key stays."
        )


def _handed_out(key: Path) -> dict[str, list[str]]:
    if not key.is_file():
        return {}
    try:
        return {pair: list(side) for pair, side in read_key(key).requests.items()}
    except TrafficError:  # it is no key
        return {}


def _write(contents: Mapping[Path, str]) -> None:
    with scratch_beside(next(iter(contents))) as scratch:
        for path, content in contents.items():
            # BOM: spreadsheets take UTF-8 for cp1252 without it.
            encoding = "utf-8-sig" if path.suffix.lower() == ".csv" else "utf-8"
            (scratch / path.name).write_text(content, encoding, "replace", newline="")
        # The pairs last: where they stand, their key does too.
        for path in reversed(list(contents)):
            move_into_place(scratch / path.name, path)


def _shown(messages: Sequence[Mapping[str, str]]) -> str:
    """Return a request as people read it: who says what, where there is more than one message."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)


def _table(pairs: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for pair, *cells in pairs:
        writer.writerow([pair, *map(_harmless, cells), "", ""])
    return text.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _tasks(pairs: Iterable[Sequence[str]]) -> str:
    tasks = [{"data": dict(zip(_COLUMNS[:4], cells, strict=True))} for cells in pairs]
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"


def read_key(path: Path) -> Key:
    """Return the key that was written beside pairs.

    Raises
    ------
    TrafficError
        If it is none, or of a newer version.
    """
    try:
        form = json.loads(path.read_bytes())
        number, pairs = form["format"], form["pairs"]
        requests = {str(pair): (str(id), str(side)) for pair, (id, side) in pairs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrafficError(
            f"{path} must be the key that was written beside pairs of answers: it cannot be read."
            " Restore it."
        ) from error
    if number != KEY_FORMAT:
        raise TrafficError(
            f"key format {number!r:.20} of {path} is not the one this version reads ({KEY_FORMAT})."
            " Upgrade difficulty or write the pairs again."
        )
    return Key(requests)


def find_keys(*places: Path) -> Key:
    """Return all keys that lie beside some files, as one; files named ``*.key.json`` that are no
    keys of pairs are passed over.
    """
    requests: dict[str, tuple[str, str]] = {}
    folders = dict.fromkeys(place.parent if place.is_file() else place for place in places)
    for path in [path for folder in folders for path in sorted(folder.glob(f"*{_KEY}"))]:
        try:
            requests |= read_key(path).requests
        except TrafficError:
            continue
    return Key(requests)


def is_verdict(fields: Mapping[str, Any]) -> bool:
    """Return whether a row is of pairs that people judged."""
    data = fields.get("data")
    if isinstance(data, Mapping):
        return PAIR in data
    return PAIR in fields and (VERDICT in fields or "annotation_id" in fields)


def unblinded(row: RawRow, key: Key) -> Iterator[RawRow]:
    """Yield a row of feedback for each verdict in a row; other rows go on as they are. What cannot
    be read is a row with the reason, and what was skipped one that is left out.
    """
    if row.fields is None or not is_verdict(row.fields):
        yield row
        return
    for said in _verdicts(row.fields):
        try:
            fields = _as_feedback(said, key)
        except InvalidValueError as error:
            yield row._replace(fields=None, problem=str(error), raw=said.pair)
            continue
        if fields is None:
            yield row._replace(fields={}, left_out="a person gave no verdict")
        else:
            yield row._replace(fields=fields)


class _Said(NamedTuple):
    """One verdict as it came."""

    pair: str
    verdict: Any
    annotator: str | None
    timestamp: Any
    event: str | None


def _verdicts(fields: Mapping[str, Any]) -> Iterator[_Said]:
    data = fields.get("data")
    if not isinstance(data, Mapping):
        name = _name(fields.get(ANNOTATOR))
        event = fields.get("annotation_id") or None
        when = fields.get("updated_at") or fields.get("created_at") or fields.get("timestamp")
        yield _Said(str(fields[PAIR]), fields.get(VERDICT), name, when or None, _event(event))
        return
    annotations = fields.get("annotations")
    for each in annotations if isinstance(annotations, list) else []:
        if isinstance(each, Mapping):
            said = None if each.get("was_cancelled") else _choice_of(each.get("result"))
            when = each.get("updated_at") or each.get("created_at")
            name, event = _name(each.get("completed_by")), _event(each.get("id"))
            yield _Said(str(data[PAIR]), said, name, when, event)


def _event(id: Any) -> str | None:
    return None if id is None else f"annotation {id}"


def _choice_of(result: Any) -> Any:
    """Return the choice of an annotation's regions; ``None`` where it has none."""
    for region in result if isinstance(result, list) else []:
        if isinstance(region, Mapping) and region.get("from_name") == VERDICT:
            value = region.get("value")
            choices = value.get("choices") if isinstance(value, Mapping) else None
            if isinstance(choices, list) and choices:
                return choices[0] if len(choices) == 1 else choices
    return None


def _name(annotator: Any) -> str | None:
    """Return who judged, as Label Studio and people write it."""
    if isinstance(annotator, Mapping):
        annotator = annotator.get("email") or annotator.get("id")
    return None if annotator is None or annotator == "" else str(annotator)[:80]


def _as_feedback(said: _Said, key: Key) -> dict[str, Any] | None:
    """Return a verdict as feedback is read; ``None`` where nothing was said."""
    if said.verdict is None or said.verdict == "":
        return None
    word = " ".join(said.verdict.lower().split()) if isinstance(said.verdict, str) else ""
    values = {value.lower(): alias for alias, value in _CHOICES}
    verdict = _WORDS.get(values.get(word, word).lower())
    if verdict is None:
        raise InvalidValueError(VERDICT, _kind(said.verdict), rule=_RULE)
    if said.pair not in key.requests:
        raise InvalidValueError(
            PAIR,
            said.pair[:40],
            rule="be one that the key beside the pairs has",
            hint="Put the file *.key.json into the folder of the verdicts or of the traffic.",
        )
    if verdict == "skip":
        return None
    name = f":{said.annotator}" if said.annotator else ""
    return {
        "id": key.requests[said.pair][0],
        "preference": key.preference(said.pair, verdict),
        "measured_by": f"{PEOPLE}{name}",
        "timestamp": said.timestamp,
        "event": said.event or (f"{said.pair}{name}" if name else None),
    }


def _kind(verdict: Any) -> str:
    # A cell may hold anything; only a short word is shown.
    return verdict[:20] if isinstance(verdict, str) else f"an object of {type(verdict).__name__}"


def read_verdicts(
    path: Path, traffic: Traffic, *, options: ReadOptions = AS_FOUND
) -> list[tuple[int, float]]:
    """Return what people said of pairs, for each verdict the row of its request and the gain: 1
    where the frontier answer is better, 0 for a tie, -1 where the cheap one is. Other feedback with
    ``id`` and ``preference`` is read too; what cannot be read, and other requests, are left out.
    """
    places, key = {id: row for row, id in enumerate(traffic.ids)}, find_keys(path)
    verdicts = []
    for row in read_records(path, options):
        for each in unblinded(row, key):
            fields = each.fields or {}
            place, vote = places.get(str(fields.get("id"))), fields.get("preference")
            if place is not None and vote in GAIN_OF_VOTE:
                verdicts.append((place, GAIN_OF_VOTE[vote]))
    return verdicts
