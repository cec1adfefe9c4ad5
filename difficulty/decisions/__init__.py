"""Decision logs as one table: read, cleaned and counted with DuckDB, late outcomes joined."""

from difficulty.decisions.decision_table import (
    ORDER,
    DecisionTable,
    exact_sum,
    plain_sum,
    read_decisions,
)
from difficulty.decisions.log_reading import LogReading
from difficulty.decisions.spread_table import spread_decisions

__all__ = [
    "ORDER",
    "DecisionTable",
    "LogReading",
    "exact_sum",
    "plain_sum",
    "read_decisions",
    "spread_decisions",
]
