"""A complete configuration of a LiteLLM proxy, as a plain form and as YAML; needs no package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from difficulty.bundle import Policy
from difficulty.errors import InvalidValueError
from difficulty.gateway.clients import ClientField
from difficulty.records import Prices
from difficulty.routes import Route

_PLAIN_KEY = re.compile("[A-Za-z][A-Za-z_]*")
_NO_TEXTS = frozenset({"y", "n", "on", "off", "yes", "no", "true", "false", "null"})
"""Words that YAML 1.1 reads as something else."""

HANDLER = "difficulty.integrations.litellm.handler"
CHEAP, FRONTIER = "cheap", "frontier"
# Errors of the cheap model go to the frontier model without a retry (docs/gateway.md).
_NO_RETRY = (
    "BadRequestErrorRetries",
    "TimeoutErrorRetries",
    "RateLimitErrorRetries",
    "InternalServerErrorRetries",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One of the two models, as LiteLLM calls it."""

    model: str
    """With its provider: ``openai/gpt-5``, ``hosted_vllm/hermes-8b``."""
    api_base: str | None = None
    api_key: str | None = None
    """``os.environ/NAME``, not the key itself; default: the provider's own variable."""
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise InvalidValueError(
                "model", self.model, rule="be named", hint="For example openai/gpt-5."
            )
        if self.api_key is not None and not self.api_key.startswith("os.environ/"):
            raise InvalidValueError(
                "api_key",
                "...",
                rule="be the name of a variable: os.environ/NAME",
                hint="Keys stand in no file.",
            )


def proxy_config(
    bundle: Path,
    policy: Policy,
    *,
    cheap: Upstream,
    frontier: Upstream,
    name: str = "auto",
    mode: Literal["auto_router", "hook"] = "auto_router",
    log: Path | None = None,
    log_texts: bool = False,
    log_answers: bool = False,
    follow: bool = False,
    prices: Prices | None = None,
    client_may_set: Sequence[ClientField] = ("task",),
) -> dict[str, Any]:
    """Return the configuration; what ``mode``, ``log_texts``, ``log_answers``, ``follow`` and
    ``client_may_set`` mean stands in :class:`difficulty.gateway.settings.GatewaySettings`.

    Parameters
    ----------
    bundle : Path
        Bundle folder, where the proxy runs.
    policy : Policy
        Its policy, which says whether LiteLLM falls back when the cheap model fails.
    cheap, frontier : Upstream
    name : str, default "auto"
        Model name that clients ask for; ``cheap`` and ``frontier`` by name are left alone.
    log : Path, optional
        Folder of the decision log; default: none.
    prices : Prices, optional
        For the cost in the log and in LiteLLM's own accounts.
    """
    if name in (CHEAP, FRONTIER):
        raise InvalidValueError("name", name, rule=f"be another one than {CHEAP} and {FRONTIER}")
    settings: dict[str, Any] = {
        "bundle": str(bundle),
        "mode": mode,
        "models": [name],
        CHEAP: CHEAP,
        FRONTIER: FRONTIER,
        "client_may_set": list(client_may_set),
    }
    if follow:
        settings["follow"] = True
    if log is not None:
        settings |= {
            "log": [{"kind": "json_lines", "path": str(log), "fsync": "interval"}],
            "log_texts": log_texts,
        }
        if log_answers:
            settings["log_answers"] = True
    if prices is not None:
        settings["prices"] = _stated_prices(prices)
    # The auto router's group fails where the model fails that it chose, so it falls back too.
    groups = (CHEAP, name) if mode == "auto_router" else (CHEAP,)
    fallbacks = {"fallbacks": [{group: [FRONTIER]} for group in groups]}
    return {
        "model_list": [
            _build_routed(name, mode, frontier, prices),
            _build_deployment(CHEAP, cheap, _name_costs(prices, CHEAP)),
            _build_deployment(FRONTIER, frontier, _name_costs(prices, FRONTIER)),
        ],
        "router_settings": {
            "num_retries": 1,
            "model_group_retry_policy": {CHEAP: dict.fromkeys(_NO_RETRY, 0)},
            **(fallbacks if policy.fallback.on_call_failure else {}),
        },
        "callback_settings": {"difficulty": settings},
        "litellm_settings": {"callbacks": [HANDLER], "drop_params": True},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }


