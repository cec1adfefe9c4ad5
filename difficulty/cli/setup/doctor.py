"""``difficulty doctor``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from difficulty.cli.console import JsonFlag, out, print_json

_MARKS = {"ok": ("ok", "green"), "missing": ("missing", "yellow"), "broken": ("broken", "bold red")}
_WIDTH = 22


def doctor(
    extra: Annotated[
        list[str] | None,
        typer.Option("--extra", help="An extra that has to be whole; repeat for more."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Say what of this installation is there, what works, and what to run for the rest; exit code 1
    where something that is needed does not work.

    Example: difficulty doctor --extra train
    """
    from difficulty.stages.setup.installation import examine, works

    lines = examine(extra or ())
    well = works(lines)
    if json:
        print_json({"works": well, "checks": [line.as_dict() for line in lines]})
    else:
        for line in lines:
            mark, style = _MARKS[line.state]
            out.print(Text.assemble((f"{mark:<8}", style), f"{line.name:<{_WIDTH}}", line.told))
        missing = sum(line.state != "ok" for line in lines if not line.needed)
        rest = f"; {missing} optional parts are missing" if missing else ""
        out.print(f"everything that is needed works{rest}" if well else "not everything works")
    if not well:
        raise typer.Exit(1)
