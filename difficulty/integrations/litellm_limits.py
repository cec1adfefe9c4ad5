"""What litellm's model information says a model takes, as the policy states it; what it does not
say stays unsaid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.routes import Route

_MODALITIES = {
    "image": "supports_vision",
    "audio": "supports_audio_input",
    "video": "supports_video_input",
    "file": "supports_pdf_input",
}


def read_limits(model: str, side: Route) -> dict[str, Any]:
    """Return the fields of ``eligibility`` that litellm knows of a model.

    Parameters
    ----------
    model : str
        As litellm names it, with its provider.
    side : str
        Which of the two it is. What the cheap model is not stated to take it is not sent, so what
        litellm knows it to take is enough; the frontier model's list is written only where litellm
        speaks of every kind, as what is left out would then be refused.

    Raises
    ------
    InvalidValueError
        If litellm does not know the model.
    MissingExtraError
        If litellm is not installed.
    """
    try:
        import litellm
    except ImportError as error:  # pragma: no cover - installed without the extra
        raise MissingExtraError(
            "reading what models take", package="litellm", extra="gateway"
        ) from error
    try:
        known = litellm.get_model_info(model)
    except Exception as error:  # of a kind of its own, which is no error of value
        raise InvalidValueError(
            "model",
            model,
            rule="be one that litellm has information on",
            hint="Name it with its provider, or state its limits with --set eligibility...",
        ) from error
    return limits_of(known, side)


def limits_of(known: Mapping[str, Any], side: Route) -> dict[str, Any]:
    """Return the fields that litellm's information on a model states."""
    limits: dict[str, Any] = {}
    window = known.get("max_input_tokens")
    if isinstance(window, int) and window > 0:
        limits["context_tokens"] = window
    said = {kind: known.get(name) for kind, name in _MODALITIES.items()}
    takes = [kind for kind, is_taken in said.items() if is_taken is True]
    is_whole = all(isinstance(each, bool) for each in said.values())
    if is_whole or (side == "cheap" and takes):
        limits["modalities"] = ["text", *takes]
    for name, source in (
        ("tools", "supports_function_calling"),
        ("json_schema", "supports_response_schema"),
    ):
        if isinstance(value := known.get(source), bool):
            limits[name] = value
    return limits