def observing_config(
    upstream: Upstream,
    *,
    to: Route,
    name: str = "auto",
    log: Path,
    log_answers: bool = False,
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Return a configuration that routes nothing and needs no bundle: requests for ``name`` go to
    one model, and are logged with their texts.

    Parameters
    ----------
    upstream : Upstream
        Where requests went before.
    to : str
        Which of the two models that will be, once there is a bundle.
    name : str
        Model name that clients ask for: the one of before, so that they need not change.
    log : Path
        Folder of the decision log.
    log_answers : bool
        Whether it keeps answers too, so that they can be judged later.
    """
    settings: dict[str, Any] = {
        "observe": {"route": to, "model": upstream.model},
        "mode": "hook",
        "models": [name],
        # The only group there is.
        to: name,
        "log": [{"kind": "json_lines", "path": str(log), "fsync": "interval"}],
        "log_texts": True,
    }
    if log_answers:
        settings["log_answers"] = True
    if prices is not None:
        settings["prices"] = _stated_prices(prices)
    return {
        "model_list": [_build_deployment(name, upstream, _name_costs(prices, to))],
        "callback_settings": {"difficulty": settings},
        "litellm_settings": {"callbacks": [HANDLER], "drop_params": True},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }


def _stated_prices(prices: Prices) -> dict[str, Any]:
    # The gateway counts what came from a cache, call by call.
    known = prices.as_dict(without={"cached_share"}).items()
    return {name: value for name, value in known if value is not None}


def _build_routed(
    name: str, mode: str, frontier: Upstream, prices: Prices | None
) -> dict[str, Any]:
    """Return the model that clients ask for; the frontier one, should the hook be missing."""
    if mode == "hook":
        return _build_deployment(name, frontier, _name_costs(prices, FRONTIER))
    # The plugin answers SIMPLE or REASONING, see TIERS of the handler; the other two never come.
    tiers = {"SIMPLE": CHEAP, "MEDIUM": CHEAP, "COMPLEX": FRONTIER, "REASONING": FRONTIER}
    router = {
        "tiers": tiers,
        "default_model": FRONTIER,
        "classifier_type": "custom",
        "classifier_plugin": HANDLER,
        "classifier_fallback": "default_model",
    }
    params = {
        "model": "auto_router/complexity_router",
        "complexity_router_config": router,
        "complexity_router_default_model": FRONTIER,
    }
    return {"model_name": name, "litellm_params": params}


def _name_costs(prices: Prices | None, side: str) -> dict[str, float]:
    """Return what LiteLLM calls the prices of a model."""
    if prices is None:
        return {}
    named = {
        "input_cost_per_token": getattr(prices, f"{side}_input"),
        "output_cost_per_token": getattr(prices, f"{side}_output"),
        "cache_read_input_token_cost": getattr(prices, f"{side}_cached_input"),
    }
    # Fifteen digits hold the price; dividing adds some that nobody wrote.
    return {name: round(usd / 1e6, 15) for name, usd in named.items() if usd is not None}


def _build_deployment(name: str, upstream: Upstream, costs: Mapping[str, float]) -> dict[str, Any]:
    params = {
        "model": upstream.model,
        "api_base": upstream.api_base,
        "api_key": upstream.api_key,
        "timeout": upstream.timeout_s,
        **costs,
    }
    stated = {key: value for key, value in params.items() if value is not None}
    return {"model_name": name, "litellm_params": stated}


def to_yaml(content: Mapping[str, Any]) -> str:
    """Return content as YAML; strings are quoted, so none is taken for a number or date."""
    return "\n".join(_lines(content, "")) + "\n"


def _lines(content: Mapping[str, Any] | list[Any], indent: str) -> Iterator[str]:
    is_list = not isinstance(content, Mapping)
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in items:
        head = f"{indent}-" if is_list else f"{indent}{_key(str(key))}:"
        if not (isinstance(value, Mapping | list) and value):
            yield f"{head} {_scalar(value)}"
            continue
        inner = list(_lines(value, indent + "  "))
        if is_list:  # the first entry stands beside the dash
            inner[0] = f"{head} {inner[0].lstrip()}"
        else:
            yield head
        yield from inner


def _key(key: str) -> str:
    """Return a key, quoted where YAML would read a number, a truth value or syntax."""
    plain = _PLAIN_KEY.fullmatch(key) is not None and key.lower() not in _NO_TEXTS
    return key if plain else json.dumps(key)


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")  # 3e-06 is text to YAML 1.1
    return text
