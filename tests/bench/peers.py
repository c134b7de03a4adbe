"""The contenders: kernelkit, and whatever peers this machine has, each on a throw-away machine of its own."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import images
from tests.bench.arena import Arena
from tests.registry import CONFIG

REGISTRY = "127.0.0.1:5000"
IMAGES = ("busybox", "debian", "iperf")


class Shelf:
    """The images, and the registry's folder that every contender's own registry serves."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        images.busybox(folder / "busybox")
        images.debian(folder / "debian", cache / "debian.tar")
        images.iperf(folder / "iperf")
        images.make_files(folder / "files")
        (folder / "config.yml").write_text(CONFIG.format(folder=folder / "registry", port=5000))
        arena = Arena()
        try:
            self.serve(arena)
            for name in IMAGES:
                copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]
                arena.run(*copy, f"oci:{folder / name}:latest", f"docker://{REGISTRY}/{name}:latest")
        finally:
            arena.close()

    def serve(self, arena: Arena) -> None:
        """Start a registry with these images on an arena's loopback."""
        arena.start("docker-registry", "serve", str(self.folder / "config.yml"))
        for _ in range(250):
            if f":{5000:04X} " in arena.run("cat", "/proc/net/tcp"):
                return
            time.sleep(0.02)
        raise OSError("docker-registry does not start")


class Peer:
    """A contender with a command line; `command` gives the words, the arena's stopwatch times them."""

    def __init__(self, shelf: Shelf, arena: Arena, program: list[str], env: dict[str, str]) -> None:
        self.shelf = shelf
        self.arena = arena
        self.program = program
        arena.env.update(env)

    def command(self, *words: str) -> list[str]:
        """The command line."""
        return [*self.program, *words]

    def do(self, *words: str) -> str:
        """Run a command that is not measured."""
        return self.arena.run(*self.command(*words))

    def time(self, *words: str) -> float:
        """Seconds that one command takes."""
        return self.arena.time(self.command(*words))

    def get(self, *names: str) -> None:
        """Pull images and give them the names the cases use."""
        for name in names:
            self.do("pull", "-q", f"{REGISTRY}/{name}")
            self.do("tag", f"{REGISTRY}/{name}", name)

    def close(self) -> None:
        """End the contender."""
        self.arena.close()


class Kernelkit(Peer):
    """Ours, as installed in .venv, with a home in memory."""

    def __init__(self, shelf: Shelf, arena: Arena) -> None:
        self.home = arena.folder / "home"
        self.socket = self.home / "run/docker.sock"
        env = {"KERNELKIT_HOME": str(self.home), "DOCKER_HOST": f"unix://{self.socket}"}
        super().__init__(shelf, arena, [str(Path(sys.executable).with_name("kernelkit"))], env)
        shelf.serve(self.arena)
        self.do("up")
        self.get("busybox")

    def by_docker(self) -> Peer:
        """The same engine, driven by the stock client."""
        return Peer(self.shelf, self.arena, ["docker"], {})

    def create_start_wait(self) -> float:
        """Seconds from the engine's receiving a run with a network and a published port to the container's exit."""
        connection = Quick(self.socket)
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}}
        began = time.perf_counter()
        made = connection.request("POST", "/v1.41/containers/create", json.dumps(body))
        connection.request("POST", f"/v1.41/containers/{made['Id']}/start")
        ended = connection.request("POST", f"/v1.41/containers/{made['Id']}/wait")
        seconds = time.perf_counter() - began
        connection.request("DELETE", f"/v1.41/containers/{made['Id']}?force=1")
        connection.close()
        if ended["StatusCode"] != 0:
            raise OSError(f"true left with {ended['StatusCode']}")
        return seconds

    def close(self) -> None:
        self.arena.run(*self.command("down"), check=False)
        super().close()


class Docker(Peer):
    """dockerd and its containerd, with bridge and iptables, on a machine whose rules nobody else uses."""

    def __init__(self, shelf: Shelf, arena: Arena) -> None:
        folder = arena.folder
        super().__init__(shelf, arena, ["docker"], {"DOCKER_HOST": f"unix://{folder}/docker.sock"})
        shelf.serve(self.arena)
        self.arena.start(
            "dockerd",
            *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
            *("--host", f"unix://{folder}/docker.sock", "--storage-driver", "overlay2"),
        )
        self.arena.wait_for(folder / "docker.sock")
        self.get("busybox")


