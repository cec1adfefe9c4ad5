"""Damage to the content of files: bytes, pieces of text, and values inside of JSON."""

import json

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 5_000
_PIECES = (
    HUGE.encode(),
    b"0x" + b"f" * 5_000,
    b"1e400",
    b"-1",
    b"nan",
    b"null",
    b"[" * 2_000,
    b"a." * 2_000,
    b'"\\ud83d"',
    b'"""',
    b"\x00",
    b"\xff\xfe",
    b"\x1b[2J",
    b"'''\n",
    b"\n\n[[",
    b"= = ",
)
_VALUES = (
    None,
    True,
    -1,
    0,
    0.5,
    1e308,
    2**63,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x" * 10_000,
    "\ud83d",
    "\x1b[2J",
    "../../x",
    "2026-13-45",
    "9" * 64,
    "a" * 64,
    [],
    {},
    [[]],
    [None],
    {"a": {"a": {}}},
    {"": 1},
)


def mutated(content, rng):
    """Return some bytes with a few places changed; of JSON, half of the time its values."""
    if rng.random() < 0.5:
        try:
            return _with_other_values(content, rng)
        except ValueError:
            pass  # no JSON
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        end = min(end, at + 40)
        kind = rng.random()
        if kind < 0.2:
            content[at:end] = bytes([rng.randrange(256)])
        elif kind < 0.4:
            content[at:end] = content[at:end] * 2
        elif kind < 0.6:
            del content[at:end]
        elif kind < 0.65:
            del content[at:]
        else:
            content[at:end] = rng.choice(_PIECES)
    return bytes(content)


def flipped(content, rng):
    """Return some bytes with one bit changed."""
    content = bytearray(content)
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _with_other_values(content, rng):
    """Return JSON, or one line of JSON lines, with a value replaced, left out or put in."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines)) if content[:1] == b"{" and len(lines) > 2 else None
    try:
        whole = json.loads(content)
        at = None
    except ValueError:
        if at is None:
            raise
        whole = json.loads(lines[at])
    for _ in range(rng.randint(1, 2)):
        whole = _changed(whole, rng)
    written = json.dumps(whole).encode()
    if rng.random() < 0.1:  # a name that stands twice
        written = written.replace(b"{", b'{"format": 7, ', 1)
    if at is None:
        return written
    return b"\n".join([*lines[:at], written, *lines[at + 1 :]])


def _changed(value, rng):
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice([*value])
        kind = rng.random()
        if kind < 0.1:
            return {key: entry for key, entry in value.items() if key != name}
        if kind < 0.2:
            return {**value, rng.choice(("unknown", "", "\x1b", name + "x")): value[name]}
        return {**value, name: _changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            return [*value[:at], *value[at + 1 :]]
        if kind < 0.2:
            return [*value, value[at]]
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    return rng.choice(_VALUES)
