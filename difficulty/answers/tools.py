"""Facts about tool calls: the calls of an answer against the offered schemas and the question.

All are ``nan`` where the request offers no function, or the calls are too long to be read. Where an
answer makes no call, or there is nothing of which a share could be had, counts and shares are 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from difficulty.answers.calls import WrittenCall, WrittenCalls, plain_name, read_calls
from difficulty.answers.pair import QUESTION_CHARS, Pair
from difficulty.answers.scan import (
    content_of_name,
    cut,
    lower,
    numbers,
    place_numbers,
    plain_digits,
)
from difficulty.answers.schemas import LONGEST_NAME, Function, as_mapping, read_offer, resolve

NAMES = (
    "tools.functions",
    "tools.no_call",
    "tools.calls",
    "tools.distinct",
    "tools.failed",
    "tools.unreadable",
    "tools.not_json",
    "tools.prose",
    "tools.unknown",
    "tools.missing",
    "tools.extra",
    "tools.wrong_type",
    "tools.not_in_enum",
    "tools.optional",
    "tools.optional_share",
    "tools.default",
    "tools.empty",
    "tools.text_boolean",
    "tools.lists",
    "tools.required",
    "tools.arguments",
    "tools.text_length",
    "tools.strings_new",
    "tools.numbers_new",
    "tools.numbers_unused",
    "tools.percent_as_share",
    "tools.percent_raw",
    "tools.expressions",
    "tools.nested",
    "tools.duplicate",
    "tools.single",
    "tools.one_of_many",
    "tools.uncalled",
    "tools.fit_best",
    "tools.fit_called",
    "tools.fit_uncalled",
    "tools.fit_gap",
    "tools.fit_name",
    "tools.question_length",
    "tools.question_numbers",
    "tools.question_marks",
    "tools.question_quotes",
    "tools.and_words",
    "tools.commas",
    "tools.list_words",
    "tools.or",
    "tools.calls_to_cues",
    "tools.hand_score",
)
_PERCENT = ("%", " %", "percent", " percent")
_MOST_LEAVES = 256
_MOST_VISITS = 1024
_DEEPEST = 8
_MOST_CHOICES = 1024
_MOST_COMPARISONS = 16_384
_LIST_OF_TWO = re.compile(r", [a-z]+,? and ")
_AND_WORDS = frozenset(("and", "also", "then", "second", "another", "additionally"))
_LIST_WORDS = frozenset(("respectively", "each", "both", "following"))
_DOUBTS = ("strings_new", "numbers_unused", "numbers_new")
_COUNTED = {
    word: float(count)
    for count, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
_FAULTS = (
    "failed",
    "unreadable",
    "unknown",
    "missing",
    "extra",
    "wrong_type",
    "not_in_enum",
    "expressions",
    "duplicate",
)
_KINDS = {
    **dict.fromkeys(("string", "str", "char"), "string"),
    **dict.fromkeys(("integer", "int", "long", "short", "byte", "bigint"), "integer"),
    **dict.fromkeys(("number", "float", "double", "decimal"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("array", "list", "tuple", "arraylist", "set"), "array"),
    **dict.fromkeys(("object", "dict", "hashmap", "map"), "object"),
    **dict.fromkeys(("null", "none"), "null"),
}
"""Names of types, as languages have them, to JSON's."""


@dataclass(slots=True)
class _Tally:
    """Counts over all calls of an answer."""

    unknown: int = 0
    missing: int = 0
    extra: int = 0
    wrong_type: int = 0
    not_in_enum: int = 0
    optional_given: int = 0
    optional: int = 0
    default: int = 0
    empty: int = 0
    text_boolean: int = 0
    lists: int = 0
    required: int = 0
    arguments: int = 0
    text_length: int = 0
    strings: int = 0
    strings_new: int = 0
    numbers: int = 0
    numbers_new: int = 0
    percent_as_share: int = 0
    percent_raw: int = 0
    leaves: int = 0
    visits: int = 0
    comparisons: int = 0
    used: set[float] = field(default_factory=set)
    """Keys of the numbers that arguments hold."""
    fits: list[float] = field(default_factory=list)
    name_fits: list[float] = field(default_factory=list)


class _Ground(NamedTuple):
    """What arguments may have been taken from."""

    text: str
    numbers: frozenset[float]
    context: frozenset[float]
    """Numbers that earlier answers or tools have dealt with."""
    hundreds: frozenset[float]
    """The question's numbers, where it speaks of percents."""
    percentages: frozenset[float]


class CallJudgement(NamedTuple):
    """What the rules say of an answer's tool calls, without any label."""

    score: float
    """How much speaks against them, in [0, 1]; no probability."""
    is_call: bool
    """Whether the answer makes a call, or begins one."""
    findings: tuple[str, ...]
    """Facts that speak against them, without their ``tools.``."""


