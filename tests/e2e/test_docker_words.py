"""What cannot be done is said in Docker's words, with its exit code; compared with Docker 20.10 on such a machine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Kernelkit
from tests.e2e.conftest import Client

RANGE = "uids and gids must be in range 0-2147483647"
QUOTA = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-u", "99999999999"], RANGE),
        (["-u", "2147483648"], RANGE),
        (["-u", "-1"], RANGE),
        (["-u", "0:99999999999"], RANGE),
        (["--group-add", "99999999999"], RANGE),
        (["-u", "nosuch"], "unable to find user nosuch: no matching entries in passwd file"),
        (["-u", "0:nosuch"], "unable to find group nosuch: no matching entries in group file"),
        (["--volumes-from", "nosuch"], "No such container: nosuch"),
        (["--cpuset-cpus", "first"], "Invalid value first for cpuset cpus: invalid format: first"),
        (["-w", "rel"], "the working directory 'rel' is invalid, it needs to be an absolute path"),
        (["-w", "/bin/busybox"], "Cannot mkdir: /bin/busybox is not a directory"),
        (["--storage-opt", "size=1G"], QUOTA),
        (["--storage-opt", "foo=bar"], "Unknown option foo"),
        (["--gpus", "all"], 'could not select device driver "" with capabilities: [[gpu]]'),
        (["--gpus", "device=0,driver=nvidia"], 'could not select device driver "nvidia" with capabilities: [[gpu]]'),
        pytest.param(
            ["--device", "vendor.com/class=name"],
            'could not select device driver "cdi" with capabilities: []',
            marks=pytest.mark.client(28),
        ),
    ],
)
def test_run(client: Client, kk: Kernelkit, options: list[str], said: str) -> None:
    refused = client("run", "--rm", *options, "busybox", "true", check=False)
    assert refused.returncode == 125
    line = refused.stderr.splitlines()[0].removesuffix(".")  # which older clients put there
    assert line.endswith(f": Error response from daemon: {said}")
    assert kk("ps", "-aq").stdout == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["-w", "/nope"],
            "OCI runtime exec failed: exec failed: unable to start container process: "
            'chdir to cwd ("/nope") set in config.json failed: no such file or directory: unknown',
        ),
        (
            ["-w", "/bin/busybox"],
            "OCI runtime exec failed: exec failed: unable to start container process: "
            'chdir to cwd ("/bin/busybox") set in config.json failed: not a directory: unknown',
        ),
        (["-w", "rel"], "OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown"),
        (["-u", "nosuch"], "unable to find user nosuch: no matching entries in passwd file"),
        (["-u", "99999999999"], RANGE),
    ],
)
def test_exec(client: Client, kk: Kernelkit, options: list[str], said: str) -> None:
    kk("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    refused = client("exec", *options, "box", "true", check=False)
    assert (refused.returncode, (refused.stdout + refused.stderr).strip()) == (126, said)
    assert kk("exec", "box", "echo", "on").stdout == "on\n"


def test_no_program_is_not_found_either(client: Client, kk: Kernelkit) -> None:
    said = 'unable to start container process: exec: "": executable file not found in $PATH: unknown'
    refused = client("run", "--rm", "busybox", "", check=False)
    assert (refused.returncode, said in refused.stderr) == (127, True)
    kk("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    refused = client("exec", "box", "", check=False)
    assert (refused.returncode, said in refused.stdout + refused.stderr) == (126, True)


def test_a_container_without_its_driver_stays_created(client: Client, kk: Kernelkit) -> None:
    refused = client("run", "--name", "gpu", "--gpus", "all", "busybox", "true", check=False)
    assert refused.returncode == 125
    found = json.loads(kk("inspect", "gpu").stdout)[0]
    state = found["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 128)
    assert state["Error"] == 'could not select device driver "" with capabilities: [[gpu]]'
    assert found["HostConfig"]["DeviceRequests"] == [
        {"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    ]
    again = client("start", "gpu", check=False)
    assert (again.returncode, "could not select device driver" in again.stderr) == (1, True)
