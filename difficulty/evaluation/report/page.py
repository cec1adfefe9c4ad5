"""The report as one HTML page that needs no network: style, script and pictures are inside.

Everything is escaped by the template engine; style and script are let through by their hashes, and
the page may load nothing else.
"""

from __future__ import annotations

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined

from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.sections import sections_of
from difficulty.evaluation.result import Evaluation


def report_html(evaluation: Evaluation, extras: Extras | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    evaluation : Evaluation
        The figures; those of metrics.json.
    extras : Extras, optional
        What is told beside them.
    """
    extras = extras or Extras()
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_source(environment, name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html").render(
        title=f"Routing report: {extras.scorer}" if extras.scorer else "Routing report",
        extras=extras,
        counts=evaluation.counts,
        sections=sections_of(evaluation, extras),
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    """Return the content security policy: nothing but this style and this script."""
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in (("style", style), ("script", script))
    }
    allowed = "; ".join(f"{name}-src 'sha256-{digest}'" for name, digest in hashes.items())
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
