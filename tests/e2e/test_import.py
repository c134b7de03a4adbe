"""`docker import`: from a file, from stdin, from the web; and what is refused is told, however much is being sent."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Kernelkit


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Files as they are in an archive."""
    path = tmp_path / "files.tar"
    with tarfile.open(path, "w") as made:
        member = tarfile.TarInfo("hello.txt")
        member.size = 3
        made.addfile(member, io.BytesIO(b"hi\n"))
    return path


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback for what is in this test's folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_an_image_is_imported_from_the_web_with_changes(shared_kk: Kernelkit, archive: Path, web: str) -> None:
    archive.with_suffix(".tgz").write_bytes(gzip.compress(archive.read_bytes()))
    changes = ['CMD ["cat", "/hello.txt"]', "ENV A=b", "LABEL made=by-hand", "EXPOSE 80", "WORKDIR /w", "USER 1:2"]
    options = [word for change in changes for word in ("--change", change)]
    shared_kk.docker("import", *options, "-m", "from afar", f"{web}/files.tgz", "afar:1")
    found = json.loads(shared_kk.docker("image", "inspect", "afar:1").stdout)[0]
    assert found["Comment"] == "from afar"
    assert found["Config"]["Cmd"] == ["cat", "/hello.txt"]
    assert found["Config"]["Env"] == ["A=b"]
    assert found["Config"]["Labels"] == {"made": "by-hand"}
    assert found["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert (found["Config"]["WorkingDir"], found["Config"]["User"]) == ("/w", "1:2")


def test_an_image_is_imported_from_stdin(shared_kk: Kernelkit, archive: Path) -> None:
    identity = shared_kk.docker("import", "-", "stdin:1", input=archive.read_text()).stdout.strip()
    assert shared_kk.docker("images", "-q", "--no-trunc", "stdin:1").stdout.strip() == identity
    shared_kk.docker("create", "--name", "of-stdin", "stdin:1", "x")
    with contextlib.ExitStack() as after:
        after.callback(shared_kk.docker, "rm", "of-stdin")
        assert "hello.txt" in shared_kk.docker("cp", "of-stdin:/hello.txt", "-").stdout


def test_what_does_not_come_is_named(shared_kk: Kernelkit, web: str) -> None:
    missing = shared_kk.docker("import", f"{web}/nosuch.tar", check=False)
    assert f"failed to GET {web}/nosuch.tar with status 404" in missing.stderr
    silent = shared_kk.docker("import", "http://127.0.0.1:1/x.tar", check=False)
    assert "failed to GET http://127.0.0.1:1/x.tar: connection refused" in silent.stderr


def test_a_refusal_reaches_a_client_that_is_still_sending(shared_kk: Kernelkit, tmp_path: Path) -> None:
    """Before anything is read: a closed connection would be all that it sees."""
    large = tmp_path / "large.tar"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    for _ in range(3):
        refused = shared_kk.docker("import", "--change", "NOSUCH x", str(large), check=False)
        assert refused.stderr == "Error response from daemon: nosuch is not a valid change command\n"


def test_an_image_for_another_system_is_refused(shared_kk: Kernelkit, archive: Path) -> None:
    refused = shared_kk.docker("import", "--platform", "windows/amd64", str(archive), "other:1", check=False)
    assert "operating system is not supported" in refused.stderr