def read_tools(pair: Pair) -> list[float]:
    """Return the facts of ``NAMES``."""
    facts = _read(pair)
    return [math.nan] * len(NAMES) if facts is None else [*map(float, facts.values())]


def judge_calls(pair: Pair) -> CallJudgement | None:
    """Return what the rules say; ``None`` where no function is offered, or the calls are too long
    to be read.
    """
    facts = _read(pair)
    if facts is None:
        return None
    findings = (name for name in (*_FAULTS, *_DOUBTS) if facts[name] > 0)
    is_call = not facts["no_call"] or facts["failed"] > 0
    return CallJudgement(facts["hand_score"], is_call, tuple(findings))


def _read(pair: Pair) -> dict[str, float] | None:
    offer = read_offer(pair.asked.tools, pair.asked.system)
    if not offer.functions:
        return None
    functions = {plain_name(function.name): function for function in offer.functions}
    calls = read_calls(pair, functions)
    if pair.answer.tool_calls and not calls.read:
        return None
    ground = _read_ground(pair, offer.prose)
    fits = _Fits(functions, pair.question_content)
    tally = _Tally(used=set(ground.context))
    for call in calls.read:
        _count(call, functions.get(plain_name(call.name[:LONGEST_NAME])), ground, fits, tally)
    return _facts(pair, calls, fits, tally)


class _Fits:
    """How many of the question's words each function's name and description share."""

    def __init__(self, functions: Mapping[str, Function], content: frozenset[str]) -> None:
        self._content = content
        self._scale = math.sqrt(max(1, len(content)))
        self.by_name = {
            name: len(content & content_of_name(f"{each.name} {each.description}")) / self._scale
            for name, each in functions.items()
        }

    def of_name(self, name: str) -> float:
        """Return the share of a name's own words that the question has."""
        about = content_of_name(name)
        return len(self._content & about) / max(1, len(about))


def _read_ground(pair: Pair, prose: str) -> _Ground:
    system, context = (
        plain_digits(lower(cut(text, QUESTION_CHARS))) for text in (prose, pair.asked.context)
    )
    given, before = (
        frozenset(map(_key, found)) for found in (pair.question_numbers, numbers(context))
    )
    counted = (_key(_COUNTED[word]) for word in pair.question_words if word in _COUNTED)
    percents = frozenset(map(_key, _percentages(pair.question)))
    return _Ground(
        "\n".join(filter(None, (pair.question_lower, system, context))),
        given | before | {*map(_key, numbers(system)), *counted},
        before,
        given if percents else frozenset(),
        percents,
    )


def _percentages(text: str) -> list[float]:
    """Return the numbers of a text before a percent sign or the word, at most one space between."""
    if "%" not in text and "percent" not in text:
        return []
    return [value for _, end, value in place_numbers(text) if text.startswith(_PERCENT, end)]


def _key(value: float) -> float:
    """Return a number rounded to a millionth, so that equal ones are found in a set."""
    return float(math.floor(value * 1e6 + 0.5)) if abs(value) < 1e15 else value


def _count(
    call: WrittenCall, function: Function | None, ground: _Ground, fits: _Fits, tally: _Tally
) -> None:
    if function is None:
        tally.unknown += 1
        tally.fits.append(0.0)
        tally.name_fits.append(0.0)
    else:
        tally.fits.append(fits.by_name[plain_name(function.name)])
        tally.name_fits.append(fits.of_name(function.name))
    if call.arguments is None:
        return
    tally.arguments += len(call.arguments)
    if function is None:
        return
    given, properties = call.arguments, function.parameters
    required = [name for name in function.required if name in properties]
    tally.required += len(required)
    tally.missing += sum(name not in given for name in function.required)
    tally.optional += len(properties) - len(required)
    tally.optional_given += sum(name in properties for name in given) - sum(
        name in given for name in required
    )
    for name, value in given.items():
        if name in properties:
            _count_argument(value, resolve(properties[name], function), function, ground, tally)
        else:
            tally.extra += 1


def _count_argument(
    value: Any, schema: Mapping[str, Any], function: Function, ground: _Ground, tally: _Tally
) -> None:
    tally.wrong_type += not _is_typed(value, schema, function, tally, _DEEPEST)
    is_container = isinstance(value, list | dict)
    allowed = _allowed(schema, function, is_list=isinstance(value, list))
    if allowed is not None:
        tally.not_in_enum += not _is_listed(value, allowed, tally)
    tally.default += value is not None and _same(value, schema.get("default"))
    tally.lists += is_container
    tally.empty += value is None or (isinstance(value, str | list | dict) and not value)
    for leaf in _leaves(value, _MOST_LEAVES - tally.leaves):
        tally.leaves += 1
        _count_leaf(leaf, ground, tally, is_free=allowed is None)


