"""Signing on the command line, and being told who signed."""

import json
import shutil

import pytest

pytest.importorskip("model_signing")
from tests import keys

PASSWORD = "DIFFICULTY_SIGNING_PASSWORD"


@pytest.fixture
def bundle(journey, tmp_path):
    return shutil.copytree(journey.bundle, tmp_path / "small-1")


def test_sign_and_verify_say_who_signed(run, bundle, tmp_path):
    pair = keys.write_pair(tmp_path, "release")
    said = run("sign", bundle, "--key", pair.private, code=0).out
    signer = json.loads(run("verify", bundle, "--public-key", pair.public, "--json", code=0).out)
    assert signer["signature_checked"] is True
    assert said.strip().endswith(f"with key sha256 {signer['signer']['fingerprint']}")
    assert (
        f"signed by key sha256 {signer['signer']['fingerprint']}"
        in run("verify", bundle, "--public-key", pair.public, code=0).out
    )
    assert "says it is signed by key sha256" in run("verify", bundle, code=0).out


def test_verify_refuses_by_trust_file_and_variable(run, bundle, tmp_path, monkeypatch):
    pair, other = keys.write_pair(tmp_path, "release"), keys.write_pair(tmp_path, "other")
    (tmp_path / "trust.toml").write_text(f'public_keys = ["{other.public.name}"]\n')
    assert (
        "has no file signature" in run("verify", bundle, "--trust", "trust.toml", code=2).complaint
    )
    assert "not signed" in run("verify", bundle, code=0).out
    run("sign", bundle, "--key", pair.private, code=0)
    monkeypatch.setenv("DIFFICULTY_TRUST", str(tmp_path / "trust.toml"))
    assert "none of the trusted keys" in run("verify", bundle, code=2).complaint
    run("verify", bundle, "--public-key", pair.public, code=0)


def test_certificate_signs_and_verifies(run, bundle, tmp_path):
    chain = keys.write_chain(tmp_path, "release")
    run(
        "sign",
        bundle,
        "--key",
        chain.key,
        "--certificate",
        chain.certificate,
        "--chain",
        chain.intermediate,
        code=0,
    )
    assert (
        "signed by certificate CN=release"
        in run("verify", bundle, "--certificate", chain.root, "--subject", "CN=release", code=0).out
    )
    assert (
        "not trusted"
        in run(
            "verify", bundle, "--certificate", chain.root, "--subject", "CN=else", code=2
        ).complaint
    )
    assert "--certificate" in run("verify", bundle, "--subject", "CN=release", code=2).complaint
    assert (
        "Pass --certificate"
        in run("sign", bundle, "--key", chain.key, "--chain", chain.root, code=2).complaint
    )


def test_password_comes_from_the_environment(run, bundle, tmp_path, monkeypatch):
    pair = keys.write_pair(tmp_path, "locked", password="open sesame")
    monkeypatch.delenv(PASSWORD, raising=False)
    assert f"Set {PASSWORD}" in run("sign", bundle, "--key", pair.private, code=2).complaint
    monkeypatch.setenv(PASSWORD, "wrong")
    assert "Check the password" in run("sign", bundle, "--key", pair.private, code=2).complaint
    monkeypatch.setenv(PASSWORD, "open sesame")
    said = run("sign", bundle, "--key", pair.private, code=0)
    assert "sesame" not in said.out + said.err
    run("verify", bundle, "--public-key", pair.public, code=0)


def test_ship_signs_what_it_writes(run, journey, tmp_path):
    pair = keys.write_pair(tmp_path, "release")
    run("ship", journey.run, "-o", "signed-1", "--sign-key", pair.private, code=0)
    run("verify", "signed-1", "--public-key", pair.public, code=0)
    statement = (tmp_path / "signed-1" / "signature").read_text()
    assert "PRIVATE" not in statement


def test_new_threshold_is_signed_too(run, bundle, journey, tmp_path):
    """The key is tried first; without one the new bundle has no signature, whatever the old one
    had.
    """
    pair = keys.write_pair(tmp_path, "release")
    run("sign", bundle, "--key", pair.private, code=0)
    words = ["thresholds", bundle, journey.traffic, "--objective", "share=0.2"]
    (tmp_path / "key.pem").write_text("no key")
    assert (
        "must be a PEM file of a private key"
        in run(*words, "-o", "small-2", "--sign-key", "key.pem", code=2).complaint
    )
    assert not (tmp_path / "small-2").exists()
    run(*words, "-o", "small-2", "--sign-key", pair.private, code=0)
    run("verify", "small-2", "--public-key", pair.public, code=0)
    run(*words, "-o", "small-3", code=0)
    assert (
        "has no file signature"
        in run("verify", "small-3", "--public-key", pair.public, code=2).complaint
    )


def test_ship_tries_the_key_first(run, journey, tmp_path):
    (tmp_path / "key.pem").write_text("no key")
    assert (
        "must be a PEM file of a private key"
        in run("ship", journey.run, "-o", "signed-1", "--sign-key", "key.pem", code=2).complaint
    )
    assert not (tmp_path / "signed-1").exists()
