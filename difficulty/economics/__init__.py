"""Money: price lists, and what a request costs on either model."""

from difficulty.economics.costs import request_costs
from difficulty.economics.prices import load_prices

__all__ = ["load_prices", "request_costs"]
