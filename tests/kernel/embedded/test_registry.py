"""The registry over real HTTP: the token dance, what it serves, and what it refuses."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from kernelkit.embedded.layout import INDEX, MANIFEST, Layout
from kernelkit.embedded.registry import Server, serve
from kernelkit.kernel.ip import SetLinkUp
from tests.patience import PATIENCE
from tests.plans import alone

LAYER = bytes(range(256)) * 4096


def publish(folder: Path, name: str, *tags: str) -> None:
    with Layout(folder).making(name) as making:
        making.publish(tags, {"config": {"Cmd": ["sh"]}}, [making.add_layer([LAYER])])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    publish(tmp_path, "busybox", "latest", "1.35")
    running = serve(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def session(server: Server) -> Iterator[requests.Session]:
    """A client that may pull busybox."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{server.url}/token?service=x&scope=repository:library/busybox:pull")
        session.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        yield session


def layer_of(session: requests.Session, server: Server) -> str:
    manifest = session.get(f"{server.url}/v2/library/busybox/manifests/latest", headers={"Accept": MANIFEST}).json()
    return f"{server.url}/v2/library/busybox/blobs/{manifest['layers'][0]['digest']}"


def test_the_token_dance(server: Server) -> None:
    url = f"{server.url}/v2/library/busybox/manifests/latest"
    refused = requests.get(url)
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["code"] == "UNAUTHORIZED"
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', refused.headers["WWW-Authenticate"]))
    assert refused.headers["WWW-Authenticate"].startswith("Bearer ")
    assert challenge["scope"] == "repository:library/busybox:pull"
    realm = challenge.pop("realm")
    token = requests.get(realm, params=challenge).json()
    assert token["token"] == token["access_token"]
    assert token["expires_in"] >= 60
    given = requests.get(url, headers={"Authorization": f"Bearer {token['token']}"})
    assert given.status_code == 200


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer rubbish", "Basic dXNlcjpwYXNz", "Bearer a.b.c"])
def test_without_a_token_of_ours_nothing_is_served(server: Server, token: str) -> None:
    for path in ("/v2/", "/v2/library/busybox/tags/list", f"/v2/library/busybox/blobs/sha256:{'0' * 64}"):
        assert requests.get(server.url + path, headers={"Authorization": token}).status_code == 401


def test_a_token_for_one_repository_does_not_open_another(server: Server, session: requests.Session) -> None:
    refused = session.get(f"{server.url}/v2/library/bash/tags/list")
    assert refused.status_code == 401
    assert "library/bash" in refused.headers["WWW-Authenticate"]


