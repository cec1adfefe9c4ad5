"""cascadeflow 1.2.0: its validators of cheap answers, as its cascade asks them.

Run by ``benchmarks.answers`` with the interpreter of an environment that holds the package: reads
``[{"question", "answer", "tools", "calls"}]`` as JSON from standard input, writes a score for each
(higher = more worth the frontier model). Answers with tool calls go to ``ToolQualityValidator``
(1 minus its score), others to ``QualityValidator`` with the confidence 0.5, since no set has log
probabilities: the score is 1 minus the validator's, plus 1 where it does not pass.
"""

from __future__ import annotations

import json
import logging
import sys

from cascadeflow.quality.quality import QualityValidator
from cascadeflow.quality.tool_validator import ToolQualityValidator

CONFIDENCE = 0.5


def main() -> None:
    """Score what stands on standard input."""
    logging.disable(logging.CRITICAL)
    texts, tools = QualityValidator(), ToolQualityValidator()
    scores = []
    for row in json.load(sys.stdin):
        if row["tools"]:
            scores.append(1.0 - float(tools.validate(row["calls"], row["tools"])))
            continue
        result = texts.validate(row["answer"], row["question"], CONFIDENCE)
        scores.append(1.0 - float(result.score) + (not result.passed))
    json.dump(scores, sys.stdout)


if __name__ == "__main__":
    main()
