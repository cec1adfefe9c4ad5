"""Engines by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from difficulty.engine.local_engine import LocalEngine
from difficulty.engine.threads import count_cores
from difficulty.engine.work import Engine
from difficulty.errors import InvalidValueError, UnknownNameError

ENGINES = ("local", "ray")


@contextmanager
def open_engine(
    name: str = "local", *, address: str | None = None, workers: int | None = None
) -> Iterator[Engine]:
    """Give an engine, and end what it started afterwards.

    Parameters
    ----------
    name : {"local", "ray"}
    address : str, optional
        Where Ray runs, as ``HOST:PORT`` or ``auto``; by default a Ray of its own is started on
        this machine. For ``ray`` alone.
    workers : int, optional
        Blocks worked on at once; by default one for each core that the engine has.

    Raises
    ------
    UnknownNameError
        If there is no such engine.
    MissingExtraError
        If Ray is not installed.
    EngineError
        If no Ray answers at the address, or its workers have another version of this package.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    if name == "local":
        if address is not None:
            raise InvalidValueError(
                "address",
                address,
                rule="be given with the engine ray alone",
                hint="Say --engine ray, or leave --address out.",
            )
        yield LocalEngine(processes=workers or count_cores())
        return
    from difficulty.engine.ray_engine import RayEngine

    with RayEngine(address, workers=workers) as engine:
        yield engine
