"""Lay a bundle out for another serving system: checked, and all of it or nothing."""

from __future__ import annotations

from pathlib import Path

from difficulty.bundle import Trust
from difficulty.bundle.trusted import read_trusted
from difficulty.integrations.layouts import LAYOUTS, Layout
from difficulty.plugins import resolve
from difficulty.storage import refuse_existing, whole_folder


def lay_out(bundle_path: Path, layout: str, out: Path, *, trust: Trust | None = None) -> str:
    """Write a bundle as the folder that a serving system expects, and return the command that
    serves it.

    Parameters
    ----------
    bundle_path : Path
    layout : str
        A name of :data:`difficulty.integrations.layouts.LAYOUTS` or of an entry point.
    out : Path
        Must not exist yet.
    trust : Trust, optional
        Whose signature the bundle must bear.

    Raises
    ------
    UnknownNameError
        If there is no such layout.
    BundleError
        If the bundle fails a check.
    OutputExistsError
        If ``out`` exists.
    """
    chosen: Layout = resolve(layout, LAYOUTS, kind="layout")
    refuse_existing(out, what="folder")
    # Checked before anything is written.
    bundle = read_trusted(bundle_path, trust)
    with whole_folder(out) as folder:
        chosen.write(bundle, folder)
    return chosen.next_step.format(folder=out)
