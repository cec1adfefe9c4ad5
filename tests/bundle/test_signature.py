"""Real signatures by model-signing, on a copy of the saved bundle."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from difficulty.bundle import Trust, read_bundle
from difficulty.bundle.policy import UNSEALED, seal
from difficulty.bundle.signature import (
    SigningKey,
    claimed_signer,
    opened,
    sign_bundle,
    verify_signature,
)
from difficulty.errors import BundleError, MissingExtraError, SignatureError, SigningKeyError
from difficulty.runtime import Router
from tests.bundle.conftest import SAVED
from tests.journey import forget

pytest.importorskip("model_signing")
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests import keys

FILES = sorted(path.name for path in SAVED.iterdir())


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The key pair of who ships."""
    return keys.write_pair(tmp_path_factory.mktemp("release"), "release")


@pytest.fixture(scope="module")
def signed_once(tmp_path_factory, release):
    folder = shutil.copytree(SAVED, tmp_path_factory.mktemp("signed") / "words-1")
    sign_bundle(folder, SigningKey(private_key=release.private))
    return folder


@pytest.fixture
def signed(tmp_path, signed_once):
    """A signed bundle to tamper with."""
    return shutil.copytree(signed_once, tmp_path / "words-1")


@pytest.fixture(scope="module")
def trust(release):
    return Trust(public_keys=(release.public,))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    return keys.write_chain(tmp_path_factory.mktemp("chain"), "release of Example")


def flip(path, place=-2):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def seal_again(folder):
    """Make the manifest fit what the folder holds, as someone who means to deceive would."""
    names = {path.name for path in folder.iterdir()} - {"manifest.json", "signature"}
    contents = {name: (folder / name).read_bytes() for name in sorted(names)}
    files = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    form = json.loads((folder / "manifest.json").read_text()) | {"files": files, "sha256": UNSEALED}
    (folder / "manifest.json").write_bytes(seal(json.dumps(form).encode()))


def test_signer_is_named_by_the_hash_of_the_public_key_file(signed, trust, release):
    """What ``sha256sum release.pub.pem`` prints."""
    expected = hashlib.sha256(release.public.read_bytes()).hexdigest()
    bundle = read_bundle(signed)
    assert verify_signature(bundle, trust) == claimed_signer(bundle) == (expected, None)
    assert str(claimed_signer(bundle)) == f"key sha256 {expected}"


def test_signing_adds_one_file_and_changes_none(signed):
    assert {path.name for path in signed.iterdir()} == {*FILES, "signature"}
    assert all((signed / name).read_bytes() == (SAVED / name).read_bytes() for name in FILES)
    assert [path.name for path in signed.parent.iterdir()] == ["words-1"]


def test_signed_bundle_may_be_renamed_and_loads_as_any_other(signed, trust):
    moved = signed.rename(signed.with_name("moved-2"))
    assert Router.load(moved, trust=trust).version == Router.load(SAVED).version


