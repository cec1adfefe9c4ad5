"""Ray Train: a function that runs in several workers at once, which are one process group of torch.

Ray Train starts the workers together, tells torch where the others are, and starts all of them
again where one is lost: what is trained has to go on from its own checkpoints.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

from difficulty.errors import DifficultyError, EngineError, MissingExtraError

_LOST = 3
"""How often workers may be lost."""
_QUIET = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # what workers print is not for standard output
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",  # torch alone takes a busy machine a minute,
}


def run_together(work: Callable[[], Any], workers: int, *, gpus: int) -> Any:
    """Run a function in each of some workers, and return what the first returns.

    Parameters
    ----------
    work : callable
        Of a module, or ``functools.partial`` of one; ``torch.distributed`` is ready where it runs.
    workers : int
    gpus : int
        Of the cluster. Where there is one for each worker each has one, else none has.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    EngineError
        If workers are lost again and again.
    DifficultyError
        What the function raises.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise MissingExtraError(
            "training on Ray", package=error.name or "torch", extra="encoders"
        ) from error
    has_gpus = gpus >= workers
    # Ray Train notes in files how far it is; what is trained is kept by who trains it.
    with TemporaryDirectory(prefix="difficulty-ray-train-") as notes:
        trainer = TorchTrainer(
            _run,
            train_loop_config={"work": work},
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=has_gpus),
            torch_config=TorchConfig(backend="nccl" if has_gpus else "gloo"),
            run_config=RunConfig(
                storage_path=notes, failure_config=FailureConfig(max_failures=_LOST)
            ),
        )
        try:
            return trainer.fit().return_value
        except Exception as error:  # Ray Train wraps what went wrong, and has kinds of its own
            raise _reason(error, workers) from error


def _run(config: dict[str, Any]) -> Any:
    return config["work"]()


def _reason(error: Exception, workers: int) -> DifficultyError:
    """Return what a worker raised, where that is an error of this package."""
    failures = getattr(error, "worker_failures", {})
    causes = [getattr(failure, "cause", failure) for failure in failures.values()]
    for cause in causes:
        if isinstance(cause, DifficultyError):
            return cause
    lines = str(causes[0] if causes else error).strip().splitlines()
    told = f"{type(error).__name__}: {lines[-1]:.300}" if lines else type(error).__name__
    return EngineError(
        f"{workers} Ray workers have to stay while they train together, and they did not in"
        f" {_LOST + 1} tries ({told}). Give them more memory, or train on one machine."
    )
