"""The decision log: one event a request, written by a thread of its own to sinks, and read back.

JSON lines, the durable sink, need the standard library only; OpenTelemetry is loaded when it is
asked for.
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