class Podman(Peer):
    """podman by runc; Debian's needs limits that are within the machine's own."""

    def __init__(self, shelf: Shelf, arena: Arena) -> None:
        folder = arena.folder
        settings = (
            '[containers]\ndefault_ulimits=["nofile=20000:20000","nproc=32768:32768"]\n[engine]\nlock_type="file"\n'
        )
        (folder / "containers.conf").write_text(settings)
        options = ["--runtime", "runc", "--root", f"{folder}/root", "--runroot", f"{folder}/run"]
        options += ["--cgroup-manager", "cgroupfs", "--tmpdir", f"{folder}/tmp"]
        super().__init__(shelf, arena, ["podman", *options], {"CONTAINERS_CONF": f"{folder}/containers.conf"})
        shelf.serve(self.arena)
        self.do("pull", "-q", "--tls-verify=false", f"{REGISTRY}/busybox")
        self.do("tag", f"{REGISTRY}/busybox", "busybox")


class Runtime(Peer):
    """crun or runc, with busybox's root file system as a bundle and the runtime's own idea of a config."""

    def __init__(self, shelf: Shelf, arena: Arena, name: str) -> None:
        folder = arena.folder
        super().__init__(shelf, arena, [name, "--root", f"{folder}/state"], {})
        if name == "crun":  # Debian's refuses the hybrid layout
            self.arena.run("sh", "-c", "[ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified")
        bundle = folder / "bundle"
        self.arena.run("umoci", "unpack", "--image", f"{shelf.folder}/busybox:latest", str(bundle))
        (bundle / "config.json").unlink()
        self.arena.run(name, "spec", "--bundle", str(bundle))
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(args=["true"], terminal=False)
        config["root"]["readonly"] = False
        (bundle / "config.json").write_text(json.dumps(config))
        self._bundle = bundle
        self._number = 0

    def run_true(self) -> float:
        """Seconds that a run of `true` without a network takes."""
        self._number += 1
        return self.time("run", "--bundle", str(self._bundle), f"b{self._number}")


class SkopeoUmoci(Peer):
    """A pull by two tools of the trade: skopeo copies, umoci unpacks."""

    def __init__(self, shelf: Shelf, arena: Arena) -> None:
        super().__init__(shelf, arena, [], {})
        shelf.serve(self.arena)

    def pull_debian(self) -> float:
        """Seconds to copy debian into an OCI layout and unpack it."""
        folder = self.arena.folder / "pulled"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"]
        copy += [f"docker://{REGISTRY}/debian:latest", f"oci:{folder}/oci:latest"]
        return self.arena.time(copy) + self.arena.time(
            ["umoci", "unpack", "--image", f"{folder}/oci:latest", f"{folder}/bundle"]
        )


class Quick:
    """A client of the Docker Engine API that takes next to no time itself: what is measured is the engine."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    def request(self, method: str, path: str, body: str = "") -> Any:
        """Ask; what is answered, as JSON. OSError for a refusal."""
        head = f"{method} {path} HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = b""
        while not (text := self._content(answer)):
            data = self._socket.recv(65536)
            if not data:
                raise OSError(f"{method} {path}: the engine closed the connection")
            answer += data
        if int(answer[9:12]) >= 400:
            raise OSError(f"{method} {path}: {text.decode()}")
        return json.loads(text) if text.strip() else None

    def _content(self, answer: bytes) -> bytes:
        """The body of an answer, and a blank: nothing as long as it is not complete."""
        head, end, body = answer.partition(b"\r\n\r\n")
        if not end:
            return b""
        if b"transfer-encoding: chunked" in head.lower():
            chunks = body.split(b"\r\n")  # JSON, in which these two bytes do not occur
            return b"".join(chunks[1::2]) + b" " if body.endswith(b"0\r\n\r\n") else b""
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        return body + b" " if len(body) >= int(fields.get(b"content-length", 0)) else b""

    def close(self) -> None:
        """Leave."""
        self._socket.close()
