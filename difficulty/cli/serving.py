"""Bundles into production: ``serve``, ``layout``, ``litellm-config``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

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

if TYPE_CHECKING:
    from difficulty.integrations.litellm_config import Upstream

CheapModel = Annotated[
    str | None,
    typer.Option(help="Cheap model as LiteLLM names it, with its provider: hosted_vllm/hermes-8b."),
]
FrontierModel = Annotated[str | None, typer.Option(help="Frontier model: openai/gpt-5.")]
CheapBase = Annotated[
    str | None, typer.Option(help="Address of the cheap model; default: the provider's.")
]
FrontierBase = Annotated[str | None, typer.Option(help="Address of the frontier model.")]
CheapKey = Annotated[
    str | None, typer.Option(help="os.environ/NAME of its key; default: the provider's variable.")
]
FrontierKey = Annotated[str | None, typer.Option(help="os.environ/NAME of its key.")]
CheapTimeout = Annotated[
    float | None, typer.Option(help="Seconds after which the frontier model is called instead.")
]
RoutedName = Annotated[str, typer.Option(help="Model name that clients ask for.")]
LogFolder = Annotated[Path | None, typer.Option(help="Folder of the decision log; default: none.")]
LogTexts = Annotated[
    bool, typer.Option("--log-texts", help="Keep messages in the log, so that it can teach.")
]
LogAnswers = Annotated[
    bool,
    typer.Option(
        "--log-answers", help="Keep answers in the log, so that they can be judged later."
    ),
]
CallPrices = Annotated[
    Path | None, typer.Option(help="Price list (TOML), for the cost of each request.")
]
ClientFields = Annotated[
    list[str] | None,
    typer.Option(
        help="What clients are believed of their requests: task, prompt_tokens or id; give it"
        " again for more. Default: task; none for nothing."
    ),
]
Following = Annotated[
    bool,
    typer.Option(
        "--follow",
        help="Take up a bundle that comes to the same path later, once it has passed every check.",
    ),
]


def serve(
    bundle: BundlePath,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="File of clients' keys, as hashes (see new-key). Default: those of the variable"
            " DIFFICULTY_API_KEYS, or none: everybody may call."
        ),
    ] = None,
    cheap: CheapModel = None,
    frontier: FrontierModel = None,
    cheap_api_base: CheapBase = None,
    frontier_api_base: FrontierBase = None,
    cheap_api_key: CheapKey = None,
    frontier_api_key: FrontierKey = None,
    cheap_timeout: CheapTimeout = None,
    name: RoutedName = "auto",
    follow: Following = False,
    log: LogFolder = None,
    log_texts: LogTexts = False,
    log_answers: LogAnswers = False,
    prices: CallPrices = None,
    client_may_set: ClientFields = None,
    pass_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Field of chat requests that goes to the models beside OpenAI's, such as top_k;"
            " give it again for more."
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Further settings (TOML), those of a gateway; options win.")
    ] = None,
    max_connections: Annotated[int, typer.Option(min=1, help="Most connections at once.")] = 1_000,
    stop_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds that answers under way get at the end.")
    ] = 30.0,
    trust: TrustPath = None,
    json: JsonFlag = False,
) -> None:
    """Serve decisions over HTTP, and with --cheap and --frontier an OpenAI-compatible router in
    front of both models: POST /v1/chat/completions. Ends with Ctrl-C, or with SIGTERM once what has
    come in is answered. No encryption.

    Example: difficulty serve bundles/support-1 --cheap hosted_vllm/hermes-8b --cheap-api-base
    http://gpu-1:8000/v1 --frontier openai/gpt-5 --log decisions --keys keys.txt
    """
    from difficulty.gateway.settings import parse_settings
    from difficulty.serving.api_keys import VARIABLE, ApiKeys
    from difficulty.serving.served import build_service

    models = _read_models(
        (cheap, cheap_api_base, cheap_api_key),
        (frontier, frontier_api_base, frontier_api_key),
        cheap_timeout,
    )
    known_keys = os.environ.get(VARIABLE)
    if (cheap is None) != (frontier is None):
        given = "--frontier" if cheap is None else "--cheap"
        rule = "be given together: both models, or neither"
        raise InvalidValueError("--cheap and --frontier", f"{given} alone", rule=rule)
    flags: dict[str, Any] = {
        "models": [name],
        "follow": follow,
        "log": log and [{"kind": "json_lines", "path": str(log), "fsync": "interval"}],
        "log_texts": log_texts,
        "log_answers": log_answers,
        "prices": _read_prices(prices),
        "client_may_set": client_may_set and list(_read_fields(client_may_set)),
    }
    stated = _read_settings(settings) if settings else {}
    stated |= {key: value for key, value in flags.items() if value or key == "models"}
    if cheap is None and (unused := sorted({*stated} - {"models", "follow"})):
        given = stated[unused[0]]
        raise InvalidValueError(
            f"--{unused[0].replace('_', '-')}",
            # A whole section of settings: its name says enough.
            "a section of settings" if isinstance(given, dict) else given,
            rule="stand beside --cheap and --frontier: without models no answer is logged",
        )
    # A service has no output to say it in: a bundle that was refused, a log that loses events.
    logging.getLogger("difficulty.runtime").setLevel(logging.WARNING)
    served = build_service(
        parse_settings({**stated, "bundle": str(bundle)}),
        upstreams=cast("dict[Route, Upstream]", models) if cheap else None,
        passed_on=pass_on or (),
        keys=ApiKeys(keys, stated=known_keys) if keys or known_keys else None,
        trust=build_trust(trust),
        host=host,
        port=port,
        most_connections=max_connections,
        stop_s=stop_seconds,
    )
    version, address = served.app.router.current.version, f"http://{host}:{served.port}"
    content = {"bundle": version, "address": f"{address}/decide"}
    lines = [f"{version} on {address}/decide"]
    if cheap:
        content["chat"] = f"{address}/v1"
        lines.append(f"OpenAI's API on {address}/v1, model {name}")
    if not (keys or known_keys) and host not in ("127.0.0.1", "localhost", "::1"):
        warn("everybody who reaches this address may call: there are no --keys")
    print_result(content, "\n".join(lines), json=json)
    served.run_until_stopped()
    if served.interrupted:
        raise typer.Exit(130)  # 128 + SIGINT, as shells count


def new_key(
    name: Annotated[str, typer.Argument(help="Who will call with it; stands in no answer.")],
    keys: Annotated[
        Path | None, typer.Option(help="File of keys to add it to; default: print its line.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Make a key for a client of 'serve'. It is shown once; the file keeps its hash.

    Example: difficulty new-key team-a --keys keys.txt
    """
    from difficulty.serving.api_keys import add_key, make_key

    secret, key = make_key(name)
    line = f"{key.name} {key.digest}"
    if keys is not None:
        add_key(keys, key)
    text = f"{secret}\n" + (f"its hash is in {keys}" if keys else f"for the file of keys: {line}")
    print_result({"key": secret, "line": line}, text, json=json)