def test_openssf_command_verifies_what_was_signed(signed, release):
    """Other people's tools read the same file."""
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "verify",
        "key",
        signed,
        "--signature",
        signed / "signature",
    ]
    done = subprocess.run(
        [*command, "--public_key", release.public], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", FILES)
def test_file_changed_by_one_byte_is_refused_and_named(signed, trust, name):
    flip(signed / name)
    with pytest.raises(BundleError, match=name):
        Router.load(signed, trust=trust)


@pytest.mark.parametrize(
    "name", [name for name in FILES if name not in ("manifest.json", "policy.json")]
)
def test_file_changed_and_sealed_again_is_refused_and_named(signed, trust, name):
    """Without the signature this folder would be a sound bundle."""
    flip(signed / name)
    seal_again(signed)
    read_bundle(signed)
    with pytest.raises(
        SignatureError, match=rf"bundle file {name} is not what was signed \(nor are 1 others\)"
    ):
        Router.load(signed, trust=trust)


def test_every_byte_of_the_signature_counts(signed, trust):
    """Changed at two hundred places: never accepted, always named."""
    bundle = read_bundle(signed)
    for place in range(0, len(bundle.signature), len(bundle.signature) // 200):
        changed = (
            bundle.signature[:place]
            + bytes([bundle.signature[place] ^ 1])
            + bundle.signature[place + 1 :]
        )
        with pytest.raises(SignatureError, match="bundle file signature"):
            verify_signature(replace(bundle, signature=changed), trust)


@pytest.mark.parametrize("sealed", [False, True])
def test_added_file_is_refused_and_named(signed, trust, sealed):
    (signed / "extra.bin").write_bytes(b"x")
    if sealed:
        seal_again(signed)
    with pytest.raises(
        BundleError, match=r"bundle file extra.bin (is not in the manifest|was not signed)"
    ):
        Router.load(signed, trust=trust)


@pytest.mark.parametrize("name", [*FILES, "signature"])
def test_removed_file_is_refused_and_named(signed, trust, name):
    (signed / name).unlink()
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Router.load(signed, trust=trust)


def test_signature_of_another_bundle_is_refused(signed, trust, release, tmp_path):
    """By the same key, over a bundle with another card."""
    other = shutil.copytree(SAVED, tmp_path / "other-1")
    (other / "card.md").write_bytes(b"another card")
    seal_again(other)
    sign_bundle(other, SigningKey(private_key=release.private))
    shutil.copy(other / "signature", signed / "signature")
    with pytest.raises(
        SignatureError,
        match=r"bundle file card.md is not what was signed .*: the signature is that of other-1",
    ):
        Router.load(signed, trust=trust)


def test_bundle_that_is_swapped_while_it_is_checked_is_refused(signed, trust):
    """What counts is what was read into memory, not what lies in the folder afterwards."""
    bundle = read_bundle(signed)
    swapped = replace(bundle, manifest_bytes=bundle.manifest_bytes + b" ")
    with pytest.raises(SignatureError, match=r"bundle file manifest.json is not what was signed"):
        verify_signature(swapped, trust)


def test_key_that_is_not_trusted_is_refused_and_named(signed, tmp_path, release):
    stranger = Trust(public_keys=(keys.write_pair(tmp_path, "stranger").public,))
    with pytest.raises(
        SignatureError,
        match=r"signature is by key sha256 [0-9a-f]{64}, which is none of the trusted keys",
    ):
        Router.load(signed, trust=stranger)
    both = Trust(public_keys=(*stranger.public_keys, release.public))
    assert Router.load(signed, trust=both)


def test_forged_key_name_is_refused(signed, trust, tmp_path, release):
    """A stranger signs and then writes the trusted key's name into the signature."""
    sign_bundle(
        signed, SigningKey(private_key=keys.write_pair(tmp_path, "stranger").private), replace=True
    )
    form = json.loads((signed / "signature").read_text())
    form["verificationMaterial"]["publicKey"]["hint"] = hashlib.sha256(
        release.public.read_bytes()
    ).hexdigest()
    (signed / "signature").write_text(json.dumps(form))
    with pytest.raises(
        SignatureError,
        match=r"bundle file signature is not by key sha256 .*: it does not fit the key",
    ):
        Router.load(signed, trust=trust)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"verificationMaterial": {}, "dsseEnvelope": {"payload": "e30="}}',
    ],
)
def test_signature_that_is_none_is_refused(signed, trust, content):
    (signed / "signature").write_bytes(content)
    with pytest.raises(SignatureError, match="bundle file signature is no signature of a model"):
        Router.load(signed, trust=trust)


def test_signature_that_is_a_link_is_refused(signed, trust):
    (signed / "signature").rename(signed.parent / "elsewhere")
    (signed / "signature").symlink_to(signed.parent / "elsewhere")
    with pytest.raises(BundleError, match="bundle file signature must be a plain file"):
        Router.load(signed, trust=trust)


def test_unsigned_bundle_is_refused_where_a_signature_is_required(trust):
    with pytest.raises(
        SignatureError, match="bundle bundle-format-1 has no file signature, and one is required"
    ):
        Router.load(SAVED, trust=trust)


def test_bundle_is_signed_twice_only_on_request(signed, tmp_path):
    pair = keys.write_pair(tmp_path, "next")
    with pytest.raises(SignatureError, match="is signed already. Pass --replace"):
        sign_bundle(signed, SigningKey(private_key=pair.private))
    sign_bundle(signed, SigningKey(private_key=pair.private), replace=True)
    assert Router.load(signed, trust=Trust(public_keys=(pair.public,)))


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_larger_curves_sign_too(bundle, tmp_path, curve):
    pair = keys.write_pair(tmp_path, "large", key=keys.new_key(curve))
    sign_bundle(bundle, SigningKey(private_key=pair.private))
    assert Router.load(bundle, trust=Trust(public_keys=(pair.public,)))


def test_encrypted_key_is_asked_for_once_and_leaves_no_trace(bundle, tmp_path, monkeypatch):
    """The decrypted key passes through a pipe; neither it nor the password is in a file or in what
    is printed of the object.
    """
    asked = []
    pair = keys.write_pair(tmp_path, "locked", password="open sesame")
    key = opened(
        SigningKey(private_key=pair.private, ask_password=lambda: asked.append(1) or "open sesame")
    )
    written = []
    monkeypatch.setattr(Path, "write_bytes", lambda path, content: written.append(content))
    sign_bundle(bundle, key)
    monkeypatch.undo()
    assert (asked, written) == ([1], [])
    assert "sesame" not in repr(key)
    assert Router.load(bundle, trust=Trust(public_keys=(pair.public,)))
    assert not any(
        b"PRIVATE" in path.read_bytes() or b"sesame" in path.read_bytes()
        for path in bundle.iterdir()
    )


@pytest.mark.parametrize("password", ["wrong", "", None])
def test_encrypted_key_needs_its_password(bundle, tmp_path, password):
    pair = keys.write_pair(tmp_path, "locked", password="right")
    ask = None if password is None else lambda: password
    with pytest.raises(
        SigningKeyError,
        match=r"private key .* must open with its password: it does not. Check the password",
    ):
        sign_bundle(bundle, SigningKey(private_key=pair.private, ask_password=ask))
    assert not (bundle / "signature").exists()


