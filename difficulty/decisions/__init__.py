"""Decision logs as one table: read, cleaned and counted with DuckDB, late outcomes joined."""

from difficulty.decisions.decision_table import DecisionTable, exact_sum, plain_sum, read_decisions
from difficulty.decisions.log_reading import LogReading

__all__ = ["DecisionTable", "LogReading", "exact_sum", "plain_sum", "read_decisions"]
