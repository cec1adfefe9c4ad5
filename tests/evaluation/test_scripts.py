"""Scripts of texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.evaluation.slices import SCRIPTS, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("What is the capital of Peru?", "latin"),
        ("Où est la gare, s'il vous plaît ?", "latin"),
        ("Đường nào đến ga?", "latin"),
        ("Где находится вокзал?", "cyrillic"),
        ("Πού είναι ο σταθμός;", "greek"),
        ("أين المحطة؟", "arabic"),
        ("איפה התחנה?", "hebrew"),
        ("स्टेशन कहाँ है?", "devanagari"),
        ("สถานีอยู่ที่ไหน", "thai"),
        ("车站在哪里？", "han"),
        ("駅はどこですか。東京駅へ行きます。", "kana"),
        ("역이 어디에 있습니까? 大學", "hangul"),
        ("კარგი დღე", "other"),
        ("Переведи: the quick brown fox", "mixed"),
        ("12 + 30 = ?", "no letters"),
        ("🙂🙃 — 42 €", "no letters"),
        ("", "no letters"),
        ("Translate 'да' into English, please, and explain the grammar", "latin"),
    ],
)
def test_script_of_a_text(text, script):
    """A few foreign letters do not change it; marks, digits and emoji do not count."""
    assert script_of(text) == script


@given(st.text())
def test_every_text_has_a_script(text):
    """Whatever comes, lone surrogates too."""
    assert script_of(text + "\ud800") in SCRIPTS


def test_only_the_beginning_of_a_long_text_is_read():
    assert script_of("a" * 1024 + "б" * 100_000) == "latin"
