import re
from xml.etree import ElementTree

import pytest

from difficulty.channels import CHANNELS
from tests.conftest import REPOSITORY
from tools.draw_channels import FOLDER, PICTURES, draw


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_up_to_date(name):
    """Run ``python -m tools.draw_channels`` where it is not."""
    drawn = draw(PICTURES[name])
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == drawn
    root = ElementTree.fromstring(drawn)
    assert root.get("aria-label") == PICTURES[name].says
    assert "prefers-color-scheme: dark" in drawn


def test_every_channel_has_a_picture_that_the_page_shows():
    page = (REPOSITORY / "docs" / "model.md").read_text(encoding="utf-8")
    assert {*re.findall(r"\(channels/([\w-]+)\.svg\)", page)} == {*PICTURES}
    assert {name.replace(" ", "-") for name in CHANNELS} <= {*PICTURES}
    assert {path.stem for path in FOLDER.iterdir()} == {*PICTURES}
