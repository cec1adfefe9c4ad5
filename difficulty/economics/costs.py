"""What a request costs on either model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from difficulty.metrics.arrays import FloatArray
from difficulty.records import Prices

if TYPE_CHECKING:
    from difficulty.traffic.table import Tokens


def request_costs(tokens: Tokens, prices: Prices | None) -> tuple[FloatArray, FloatArray]:
    """Return USD per request on the cheap and on the frontier model, arrays of shape (n,); NaN
    where a count or price is unknown.
    """
    if prices is None:
        unknown = np.full(len(tokens.prompt), np.nan)
        return unknown, unknown.copy()
    million = 1e6
    cheap = (tokens.prompt * prices.cheap_input + tokens.cheap * prices.cheap_output) / million
    frontier = (
        tokens.prompt * prices.frontier_input + tokens.frontier * prices.frontier_output
    ) / million
    return cheap, frontier
