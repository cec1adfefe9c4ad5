import pytest

from difficulty.bundle import Trust, load_trust
from difficulty.errors import FieldError, InvalidValueError


def test_trust_file_counts_paths_from_its_own_folder(tmp_path):
    (tmp_path / "trust.toml").write_text(
        'public_keys = ["keys/a.pem", "/etc/b.pem"]\ncertificates = ["ca.pem"]\nsubjects ='
        ' ["CN=release"]\n'
    )
    trust = load_trust(tmp_path / "trust.toml")
    assert [str(path) for path in trust.public_keys] == [
        str(tmp_path / "keys" / "a.pem"),
        "/etc/b.pem",
    ]
    assert (trust.certificates, trust.subjects) == ((tmp_path / "ca.pem",), ("CN=release",))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "trust.toml must name at least one of public_keys and certificates"),
        ('public_keys = ["a.pem"]\nsubjects = ["CN=a"]', "must hold certificates beside subjects"),
        (
            'public_key = "a.pem"',
            "trust.toml: public_key is not a field that this version knows: got 'a.pem'",
        ),
        ("public_keys = [", "trust file must be a readable TOML file"),
        (None, "trust file must exist: got .*Check the path"),
    ],
)
def test_trust_file_that_trusts_nobody_is_refused(tmp_path, content, complaint):
    """An empty file must not come to mean that anything goes."""
    if content is not None:
        (tmp_path / "trust.toml").write_text(content)
    with pytest.raises((FieldError, InvalidValueError), match=complaint):
        load_trust(tmp_path / "trust.toml")


def test_trust_has_no_form_that_trusts_nobody():
    with pytest.raises(FieldError, match="at least one of public_keys and certificates"):
        Trust()
