"""The two routes a request can take; in a module of its own, because routers need no other
record.
"""

from __future__ import annotations

from typing import Literal

Route = Literal["cheap", "frontier"]
