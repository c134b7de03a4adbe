"""Docker's own client and ours, one after the other, to the same engine: what they print is the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE, wait_until
from tests.pure.cli.fake_engine import stock_docker

DOCKER = stock_docker()
HOSTS = ("practice", "real")
pytestmark = pytest.mark.skipif(not DOCKER, reason="needs Docker's client, version 28 or newer")

LOOKING = """
ps
ps -as
ps -a --no-trunc --format 'table {{.Names}}\\t{{.Image}}\\t{{.Command}}\\t{{.Ports}}\\t{{.Mounts}}\\t{{.Networks}}'
ps -aq --filter status=created
ps -a --filter label=app=web --format json
ps --filter nonsense=1
images
images --digests --no-trunc
image ls --format json
history busybox
history --no-trunc --format json busybox
inspect web busybox cli-volume
inspect -f '{{.State.Status}} {{.NetworkSettings.IPAddress}} {{.State.Health}} {{json .Config.Labels}}' web
inspect nosuch
container inspect nosuch
image inspect nosuch
network inspect bridge
volume inspect cli-volume nosuch
logs web
logs -t --tail 1 web
logs nosuch
top web
top web -o pid,comm
top made
port web
port web 80
port web 81
diff web
diff nosuch
network ls
network ls -q --no-trunc --filter driver=bridge
volume ls
volume ls --format json
system df
system df -v
stats --no-stream --format '{{.Name}} {{.ID}} {{.PIDs}}' web
stats --no-stream made
events --since 0 --until 1s --filter type=container --filter event=create --format json
info -f '{{.NCPU}} {{.Driver}} {{.ServerVersion}}'
version -f '{{.Server.Version}} {{.Server.APIVersion}}'
exec web echo hi
exec -u 1000:5 -w /tmp -e A=b web sh -c 'id -u; id -g; pwd; echo $A'
exec web nosuch
exec made true
exec web sh -c 'exit 4'
run --rm busybox sh -c 'echo out; echo err >&2; exit 3'
run --rm busybox nosuch
run --rm busybox /etc
run --rm -u nosuch busybox true
run --rm --network nosuch busybox true
run --rm --entrypoint echo busybox hi
run --rm -w relative busybox true
run --rm --memory 1 busybox true
run --rm --cap-add NOSUCH busybox true
run --name web busybox true
run --pull never nosuch true
kill nosuch
kill made
kill -s NOSUCH web
stop nosuch
pause made
unpause web
restart nosuch
rename web made
rename nosuch other
rm web
rm nosuch
rm -f nosuch
wait nosuch
update --memory 1 web
attach made
start nosuch
commit nosuch
export nosuch
cp web:/nosuch /tmp
cp nonexistent web:/tmp
cp web:/etc/passwd /nonexistent/folder/x
tag nosuch x:1
tag busybox BAD
rmi nosuch
inspect Nosuch no_such:x@y
rmi busybox
network create bridge
network create -d nosuch x
network rm bridge
network connect nosuch web
network disconnect bridge nosuch
volume create a/b
volume rm nosuch
volume rm cli-volume
save nosuch
load -i /etc/passwd
import /nonexistent
search foo
system prune -f --filter label=nosuch
""".strip().splitlines()


@pytest.fixture(scope="module")
def host(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """One container that runs, one that never did, and a volume."""
    options = ["-v", "cli-volume:/data", "-l", "app=web", "-p", "127.0.0.1::80"]
    shared_kk("run", "-d", "--name", "web", *options, "busybox", "sh", "-c", "echo out; echo err >&2; exec sleep 1000")
    shared_kk("create", "--name", "made", "busybox", "true")
    wait_until(lambda: shared_kk("logs", "web").stderr)
    yield shared_kk
    shared_kk("rm", "-fv", "web", "made")


def comparable(text: str) -> str:
    """The output without what time and chance put into it."""
    text = re.sub(r"(About an? (minute|second)|Less than a second|\d+ (second|minute)s?)( ago)?", "TIME", text)
    text = text.replace("lstat //", "lstat /")  # how Docker's client names a file in the root
    text = re.sub(r"endpoint \S+ \(\w+\)", "endpoint", text)
    return re.sub(r"  +", "  ", text)


@pytest.mark.parametrize("command", LOOKING)
def test_the_same_words_have_the_same_answer(command: str, host: Kernelkit) -> None:
    words = shlex.split(command)
    docker = host.run([DOCKER, *words], check=False)
    ours = host(*words, check=False)
    named = docker.stderr.replace("docker: ", "kernelkit: ").replace("'docker", "'kernelkit")
    assert comparable(ours.stdout) == comparable(docker.stdout)
    assert comparable(ours.stderr) == comparable(named)
    assert ours.returncode == docker.returncode


def test_what_one_does_the_other_sees(host: Kernelkit, tmp_path: Path) -> None:
    """A container's whole life, verb by verb, with each client in turn."""
    clients = [host.__call__, lambda *words, **more: host.run([DOCKER, *words], **more)]
    for i, (one, other) in enumerate([(clients[0], clients[1]), (clients[1], clients[0])]):
        name, image = f"life{i}", f"life{i}:1"
        one(
            "create",
            "--name",
            name,
            "busybox",
            "sh",
            "-c",
            "echo ready; trap 'exit 5' TERM; while :; do sleep .1; done",
        )
        other("start", name)
        assert one("ps", "--filter", f"name={name}", "--format", "{{.Names}} {{.State}}").stdout == f"{name} running\n"
        other("pause", name)
        assert one("inspect", "-f", "{{.State.Paused}}", name).stdout == "true\n"
        one("unpause", name)
        other("exec", name, "sh", "-c", "echo changed > /tmp/file")
        assert one("diff", name).stdout == other("diff", name).stdout
        assert "A /tmp/file" in one("diff", name).stdout
        one("cp", f"{name}:/tmp/file", str(tmp_path / f"copy{i}"))
        assert (tmp_path / f"copy{i}").read_text() == "changed\n"
        other("commit", "-m", "a change", name, image)
        assert one("run", "--rm", image, "cat", "/tmp/file").stdout == "changed\n"
        one("rename", name, f"{name}b")
        assert other("stop", "-t", str(int(PATIENCE)), f"{name}b").stdout == f"{name}b\n"
        assert one("wait", f"{name}b").stdout == "5\n"
        assert other("logs", f"{name}b").stdout == "ready\n"
        one("rm", f"{name}b")
        other("rmi", image)
        assert one("ps", "-aq", "--filter", f"name={name}").stdout == ""
        assert other("images", "-q", image).stdout == ""


def test_archives_of_one_are_read_by_the_other(host: Kernelkit, tmp_path: Path) -> None:
    host("tag", "busybox", "cli-saved:1")
    host("save", "-o", str(tmp_path / "ours.tar"), "cli-saved:1")
    host.run([DOCKER, "save", "-o", str(tmp_path / "theirs.tar"), "cli-saved:1"])
    host("rmi", "cli-saved:1")
    assert host.run([DOCKER, "load", "-i", str(tmp_path / "ours.tar")]).stdout == "Loaded image: cli-saved:1\n"
    host("rmi", "cli-saved:1")
    assert host("load", "-i", str(tmp_path / "theirs.tar")).stdout == "Loaded image: cli-saved:1\n"
    host("rmi", "cli-saved:1")
    host("export", "-o", str(tmp_path / "files.tar"), "web")
    imported = host.run(
        [DOCKER, "import", "-c", "CMD true", str(tmp_path / "files.tar"), "cli-imported:1"]
    ).stdout.strip()
    assert host("inspect", "-f", "{{.Id}}", "cli-imported:1").stdout.strip() == imported
    host("rmi", "cli-imported:1")
