"""Which requests of traffic not both models can take, as the router would see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from difficulty.needs import Eligibility, Needs
from difficulty.needs.takers import Taking, find_takers
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
    own = traffic.tokens.prompt
    columns = (traffic.each_messages(), traffic.each_tools())
    takings = (
        find_takers(
            eligibility,
            Needs.of({"messages": messages, "tools": tools}),
            given=None if np.isnan(own[row]) else int(own[row]),
            counted=int(totals[row]),
        )
        for row, (messages, tools) in enumerate(zip(*columns, strict=True))
    )
    return {row: taking for row, taking in enumerate(takings) if taking.takers != "both"}


def name_rules(ineligible: dict[int, Taking], n: int) -> list[str | None]:
    """Return the first rule of each of n requests that one of the models cannot take."""
    rules: list[str | None] = [None] * n
    for row, taking in ineligible.items():
        rules[row] = taking.rules[0]
    return rules
