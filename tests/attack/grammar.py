"""Requests as nobody should send them: a grammar of message shapes, from plausible to absurd.

Whatever is text holds ``SECRET``, so that any of it that gets out is seen.
"""

import decimal
from collections import UserDict, UserList, deque, namedtuple
from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace

import numpy as np

from difficulty.runtime import Request

SECRET = "SECRETPATIENT"
ROLES = ("system", "user", "assistant", "tool", "developer", "", "USER", "\x00", "\ud800")
TASKS = (None, "classify", "multi-step planning", "code")
Pair = namedtuple("Pair", "left right")


class Raising:
    """An object of a caller's own, of which nothing can be had."""

    def _refuse(self, *arguments):
        raise LookupError(SECRET)

    __str__ = __repr__ = __len__ = __iter__ = __getitem__ = __bool__ = __hash__ = _refuse
    __eq__ = __lt__ = __le__ = __int__ = __index__ = __float__ = __contains__ = _refuse


class RaisingMapping(Mapping):
    """A mapping that has keys and gives none of their values."""

    def __getitem__(self, name):
        raise KeyError(SECRET)

    def __iter__(self):
        return iter(("role", "content", SECRET))

    def __len__(self):
        return 3


class EndlessList(list):
    """A list that says it is short and never ends."""

    def __iter__(self):
        raise RuntimeError(SECRET)


class LoudText(str):
    """A text whose methods raise."""

    def _refuse(self, *arguments):
        raise ValueError(SECRET)

    __hash__ = __eq__ = __str__ = strip = lower = encode = _refuse


class LoudNumber(int):
    """A number that cannot be compared."""

    def _refuse(self, *arguments):
        raise ArithmeticError(SECRET)

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __repr__ = __str__ = __hash__ = _refuse


class RaisingType(type):
    """A class that hides its name."""

    @property
    def __name__(cls):
        raise AttributeError(SECRET)


class Nameless(metaclass=RaisingType):
    """An object of such a class."""


def request(rng):
    """Return a request of the grammar."""
    return Request(messages(rng), task(rng), tokens(rng))


def messages(rng):
    """Return what stands for messages."""
    kind = rng.random()
    if kind < 0.70:
        return [message(rng) for _ in range(rng.choice((1, 1, 1, 2, 3, 8)))]
    if kind < 0.80:
        return text(rng)
    if kind < 0.85:
        return rng.choice((tuple, deque, UserList, EndlessList))(message(rng) for _ in range(2))
    if kind < 0.87:
        return (message(rng) for _ in range(2))
    return value(rng)


def message(rng):
    """Return a message, or what stands where one should."""
    if rng.random() < 0.03:
        return value(rng)
    made = {"role": rng.choice(ROLES) if rng.random() < 0.95 else value(rng)}
    if rng.random() < 0.93:
        made["content"] = content(rng)
    if rng.random() < 0.15:
        made["tool_calls"] = tool_calls(rng)
    if rng.random() < 0.05:
        made["function_call"] = function(rng)
    if rng.random() < 0.08:
        made[text(rng)[:50] if rng.random() < 0.5 else "name"] = value(rng)
    how = rng.random()
    if how < 0.03:
        return UserDict(made)
    if how < 0.05:
        return MappingProxyType(made)
    if how < 0.06:
        return SimpleNamespace(**{str(name)[:20]: entry for name, entry in made.items()})
    return made


def content(rng):
    """Return the content of a message."""
    kind = rng.random()
    if kind < 0.70:
        return text(rng)
    if kind < 0.90:
        return [part(rng) for _ in range(rng.choice((0, 1, 2, 5)))]
    if kind < 0.92:
        return part(rng)
    return value(rng)


def part(rng):
    """Return a part of a content."""
    made = (
        lambda: {"type": "text", "text": text(rng)},
        lambda: {"type": "input_text", "text": text(rng)},
        lambda: {"type": "text", "text": value(rng)},
        lambda: {"type": value(rng), "text": text(rng)},
        lambda: {"type": "image_url", "image_url": {"url": text(rng)}},
        lambda: {"type": "input_audio", "input_audio": {"data": text(rng), "format": "wav"}},
        lambda: {"type": "tool_result", "content": content(rng) if rng.random() < 0.5 else "x"},
        lambda: text(rng),
        lambda: {},
        lambda: value(rng),
    )
    return rng.choice(made)()


