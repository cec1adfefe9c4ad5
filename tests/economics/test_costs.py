from dataclasses import replace

import numpy as np
import pytest

from difficulty.economics import request_costs
from difficulty.traffic.table import Bill, Tokens
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


def test_a_prompt_without_a_count_takes_that_of_the_tokenizer():
    """As in economics, so that one report does not know a cost and not know it."""
    given, counted = tokens([1000, np.nan], [100, 100], [200, 200]), np.array([7, 1000])
    cheap, frontier = request_costs(given, PRICES, counted=counted)
    assert cheap == pytest.approx([130e-6, 130e-6])
    assert frontier == pytest.approx([5400e-6, 5400e-6])
    # An answer that nobody counted stays unknown.
    assert np.isnan(request_costs(tokens([1], [np.nan], [1]), PRICES, counted=np.ones(1))[0]).all()


def test_a_share_of_the_prompt_from_a_cache_costs_less():
    """Of 1,000 prompt tokens at 3 USD a million 400 are cached, at 0.3: 0.00192, not 0.003."""
    prices = replace(PRICES, frontier_input=3.0, frontier_cached_input=0.3, cached_share=0.4)
    cheap, frontier = request_costs(tokens([1000], [0], [0]), prices)
    assert frontier == pytest.approx([0.00192])
    # The cheap model's list has no price for cached tokens: they cost full input.
    assert cheap == pytest.approx([PRICES.cheap_input * 1e-3])


CACHED = replace(
    PRICES, frontier_input=5.0, frontier_cached_input=0.5, frontier_output=15.0, cached_share=0.0
)


def test_a_cached_prompt_costs_what_the_provider_bills():
    """Of 16,111 prompt tokens 15,872 are cached: 239 x 5 + 15,872 x 0.5 + 2 x 15 millionths; a
    request that does not say takes the list's share.
    """
    counted = tokens([16111, 16111], [2, 2], [2, 2])._replace(cached=np.array([15872, np.nan]))
    _, frontier = request_costs(counted, CACHED)
    assert frontier == pytest.approx([0.009161, 0.080585])
    assert counted.cached_share == pytest.approx(15872 / 16111)


def test_what_was_billed_goes_before_tokens_by_price():
    """A bill of 0, as for an answer from the gateway's cache, is known; NaN is not."""
    bill = Bill(cheap=np.array([np.nan, 0.0]), frontier=np.array([0.009161, 0.0]))
    counted = tokens([1000, 1000], [0, 0], [0, np.nan])
    cheap, frontier = request_costs(counted, PRICES, bill)
    assert cheap == pytest.approx([PRICES.cheap_input * 1e-3, 0.0])
    assert frontier == pytest.approx([0.009161, 0.0])
    assert request_costs(counted, None, bill)[1] == pytest.approx([0.009161, 0.0])
