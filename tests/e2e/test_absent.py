"""What this engine does not do is said by the stock client in one clear line each."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from pathlib import Path

import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE

NO_MANAGER = "This node is not a swarm manager. Use"


def ask(kk: Kernelkit, method: str, path: str) -> tuple[int, str]:
    """The status of an answer, and what it says."""
    with contextlib.closing(http.client.HTTPConnection("localhost")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(kk.socket))
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["message"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("swarm init", "swarm mode is not supported by kernelkit"),
        ("swarm join --token x 127.0.0.1:2377", "swarm mode is not supported by kernelkit"),
        ("swarm leave", "This node is not part of a swarm"),
        ("swarm join-token worker", NO_MANAGER),
        ("service ls", NO_MANAGER),
        ("service create busybox", NO_MANAGER),
        ("node ls", NO_MANAGER),
        ("stack ls", NO_MANAGER),
        ("config ls", NO_MANAGER),
        ("secret ls", NO_MANAGER),
        ("network create -d overlay spans", NO_MANAGER),
        ("network create --scope swarm spans", NO_MANAGER),
        ("plugin install x", "plugins are not supported by kernelkit"),
        pytest.param("plugin inspect x", 'plugin "x" not found', marks=pytest.mark.client(28)),
        pytest.param("plugin rm x", 'plugin "x" not found', marks=pytest.mark.client(28)),
        ("plugin enable x", 'plugin "x" not found'),
        ("checkpoint ls x", "only supported on a Docker daemon with experimental features enabled"),
        ("search x", "search is not supported by kernelkit"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(shared_kk: Kernelkit, command: str, said: str) -> None:
    refused = shared_kk.docker(*command.split(), check=False)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_there_are_no_plugins(shared_kk: Kernelkit) -> None:
    assert shared_kk.docker("plugin", "ls", "-q").stdout == ""


def test_a_build_is_refused_clearly_however_large_it_is(shared_kk: Kernelkit, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    (tmp_path / "large").write_bytes(os.urandom(8 << 20))
    refused = shared_kk.docker("build", str(tmp_path), check=False)
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1] == (
        "Error response from daemon: kernelkit does not build images yet (change a container by hand and keep it with "
        "`docker commit`)"
    )


@pytest.mark.parametrize("path", ["/grpc", "/build/cancel"])
def test_other_ways_to_build_are_refused_as_clearly(shared_kk: Kernelkit, path: str) -> None:
    status, said = ask(shared_kk, "POST", path)
    assert status == 501
    assert said.startswith("kernelkit does not build images yet")


def test_a_session_of_buildkit_waits_for_the_refusal(shared_kk: Kernelkit) -> None:
    """Its client says what `POST /build` answers, but only by a number what a session does."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(shared_kk.socket))
        client.sendall(b"POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        assert ask(shared_kk, "POST", "/build?version=2")[0] == 501


def test_a_websocket_is_refused_clearly(shared_kk: Kernelkit) -> None:
    name = shared_kk.docker("create", "busybox").stdout.strip()
    status, said = ask(shared_kk, "GET", f"/containers/{name}/attach/ws?stream=1")
    assert status == 501
    assert said.startswith("attaching by websocket is not supported by kernelkit")
