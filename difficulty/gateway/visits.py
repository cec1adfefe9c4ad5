"""The visits that are open: requests under way, found by a number of the gateway's own."""

from __future__ import annotations

import time
import uuid

from difficulty.events import DecisionEvent, Outcome
from difficulty.gateway.requests import Gateway, Visit

_SWEEP_S = 60.0  # least time between two looks for visits that nobody closed.


class Visits:
    """Keep open visits, and close those that nobody closes.

    A gateway may never say how a request ended, for example because the client hung up. Such visits
    are logged as ``abandoned`` after ``patience_s`` seconds, when the next request comes, so that
    the log has one event a request and memory stays bounded.
    """

    def __init__(self, gateway: Gateway, *, patience_s: float = 900.0) -> None:
        self.gateway = gateway
        self.patience_s = patience_s
        self._open: dict[str, Visit] = {}
        self._swept = time.perf_counter()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, visit: Visit) -> str:
        """Keep a visit and return its number."""
        self._sweep()
        # Of our own: two requests of one id would else share a visit.
        number = uuid.uuid4().hex
        self._open[number] = visit
        visit.number = number
        return number

    def get(self, number: object) -> Visit | None:
        """Return an open visit."""
        return self._open.get(number) if isinstance(number, str) else None

    def close(self, visit: Visit, outcome: Outcome = "answered") -> DecisionEvent | None:
        """Log a visit; ``None`` when that was done already."""
        return self.gateway.close(visit, outcome) if self._open.pop(visit.number, None) else None

    def _sweep(self) -> None:
        now = time.perf_counter()
        if now - self._swept < min(_SWEEP_S, self.patience_s):
            return
        self._swept = now
        for visit in list(self._open.values()):
            if now - visit.started > self.patience_s:
                self.close(visit, "abandoned")
