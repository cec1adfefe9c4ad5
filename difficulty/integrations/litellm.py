"""LiteLLM: the classifier plugin of its auto router, and a hook for proxies without one. The one
module that names litellm.

A proxy loads ``difficulty.integrations.litellm.handler``, built from the section
``callback_settings.difficulty`` of its configuration. It is registered as a callback, which opens a
visit for each request, checks answers, falls back and logs; in the mode ``auto_router`` it is the
``classifier_plugin`` too, which only reads off the route that the visit has. ``difficulty
litellm-config`` prints such a configuration.

Time-outs, rate limits and errors of the cheap model are LiteLLM's to handle, by the ``fallbacks``
of the configuration; here they are noted. What validation refuses is handled here: LiteLLM does not
know of it.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache, wraps
from typing import Any, TypeVar, cast

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.gateway.clients import read_said
from difficulty.gateway.requests import Gateway
from difficulty.gateway.settings import GatewaySettings, build_gateway, parse_settings
from difficulty.gateway.visits import Routed, Visit
from difficulty.integrations.litellm_flow import AnswerFlow, Calling
from difficulty.integrations.litellm_forms import CALL_FORMS
from difficulty.integrations.litellm_reply import Reply
from difficulty.integrations.litellm_request import (
    MARK,
    Mark,
    as_mapping,
    find_metadata,
    headers_of,
    label_request,
    label_row,
    read_client,
    read_mark,
    read_sent_id,
    read_session,
    read_text,
)
from difficulty.routes import Route

try:
    import litellm
    from litellm.integrations.custom_logger import CustomLogger
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("the LiteLLM gateway", package="litellm", extra="gateway") from error


logger = logging.getLogger("difficulty.runtime")

TIERS: Mapping[Route, str] = {"cheap": "SIMPLE", "frontier": "REASONING"}
"""What the auto router calls the two routes."""
_TRUTH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("0", "false", "no", "off"), False
)
"""What a variable may spell for a setting that is true or false."""
# What the call says itself, and what must not make it retry or fall back once more.
_NOT_PASSED_ON = {
    "model",
    "stream",
    "stream_options",
    "metadata",
    "mock_response",
    "fallbacks",
    "num_retries",
    "timeout",
}


_Hook = TypeVar("_Hook", bound=Callable[..., Awaitable[Any]])


def _harmless(hook: _Hook) -> _Hook:
    """Return a hook that never raises: a fault of ours must not cost a client its answer."""

    @wraps(hook)
    async def guarded(*given: Any, **named: Any) -> Any:
        try:
            return await hook(*given, **named)
        except Exception as error:
            # By its type alone: the message may hold the request.
            logger.warning(
                "%s failed (%s), the request goes on without it",
                hook.__name__,
                type(error).__name__,
            )
            return None

    return cast(_Hook, guarded)


class DifficultyHandler(CustomLogger):  # type: ignore[misc]
    """Route, check, fall back and log the requests of a LiteLLM proxy.

    Parameters
    ----------
    settings : GatewaySettings
    gateway : Gateway
    """

    def __init__(self, settings: GatewaySettings, gateway: Gateway) -> None:
        super().__init__()
        self.settings = settings
        self.gateway = gateway
        self.flow = AnswerFlow(gateway, settings)
        self._groups: dict[Route, str] = {"cheap": settings.cheap, "frontier": settings.frontier}

    def __deepcopy__(self, memo: object) -> DifficultyHandler:
        """Return itself: LiteLLM copies its configuration, this in it, and the log is one."""
        return self

    @_harmless
    async def classify(self, context: Any) -> str | None:
        """Return the tier of a request: its visit's, or that of a decision that is not logged."""
        visit = self._find_visit(context.metadata)
        if visit is not None:
            return TIERS[visit.route]
        said = read_said(as_mapping(context.metadata), allowed=self.settings.client_may_set)
        router = self.gateway.router.current
        # Nobody will see that answer before the client does.
        decision = router.decide(
            context.structured_messages, said.task, tokens=said.tokens, checked=False
        )
        return TIERS[decision.route]

    @_harmless
    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any] | None:
        """Decide on a request for a routed model; in the mode ``hook`` name the model."""
        form = CALL_FORMS.get(call_type)
        if form is None or data.get("model") not in self.settings.models:
            return None
        if not isinstance(data.get(form.metadata), dict):
            data[form.metadata] = {}
        metadata = data[form.metadata]
        call_id, sent_id = data.get("litellm_call_id"), read_sent_id(data)
        said = read_said(metadata | {"id": sent_id}, allowed=self.settings.client_may_set)
        # The proxy's own, that its other logs have too, unless a client made it.
        own_id = str(uuid.uuid4() if call_id is None or call_id == sent_id else call_id)
        visit = self.gateway.open(
            data,
            id=said.id or own_id,
            task=said.task,
            tokens=said.tokens,
            group=read_text(metadata.get("session_id")) or read_text(data.get("user")),
            session=read_session(data),
            client=read_client(user_api_key_dict, data),
            lot=own_id,
            notes=said.notes,
            can_hold=form.is_chat,
        )
        metadata[MARK] = Mark(
            visit=self.flow.visits.add(visit),
            id=visit.id,
            bundle=visit.decision.bundle_version,
            route=visit.route,
            reason=visit.decision.reason,
            form=call_type,
        )
        decision = visit.decision
        label_request(
            metadata,
            {
                "id": visit.id,
                "bundle": decision.bundle_version,
                "route": visit.route,
                "reason": visit.reason,
                "difficulty_score": decision.difficulty_score,
                "threshold": decision.threshold,
            },
        )
        if self.settings.mode == "hook":
            data["model"] = self._groups[visit.route]
        # For this request: a bundle that is followed may say another thing than the configuration.
        if not (visit.policy.fallback.on_call_failure and visit.may_fall_back):
            data["disable_fallbacks"] = True
        return data

    @_harmless
    async def log_success_fallback_event(
        self, original_model_group: str, kwargs: dict[str, Any], original_exception: Exception
    ) -> None:
        """Note that the cheap model failed and LiteLLM has called the frontier one."""
        self._note_failure(kwargs, original_exception)

    @_harmless
    async def log_failure_fallback_event(
        self, original_model_group: str, kwargs: dict[str, Any], original_exception: Exception
    ) -> None:
        """Note that the cheap model failed and the frontier one after it."""
        self._note_failure(kwargs, original_exception)

    async def async_logging_hook(
        self, kwargs: dict[str, Any], result: Any, call_type: str
    ) -> tuple[dict[str, Any], Any]:
        """Label the row of LiteLLM's logs: its tags, and what a call of the cheap model saved."""
        # The request may be over, its visit with it: what is known stands in the mark.
        with suppress(Exception):  # of a fault of ours no log may go without its row
            label_row(kwargs, self._find_saving(kwargs, result))
        return kwargs, result

    @_harmless
    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> Any:
        """Check an answer, call the frontier model when it fails, and log."""
        visit = self._find_visit(find_metadata(data))
        if visit is None:
            return None
        try:
            self._follow_overruling(visit, response)
            answer = await self.flow.settle(visit, response, self._calling(data))
            return None if answer is response else answer
        finally:
            self._end(visit, data)

    @_harmless
    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Log a request that got no answer."""
        visit = self._find_visit(find_metadata(request_data))
        if visit is not None:
            self.flow.fail(visit, original_exception)

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Send a stream on, or hold it back until it is checked; log at its end."""
        visit = self._find_visit(find_metadata(request_data))
        if visit is None:
            async for chunk in response:
                yield chunk
            return
        self._follow_overruling(visit, response)
        try:
            async for chunk in self.flow.stream(visit, response, self._calling(request_data)):
                yield chunk
        except (GeneratorExit, asyncio.CancelledError):  # the client hung up
            self.flow.close(visit, "abandoned")
            raise
        except Exception as error:
            self.flow.fail(visit, error)
            raise
        self._end(visit, request_data)

    @_harmless
    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: Any = None,
    ) -> dict[str, str] | None:
        """Tell the client what was decided."""
        return headers_of(read_mark(find_metadata(data))) or None

    async def _call(self, side: Route, data: Mapping[str, Any], *, stream: bool = False) -> Any:
        """Call one of the models as the client asked, on the account of the client's key."""
        from litellm.proxy.proxy_server import llm_router

        if llm_router is None:
            raise RuntimeError("the proxy has no models")
        # By the names of the client's body: LiteLLM has put more into ``data`` by now.
        body = (data.get("proxy_server_request") or {}).get("body") or {}
        known = find_metadata(data)
        form = CALL_FORMS[read_mark(known).get("form", "acompletion")]
        options = {
            name: data[name]
            for name in ("messages", *body)
            if name in data and name not in (*_NOT_PASSED_ON, form.metadata)
        }
        metadata = {
            name: value
            for name, value in known.items()
            if name not in (MARK, "user_api_key_budget_reservation")
        }
        # Its row in LiteLLM's logs bears the same tags; without the visit, which is another call's.
        mark = read_mark(known)
        told: dict[str, Any] = {
            name: mark[name] for name in ("id", "bundle", "route", "reason") if name in mark
        }
        metadata[MARK] = Mark(told, call="shadow" if "fallback" in mark else "fallback")
        if stream:
            options["stream_options"] = data.get("stream_options")
        call = getattr(llm_router, form.method)
        options |= {"stream": stream, form.metadata: metadata}
        return await call(model=self._groups[side], **options)

    def _calling(self, data: Mapping[str, Any]) -> Calling:
        """Return what calls one of the models as the client asked."""

        async def call(side: Route, stream: bool) -> Any:
            return await self._call(side, data, stream=stream)

        return call

    def _end(self, visit: Visit, data: dict[str, Any]) -> None:
        """Log a request that was answered, after its shadow call where it has one."""
        mark = read_mark(find_metadata(data))
        mark |= {"route": visit.route, "reason": visit.reason, "fallback": visit.fallback or ""}
        if visit.escalation is not None:
            mark["check"] = visit.escalation.reason
        self.flow.end(visit, self._calling(data))

    def _follow_overruling(self, visit: Visit, response: Any) -> None:
        """Follow LiteLLM where it called another model by a rule of its own."""
        group = _find_group(response)
        called = next((side for side, name in self._groups.items() if name == group), None)
        if called is not None and called != visit.route and visit.fallback is None:
            visit.routed = Routed(called, 1.0, False)
            visit.reason = "gateway"

    def _find_saving(self, row: Mapping[str, Any], result: Any) -> float | None:
        """Return what the tokens of a cheap model's call cost at the frontier model, less their own
        cost, in USD; ``None`` where that is not known, or it was another call.
        """
        response = row.get("async_complete_streaming_response") or result
        group = _find_group(response)
        mark = read_mark(find_metadata(as_mapping(row.get("litellm_params"))))
        is_cheap = mark.get("route") == "cheap" if group is None else group == self._groups["cheap"]
        usage, prices = Reply.of(response).usage, self.gateway.prices
        if not is_cheap or mark.get("call") or usage.hit or prices is None:
            return None
        # No prompt has no tokens: of a stream that LiteLLM could not count, it says 0.
        if not usage.prompt or usage.completion is None:
            return None
        cached = min(usage.cached or 0, usage.prompt)
        frontier, cheap = (
            float(prices.cost(side, usage.prompt, usage.completion, cached=cached))
            for side in ("frontier", "cheap")
        )
        return frontier - cheap

    def _note_failure(self, kwargs: Mapping[str, Any], error: Exception) -> None:
        visit = self._find_visit(find_metadata(kwargs))
        if visit is not None:
            self.flow.note_failure(visit, error)

    def _find_visit(self, metadata: Any) -> Visit | None:
        return self.flow.visits.get(read_mark(metadata).get("visit"))


