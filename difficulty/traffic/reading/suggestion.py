"""Propose a mapping from the first rows of a table, for a person to read and correct: what each
column seems to hold, and what was seen in it. Nothing is read by a proposal that nobody saw.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.errors import DifficultyError, TrafficError
from difficulty.text import one_line, quantity_text
from difficulty.traffic.formats import find_format
from difficulty.traffic.formats.json_records import read_table
from difficulty.traffic.readers import readable_files
from difficulty.traffic.reading.column_names import SYNONYMS, plain_name
from difficulty.traffic.reading.dialect import ReadOptions, find_dialect, pointed
from difficulty.traffic.rows import FIELDS, as_float, message_list, moment, says_something

ROWS = 1_000
_MOST_VALUES = 1_000  # different ones that are kept of a column
_VERDICTS = {
    1: "pass passed correct right yes good ok true success valid accepted positive like up"
    " thumbs_up",
    0: "fail failed incorrect wrong no bad false failure invalid rejected negative dislike down"
    " thumbs_down",
    0.5: "partial partly partially_correct neutral",
}
_WORDS_OF_VERDICT = {word: value for value, words in _VERDICTS.items() for word in words.split()}
_SCALES = ((0.0, 1.0), (1.0, 5.0), (0.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
"""Scales that people use, the narrowest first."""
_TIMES: tuple[str, ...] = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
)
_SCORE = re.compile(r"quality|score|correct|rating|grade|accura|verdict|pass|reward", re.IGNORECASE)
_NO_SCORE = re.compile(r"cost|price|usd|token|latency|duration|seconds|_ms$|count", re.IGNORECASE)
_DIFFERENT = 0.99
"""Means whose ratio is above it say nothing of which model is which."""
_ANSWERED = ("response", "output", "completion", "answer", "reply", "generation", "result")
_CONTRACT = ("id", "task", "group", "timestamp", "prompt_tokens", "cached_tokens")


@dataclass(slots=True)
class SeenColumn:
    """What the rows hold in one column."""

    name: str
    filled: int = 0
    numbers: int = 0
    low: float = float("inf")
    high: float = float("-inf")
    total: float = 0.0
    whole: bool = True
    flags: int = 0
    lists: int = 0
    """Values that are lists of messages."""
    times: int = 0
    length: int = 0
    """Characters of all texts."""
    values: Counter[str] = field(default_factory=Counter)

    def add(self, value: Any) -> None:
        """Look at a value."""
        if not says_something(value):
            return
        self.filled += 1
        written = value if isinstance(value, str) else json.dumps(value, default=str)
        self.length += len(written)
        if len(self.values) < _MOST_VALUES:
            self.values[written[:200]] += 1
        if isinstance(value, bool) or written.strip().lower() in ("true", "false"):
            self.flags += 1
        elif (number := as_float(value)) is not None:
            self.numbers += 1
            self.low, self.high = min(self.low, number), max(self.high, number)
            self.total += number
            self.whole &= number == int(number) if abs(number) < 1e15 else False
        elif "role" in written or '"from"' in written:
            self.lists += _is_messages(value)
        elif len(written) < 40:
            self.times += _is_time(written)

    @property
    def is_number(self) -> bool:
        """Whether all values are numbers or truth values."""
        return self.filled > 0 and self.numbers + self.flags == self.filled

    @property
    def words(self) -> dict[str, float] | None:
        """What its words mean as verdicts; ``None`` where one is no verdict."""
        plain = {value.strip().lower() for value in self.values}
        if not self.filled or len(plain) > 6 or not plain <= _WORDS_OF_VERDICT.keys():
            return None
        return {word: _WORDS_OF_VERDICT[word] for word in sorted(plain)}

    @property
    def is_quality(self) -> bool:
        """Whether it may say how good an answer was."""
        usual = self.is_number and (self.numbers == 0 or (self.low >= 0 and self.high <= 100))
        return usual or self.words is not None

    @property
    def scale(self) -> tuple[float, float] | None:
        """The narrowest usual scale that holds the numbers; ``None`` where there is none."""
        if not self.numbers:
            return (0.0, 1.0) if self.flags else None
        return next(
            (ends for ends in _SCALES if ends[0] <= self.low and self.high <= ends[1]), None
        )

    @property
    def mean(self) -> float:
        """Mean of numbers, truth values and verdicts, on the scale of [0, 1]."""
        return self.mean_on(*(self.scale or (0.0, 1.0)))

    def mean_on(self, low: float, high: float) -> float:
        """Return the mean where ``low`` counts as 0 and ``high`` as 1."""
        words = self.words
        if words is not None and not self.numbers:
            total = sum(words[value.strip().lower()] * n for value, n in self.values.items())
            return total / max(self.values.total(), 1)
        trues = sum(n for value, n in self.values.items() if value.strip().lower() == "true")
        return ((self.total - low * self.numbers) / (high - low) + trues) / max(self.filled, 1)

    def describe(self, rows: int) -> str:
        """Return what was seen, for a comment."""
        share = f"{self.filled / max(rows, 1):.1%} filled".replace("%", " %")
        if self.lists and self.lists == self.filled:
            return f"messages, {share}"
        if self.words is not None and self.flags < self.filled:
            told = ", ".join(f"{value!r} {n:,}" for value, n in self.values.most_common(4))
            return f"verdicts in words ({told}), {share}"
        if self.is_number and self.flags == self.filled:
            return f"true or false, {share}"
        if self.is_number:
            return f"numbers from {self.low:g} to {self.high:g}, {share}"
        if self.times > 0.9 * self.filled > 0:
            return f"times, {share}"
        different = len(self.values)
        some = "over " if different >= _MOST_VALUES else ""
        mean = self.length // max(self.filled, 1)
        return f"text of {quantity_text(mean, 'character')}, {some}{different:,} different, {share}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The first rows of a file, column by column."""

    path: Path
    rows: Sequence[Mapping[str, Any]]
    columns: Mapping[str, SeenColumn]

    def find(self, field: str, *, among: Iterable[str]) -> str | None:
        """Return the column that has the name of a field, or another name of it."""
        columns = list(reversed(list(among)))
        whole = {plain_name(name): name for name in columns}
        # Inside objects the last part of the path is the name.
        last = {plain_name(name.rpartition(".")[2]): name for name in columns}
        wanted = (plain_name(field), *SYNONYMS.get(field, ()))
        return next(
            (names[name] for names in (whole, last) for name in wanted if name in names), None
        )

    def only_times(self, among: Iterable[str]) -> str | None:
        """Return the one column that holds times; ``None`` where there are more."""
        times = [
            name for name in among if 0 < self.columns[name].filled == self.columns[name].times
        ]
        return times[0] if len(times) == 1 else None

    def describe(self, column: str) -> str:
        """Return what was seen in a column, on one line."""
        return one_line(self.columns[column].describe(len(self.rows)))


