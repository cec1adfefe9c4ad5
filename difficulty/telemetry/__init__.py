"""Counts of what routers do, and how monitoring systems read them: light, the standard library
alone.
"""

from difficulty.telemetry.meter import Family, Meter, Recorder

__all__ = ["Family", "Meter", "Recorder"]
