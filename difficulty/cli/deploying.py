"""Settings of a bundle that is in service: ``difficulty policy``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from difficulty.cli.console import BundlePath, JsonFlag, KeyPath, print_json, say
from difficulty.cli.signing import open_key
from difficulty.routes import Route, Stick
from difficulty.text import one_line

if TYPE_CHECKING:
    from difficulty.thresholds.sticking_margins import MarginChoice


def policy(
    bundle: BundlePath,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting and its value in TOML, repeated: epsilon=0.05, streaming=buffer,"
            " 'validators=[{check=\"json\"}]'. Without any the policy is printed.",
        ),
    ] = None,
    eligibility_from: Annotated[
        str | None,
        typer.Option(
            metavar="litellm",
            help="State what the models take by litellm's information on those of --cheap-as and"
            " --frontier-as; what it does not know stays unstated.",
        ),
    ] = None,
    cheap_as: Annotated[
        str | None, typer.Option(help="Cheap model as litellm names it: mistral/mistral-small.")
    ] = None,
    frontier_as: Annotated[
        str | None, typer.Option(help="Frontier model as litellm names it: openai/gpt-5.")
    ] = None,
    out_path: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Where to write, as <name>-<version>.", show_default=False
        ),
    ] = None,
    stick_from: Annotated[
        Path | None,
        typer.Option(
            help="Labelled traffic with sessions (group, timestamp) that chooses the margins by"
            " which a session keeps its model; needs --prices with cached_input.",
            show_default=False,
        ),
    ] = None,
    prices_path: Annotated[
        Path | None,
        typer.Option("--prices", help="Price list, for --stick-from.", show_default=False),
    ] = None,
    sign_key: KeyPath = None,
    json: JsonFlag = False,
) -> None:
    """Change settings of the deployment in a bundle's policy (validators, exploration, streaming,
    easy and hard tasks, what the models take, review date, ...), without training, and write the
    next version.

    Example: difficulty policy bundles/support-1 --set shadow=0.05 -o bundles/support-2
    """
    from difficulty.bundle import read_bundle
    from difficulty.stages.deploying.deployed_policy import SETTINGS, change_policy, flat_policy

    if eligibility_from is not None:
        stated = _state_limits(eligibility_from, {"cheap": cheap_as, "frontier": frontier_as})
        settings = [*stated, *(settings or ())]
    if not settings and stick_from is None:
        if out_path is not None:
            raise typer.BadParameter("write it with --set KEY=VALUE", param_hint="'--out'")
        held = read_bundle(bundle).policy
        if json:
            print_json(held.as_dict())
            return
        for name, value in flat_policy(held).items():
            # Lists and forms of settings are one value, which --set takes.
            say(one_line(f"{name} = {value}") + ("  (--set)" if name in SETTINGS else ""))
        return
    if out_path is None:
        raise typer.BadParameter("name the new bundle: <name>-<version>", param_hint="'--out'")
    asked, said = list(settings or ()), []
    if stick_from is not None:
        chosen = _choose_margins(bundle, stick_from, prices_path, asked)
        asked += [f"stick.margin={chosen.stick.margin}", f"stick.margin_back={chosen.stick.back}"]
        said = [chosen.sentence]
    change = change_policy(bundle, asked, out_path, said=said, sign_with=open_key(sign_key))
    if json:
        content = {"bundle": str(out_path), "diff": list(change.diff), "notes": list(change.notes)}
        print_json(content)
        return
    for line in (*change.diff, *change.notes, f"wrote {out_path}"):
        say(one_line(line))


def _choose_margins(
    bundle: Path, traffic: Path, prices: Path | None, settings: list[str]
) -> MarginChoice:
    """Choose the margins of sessions within what the other settings say of them."""
    from difficulty.bundle import read_bundle
    from difficulty.economics import load_prices
    from difficulty.stages.deploying.deployed_policy import set_policy
    from difficulty.stages.deploying.session_steps import margins_from

    if prices is None:
        raise typer.BadParameter("needed to weigh a switch", param_hint="'--prices'")
    like = set_policy(read_bundle(bundle).policy, settings).stick or Stick()
    return margins_from(bundle, traffic, load_prices(prices), like=like)


def _state_limits(source: str, models: dict[Route, str | None]) -> tuple[str, ...]:
    """Return settings for what is known of the models."""
    from difficulty.stages.deploying.deployed_policy import stated_by_litellm

    if source != "litellm":
        raise typer.BadParameter("only litellm is known", param_hint="'--eligibility-from'")
    stated = stated_by_litellm(models)
    if not stated:
        raise typer.BadParameter(
            "litellm says nothing of these models that the policy could state",
            param_hint="'--eligibility-from'",
        )
    return stated