def test_an_index_leads_to_a_manifest_and_that_to_blobs(server: Server, session: requests.Session) -> None:
    base = f"{server.url}/v2/library/busybox"
    index = session.get(f"{base}/manifests/1.35", headers={"Accept": f"{INDEX}, {MANIFEST}"})
    assert index.headers["Content-Type"] == INDEX
    assert index.json()["manifests"][0]["platform"]["os"] == "linux"
    manifest = session.get(f"{base}/manifests/{index.json()['manifests'][0]['digest']}", headers={"Accept": MANIFEST})
    assert manifest.headers["Content-Type"] == MANIFEST
    for answer in (index, manifest):
        assert answer.headers["Docker-Content-Digest"] == f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    for blob in (manifest.json()["config"], *manifest.json()["layers"]):
        content = session.get(f"{base}/blobs/{blob['digest']}").content
        assert len(content) == blob["size"]
        assert blob["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_client_that_knows_no_index_gets_the_manifest(server: Server, session: requests.Session) -> None:
    answer = session.get(f"{server.url}/v2/library/busybox/manifests/latest", headers={"Accept": MANIFEST})
    assert answer.headers["Content-Type"] == MANIFEST


def test_head_says_everything_but_the_content(server: Server, session: requests.Session) -> None:
    for url in (layer_of(session, server), f"{server.url}/v2/library/busybox/manifests/latest"):
        head, full = session.head(url), session.get(url)
        assert head.status_code == 200
        assert head.content == b""
        for header in ("Content-Length", "Content-Type", "Docker-Content-Digest"):
            assert head.headers[header] == full.headers[header]
        assert int(head.headers["Content-Length"]) == len(full.content)


def test_a_broken_download_goes_on_where_it_ended(server: Server, session: requests.Session) -> None:
    url = layer_of(session, server)
    whole = session.get(url).content
    rest = session.get(url, headers={"Range": "bytes=1000-"})
    assert rest.status_code == 206
    assert rest.headers["Content-Range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"
    assert whole[:1000] + rest.content == whole
    beyond = session.get(url, headers={"Range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole)}"


def test_an_image_appears_when_it_has_been_made(server: Server, tmp_path: Path) -> None:
    token = requests.get(f"{server.url}/token?scope=repository:library/debian:pull").json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{server.url}/v2/library/debian/manifests/latest"
    missing = requests.get(url, headers=headers)
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["message"] == "the embedded image 'debian' is not prepared"
    with Layout(tmp_path).making("debian"):
        waiting = requests.get(url, headers=headers)
        assert "is being prepared" in waiting.json()["errors"][0]["message"]
    publish(tmp_path, "debian", "latest", "12")
    assert requests.get(url, headers=headers).status_code == 200
    tags = requests.get(f"{server.url}/v2/library/debian/tags/list", headers=headers)
    assert tags.json() == {"name": "library/debian", "tags": ["12", "latest"]}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/library/busybox/manifests/nosuch", "MANIFEST_UNKNOWN"),
        (f"/v2/library/busybox/manifests/sha256:{'0' * 64}", "MANIFEST_UNKNOWN"),
        (f"/v2/library/busybox/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("/v2/library/busybox/blobs/../../../index.json", "NOT_FOUND"),
        ("/v2/_catalog", "NOT_FOUND"),
        ("/", "NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_said_in_the_specification_s_words(
    server: Server, session: requests.Session, path: str, code: str
) -> None:
    request = session.prepare_request(requests.Request("GET", server.url))
    request.url = server.url + path  # as it stands, dots and all
    answer = session.send(request)
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == code


@pytest.mark.parametrize("name", ["alpine", "library/alpine"])
def test_an_unknown_repository_is_said_to_be_unknown(server: Server, name: str) -> None:
    token = requests.get(f"{server.url}/token", params={"scope": f"repository:{name}:pull"}).json()["token"]
    url = f"{server.url}/v2/{name}/manifests/latest"
    assert requests.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_a_manifest_cannot_be_had_as_another_kind_of_blob(server: Server, session: requests.Session) -> None:
    digest = layer_of(session, server).rpartition("/")[2]
    assert session.get(f"{server.url}/v2/library/busybox/manifests/{digest}").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nobody_writes(server: Server, session: requests.Session, method: str) -> None:
    answer = session.request(method, f"{server.url}/v2/library/busybox/blobs/uploads/", data=b"x" * 100_000)
    assert answer.status_code == 405
    assert answer.json()["errors"][0]["code"] == "UNSUPPORTED"


def test_a_client_that_sends_rubbish_or_leaves_harms_nobody(
    server: Server, session: requests.Session, capfd: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    for rubbish in (b"\x16\x03\x01\x02\x00", b"GET", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 100, b"X" * 70_000 + b"\r\n"):
        with socket.create_connection(address) as client:
            client.sendall(rubbish)
    path = layer_of(session, server).removeprefix(server.url)
    request = f"GET {path} HTTP/1.1\r\nAuthorization: {session.headers['Authorization']!s}\r\n\r\n"
    with socket.create_connection(address) as client:
        client.sendall(request.encode())
        client.recv(10)
    assert session.get(f"{server.url}/v2/").status_code == 200
    assert capfd.readouterr().err == ""


def test_many_clients_at_once_get_the_same_bytes(server: Server, session: requests.Session) -> None:
    url, headers = layer_of(session, server), dict(session.headers)
    with ThreadPoolExecutor(16) as pool:
        digests = set(
            pool.map(lambda _: hashlib.sha256(requests.get(url, headers=headers).content).digest(), range(64))
        )
    assert len(digests) == 1


def test_a_stopped_server_frees_its_port(tmp_path: Path) -> None:
    def there() -> None:
        first = serve(tmp_path)
        first.start()
        port = int(first.url.rpartition(":")[2])
        first.stop()
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{first.url}/v2/")
        second = serve(tmp_path, port=port)
        second.stop()

    alone(there, [SetLinkUp("lo")])  # where nobody else wants ports


def test_as_a_program_it_prints_its_url_and_ends_on_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kernelkit.embedded.registry", str(tmp_path)]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], **options) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert requests.get(f"{url}/v2/").status_code == 401
        process.terminate()
        assert process.wait(PATIENCE) == 0