def test_private_key_that_cannot_sign_is_refused(bundle, tmp_path):
    pair = keys.write_pair(tmp_path, "good")
    (tmp_path / "text.pem").write_text("no key")
    cases = {
        tmp_path / "none.pem": r"cannot be read: No such file",
        tmp_path / "text.pem": (
            r"must be a PEM file of a private key: it is none. Make one with: openssl ecparam"
        ),
        pair.public: r"must be a PEM file of a private key: it is none",
        keys.write_private(
            tmp_path / "rsa.pem", rsa.generate_private_key(65537, 2048)
        ): r"must be an elliptic-curve key .*: got RSA",
        keys.write_private(
            tmp_path / "k1.pem", keys.new_key(ec.SECP256K1())
        ): r"must be an elliptic-curve key .*: got secp256k1",
    }
    for path, complaint in cases.items():
        with pytest.raises(
            SigningKeyError, match=f"private key .*{path.name}.* {complaint}"
        ) as caught:
            sign_bundle(bundle, SigningKey(private_key=path))
        assert "BEGIN" not in str(caught.value)
    assert not (bundle / "signature").exists()


def test_public_key_that_cannot_verify_is_refused(signed, tmp_path, release):
    rsa_key = keys.write_public(tmp_path / "rsa.pem", rsa.generate_private_key(65537, 2048))
    cases = {
        tmp_path / "none.pem": "cannot be read",
        release.private: "From a private key: openssl ec",
        rsa_key: "got ",
    }
    for path, complaint in cases.items():
        with pytest.raises(SigningKeyError, match=f"public key .*{path.name}.*{complaint}"):
            Router.load(signed, trust=Trust(public_keys=(path,)))


def test_certificate_signature_names_the_subject(bundle, chain):
    sign_bundle(
        bundle,
        SigningKey(
            private_key=chain.key, certificate=chain.certificate, chain=(chain.intermediate,)
        ),
    )
    signer = verify_signature(
        read_bundle(bundle), Trust(certificates=(chain.root,), subjects=("CN=release of Example",))
    )
    assert signer.subject == "CN=release of Example"
    assert str(signer).startswith("certificate CN=release of Example, sha256 ")


@pytest.mark.parametrize("case", ["other root", "other subject", "keys only", "no file"])
def test_certificate_that_is_not_trusted_is_refused(bundle, chain, tmp_path, release, case):
    sign_bundle(
        bundle,
        SigningKey(
            private_key=chain.key, certificate=chain.certificate, chain=(chain.intermediate,)
        ),
    )
    trust, complaint = {
        "other root": (
            Trust(certificates=(keys.write_chain(tmp_path, "a").root,)),
            "is not by certificate CN=release of Example",
        ),
        "other subject": (
            Trust(certificates=(chain.root,), subjects=("CN=release",)),
            "is by certificate .*, which is not trusted",
        ),
        "keys only": (
            Trust(public_keys=(release.public,)),
            "is by certificate .*, which is not trusted",
        ),
        "no file": (
            Trust(certificates=(tmp_path / "none.crt",)),
            "certificates must be readable PEM files",
        ),
    }[case]
    with pytest.raises((SignatureError, SigningKeyError), match=complaint):
        Router.load(bundle, trust=trust)


def test_encrypted_key_signs_with_a_certificate(bundle, tmp_path):
    chain = keys.write_chain(tmp_path, "locked", password="right")
    key = SigningKey(
        private_key=chain.key,
        ask_password=lambda: "right",
        certificate=chain.certificate,
        chain=(chain.intermediate,),
    )
    assert sign_bundle(bundle, key).subject == "CN=locked"
    assert Router.load(bundle, trust=Trust(certificates=(chain.root,)))


def test_certificate_of_another_key_is_refused(bundle, chain, release):
    with pytest.raises(SigningKeyError, match=r"signing cannot use certificate .*leaf.crt'"):
        sign_bundle(bundle, SigningKey(private_key=release.private, certificate=chain.certificate))
    assert not (bundle / "signature").exists()


def test_damaged_bundle_is_not_signed(bundle, release):
    flip(bundle / "card.md")
    with pytest.raises(BundleError, match="card.md was changed"):
        sign_bundle(bundle, SigningKey(private_key=release.private))


def test_signature_appears_in_one_step(bundle, release, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        sign_bundle(bundle, SigningKey(private_key=release.private))
    assert read_bundle(bundle).signature is None
    assert [path.name for path in bundle.parent.iterdir() if path.name.startswith(".")] == []


def test_missing_package_names_the_extra(signed, trust, monkeypatch):
    forget(monkeypatch, "model_signing")
    with pytest.raises(
        MissingExtraError,
        match=r"signatures needs the package 'model-signing', .*pip install .*\[sign\]'",
    ):
        Router.load(signed, trust=trust)


def test_router_without_trust_loads_a_signed_bundle_without_the_package(signed, monkeypatch):
    forget(monkeypatch, "model_signing")
    forget(monkeypatch, "cryptography")
    assert Router.load(signed).version == "bundle-format-1"
