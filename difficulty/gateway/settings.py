"""The settings of a gateway: which bundle, where the log goes, what it may keep. Read once, at the
edge; unknown keys fail.

They belong to the deployment, not to the bundle: paths, secrets, and what code may run.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from difficulty.bundle import Trust, load_trust
from difficulty.errors import FieldError, InvalidValueError
from difficulty.form import Form, above, at_least, non_empty
from difficulty.gateway.clients import ClientField
from difficulty.gateway.log import DecisionLog, build_sink
from difficulty.gateway.observing import Observer
from difficulty.gateway.requests import Decider, Gateway, Redact
from difficulty.records import Prices
from difficulty.routes import Route
from difficulty.runtime.reload import ReloadingRouter, follow_path
from difficulty.runtime.router import Router


@dataclass(frozen=True, kw_only=True)
class SinkSettings(Form):
    """A place of the decision log; see :data:`difficulty.gateway.log.SINKS`."""

    kind: str = "json_lines"
    options: dict[str, Any] = field(default_factory=dict)
    """The sink's own; in a file they stand beside ``kind``."""

    @classmethod
    def parse(cls, content: object) -> Self:
        """Return the settings that a section holds; what is not ``kind`` is an option."""
        if isinstance(content, Mapping):
            options = {name: value for name, value in content.items() if name != "kind"}
            return cls(kind=content.get("kind", "json_lines"), options=options)
        return super().parse(content)


@dataclass(frozen=True, kw_only=True)
class ObserveSettings(Form):
    """That nothing is routed: every request goes to one model, and is logged."""

    route: Route
    model: Annotated[str, non_empty]
    """Its name in the log."""


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(Form):
    """What a deployment decides."""

    bundle: Path | None = None
    """Where the bundle is; none where requests are only observed."""
    observe: ObserveSettings | None = None
    """In place of a bundle: requests go where they went before, and are logged."""
    follow: bool = False
    """Whether to take up bundles that come to the same path later and pass every check."""
    follow_interval_s: Annotated[float, above(0)] = 5.0
    """Seconds between two looks at that path, or that registry."""
    registry: str | None = None
    """Registry whose champion of ``name`` is followed; ``bundle`` is then the folder where versions
    are kept once they were fetched.
    """
    name: str | None = None
    """Name in the registry."""
    trust: Path | None = None
    """Trust file: whose signature the bundle must bear."""
    threads: Annotated[int, at_least(1)] = 1
    """Threads ONNX Runtime may use for one request."""
    mode: Literal["hook", "auto_router"] = "hook"
    """Who names the model: a hook before the call, or the gateway's own router."""
    models: tuple[str, ...] = ("auto",)
    """Model names that are routed; requests for any other are left alone."""
    cheap: str = "cheap"
    """What the gateway calls the cheap model."""
    frontier: str = "frontier"
    log: tuple[SinkSettings, ...] = ()
    log_capacity: Annotated[int, at_least(1)] = 10_000
    """Events that may wait to be written; more are dropped and counted."""
    log_texts: bool = False
    """Whether the log keeps messages; it has to, if it is to teach."""
    log_answers: bool = False
    """Whether the log keeps what the models answered, shadow answers too, to be judged later."""
    redact: str | None = None
    """Function ``package.module:name`` that changes messages, and answers as messages, before they
    are logged.
    """
    salt: str = field(default="", repr=False)
    """Secret that conversations and users are hashed with, and chance: without one they are not
    logged, and chance is another in each process.
    """
    client_may_set: tuple[ClientField, ...] = ("task",)
    """What is believed of what clients say of their requests: ``task``, ``prompt_tokens`` and
    ``id``.
    """
    prices: Prices | None = None
    allowed: tuple[str, ...] = ()
    """Packages whose functions the policy's ``python`` validators may call."""
    validation_timeout_s: Annotated[float, above(0)] = 1.0
    """Most time for all checks of one answer; after that nothing is known of it."""
    most_buffered: Annotated[int, at_least(1)] = 262_144
    """Most characters of a streamed answer that are held back to be checked; a longer one is sent
    on unchecked.
    """
    most_sessions: Annotated[int, at_least(1)] = 100_000
    """Sessions that a process remembers, where the policy has ``stick``; of more, those that are
    quiet longest are forgotten.
    """
    session_minutes: Annotated[float, above(0)] = 60.0
    """Minutes after its last step when a session is forgotten."""
    shadow_timeout_s: Annotated[float, above(0)] = 60.0
    most_shadows: Annotated[int, at_least(1)] = 50
    """Shadow calls under way at once; more are left out and noted as skipped."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bundle is None and self.observe is None:
            raise FieldError("is missing", where=("bundle",))
        if self.bundle is not None and self.observe is not None:
            raise FieldError(
                "must not stand beside a bundle, which would not be asked", where=("observe",)
            )

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form, which is shown and kept, and so has no salt."""
        return {
            name: value
            for name, value in super().as_dict(without=without).items()
            if name != "salt"
        }


