"""What a router did, from its decision log: figures by week and part, beside what was expected."""

from difficulty.monitor.watch import Promised, Watch, watch_log

__all__ = ["Promised", "Watch", "watch_log"]
