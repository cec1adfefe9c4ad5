import json
from hashlib import sha256

import pytest

from difficulty.bundle import Manifest
from difficulty.bundle.policy import UNSEALED, is_sealed, seal
from difficulty.errors import FieldError
from tests.data.make_bundle import manifest_of

ENTRY = {"sha256": "ab" * 32, "bytes": 3}


def test_manifest_survives_json():
    manifest = Manifest.parse(manifest_of(files={"card.md": ENTRY}))
    assert Manifest.parse(json.loads(json.dumps(manifest.as_dict()))) == manifest
    assert manifest.outputs == tuple(manifest_of()["outputs"])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"authour": "me"}, ("authour",)),
        ({"files": {"card.md": {**ENTRY, "mode": 1}}}, ("files", "card.md", "mode")),
        ({"files": {"card.md": {**ENTRY, "sha256": "AB" * 32}}}, ("files", "card.md", "sha256")),
        ({"files": {"card.md": {**ENTRY, "bytes": -1}}}, ("files", "card.md", "bytes")),
        ({"files": {"card.md": {"bytes": 3}}}, ("files", "card.md", "sha256")),
        ({"target": "difficulty"}, ("target",)),
        ({"max_tokens": 0}, ("max_tokens",)),
        ({"max_chars": 1}, ("max_chars",)),
        ({"score_tolerance": 0}, ("score_tolerance",)),
        ({"name": ""}, ("name",)),
        ({"created": "yesterday"}, ("created",)),
        ({"text_view": "latest"}, ("text_view",)),
        ({"sha256": "00"}, ("sha256",)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_manifest_refuses(change, where):
    with pytest.raises(FieldError) as caught:
        Manifest.parse({**manifest_of(files={}), **change})
    assert caught.value.where == where


def test_seal_is_the_hash_of_the_unsealed_bytes():
    content = f'{{"sha256": "{UNSEALED}"}}'.encode()
    digest = sha256(content).hexdigest()
    assert seal(content) == f'{{"sha256": "{digest}"}}'.encode()
    assert is_sealed(seal(content), digest)


def test_seal_takes_the_last_field_of_zeros():
    """Another hash may be made of zeros, as the data hash of a made-up bundle."""
    sealed = seal(f'{{"training_data": "{UNSEALED}", "sha256": "{UNSEALED}"}}'.encode())
    assert sealed.startswith(f'{{"training_data": "{UNSEALED}"'.encode())
    assert is_sealed(sealed, sealed.decode().split('"')[-2])


def test_seal_breaks_with_every_byte():
    sealed = seal(f'{{"name": "a", "sha256": "{UNSEALED}"}}'.encode())
    digest = sealed.decode().split('"')[-2]
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        assert not is_sealed(changed, digest)
        assert not is_sealed(changed, changed.decode(errors="replace").split('"')[-2])
