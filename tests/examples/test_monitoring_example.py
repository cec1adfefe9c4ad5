"""The dashboard, the alert rules and the scrape configuration ask for what is exported."""

import json
import re

import pytest
import yaml

from difficulty.gateway.counting import PORT
from difficulty.monitor import log_series
from difficulty.serving import decision_calls
from difficulty.telemetry import decision_counts, request_counts
from tests.conftest import REPOSITORY
from tests.telemetry.conftest import names_of

FOLDER = REPOSITORY / "examples" / "monitoring"
FAMILIES = (
    *decision_counts.FAMILIES,
    *request_counts.FAMILIES,
    *decision_calls.FAMILIES,
    *log_series.FAMILIES,
)
LABELS = {label for family in FAMILIES for label in family.labels} | {"le"}


def dashboard():
    return json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))


def expressions():
    panels = dashboard()["panels"]
    yield from (target["expr"] for panel in panels for target in panel["targets"])
    alerts = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))
    yield from (rule["expr"] for group in alerts["groups"] for rule in group["rules"])


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_expression_asks_for_series_and_labels_that_are_exported(expression):
    asked = set(re.findall(r"difficulty_\w+", expression))
    assert asked
    assert asked <= names_of(FAMILIES)
    for name, braces in re.findall(r"(difficulty_\w+)\{([^}]*)\}", expression):
        (family,) = [each for each in FAMILIES if name in names_of((each,))]
        labels = set(re.findall(r'(\w+)(?:=~|!=|=)"', braces))
        assert labels <= {*family.labels, "le"}
    for listed in re.findall(r"\b(?:by|ignoring|on) ?\(([^)]*)\)", expression):
        assert {label.strip() for label in listed.split(",")} <= LABELS
    assert expression.count("(") == expression.count(")")


def test_figures_that_are_asked_for_exist():
    """Names of figures, reasons and answers in the expressions are those of the package."""
    from difficulty.monitor.watched_figures import LABELS as FIGURES

    text = " ".join(expressions())
    asked = {name for value in re.findall(r'figure=~?"([^"]+)"', text) for name in value.split("|")}
    assert asked
    assert asked <= FIGURES.keys()


def test_panels_have_places_of_their_own():
    """No two overlap, and each has a title."""
    places = set()
    for panel in dashboard()["panels"]:
        grid = panel["gridPos"]
        assert panel["title"]
        assert grid["x"] + grid["w"] <= 24
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert (x, y) not in places
                places.add((x, y))


def test_gateway_is_scraped_at_the_ports_of_its_workers():
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    (gateway,) = [job for job in jobs if job["job_name"] == "difficulty-gateway"]
    ports = [int(target.split(":")[1]) for target in gateway["static_configs"][0]["targets"]]
    assert ports == [PORT + worker for worker in range(len(ports))]


def test_every_family_has_a_name_of_its_own():
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
