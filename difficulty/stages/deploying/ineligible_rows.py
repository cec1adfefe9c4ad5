"""Which requests of traffic not both models can take, as the router would see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from difficulty.needs import Eligibility, Needs
from difficulty.needs.takers import NOT_STATED, Taking, find_takers, is_plain
from difficulty.request import Request
from difficulty.traffic.table import Traffic


def find_ineligible(
    traffic: Traffic, totals: NDArray[np.int64], eligibility: Eligibility | None
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
    """
    own = [None if np.isnan(count) else int(count) for count in traffic.tokens.prompt.tolist()]
    columns = (traffic.each_messages(), traffic.each_tools(), own)
    # Of learned samples the texts are not kept: their counts alone say how long they were.
    short = (3 * totals <= 2 * (eligibility or NOT_STATED).least_room).tolist()
    ineligible = {}
    for row, (messages, tools, given) in enumerate(zip(*columns, strict=True)):
        # Most are a few short messages, which both take: nothing more is read of those.
        if short[row] and is_plain(eligibility, Request(messages, tokens=given, tools=tools)):
            continue
        needs = Needs.of({"messages": messages, "tools": tools})
        taking = find_takers(eligibility, needs, given=given, counted=int(totals[row]))
        if taking.takers != "both":
            ineligible[row] = taking
    return ineligible


def name_rules(ineligible: dict[int, Taking], n: int) -> list[str | None]:
    """Return the first rule of each of n requests that one of the models cannot take."""
    rules: list[str | None] = [None] * n
    for row, taking in ineligible.items():
        rules[row] = taking.rules[0]
    return rules
