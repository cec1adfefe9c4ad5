"""Which requests of traffic not both models can take, as the router would see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from difficulty.needs import Eligibility, Needs
from difficulty.needs.takers import NOT_STATED, Taking, find_takers, plain_chars
from difficulty.traffic.table import Traffic


def find_ineligible(
    traffic: Traffic,
    totals: NDArray[np.int64],
    eligibility: Eligibility | None,
    chars: NDArray[np.int64] | None = None,
) -> dict[int, Taking]:
    """Return the rows that not both models can take, and why.

    Texts, tools and token counts say it: traffic holds no images, and no words on where a request
    may be answered.

    Parameters
    ----------
    traffic : Traffic
        n requests.
    totals : ndarray of int, shape (n,)
        Tokens by the scorer's tokenizer.
    eligibility : Eligibility or None
    chars : ndarray of int, shape (n,), optional
        What :func:`~difficulty.needs.takers.plain_chars` says of each, where that is known.
    """
    own, left = traffic.tokens.prompt, (eligibility or NOT_STATED).least_room
    if chars is None:
        asked = zip(traffic.each_messages(), traffic.each_tools(), strict=True)
        chars = np.array([plain_chars(*each) for each in asked], np.int64)
    # As is_plain has it: most are a few short messages, and nothing more is read of those. Of
    # learned samples the texts are not kept: their counts alone say how long they were.
    plain = (chars >= 0) & (4 * chars <= left) & (3 * totals <= 2 * left)
    rows = np.flatnonzero(~(plain & (np.isnan(own) | ((own >= 0) & (own <= left)))))
    some, ineligible = traffic.select(rows), {}
    columns = (rows.tolist(), some.each_messages(), some.each_tools())
    for row, messages, tools in zip(*columns, strict=True):
        taking = find_takers(
            eligibility,
            Needs.of({"messages": messages, "tools": tools}),
            given=None if np.isnan(own[row]) else int(own[row]),
            counted=int(totals[row]),
        )
        if taking.takers != "both":
            ineligible[row] = taking
    return ineligible


def name_rules(ineligible: dict[int, Taking], n: int) -> list[str | None]:
    """Return the first rule of each of n requests that one of the models cannot take."""
    rules: list[str | None] = [None] * n
    for row, taking in ineligible.items():
        rules[row] = taking.rules[0]
    return rules
