from tests.traffic.conftest import normalised, routellm

__all__ = ["normalised", "routellm"]
