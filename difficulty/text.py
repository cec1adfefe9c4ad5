"""The text view: from the messages of a request to the one text that is scored.

Training and serving call the same function, so a request gets the same text in both. The view is
versioned: its number stands in every manifest, and a runtime refuses a bundle whose view it does
not know. To change what the view does, add a new version and keep the old one. ``docs/bundle.md``
gives the steps of each version for other languages.

Version 1
    1. The text of a message is its ``content`` if that is a string. If it is a list of OpenAI
       content parts, it is the ``text`` of each part that has one, joined by a newline; other parts
       (images, audio) add nothing.
    2. A message with ``tool_calls`` adds one line ``name(arguments)`` for each call; arguments that
       are no string are written as JSON without spaces, non-ASCII as it is.
    3. Messages without text are dropped, the others joined by a newline, in order. Roles are not
       written.
    4. Lone surrogates become U+FFFD.
    5. A text of more than ``max_chars`` code points keeps its first and last ``max_chars // 2``,
       joined by a newline.

Version 2
    Texts of messages as in steps 1, 2 and 4; then the ask is told from what stands around it, see
    ``views/second_view.py``. Context comes before the ask; of a text of more than ``max_chars`` the
    middle of the context is cut first, the ask by step 5 where it alone is longer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from difficulty.errors import InvalidValueError, RequestError
from difficulty.views.boilerplate import LearnedView
from difficulty.views.marks import marks_of, read_marks
from difficulty.views.second_view import is_plain, read_messages, role_of

TEXT_VIEWS = (1, 2)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Return a text with lone surrogates as U+FFFD: no file and no tokenizer can hold them."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


# Control characters but tab and line feed, marks that turn the direction of writing round, ends of
# lines that are none to every reader, and what no file can hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return a text that says what it holds: a terminal, or a page, would obey the rest."""
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], text)


def one_line(text: str) -> str:
    """Return a text as one line in which everything is visible: a name from the traffic may not
    begin a line of its own.
    """
    return visible(" ".join(text.split("\n")))


def quantity_text(n: float, one: str, many: str = "") -> str:
    """Return ``1 sample``, ``1,200 samples``; ``many`` where an s does not make it: ``1 row has``,
    ``2 rows have``.
    """
    return f"{n:,.0f} {one if n == 1 else many or f'{one}s'}"


def part_text(n: float, of: float, one: str, does: str, do: str) -> str:
    """Return ``1 of 5 rows was``, ``3 of 5 rows were``; ``does`` and ``do`` say what those do."""
    return f"{n:,.0f} of {quantity_text(of, one)} {does if n == 1 else do}"


class View(NamedTuple):
    """A rendered request."""

    text: str
    total_chars: int
    """Code points before step 5."""
    truncated: bool = False
    """Whether the middle of the request was left out."""
    masked: tuple[tuple[str, int], ...] = ()
    """Kinds of context that were left out (version 2), and how many code points of each."""
    question: str | None = None
    """The ask alone (version 2), which the numbers of the request are about."""

    @property
    def masked_share(self) -> float:
        """Share of the request's code points that were left out as context."""
        return sum(count for _, count in self.masked) / max(1, self.total_chars)

    @property
    def shortened(self) -> bool:
        """Whether the text is not all of the request."""
        return self.truncated or bool(self.masked)

    def whole(self, tokens: int) -> int:
        """Return the tokens of the whole request, given those of ``text``; an estimate where it was
        truncated.
        """
        if not self.shortened:
            return tokens
        return round(tokens * self.total_chars / max(1, len(self.text)))


class TextView:
    """Render requests with one version of the view.

    Parameters
    ----------
    version : int, default 1
        Version of the steps above.
    max_chars : int, default 8192
        Longest text in code points; of longer ones head and tail are kept.
    learned : LearnedView, optional
        What version 2 knows of the traffic; nothing by default.
    """

    def __init__(
        self, version: int = 1, *, max_chars: int = 8192, learned: LearnedView | None = None
    ) -> None:
        if version not in TEXT_VIEWS:
            raise InvalidValueError(
                "text view",
                version,
                rule=f"be one of {list(TEXT_VIEWS)}",
                hint="Upgrade difficulty.",
            )
        if max_chars < 2:
            raise InvalidValueError("max_chars", max_chars, rule="be at least 2")
        self.version = version
        self.max_chars = max_chars
        self.learned = learned or LearnedView()

    def __call__(self, messages: str | Sequence[Mapping[str, Any]]) -> View:
        """Return the text of a request; a string is one user message."""
        if self.version == 2:
            return self._second(messages)
        # Cut before step 4, which changes no length: a huge request costs no more than a long one.
        return self.plain(messages if isinstance(messages, str) else render(messages))

    def _second(self, messages: str | Sequence[Mapping[str, Any]]) -> View:
        pairs, markers = message_texts(messages), message_markers(messages)
        if not markers and len(pairs) == 1 and is_plain(*pairs[0], self.learned):
            return self._shorten(pairs[0][1])._replace(question=pairs[0][1])
        reading = read_messages(pairs, self.learned, markers)
        total = sum(len(text) for _, text in pairs) + max(0, len(pairs) - 1)
        text, cut = self._join(reading.front, reading.ask)
        masked = tuple(sorted((kind, n) for kind, n in reading.masked.items() if n))
        return View(text, total, cut, masked, reading.question)

    def _join(self, front: str, ask: str) -> tuple[str, bool]:
        """Return context and ask as one text, and whether some of it had to be cut."""
        text = "\n".join(part for part in (front, ask) if part)
        if len(text) <= self.max_chars:
            return text, False
        room = self.max_chars - len(ask)
        if room <= 0:
            return self._shorten(ask).text, True
        half = room // 2
        return f"{front[:half]}\n{front[len(front) - half :]}\n{ask}", True

    def plain(self, text: str) -> View:
        """Return a text that is no request, such as an answer: steps 4 and 5 alone."""
        view = self._shorten(text)
        return view if view.text.isascii() else view._replace(text=well_formed(view.text))

    def _shorten(self, text: str) -> View:
        total = len(text)
        if total <= self.max_chars:
            return View(text, total)
        # Head and tail: requests put the task at one end and the question at the other.
        half = self.max_chars // 2
        return View(f"{text[:half]}\n{text[total - half :]}", total, truncated=True)


