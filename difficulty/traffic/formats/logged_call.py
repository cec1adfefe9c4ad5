"""One call of one model as tools log it, and how it becomes a row of the traffic contract: the side
of the model is the user's to say, what was counted and billed is the log's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NamedTuple

from difficulty.errors import DifficultyError, InvalidValueError, TrafficError
from difficulty.records import COSTS
from difficulty.routes import Route
from difficulty.traffic.formats.json_records import mapping, parsed
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import as_float

_HEAD = 1_000  # calls that tell models, conversations and whether ids are ids
_LARGEST_GROUP = 0.2
"""Share of the calls from which on a name stands for the application, not for a conversation."""
_MOST_TOLD = 6
FEEDBACK = "feedback"
"""What outcomes are measured by that people gave."""
MALFORMED = (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError)
"""What reading a row of another form than expected raises."""
_FEEDBACK_NAMES = (
    *("user_feedback", "feedback", "user_rating", "feedback_rating", "rating"),
    *("score", "thumbs", "value"),
)
_TASK_NAMES = ("task", "task_type", "use_case", "feature")
_GOOD = {"up", "thumbs_up", "thumbsup", "thumb_up", "positive", "good", "like", "liked", "upvote"}
_GOOD |= {"yes", "true", "pass", "passed", "correct", "accept", "accepted", "helpful", "👍", "+1"}
_BAD = {"down", "thumbs_down", "thumbsdown", "thumb_down", "negative", "bad", "dislike", "-1"}
_BAD |= {"no", "false", "fail", "failed", "incorrect", "wrong", "reject", "rejected", "👎"}
_BAD |= {"disliked", "downvote", "unhelpful", "not_helpful"}


class TokenUsage(NamedTuple):
    """What a provider counted; ``None`` where it did not say."""

    prompt: Any = None
    completion: Any = None
    cached: Any = None

    @classmethod
    def of(cls, value: Any) -> TokenUsage:
        """Read a usage as OpenAI, Anthropic and those who write like them give it."""
        usage = mapping(value)
        prompt = _first(usage, "prompt_tokens", "input_tokens", "promptTokens", "input")
        completion = _first(
            usage, "completion_tokens", "output_tokens", "completionTokens", "output"
        )
        details = mapping(
            _first(usage, "prompt_tokens_details", "input_tokens_details", "promptTokensDetails")
        )
        cached = _first(details, "cached_tokens", "cachedTokens", "cache_read")
        if cached is None:
            cached = _first(usage, "cache_read_input_tokens", "input_cached_tokens")
            # Anthropic's own count leaves out what its cache read and wrote.
            if cached is not None and "prompt_tokens" not in usage:
                beside = (cached, usage.get("cache_creation_input_tokens") or 0)
                prompt = _total(prompt, *beside)
        return cls(prompt, completion, cached)

    def checked(self, answer: Any) -> TokenUsage:
        """Return the counts without the zeros that stand for nothing counted, as of streams."""
        prompt = self.prompt if _counted(self.prompt) else None
        said = bool(answer) and answer != {}
        completion = self.completion if _counted(self.completion) or not said else None
        if prompt is None and not _counted(self.completion):
            completion = None
        return TokenUsage(prompt, completion, self.cached if prompt is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCall:
    """One call of one model."""

    model: str | None
    messages: Any
    """A list of messages, or one text."""
    id: str | None = None
    unsure_id: str | None = None
    """An id that some writers give to every row: used where it tells calls apart."""
    answer: Any = None
    """Text, or an assistant message; ``None``: unknown."""
    tools: Any = None
    usage: TokenUsage = TokenUsage()
    cost_usd: Any = None
    """``None``: unknown."""
    cache_hit: bool = False
    """Whether the gateway answered from a cache of its own."""
    timestamp: Any = None
    task: str | None = None
    groups: Mapping[str, Any] = field(default_factory=dict)
    """What may say which calls belong together, the narrowest first."""
    quality: Any = None
    measured_by: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[LoggedCall, ...] = ()
    """Calls of other models for the same request, where the log ties them together."""

    def group(self, name: str) -> str | None:
        """Return what a call says of one of the things that may group it."""
        value = self.groups.get(name)
        return str(value) if isinstance(value, str | int) and value != "" else None

    def on(self, side: Route) -> dict[str, Any]:
        """Return the columns that a call of one side fills."""
        usage = self.usage.checked(self.answer)
        row = {
            f"{side}_model": self.model,
            f"{side}_answer": self.answer,
            f"{side}_quality": self.quality,
        }
        if self.cache_hit:
            # Nothing was read or written: the counts are the first call's. It would have cost
            # nothing on the other model either, whose answer is there as well.
            return row | dict.fromkeys(COSTS, 0.0)
        return row | {
            "prompt_tokens": usage.prompt,
            "cached_tokens": usage.cached,
            f"{side}_tokens": usage.completion,
            f"{side}_cost_usd": self.cost_usd,
        }

    def about(self) -> dict[str, Any]:
        """Return the columns of the request, whichever model was called."""
        name = "messages" if isinstance(self.messages, Sequence | Mapping) else "prompt"
        name = "prompt" if isinstance(self.messages, str) else name
        return {
            "id": self.id,
            name: self.messages,
            "tools": self.tools or None,
            "task": self.task,
            "timestamp": self.timestamp,
            **({"cache_hit": True} if self.cache_hit else {}),
            **{key: value for key, value in self.extra.items() if value not in (None, "", {}, [])},
        }


Logged = tuple[RawRow, LoggedCall | None]
"""A row as it came and the call in it; ``None`` where the row says already what is wrong."""


def sided(logged: Iterable[Logged], pair: ModelPair, *, source: object) -> Iterator[RawRow]:
    """Yield one row a call, on the side of its model.

    Calls of other models are left out, by the model's name. Of what may group calls, the first
    counts that tells conversations apart in the first thousand calls; ids that some writers repeat
    count where they are different there.

    The model that was called is the route of a request, unless the log ties calls of both to it.
    With which probability it was taken no such log says. While a log knows one of the two alone,
    and no third model, nothing was chosen: rows up to there have no route.

    Raises
    ------
    TrafficError
        If the models are not named, with those of the first thousand calls.
    """
    calls = iter(logged)
    head = list(islice(calls, _HEAD))
    seen = [call for _, call in head if call is not None]
    if not pair.named:
        raise TrafficError(_names_wanted(source, seen))
    group = _grouping(seen)
    unsure = [call.unsure_id for call in seen]
    sure = bool(unsure) and None not in unsure and len({*unsure}) == len(unsure)
    called = {_side_or_name(call, pair) for call in seen}
    for row, call in chain(head, calls):
        if call is None:
            yield row
            continue
        if len(called) < 2:
            called.add(_side_or_name(call, pair))
        try:
            fields = _columns(call, pair)
        except InvalidValueError as error:
            yield row._replace(problem=str(error))
            continue
        if fields is None:
            reason = f"its model {call.model!r:.80} is neither --cheap nor --frontier"
            yield row._replace(fields=None, problem="", left_out=reason)
            continue
        if len(called) < 2:
            fields.pop("route", None)
        if fields["id"] is None and sure:
            fields["id"] = call.unsure_id
        if group is not None:
            fields["group"] = call.group(group)
        yield row._replace(fields=fields)


def _side_or_name(call: LoggedCall, pair: ModelPair) -> str | None:
    """Return which one the model of a call is, or its name where it is neither."""
    try:
        return pair.side(call.model) or call.model
    except InvalidValueError:  # it matches both, which the row's own reading refuses
        return call.model


def _columns(call: LoggedCall, pair: ModelPair) -> dict[str, Any] | None:
    """Return the columns of a request with its calls, the first of each side; ``None`` where none
    is of the two models.
    """
    found: dict[Route, LoggedCall] = {}
    for one in (call, *call.others):
        if (side := pair.side(one.model)) is not None:
            found.setdefault(side, one)
    fields = call.about()
    for route, one in found.items():
        own = one.on(route)
        fields |= {name: value for name, value in own.items() if fields.get(name) is None}
    measured = [one.measured_by for one in found.values() if one.quality is not None]
    fields["measured_by"] = measured[0] if measured else None
    if len(found) == 1:
        fields["route"] = next(iter(found))
    return fields if found else None


def read_call(
    row: RawRow, make: Callable[[Mapping[str, Any]], LoggedCall | str]
) -> Iterator[Logged]:
    """Yield a row with the call that ``make`` finds in it; without one where it cannot be read, or
    where ``make`` says why it is left out.
    """
    if row.fields is None or row.problem:
        yield row, None
        return
    try:
        call = make(row.fields)
        if isinstance(call, str):
            yield row._replace(fields=None, left_out=call), None
            return
        if not isinstance(call.model, str):
            raise InvalidValueError("model", call.model, rule="be the name of a model")
    except (DifficultyError, *MALFORMED) as error:
        yield row._replace(problem=problem_of(error)), None
    else:
        yield row, call


def expanded(row: RawRow, expand: Callable[[RawRow], Iterable[RawRow]]) -> Iterator[RawRow]:
    """Yield the rows that one record holds, or the record with what is wrong with it."""
    if row.fields is None or row.problem:
        yield row
        return
    try:
        yield from list(expand(row))
    except (DifficultyError, *MALFORMED) as error:
        yield row._replace(problem=problem_of(error))


def problem_of(error: Exception) -> str:
    """Return what is wrong with a row: anything may stand anywhere in a log, and no one row may
    stop the others.
    """
    if isinstance(error, DifficultyError):
        return str(error)
    return f"a row must have the form of its tool's log: got {type(error).__name__}."


def read_feedback(*places: Any) -> Any:
    """Return the first feedback that a row or its metadata holds: true, false or a number, on
    whatever scale; ``None`` where there is none.

    Raises
    ------
    InvalidValueError
        If it is a word that says neither good nor bad.
    """
    for place in map(mapping, places):
        for name in _FEEDBACK_NAMES:
            found = place.get(name)
            if found is None:
                continue
            found = parsed(found)
            if isinstance(found, Mapping):
                found = read_feedback(found)
            if isinstance(found, bool) or as_float(found) is not None:
                return found
            if found not in (None, "") and (verdict := _verdict(found, name)) is not None:
                return verdict
    return None


def _verdict(found: Any, name: str) -> bool | None:
    if not isinstance(found, str):
        return None  # a list of comments, and the like
    word = found.strip().lower().replace(" ", "_").replace("-", "_")
    for words, verdict in ((_GOOD, True), (_BAD, False)):
        if word in words or found.strip() in words:
            return verdict
    if word in ("none", "null", "neutral", "unrated"):
        return None
    raise InvalidValueError(
        name,
        found[:40],
        rule="be a number, true, false or a word such as 'up' and 'down'",
        hint="Write null where there is none, or bring it with difficulty outcomes.",
    )


def read_task(*places: Any) -> str | None:
    """Return the task that a row or its metadata names."""
    for place in map(mapping, places):
        for name in _TASK_NAMES:
            if isinstance(place.get(name), str) and place[name]:
                return str(place[name])
    return None


def answer_of(message: Any) -> Any:
    """Return an assistant message as a column holds it: text where it is nothing but text."""
    message = parsed(message)
    if not isinstance(message, Mapping):
        return message if isinstance(message, str) else None
    beside = {
        key: value
        for key, value in message.items()
        if value not in (None, "", [], {}) and key not in ("role", "content")
    }
    content = message.get("content")
    if not ({*beside} - {"annotations", "provider_specific_fields", "index"}) and (
        content is None or isinstance(content, str)
    ):
        return content
    return {"role": "assistant", "content": content, **beside}


def split_answer(messages: Any) -> tuple[Any, Any]:
    """Return messages without the answer that they end with, and that answer; ``None`` where they
    do not end with one.
    """
    messages = parsed(messages)
    if isinstance(messages, Sequence) and not isinstance(messages, str) and messages:
        last = messages[-1]
        if isinstance(last, Mapping) and last.get("role") == "assistant":
            return list(messages[:-1]), answer_of(last)
    return messages, None


def known_cost(value: Any) -> Any:
    """Return a bill; 0 is unknown, since tools write it where they know no price."""
    return None if value == "" or as_float(value) == 0.0 else value


class NamedScore(NamedTuple):
    """What somebody, or something, said of an answer, by a name."""

    name: str
    value: Any
    measured_by: str = FEEDBACK


_DEARER = 1.2
"""How many times what another costs a model costs that is guessed to be the frontier one."""
_OUTCOMES = ("quality", "correctness", "correct", "user_feedback", "feedback", "thumbs", "rating")


def chosen_score(scores: Sequence[NamedScore]) -> NamedScore | None:
    """Return the score that is the outcome: the only one there is, or the first of the names that
    say so; ``None`` where several stand for other things.
    """
    told = [score for score in scores if score.value not in (None, "")]
    by_name = {score.name.lower().replace("-", "_").replace(" ", "_"): score for score in told}
    for name in _OUTCOMES:
        if name in by_name:
            return by_name[name]
    return told[-1] if len({score.name for score in told}) == 1 else None


def scored(scores: Sequence[NamedScore]) -> dict[str, Any]:
    """Return the fields of a call that scores fill; all of them are kept as an extra."""
    chosen = chosen_score(scores)
    kept = {score.name: score.value for score in scores}
    if chosen is None:
        return {"extra": {"scores": kept}}
    quality = read_feedback({"value": chosen.value})
    return {"quality": quality, "measured_by": chosen.measured_by, "extra": {"scores": kept}}


def _grouping(calls: Sequence[LoggedCall]) -> str | None:
    names = dict.fromkeys(name for call in calls for name in call.groups)
    for name in names:
        counts = Counter(call.group(name) for call in calls)
        counts.pop(None, None)
        if len(counts) > 1 and max(counts.values()) <= max(_LARGEST_GROUP * len(calls), 1):
            return name
    return None


def _names_wanted(source: object, calls: Sequence[LoggedCall]) -> str:
    models = Counter(call.model or "none" for call in calls)
    spent: dict[str, list[tuple[float, float]]] = {}
    for call in calls:
        cost, size = as_float(call.cost_usd), as_float(call.usage.completion)
        if cost and size:
            spent.setdefault(call.model or "none", []).append((cost, size))
    names = [name for name, _ in models.most_common()]
    by_price = len(spent) == len(names)
    if by_price:  # what costs more a token is said second
        sums = {
            name: [sum(part) for part in zip(*calls, strict=True)] for name, calls in spent.items()
        }
        prices = {name: cost / size for name, (cost, size) in sums.items()}
        names.sort(key=lambda name: prices[name])
    told = ", ".join(f"{name!r:.80} ({models[name]:,})" for name in names[:_MOST_TOLD])
    more = f" and {len(names) - _MOST_TOLD:,} more" if len(names) > _MOST_TOLD else ""
    basis = "by their calls alone, as the log does not say what each of them cost"
    if by_price and prices[names[-1]] > _DEARER * prices[names[0]]:
        basis = "by what a token of their answers cost here"
    elif by_price:
        basis = "as a token of their answers cost about the same here"
    example = (
        f"--cheap {names[0]!r:.80} --frontier {names[-1]!r:.80}, or the other way round: which is"
        f" which is a guess, {basis}, and these two options decide"
        if len(names) > 1
        else f"--frontier {names[0] if names else 'NAME'!r:.80} where it is the frontier model"
    )
    return (
        f"a log of calls must be read with its two models named: got none named, and models {told}"
        f"{more} in {source}. Pass {example}; names may be patterns such as 'gpt-4*'."
    )


def _first(usage: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        if (value := usage.get(name)) is not None:
            return value
    return None


def _counted(count: Any) -> bool:
    return count not in (None, "") and as_float(count) != 0.0


def _total(*counts: Any) -> Any:
    numbers = [as_float(count) for count in counts]
    return None if None in numbers else sum(number for number in numbers if number is not None)
