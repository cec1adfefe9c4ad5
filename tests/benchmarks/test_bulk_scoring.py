"""The rows of the benchmark of bulk scoring are the same each time, and its page says what it
measured.
"""

from benchmarks.bulk_scoring import _rates, as_markdown, question_rows, sampled_rows


def test_rows_are_the_same_each_time_and_differ():
    for rows in (list(question_rows(60)), list(sampled_rows(60))):
        assert len({str(row["messages"]) for row in rows}) == 60
        assert len({row["id"] for row in rows}) == 60
    assert list(question_rows(60)) == list(question_rows(60))
    words = [len(row["messages"][0]["content"].split()) for row in question_rows(60)]
    assert 15 < sum(words) / 60 < 25


def test_page_tells_speed_without_the_start_and_the_gain():
    run = {"seconds": 12.0, "cpu_seconds": 11.0, "peak_mb": 300.0}
    start = {"start_seconds": 2.0, "start_cpu_seconds": 1.0}
    two = {**run, "seconds": 7.0, **start}
    rates = {"1": _rates(1000, [run | start]), "2": _rates(1000, [two])}
    assert (rates["1"]["rows_s"], rates["2"]["rows_s"]) == (100.0, 200.0)
    figures = {"rates": rates, "same_bytes": True, "tokens": 60.2, "input_mb": 3, "loop": 50.0}
    results = {"date": "x", "machine": "y", "command": "z", "rows": 1000}
    page = as_markdown({**results, "figures": {"questions": figures}})
    assert "| 1 | 100 (100 to 100) | 83 | 100 (100 to 100) | 300 |" in page
    assert "2 processes are 2.00 times as fast as 1; all runs wrote the same bytes" in page
