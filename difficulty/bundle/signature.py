"""Signatures of bundles: OpenSSF model signing with an elliptic-curve key pair or certificates,
with no network.

The file ``signature`` lies in the bundle's folder and covers every other file, the manifest too. It
is a Sigstore bundle over an in-toto statement with the sha256 of each file, as the
``model_signing`` command makes and reads them. What is verified are the bytes that were read into
memory, not the files a second time: between two readings a folder can change.

The one module that names model_signing and cryptography; both come with the extra ``sign`` and are
imported when they are needed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.bundle.store import SIGNATURE, Bundle, Trust, read_bundle
from difficulty.errors import MissingExtraError, SignatureError, SigningKeyError
from difficulty.storage import move_into_place, scratch_beside

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_NEW_KEY = "Make one with: openssl ecparam -name prime256v1 -genkey -noout -out private.pem"


class Signer(NamedTuple):
    """Who signed."""

    fingerprint: str
    """sha256, in hexadecimal digits: of the public key as PEM, or the certificate as DER."""
    subject: str | None = None
    """Subject of the signing certificate, as ``CN=release,O=Example``; ``None`` for a bare key."""

    def __str__(self) -> str:
        who = f"certificate {self.subject}," if self.subject is not None else "key"
        return f"{who} sha256 {self.fingerprint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """Files to sign with; their content is read when signing and kept nowhere."""

    private_key: Path
    """PEM file of an elliptic-curve private key (P-256, P-384 or P-521)."""
    ask_password: Callable[[], str] | None = field(default=None, repr=False)
    """Called when the key is encrypted."""
    certificate: Path | None = None
    """PEM file of the signing certificate, for a signature by certificate."""
    chain: tuple[Path, ...] = ()
    """PEM files of the certificates between the signing certificate and its root."""


def sign_bundle(path: Path, key: SigningKey, *, replace: bool = False) -> Signer:
    """Check a bundle and sign it; the signature appears in one step.

    Raises
    ------
    BundleError
        If the bundle is damaged.
    SignatureError
        If it has a signature, unless ``replace`` is set.
    SigningKeyError
        If a key or certificate cannot be used.
    MissingExtraError
        If model-signing is not installed.
    """
    if read_bundle(path).signature is not None and not replace:
        raise SignatureError(
            f"bundle {str(path)!r} is signed already. Pass --replace to put another signature in"
            " its place."
        )
    return sign_folder(path, key)


def opened(key: SigningKey) -> SigningKey:
    """Return a key that was tried before long work, and asks for no password again."""
    password = ""
    if key.ask_password and _is_encrypted(_read_key(key.private_key)):
        password = key.ask_password()
    tried = replaced(key, ask_password=lambda: password)
    with _unlock(tried):
        return tried


def sign_folder(folder: Path, key: SigningKey) -> Signer:
    """Sign a folder that is known to hold a whole bundle."""
    model_signing = _import_model_signing()
    with scratch_beside(folder) as scratch, _unlock(key) as private_key:
        config = model_signing.signing.Config()
        try:
            if key.certificate is None:
                config.use_elliptic_key_signer(private_key=private_key)
            else:
                config.use_certificate_signer(
                    private_key=private_key,
                    signing_certificate=key.certificate,
                    certificate_chain=key.chain,
                )
        except (OSError, ValueError) as error:
            raise SigningKeyError(
                f"signing cannot use certificate {str(key.certificate)!r}: {error}. Check the"
                " files."
            ) from error
        # Left to itself, model_signing passes over .git and its like.
        config.set_hashing_config(
            model_signing.hashing.Config().set_ignored_paths(
                paths=[SIGNATURE], ignore_git_paths=False
            )
        )
        signature = scratch / SIGNATURE
        config.sign(folder, signature)
        signer = _read_statement(signature.read_bytes()).signer
        move_into_place(signature, folder / SIGNATURE, durable=True)
    return signer


def verify_signature(bundle: Bundle, trust: Trust) -> Signer:
    """Return who signed a bundle that was read.

    Raises
    ------
    SignatureError
        If there is no signature, none by a trusted key or certificate, or it is another bundle's;
        the message names the file.
    SigningKeyError
        If a key or certificate of ``trust`` cannot be used.
    MissingExtraError
        If model-signing is not installed.
    """
    if bundle.signature is None:
        raise SignatureError(
            f"bundle {bundle.label} has no file {SIGNATURE}, and one is required. Sign it with"
            " 'difficulty sign'."
        )
    model_signing = _import_model_signing()
    statement = _read_statement(bundle.signature)
    config = _build_verifier(model_signing, statement.signer, trust)
    with tempfile.TemporaryDirectory() as scratch:
        # What was read, not what lies there now.
        (file := Path(scratch) / SIGNATURE).write_bytes(bundle.signature)
        try:
            config.verify(bundle.path, file)
        except Exception as error:  # model_signing, cryptography and OpenSSL each raise their own
            if str(error).startswith("Signature mismatch"):
                _check_files(bundle, statement)  # says it better
            why = str(error) or "it does not fit the key"
            raise SignatureError(
                f"bundle file {SIGNATURE} is not by {statement.signer}: {why}. Sign the bundle"
                " again."
            ) from error
    # model_signing has read the folder; what counts are the bytes in memory.
    _check_files(bundle, statement)
    return statement.signer


def claimed_signer(bundle: Bundle) -> Signer | None:
    """Return who the signature says it is by; nothing is checked. ``None`` without a signature."""
    return None if bundle.signature is None else _read_statement(bundle.signature).signer


class _Statement(NamedTuple):
    """What a signature file says."""

    signer: Signer
    name: str  # name of the folder when it was signed.
    hashes: Mapping[str, str]


def _read_statement(signature: bytes) -> _Statement:
    """Read a signature file without checking it."""
    try:
        envelope = json.loads(signature)
        statement = json.loads(_decode(envelope["dsseEnvelope"]["payload"]))
        resources = statement["predicate"]["resources"]
        if any(item["algorithm"] != "sha256" for item in resources):
            raise ValueError("hashes must be sha256 of whole files")
        hashes = {str(item["name"]): str(item["digest"]) for item in resources}
        signer = _read_signer(envelope["verificationMaterial"])
        return _Statement(signer, str(statement["subject"][0]["name"]), hashes)
    # Whatever may be wrong with bytes that anyone may have written.
    except MissingExtraError:
        raise
    except Exception as error:
        raise SignatureError(
            f"bundle file {SIGNATURE} is no signature of a model ({error!r:.120}). Sign the bundle"
            " again."
        ) from error


def _read_signer(material: dict[str, Any]) -> Signer:
    if "publicKey" in material:
        return Signer(str(material["publicKey"]["hint"]))
    der = _decode(material["x509CertificateChain"]["certificates"][0]["rawBytes"])
    subject = _import_cryptography().x509.load_der_x509_certificate(der).subject.rfc4514_string()
    return Signer(hashlib.sha256(der).hexdigest(), subject)


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _check_files(bundle: Bundle, statement: _Statement) -> None:
    """Refuse files that are not those that were signed, and name one."""
    hashes, signed = bundle.hashes, statement.hashes
    wrong = [name for name in {*hashes, *signed} if hashes.get(name) != signed.get(name)]
    if not wrong:
        return
    # The manifest last: it changes with every other file.
    name = min(wrong, key=lambda name: (name == "manifest.json", name))
    others = f" (nor are {len(wrong) - 1} others)" if len(wrong) > 1 else ""
    problem = "is not what was signed" if name in signed else "was not signed"
    if name not in hashes:
        problem = "is missing"
    raise SignatureError(
        f"bundle file {name} {problem}{others}: the signature is that of {statement.name}. Copy the"
        " folder again, or sign it again."
    )


def _build_verifier(model_signing: Any, signer: Signer, trust: Trust) -> Any:
    """Return what verifies a signature by ``signer``, if ``trust`` has the means."""
    config = model_signing.verifying.Config()
    if signer.subject is None:
        for path in trust.public_keys:
            if _compute_fingerprint(path) == signer.fingerprint:
                return config.use_elliptic_key_verifier(public_key=path)
        raise SignatureError(
            f"bundle file {SIGNATURE} is by {signer}, which is none of the trusted keys. Ask who"
            " shipped the bundle."
        )
    if not trust.certificates or (trust.subjects and signer.subject not in trust.subjects):
        raise SignatureError(
            f"bundle file {SIGNATURE} is by {signer}, which is not trusted. Ask who shipped the"
            " bundle."
        )
    try:
        return config.use_certificate_verifier(certificate_chain=trust.certificates)
    except (OSError, ValueError) as error:
        files = ", ".join(map(str, trust.certificates))
        raise SigningKeyError(
            f"certificates must be readable PEM files: got {files} ({error}). Check the trust"
            " settings."
        ) from error


def _compute_fingerprint(path: Path) -> str:
    """Return the hash that model_signing names a public key by: that of its PEM file."""
    serialization = _import_cryptography().serialization
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SigningKeyError(
            f"public key {str(path)!r} cannot be read: {error.strerror}. Check the path."
        ) from error
    except ValueError as error:
        hint = f"From a private key: openssl ec -in private.pem -pubout -out {path.name}"
        raise SigningKeyError(
            f"public key {str(path)!r} must be a PEM file of a public key: it is none. {hint}"
        ) from error
    _check_curve(key, f"public key {str(path)!r}")
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()


@contextmanager
def _unlock(key: SigningKey) -> Iterator[Path]:
    """Give the path of a key that needs no password; a decrypted one never is on disk."""
    path, serialization = key.private_key, _import_cryptography().serialization
    content = _read_key(path)
    encrypted = _is_encrypted(content)
    password = key.ask_password().encode() if encrypted and key.ask_password else None
    try:
        private = serialization.load_pem_private_key(content, password)
    except (ValueError, TypeError) as error:
        rule = (
            "open with its password: it does not"
            if encrypted
            else "be a PEM file of a private key: it is none"
        )
        raise SigningKeyError(
            f"private key {str(path)!r} must {rule}."
            f" {'Check the password.' if encrypted else _NEW_KEY}"
        ) from error
    _check_curve(private, f"private key {str(path)!r}")
    if not encrypted:
        yield path
        return
    plain = serialization.NoEncryption()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain
    )
    reading, writing = os.pipe()
    try:
        os.write(writing, pem)  # less than any pipe holds
        os.close(writing)
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SigningKeyError(
            f"private key {str(path)!r} cannot be read: {error.strerror}. Check the path."
        ) from error


def _is_encrypted(pem: bytes) -> bool:
    return b"ENCRYPTED" in pem


def _check_curve(key: Any, subject: str) -> None:
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    if curve not in _CURVES:
        raise SigningKeyError(
            f"{subject} must be an elliptic-curve key (P-256, P-384 or P-521): got {curve}."
            f" {_NEW_KEY}"
        )


def _import_model_signing() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise MissingExtraError("signatures", package="model-signing", extra="sign") from error
    return model_signing


class _Cryptography(NamedTuple):
    x509: Any
    serialization: Any


def _import_cryptography() -> _Cryptography:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise MissingExtraError("signatures", package="cryptography", extra="sign") from error
    return _Cryptography(x509, serialization)
