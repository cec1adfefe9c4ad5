"""Serve decisions over HTTP: POST /decide with one request or a list of them, GET /health. No
accounts, no encryption.

Example: difficulty serve bundles/support-1 --port 8080
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from difficulty.cli.console import JsonFlag, out, print_json
from difficulty.cli.trusted import TrustPath, given_trust


def command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Run serve."""
    from difficulty.runtime import Router
    from difficulty.runtime.service import DecisionServer

    router = Router.load(bundle, trust=given_trust(None, None, None, trust))
    with DecisionServer(router, host=host, port=port) as server:
        address = f"http://{host}:{server.server_port}/decide"
        if json:
            print_json({"bundle": router.version, "address": address})
        else:
            out.print(f"{router.version} on {address}", markup=False)
        server.serve_forever()
