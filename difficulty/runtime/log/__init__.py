"""The decision log: one event a request, written by a thread of its own to sinks, and read back.

JSON lines and SQLite need the standard library only; Parquet and OpenTelemetry load their packages
when they are asked for.
"""

from difficulty.events import EVENT_FORMAT, Call, Check, DecisionEvent
from difficulty.runtime.log.json_lines import JsonLinesSink
from difficulty.runtime.log.reader import LogReader, read_log
from difficulty.runtime.log.sinks import SINKS, Sink, build_sink
from difficulty.runtime.log.writer import DecisionLog, LogReport

__all__ = [
    "EVENT_FORMAT",
    "SINKS",
    "Call",
    "Check",
    "DecisionEvent",
    "DecisionLog",
    "JsonLinesSink",
    "LogReader",
    "LogReport",
    "Sink",
    "build_sink",
    "read_log",
]