_Named = tuple[str | None, str | None, str | None]


def _read_models(
    cheap: _Named, frontier: _Named, cheap_timeout: float | None
) -> dict[str, Upstream | None]:
    """Return both models, each by its name, address and key; one without a name is none."""
    from difficulty.integrations.litellm_config import Upstream

    def read(named: _Named, timeout_s: float | None = None) -> Upstream | None:
        model, base, key = named
        if not model:
            return None
        return Upstream(model=model, api_base=base, api_key=key, timeout_s=timeout_s)

    return {"cheap": read(cheap, cheap_timeout), "frontier": read(frontier)}


def _read_settings(path: Path) -> dict[str, Any]:
    from difficulty.form import read_toml

    return read_toml(path, "settings")


def _read_prices(path: Path | None) -> dict[str, Any] | None:
    from difficulty.economics import load_prices

    if path is None:
        return None
    # The gateway counts what came from a cache, call by call.
    known = load_prices(path).as_dict(without={"cached_share"}).items()
    return {name: value for name, value in known if value is not None}


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
    cheap: CheapModel = None,
    frontier: FrontierModel = None,
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
    cheap_api_base: CheapBase = None,
    frontier_api_base: FrontierBase = None,
    cheap_api_key: CheapKey = None,
    frontier_api_key: FrontierKey = None,
    cheap_timeout: CheapTimeout = None,
    name: RoutedName = "auto",
    hook: Annotated[
        bool,
        typer.Option(
            "--hook",
            help="Name the model in a hook before the call, without LiteLLM's auto router.",
        ),
    ] = False,
    follow: Following = False,
    log: LogFolder = None,
    log_texts: LogTexts = False,
    log_answers: LogAnswers = False,
    prices: CallPrices = None,
    client_may_set: ClientFields = None,
    json: JsonFlag = False,
) -> None:
    """Print a complete configuration of a LiteLLM proxy that routes by a bundle, or with --observe
    only logs.

    Example: difficulty litellm-config bundles/support-1 --cheap hosted_vllm/hermes-8b --frontier
    openai/gpt-5 --log decisions > proxy.yaml
    """
    from difficulty.economics import load_prices
    from difficulty.integrations.litellm_config import to_yaml

    models = _read_models(
        (cheap, cheap_api_base, cheap_api_key),
        (frontier, frontier_api_base, frontier_api_key),
        cheap_timeout,
    )
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
        hint = "--observe needs no bundle and one model."
        raise InvalidValueError(option, "nothing", rule="be given", hint=hint)
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
