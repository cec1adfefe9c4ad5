"""Push and pull against a server on loopback that speaks the Hub's API."""

import base64
import hashlib
import json
import threading

import pytest
from starlette.responses import JSONResponse, Response

from difficulty.bundle import read_bundle
from difficulty.errors import BundleError, InvalidValueError, OutputExistsError, RegistryError
from difficulty.serving.asgi_server import Service
from tests.bundle.conftest import SAVED

hub = pytest.importorskip("difficulty.integrations.hub")


class FakeHub:
    """Repositories in memory: create, preupload, commit, list, download."""

    def __init__(self):
        self.files, self.private, self.commits, self.address = {}, {}, {}, ""

    def count_refusal(self, status):
        """Count nothing."""

    async def __call__(self, scope, receive, send):
        """Answer one call."""
        if scope["type"] != "http":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        self.address = f"http://{dict(scope['headers'])[b'host'].decode()}"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await self.answer(scope["method"], scope["path"], body)(scope, receive, send)

    def answer(self, method, path, body):
        """Return the response to a call."""
        words = path.strip("/").split("/")
        if path == "/api/validate-yaml":
            return JSONResponse({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            form = json.loads(body)
            name = f"{form.get('organization') or 'acme'}/{form['name'].split('/')[-1]}"
            told = {"url": f"{self.address}/{name}"}
            if name in self.files:
                return JSONResponse(told, status_code=409)
            self.files[name] = {}
            self.private[name] = form.get("visibility") == "private" or form.get("private") is True
            return JSONResponse(told)
        if words[0] == "api" and words[1] in ("models", "datasets"):
            return self.answer_api(words[2] + "/" + words[3], words[4:], body)
        if "resolve" in words:
            at = words.index("resolve")
            name, file = "/".join(words[at - 2 : at]), "/".join(words[at + 2 :])
            content = self.files.get(name, {}).get(file)
            if content is None:
                return Response(status_code=404, headers={"X-Error-Code": "EntryNotFound"})
            headers = {
                "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
                "X-Repo-Commit": self.commits[name],
                "Content-Length": str(len(content)),
            }
            return Response(b"" if method == "HEAD" else content, headers=headers)
        return JSONResponse({"error": "not found"}, status_code=404)

    def answer_api(self, name, words, body):
        """Return the response to a call about one repository."""
        if name not in self.files:
            headers = {"X-Error-Code": "RepoNotFound"}
            return JSONResponse({"error": "none"}, status_code=404, headers=headers)
        files = self.files[name]
        if words[:1] == ["preupload"]:
            asked = json.loads(body)["files"]
            told = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in asked
            ]
            return JSONResponse({"files": told})
        if words[:1] == ["commit"]:
            for line in body.splitlines():
                form = json.loads(line)
                if form["key"] == "file":
                    value = form["value"]
                    files[value["path"]] = base64.b64decode(value["content"])
                elif form["key"] == "deletedFile":
                    del files[form["value"]["path"]]
            self.commits[name] = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
            url = f"{self.address}/{name}/commit/{self.commits[name]}"
            return JSONResponse({"commitUrl": url, "commitOid": self.commits[name]})
        info = {
            "id": name,
            "sha": self.commits.get(name, "0" * 40),
            "private": bool(self.private[name]),
            "siblings": [{"rfilename": file, "size": len(files[file])} for file in files],
            "tags": [],
        }
        if words[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": file, "size": len(content), "oid": "0" * 40}
                for file, content in files.items()
            ]
            return JSONResponse(entries)
        return JSONResponse(info)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The hub, and its address."""
    fake = FakeHub()
    service = Service(fake, port=0, stop_s=0.2)
    thread = threading.Thread(target=service.run_until_stopped)
    thread.start()
    yield fake, f"http://127.0.0.1:{service.port}"
    service.stop()
    thread.join()


def test_bundle_comes_back_as_it_was_pushed(served, tmp_path):
    """With its card as the page; a private repository, and the same folder byte for byte."""
    fake, endpoint = served
    pushed = hub.push(SAVED, "acme/words", endpoint=endpoint, token="hf_x")
    assert (fake.private["acme/words"], pushed.commit) == (True, fake.commits["acme/words"])
    page = fake.files["acme/words"]["README.md"].decode()
    assert page.startswith("---\nlibrary_name: difficulty\n")
    assert read_bundle(SAVED).files["card.md"].decode().rstrip() in page
    pulled = hub.pull_bundle("acme/words", tmp_path / "words-1", endpoint=endpoint, token="hf_x")
    assert pulled.digest == read_bundle(tmp_path / "words-1").digest == read_bundle(SAVED).digest
    with pytest.raises(OutputExistsError):
        hub.pull_bundle("acme/words", tmp_path / "words-1", endpoint=endpoint)


def test_next_push_leaves_nothing_of_the_one_before(served, tmp_path):
    fake, endpoint = served
    hub.push(SAVED, "acme/again", endpoint=endpoint, token="hf_x")
    fake.files["acme/again"] |= {"early.onnx": b"old", ".gitattributes": b""}
    hub.push(SAVED, "acme/again", endpoint=endpoint, token="hf_x")
    assert "early.onnx" not in fake.files["acme/again"]
    hub.pull_bundle("acme/again", tmp_path / "again-1", endpoint=endpoint)


def test_changed_bundle_is_not_taken(served, tmp_path):
    """Nothing appears where it would have been."""
    fake, endpoint = served
    hub.push(SAVED, "acme/bad", endpoint=endpoint, token="hf_x")
    fake.files["acme/bad"]["policy.json"] += b" "
    with pytest.raises(BundleError, match=r"policy\.json was changed"):
        hub.pull_bundle("acme/bad", tmp_path / "bad-1", endpoint=endpoint)
    assert list(tmp_path.iterdir()) == []


def test_traffic_comes_back(served, journey, tmp_path):
    fake, endpoint = served
    hub.push(journey.traffic, "acme/march", endpoint=endpoint, token="hf_x")
    assert "texts of requests" in fake.files["acme/march"]["README.md"].decode()
    path = hub.pull_traffic("acme/march", tmp_path / "march.parquet", endpoint=endpoint)
    assert path.read_bytes() == journey.traffic.read_bytes()


def test_what_cannot_be_is_said(served, tmp_path):
    """No such repository, neither bundle nor traffic, a data set without traffic."""
    fake, endpoint = served
    with pytest.raises(RegistryError, match="the Hub did not do it for 'acme/none'"):
        hub.pull_bundle("acme/none", tmp_path / "none-1", endpoint=endpoint)
    (tmp_path / "notes.txt").write_text("no traffic")
    with pytest.raises(InvalidValueError, match="be a bundle folder, or a traffic file"):
        hub.push(tmp_path / "notes.txt", "acme/notes", endpoint=endpoint)
    fake.files["acme/empty"], fake.private["acme/empty"] = {"README.md": b""}, True
    fake.commits["acme/empty"] = "1" * 40
    with pytest.raises(RegistryError, match=r"has no traffic\.parquet"):
        hub.pull_traffic("acme/empty", tmp_path / "empty.parquet", endpoint=endpoint)
