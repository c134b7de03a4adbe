"""Pulling: from a real registry, and from one that does everything wrong."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from kernelkit.engine.pull import pull
from kernelkit.errors import AuthenticationFailed, KernelkitError, NotFound, RegistryError
from kernelkit.image.catalogue import Image
from kernelkit.image.credentials import Credentials
from kernelkit.image.reference import Reference
from kernelkit.image.store import Store
from kernelkit.trace import Trace
from tests.layout import Files, Layout, busybox, tar
from tests.patience import PATIENCE
from tests.registry import Registry
from tests.rude_registry import Asked, Reply, RudeRegistry, first

NOISE = random.Random(7).randbytes(3_000_000)  # does not compress, so that there is something to download


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def rude(layout: Layout) -> Iterator[RudeRegistry]:
    """One image of two layers, by a server that a test can spoil."""
    layout.image({**busybox(), "noise": NOISE}, {"etc/hello": b"hello", ".wh.noise": b""})
    server = RudeRegistry(layout.folder)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("KERNELKIT_REGISTRY_MIRRORS", raising=False)


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a server is right, and takes long."""
    wait = threading.Event.wait
    monkeypatch.setattr("threading.Event.wait", lambda self, seconds=None: wait(self, seconds and min(seconds, 0.01)))


def get(store: Store, name: str, **options: Any) -> Image:
    """Pull by name."""
    return pull(store, Reference.parse(name), **options)


def files(image: Image) -> dict[str, bytes]:
    """What is in the topmost layer that has a file of each name."""
    return {path.name: path.read_bytes() for layer in image.layers for path in layer.rglob("*") if path.is_file()}


def left_behind(store: Store) -> list[str]:
    """What a failed pull should have taken away: all but whole blobs, and partial ones for the next attempt."""
    places = ("layers", "trash", "locks")
    return [str(path) for place in places for path in (store.home / place).glob("*")]


# --- from Debian's docker-registry


