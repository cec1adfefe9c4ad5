from dataclasses import replace

import numpy as np
import pytest

from difficulty.economics import request_costs
from difficulty.traffic.table import Tokens
from tests.economics.test_prices import PRICES


def tokens(prompt, cheap, frontier):
    return Tokens(
        np.array(prompt, dtype=float), np.array(cheap, dtype=float), np.array(frontier, dtype=float)
    )


def test_costs_by_hand():
    """1,000 tokens in and 100 out: 1,000 x 0.1 + 100 x 0.3 = 130 millionths of a dollar; 3,000 +
    200 x 12 = 5,400 on the frontier model.
    """
    cheap, frontier = request_costs(tokens([1000, 0], [100, 0], [200, 1]), PRICES)
    assert cheap == pytest.approx([130e-6, 0])
    assert frontier == pytest.approx([5400e-6, 12e-6])


def test_unknown_counts_and_prices_cost_an_unknown_amount():
    """Unknown is not free."""
    cheap, frontier = request_costs(
        tokens([10, np.nan, 10], [np.nan, 5, 5], [5, 5, np.nan]), PRICES
    )
    assert np.isnan(cheap).tolist() == [True, True, False]
    assert np.isnan(frontier).tolist() == [False, True, True]
    both = request_costs(tokens([10], [5], [5]), None)
    assert np.isnan(both).all()
    assert both[0] is not both[1]


def test_a_share_of_the_prompt_from_a_cache_costs_less():
    """Of 1,000 prompt tokens at 3 USD a million 400 are cached, at 0.3: 0.00192, not 0.003."""
    prices = replace(PRICES, frontier_input=3.0, frontier_cached_input=0.3, cached_share=0.4)
    cheap, frontier = request_costs(tokens([1000], [0], [0]), prices)
    assert frontier == pytest.approx([0.00192])
    # The cheap model's list has no price for cached tokens: they cost full input.
    assert cheap == pytest.approx([PRICES.cheap_input * 1e-3])
