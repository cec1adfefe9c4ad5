"""What a request needs of the model that answers it, read from its body or told by the caller.

The three forms are read alike: OpenAI chat completions, Anthropic messages, OpenAI Responses. What
is malformed never raises; a part whose type nobody knows counts as ``unknown``, which no model is
stated to take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from difficulty.conversation.part_types import MEDIA, type_of
from difficulty.errors import RequestError
from difficulty.needs.prompt_size import UNIT, count_units, least_units, most_units

RULES = (
    "context_window",
    "image",
    "audio",
    "video",
    "file",
    "unknown_part",
    "tools",
    "json_schema",
    "language",
    "residency",
)
"""What a model may not be able to take, in the order in which it is said."""
UNREADABLE = "?"
"""In place of a tag that cannot be read: somebody demanded something, and no model has this one."""

_SAID = ("text", "refusal", "thought", "quote", "message")
_RESULTS = ("result", "hosted_result")
# How many bytes of media make a token, on the safe side: a plain text, speech at 16 kbit/s.
_BYTES_PER_TOKEN = {"audio": 50, "video": 50, "file": 4}
IMAGE_TOKENS = 2_000
"""Of one image: more than what most models take one for."""
MESSAGE_TOKENS = 8
"""Around each message: role, separators."""
MOST_NODES = 200_000
"""Objects, lists and values of tools and messages that are looked at: what has more is larger than
any window.
"""
HARDLY_ANY = 200
"""Characters of the last user turn, spaces aside, below which its ask lies in the media beside."""
_MEDIA_NAMES = (
    "images?|pictures?|pics?|photos?|photographs?|screenshots?|attachments?|attached|pdfs?|audio"
    "|recordings?|videos?|clips?"
)
_SHOWN_NAMES = "files?|documents?|pages?|charts?|figures?|diagrams?|tables?|above|here|there"
_NAMES = re.compile(rf"(?<![a-z])(?:{_MEDIA_NAMES})(?![a-z])", re.ASCII | re.IGNORECASE)
"""Words of an ask that name media."""
_POINTS = re.compile(
    rf"(?<![a-z])(?:{_MEDIA_NAMES}|{_SHOWN_NAMES}|its?|this|that|these|those|they|them)(?![a-z])",
    re.ASCII | re.IGNORECASE,
)
"""Words of an ask that name media, or point at something."""
_LEAVES = frozenset((int, float, bool, type(None)))
_DEEPEST = 8
_LONGEST_TAG, _MOST_TAGS = 100, 32
BODY_FIELDS = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "response_format", "text"),
    *("output_format", "output_config", "metadata", "languages", "residency", "system"),
    *("instructions", "functions"),
)
"""Fields of a body that say what messages and tools do not."""
_ANSWER_FIELDS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_LARGEST = 2**53 - 1  # as JavaScript has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a request needs.

    Attributes
    ----------
    modalities : tuple of str
        Of ``image``, ``audio``, ``video``, ``file`` and ``unknown``, those that stand in
        it, sorted.
    tools : bool
        Whether it offers functions, or holds calls or their results.
    json_schema : bool
        Whether the answer has to keep to a schema.
    answer_tokens : int or None
        Room for the answer, as the request says.
    languages, residency : tuple of str
        Codes of its languages and tags of where it may be answered, as the caller says.
    ask_in_media : bool
        Whether the last user turn asks what stands in media: it is media with hardly any text
        beside, or a short text behind such, or one that names them.
    is_read : bool
        Whether the request was looked at; what a caller tells alone is joined with what is read.
    """

    modalities: tuple[str, ...] = ()
    tools: bool = False
    json_schema: bool = False
    answer_tokens: int | None = None
    languages: tuple[str, ...] = ()
    residency: tuple[str, ...] = ()
    ask_in_media: bool = False
    is_read: bool = False
    # Of the user's: no message and no log shows them.
    _texts: tuple[str, ...] = field(default=(), repr=False)
    _units: int = field(default=0, repr=False)  # of all but the texts, in sixtieths of a token
    _is_sized: bool = field(default=True, repr=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Needs:
        """Read the body of a request in any of the three forms; ``languages`` and ``residency``
        stand at its top or in its ``metadata``.

        Raises
        ------
        RequestError
            If it is no object; whatever is malformed further in says nothing, or is ``unknown``.
        """
        if not isinstance(body, Mapping):
            raise RequestError("a body", body, rule="be an object")
        messages = body.get("messages")
        if messages is None:
            messages = body.get("input")
        reading = _Reading()
        for name in ("system", "instructions"):
            if (content := body.get(name)) is not None:
                reading.read_content(content)
        reading.read_messages(messages)
        offered = [tools for name in ("tools", "functions") if (tools := body.get(name))]
        for tools in offered:
            reading.walk(tools)
        return cls(
            modalities=tuple(sorted(reading.modalities)),
            tools=bool(offered) or reading.calls,
            json_schema=_has_schema(body),
            answer_tokens=_read_room(body),
            languages=tuple(code_of(tag) for tag in _read_tags(body, "languages")),
            residency=_read_tags(body, "residency"),
            ask_in_media=reading.ask_in_media,
            is_read=True,
            _texts=tuple(reading.texts),
            _units=reading.units,
            _is_sized=reading.is_sized,
        )

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the prompt at most; ``None`` where they cannot be told, as of a file that is
        named only.
        """
        if not self._is_sized:
            return None
        return -(-(self._units + sum(map(count_units, self._texts))) // UNIT)

    def has_more_tokens(self, limit: int) -> bool:
        """Return whether the prompt may have more tokens than a limit."""
        if not self._is_sized:
            return True
        # Most requests are far below, and huge ones far above: their characters need no look.
        chars = sum(map(len, self._texts))
        if (
            self._units + most_units(chars, is_ascii=all(map(str.isascii, self._texts)))
            <= limit * UNIT
        ):
            return False
        if self._units + least_units(chars) > limit * UNIT:
            return True
        return self._units + sum(map(count_units, self._texts)) > limit * UNIT

    def joined(self, other: Needs) -> Needs:
        """Return what either says; both sizes of prompts count, as one of the two has none."""
        room = [each for each in (self.answer_tokens, other.answer_tokens) if each is not None]
        return replace(
            self,
            modalities=tuple(sorted({*self.modalities, *other.modalities})),
            tools=self.tools or other.tools,
            json_schema=self.json_schema or other.json_schema,
            answer_tokens=max(room, default=None),
            languages=_joined_tags(self.languages, other.languages),
            residency=_joined_tags(self.residency, other.residency),
            ask_in_media=self.ask_in_media or other.ask_in_media,
            is_read=self.is_read or other.is_read,
            _texts=(*self._texts, *other._texts),
            _units=self._units + other._units,
            _is_sized=self._is_sized and other._is_sized,
        )


NOTHING = Needs()


class _Reading:
    """What was seen of a body on the way through it."""

    def __init__(self) -> None:
        self.modalities: set[str] = set()
        self.texts: list[str] = []
        self.units = 0
        self.calls = False
        self.is_sized = True
        self.ask_in_media = False
        self._nodes = 0
        self._is_shown = False  # whether media stand anywhere so far,
        self._is_fresh = False  # or since the model's last answer,
        self._signs = 0  # and how much the user said since.

    def read_messages(self, messages: object) -> None:
        if isinstance(messages, str):
            self.texts.append(messages)
            return
        for message in _list_of(messages):
            self.units += MESSAGE_TOKENS * UNIT
            if not isinstance(message, Mapping):
                continue  # what the text view makes of it, the scorer says
            first = len(self.texts)
            is_media = self._read_message(message)
            self._is_shown, self._is_fresh = self._is_shown or is_media, self._is_fresh or is_media
            if _is_answer(message):
                self._is_fresh, self._signs = False, 0
            elif _is_user(message) and not _is_handed_on(message):
                self.ask_in_media = self._asks_in_media(self.texts[first:], is_media)
            elif is_media and message.get("role") != "assistant":
                # What tools show a short ask of: a screen to act on, a scan to read.
                is_short = self._signs + _count_signs(self.texts[first:]) < HARDLY_ANY
                self.ask_in_media = self.ask_in_media or is_short

    def _asks_in_media(self, texts: Sequence[str], is_media: bool) -> bool:
        """Return whether a turn of the user's asks what stands in media: beside it with hardly any
        text, before it since the last answer, or further up where it names them.
        """
        signs = _count_signs(texts)
        self._signs += signs
        if signs >= HARDLY_ANY or not self._is_shown:
            return False
        if is_media or (self._is_fresh and self._signs < HARDLY_ANY):
            return True
        said = "\n".join(text[: 4 * HARDLY_ANY] for text in texts[:HARDLY_ANY])
        return (_POINTS if self._is_fresh else _NAMES).search(said) is not None

    def _read_message(self, message: Mapping[str, Any]) -> bool:
        """Read one message, or item of a Responses input; return whether it holds media."""
        name = _type_of(message)
        kind = type_of(name)
        if kind in ("call", *_RESULTS, *MEDIA):  # an item of its own
            return self.read_part(message)
        if kind is None and name and message.get("role") is None:
            self._note_unknown(message)
            return False
        is_media = self.read_content(message.get("content"))
        if message.get("role") in ("tool", "function"):
            self.calls = True
        for name in ("tool_calls", "function_call"):
            if (called := message.get(name)) is not None:
                self.calls = self.calls or bool(called)
                self.walk(called)
        return is_media

    def read_content(self, content: object, depth: int = 0) -> bool:
        """Read the content of a message or a part; return whether it holds media."""
        if isinstance(content, str):
            self.texts.append(content)
            return False
        if isinstance(content, Mapping):
            return self.read_part(content, depth)
        is_media = False
        for part in _list_of(content):
            self._nodes += 1
            if self._nodes > MOST_NODES:
                self.is_sized = False
                break
            is_media = self.read_part(part, depth) or is_media
        return is_media

    def read_part(self, part: object, depth: int = 0) -> bool:
        if isinstance(part, str):
            self.texts.append(part)
            return False
        if not isinstance(part, Mapping) or depth > _DEEPEST:
            self._note_unknown(part)
            return False
        name = _type_of(part)
        kind = type_of(name)
        if kind is None and not name and isinstance(part.get("text"), str):
            kind = "text"
        if kind is not None and kind in MEDIA:
            self.modalities.add(kind)
            self._weigh_media(kind, part)
            return True
        if kind in _SAID:
            return self._read_text(part, depth)
        if kind == "call":
            self.calls = True
            self.walk(part)
            return False
        if kind in _RESULTS:
            self.calls = True
            content = part.get("content")
            return self.read_content(part.get("output") if content is None else content, depth + 1)
        self._note_unknown(part)
        return False

    def _read_text(self, part: Mapping[str, Any], depth: int) -> bool:
        is_media = False
        for name in ("text", "refusal", "thinking", "data"):
            if isinstance(text := part.get(name), str):
                self.texts.append(text)
        for name in ("content", "summary"):
            if part.get(name) is not None:
                is_media = self.read_content(part[name], depth + 1) or is_media
        return is_media

    def _note_unknown(self, part: object) -> None:
        self.modalities.add("unknown")
        self.walk(part)

    def _weigh_media(self, kind: str, part: Mapping[str, Any]) -> None:
        if kind == "image":
            self.units += IMAGE_TOKENS * UNIT
            return
        if kind == "file" and (text := _find_plain(part)) is not None:
            self.texts.append(text)
            return
        size = _count_bytes(part)
        if size is None:
            self.is_sized = False
        else:
            self.units += -(-size * UNIT // _BYTES_PER_TOKEN[kind])

    def walk(self, value: object) -> None:
        """Count what stands in tools, calls and parts of unknown types: a token for each value, and
        the texts. What holds itself has no end, and is larger than any window.
        """
        waiting, texts, nodes = [value], self.texts, self._nodes
        while waiting:
            item = waiting.pop()
            nodes += 1
            if nodes > MOST_NODES:
                self.is_sized = False
                break
            # Large tools hold many numbers, and whether one is a mapping takes long to ask.
            if type(item) in _LEAVES:
                continue
            if isinstance(item, str):
                texts.append(item)
            elif isinstance(item, dict) or isinstance(item, Mapping):
                texts += [key for key in item if isinstance(key, str)]
                waiting += item.values()
            elif isinstance(item, list | tuple):
                waiting += item
        self.units += UNIT * (min(nodes, MOST_NODES) - self._nodes)
        self._nodes = nodes


def _type_of(part: Mapping[str, Any]) -> str:
    name = part.get("type")
    return name if isinstance(name, str) else ""


def _is_user(message: Mapping[str, Any]) -> bool:
    """Return whether a message is a turn of the user's; items of a Responses input have a type and
    no role.
    """
    usual = "user" if _type_of(message) in ("", "message") else None
    return bool(message.get("role", usual) == "user")


def _is_answer(message: Mapping[str, Any]) -> bool:
    """Return whether the model says something in a message, and calls nothing."""
    if message.get("role") != "assistant":
        return False
    if message.get("tool_calls") or message.get("function_call"):
        return False
    content = message.get("content")
    if isinstance(content, str):
        return bool(content.strip())
    parts = _list_of(content)[:HARDLY_ANY]
    kinds = {type_of(_type_of(part)) for part in parts if isinstance(part, Mapping)}
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return "call" not in kinds and any(isinstance(text, str) and text.strip() for text in texts)


def _is_handed_on(message: Mapping[str, Any]) -> bool:
    """Return whether a message holds what tools returned alone, as Anthropic's messages do."""
    parts = _list_of(message.get("content"))[:HARDLY_ANY]
    return bool(parts) and all(
        isinstance(part, Mapping) and type_of(_type_of(part)) in _RESULTS for part in parts
    )


def _count_signs(texts: Sequence[str]) -> int:
    """Return the characters of texts, spaces aside; of the first are enough."""
    return sum(len("".join(text[: 4 * HARDLY_ANY].split())) for text in texts[:HARDLY_ANY])


def _list_of(value: object) -> Sequence[Any]:
    is_list = isinstance(value, Sequence) and not isinstance(
        value, str | bytes | bytearray | memoryview | range
    )
    return value if is_list else ()  # type: ignore[return-value]


def _count_bytes(part: Mapping[str, Any]) -> int | None:
    """Return the bytes of media whose content stands in the part; ``None`` where it is named
    only.
    """
    for text in _strings_of(part):
        if text.startswith("data:"):
            return len(text.partition(",")[2]) * 3 // 4
    for holder in (part, *(value for value in part.values() if isinstance(value, Mapping))):
        for name in ("data", "file_data"):
            if isinstance(held := holder.get(name), str):
                return len(held) * 3 // 4
    return None


def _find_plain(part: Mapping[str, Any]) -> str | None:
    """Return the text of a document that comes as plain text."""
    source = part.get("source")
    text = (
        source.get("data") if isinstance(source, Mapping) and _type_of(source) == "text" else None
    )
    return text if isinstance(text, str) else None


def _strings_of(part: Mapping[str, Any]) -> Iterator[str]:
    for value in part.values():
        inner = value.values() if isinstance(value, Mapping) else (value,)
        yield from (text for text in inner if isinstance(text, str))


def _has_schema(body: Mapping[str, Any]) -> bool:
    """Return whether a body asks for answers that keep to a schema, in any of the forms."""
    forms: list[object] = [body.get("response_format"), body.get("output_format")]
    for name in ("text", "output_config"):
        if isinstance(holder := body.get(name), Mapping):
            forms.append(holder.get("format"))
    return any(isinstance(form, Mapping) and form.get("type") == "json_schema" for form in forms)


def _read_room(body: Mapping[str, Any]) -> int | None:
    rooms = (body.get(name) for name in _ANSWER_FIELDS)
    # JSON may write 1,000 as 1000.0 or 1e3.
    known = [
        int(room)
        for room in rooms
        if (isinstance(room, int) and not isinstance(room, bool))
        or (isinstance(room, float) and room.is_integer())
    ]
    return max((min(room, _LARGEST) for room in known if room >= 0), default=None)


def _read_tags(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the tags of a body in lower case, each once."""
    metadata = body.get("metadata")
    tags: dict[str, None] = {}
    for holder in (body, metadata if isinstance(metadata, Mapping) else {}):
        found = tags_of(holder.get(name))
        tags |= dict.fromkeys(found if len(found) <= _MOST_TAGS else (UNREADABLE,))
    return tuple(tags)


def tags_of(value: object) -> tuple[str, ...]:
    """Return the tags that somebody demands, in lower case; ``None`` demands none."""
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple | set | frozenset):
        return (UNREADABLE,)
    return tuple(map(_read_tag, listed))


def _joined_tags(first: object, second: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*tags_of(first), *tags_of(second))))


def code_of(tag: str) -> str:
    """Return the code of a language, without its country."""
    return tag.partition("-")[0]


def _read_tag(tag: object) -> str:
    if not isinstance(tag, str) or not 0 < len(tag.strip()) <= _LONGEST_TAG:
        return UNREADABLE
    return tag.strip().lower()
