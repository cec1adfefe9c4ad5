"""Which texts belong together: those of one group, equal texts, and nearly equal ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.records import Message, Sample
from difficulty.text import message_texts
from difficulty.traffic.duplicates import Grouper, place_together

TextInput: TypeAlias = "str | Sequence[Mapping[str, Any]]"
"""A text, which is one user message, or messages as OpenAI has them."""


def near_groups(
    texts: Iterable[TextInput], groups: Iterable[Any] | None = None
) -> NDArray[np.int64]:
    """Return a number for each text, one for all that must stay on one side of a split.

    Texts that are equal, or nearly so, share a number, and so do those of one group. Give it to
    ``GroupKFold`` and the like: with copies on both sides a score is judged on what it has learned
    by heart.

    Parameters
    ----------
    texts : iterable of n str, or of messages
    groups : iterable of n, optional
        Conversations, users or templates: what belongs together anyway.

    Returns
    -------
    ndarray of shape (n,)
        From 0, in the order in which they come.

    Examples
    --------
    >>> near_groups(["What is a purchase order?", "what is a purchase order", "Plan our move."])
    array([0, 0, 1])
    """
    samples = samples_of(texts, groups=groups)
    with Grouper() as grouper:
        places = place_together(samples, grouper)
    # A later text may tie keys together that stood apart: all of these are one group.
    first: dict[str, str] = {}

    def root(key: str) -> str:
        while (above := first.setdefault(key, key)) != key:
            first[key] = first.setdefault(above, above)
            key = above
        return key

    for place in places:
        for other in place.near_groups:
            first[root(other)] = root(place.split_group)
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(root(place.split_group), len(numbers)) for place in places],
        dtype=np.int64,
    )


def samples_of(
    texts: Iterable[TextInput],
    *,
    groups: Iterable[Any] | None = None,
    outcomes: Iterable[float] | None = None,
    weight: Iterable[float] | None = None,
) -> list[Sample]:
    """Return texts as samples, with what is known of them.

    Parameters
    ----------
    texts : iterable of n str, or of messages
    groups : iterable of n, optional
    outcomes : iterable of n float, optional
        ``cheap_quality`` of each.
    weight : iterable of n float, optional

    Raises
    ------
    InvalidValueError
        If a text is neither, or holds nothing, or the others have another length.
    """
    all_messages = [messages_of(text) for text in texts]
    n = len(all_messages)
    columns: dict[str, list[Any]] = {}
    for name, values in (("group", groups), ("cheap_quality", outcomes), ("weight", weight)):
        if values is None:
            continue
        columns[name] = list(values)
        if len(columns[name]) != n:
            raise InvalidValueError(
                name, f"{len(columns[name]):,}", rule=f"have one entry for each of the {n:,} texts"
            )
    if "group" in columns:
        columns["group"] = [None if each is None else str(each) for each in columns["group"]]
    for name in ("cheap_quality", "weight"):
        if name in columns:
            columns[name] = [float(each) for each in columns[name]]
    return [
        Sample(
            id=str(row),
            messages=messages,
            **{name: values[row] for name, values in columns.items()},
        )
        for row, messages in enumerate(all_messages)
    ]


def messages_of(text: TextInput) -> tuple[Message, ...]:
    """Return a text, or messages, as messages."""
    if isinstance(text, str):
        return (Message("user", str(text)),)
    if isinstance(text, Sequence) and all(isinstance(each, Mapping) for each in text):
        return tuple(Message(role, content) for role, content in message_texts(text))
    raise InvalidValueError("a text", type(text).__name__, rule="be a string or a list of messages")