def tool_calls(rng):
    """Return the tool calls of a message."""
    if rng.random() < 0.2:
        return value(rng)
    return [
        value(rng)
        if rng.random() < 0.1
        else {"id": text(rng)[:20], "type": "function", "function": function(rng)}
        for _ in range(rng.randint(0, 3))
    ]


def function(rng):
    """Return the call of a function."""
    if rng.random() < 0.1:
        return value(rng)
    given = rng.choice((text, value, structure))(rng)
    return {"name": text(rng)[:40] if rng.random() < 0.8 else value(rng), "arguments": given}


def structure(rng, depth=0):
    """Return nested JSON, with texts."""
    if depth > 4 or rng.random() < 0.3:
        return rng.choice((text(rng)[:100], None, True, 7, 0.5))
    if rng.random() < 0.5:
        return [structure(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return {text(rng)[:30]: structure(rng, depth + 1) for _ in range(rng.randint(0, 3))}


def task(rng):
    """Return what stands for a task."""
    return rng.choice(TASKS) if rng.random() < 0.8 else rng.choice((text, value))(rng)


def tokens(rng):
    """Return what stands for a count."""
    if rng.random() < 0.8:
        return rng.choice((None, None, 0, 7, 300, 100_000))
    return rng.choice((-1, 2**63, 10**5_000, True, 1.5, float("nan"), LoudNumber(7), value(rng)))


def text(rng):
    """Return a text with ``SECRET`` in it."""
    alphabet = rng.choice(
        (
            "w7 w150 w199 w3 ",
            "Plan the move of our warehouse. ",
            "\x00\x1b[2J\r\n\t\x7f\x85\u2028",
            "\ud83d\udc00\ud800 ",
            "é\u0301\u202e\u200f\ufeff\u0600 ",
            "日本語のテキスト",
            "😀👩‍👩‍👧‍👦",
            "aaaa",
            "((((a+)+)+$",
            '{"[,:}]\\',
            "İıſßﬃ",
            "\U0010ffff\ufffe",
        )
    )
    length = rng.choice((0, 1, 3, 10)) if rng.random() < 0.99 else rng.choice((1_000, 10_000))
    return alphabet * length + SECRET + alphabet[: length % 7]


def value(rng):
    """Return anything."""
    return rng.choice(_VALUES)(rng)


def _circle(rng):
    made = [text(rng)]
    made.append({"again": made})
    return made


def _shared(rng):
    made = text(rng)
    for _ in range(rng.choice((3, 40))):
        made = [made, made] if rng.random() < 0.5 else {"a": made, "b": made}
    return made


def _deep(rng):
    made = text(rng)
    for _ in range(rng.choice((50, 2_000, 20_000))):
        made = [made]
    return made


_VALUES = (
    lambda rng: None,
    lambda rng: rng.choice((True, False)),
    lambda rng: rng.choice((0, -1, 7, 2**63, 2**200, 10**5_000)),
    lambda rng: rng.choice((0.5, float("nan"), float("inf"), -0.0)),
    lambda rng: rng.choice((decimal.Decimal("NaN"), 1j, Ellipsis, NotImplemented)),
    text,
    lambda rng: text(rng).encode("utf-8", "surrogatepass"),
    lambda rng: bytearray(SECRET.encode()),
    lambda rng: memoryview(SECRET.encode()),
    lambda rng: [],
    lambda rng: {},
    lambda rng: (text(rng),),
    lambda rng: {SECRET, 7},
    lambda rng: {SECRET.encode(): 1, None: 2, (1, SECRET): 3},
    lambda rng: [[text(rng)] for _ in range(rng.choice((1, 50)))],
    lambda rng: {"type": "text", "text": text(rng)},
    lambda rng: np.array([1.0, float("nan")]),
    lambda rng: np.array([SECRET]),
    lambda rng: np.str_(SECRET),
    lambda rng: np.int64(7),
    lambda rng: Pair(text(rng), 7),
    lambda rng: SimpleNamespace(content=text(rng), role="user"),
    lambda rng: ValueError(SECRET),
    lambda rng: rng.choice((str, Raising, Pair)),
    lambda rng: len,
    lambda rng: iter([text(rng)]),
    lambda rng: range(10**12),
    lambda rng: Raising(),
    lambda rng: RaisingMapping(),
    lambda rng: LoudText(SECRET),
    lambda rng: LoudNumber(7),
    lambda rng: Nameless(),
    structure,
    _circle,
    _shared,
    _deep,
)
