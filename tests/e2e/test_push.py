"""Pushing to a real registry: what is there is not sent, what breaks off goes on, and a wrong password says so."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
import re
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from kernelkit.engine.engine import Engine
from kernelkit.engine.push import push
from kernelkit.errors import AuthenticationFailed, NotFound, RegistryError
from kernelkit.image.catalogue import Image
from kernelkit.image.credentials import Credentials
from kernelkit.image.manifest import MANIFEST
from kernelkit.image.reference import Reference
from kernelkit.image.store import Store
from tests.conftest import Kernelkit
from tests.layout import Files, busybox, tar
from tests.registry import Registry

NOISE = random.Random(11).randbytes(4_000_000)
# As `htpasswd -bnB me right` says it.
PASSWORDS = "me:$2b$04$ZExCs/X7760EIO4UoHJaruoKXf0Nrwty1oZ0A18DGQsfPmUmzxC5q\n"
LOCKED = """
auth: {{htpasswd: {{realm: here, path: "{file}"}}}}
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine without a host: to push an image nothing has to run."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    made = Engine(tmp_path / "home", Store(tmp_path / "home"))
    yield made
    made.close()


def make(engine: Engine, name: str, *layers: Files) -> Image:
    """An image of these layers."""
    kept = [engine.store.add_layer([tar(files)]) for files in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}}
    return engine.store.add_image(config, kept, names=[Reference.parse(name)])


