"""Money: price lists, what a request costs on either model, and whether routing pays."""

from difficulty.economics.prices import PriceList, load_price_list, load_prices, request_costs

__all__ = ["PriceList", "load_price_list", "load_prices", "request_costs"]
