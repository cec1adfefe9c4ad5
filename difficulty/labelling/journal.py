"""The journal of a purchase: every call is written before it goes out, and what came of it after.

JSON lines, only ever added to, each on the disk before the next step. A process may be killed at
any moment: a call whose answer is in the journal is never made again, and a call that was sent and
has no answer is the one thing that nobody can know. It counts as spent, in full, and is not made
again unless the user says so.

The file holds what models answered. A line that a kill cut off is passed over: of a call it was
written before that was sent, of an answer the call counts as lost. To change the format, raise
``VERSION`` and keep reading the old one.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from difficulty.errors import TrafficError
from difficulty.storage import lock_alone

VERSION = 1


def journal_path(out: Path) -> Path:
    """Return where the journal of labelled traffic stands."""
    return out.with_name(f"{out.stem}.journal.jsonl")


@dataclass(slots=True)
class KnownCall:
    """What the journal knows of one call, all attempts together."""

    answer: dict[str, Any] | None = None
    """What came back; ``None``: nothing."""
    refused: str = ""
    """Why it is no use to ask again; empty: it may be."""
    under_way_usd: float = 0.0
    """Worst case of an attempt of which nothing is known but that it was sent."""
    model: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether it was sent and nothing came of it before the process ended."""
        return self.answer is None and self.under_way_usd > 0.0


class PurchaseJournal:
    """The journal at a path; use it as a context manager, as it is locked and kept open.

    Raises
    ------
    TrafficError
        If another process writes to it, or it is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan: dict[str, Any] | None = None
        """What was to be bought, as the first run wrote it, or the last that had another judge."""
        self.calls: dict[str, KnownCall] = {}
        self.spent_usd = 0.0
        """Billed, and what may have been: lost calls count in full."""
        self.answered_models: set[str] = set()
        """Models of which there is an answer."""
        self.damaged = 0
        """Lines that a kill cut off."""
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._handle = -1

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Answers are in it: for the user alone.
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _lock(self._handle, self.path)
            self._read()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)
        self._handle = -1

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Write what is to be bought."""
        self.plan = dict(plan)
        self._append(_line({"event": "plan", "version": VERSION, **plan}))

    def known(self, key: str) -> KnownCall:
        """Return what is known of a call."""
        return self.calls.get(key) or KnownCall()

    async def sent(self, key: str, *, model: str, usd: float) -> None:
        """Write that a call goes out, and return once the disk has it."""
        self._see_sent(key, usd, model)
        await self._write({"event": "sent", "call": key, "model": model, "worst_usd": usd})

    async def answered(self, key: str, answer: Mapping[str, Any], *, usd: float) -> None:
        """Write what came back."""
        self._see_answered(key, dict(answer), usd)
        await self._write({"event": "answered", "call": key, "usd": usd, "answer": answer})

    async def failed(self, key: str, why: str, *, usd: float, for_good: bool) -> None:
        """Write that nothing came back, what that may have cost, and whether it always will."""
        self._see_failed(key, why, usd, for_good)
        entry = {"event": "failed", "call": key, "usd": usd, "why": why, "for_good": for_good}
        await self._write(entry)

    def _see_sent(self, key: str, usd: float, model: str) -> None:
        call = self.calls.setdefault(key, KnownCall())
        call.model = model
        call.under_way_usd += usd
        self.spent_usd += usd

    def _see_answered(self, key: str, answer: dict[str, Any], usd: float) -> None:
        call = self.calls.setdefault(key, KnownCall())
        self.spent_usd += usd - call.under_way_usd
        call.under_way_usd, call.answer = 0.0, answer
        self.answered_models.add(call.model)

    def _see_failed(self, key: str, why: str, usd: float, for_good: bool) -> None:
        call = self.calls.setdefault(key, KnownCall())
        self.spent_usd += usd - call.under_way_usd
        call.under_way_usd = 0.0
        call.refused = why if for_good else ""

    def forget_lost(self) -> int:
        """Let calls that were lost be made once more; what they may have cost stays spent. Return
        how many.
        """
        n = sum(call.is_lost for call in self.calls.values())
        if n:
            self._append(_line({"event": "again"}))
            self._see_again()
        return n

    def _see_again(self) -> None:
        for call in self.calls.values():
            call.under_way_usd = 0.0

    async def _write(self, entry: Mapping[str, Any]) -> None:
        """Write a line and wait for the disk; lines that come together are written together."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((_line(entry), written))
        if self._writer is None or self._writer.done():
            # A task of its own: who waits for a line may be cancelled, and others wait too.
            self._writer = asyncio.create_task(self._write_waiting())
        await written

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, b"".join(line for line, _ in batch))
            except Exception as error:  # a full disk: nobody may go on as if it were written
                for _, written in batch:
                    if not written.done():
                        written.set_exception(error)
                continue
            for _, written in batch:
                if not written.done():
                    written.set_result(None)

    def _append(self, lines: bytes) -> None:
        view = memoryview(lines)
        while view:
            view = view[os.write(self._handle, view) :]
        os.fsync(self._handle)

    def _read(self) -> None:
        with open(self.path, "rb") as file:
            whole = True
            for line in file:
                whole = line.endswith(b"\n")
                if line.strip():
                    self._take(line)
        if not whole:
            self._append(b"\n")  # the next line must not be one with what a kill cut off
        if self.plan is None and (self.calls or self.damaged):
            raise TrafficError(
                f"{str(self.path)!r} must be the journal of a purchase: it does not begin with"
                " its plan. Name another file."
            )

    def _take(self, line: bytes) -> None:
        try:
            self._take_entry(json.loads(line))
        except TrafficError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.damaged += 1

    def _take_entry(self, entry: Any) -> None:
        event = entry["event"]
        if event == "plan":
            if entry.pop("version") != VERSION:
                raise TrafficError(
                    f"{str(self.path)!r} is a journal of another version than this package reads"
                    f" ({VERSION}). Upgrade difficulty."
                )
            self.plan = {name: entry[name] for name in entry if name != "event"}
        elif event == "again":
            self._see_again()
        elif event == "sent":
            self._see_sent(entry["call"], float(entry["worst_usd"]), str(entry["model"]))
        elif event == "answered":
            self._see_answered(entry["call"], entry["answer"], float(entry["usd"]))
        elif event == "failed":
            self._see_failed(entry["call"], entry["why"], float(entry["usd"]), entry["for_good"])
        else:
            raise ValueError("unknown event")


def _line(entry: Mapping[str, Any]) -> bytes:
    # ASCII: lone surrogates survive.
    return (json.dumps(entry, separators=(",", ":")) + "\n").encode("ascii")


def _lock(handle: int, path: Path) -> None:
    if not lock_alone(handle):
        raise TrafficError(
            f"{str(path)!r} is being written by another process. Wait for it, or choose another"
            " output."
        )
