"""The service of one process: its router, its models, its keys, its socket."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from difficulty.bundle import Trust
from difficulty.gateway.requests import Gateway
from difficulty.gateway.settings import GatewaySettings, build_gateway
from difficulty.integrations.litellm_config import Upstream
from difficulty.routes import Route
from difficulty.runtime.reload import ReloadingRouter, follow_path
from difficulty.runtime.router import Router
from difficulty.serving.api_keys import ApiKeys
from difficulty.serving.asgi_server import MOST_CONNECTIONS, STOP_S, Service
from difficulty.serving.call_bodies import Bodies
from difficulty.serving.web_app import WebApp
from difficulty.telemetry.meter import Meter

if TYPE_CHECKING:
    from difficulty.serving.chat_calls import ChatCalls


def build_service(
    settings: GatewaySettings,
    *,
    upstreams: Mapping[Route, Upstream] | None = None,
    passed_on: Collection[str] = (),
    keys: ApiKeys | None = None,
    trust: Trust | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    most_connections: int = MOST_CONNECTIONS,
    stop_s: float = STOP_S,
) -> Service:
    """Return a service that listens from ``run_until_stopped`` on; all that can be wrong is found
    here.

    Parameters
    ----------
    settings : GatewaySettings
        Without ``upstreams`` only the bundle, and whether it is followed, count.
    upstreams : mapping of str to Upstream, optional
        Both models, by route: for ``/v1/chat/completions``.
    passed_on : collection of str
        Fields of chat requests that go to the models beside OpenAI's.
    keys : ApiKeys, optional
        Who may call; default: everybody.
    trust : Trust, optional
        Whose signature a bundle must bear.
    host, port, most_connections, stop_s
        See :class:`~difficulty.serving.asgi_server.Service`.

    Raises
    ------
    BundleError
        If anything about the bundle is wrong.
    InvalidValueError
        If a setting cannot be met.
    OSError
        If the address is taken.
    """
    router = _load_router(settings, trust)
    gateway = build_gateway(settings, router=router) if upstreams else None

    def chat(meter: Meter, bodies: Bodies) -> ChatCalls:
        assert upstreams is not None
        assert gateway is not None
        return _build_chat(settings, gateway, upstreams, passed_on, meter, bodies)

    app = WebApp(router, chat=chat if upstreams else None, keys=keys)
    return Service(app, host=host, port=port, most_connections=most_connections, stop_s=stop_s)


def _build_chat(
    settings: GatewaySettings,
    gateway: Gateway,
    upstreams: Mapping[Route, Upstream],
    passed_on: Collection[str],
    meter: Meter,
    bodies: Bodies,
) -> ChatCalls:
    # Here, as LiteLLM takes seconds to load, and decisions alone need none.
    from difficulty.integrations.litellm_flow import AnswerFlow
    from difficulty.integrations.litellm_sdk import SdkModels
    from difficulty.serving.chat_calls import ChatCalls

    flow = AnswerFlow(gateway, settings, recorder=meter)
    models = SdkModels(upstreams, passed_on=passed_on)
    models.warm_up()
    return ChatCalls(flow, models, settings, bodies)


def _load_router(settings: GatewaySettings, trust: Trust | None) -> Router | ReloadingRouter:
    assert settings.bundle is not None  # a command names one
    if not settings.follow:
        return Router.load(settings.bundle, threads=settings.threads, trust=trust)
    return ReloadingRouter(
        follow_path(settings.bundle),
        interval_s=settings.follow_interval_s,
        threads=settings.threads,
        trust=trust,
    ).start()
