"""The documentation as a site: every page has its place, no link ends, nothing is fetched."""

import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build it as ``make docs`` does: strict, so a broken link or a page without a place fails."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={"PATH": "", "NO_MKDOCS_2_WARNING": "1"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_site_has_every_page(site):
    pages = {path.stem for path in (REPOSITORY / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}


def test_pages_of_results_are_part_of_it(site):
    assert (site / "source/benchmarks/index.html").is_file()
    assert [*site.glob("source/benchmarks/results/*.html")]


def test_site_loads_nothing_from_elsewhere(site):
    """Links may lead away; scripts, styles, fonts and pictures may not come from there."""
    loaded = [
        (path.name, tag)
        for path in site.rglob("*.html")
        for tag in re.findall(r"<(?:script|img|link|iframe)\b[^>]*>", path.read_text("utf-8"))
        if re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag)
    ]
    assert loaded == []
