"""Names to factories, resolved late: naming a thing imports nothing.

A registry is a plain dict ``{"name": "package.module:attribute"}`` that lives in the folder of the
things it names. Other packages add names through entry points of the group that the folder
documents, for example ``difficulty.formats`` in their own ``pyproject.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from difficulty.errors import UnknownNameError


def resolve(name: str, table: Mapping[str, str], *, kind: str) -> Any:
    """Return the object registered as ``name``.

    Parameters
    ----------
    name : str
        What the user wrote.
    table : mapping of str to str
        The folder's registry, values as ``"module:attribute"``.
    kind : str
        What is named, in the singular ("encoder"); used in the error and as entry point group
        ``difficulty.<kind>s``.

    Raises
    ------
    UnknownNameError
        If neither the table nor an installed entry point knows the name.
    """
    if name in table:
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=entry_point_group(kind)):
        if point.name == name:
            return point.load()
    raise UnknownNameError(kind, name, known_names(table, kind=kind))


def known_names(table: Mapping[str, str], *, kind: str) -> list[str]:
    """Return every name that :func:`resolve` accepts, sorted."""
    return sorted({*table, *(point.name for point in entry_points(group=entry_point_group(kind)))})


def entry_point_group(kind: str) -> str:
    """Return the group that other packages add things of a kind to: ``difficulty.encoders``."""
    name = kind.replace(" ", "_")
    return (
        f"difficulty.{name.removesuffix('y')}ies" if name.endswith("y") else f"difficulty.{name}s"
    )
