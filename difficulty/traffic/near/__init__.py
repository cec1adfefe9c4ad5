"""Which texts are nearly the same as earlier ones."""

from difficulty.traffic.near.likeness import NO_SKETCHES, near_any, sketches_of
from difficulty.traffic.near.near_search import NearSearch

__all__ = ["NO_SKETCHES", "NearSearch", "near_any", "sketches_of"]
