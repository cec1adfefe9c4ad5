"""The chart, the compose file and the action: their options are the command's, their files are
there, and the script does what it says.
"""

import inspect
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from difficulty.cli.serving import serve
from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
CHART = EXAMPLES / "helm" / "difficulty"
OPTIONS = {f"--{name.replace('_', '-')}" for name in inspect.signature(serve).parameters}
SET = (
    "clientKeys.secret=keys,models.cheap.name=a/b,models.frontier.name=c/d,"
    "models.frontier.keySecret.name=openai,models.frontier.keySecret.key=key,log.claim=log,"
    "log.texts=true,autoscaling.enabled=true,serviceMonitor.enabled=true"
)


def test_options_are_those_of_serve():
    texts = [path.read_text() for path in CHART.glob("templates/deployment.yaml")]
    texts.append((EXAMPLES / "compose" / "compose.yaml").read_text().partition("prometheus:")[0])
    asked = set(re.findall(r"^ +- (--[a-z-]+)", "\n".join(texts), flags=re.MULTILINE))
    assert {"--keys", "--cheap", "--frontier-api-key", "--log", "--stop-seconds"} <= asked
    assert asked <= OPTIONS


def test_values_keep_their_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema)
    assert {*values} | {"global"} == {*schema["properties"]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "replica": 3}, schema)


@pytest.mark.skipif(shutil.which("helm") is None, reason="needs helm")
def test_chart_is_linted_and_rendered():
    subprocess.run(["helm", "lint", "--strict", CHART], check=True, capture_output=True)
    command = ["helm", "template", "router", CHART, "--set", SET]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    kinds = [part["kind"] for part in yaml.safe_load_all(done.stdout)]
    assert sorted(kinds) == ["Deployment", "HorizontalPodAutoscaler", "Service", "ServiceMonitor"]
    half = subprocess.run([*command[:4], "--set", "models.cheap.name=a/b"], capture_output=True)
    assert b"name both, or neither" in half.stderr


def test_compose_names_files_that_are_there():
    folder = EXAMPLES / "compose"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    mounted = [
        volume.partition(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert len(mounted) == 4
    assert [name for name in mounted if not (folder / name).exists()] == []
    for path in folder.rglob("*.y*ml"):
        assert yaml.safe_load(path.read_text())


GH = """#!/bin/sh
for word in "$@"; do
  printf '%s\\n' "$word" >> "$CALLS"
  case "$word" in body=@*) cp "${word#body=@}" "$BODY";; esac
done
case "$*" in *--paginate*) printf '%s' "$KNOWN";; esac
"""


@pytest.mark.parametrize(("known", "method"), [("", "POST"), ("77", "PATCH")])
def test_page_is_posted_once_and_then_changed(tmp_path, known, method):
    """Against a gh of our own, which keeps what it was asked."""
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    page = tmp_path / "report.md"
    page.write_text("# Switch on\n" + "x" * 70_000)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "BODY": str(tmp_path / "body"),
        "KNOWN": known,
        "PAGE": str(page),
        "TITLE": "support-1",
        "PULL": "5",
        "REPOSITORY": "acme/router",
    }
    script = EXAMPLES / "report-comment" / "post.sh"
    subprocess.run(["bash", script], check=True, env=environment)
    calls = (tmp_path / "calls").read_text().split("\n")
    assert method in calls
    place = "repos/acme/router/issues/comments/77" if known else None
    assert (place or "repos/acme/router/issues/5/comments") in calls
    posted = (tmp_path / "body").read_text()
    assert posted.startswith("<!-- difficulty: support-1 -->\n## support-1\n\n# Switch on\n")
    assert len(posted) < 65_536
    assert "the rest is in" in posted
