"""A request inside a gateway: which model answers, whether its answer will do, and what is logged.

``integrations.litellm`` carries it into a LiteLLM proxy. The decision log is one event a request,
written by a thread of its own to sinks, and read back.
"""

from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, read_log

__all__ = ["DecisionLog", "JsonLinesSink", "read_log"]
