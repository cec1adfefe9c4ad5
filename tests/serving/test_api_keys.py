"""Keys of the service's clients."""

import logging

import pytest

from difficulty.errors import FieldError
from difficulty.serving import api_keys
from difficulty.serving.api_keys import ApiKeys, add_key, make_key, read_secret


def test_changed_file_is_taken_up_and_a_wrong_one_is_not(tmp_path, monkeypatch, caplog):
    """Keys come and go without a restart; a mistake locks nobody out."""
    monkeypatch.setattr(api_keys, "_LOOK_S", 0.0)
    path = tmp_path / "keys.txt"
    (first, kept), (second, other) = make_key("a"), make_key("b")
    add_key(path, kept)
    keys = ApiKeys(path)
    assert keys.find(first).name == "a"
    assert keys.find(second) is None
    path.write_text(f"# team b alone\n\n{other.name} {other.digest.upper()}\n")
    assert (keys.find(first), keys.find(second).name) == (None, "b")
    with caplog.at_level(logging.WARNING):
        for content in ("b secret\n", ""):
            path.write_text(content)
            assert keys.find(second).name == "b"
        path.unlink()
        assert keys.find(second).name == "b"
    assert len(caplog.records) == 3
    assert "secret" not in caplog.text


def test_keys_of_the_environment(tmp_path):
    keys = ApiKeys(stated="a=0123456789abcdef, b=fedcba9876543210")
    assert (len(keys), keys.find("fedcba9876543210").name) == (2, "b")
    with pytest.raises(FieldError, match="at least 16 characters") as failed:
        ApiKeys(stated="a=short")
    assert "short" not in str(failed.value)
    (tmp_path / "none.txt").write_text("# none\n")
    with pytest.raises(FieldError, match="nobody could call"):
        ApiKeys(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({b"authorization": b"Bearer k"}, "k"),
        ({b"authorization": b"bearer  k "}, "k"),
        ({b"authorization": b"Basic k"}, None),
        ({b"authorization": b"Basic k", b"x-api-key": b"j"}, "j"),
        ({b"authorization": b"Bearer "}, None),
        ({}, None),
    ],
)
def test_secret_is_read_from_either_header(headers, secret):
    assert read_secret(headers) == secret
