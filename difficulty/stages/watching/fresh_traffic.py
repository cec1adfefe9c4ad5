"""Traffic for the next version of a bundle, from whatever there is: ingested traffic, or a decision
log with feedback beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from difficulty.bundle import read_bundle
from difficulty.errors import MissingExtraError, TrafficError
from difficulty.kinds import PathKind, kind_of
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.late_outcomes import join_outcomes
from difficulty.stages.watching.logged_scores import FreshTraffic, read_logged
from difficulty.text import quantity_text
from difficulty.traffic.formats.decision_log import LogFormat
from difficulty.traffic.table import Traffic


def read_fresh(source: Path, bundle_path: Path, outcomes: Sequence[Path] = ()) -> FreshTraffic:
    """Return newer traffic for a bundle: as :func:`read_material` has it, or, of a decision log
    that keeps no texts, the bundle's own decisions with the scores that it gave them.

    Raises
    ------
    TrafficError
        If nothing of it can be used.
    """
    try:
        traffic, notes = read_material(source, outcomes)
    except TrafficError as error:
        if not LogFormat().files(source):
            raise
        try:
            return read_logged(source, outcomes, read_bundle(bundle_path))
        except MissingExtraError as missing:
            raise type(error)(f"{error} {missing}") from error
    return FreshTraffic(traffic, None, notes)


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
            # Events that were torn or hold no text are left out, however many they are.
            summary = ingest([source], traffic_path, allow_rejects=True)
            if lost := sum(summary.rejected.values()):
                notes.append(f"{lost:,} of {summary.rows:,} events could not be used")
        if outcomes:
            joined = Path(scratch) / "joined.parquet"
            report = join_outcomes(traffic_path, outcomes, joined, allow_rejects=True)
            notes.append(
                f"feedback said something of {quantity_text(report.requests, 'request')};"
                f" {quantity_text(report.unknown_ids, 'row was', 'rows were')} of unknown ones"
            )
            traffic_path = joined
        return Traffic.read(traffic_path), tuple(notes)
