"""The same verbs by PyPI's `docker` package, as programs use them."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests import schema
from tests.conftest import Kernelkit


@pytest.fixture
def client(shared_kk: Kernelkit) -> Iterator[Any]:
    """Docker's client; its containers and images are gone afterwards."""
    made = docker.DockerClient(base_url=f"unix://{shared_kk.socket}")
    yield made
    for container in made.containers.list(all=True):
        container.remove(force=True, v=True)
    for image in made.images.list(all=True):
        if "busybox:latest" not in image.tags:
            made.images.remove(image.id, force=True)
    made.close()


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_archives_are_put_and_got(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    assert container.put_archive("/tmp", archive(one=b"1", two=b"22" * 100_000))
    pieces, stat = container.get_archive("/tmp/two")
    assert (stat["name"], stat["size"], stat["linkTarget"]) == ("two", 200_000, "")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        found = tar.extractfile("two")
        assert found
        assert found.read() == b"22" * 100_000
    pieces, stat = container.get_archive("/tmp")
    assert stat["mode"] & 1 << 31
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        assert {"tmp", "tmp/one", "tmp/two"} <= set(tar.getnames())
    with pytest.raises(docker.errors.NotFound, match="Could not find the file /nope in container"):
        container.get_archive("/nope")
    with pytest.raises(docker.errors.NotFound, match="Could not find the file /nope in container"):
        container.put_archive("/nope", archive(one=b"1"))
    with pytest.raises(docker.errors.APIError, match="extraction point is not a directory") as refused:
        container.put_archive("/tmp/one", archive(one=b"1"))
    assert refused.value.status_code == 400
    assert {"Path": "/tmp/one", "Kind": 1} in container.diff()


def test_a_damaged_archive_is_refused(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    whole = archive(one=b"1" * 10_000)
    for data in (b"x" * 2000, whole[:3000], archive(**{"../out": b"x"})):
        with pytest.raises(docker.errors.APIError) as refused:
            container.put_archive("/tmp", data)
        assert refused.value.status_code == 400
    assert container.exec_run("true").exit_code == 0


def test_a_commit_is_an_image(client: Any) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo > /new"], detach=True)
    container.wait()
    image = container.commit(
        "by-python", "1", message="m", author="a", changes=["ENV A=1", "ENV B=2"], conf={"User": "3"}
    )
    assert image.tags == ["by-python:1"]
    assert {"A=1", "B=2"} <= set(image.attrs["Config"]["Env"])
    assert image.attrs["Config"]["User"] == "3"
    assert client.containers.run(image, ["ls", "/new"], remove=True) == b"/new\n"


def test_images_are_saved_loaded_exported_and_imported(client: Any) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo hi > /new"], detach=True)
    container.wait()
    image = container.commit("kept", "1")
    data = b"".join(image.save(named=True))
    files = b"".join(container.export())
    container.remove()
    client.images.remove("kept:1")
    [loaded] = client.images.load(data)
    assert (loaded.id, loaded.tags) == (image.id, ["kept:1"])
    client.api.import_image_from_data(files, repository="imported", tag="1", changes=['CMD ["cat", "/new"]'])
    assert client.containers.run("imported:1", remove=True) == b"hi\n"


def test_files_are_imported_from_the_web(client: Any, tmp_path: Path) -> None:
    (tmp_path / "files.tar").write_bytes(archive(hello=b"hello"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path), **options)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        client.api.import_image_from_url(f"{url}/files.tar", repository="web", tag="1")
        assert client.images.get("web:1").attrs["Comment"] == f"Imported from {url}/files.tar"
        with pytest.raises(docker.errors.APIError, match="404"):
            client.api.import_image_from_url(f"{url}/nothing.tar", repository="web", tag="2")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.skipif(not schema.available(), reason="needs Docker's description of its API")
def test_answers_are_as_the_description_of_the_api_says(client: Any) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo > /new; rm /etc/passwd"], detach=True)
    container.wait()
    idle = client.containers.create("busybox")
    assert idle.diff() == []
    for each in (container, idle):
        schema.check(each.diff(), "GET", "/containers/{id}/changes")
    answer = client.api.commit(container.id, "described", "1")
    schema.check(answer, "POST", "/commit", 201)
    schema.check(client.api.df(), "GET", "/system/df")
    schema.check(client.api.history("described:1"), "GET", "/images/{name}/history")