def pushed(
    engine: Engine, name: str, credentials: Credentials | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Push; Docker's messages, and the requests that were made."""
    messages: list[dict[str, Any]] = []
    repository, _, tag = name.rpartition(":")
    with engine.records.listen() as heard:
        push(engine, repository, tag, credentials, messages.append)
        return messages, heard.take()


def said(messages: list[dict[str, Any]]) -> list[str]:
    return [m["status"] for m in messages if "status" in m and m["status"] != "Pushing"]


def bodies(requests: list[dict[str, Any]]) -> int:
    """How many layers or configs were sent."""
    return sum(step["operation"] == "SendBlob" for step in requests)


def test_an_image_is_pushed_and_can_be_pulled(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    image = make(engine, f"{registry.host}/team/app:1", busybox(), {"noise": NOISE})
    messages, requests = pushed(engine, f"{registry.host}/team/app:1")
    short = [diff_id[7:19] for diff_id in image.diff_ids]
    assert said(messages)[0] == f"The push refers to repository [{registry.host}/team/app]"
    assert image.manifest
    assert said(messages)[-1] == f"1: digest: {image.manifest.digest} size: {image.manifest.size}"
    assert messages[-1]["aux"] == {"Tag": "1", "Digest": image.manifest.digest, "Size": image.manifest.size}
    for identity in short:
        told = [m["status"] for m in messages if m.get("id") == identity]
        assert (told[0], told[-1]) == ("Preparing", "Pushed")
    assert bodies(requests) == 3
    copy = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{registry.host}/team/app:1"]
    subprocess.run([*copy, f"oci:{tmp_path}/copy"], check=True, capture_output=True)
    assert engine.store.find(image.id).digests == (f"{registry.host}/team/app@{image.manifest.digest}",)


def test_what_is_there_is_not_sent_again(engine: Engine, registry: Registry) -> None:
    make(engine, f"{registry.host}/again:1", busybox(), {"n": NOISE[:100_000]})
    pushed(engine, f"{registry.host}/again:1")
    messages, requests = pushed(engine, f"{registry.host}/again:1")
    assert said(messages).count("Layer already exists") == 2
    assert bodies(requests) == 0
    make(engine, f"{registry.host}/again:2", busybox(), {"n": NOISE[:100_000]}, {"more": b"more"})
    messages, requests = pushed(engine, f"{registry.host}/again:2")
    assert said(messages).count("Layer already exists") == 2
    assert said(messages).count("Pushed") == 1
    assert bodies(requests) == 2


def test_a_layer_is_taken_over_from_another_repository(engine: Engine, registry: Registry) -> None:
    make(engine, f"{registry.host}/source/base:1", {"base": NOISE[:200_000]})
    pushed(engine, f"{registry.host}/source/base:1")
    make(engine, f"{registry.host}/derived/app:1", {"base": NOISE[:200_000]}, {"own": b"own"})
    messages, requests = pushed(engine, f"{registry.host}/derived/app:1")
    assert said(messages).count("Mounted from source/base") == 1
    assert bodies(requests) == 2


def test_all_tags_are_pushed_when_none_is_named(engine: Engine, registry: Registry) -> None:
    for tag in ("1", "2"):
        make(engine, f"{registry.host}/all-tags:{tag}", {"v": tag.encode()})
    messages: list[dict[str, Any]] = []
    push(engine, f"{registry.host}/all-tags", "", None, messages.append)
    with urllib.request.urlopen(f"http://{registry.host}/v2/all-tags/tags/list") as answer:
        assert sorted(json.load(answer)["tags"]) == ["1", "2"]


def test_what_is_not_here_cannot_be_pushed(engine: Engine) -> None:
    with pytest.raises(NotFound, match="An image does not exist locally with the tag: nope"):
        push(engine, "nope", "", None, lambda _: None)
    make(engine, "here:1", {"a": b"a"})
    with pytest.raises(NotFound, match="tag does not exist: here:2"):
        push(engine, "here", "2", None, lambda _: None)


# --- who is it?


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants a password."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "passwords").write_text(PASSWORDS)
    real = Registry(folder, LOCKED.format(file=folder / "passwords"))
    yield real
    real.stop()


def test_the_right_password_opens(engine: Engine, locked: Registry) -> None:
    make(engine, f"{locked.host}/mine:1", {"a": b"a"})
    messages, requests = pushed(engine, f"{locked.host}/mine:1", Credentials("me", "right"))
    assert said(messages).count("Pushed") == 1
    assert "bWU6" not in json.dumps(requests)


def test_a_wrong_password_says_so(engine: Engine, locked: Registry) -> None:
    make(engine, f"{locked.host}/mine:1", {"a": b"a"})
    with pytest.raises(AuthenticationFailed, match="unauthorized: incorrect username or password"):
        pushed(engine, f"{locked.host}/mine:1", Credentials("me", "wrong"))
    with pytest.raises(AuthenticationFailed, match="no basic auth credentials"):
        pushed(engine, f"{locked.host}/mine:1")


# --- a line that breaks


class Line:
    """A line to a registry that breaks off after so many bytes towards it, once for each number in `cuts`.

    The client hears of it when the registry has, and has done what it does about it.
    """

    def __init__(self, host: str, cuts: list[int]) -> None:
        self._target = host.split(":")
        self._cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.carried = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._target[0], int(self._target[1])))
                is_broken = threading.Event()
                threading.Thread(target=self._answer, args=(server, client, is_broken), daemon=True).start()
                threading.Thread(target=self._ask, args=(client, server, is_broken), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, is_broken: threading.Event) -> None:
        total = 0
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
                total += len(data)
                self.carried += len(data)
                if self._cuts and total >= self._cuts[0]:
                    self._cuts.pop(0)
                    is_broken.set()
                    break
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket, is_broken: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if not is_broken.is_set():
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
        for end in (server, client):
            end.close()  # what was not read makes it a reset


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a server is right, and takes long."""
    wait = threading.Event.wait
    monkeypatch.setattr("threading.Event.wait", lambda self, seconds=None: wait(self, seconds and min(seconds, 0.01)))


@pytest.mark.usefixtures("_in_a_hurry")
def test_an_upload_that_breaks_off_is_brought_to_its_end(engine: Engine, registry: Registry) -> None:
    """docker-registry 2.8 forgets an upload that broke off, so this one begins anew; what was whole stays."""
    make(engine, f"{registry.host}/broken:0", {"small": NOISE[:300_000]})
    pushed(engine, f"{registry.host}/broken:0")
    line = Line(registry.host, [1_000_000, 1_500_000])
    try:
        image = make(engine, f"{line.host}/broken:1", {"small": NOISE[:300_000]}, {"noise": NOISE})
        messages, _ = pushed(engine, f"{line.host}/broken:1")
    finally:
        line.stop()
    assert said(messages).count("Layer already exists") == 1
    assert len(NOISE) < line.carried < 2 * len(NOISE)
    asked = urllib.request.Request(f"http://{registry.host}/v2/broken/manifests/1", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(asked) as answer:
        assert answer.headers["Docker-Content-Digest"] == (image.manifest and image.manifest.digest)


@pytest.mark.usefixtures("_in_a_hurry")
def test_an_upload_goes_on_where_the_registry_is(engine: Engine) -> None:
    """One that keeps what has arrived, as the OCI Distribution Specification wants it."""
    server = Patient([1_000_000, 700_000])
    try:
        image = make(engine, f"{server.host}/patient:1", {"noise": NOISE})
        _, requests = pushed(engine, f"{server.host}/patient:1")
    finally:
        server.stop()
    sent = [step for step in requests if step["operation"] == "SendBlob" and step["fields"]["size"] > 1_000_000]
    offsets = [step["fields"]["offset"] for step in sent]
    assert len(offsets) == 3
    assert offsets[0] == 0
    assert 1_000_000 <= offsets[1] < offsets[2] - 700_000 + 1
    layer = engine.store.layer(image.diff_ids[0])
    assert layer
    assert server.blobs[layer.blob.digest] == engine.store.blob_path(layer.blob.digest).read_bytes()


@pytest.mark.usefixtures("_in_a_hurry")
def test_a_line_that_always_breaks_is_given_up(engine: Engine, registry: Registry) -> None:
    line = Line(registry.host, [2_000] * 1000)
    try:
        make(engine, f"{line.host}/hopeless:1", {"noise": NOISE})
        with pytest.raises(RegistryError):
            pushed(engine, f"{line.host}/hopeless:1")
    finally:
        line.stop()


class Patient:
    """A small registry that breaks off the first uploads after so many bytes, and knows what it has got by then."""

    def __init__(self, cuts: list[int]) -> None:
        self.blobs: dict[str, bytes] = {}
        uploads: dict[str, bytearray] = {}
        blobs = self.blobs

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.answer(200 if self.path.rpartition("/")[2] in blobs else 404)

            def do_POST(self) -> None:
                name = str(len(uploads))
                uploads[name] = bytearray()
                self.answer(202, Location=f"/upload/{name}")

            def do_PATCH(self) -> None:
                upload = uploads[self.path.rpartition("/")[2]]
                first, _, _ = self.headers["Content-Range"].partition("-")
                assert int(first) == len(upload)
                left = length = int(self.headers["Content-Length"])
                cut = cuts.pop(0) if cuts and length > 1_000_000 else None
                while left and (cut is None or length - left < cut):
                    piece = self.rfile.read(min(left, 65_536))
                    upload.extend(piece)
                    left -= len(piece)
                if left:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                else:
                    self.answer(202, Location=self.path)

            def do_GET(self) -> None:
                got = len(uploads[self.path.rpartition("/")[2]])
                self.answer(204, Location=self.path, Range=f"0-{max(0, got - 1)}")

            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                place, _, digest = self.path.partition("?digest=")
                if digest:
                    content = bytes(uploads.pop(place.rpartition("/")[2]))
                    digest = unquote(digest)
                    assert hashlib.sha256(content).hexdigest() == digest[7:]
                blobs[digest or place] = content
                self.answer(201)

            def answer(self, code: int, **headers: str) -> None:
                self.send_response(code)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


# --- with the stock client


def test_dockers_client_pushes(shared_kk: Kernelkit, registry: Registry) -> None:
    name = f"{registry.host}/by/client:1"
    shared_kk.docker("tag", "busybox", name)
    out = shared_kk.docker("push", name).stdout
    assert re.search(r"^1: digest: sha256:[0-9a-f]{64} size: \d+$", out, re.M)
    assert ": Pushed" in out
    assert ": Layer already exists" in shared_kk.docker("push", name).stdout
    shared_kk.docker("rmi", name)
    shared_kk.docker("pull", name)
    assert shared_kk.docker("run", "--rm", name, "echo", "back").stdout == "back\n"
    shared_kk.docker("rmi", name)


def test_what_was_committed_is_pushed_compressed(shared_kk: Kernelkit, registry: Registry) -> None:
    name = f"{registry.host}/committed:1"
    shared_kk.docker("run", "--name", "committed", "busybox", "sh", "-c", "seq 100000 > /numbers; rm /etc/passwd")
    identity = shared_kk.docker("commit", "committed", name).stdout.strip()
    shared_kk.docker("rm", "committed")
    shared_kk.docker("push", name)
    inspect = ["skopeo", "--insecure-policy", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    layers = json.loads(subprocess.run(inspect, check=True, capture_output=True).stdout)["layers"]
    assert all(layer["mediaType"].endswith("+gzip") for layer in layers)
    assert layers[-1]["size"] < 300_000
    assert json.loads(shared_kk.docker("image", "inspect", name).stdout)[0]["Id"] == identity
    shared_kk.docker("rmi", name)
    shared_kk.docker("pull", name)
    assert json.loads(shared_kk.docker("image", "inspect", name).stdout)[0]["Id"] == identity
    assert shared_kk.docker("run", "--rm", name, "tail", "-n1", "/numbers").stdout == "100000\n"
    shared_kk.docker("rmi", name)


def test_dockers_client_is_told_of_a_wrong_password(shared_kk: Kernelkit, locked: Registry, tmp_path: Path) -> None:
    name = f"{locked.host}/secret:1"
    config = ["--config", str(tmp_path)]
    login = [*config, "login", "-u", "me", "--password-stdin", locked.host]
    shared_kk.docker("tag", "busybox", name)
    wrong = shared_kk.docker(*login, input="wrong", check=False)
    assert wrong.returncode == 1
    assert "unauthorized: incorrect username or password" in wrong.stderr
    for verb in ("push", "pull"):
        refused = shared_kk.docker(*config, verb, name, check=False, input="")
        assert refused.returncode == 1
        assert "no basic auth credentials" in refused.stderr
    assert "Login Succeeded" in shared_kk.docker(*login, input="right").stdout
    shared_kk.docker(*config, "push", name)
    shared_kk.docker("rmi", name)
    shared_kk.docker(*config, "pull", name)
    shared_kk.docker("rmi", name)
    basic = base64.b64encode(b"me:wrong").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {locked.host: {"auth": basic}}}))
    refused = shared_kk.docker(*config, "pull", name, check=False, input="")
    assert "unauthorized: incorrect username or password" in refused.stderr


def test_all_tags_are_pulled_when_that_is_asked_for(shared_kk: Kernelkit, registry: Registry) -> None:
    names = [f"{registry.host}/everything:{tag}" for tag in ("1", "2", "latest")]
    for name in names:
        shared_kk.docker("tag", "busybox", name)
    shared_kk.docker("push", "-a", f"{registry.host}/everything")
    shared_kk.docker("rmi", *names)
    pulled = shared_kk.docker("pull", "-a", f"{registry.host}/everything").stdout.splitlines()
    told = [line for line in pulled if line.startswith("Status: ")]
    assert told == [f"Status: Downloaded newer image for {registry.host}/everything"]
    again = shared_kk.docker("pull", "-a", f"{registry.host}/everything").stdout
    assert f"Status: Image is up to date for {registry.host}/everything\n" in again
    listed = shared_kk.docker("images", "--format", "{{.Tag}}", f"{registry.host}/everything").stdout.split()
    assert sorted(listed) == ["1", "2", "latest"]
    shared_kk.docker("rmi", *names)
    missing = shared_kk.docker("pull", "-a", f"{registry.host}/nothing", check=False)
    assert missing.returncode == 1
    assert "not found" in missing.stderr