def render(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the joined text of a conversation (steps 1 to 3)."""
    check_messages(messages)
    if len(messages) == 1:
        return message_text(messages[0])
    # Messages without text leave no empty line.
    return "\n".join(text for message in messages if (text := message_text(message)))


def message_texts(messages: str | Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return role and text of each message that has some, well formed, as view 2 reads them."""
    if isinstance(messages, str):
        return [("user", well_formed(messages))] if messages else []
    check_messages(messages)
    pairs = ((message, message_text(message)) for message in messages)
    return [(role_of(message.get("role")), well_formed(text)) for message, text in pairs if text]


def message_markers(messages: str | Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what checked messages have beside their words, as view 2 writes it, by kind."""
    if isinstance(messages, str) or not messages:
        return {}
    if role_of(messages[-1].get("role")) != "tool" and not any(map(marks_of, messages)):
        return {}  # nearly all
    return read_marks(
        [
            (role_of(message.get("role")), message_text(message), marks_of(message))
            for message in messages
        ]
    )


def check_messages(messages: object) -> None:
    """Refuse what is no list of messages."""
    if isinstance(messages, Mapping) or not hasattr(messages, "__len__"):
        # Most often the whole body of a request: its messages are meant.
        raise RequestError("messages", messages, rule="be a text or a list of messages")


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of one OpenAI-style message (steps 1 and 2)."""
    if type(message) is not dict and not isinstance(message, Mapping):
        raise RequestError("a message", message, rule="be an object with role and content")
    text = _content_text(message.get("content"))
    calls = message.get("tool_calls")
    if calls is None:
        return text
    if not is_list(calls):
        raise RequestError("tool_calls", calls, rule="be a list or null")
    return "\n".join(filter(None, [text, *map(_call_text, calls)]))


def _content_text(content: object) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not is_list(content):
        raise RequestError(
            "message content", content, rule="be a string, a list of content parts or null"
        )
    return "\n".join(filter(None, map(_part_text, content)))


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Return whether a value that came from outside is a list of parts."""
    # Any sequence: clients' own classes hand in tuples. What holds bytes or numbers has no parts,
    # and a range has as many as one likes.
    return type(value) is list or (isinstance(value, Sequence) and not isinstance(value, _NO_LISTS))


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else ""


def _call_text(call: object) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return ""
    name, arguments = function.get("name"), function.get("arguments")
    return f"{name if isinstance(name, str) else ''}({arguments_text(arguments)})"


def arguments_text(arguments: object) -> str:
    """Return the arguments of a call as text: a string as it is, anything else as JSON.

    Raises
    ------
    RequestError
        If they are far larger written than held.
    """
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    if _grows(arguments):
        rule = "not repeat one part over and over inside itself"
        raise RequestError("arguments of a tool call", arguments, rule=rule)
    # What JSON has no word for becomes text: a client's odd argument must not stop a decision.
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"), default=str)


_NO_LISTS = (str, bytes, bytearray, memoryview, range)
_MOST_PARTS = 100_000


def _grows(value: object) -> bool:
    """Return whether objects that stand in several places make the written form far larger than
    what is held: each level may double it. Takes time for what is held.
    """
    written: dict[int, int] = {}  # container to its parts when written; 0 while inside of it
    held, open_ones = 0, [value]
    while open_ones:
        item = open_ones[-1]
        if not isinstance(item, dict | list | tuple) or written.get(id(item)):
            open_ones.pop()
            continue
        parts = item.values() if isinstance(item, dict) else item
        inner = [part for part in parts if isinstance(part, dict | list | tuple)]
        if id(item) not in written:
            written[id(item)] = 0
            held += 1 + len(item)
            fresh = [part for part in inner if id(part) not in written]
            if fresh:
                open_ones.extend(fresh)
                continue
        written[id(item)] = 1 + len(item) + sum(written[id(part)] for part in inner)
        open_ones.pop()
    return written.get(id(value), 0) > max(held, _MOST_PARTS)
