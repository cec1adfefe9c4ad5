"""What the commands that choose thresholds say of their options."""

from __future__ import annotations

from typing import Annotated

import typer

OBJECTIVE_HELP = (
    "share=X, cost=USD: at most, of the requests, for 1,000 of them; quality=X, mean_quality=X: at"
    " least, of the gap, of all answers; utility=USD: a right answer is worth that; risk=X,"
    " missed=X: at most, of the kept requests, with confidence 1 - delta (0.1, or risk=X,delta=D)."
)
PER_TASK_HELP = (
    "Meet the objective in each task, each with its own threshold; rare tasks borrow from the"
    " whole."
)
CATCH_RATE_HELP = (
    "Share of the cheap model's failures that your validation catches; quality, risk and cost then"
    " reckon with the fallback."
)

RegistryAddress = Annotated[
    str,
    typer.Option(
        "--registry",
        envvar="DIFFICULTY_REGISTRY",
        help="A folder, or the address of an MLflow server or store: http://..., sqlite:///...",
    ),
]
BundleName = Annotated[str, typer.Argument(help="Name that bundles are published under.")]