def parse_settings(content: Mapping[str, Any]) -> GatewaySettings:
    """Check settings.

    Raises
    ------
    FieldError
        If a key is missing, unknown, or of a value that is not allowed.
    """
    known = {setting.name for setting in fields(GatewaySettings)}
    for name in content:
        if name not in known:
            # By its name alone: it may be a misspelt secret.
            near = get_close_matches(str(name), known, n=1) or sorted(known)
            raise FieldError(
                "is not a setting that this version knows",
                where=(name,),
                file="gateway settings",
                advice=f"Known: {', '.join(near)}.",
            )
    if not isinstance(content.get("salt", ""), str):
        raise FieldError("must be a string", where=("salt",), file="gateway settings")
    return GatewaySettings.parse_from("gateway settings", content)


def build_gateway(settings: GatewaySettings, *, router: Decider | None = None) -> Gateway:
    """Load the bundle and open the log; ``router`` takes the place of the bundle where it is given.

    Raises
    ------
    BundleError
        If anything about the bundle is wrong.
    InvalidValueError
        If the function for redaction cannot be imported, or a sink does not take its options.
    """
    # All that can be wrong is found here, before the first request.
    trust = load_trust(settings.trust) if settings.trust else None
    return Gateway(
        router or _build_router(settings, trust),
        log=_open_log(settings),
        prices=settings.prices,
        texts=settings.log_texts,
        answers=settings.log_answers,
        redact=_import_function(settings.redact) if settings.redact else None,
        salt=settings.salt,
        allowed=settings.allowed,
        validation_timeout_s=settings.validation_timeout_s,
        most_sessions=settings.most_sessions,
        session_minutes=settings.session_minutes,
    )


def _build_router(settings: GatewaySettings, trust: Trust | None) -> Decider:
    if settings.observe is not None:
        return Observer(settings.observe.route, settings.observe.model)
    assert settings.bundle is not None  # the settings see to it
    if not (settings.follow or settings.registry):
        return Router.load(settings.bundle, threads=settings.threads, trust=trust)
    locate = (
        _follow_champion(settings, settings.bundle)
        if settings.registry
        else follow_path(settings.bundle)
    )
    return ReloadingRouter(
        locate, interval_s=settings.follow_interval_s, threads=settings.threads, trust=trust
    ).start()


def _follow_champion(settings: GatewaySettings, folder: Path) -> Callable[[], Path]:
    from difficulty.bundle.registry import follow_alias, open_registry

    if settings.name is None:
        raise InvalidValueError(
            "gateway setting name",
            None,
            rule="say what the bundle is published under, beside registry",
        )
    return follow_alias(open_registry(settings.registry or ""), settings.name, folder)


def _open_log(settings: GatewaySettings) -> DecisionLog | None:
    if not settings.log:
        return None
    try:
        sinks = [build_sink(sink.kind, **sink.options) for sink in settings.log]
    except TypeError as error:  # an option that the sink's constructor does not take
        raise InvalidValueError(
            "gateway setting log",
            [sink.kind for sink in settings.log],
            rule="fit",
            hint=f"{error}.",
        ) from error
    return DecisionLog(sinks, capacity=settings.log_capacity)


def _import_function(path: str) -> Redact:
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValueError(
            "gateway setting redact", path, rule="be package.module:name", hint=f"{error}."
        ) from error
