"""Traffic for the next version of a bundle, from whatever there is: ingested traffic, or a decision
log with feedback beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from difficulty.errors import TrafficError
from difficulty.kinds import PathKind, kind_of
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.late_outcomes import join_outcomes
from difficulty.traffic.summary import Summary
from difficulty.traffic.table import Traffic


def read_material(source: Path, outcomes: Sequence[Path] = ()) -> tuple[Traffic, tuple[str, ...]]:
    """Return traffic, and what is to be said of how it was read.

    Parameters
    ----------
    source : Path
        Ingested traffic, or anything that ``ingest`` reads: a decision log whose events hold their
        texts, one file or a folder of them.
    outcomes : sequence of Path
        Feedback by request id, as ``difficulty outcomes`` reads it.

    Raises
    ------
    TrafficError
        If nothing of it can be used, or no feedback is of its requests.
    """
    notes = []
    # Parquet is read whole: the scratch files may go.
    with TemporaryDirectory(prefix="difficulty-") as scratch:
        traffic_path = source
        if kind_of(source) is not PathKind.TRAFFIC:
            traffic_path = Path(scratch) / "traffic.parquet"
            summary = _ingested(source, traffic_path)
            if lost := sum(summary.rejected.values()):
                notes.append(f"{lost:,} of {summary.rows:,} events could not be used")
        if outcomes:
            joined = Path(scratch) / "joined.parquet"
            report = join_outcomes(traffic_path, outcomes, joined, allow_rejects=True)
            notes.append(
                f"feedback said something of {report.requests:,} requests;"
                f" {report.unknown_ids:,} rows were of unknown ones"
            )
            traffic_path = joined
        return Traffic.read(traffic_path), tuple(notes)


def _ingested(source: Path, out: Path) -> Summary:
    """Read a log; events that were torn or hold no text are left out, however many they are."""
    try:
        return ingest([source], out, allow_rejects=True)
    except TrafficError as error:
        raise type(error)(
            f"{error} A decision log can be read where it keeps texts (log_texts = true); of one"
            " that keeps none, pass the traffic itself, with outcomes joined by id."
        ) from error