def suggest(path: Path, options: ReadOptions) -> str:
    """Return a mapping as TOML, with comments that say what was seen.

    Raises
    ------
    TrafficError
        If the file cannot be read, or has a format of its own that needs no mapping.
    """
    name, _, _ = find_format(path, options=options)
    file = readable_files(path)[0]
    table = _seen(file, options)
    return "\n".join(_lines(table, options, name)) + "\n"


def _seen(file: Path, options: ReadOptions) -> _Head:
    text = file.is_file() and not file.name.lower().endswith(".parquet")
    comma = text and find_dialect(file, options).decimal == ","
    columns: dict[str, SeenColumn] = {}
    rows = []
    for row in islice(read_table(file, options), ROWS):
        if row.fields is None:
            continue
        rows.append(row.fields)
        for column, value in _flat(row.fields):
            numeric = pointed(value) if comma and isinstance(value, str) else value
            columns.setdefault(column, SeenColumn(column)).add(numeric)
    if not rows:
        raise TrafficError(
            f"{file} must hold a row that can be read among its first {ROWS:,}: got none. Name its"
            " --encoding or --csv-delimiter."
        )
    return _Head(path=file, rows=rows, columns=columns)


def _flat(fields: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a row, those inside objects under a path."""
    for name, value in fields.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping) and before.count(".") < 3 and not _is_message(value):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def _lines(table: _Head, options: ReadOptions, format: str) -> Iterator[str]:
    """Yield the lines of the proposal."""
    columns = table.columns
    request = _request(table)
    free = [name for name in columns if name != request]
    pivot = _pivot(table, free, request)
    named = _named(table, free, request, pivot)
    rest = [name for name in free if name not in {*named.values(), *pivot.values()}]
    qualities = {} if pivot else _qualities(table, rest)
    mapping_file = f"{table.path.name.partition('.')[0]}.toml"
    yield (
        f"# Proposed from the first {quantity_text(len(table.rows), 'row')} of"
        f" {one_line(table.path.name)}."
    )
    command = f"#   difficulty ingest {shlex.quote(one_line(str(table.path)))}"
    if format != "native":
        yield f"# The file has the format {format!r}, which is read without a mapping:"
        yield f"{command} --cheap MODEL --frontier MODEL -o traffic.parquet"
        yield "# To read it as a table all the same:"
    yield f"# Read it and correct it, save it as {one_line(mapping_file)}, and run:"
    yield f"{command} --mapping {shlex.quote(one_line(mapping_file))} -o traffic.parquet"
    if request is None:
        yield '# No column looks like the text of a request: name it as prompt = "COLUMN".'
    if not qualities and not pivot.keys() & {"quality", "passed"}:
        yield "# No column looks like an outcome: the requests are unlabelled."
    yield from _file_section(table, options)
    yield ""
    yield "[columns]"
    for field_, column in {**named, **qualities}.items():
        if column is not None:
            yield f"{field_} = {_toml(column)}  # {table.describe(column)}"
    times = columns.get(named.get("timestamp") or "")
    if times is not None and (form := _time_form(times)):
        yield from (
            "",
            "[times]",
            f"timestamp = {_toml(form)}  # check which is the day, which the month",
        )
    if pivot:
        yield from _pivot_section(table, pivot)
    scored = {"quality": pivot["quality"]} if "quality" in pivot else qualities
    yield from _scales(table, scored)
    yield from _unread(table, {*named.values(), *pivot.values(), *qualities.values()})


def _named(
    table: _Head, free: Sequence[str], request: str | None, pivot: Mapping[str, str]
) -> dict[str, str | None]:
    """Return the columns of the request itself."""
    named: dict[str, str | None] = {
        "prompt" if request and not _holds_lists(table.columns[request]) else "messages": request
    }
    for name in _CONTRACT:
        among = [column for column in free if column not in pivot.values()]
        found = None if name in pivot else table.find(name, among=among)
        if name == "timestamp" and found is None:
            found = table.only_times(among)
        if found is None or found in named.values() or not _may_be(name, found, table):
            continue
        named[name] = found
    return named


def _may_be(name: str, column: str, table: _Head) -> bool:
    """Return whether what a column holds can be an id or a group."""
    different, filled = len(table.columns[column].values), table.columns[column].filled
    return (name != "id" or different >= filled) and (name != "group" or different > 1)


def _request(table: _Head) -> str | None:
    """Return the column that holds the request: by its form, its name, or as the longest text."""
    lists = [name for name, seen in table.columns.items() if _holds_lists(seen)]
    lists = [name for name in lists if not _is_of_answer(table, name)] or lists
    if lists:
        return table.find("messages", among=lists) or lists[0]
    texts = [
        name
        for name, seen in table.columns.items()
        if seen.filled and not seen.is_number and seen.times < seen.filled / 2
    ]
    answers = {name for name in texts if _is_of_answer(table, name)}
    by_name = table.find("prompt", among=[name for name in texts if name not in answers])
    if by_name:
        return by_name
    long = [name for name in texts if name not in answers and _mean_length(table, name) > 20]
    return max(long, key=lambda name: _mean_length(table, name), default=None)


def _is_of_answer(table: _Head, name: str) -> bool:
    """Return whether a column is what a model answered, or lies inside of it."""
    parts = [plain_name(part) for part in name.split(".")]
    inside = any(part.startswith(_ANSWERED) for part in parts)
    return inside or table.find("answer", among=[name]) is not None


def _mean_length(table: _Head, name: str) -> float:
    seen = table.columns[name]
    return seen.length / max(seen.filled, 1)


def _holds_lists(seen: SeenColumn) -> bool:
    return 0 < seen.filled == seen.lists


def _pivot(table: _Head, free: Sequence[str], request: str | None) -> dict[str, str]:
    """Return the columns of a pivot; none where the rows are no calls."""
    model = table.find("model", among=free)
    seen = table.columns.get(model or "")
    # A column of models says few names, and more than one.
    if model is None or seen is None or not 2 <= len(seen.values) <= 50 or seen.is_number:
        return {}
    found = {"model": model}
    for name in ("quality", "passed", "answer", "tokens", "cost", "prompt_tokens", "cached_tokens"):
        among = [column for column in free if column not in found.values()]
        if name in ("quality", "passed"):
            among = [column for column in among if table.columns[column].is_quality]
        elif name != "answer":
            among = [column for column in among if table.columns[column].is_number]
        if (column := table.find(name, among=among)) and not (
            name == "passed" and "quality" in found
        ):
            found[name] = column
    shared = [
        column
        for column in free
        if column not in found.values()
        and _is_shared(table.columns[column], len(table.rows))
        and _has_one_text(table, column, request)
    ]
    if key := table.find("request", among=shared) or next(iter(shared), None):
        return {"request": key, **found}
    # Equal texts are one request where nothing else says which rows are.
    if request and _is_shared(table.columns[request], len(table.rows)):
        return {"request": request, **found}
    return found


def _has_one_text(table: _Head, column: str, request: str | None) -> bool:
    """Return whether rows that share a value share their text: a session is no request."""
    texts: dict[str, str] = {}
    for row in table.rows:
        flat = dict(_flat(row))
        said = _said(flat.get(request or ""))
        if texts.setdefault(str(flat.get(column)), said) != said:
            return False
    return request is not None


def _said(request: Any) -> str:
    """Return the text of a request: of messages the first of the user, as the last may be each
    model's own answer.
    """
    if _is_messages(request):
        users = (part for part in message_list(request) if part["role"] == "user")
        return json.dumps(next(users, {}).get("content"), default=str)
    return json.dumps(request, default=str)


def _is_shared(seen: SeenColumn, rows: int) -> bool:
    """Whether rows share its values a few at a time, as calls share their request."""
    different = len(seen.values)
    return seen.filled == rows and rows / 10 <= different < rows


def _qualities(table: _Head, rest: Sequence[str]) -> dict[str, str]:
    """Return the columns of the two models' outcomes: the one that does worse is the cheap one."""
    known = {name: name for name in rest if name in FIELDS}
    if known.keys() & {"cheap_quality", "frontier_quality", "cheap_passed", "preference"}:
        return known
    scores = [
        name for name in rest if table.columns[name].is_quality and not _NO_SCORE.search(name)
    ]
    scores = [name for name in scores if _SCORE.search(name)] or [
        name
        for name in scores
        if table.columns[name].scale == (0.0, 1.0) and len(table.columns[name].values) > 1
    ]
    if len(scores) < 2:
        return {"cheap_quality": scores[0]} if scores else {}
    by_mean = sorted(scores, key=lambda name: table.columns[name].mean)
    return {"cheap_quality": by_mean[0], "frontier_quality": by_mean[-1]}


def _file_section(table: _Head, options: ReadOptions) -> Iterator[str]:
    if not table.path.is_file() or table.path.name.lower().endswith(".parquet"):
        return
    dialect = find_dialect(table.path, options)
    if dialect.usual:
        return
    yield from ("", "[file]", f"# {dialect.describe()}", f"encoding = {_toml(dialect.encoding)}")
    if dialect.table:
        yield f"delimiter = {_toml(dialect.delimiter)}"
        yield f"decimal = {_toml(dialect.decimal)}"


def _pivot_section(table: _Head, pivot: Mapping[str, str]) -> Iterator[str]:
    yield from ("", "[pivot]", "# One row a call: the rows of one request become one row.")
    for name, column in pivot.items():
        yield f"{name} = {_toml(column)}  # {table.describe(column)}"
    if "request" not in pivot:
        yield "# No column is shared by the rows of a request: each row is a request of its own."
    models = _by_model(table, pivot)
    for model, calls in models.items():
        means = (f", mean {name} {mean:.4g}" for name, mean in calls.means.items())
        yield f"# {one_line(model)!r:.100}: {quantity_text(calls.rows, 'row')}{''.join(means)}"
    judge, ranked = _ranked(models)
    yield "# The pair, exact names or patterns such as 'gpt-4*'."
    yield (
        f"# The cheap one is the one of the lower mean {judge}."
        if judge
        else "# Nothing says which one is the cheap one: turn them round where this is wrong."
    )
    yield f"cheap = [{_toml(ranked[0])}]"
    yield f"frontier = [{_toml(ranked[-1])}]"
    yield 'duplicates = "last"  # of several calls of one model on a request: last, first or mean'


class _Calls(NamedTuple):
    """The rows of one model."""

    rows: int
    means: dict[str, float]
    """Of its quality in [0, 1], of its cost: of what is known."""
    known: dict[str, int]
    """Of how many rows that is."""


def _ranked(models: Mapping[str, _Calls]) -> tuple[str, list[str]]:
    """Return what tells the models apart, and the models by it: what they cost, else how well they
    do where that is no accident. Nothing, and the models as they are, where nothing does.
    """
    for judge in ("cost", "quality", "passed"):
        known = [model for model, calls in models.items() if judge in calls.means]
        ranked = sorted(known, key=lambda model: models[model].means[judge])
        if len(ranked) > 1 and _differ(models[ranked[0]], models[ranked[-1]], judge):
            return judge, ranked
    return "", list(models)


def _differ(low: _Calls, high: _Calls, judge: str) -> bool:
    if judge == "cost":
        return low.means[judge] < _DIFFERENT * high.means[judge]
    # Two standard errors of shares near a half.
    error = sqrt(0.25 / low.known[judge] + 0.25 / high.known[judge])
    return high.means[judge] - low.means[judge] > 2.0 * error


def _by_model(table: _Head, pivot: Mapping[str, str]) -> dict[str, _Calls]:
    """Return the calls of each model, the most frequent first."""
    seen: dict[str, dict[str, SeenColumn]] = {}
    counts: Counter[str] = Counter()
    scored = [name for name in ("quality", "passed", "cost") if name in pivot]
    for row in table.rows:
        flat = dict(_flat(row))
        model = flat.get(pivot["model"])
        if not says_something(model):
            continue
        counts[str(model)] += 1
        columns = seen.setdefault(str(model), {name: SeenColumn(name) for name in scored})
        for name in scored:
            value = flat.get(pivot[name])
            columns[name].add(pointed(value) if isinstance(value, str) else value)
    # On the scale of all rows, not of each model's own.
    scales = {name: table.columns[pivot[name]].scale or (0.0, 1.0) for name in scored}
    scales["cost"] = (0.0, 1.0)
    return {
        model: _Calls(
            n,
            {
                name: column.mean_on(*scales[name])
                for name, column in seen[model].items()
                if column.filled
            },
            {name: column.filled for name, column in seen[model].items()},
        )
        for model, n in counts.most_common(10)
    }


def _scales(table: _Head, scored: Mapping[str, str]) -> Iterator[str]:
    """Yield the sections that say what scores and words mean."""
    numbers, words = {}, {}
    for name, column in scored.items():
        if not name.endswith("quality"):
            continue
        seen = table.columns[column]
        if seen.numbers:
            numbers[name] = seen
        elif seen.words and not seen.flags:
            words[name] = seen.words
    # A verdict that one model never got may come in a later row.
    every = {word: value for meanings in words.values() for word, value in meanings.items()}
    if numbers:
        yield from (
            "",
            "[scale]",
            "# The worst and the best score that can be given, not only those seen.",
        )
        for name, seen in numbers.items():
            low, high = seen.scale or (seen.low, seen.high)
            yield f"{name} = [{low:g}, {high:g}]  # seen from {seen.low:g} to {seen.high:g}"
    if words:
        yield from ("", "[words]")
        told = ", ".join(f"{_toml(word)} = {every[word]:g}" for word in sorted(every))
        for name in words:
            yield f"{name} = {{ {told} }}"


def _unread(table: _Head, read: set[str | None]) -> Iterator[str]:
    rest = [name for name in table.columns if name not in read]
    if rest:
        yield from ("", "# Kept beside the outcomes, and not read:")
        for name in rest[:40]:
            yield f"#   {one_line(name):.80}: {table.describe(name)}"


def _time_form(seen: SeenColumn) -> str | None:
    """Return how times are written where that is not ISO 8601."""
    written = [value for value in islice(seen.values, 200)]
    if not written or seen.is_number or all(map(_is_iso, written)):
        return None
    return next(
        (form for form in _TIMES if all(_is_written(value, form) for value in written)), None
    )


def _is_time(written: str) -> bool:
    return _is_iso(written) or any(_is_written(written, form) for form in _TIMES)


def _is_iso(written: str) -> bool:
    try:
        return moment(written, "time") is not None
    except DifficultyError:
        return False


def _is_written(value: str, form: str) -> bool:
    try:
        datetime.strptime(value.strip(), form)
    except ValueError:
        return False
    return True


def _is_messages(value: Any) -> bool:
    try:
        parts = message_list(value)
    except DifficultyError:
        return False
    return bool(parts) and all(_is_message(part) for part in parts)


def _is_message(value: Mapping[str, Any]) -> bool:
    return "role" in value and ("content" in value or "tool_calls" in value)


def _toml(text: str) -> str:
    """Return a text as a TOML string: JSON's, which is TOML where no surrogate stands alone."""
    return json.dumps(text.encode("utf-8", "replace").decode("utf-8"), ensure_ascii=False).replace(
        "\x7f", "\\u007f"
    )
