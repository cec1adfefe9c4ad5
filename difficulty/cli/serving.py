"""Bundles into production: ``serve``, ``layout``, ``litellm-config``."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from difficulty.cli.console import (
    BundlePath,
    JsonFlag,
    OutPath,
    print_json,
    print_result,
    say,
    warn,
)
from difficulty.cli.signing import TrustPath, build_trust
from difficulty.errors import InvalidValueError
from difficulty.gateway.clients import ClientField
from difficulty.routes import Route


def serve(
    bundle: BundlePath,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    max_connections: Annotated[int, typer.Option(min=1, help="Most connections at once.")] = 128,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Serve decisions over HTTP: POST /decide with one request or a list of up to 2,048, GET
    /health, GET /metrics for Prometheus. No accounts, no encryption. Ends with Ctrl-C, or with
    SIGTERM once what has come in is answered.

    Example: difficulty serve bundles/support-1 --port 8080
    """
    from difficulty.runtime import Router
    from difficulty.runtime.service import DecisionServer

    router = Router.load(bundle, trust=build_trust(trust))
    with DecisionServer(router, host=host, port=port, most_connections=max_connections) as server:
        # From another thread: it waits for the loop that the signal interrupts.
        stop = threading.Thread(target=server.shutdown, daemon=True)
        signal.signal(signal.SIGTERM, lambda *_: None if stop.ident else stop.start())
        address = f"http://{host}:{server.server_port}/decide"
        content = {"bundle": router.version, "address": address}
        print_result(content, f"{router.version} on {address}", json=json)
        server.serve_forever()
        server.drain()


