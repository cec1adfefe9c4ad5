"""Decision logs as a table whose rows stay with the workers of an engine: each holds some files, is
asked in SQL, and answers with sums of its own, which are added up here. What is added up is exact,
so it is the same as that of one table.

Rows meet where they have to: events of one id to find those that are there twice, those of one
writer to look at its clock, those of a day to look for alarms. They go from worker to worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from difficulty.decisions.decision_table import DecisionTable, backwards_query
from difficulty.decisions.late_labels import LabelCounts, join_labels
from difficulty.decisions.log_shards import (
    LogFile,
    LogNotSeenError,
    LogPart,
    LogParts,
    LogShard,
    ShardBehindError,
    ShardQuestion,
    ShardReading,
    ShardStep,
    carry,
    receive,
    rows_query,
    split_files,
)
from difficulty.decisions.log_sources import Sources
from difficulty.engine import Engine
from difficulty.errors import EngineError

_TRIES = 4
_ROUND = 4_000_000
"""Events whose keys are under way at once: some 100 MB."""
_OF_LABELS = (
    "event, id, route, cheap_model, frontier_model, frontier_role, frontier_error, cheap_passed"
)


def spread_decisions(
    paths: Sequence[str | Path] | str | Path,
    engine: Engine,
    *,
    outcomes: Sequence[str | Path] = (),
    bundle_versions: Sequence[str] | None = None,
    work_dir: str | Path | None = None,
    memory_gb: float = 1.0,
) -> SpreadTable:
    """Read decision logs into a table that stays with the workers of an engine.

    Parameters
    ----------
    paths, outcomes, bundle_versions, work_dir
        As of :func:`~difficulty.decisions.decision_table.read_decisions`, whose errors it raises.
    engine : Engine
        Workers that see the files read them; they are sent to those that do not.
    memory_gb : float
        Most memory that DuckDB takes here, and in each worker.

    Returns
    -------
    SpreadTable
        To be closed, or used in a ``with`` block, while the engine is open.

    Raises
    ------
    EngineError
        If a worker is lost again and again.
    """
    table = SpreadTable(engine, work_dir, memory_gb=memory_gb)
    return table.filled(paths, outcomes, bundle_versions)


class SpreadTable(DecisionTable):
    """Events that workers hold; ``decisions`` is a view there, not here."""

    def __init__(
        self, engine: Engine, work_dir: str | Path | None = None, *, memory_gb: float = 1.0
    ) -> None:
        super().__init__(work_dir, memory_gb=memory_gb)
        self._engine, self._memory_gb = engine, memory_gb
        self._open = ExitStack()
        self._held: Any = None
        self._steps: list[ShardStep] = []
        self._sent = 0  # steps that all shards were sent
        self._events: dict[int, int] = {}

    def close(self) -> None:
        """Let go of the rows, here and with the workers."""
        if self._held is not None:
            with suppress(Exception):  # a worker may be gone; its files go with its folder
                self._held(ShardQuestion(is_over=True))
            self._held = None
        self._open.close()
        super().close()

    def run(self, sql: str) -> None:
        """Have all shards run a statement before they answer again."""
        self._steps.append(ShardStep(sql))

    def gather(self, name: str, sql: str) -> None:
        """Make a temporary table of what all shards answer, in their order."""
        answers = self._ask(lambda: self._call(ShardQuestion(queries={name: sql})))
        receive(self.connection, name, [answer[name] for answer in answers], self._place)

    def share(self, name: str, sql: str) -> None:
        """Give all shards a table of what a query gives here."""
        self._steps.append(ShardStep(name, carry(self.connection, sql, self._place)))

    def map_rows(
        self,
        function: Callable[[dict[str, NDArray[Any]]], Any],
        columns: Sequence[str],
        conditions: Sequence[str],
    ) -> Iterator[Any]:
        """Yield what a function makes of decisions; each condition is looked after by a worker."""
        n = len(self._events)
        for start in range(0, len(conditions), n):
            part = conditions[start : start + n]
            pieces = [rows_query(columns, condition) for condition in part]
            yield from self._exchange(pieces, ShardQuestion(function=function))[: len(part)]

    def arrays(self, columns: Sequence[str], where: str | None = None) -> dict[str, NDArray[Any]]:
        """Return columns as arrays, all of them here."""
        wanted = dict.fromkeys([*columns, "time", "writer", "seq", "id"])
        selected = ", ".join(f'"{name}"' for name in wanted)
        condition = f" WHERE {where}" if where else ""
        self.gather("decisions", f"SELECT {selected} FROM decisions{condition}")
        try:
            return super().arrays(columns)
        finally:
            self.connection.execute("DROP TABLE decisions")

    def _load(self, sources: Sources) -> None:
        """Have workers read the files and say what was wrong with them."""
        # As they are read by one: lines, then the files of Parquet.
        files = [LogFile.of(file) for file in (*sources.lines, *sources.parquet)]
        parts = split_files(files, self._engine.workers)
        at_once = -(-len(parts) // max(1, self._engine.workers))
        memory = max(0.25, self._memory_gb / at_once)
        place = self._place if self._engine.shares_files else None
        held = [
            LogPart(number, part, self._texts, memory, place, version("duckdb"))
            for number, part in enumerate(parts)
        ]
        try:
            reports = self._hold(LogParts(held, with_content=False))
        except LogNotSeenError:
            self._open.close()
            reports = self._hold(LogParts(held, with_content=True))
        self._events = {number: report.events for number, report in enumerate(reports)}
        for name in ("broken", "torn", "damaged", "torn_ends"):
            setattr(sources, name, sum(getattr(report, name) for report in reports))

    def _hold(self, parts: LogParts) -> list[ShardReading]:
        self._held = self._open.enter_context(self._engine.hold(LogShard, parts))
        reports: list[ShardReading] = self._held(ShardQuestion())
        return reports

    def _drop_doubled(self) -> None:
        super()._drop_doubled()
        self._meet(
            "hash(id)",
            "event, hash(id) AS id, this_shard() AS shard",
            {
                "doubled_parts": "SELECT event, min(shard) AS shard FROM pieces GROUP BY event"
                " HAVING count(*) > 1",
                # Of one event there is but one left, whichever shard has it.
                "shared_parts": "SELECT id FROM pieces GROUP BY id"
                " HAVING count(DISTINCT event) > 1",
            },
        )
        self.share("doubled", "SELECT event, shard FROM doubled_parts")
        self.run(
            "DELETE FROM events WHERE event IN (SELECT event FROM doubled"
            " WHERE shard <> this_shard())"
        )

    def _find_shared_ids(self) -> None:
        """Those that were found with events that are there twice, here and with the shards."""
        self.share("shared_hashes", "SELECT id FROM shared_parts")
        self.run(
            "CREATE TABLE shared_ids AS SELECT DISTINCT id FROM events"
            " WHERE hash(id) IN (SELECT id FROM shared_hashes)"
        )
        self.gather("shared_by_shard", "SELECT id FROM shared_ids")
        self.connection.execute(
            "CREATE TABLE shared_ids AS SELECT DISTINCT id FROM shared_by_shard"
        )

    def _join_labels(self, outcomes: list[Path]) -> LabelCounts:
        def fetch() -> None:
            self.share("asked_ids", "SELECT DISTINCT id FROM feedback")
            self.gather("events", f"SELECT {_OF_LABELS} FROM events SEMI JOIN asked_ids USING (id)")

        counts = join_labels(self.connection, outcomes, self._place, fetch=fetch)
        self.share("labels", "SELECT * FROM labels")
        return counts

    def _count_backwards(self) -> int:
        self._meet(
            "hash(writer)",
            "hash(writer) AS writer, seq, time",
            {"backwards": backwards_query("pieces")},
            where="writer IS NOT NULL AND seq IS NOT NULL",
        )
        return self._count("SELECT sum(n) FROM backwards")

    def _meet(
        self, key: str, columns: str, queries: dict[str, str], *, where: str = "TRUE"
    ) -> None:
        """Send events to the shard of their key, some keys after the other, and make tables of what
        is found there.
        """
        n = len(self._events)
        rounds = -(-sum(self._events.values()) // _ROUND) or 1
        found: dict[str, list[bytes]] = {name: [] for name in queries}
        for number in range(rounds):
            pieces = [
                f"SELECT {columns} FROM events WHERE {where}"
                f" AND {key} % {n * rounds} = {number * n + shard}"
                for shard in range(n)
            ]
            for answer in self._exchange(pieces, ShardQuestion(queries=queries)):
                for name in queries:
                    found[name].append(answer[name])
        for name, contents in found.items():
            receive(self.connection, name, contents, self._place)

    def _exchange(self, pieces: Sequence[str], asked: ShardQuestion) -> list[Any]:
        """Have shards send each other rows, one query for each that is sent some, and answer."""
        none: list[None] = [None] * (len(self._events) - len(pieces))

        def exchange() -> list[Any]:
            mail = self._held.send(self._with_steps(ShardQuestion(pieces=[*pieces, *none])))
            self._sent = len(self._steps)
            return self._call(asked, mail)

        return self._ask(exchange)

    def _call(self, asked: ShardQuestion, mail: Any = None) -> list[Any]:
        answers: list[Any] = self._held(self._with_steps(asked), mail)
        self._sent = len(self._steps)
        return answers

    def _with_steps(self, asked: ShardQuestion) -> ShardQuestion:
        return ShardQuestion(
            first=self._sent,
            steps=self._steps[self._sent :],
            events=self._events,
            queries=asked.queries,
            pieces=asked.pieces,
            function=asked.function,
        )

    def _ask(self, call: Callable[[], list[Any]]) -> list[Any]:
        """Ask; where a shard was opened again, tell all of them everything that was done."""
        for _ in range(_TRIES):
            try:
                return call()
            except ShardBehindError:
                self._sent = 0
        raise EngineError(
            f"a part of the log has to stay with some worker: {_TRIES} were lost while it was asked"
            " for one thing. Run it again, with more memory for the workers."
        )
