"""Results of a benchmark as files: the numbers, and the page that people read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_results(out: Path, results: dict[str, Any], page: str) -> None:
    """Write ``<out>.json`` and ``<out>.md``, and the folder that they lie in."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(page, encoding="utf-8")