def _is_listed(value: Any, allowed: Sequence[Any], tally: _Tally) -> bool:
    """Return whether a value, or each part of a list, is allowed; lists and objects inside are not
    looked at, and nothing is after too many comparisons.
    """
    values = value if isinstance(value, list) else [value]
    tally.comparisons += len(values) * len(allowed)
    if tally.comparisons > _MOST_COMPARISONS:
        return True
    return all(
        any(_same(part, choice) for choice in allowed)
        for part in values
        if not isinstance(part, list | dict)
    )


def _count_leaf(leaf: Any, ground: _Ground, tally: _Tally, *, is_free: bool) -> None:
    if isinstance(leaf, bool) or leaf is None:
        return
    if isinstance(leaf, str):
        text = plain_digits(lower(leaf))
        tally.strings += 1
        tally.text_length += len(leaf)
        tally.strings_new += is_free and text not in ground.text
        tally.text_boolean += text in ("true", "false")
        tally.used |= {*map(_key, numbers(text))}
        return
    value = float(leaf)
    key, hundredfold = _key(value), _key(value * 100)
    tally.numbers += 1
    tally.used |= {key, hundredfold}
    is_share = hundredfold in ground.hundreds
    tally.numbers_new += not is_share and key not in ground.numbers
    tally.percent_as_share += is_share
    tally.percent_raw += 0 < value <= 100 and key in ground.percentages


def _leaves(value: Any, most: int) -> list[Any]:
    """Return the values inside of lists and objects, the first ones."""
    leaves: list[Any] = []
    parts = [value]
    while parts and len(leaves) < most:
        part = parts.pop()
        if isinstance(part, list):
            parts += part[::-1]
        elif isinstance(part, dict):
            parts += [*part.values()][::-1]
        else:
            leaves.append(part)
    return leaves


def _allowed(schema: Mapping[str, Any], function: Function, *, is_list: bool) -> list[Any] | None:
    """Return the values that a schema, or one of its alternatives, lists; of a list, those of its
    parts.
    """
    if is_list and "enum" not in schema:
        schema = resolve(schema.get("items"), function)
    choices = schema.get("enum")
    for alternative in _alternatives(schema):
        choices = choices or resolve(alternative, function).get("enum")
    return choices if isinstance(choices, list) and 0 < len(choices) <= _MOST_CHOICES else None


def _alternatives(schema: Mapping[str, Any]) -> list[Any]:
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    return alternatives[:_DEEPEST] if isinstance(alternatives, list) else []


def _is_typed(
    value: Any, schema: Mapping[str, Any], function: Function, tally: _Tally, deepest: int
) -> bool:
    """Return whether a value has the type of its schema, and so on inside of it; what lies too deep
    or is too much to look at counts as right.
    """
    tally.visits += 1
    if deepest == 0 or tally.visits > _MOST_VISITS:
        return True

    def fits(part: Any, inner: Any) -> bool:
        return _is_typed(part, resolve(inner, function), function, tally, deepest - 1)

    if alternatives := _alternatives(schema):
        return any(fits(value, alternative) for alternative in alternatives)
    kinds = _read_kinds(schema.get("type"))
    if value is None and schema.get("nullable") is True:
        return True
    if kinds and not kinds & _kinds_of(value):
        return False
    if isinstance(value, list):
        items = schema.get("items")
        return not isinstance(items, Mapping) or all(fits(part, items) for part in value)
    if isinstance(value, dict):
        properties, required = as_mapping(schema.get("properties")), schema.get("required")
        names = required if isinstance(required, list) else []
        return all(name in value for name in names if isinstance(name, str)) and all(
            fits(part, properties[name]) for name, part in value.items() if name in properties
        )
    return True


def _read_kinds(types: Any) -> set[str]:
    """Return JSON's names of types; none where one of them is not known."""
    listed = types if isinstance(types, list) else [types]
    kinds = {_KINDS.get(lower(name)) if isinstance(name, str) else None for name in listed}
    return set() if None in kinds else {kind for kind in kinds if kind}


def _kinds_of(value: Any) -> set[str]:
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, str):
        return {"string"}
    if isinstance(value, int | float):
        # 5.0 is an integer to JSON's schemas, and to languages that know one kind of number.
        return {"number", "integer"} if _is_whole(value) else {"number"}
    return {"array"} if isinstance(value, list) else {"object"}


def _is_whole(value: float) -> bool:
    return isinstance(value, int) or value.is_integer()


def _same(value: Any, other: Any) -> bool:
    """Return whether two JSON values that hold no others are the same; true is not 1."""
    for kind in (bool, str):
        if isinstance(value, kind) or isinstance(other, kind):
            return isinstance(value, kind) and isinstance(other, kind) and value == other
    if value is None or other is None:
        return value is other
    return isinstance(value, int | float) and isinstance(other, int | float) and value == other


