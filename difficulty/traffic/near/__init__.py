"""Which texts are nearly the same as earlier ones: here, or in a process of its own."""

from difficulty.traffic.near.near_index import NO_SKETCHES, NearIndex, near_any, sketches_of
from difficulty.traffic.near.near_process import NearHere, NearProcess, NearSearch
from difficulty.traffic.near.near_shuffle import NearShuffle

__all__ = [
    "NO_SKETCHES",
    "NearHere",
    "NearIndex",
    "NearProcess",
    "NearSearch",
    "NearShuffle",
    "near_any",
    "sketches_of",
]