def test_an_image_is_pulled_unpacked_and_found(registry: Registry, layout: Layout, store: Store) -> None:
    name = registry.fill(layout.image(busybox(), {"etc/motd": b"hello"}, WorkingDir="/etc"), "team/first:1.0")
    messages: list[dict[str, Any]] = []
    image = get(store, name, progress=messages.append)
    assert store.find(name) == store.find(image.id) == store.find(image.id[7:19]) == image
    assert image.tags == (name,)
    assert image.config["config"]["WorkingDir"] == "/etc"
    assert [layer.parent for layer in image.layers] == [store.home / "layers"] * 2
    assert (image.layers[0] / "bin/sh").readlink() == Path("busybox")
    assert (image.layers[1] / "etc/motd").read_text() == "hello"
    assert image.size == len(busybox()["bin/busybox"] or b"") + 5
    [digest] = image.digests
    said = [message["status"] for message in messages]
    assert said[0] == "Pulling from team/first"
    assert messages[0]["id"] == "1.0"
    assert said[-2:] == [f"Digest: {digest.partition('@')[2]}", f"Status: Downloaded newer image for {name}"]
    for each in ("Pulling fs layer", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"):
        assert said.count(each) >= 2
    layer_ids = {message["id"] for message in messages if message["status"] == "Pull complete"}
    assert all(len(identity) == 12 for identity in layer_ids)


def test_a_second_pull_says_that_it_is_up_to_date(registry: Registry, layout: Layout, store: Store) -> None:
    name = registry.fill(layout.image(busybox()), "second:latest")
    get(store, name)
    messages: list[dict[str, Any]] = []
    trace = Trace()
    get(store, name, progress=messages.append, trace=trace)
    assert [message["status"] for message in messages][1] == "Already exists"
    assert messages[-1]["status"] == f"Status: Image is up to date for {name}"
    assert [type(step.operation).__name__ for step in trace.steps] == ["Request"]


def test_another_tag_of_the_same_image_takes_no_layers(registry: Registry, layout: Layout, store: Store) -> None:
    source = layout.image(busybox())
    one, two = registry.fill(source, "twice:1"), registry.fill(source, "twice:2")
    get(store, one)
    image = get(store, two)
    assert image.tags == (one, two)
    assert len(store.images()) == 1


def test_an_image_by_two_manifests_leaves_nothing_when_it_goes(
    registry: Registry, layout: Layout, store: Store
) -> None:
    """The same files, compressed otherwise elsewhere: one image, of twice as many blobs."""
    by_gzip = registry.fill(layout.image(busybox(), tag="gzip"), "here/both:1")
    zstd = zstandard.ZstdCompressor().compress
    by_zstd = registry.fill(layout.image(busybox(), tag="zstd", compress=zstd, suffix="+zstd"), "there/both:1")
    image = get(store, by_gzip)
    assert get(store, by_zstd).id == image.id
    store.untag(Reference.parse(by_gzip))
    for digest in store.find(by_zstd).digests:
        store.untag(Reference.parse(digest))
    again = store.add_image({"config": {}}, image.diff_ids)  # as a commit would, of a layer that came twice
    store.remove(image.id)
    assert store.read_blob(again.id)
    store.add_image({"config": {"Cmd": ["true"]}}, image.diff_ids)
    for each in store.images():
        store.remove(each.id)
    assert list((store.home / "blobs/sha256").iterdir()) == []


def test_a_tag_that_moved_leaves_the_old_image_without_it(registry: Registry, layout: Layout, store: Store) -> None:
    name = registry.fill(layout.image({"v": b"1"}, tag="one"), "moving:latest")
    old = get(store, name)
    registry.fill(layout.image({"v": b"2"}, tag="two"), "moving:latest")
    new = get(store, name)
    assert new.id != old.id
    assert store.find(name).id == new.id
    assert store.find(old.id).tags == ()
    assert len(store.find(old.id).digests) == 1


def test_an_image_is_pulled_by_its_digest(registry: Registry, layout: Layout, store: Store) -> None:
    name = registry.fill(layout.image(busybox()), "pinned:latest")
    digest = get(Store(store.home.parent / "other"), name).digests[0]
    image = get(store, digest)
    assert (image.tags, image.digests) == ((), (digest,))
    assert store.find(digest) == image
    with pytest.raises(NotFound, match="manifest unknown"):
        get(store, digest.partition("@")[0] + "@sha256:" + "0" * 64)


@pytest.mark.parametrize("wanted", ["linux/amd64", "linux/arm64", "linux/arm/v7"])
def test_an_index_leads_to_the_image_of_a_platform(
    registry: Registry, layout: Layout, store: Store, wanted: str
) -> None:
    platforms = ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")
    index = layout.index([layout.manifest([tar({"for": each.encode()})], each) for each in platforms])
    name = registry.fill(layout.tag(index), "many:latest")
    image = get(store, name, platform=wanted)
    assert files(image)["for"].decode().startswith(wanted)
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
        get(store, name, platform="linux/s390x")


def test_what_is_there_for_one_platform_only_comes_with_a_warning(
    registry: Registry, layout: Layout, store: Store
) -> None:
    """As Docker has it: `run --platform` then refuses the image."""
    name = registry.fill(layout.image(busybox(), platform="linux/s390x"), "foreign:latest")
    said: list[dict[str, Any]] = []
    image = get(store, name, platform="linux/arm64", progress=said.append)
    assert image.config["architecture"] == "s390x"
    assert said[-1]["status"] == (
        f"WARNING: image with reference {name} was found but its platform (linux/s390x) does not match the specified "
        "platform (linux/arm64)"
    )


def test_zstandard_and_plain_layers_are_unpacked(registry: Registry, layout: Layout, store: Store) -> None:
    packed = layout.manifest([tar(busybox())], compress=zstandard.ZstdCompressor().compress, suffix="+zstd")
    plain = layout.manifest([tar(busybox()), tar({"p": b"p"})], compress=bytes, suffix="")
    one = get(store, registry.fill(layout.tag(packed, "z"), "packed:z"))
    two = get(store, registry.fill(layout.tag(plain, "p"), "packed:p"))
    assert one.layers[0] == two.layers[0]
    assert (two.layers[1] / "p").read_bytes() == b"p"


def test_docker_schema_2_is_understood(registry: Registry, layout: Layout, store: Store) -> None:
    name = f"{registry.host}/schema:2"
    copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", "--format=v2s2"]
    subprocess.run([*copy, layout.image(busybox()), f"docker://{name}"], check=True)
    assert files(get(store, name))["busybox"] == busybox()["bin/busybox"]


def test_other_tools_read_the_store_as_it_stands(
    registry: Registry, layout: Layout, store: Store, tmp_path: Path
) -> None:
    name = registry.fill(layout.image(busybox(), {"x": b"x"}), "plain:latest")
    get(store, name)
    copy = ["skopeo", "copy", "--insecure-policy", f"oci:{store.home}:{name}", f"dir:{tmp_path}/copied"]
    assert subprocess.run(copy, capture_output=True).returncode == 0


def test_a_layer_that_occurs_twice_is_fetched_and_stacked_once(
    registry: Registry, layout: Layout, store: Store
) -> None:
    name = registry.fill(layout.image({"a": b"a"}, {"b": b"b"}, {"a": b"a"}), "again:latest")
    trace = Trace()
    image = get(store, name, trace=trace)
    assert len(image.diff_ids) == 3
    assert [sorted(os.listdir(layer)) for layer in image.layers] == [["b"], ["a"]]
    assert [type(step.operation).__name__ for step in trace.steps].count("UnpackLayer") == 2


def test_what_is_not_there_is_named_in_dockers_words(registry: Registry, store: Store) -> None:
    with pytest.raises(NotFound, match=r"^manifest for .*/nothing:1 not found: manifest unknown"):
        get(store, f"{registry.host}/nothing:1")
    with pytest.raises(NotFound, match=r"^No such image: nothing:latest$"):
        store.find("nothing")
    assert left_behind(store) == []


def test_a_registry_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(RegistryError, match=r"registry '127\.0\.0\.1:1'.*connection refused"):
        get(store, "127.0.0.1:1/x")


def test_a_mirror_is_asked_before_docker_hub(
    registry: Registry, layout: Layout, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.fill(layout.image(busybox()), "library/mirrored:latest")
    monkeypatch.setenv("KERNELKIT_REGISTRY_MIRRORS", f"http://127.0.0.1:1,http://{registry.host}")
    image = get(store, "mirrored")
    assert image.tags == ("mirrored:latest",)
    assert image.digests[0].startswith("mirrored@sha256:")


def test_every_request_and_every_layer_is_in_the_record(registry: Registry, layout: Layout, store: Store) -> None:
    name = registry.fill(layout.image(busybox(), {".wh.etc": b""}), "recorded:latest")
    trace = Trace()
    get(store, name, trace=trace)
    kinds = [type(step.operation).__name__ for step in trace.steps]
    assert sorted(kinds) == sorted(
        ["Request", *["FetchBlob"] * 3, *["UnpackLayer"] * 2, "MarkRemoved", *["SyncFileSystem"] * 2, *["Rename"] * 2]
    )
    assert [step.seq for step in trace.steps] == list(range(1, len(kinds) + 1))
    assert {step.stage for step in trace.steps} == {"pull"}
    assert all(step.error == "" and step.seconds is not None for step in trace.steps)
    assert all(json.dumps(step.as_json()) for step in trace.steps)
    assert trace.steps[0].operation.shell().startswith("curl -fsSL -H 'Accept: ")


# --- two at once, and killed


def test_two_pulls_at_once_fetch_each_blob_once(rude: RudeRegistry, layout: Layout, store: Store) -> None:
    """The same image by threads and processes, and another one that shares a layer."""
    layout.image({**busybox(), "noise": NOISE}, {"other": b"other"}, tag="sibling")
    code = "import sys; from tests.e2e.test_pull import *; get(Store(Path(sys.argv[1])), sys.argv[2])"
    names = [f"{rude.host}/x:latest", f"{rude.host}/x:sibling"] * 2
    command = [sys.executable, "-c", code, str(store.home)]
    root = Path(__file__).parents[2]
    processes = [subprocess.Popen([*command, name], cwd=root) for name in names]
    threads = [threading.Thread(target=get, args=(store, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0] * 4
    blobs = [asked.path for asked in rude.asked if asked.kind == "blobs"]
    assert len(blobs) == len(set(blobs)) == 5  # two configs and three layers
    assert len(store.images()) == 2
    assert sorted(store.find(names[1]).tags) == [names[1]]
    assert not list((store.home / "locks").iterdir())


@pytest.mark.parametrize("moment", [0.02, 0.1, 0.25, 0.4, 0.6])
def test_a_pull_that_was_killed_is_taken_up_by_the_next(rude: RudeRegistry, store: Store, moment: float) -> None:
    def slowly(asked: Asked, reply: Reply) -> None:
        time.sleep(0.02)

    rude.faults.append(slowly)
    name = f"{rude.host}/x"
    code = (
        "import sys; from tests.e2e.test_pull import *; print(flush=True); get(Store(Path(sys.argv[1])), sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(store.home), name]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.read(1)
    time.sleep(moment * 0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert all(files(image)["noise"] == NOISE for image in store.images())
    assert files(get(store, name))["noise"] == NOISE
    assert not list(store.home.rglob("*.partial"))
    store.sweep()  # as the next engine does, of what may have been killed before it had its name
    assert not list(store.home.rglob(".*"))


def test_a_blob_that_is_half_here_is_asked_for_from_there(rude: RudeRegistry, store: Store, layout: Layout) -> None:
    [large] = [path for path in (layout.folder / "blobs/sha256").iterdir() if path.stat().st_size > 1_000_000]
    half = store.blob_path(f"sha256:{large.name}.partial")
    half.parent.mkdir(parents=True)
    half.write_bytes(large.read_bytes()[:1_500_000])
    get(store, f"{rude.host}/x")
    ranges = [asked.headers["range"] for asked in rude.asked if "range" in asked.headers]
    assert ranges == ["bytes=1500000-"]


@pytest.mark.parametrize("size", [1_000_000, 9_000_000])
def test_a_wrong_half_is_thrown_away_and_fetched_again(
    rude: RudeRegistry, store: Store, layout: Layout, size: int
) -> None:
    [large] = [path for path in (layout.folder / "blobs/sha256").iterdir() if path.stat().st_size > 1_000_000]
    half = store.blob_path(f"sha256:{large.name}.partial")
    half.parent.mkdir(parents=True)
    half.write_bytes(bytes(size))
    assert files(get(store, f"{rude.host}/x"))["noise"] == NOISE


def test_a_client_that_vanishes_ends_the_pull(rude: RudeRegistry, store: Store) -> None:
    gone = threading.Event()

    def vanish(message: dict[str, Any]) -> None:
        if message["status"] == "Downloading":
            gone.set()
            raise BrokenPipeError

    def hold_back(asked: Asked, reply: Reply) -> None:
        """No layer is whole before the client has gone: it would be kept."""
        if asked.kind == "blobs" and not reply.body.startswith(b"{"):
            if len(reply.body) < 300_000 or "range" in asked.headers:
                gone.wait(PATIENCE)
            reply.cut = min(300_000, len(reply.body) - 1)

    rude.faults.append(hold_back)
    with pytest.raises(BrokenPipeError):
        get(store, f"{rude.host}/x", progress=vanish)
    assert left_behind(store) == []
    ours = ("pull", "download", "inflate", "untar")
    assert not [thread.name for thread in threading.enumerate() if thread.name in ours]
    rude.faults.clear()
    assert files(get(store, f"{rude.host}/x"))["noise"] == NOISE


# --- a server that does everything wrong


@pytest.mark.usefixtures("_in_a_hurry")
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again(rude: RudeRegistry, store: Store, kind: str, code: int) -> None:
    rude.faults.append(first(2, kind, Reply(code, b"busy", {"Retry-After": "1"} if code == 429 else {})))
    trace = Trace()
    assert files(get(store, f"{rude.host}/x", trace=trace))["noise"] == NOISE
    assert len([step for step in trace.steps if f"answers {code}" in step.error]) == 2


def test_retry_after_is_honoured(rude: RudeRegistry, store: Store) -> None:
    rude.faults.append(first(1, "manifests", Reply(429, b"", {"Retry-After": "1"})))
    began = time.monotonic()
    get(store, f"{rude.host}/x")
    assert time.monotonic() - began >= 1


def test_a_server_that_wants_an_hour_is_not_waited_for(rude: RudeRegistry, store: Store) -> None:
    rude.faults.append(first(1, "manifests", Reply(429, b"", {"Retry-After": "3600"})))
    with pytest.raises(RegistryError, match="come back in 3600 seconds"):
        get(store, f"{rude.host}/x")


@pytest.mark.usefixtures("_in_a_hurry")
def test_a_server_that_stays_busy_is_given_up(rude: RudeRegistry, store: Store) -> None:
    rude.faults.append(first(1000, "blobs", Reply(503, b'{"errors": [{"message": "too much"}]}')))
    with pytest.raises(RegistryError, match="answers 503: too much"):
        get(store, f"{rude.host}/x")
    assert left_behind(store) == []


@pytest.mark.usefixtures("_in_a_hurry")
def test_a_connection_that_breaks_is_made_again_and_goes_on_from_there(rude: RudeRegistry, store: Store) -> None:
    def cut(asked: Asked, reply: Reply) -> None:
        if len(reply.body) > 400_000:
            reply.cut = 300_000

    rude.faults.append(cut)
    assert files(get(store, f"{rude.host}/x"))["noise"] == NOISE
    ranges = [int(asked.headers["range"][6:-1]) for asked in rude.asked if "range" in asked.headers]
    assert len(ranges) >= 9
    assert ranges == sorted(ranges)


@pytest.mark.usefixtures("_in_a_hurry")
def test_a_server_without_ranges_is_listened_to_from_the_beginning(rude: RudeRegistry, store: Store) -> None:
    cuts = [1_000_000, 2_000_000]

    def whole(asked: Asked, reply: Reply) -> Reply | None:
        if asked.kind != "blobs" or asked.path[-64:] not in large:
            return None
        body = (rude.layout / "blobs/sha256" / asked.path[-64:]).read_bytes()
        return Reply(200, body, cut=cuts.pop(0) if cuts else None)

    large = [path.name for path in (rude.layout / "blobs/sha256").iterdir() if path.stat().st_size > 1_000_000]
    rude.faults.append(whole)
    assert files(get(store, f"{rude.host}/x"))["noise"] == NOISE


@pytest.mark.usefixtures("_in_a_hurry")
def test_a_server_that_goes_away_in_the_middle_is_named(rude: RudeRegistry, store: Store) -> None:
    rude.faults.append(lambda asked, reply: Reply(200, b"x" * 10, cut=0) if asked.kind == "blobs" else None)
    with pytest.raises(RegistryError, match=f"{rude.host}.*broke|no answer from|ends after"):
        get(store, f"{rude.host}/x")
    assert left_behind(store) == []


def spoil(kind: str, change: str) -> Any:
    """The fault of changing what is served."""

    def fault(asked: Asked, reply: Reply) -> None:
        if asked.kind == kind and reply.code == 200 and len(reply.body) > 100:
            if change == "flip":
                reply.body = reply.body[:-9] + bytes([reply.body[-9] ^ 1]) + reply.body[-8:]
            elif change == "short":
                reply.body = reply.body[:-10]
            else:
                reply.body += b"more"

    return fault


@pytest.mark.usefixtures("_in_a_hurry")
@pytest.mark.parametrize(
    ("kind", "change"),
    [("manifests", "flip"), ("manifests", "short"), ("manifests", "long"), ("blobs", "flip"), ("blobs", "long")],
)
def test_content_that_is_not_what_its_digest_says_is_not_used(
    rude: RudeRegistry, store: Store, kind: str, change: str
) -> None:
    rude.faults.append(spoil(kind, change))
    with pytest.raises(KernelkitError) as refused:
        get(store, f"{rude.host}/x")
    assert "\n" not in str(refused.value)
    assert store.images() == []
    assert left_behind(store) == []
    assert not list(store.home.rglob("*.partial"))
    rude.faults.clear()
    assert files(get(store, f"{rude.host}/x"))["noise"] == NOISE


def test_a_layer_that_unpacks_to_something_else_is_not_used(layout: Layout, store: Store) -> None:
    """The blob is right, and the config lies about what is in it."""
    manifest = layout.manifest([tar({"a": b"a"})])
    body = json.loads((layout.folder / "blobs" / manifest["digest"].replace(":", "/")).read_bytes())
    config = json.loads((layout.folder / "blobs" / body["config"]["digest"].replace(":", "/")).read_bytes())
    config["rootfs"]["diff_ids"] = [f"sha256:{hashlib.sha256(b'else').hexdigest()}"]
    body["config"] = layout.blob(json.dumps(config).encode(), body["config"]["mediaType"])
    layout.tag(layout.blob(json.dumps(body).encode(), body["mediaType"]))
    server = RudeRegistry(layout.folder)
    try:
        with pytest.raises(RegistryError, match="unpacks to"):
            get(store, f"{server.host}/x")
    finally:
        server.stop()
    assert left_behind(store) == []


EVIL: dict[str, Files] = {
    "a name that leads out": {"../evil": b"evil"},
    "a link in the middle": {"way": "../../../outside", "way/evil": b"evil"},
}


@pytest.mark.parametrize("kind", EVIL)
def test_a_layer_that_wants_out_is_refused_and_removed(layout: Layout, store: Store, kind: str) -> None:
    layout.image(EVIL[kind])
    server = RudeRegistry(layout.folder)
    try:
        with pytest.raises(KernelkitError, match=r"leads out|link to nowhere"):
            get(store, f"{server.host}/x")
    finally:
        server.stop()
    assert left_behind(store) == []
    assert not list(store.home.parent.rglob("evil"))


def test_a_full_disk_is_said_in_one_line_and_cleaned_up(rude: RudeRegistry, tmp_path: Path) -> None:
    home = tmp_path / "small"
    home.mkdir()
    script = f"""
mount -t tmpfs -o size=2m none {home}
"$0" -c 'import sys; from tests.e2e.test_pull import *
try: get(Store(Path(sys.argv[1])), sys.argv[2])
except KernelkitError as error: print(error)' {home} {rude.host}/x
find {home} -type f; find {home}/layers {home}/trash -mindepth 1"""
    command = ["unshare", "-m", "sh", "-c", script, sys.executable]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    first_line, *rest = ran.stdout.splitlines()
    assert "no space left on device" in first_line
    assert str(home) in first_line
    # The small layer may have been whole before the disk was full; the next attempt begins with it.
    assert not [line for line in rest if ".partial" in line or "/trash/" in line]


# --- who is it?


def test_the_token_dance_is_danced_once(rude: RudeRegistry, store: Store) -> None:
    rude.token = True
    trace = Trace()
    assert files(get(store, f"{rude.host}/team/x", trace=trace))["noise"] == NOISE
    assert rude.count("token") == 1
    shells = [step.operation.shell() for step in trace.steps]
    assert any(shell.startswith("TOKEN=$(curl ") for shell in shells)
    assert any(shell.endswith('-H "Authorization: Bearer $TOKEN"') for shell in shells)
    assert "opensesame" not in json.dumps([step.as_json() for step in trace.steps])
    assert "opensesame" not in repr(trace.steps)


def test_a_private_image_needs_the_right_password(rude: RudeRegistry, store: Store, tmp_path: Path) -> None:
    rude.token = rude.private = True
    name = f"{rude.host}/x"
    with pytest.raises(
        NotFound, match=r"^pull access denied for .*/x, repository does not exist or may require 'docker login'"
    ):
        get(store, name)
    with pytest.raises(AuthenticationFailed, match="unauthorized: incorrect username or password"):
        get(store, name, credentials=Credentials("me", "wrong"))
    (tmp_path / "docker").mkdir()
    auths = {rude.host: {"auth": "bWU6cmlnaHQ="}}
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": auths}))
    trace = Trace()
    get(store, name, trace=trace)
    record = json.dumps([step.as_json() for step in trace.steps])
    assert "bWU6cmlnaHQ" not in record
    assert '-u \\"$USERNAME:$PASSWORD\\"' in record


def test_basic_authentication(rude: RudeRegistry, store: Store) -> None:
    rude.basic = True
    with pytest.raises(AuthenticationFailed, match="no basic auth credentials"):
        get(store, f"{rude.host}/x")
    with pytest.raises(AuthenticationFailed, match="incorrect username or password"):
        get(store, f"{rude.host}/x", credentials=Credentials("me", "wrong"))
    get(store, f"{rude.host}/x", credentials=Credentials("me", "right"))


def test_a_token_that_has_run_out_is_replaced(rude: RudeRegistry, store: Store) -> None:
    rude.token = True
    rude.faults.append(
        first(1, "blobs", Reply(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{rude.host}/token"'}))
    )
    get(store, f"{rude.host}/x")
    assert rude.count("token") == 2


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_another_host_is_followed_to_but_not_told_who_we_are(
    rude: RudeRegistry, layout: Layout, store: Store, code: int
) -> None:
    rude.token = True
    store_of_blobs = RudeRegistry(layout.folder)

    def away(asked: Asked, reply: Reply) -> Reply | None:
        if asked.kind == "blobs" and reply.code == 200:
            where = f"http://localhost:{store_of_blobs.host.partition(':')[2]}/v2/x/blobs/{asked.path[-71:]}?signed=1"
            return Reply(code, b"", {"Location": where})
        return None

    rude.faults.append(away)
    try:
        assert files(get(store, f"{rude.host}/x"))["noise"] == NOISE
    finally:
        store_of_blobs.stop()
    assert store_of_blobs.asked
    assert all("authorization" not in asked.headers for asked in store_of_blobs.asked)


def test_a_circle_of_redirects_ends(rude: RudeRegistry, store: Store) -> None:
    rude.faults.append(lambda asked, reply: Reply(302, b"", {"Location": "/v2/x/manifests/latest"}))
    with pytest.raises(RegistryError, match="redirects too often"):
        get(store, f"{rude.host}/x")