@cache
def build_handler() -> DifficultyHandler:
    """Return the proxy's handler, built from ``callback_settings.difficulty`` of its configuration.

    Raises
    ------
    InvalidValueError
        If the section is missing or holds what is not allowed.
    BundleError
        If anything about the bundle is wrong: the proxy does not start then.
    """
    section = litellm.callback_settings.get(MARK)
    if not isinstance(section, Mapping):
        raise InvalidValueError(
            "callback_settings.difficulty",
            section,
            rule="be a section of the proxy's configuration",
            hint="See difficulty litellm-config.",
        )
    settings = parse_settings(
        {name: _from_environment(name, value) for name, value in section.items()}
    )
    handler = DifficultyHandler(settings, build_gateway(settings))
    if handler.gateway.log is not None:
        atexit.register(handler.gateway.log.close)
    return handler


def __getattr__(name: str) -> Any:
    """Build the handler when the proxy asks for it; importing this module loads no bundle."""
    if name == "handler":
        return build_handler()
    raise AttributeError(name)


def _from_environment(name: str, value: Any) -> Any:
    """Return what ``os.environ/NAME`` stands for, as LiteLLM writes it."""
    if not isinstance(value, str) or not value.startswith("os.environ/"):
        return value
    text = os.environ.get(value.removeprefix("os.environ/"))
    if text is None:
        raise InvalidValueError(
            f"gateway setting {name}", value, rule="name a variable that is set"
        )
    # A variable holds text: for a setting whose default is a number or a truth value, what it
    # spells.
    default = getattr(GatewaySettings, name, None)
    if isinstance(default, bool):
        return _TRUTH.get(text.strip().lower(), text)
    if isinstance(default, int | float):
        with suppress(ValueError):
            return json.loads(text)
    return text


def _find_group(response: Any) -> str | None:
    """Return the name of the model that answered; ``None`` outside of a proxy."""
    proxy = sys.modules.get("litellm.proxy.proxy_server")  # not worth its import elsewhere
    llm_router = getattr(proxy, "llm_router", None)
    # By the deployment: in the mode ``auto_router`` the headers keep the routed name.
    hidden = getattr(response, "_hidden_params", None) or {}
    deployment = (
        llm_router.get_deployment(model_id=hidden["model_id"])
        if llm_router and hidden.get("model_id")
        else None
    )
    return None if deployment is None else str(deployment.model_name)