def layout(
    bundle: BundlePath,
    layout: Annotated[
        str, typer.Option("--for", help="What will serve it: mlflow, triton or container.")
    ],
    out_path: OutPath,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Write a bundle as the folder that another serving system expects: an MLflow model, a Triton
    model repository, a container's files.

    Example: difficulty layout bundles/support-1 --for mlflow -o served/support
    """
    from difficulty.stages.layout import lay_out

    next_step = lay_out(bundle, layout, out_path, trust=build_trust(trust))
    content = {"layout": layout, "path": str(out_path), "serve": next_step}
    print_result(content, f"wrote {out_path}\nserve it with: {next_step}", json=json)


def litellm_config(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="Bundle folder, where the proxy runs; none with --observe."),
    ] = None,
    cheap: Annotated[
        str | None,
        typer.Option(
            help="Cheap model as LiteLLM names it, with its provider: hosted_vllm/hermes-8b."
        ),
    ] = None,
    frontier: Annotated[str | None, typer.Option(help="Frontier model: openai/gpt-5.")] = None,
    observe: Annotated[
        bool,
        typer.Option(
            "--observe",
            help="Route nothing and need no bundle: requests go on to the model of --to, and are"
            " logged with their texts.",
        ),
    ] = False,
    to: Annotated[
        str, typer.Option(metavar="frontier|cheap", help="With --observe: where requests go.")
    ] = "frontier",
    cheap_api_base: Annotated[
        str | None, typer.Option(help="Address of the cheap model; default: the provider's.")
    ] = None,
    frontier_api_base: Annotated[
        str | None, typer.Option(help="Address of the frontier model.")
    ] = None,
    cheap_api_key: Annotated[
        str | None,
        typer.Option(help="os.environ/NAME of its key; default: the provider's variable."),
    ] = None,
    frontier_api_key: Annotated[
        str | None, typer.Option(help="os.environ/NAME of its key.")
    ] = None,
    cheap_timeout: Annotated[
        float | None, typer.Option(help="Seconds after which the frontier model is called instead.")
    ] = None,
    name: Annotated[str, typer.Option(help="Model name that clients ask for.")] = "auto",
    hook: Annotated[
        bool,
        typer.Option(
            "--hook",
            help="Name the model in a hook before the call, without LiteLLM's auto router.",
        ),
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Take up a bundle that comes to the same path later, once it has passed every"
            " check.",
        ),
    ] = False,
    log: Annotated[
        Path | None, typer.Option(help="Folder of the decision log; default: none.")
    ] = None,
    log_texts: Annotated[
        bool, typer.Option("--log-texts", help="Keep messages in the log, so that it can teach.")
    ] = False,
    log_answers: Annotated[
        bool,
        typer.Option(
            "--log-answers", help="Keep answers in the log, so that they can be judged later."
        ),
    ] = False,
    prices: Annotated[
        Path | None, typer.Option(help="Price list (TOML), for the cost of each request.")
    ] = None,
    client_may_set: Annotated[
        list[str] | None,
        typer.Option(
            help="What clients are believed of their requests: task, prompt_tokens or id; give it"
            " again for more. Default: task; none for nothing."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Print a complete configuration of a LiteLLM proxy that routes by a bundle, or with --observe
    only logs.

    Example: difficulty litellm-config bundles/support-1 --cheap hosted_vllm/hermes-8b --frontier
    openai/gpt-5 --log decisions > proxy.yaml
    """
    from difficulty.economics import load_prices
    from difficulty.integrations.litellm_config import Upstream, to_yaml

    models = {
        "cheap": cheap
        and Upstream(
            model=cheap, api_base=cheap_api_base, api_key=cheap_api_key, timeout_s=cheap_timeout
        ),
        "frontier": frontier
        and Upstream(model=frontier, api_base=frontier_api_base, api_key=frontier_api_key),
    }
    shared: dict[str, Any] = {
        "name": name,
        "log_answers": log_answers,
        "prices": load_prices(prices) if prices else None,
    }
    if observe:
        config = _observing(bundle, models, to, log=log, **shared)
    else:
        config = _routing(
            _stated(bundle, "BUNDLE"),
            models,
            mode="hook" if hook else "auto_router",
            log=log,
            log_texts=log_texts,
            follow=follow,
            client_may_set=_read_fields(client_may_set or ["task"]),
            **shared,
        )
    print_json(config) if json else say(to_yaml(config), end="")


def _observing(
    bundle: Path | None, models: dict[str, Any], to: str, *, log: Path | None, **shared: Any
) -> dict[str, Any]:
    """Return the configuration that routes nothing."""
    from difficulty.integrations.litellm_config import observing_config

    if bundle is not None:
        raise InvalidValueError("--observe", str(bundle), rule="stand without a bundle")
    if to not in get_args(Route):
        raise InvalidValueError("--to", to, rule="be frontier or cheap")
    return observing_config(
        _stated(models[to], f"--{to}"),
        to=cast(Route, to),
        log=(log or Path("decisions")).resolve(),
        **shared,
    )


def _routing(
    folder: Path, models: dict[str, Any], *, log: Path | None, follow: bool, **shared: Any
) -> dict[str, Any]:
    """Return the configuration that routes by a bundle."""
    from difficulty.bundle import read_bundle
    from difficulty.integrations.litellm_config import proxy_config

    policy = read_bundle(folder).policy
    cheap, frontier = (_stated(models[side], f"--{side}") for side in ("cheap", "frontier"))
    config = proxy_config(
        folder.absolute() if follow else folder.resolve(),  # a link that is followed stays a link
        policy,
        cheap=cheap,
        frontier=frontier,
        # Absolute, as the proxy may be started in another folder.
        log=log.resolve() if log else None,
        follow=follow,
        **shared,
    )
    if policy.eligibility is None:
        warn(
            "the policy does not say what the models take: images and requests of more than 32,768"
            f" tokens go to the frontier model. State it: difficulty policy {folder}"
            f" --eligibility-from litellm --cheap-as {cheap.model} --frontier-as {frontier.model}"
            " -o NEW"
        )
    return config


def _stated(value: Any, option: str) -> Any:
    if not value:
        raise InvalidValueError(
            option, value, rule="be given", hint="--observe needs no bundle and one model."
        )
    return value


def _read_fields(names: list[str]) -> tuple[ClientField, ...]:
    if names == ["none"]:
        return ()
    for name in names:
        if name not in get_args(ClientField):
            choices = (*get_args(ClientField), "none alone")
            raise InvalidValueError(
                "--client-may-set", name, rule=f"be one of {', '.join(choices)}"
            )
    return cast(tuple[ClientField, ...], tuple(names))
