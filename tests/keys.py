"""Keys and certificates made for a test."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID


def new_key(curve=None):
    return ec.generate_private_key(curve or ec.SECP256R1())


def write_private(path, key, password=None):
    """Write a private key as PEM, encrypted where there is a password."""
    how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    return path


def write_public(path, key):
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


class Pair(NamedTuple):
    """Two PEM files."""

    private: object
    public: object


def write_pair(folder, name, *, key=None, password=None):
    """Write a new key pair and return its files."""
    key = key or new_key()
    return Pair(
        write_private(folder / f"{name}.pem", key, password),
        write_public(folder / f"{name}.pub.pem", key),
    )


class Chain(NamedTuple):
    """PEM files of a signing certificate, its key, and what it leads to."""

    key: object
    certificate: object
    intermediate: object
    root: object


def write_chain(folder, subject, *, password=None):
    """Write a root, an intermediate and a signing certificate with its key."""
    keys = {name: new_key() for name in ("root", "intermediate", "leaf")}
    names = {"root": "Test root", "intermediate": "Test intermediate", "leaf": subject}
    issuers = {"root": "root", "intermediate": "root", "leaf": "intermediate"}
    for name, issuer in issuers.items():
        certificate = _certificate(
            names[name], keys[name], names[issuer], keys[issuer], is_authority=name != "leaf"
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    return Chain(
        write_private(folder / "leaf.key", keys["leaf"], password),
        *(folder / f"{name}.crt" for name in ("leaf", "intermediate", "root")),
    )


def _certificate(subject, key, issuer, issuer_key, *, is_authority):
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _usage(is_authority):
    no = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(
        digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **no
    )


def _name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
