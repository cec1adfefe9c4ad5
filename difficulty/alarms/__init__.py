"""Alarms with a stated false-alarm rate, over what a decision log says day by day."""

from difficulty.alarms.alarm import Alarm, Flood, Promises
from difficulty.alarms.sources import COLUMNS
from difficulty.alarms.summaries import DailySummaries, summarise
from difficulty.alarms.watchers import WATCHERS
from difficulty.alarms.watching import Watched, watch

__all__ = [
    "COLUMNS",
    "WATCHERS",
    "Alarm",
    "DailySummaries",
    "Flood",
    "Promises",
    "Watched",
    "summarise",
    "watch",
]
