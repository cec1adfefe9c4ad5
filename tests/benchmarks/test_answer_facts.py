import gzip
import json

import numpy as np

from benchmarks.answer_facts import as_page, judge, merge_answers

TOOL = {
    "name": "book_room",
    "description": "Book a room on a day.",
    "parameters": {"properties": {"day": {"type": "string"}}, "required": ["day"]},
}
DAYS = ("Monday", "Tuesday", "Friday", "Sunday")


def test_wrong_calls_are_told_by_facts_and_by_rules(tmp_path):
    """Sixty bookings; half of the cheap answers book another day than was asked for."""
    system = f"You may call:\n{json.dumps(TOOL)}"
    paths = tmp_path / "traffic.jsonl.gz", tmp_path / "answers.jsonl.gz"
    traffic, answers = [], []
    for number in range(60):
        asked, is_right = DAYS[number % 4], number % 2 == 0
        day = asked if is_right else "Saturday"
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": f"Book room {number} on {asked}."},
        ]
        traffic.append(
            {
                **{"id": f"r{number}", "messages": messages, "source": "x"},
                **{"cheap_quality": float(is_right), "frontier_quality": 1.0},
            }
        )
        answers.append(
            {
                "id": f"r{number}",
                "cheap_answer": f"[book_room(day='{day}')]",
                "frontier_answer": f"[book_room(day='{asked}')]",
            }
        )
    for path, rows in zip(paths, (traffic, answers), strict=True):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write("\n".join(map(json.dumps, rows)))
    found = judge(merge_answers(*paths))
    assert found["auroc"]["tools"]["value"] > 0.95
    assert found["auroc"]["tools.hand_score"]["value"] == 1
    assert found["apgr"]["tools.hand_score"]["value"] > 0.7
    assert "arithmetic" not in found["rules"]
    assert found["rules"]["tool_facts"]["frontier"] is None
    page = "\n".join(as_page({"sets": {"bookings": found}}))
    assert "| bookings | 60 | 50.0% | 1.000 [" in page
    assert "nan" not in page
    assert np.isfinite(found["ms"])
