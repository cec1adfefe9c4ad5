"""What text view 2 learns from the traffic: kinds of context, and sentences that say nothing.

Of the fit samples alone. It is counted, not fitted: no outcome is read, and a sentence that stands
in nine of ten requests stands there with any one of them left out, so nothing of a sample comes
back to it and no cross-fitting is needed.

A sentence is boilerplate where it stands in at least ``BOILERPLATE_SHARE`` of the requests, or of
those with the same system prompt. The share is high because a rarer one tells tasks apart: the
sentence that opens MMLU's moral_scenarios stands in 6 % of the requests, of which the frontier
model gains most, and a house with two tasks has a sentence in half of them.

Little boilerplate stays, ``LEAST_BOILERPLATE``: heads learn by themselves that a sentence of every
request says nothing (with a house template of its own in each request APGR on MMLU was .703 against
.671), while taking one sentence of 13 tokens out of tool calls moved APGR by -.008 (-.020 to .001).
It is long templates that crowd the ask out of the tokens that are read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.recipe import Recipe
from difficulty.text import TextView, message_markers, message_texts
from difficulty.traffic.table import Traffic
from difficulty.views.boilerplate import MOST_HASHES, LearnedView, hashes_of, salt_of, sentences
from difficulty.views.second_view import SILENT, bounded, read_messages

MOST_SAMPLES = 20_000
"""Samples that are counted, evenly spaced: shares of so many are known to within .01."""
LEAST_REQUESTS = 50
"""Requests, in all or with one system prompt, of which shares say anything."""
BOILERPLATE_SHARE = 0.9
LEAST_BOILERPLATE = 500
"""Code points of boilerplate, the different sentences together."""
KIND_SHARE = 0.01
"""Share of the samples with context of a kind, from which on its words can be learned from."""
LEAST_OF_KIND = 20


def learn_view(
    recipe: Recipe, traffic: Traffic, rows: NDArray[np.intp], *, data_hash: str | None = None
) -> TextView:
    """Return a recipe's text view, version 2 with what it learned from some samples.

    Parameters
    ----------
    recipe : Recipe
    traffic : Traffic
    rows : ndarray of int
        Places of the fit samples.
    data_hash : str, optional
        Of the traffic as it was read, which salts what is kept of sentences; by default it is
        worked out.
    """
    settings = recipe.text
    if settings.view == 1:
        return TextView(1, max_chars=settings.max_chars)
    step = -(-len(rows) // MOST_SAMPLES) or 1
    chosen = traffic.messages(rows[::step]) if len(rows) else []
    learned = count_boilerplate(chosen, salt=salt_of(data_hash or traffic.data_hash))
    return TextView(settings.view, max_chars=settings.max_chars, learned=learned)


def count_boilerplate(
    requests: Sequence[Sequence[Mapping[str, Any]]], *, salt: bytes
) -> LearnedView:
    """Return what a view knows of requests."""
    nothing = LearnedView()
    kinds: Counter[str] = Counter()
    counts: dict[bytes, Counter[str]] = defaultdict(Counter)
    sizes: Counter[bytes] = Counter()
    for messages in requests:
        pairs = message_texts(messages)
        kinds.update([*read_messages(pairs, nothing, message_markers(messages)).masked])
        system = "\n".join(text for role, text in pairs if role == "system")
        group = nothing.hash_of(system) if system else b""
        sizes[group] += 1
        counts[group].update(set(_sentences(pairs, system=False)))
        counts[b"all"].update(set(_sentences(pairs, system=True)))
    sizes[b"all"] = len(requests)
    least = max(LEAST_OF_KIND, KIND_SHARE * len(requests))
    boilerplate = {
        sentence: count
        for group, found in counts.items()
        if sizes[group] >= LEAST_REQUESTS
        for sentence, count in found.items()
        if count >= BOILERPLATE_SHARE * sizes[group]
    }
    # The most frequent ones, then by their words, so that equal traffic makes equal files.
    kept = sorted(boilerplate, key=lambda each: (-boilerplate[each], each))[:MOST_HASHES]
    if sum(map(len, kept)) < LEAST_BOILERPLATE:
        kept = []
    return LearnedView(
        frozenset(kind for kind, count in kinds.items() if count >= least) - SILENT,
        hashes_of(kept, salt),
        salt,
        frozenset(map(len, kept)),
    )


def _sentences(pairs: Sequence[tuple[str, str]], *, system: bool) -> Iterator[str]:
    for role, text in pairs:
        if role == "user" or (system and role == "system"):
            yield from (sentence for _, _, sentence in sentences(bounded(text)))
