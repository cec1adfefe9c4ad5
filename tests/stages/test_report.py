"""What stands in the report beside the figures, and that it is written."""

import json

import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import RunError
from difficulty.evaluation import read_metrics
from difficulty.metrics import Resampling
from difficulty.report.wording import figure_text
from difficulty.stages.economics import read_economics
from difficulty.stages.evaluate import choice_of, evaluate_scorer, suspects_of
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import DRAWS


@pytest.fixture(scope="module")
def folders(journey, tmp_path_factory):
    """The run and the bundle judged once each; the bundle with texts."""
    out = tmp_path_factory.mktemp("reports")
    evaluate_scorer(journey.run, journey.traffic, out / "run", resampling=Resampling(DRAWS))
    evaluate_scorer(journey.bundle, journey.traffic, out / "bundle", resampling=Resampling(DRAWS))
    evaluate_scorer(
        journey.bundle,
        journey.traffic,
        out / "texts",
        resampling=Resampling(DRAWS),
        show_texts=True,
    )
    return out


def test_the_report_shows_the_figures_beside_it(folders):
    """Every figure of metrics.json, written as the console writes it, stands in the short form;
    those at the threshold in the page too.
    """
    evaluation = read_metrics(folders / "bundle" / "metrics.json")
    short = (folders / "bundle" / "report.md").read_text().replace("\\", "")
    page = (folders / "bundle" / "report.html").read_text()
    for name, estimate in evaluation.overall.items():
        assert figure_text(name, estimate) in short, name
    for name in ("frontier_share", "quality", "risk", "gap_recovered"):
        assert figure_text(name, evaluation.overall[name]) in page, name


def test_the_report_of_a_bundle_names_models_choice_and_rules(folders, journey):
    policy = read_bundle(journey.bundle).policy
    page = (folders / "bundle" / "report.html").read_text()
    assert policy.chosen.objective in page
    assert policy.review_date.isoformat() in page
    assert (
        "classify below 256 tokens stay on the cheap model; multi-step planning go to the frontier"
        " model" in page
    )
    assert choice_of(policy).expected["quality"].value == policy.chosen.expected["quality"]["value"]
    assert "a bundle does not carry them" in page


def test_the_report_of_a_run_tells_suspicious_labels_by_task(folders, journey):
    """Its counts are those of run.json; without a threshold there are no mistakes."""
    labels = Run.read(journey.run).record.labels
    suspects, page = suspects_of(labels), (folders / "run" / "report.html").read_text()
    assert suspects.checked == labels.checked > 0
    assert f"Training looked at {suspects.checked:,} samples" in page
    assert all(task in page for task in list(suspects.by_task)[:5])
    assert "Mistakes are unknown: there is no threshold" in page
    assert suspects_of(None) is None


def test_texts_are_in_the_report_only_when_asked_for(folders, journey):
    """No sentence of the traffic stands in the page or in the short form, unless texts are shown:
    then in the page alone.
    """
    traffic = Traffic.read(journey.traffic)
    texts = {
        message["content"].split("\n")[0][:60]
        for messages in traffic.messages()
        for message in messages
        if message["role"] == "user"
    }
    texts = {text for text in texts if len(text) > 30 and not set(text) & set("&<>\"'")}
    held = {
        (folder, name): sum(text in (folders / folder / name).read_text() for text in texts)
        for folder in ("bundle", "texts")
        for name in ("report.html", "report.md")
    }
    assert held.pop(("texts", "report.html")) > 5
    assert set(held.values()) == {0}


def test_economics_of_the_first_format_are_read_as_what_they_were(tmp_path):
    """Its one plan kept a share of the requests; the policy stood beside it."""
    old = {"format": 1, "share": {"own_cost": 1}, "policy": {"own_cost": 2}, "asked_share": 0.3}
    (tmp_path / "economics.json").write_text(json.dumps(old))
    read = read_economics(tmp_path / "economics.json")
    assert (read["plan"], read["keep_cheap_share"]) == ("keep_cheap", 0.3)
    assert (read["keep_cheap"], read["policy"]) == ({"own_cost": 1}, {"own_cost": 2})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}'])
def test_economics_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "economics.json").write_text(text)
    with pytest.raises(RunError, match="Run 'difficulty economics' again") as told:
        read_economics(tmp_path / "economics.json")
    assert "indices" not in str(told.value)
