"""Which texts are nearly the same as earlier ones: here, or in a process of its own."""

from difficulty.traffic.near.near_index import NO_SKETCHES, NearIndex, near_any, sketches_of
from difficulty.traffic.near.near_process import NearHere, NearProcess, NearSearch

__all__ = [
    "NO_SKETCHES",
    "NearHere",
    "NearIndex",
    "NearProcess",
    "NearSearch",
    "near_any",
    "sketches_of",
]
