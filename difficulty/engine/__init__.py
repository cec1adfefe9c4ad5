"""Where work on many blocks is done: in this process, in several, or on a Ray cluster.

What is worked on comes in blocks, and the work is a pure function of a block, so the result is the
same whichever engine does it, with however many workers, and whether or not one of them was lost on
the way. No other room knows Ray.
"""

from difficulty.engine.engine_choice import ENGINES, open_engine
from difficulty.engine.local_engine import LocalEngine
from difficulty.engine.work import Engine, HeldShards, JointEngine, Mail, Work, tree_sum

__all__ = [
    "ENGINES",
    "Engine",
    "HeldShards",
    "JointEngine",
    "LocalEngine",
    "Mail",
    "Work",
    "open_engine",
    "tree_sum",
]