def _facts(pair: Pair, calls: WrittenCalls, fits: _Fits, tally: _Tally) -> dict[str, float]:
    read, total = calls.read, max(len(calls.read), len(pair.answer.tool_calls))
    n = len(read)
    names = [plain_name(call.name[:LONGEST_NAME]) for call in read]
    uncalled = fits.by_name.keys() - set(names)
    best_uncalled = max((fits.by_name[name] for name in uncalled), default=0.0)
    called = min(tally.fits, default=0.0)
    question, spoken = pair.question, pair.question_words
    given = pair.question_numbers
    ands = math.log1p(sum(word in _AND_WORDS for word in spoken))
    commas = math.log1p(question.count(","))
    is_list = not _LIST_WORDS.isdisjoint(spoken) or _LIST_OF_TWO.search(pair.question_lower)
    facts: dict[str, float] = {
        "functions": math.log1p(len(fits.by_name)),
        "no_call": n == 0,
        "calls": math.log1p(total),
        "distinct": math.log1p(len(set(names))),
        "failed": calls.failed > 0,
        "unreadable": _share(sum(call.arguments is None for call in read), n),
        "not_json": _share(sum(not call.is_strict for call in read), n),
        "prose": math.log1p(calls.prose),
        "unknown": _share(tally.unknown, n),
        "missing": math.log1p(tally.missing),
        "extra": math.log1p(tally.extra),
        "wrong_type": math.log1p(tally.wrong_type),
        "not_in_enum": math.log1p(tally.not_in_enum),
        "optional": math.log1p(tally.optional_given),
        "optional_share": _share(tally.optional_given, tally.optional),
        "default": math.log1p(tally.default),
        "empty": math.log1p(tally.empty),
        "text_boolean": math.log1p(tally.text_boolean),
        "lists": math.log1p(tally.lists),
        "required": _share(tally.required, n),
        "arguments": math.log1p(_share(tally.arguments, n)),
        "text_length": math.log1p(_share(tally.text_length, n)),
        "strings_new": _share(tally.strings_new, tally.strings),
        "numbers_new": _share(tally.numbers_new, tally.numbers),
        "numbers_unused": _share(
            sum(_key(value) not in tally.used for value in given), len(given) if n else 0
        ),
        "percent_as_share": math.log1p(tally.percent_as_share),
        "percent_raw": math.log1p(tally.percent_raw),
        "expressions": math.log1p(sum(call.expressions for call in read)),
        "nested": math.log1p(sum(call.nested_calls for call in read)),
        "duplicate": _has_duplicate(read),
        "single": n == 1,
        "one_of_many": n == 1 and len(fits.by_name) > 1,
        "uncalled": math.log1p(len(uncalled)),
        "fit_best": max(fits.by_name.values()),
        "fit_called": called,
        "fit_uncalled": best_uncalled,
        "fit_gap": best_uncalled - called if n else 0.0,
        "fit_name": min(tally.name_fits, default=0.0),
        "question_length": math.log1p(len(question)),
        "question_numbers": math.log1p(len(given)),
        "question_marks": math.log1p(question.count("?")),
        "question_quotes": "`" in question or "'" in question,
        "and_words": ands,
        "commas": commas,
        "list_words": bool(is_list),
        "or": "or" in spoken,
        "calls_to_cues": math.log1p(total) - 0.5 * (ands + commas) if n else 0.0,
    }
    return facts | {"hand_score": _hand_score(facts)}


def _hand_score(facts: Mapping[str, float]) -> float:
    """Return how much speaks against the calls, by rules that no label went into."""
    if facts["no_call"] and not facts["failed"]:
        # Right where nothing offered fits the question, else a question left unanswered.
        return _squash(0.5 * facts["fit_best"] - 0.75)
    faults = sum(facts[name] > 0 for name in _FAULTS)
    return _squash(
        min(faults, 2)
        + facts["strings_new"]
        + facts["numbers_unused"]
        + 0.25 * facts["numbers_new"]
        + 0.25 * facts["fit_uncalled"]
        - 0.5 * facts["fit_called"]
    )


def _squash(against: float) -> float:
    return 1 / (1 + math.exp(-2 * against))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _has_duplicate(calls: Sequence[WrittenCall]) -> bool:
    if len(calls) < 2:
        return False
    readable = [call for call in calls if call.arguments is not None]
    written = {(plain_name(call.name), _canonical(call.arguments)) for call in readable}
    return len(written) < len(readable)


def _canonical(value: Any) -> Any:
    """Return a value as one that can stand in a set; numbers go by their value."""
    if isinstance(value, dict):
        return frozenset((name, _canonical(part)) for name, part in value.items())
    if isinstance(value, list):
        return tuple(map(_canonical, value))
    return (isinstance(value, bool), value)
