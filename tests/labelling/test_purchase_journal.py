"""What a journal knows after any end of the process that wrote it."""

import asyncio
import json

import pytest

from difficulty.errors import TrafficError
from difficulty.labelling.journal import PurchaseJournal

PLAN = {"requests": 2}


async def written(journal):
    await journal.sent("a", model="cheap", usd=0.5)
    await journal.answered("a", {"message": {}}, usd=0.125)
    await journal.sent("b", model="cheap", usd=0.5)
    await journal.failed("b", "HTTP 500", usd=0.5, for_good=False)
    await journal.sent("b", model="cheap", usd=0.5)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "out.journal.jsonl"
    with PurchaseJournal(path) as journal:
        journal.begin(PLAN)
        asyncio.run(written(journal))
        assert journal.spent_usd == 1.125
    return path


def test_answers_are_known_and_calls_under_way_count_as_spent(path):
    with PurchaseJournal(path) as journal:
        assert journal.plan == PLAN
        assert journal.known("a").answer == {"message": {}}
        assert journal.known("b").is_lost
        assert not journal.known("c").is_lost
        assert journal.spent_usd == 1.125
    assert path.stat().st_mode & 0o777 == 0o600


def test_lost_calls_that_are_made_again_stay_spent(path):
    with PurchaseJournal(path) as journal:
        assert journal.forget_lost() == 1
        asyncio.run(journal.sent("b", model="cheap", usd=0.5))
    with PurchaseJournal(path) as journal:
        assert journal.spent_usd == 1.625
        asyncio.run(journal.answered("b", {"message": {}}, usd=0.25))
        assert journal.spent_usd == 1.375


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_line_that_a_kill_cut_off_is_passed_over(path, cut):
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with PurchaseJournal(path) as journal:
        # Cut before the line's end, the last call was never sent; without the mere line feed it is
        # there.
        assert journal.spent_usd == (1.125 if cut == 1 else 0.625)
        asyncio.run(journal.sent("c", model="cheap", usd=0.25))
    with PurchaseJournal(path) as journal:
        assert journal.known("c").is_lost
        assert journal.damaged == (cut > 1)


def test_two_processes_cannot_write_at_once(path):
    with PurchaseJournal(path), pytest.raises(TrafficError, match="another process"):
        PurchaseJournal(path).__enter__()


def test_other_files_and_later_versions_are_refused(path, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "r1", "prompt": "x"}\n')
    with pytest.raises(TrafficError, match="must be the journal of a purchase"):
        PurchaseJournal(other).__enter__()
    assert other.read_text() == '{"id": "r1", "prompt": "x"}\n'
    path.write_text(json.dumps({"event": "plan", "version": 2}) + "\n")
    with pytest.raises(TrafficError, match="of another version"):
        PurchaseJournal(path).__enter__()


def test_a_full_disk_stops_who_waits_for_it(path, monkeypatch):
    with PurchaseJournal(path) as journal:

        def fail(lines):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(journal, "_append", fail)
        with pytest.raises(OSError, match="No space left"):
            asyncio.run(journal.sent("c", model="cheap", usd=0.25))
