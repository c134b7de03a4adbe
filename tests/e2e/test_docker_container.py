"""`docker container …`: every verb with the stock client, what it prints and what the kernel then holds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE, wait_until

HOSTS = ("practice", "real")

HOST_MARK = "cgroup.procs"


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The file's kernelkit, without containers and volumes before and after."""
    _sweep(shared_kk)
    yield shared_kk
    _sweep(shared_kk)


def _sweep(kk: Kernelkit) -> None:
    kk.empty()
    kk.docker("volume", "prune", "-f", "--filter", "all=1")


def inspect(kk: Kernelkit, name: str) -> dict[str, Any]:
    """One container as `docker inspect` tells it."""
    found: dict[str, Any] = json.loads(kk.docker("inspect", name).stdout)[0]
    return found


def in_host(kk: Kernelkit, *words: str, check: bool = True) -> str:
    """What a tool says in the practice host."""
    return kk("shell", *words, check=check).stdout


def cgroup_of(kk: Kernelkit, name: str, controller: str) -> Path:
    """A container's cgroup directory of one controller, as the practice host sees it, by its own process."""
    pid = inspect(kk, name)["State"]["Pid"]
    lines = in_host(kk, "cat", f"/proc/{pid}/cgroup").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controllers}{path}")
    return Path("/sys/fs/cgroup") / lines[-1].split(":", 2)[2].lstrip("/")


# run ----------------------------------------------------------------------------------------------------------------


def test_run_gives_output_and_exit_code(kk: Kernelkit) -> None:
    assert kk.docker("run", "--rm", "busybox", "echo", "hello").stdout == "hello\n"
    failed = kk.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 5", check=False)
    assert (failed.returncode, failed.stdout, failed.stderr) == (5, "out\n", "err\n")
    assert kk.docker("ps", "-aq").stdout == ""


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/no/such"], 127, "no such file or directory"),
        (["/etc"], 126, "permission denied"),
        (["sh", "-c", "kill -9 $$"], 0, ""),  # process 1 of a pid namespace does not die of its own signals
    ],
)
def test_run_s_exit_codes_are_docker_s(kk: Kernelkit, command: list[str], code: int, said: str) -> None:
    ended = kk.docker("run", "--rm", "busybox", *command, check=False)

    assert ended.returncode == code
    assert said in ended.stderr
    assert kk.docker("ps", "-aq").stdout == "", "with --rm nothing is left of a start that failed"


def test_stdin_is_piped_and_its_end_is_heard(kk: Kernelkit) -> None:
    assert kk.docker("run", "--rm", "-i", "busybox", "cat", input="one\ntwo\n").stdout == "one\ntwo\n"
    large = "x" * 3_000_000
    assert kk.docker("run", "--rm", "-i", "busybox", "wc", "-c", input=large).stdout == "3000000\n"
    assert len(kk.docker("run", "--rm", "-i", "busybox", "cat", input=large).stdout) == 3_000_000


def test_a_terminal_is_one(kk: Kernelkit) -> None:
    child = kk.terminal(["docker", "run", "--rm", "-it", "busybox", "sh"])
    child.expect("# ")
    child.sendline("tty; echo $TERM")
    child.expect("/dev/pts/0\r\nxterm\r\n")
    child.setwinsize(30, 70)
    child.sendline("until stty size | grep '30 70'; do sleep 0.1; done; exit 3")
    child.expect("\n30 70\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_ctrl_p_ctrl_q_leaves_it_running_and_attach_comes_back(kk: Kernelkit) -> None:
    child = kk.terminal(["docker", "run", "-it", "--name", "dk", "busybox", "sh"])
    child.expect("# ")
    child.send("\x10\x11")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert inspect(kk, "dk")["State"]["Running"]
    child = kk.terminal(["docker", "attach", "--detach-keys", "ctrl-a,d", "dk"])
    child.sendline("echo again")
    child.expect("again\r\nagain\r\n")
    child.send("\x01d")
    child.expect("read escape sequence")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    child = kk.terminal(["docker", "attach", "dk"])
    child.sendline("exit 5")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5
    assert inspect(kk, "dk")["State"]["ExitCode"] == 5


def test_a_detached_run_prints_the_id_and_runs_as_long_as_its_first_process(kk: Kernelkit) -> None:
    identity = kk.docker("run", "-d", "--name", "d1", "busybox", "sleep", "1000").stdout.strip()
    pid = inspect(kk, "d1")["State"]["Pid"]

    assert len(identity) == 64
    assert in_host(kk, "cat", f"/proc/{pid}/comm") == "sleep\n"
    in_host(kk, "kill", "-KILL", str(pid))
    wait_until(lambda: inspect(kk, "d1")["State"]["Status"] == "exited")
    state = inspect(kk, "d1")["State"]
    assert (state["ExitCode"], state["Pid"], state["OOMKilled"]) == (137, 0, False)
    assert in_host(kk, "find", "/sys/fs/cgroup", "-name", identity, check=False) == ""


def test_environment_working_directory_and_user(kk: Kernelkit) -> None:
    command = ["sh", "-c", "pwd; id; env | sort | grep -v SHLVL"]
    said = kk.docker("run", "--rm", "-e", "A=b=c", "-w", "/nonexist", "-u", "1234", "-h", "me", "busybox", *command)

    assert said.stdout.splitlines() == [
        "/nonexist",
        "uid=1234 gid=0(root) groups=0(root)",
        "A=b=c",
        "HOME=/",
        "HOSTNAME=me",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/nonexist",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "-u", "nosuchuser", "busybox", "id"], "unable to find user nosuchuser: no matching entries in passwd"),
        (["run", "--network", "nosuch", "busybox", "true"], "network nosuch not found"),
        (["run", "-m", "1m", "busybox", "true"], "Minimum memory limit allowed is 6MB"),
        (["run", "-w", "relative", "busybox", "true"], "needs to be an absolute path"),
        (["start", "nosuch"], "No such container: nosuch"),
        (["exec", "nosuch", "true"], "No such container: nosuch"),
        (["rename", "nosuch", "x"], "No such container: nosuch"),
    ],
)
def test_refusals_use_docker_s_words(kk: Kernelkit, words: list[str], said: str) -> None:
    refused = kk.docker(*words, check=False)

    assert refused.returncode != 0
    assert said in refused.stderr


def test_a_name_is_given_once(kk: Kernelkit) -> None:
    first = kk.docker("create", "--name", "one", "busybox").stdout.strip()
    again = kk.docker("create", "--name", "one", "busybox", check=False)

    assert f'Conflict. The container name "/one" is already in use by container "{first}"' in again.stderr


# life ---------------------------------------------------------------------------------------------------------------


def test_a_stopped_container_keeps_its_files_and_starts_again(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "k1", "busybox", "sh", "-c", "cat /kept 2>/dev/null; date > /kept")
    again = kk.docker("start", "-a", "k1").stdout

    assert again.strip()
    assert kk.docker("run", "--rm", "busybox", "ls", "/kept", check=False).returncode == 1, "the image never changes"


def test_stop_asks_first_and_makes_it_after_the_time(kk: Kernelkit) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    kk.docker("run", "-d", "--name", "polite", "busybox", "sh", "-c", script)
    wait_until(lambda: "ready" in kk.docker("logs", "polite").stdout)
    kk.docker("stop", "-t", str(int(PATIENCE)), "polite")
    assert inspect(kk, "polite")["State"]["ExitCode"] == 3
    assert kk.docker("logs", "polite").stdout == "ready\nbye\n"
    endless = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    kk.docker("run", "-d", "--name", "rude", "--stop-timeout", "1000", "busybox", *endless)
    began = time.monotonic()
    kk.docker("stop", "-t", "1", "rude")
    assert 0.9 < time.monotonic() - began < PATIENCE, "not the time that is given without -t"
    assert inspect(kk, "rude")["State"]["ExitCode"] == 137
    assert kk.docker("stop", "rude").returncode == 0, "stopping what is stopped is no error"


def test_kill_sends_any_signal(kk: Kernelkit) -> None:
    script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.1; done"
    kk.docker("run", "-d", "--name", "k1", "busybox", "sh", "-c", script)
    wait_until(lambda: "ready" in kk.docker("logs", "k1").stdout)
    kk.docker("kill", "-s", "USR1", "k1")
    wait_until(lambda: "usr1" in kk.docker("logs", "k1").stdout)
    assert "invalid signal: NOSUCH" in kk.docker("kill", "-s", "NOSUCH", "k1", check=False).stderr
    kk.docker("kill", "k1")
    assert inspect(kk, "k1")["State"]["ExitCode"] == 137
    assert "is not running" in kk.docker("kill", "k1", check=False).stderr


def test_wait_gives_the_exit_code(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "w1", "busybox", "sh", "-c", "sleep 0.5; exit 9")
    assert kk.docker("wait", "w1").stdout == "9\n"
    assert kk.docker("wait", "w1").stdout == "9\n", "at once when it has ended already"


def test_pause_freezes_and_unpause_wakes(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "p1", "busybox", "sh", "-c", "while :; do echo tick >> /ticks; sleep 0.1; done")
    place = cgroup_of(kk, "p1", "freezer")
    ticks = kk.home / "containers" / inspect(kk, "p1")["Id"] / "upper/ticks"
    wait_until(ticks.exists)
    kk.docker("pause", "p1")
    state = in_host(kk, "sh", "-c", f"cat {place}/freezer.state || cat {place}/cgroup.freeze").strip()
    assert state in ("FROZEN", "1")
    assert "(Paused)" in kk.docker("ps").stdout
    before = ticks.read_text()
    time.sleep(0.4)
    assert ticks.read_text() == before
    assert "is paused" in kk.docker("exec", "p1", "true", check=False).stderr
    kk.docker("unpause", "p1")
    wait_until(lambda: len(ticks.read_text()) > len(before))
    kk.docker("pause", "p1")
    kk.docker("rm", "-f", "p1")


def test_restart_begins_anew(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "r1", "busybox", "sleep", "1000")
    before = inspect(kk, "r1")["State"]
    kk.docker("restart", "-t", "0", "r1")
    after = inspect(kk, "r1")["State"]
    assert after["Running"]
    assert (before["Pid"], before["StartedAt"]) != (after["Pid"], after["StartedAt"])


def test_rename(kk: Kernelkit) -> None:
    kk.docker("create", "--name", "old", "busybox")
    kk.docker("rename", "old", "new")
    assert inspect(kk, "new")["Name"] == "/new"
    assert "No such container: old" in kk.docker("start", "old", check=False).stderr
    kk.docker("create", "--name", "old", "busybox")
    assert "already in use" in kk.docker("rename", "old", "new", check=False).stderr


def test_rm_wants_force_for_what_runs(kk: Kernelkit) -> None:
    identity = kk.docker("run", "-d", "--name", "x1", "busybox", "sleep", "1000").stdout.strip()
    refused = kk.docker("rm", "x1", check=False)
    assert refused.returncode == 1
    assert "container is running: stop the container before removing or force remove" in refused.stderr
    kk.docker("rm", "-f", "x1")
    assert not (kk.home / "containers" / identity).exists()
    assert kk.docker("rm", "-f", "x1", check=False).returncode in (0, 1)


def test_anonymous_volumes_go_with_rm_v(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "v1", "-v", "/data", "-v", "named:/n", "busybox", "touch", "/data/x", "/n/y")
    assert len(kk.docker("volume", "ls", "-q").stdout.split()) == 2
    kk.docker("rm", "-v", "v1")
    assert kk.docker("volume", "ls", "-q").stdout == "named\n"
    kk.docker("run", "--rm", "-v", "/data", "busybox", "true")
    assert kk.docker("volume", "ls", "-q").stdout == "named\n", "with --rm they have gone when it ends"
    assert kk.docker("run", "--rm", "-v", "named:/n:ro", "busybox", "ls", "/n").stdout == "y\n"


def test_prune_removes_those_that_do_not_run(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "runs", "busybox", "sleep", "1000")
    ended = kk.docker("run", "--name", "ended", "busybox", "dd", "if=/dev/zero", "of=/x", "bs=1000", "count=2000")
    assert ended.returncode == 0
    said = kk.docker("container", "prune", "-f").stdout
    assert "Total reclaimed space: 2MB" in said
    assert kk.docker("ps", "-a", "--format", "{{.Names}}").stdout == "runs\n"


def test_restart_policies(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "f1", "--restart", "on-failure:2", "busybox", "false")
    wait_until(lambda: inspect(kk, "f1")["State"]["Status"] == "exited")
    assert inspect(kk, "f1")["RestartCount"] == 2
    kk.docker("run", "-d", "--name", "a1", "--restart", "always", "busybox", "sleep", "1000")
    in_host(kk, "kill", "-KILL", str(inspect(kk, "a1")["State"]["Pid"]))
    wait_until(lambda: inspect(kk, "a1")["RestartCount"] == 1 and inspect(kk, "a1")["State"]["Running"])
    kk.docker("stop", "-t", "0", "a1")
    time.sleep(0.5)
    assert inspect(kk, "a1")["State"]["Status"] == "exited", "stopped by hand it stays so"


def test_out_of_memory_is_told(kk: Kernelkit) -> None:
    hog = "x=x; while :; do x=$x$x$x; done"
    ended = kk.docker(
        "run", "--name", "hog", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", hog, check=False
    )
    assert ended.returncode == 137
    assert inspect(kk, "hog")["State"]["OOMKilled"]


# looking ------------------------------------------------------------------------------------------------------------


def test_logs(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "l1", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; done; echo err >&2")
    whole = kk.docker("logs", "l1")
    assert (whole.stdout, whole.stderr) == ("1\n2\n3\n", "err\n")
    assert kk.docker("logs", "--tail", "2", "l1").stdout in ("3\n", "2\n3\n")
    assert kk.docker("logs", "--since", "1h", "l1").stdout == "1\n2\n3\n"
    assert kk.docker("logs", "--until", "1h", "l1").stdout == ""
    stamped = kk.docker("logs", "-t", "l1").stdout.splitlines()[0]
    assert stamped.endswith("Z 1")
    assert len(stamped) == len("2026-11-23T20:25:57.913696064Z 1")
    assert kk.docker("logs", "--details", "l1").stdout == " 1\n 2\n 3\n"


def test_logs_follow_until_the_end(kk: Kernelkit) -> None:
    script = "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; printf unfinished"
    kk.docker("run", "-d", "--name", "l1", "busybox", "sh", "-c", script)
    assert kk.docker("logs", "-f", "l1").stdout == "1\n2\n3\n4\n5\nunfinished"


def test_logs_rotate(kk: Kernelkit) -> None:
    options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=3"]
    kk.docker("run", "--name", "l1", *options, "busybox", "sh", "-c", "for i in $(seq 1000); do echo line $i; done")
    identity = inspect(kk, "l1")["Id"]
    files = sorted((kk.home / "containers" / identity).glob("log*"))
    assert [path.name for path in files] == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 10_240 for path in files)
    said = kk.docker("logs", "l1").stdout.splitlines()
    assert said[-1] == "line 1000"
    assert said == [f"line {i}" for i in range(1001 - len(said), 1001)]
    assert kk.docker("logs", "--tail", "150", "l1").stdout.splitlines() == said[-150:]


def test_labels_variables_and_a_tag_go_with_a_log(kk: Kernelkit) -> None:
    options = ["--log-opt", "labels=owner,none", "--log-opt", "env-regex=^APP", "--log-opt", "tag={{.Name}}/x"]
    known = ["--label", "owner=me", "--label", "other=1", "-e", "APP_A=1", "-e", "B=2"]
    kk.docker("run", "--name", "l1", *options, *known, "busybox", "echo", "hi")
    assert kk.docker("logs", "--details", "l1").stdout == "APP_A=1,owner=me,tag=l1/x hi\n"
    assert kk.docker("logs", "l1").stdout == "hi\n"
    for wrong in ("env-regex=(", "tag={{.Nope}}"):
        refused = kk.docker("run", "--log-opt", wrong, "busybox", "true", check=False)
        assert refused.returncode == 125
        assert f"log opt '{wrong}'" in refused.stderr


def test_a_container_without_a_log_has_none(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "l1", "--log-driver", "none", "busybox", "echo", "x")
    assert "configured logging driver does not support reading" in kk.docker("logs", "l1", check=False).stderr


def test_ps_filters_and_formats(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "up", "--label", "app=web", "-p", "8099:80", "busybox", "sleep", "1000")
    kk.docker("run", "--name", "down", "--label", "app=db", "busybox", "sh", "-c", "exit 4", check=False)
    kk.docker("create", "--name", "new", "busybox")

    def names(*words: str) -> list[str]:
        return kk.docker("ps", "--format", "{{.Names}}", *words).stdout.split()

    assert names() == ["up"]
    assert names("-a") == ["new", "down", "up"]
    assert names("-n", "2") == ["new", "down"]
    assert names("-l") == ["new"]
    for condition, expected in (
        ("status=exited", ["down"]),
        ("status=created", ["new"]),
        ("exited=4", ["down"]),
        ("exited=5", []),
        ("name=^/up$", ["up"]),
        ("label=app", ["down", "up"]),
        ("label=app=db", ["down"]),
        ("ancestor=busybox", ["new", "down", "up"]),
        ("ancestor=nosuch", []),
        ("before=down", ["up"]),
        ("since=up", ["new", "down"]),
        ("network=bridge", ["new", "down", "up"]),
        ("publish=8099", ["up"]),
        ("expose=80/tcp", ["up"]),
        ("health=none", ["new", "down", "up"]),
    ):
        assert names("-a", "--filter", condition) == expected, condition
    assert "invalid filter 'nosuch'" in kk.docker("ps", "--filter", "nosuch=1", check=False).stderr
    line = kk.docker("ps", "--format", "{{.Command}}|{{.Ports}}|{{.Status}}|{{.Image}}", "-s").stdout
    line = line.replace(" :::", " [::]:")  # as older clients have it
    assert line.startswith('"sleep 1000"|0.0.0.0:8099->80/tcp, [::]:8099->80/tcp|Up ')
    assert line.endswith("|busybox\n")
    assert "Exited (4) " in kk.docker("ps", "-a").stdout


def test_top_lists_the_host_s_view_of_its_processes(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "t1", "busybox", "sh", "-c", "sleep 1000 & sleep 2000")
    wait_until(lambda: len(kk.docker("top", "t1").stdout.splitlines()) == 3)
    rows = kk.docker("top", "t1", "-o", "pid,args").stdout.splitlines()
    assert rows[0].split() == ["PID", "COMMAND"]
    assert str(inspect(kk, "t1")["State"]["Pid"]) in {row.split()[0] for row in rows[1:]}
    assert "PID field" in kk.docker("top", "t1", "-o", "args", check=False).stderr


def test_stats_count_what_it_uses(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "s1", "-m", "64m", "busybox", "sh", "-c", "while :; do :; done")

    def look() -> dict[str, str]:
        said: dict[str, str] = json.loads(kk.docker("stats", "--no-stream", "--format", "{{json .}}", "s1").stdout)
        return said

    wait_until(lambda: float(look()["CPUPerc"].rstrip("%")) > 2)
    found = look()
    assert found["MemUsage"].endswith(" / 64MiB")
    assert found["PIDs"] == "1"
    assert found["Name"] == "s1"


def test_update_changes_what_the_kernel_enforces(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "u1", "-m", "64m", "busybox", "sleep", "1000")
    place = cgroup_of(kk, "u1", "memory")
    kk.docker("update", "-m", "128m", "--memory-swap", "128m", "--restart", "on-failure:3", "u1")
    limit = in_host(kk, "sh", "-c", f"cat {place}/memory.limit_in_bytes || cat {place}/memory.max").strip()
    assert limit == str(128 << 20)
    for asked, set_to in (("7", "7"), ("-1", "max")):
        kk.docker("update", "--pids-limit", asked, "u1")
        assert in_host(kk, "cat", f"{cgroup_of(kk, 'u1', 'pids')}/pids.max").strip() == set_to
    found = inspect(kk, "u1")["HostConfig"]
    assert (found["Memory"], found["RestartPolicy"]["Name"]) == (128 << 20, "on-failure")
    assert "Minimum memory limit allowed is 6MB" in kk.docker("update", "-m", "1m", "u1", check=False).stderr


def test_port_and_inspect_say_what_is_published(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "w1", "-p", "8098:80", "busybox", "sleep", "1000")
    said = kk.docker("port", "w1").stdout.replace(" :::", " [::]:")  # as older clients have it
    assert said == "80/tcp -> 0.0.0.0:8098\n80/tcp -> [::]:8098\n"
    published = [{"HostIp": address, "HostPort": "8098"} for address in ("0.0.0.0", "::")]
    assert inspect(kk, "w1")["NetworkSettings"]["Ports"] == {"80/tcp": published}


def test_events_tell_of_a_life(kk: Kernelkit) -> None:
    since = str(time.time())
    kk.docker("run", "--rm", "--name", "e1", "busybox", "true")
    wanted = ["--since", since, "--until", str(time.time()), "--filter", "type=container"]
    said = kk.docker("events", *wanted, "--format", "{{.Action}}")
    assert said.stdout.split() == ["create", "attach", "start", "die", "destroy"]


def test_events_tell_which_volumes_are_in_use(kk: Kernelkit) -> None:
    since = str(time.time())
    kk.docker("run", "--rm", "-v", "told:/data:ro", "busybox", "true")
    wanted = ["--since", since, "--until", str(time.time()), "--filter", "volume=told", "--format", "{{json .}}"]
    said = [json.loads(line) for line in kk.docker("events", *wanted).stdout.splitlines()]
    assert [event["Action"] for event in said] == ["create", "mount", "unmount"]
    about = said[1]["Actor"]["Attributes"]
    assert (about["destination"], about["driver"], about["read/write"]) == ("/data", "local", "false")
    assert about["container"] == said[2]["Actor"]["Attributes"]["container"]
    kk.docker("volume", "rm", "told")


# exec ---------------------------------------------------------------------------------------------------------------


def test_exec(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "x1", "busybox", "sleep", "1000")
    assert kk.docker("exec", "x1", "sh", "-c", "echo out; echo err >&2").stdout == "out\n"
    assert kk.docker("exec", "x1", "sh", "-c", "exit 7", check=False).returncode == 7
    assert kk.docker("exec", "-i", "x1", "cat", input="in\n").stdout == "in\n"
    said = kk.docker("exec", "-u", "nobody", "-w", "/tmp", "-e", "A=b", "x1", "sh", "-c", "id -u; pwd; echo $A").stdout
    assert said == "65534\n/tmp\nb\n"
    missing = kk.docker("exec", "x1", "nosuch", check=False)
    assert missing.returncode == 126
    assert 'exec: "nosuch": executable file not found in $PATH' in missing.stdout
    kk.docker("exec", "-d", "x1", "sleep", "77")
    wait_until(lambda: "sleep 77" in kk.docker("top", "x1").stdout)


def test_exec_stands_where_the_container_stands(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "x1", "busybox", "sleep", "1000")
    pid = inspect(kk, "x1")["State"]["Pid"]
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    own = {kind: in_host(kk, "readlink", f"/proc/{pid}/ns/{kind}") for kind in kinds}
    seen = {kind: kk.docker("exec", "x1", "readlink", f"/proc/self/ns/{kind}").stdout for kind in kinds}
    assert seen == own
    fields = ("CapEff", "CapBnd", "Seccomp:", "NoNewPrivs")
    status = [line for line in in_host(kk, "cat", f"/proc/{pid}/status").splitlines() if line.startswith(fields)]
    inside = [
        line
        for line in kk.docker("exec", "x1", "cat", "/proc/self/status").stdout.splitlines()
        if line.startswith(fields)
    ]
    assert inside == status


def test_exec_has_a_terminal_and_detaches(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "x1", "busybox", "sleep", "1000")
    child = kk.terminal(["docker", "exec", "-it", "x1", "sh"])
    child.expect("# ")
    child.sendline("tty")
    child.expect("/dev/pts/0")
    child.send("\x10\x11")
    child.expect("read escape sequence")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    assert "sh" in kk.docker("top", "x1").stdout


def test_exec_in_what_does_not_run_is_refused(kk: Kernelkit) -> None:
    identity = kk.docker("create", "--name", "x1", "busybox").stdout.strip()
    assert f"container {identity} is not running" in kk.docker("exec", "x1", "true", check=False).stderr


def test_a_first_start_that_cannot_be_leaves_nothing_of_what_was_to_be_removed(kk: Kernelkit) -> None:
    kk.docker("create", "--name", "still", "busybox")
    refused = kk.docker("run", "--rm", "--network", "container:still", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "cannot join network of a non running container" in refused.stderr
    assert kk.docker("ps", "-a", "--format", "{{.Names}}").stdout == "still\n"


def test_what_waits_for_its_restart_can_be_stopped_at_once(kk: Kernelkit) -> None:
    stays_once_it_is_told = ["sh", "-c", "while [ -e /stay ]; do sleep 0.1; done; false"]
    kk.docker("run", "-d", "--name", "loops", "--restart", "always", "busybox", *stays_once_it_is_told)
    # The pause before each restart is twice as long as the one before: by now there is time to get into one.
    wait_until(lambda: inspect(kk, "loops")["RestartCount"] >= 5)

    def pausing_is_refused() -> bool:
        said = kk.docker("pause", "loops", check=False).stderr
        kk.docker("unpause", "loops", check=False)  # it may have been running just then
        return "is restarting" in said

    wait_until(pausing_is_refused)
    wait_until(lambda: "Restarting (1) " in kk.docker("ps").stdout)
    kk.docker("stop", "-t", "1000", "loops")  # nobody is there to be given so long
    count = inspect(kk, "loops")["RestartCount"]
    assert inspect(kk, "loops")["State"]["Status"] == "exited"
    time.sleep(1.5)
    assert inspect(kk, "loops")["RestartCount"] == count
    (kk.home / "stay").touch()
    kk.docker("cp", str(kk.home / "stay"), "loops:/stay")
    kk.docker("start", "loops")
    assert inspect(kk, "loops")["RestartCount"] == 0, "a start by hand counts anew"
    kk.docker("exec", "loops", "rm", "/stay")
    wait_until(lambda: inspect(kk, "loops")["State"]["Restarting"])
    kk.docker("rm", "-f", "loops")


def test_started_again_at_once_it_has_its_files_to_itself(kk: Kernelkit) -> None:
    """The kernel forbids two mounts of one writable layer, or warns: the first must be gone before the second."""
    kk("create", "--name", "again", "busybox", "sh", "-c", "echo x >> /count")
    for _ in range(20):
        kk("start", "-a", "again")
    kk("cp", "again:/count", str(kk.home / "count"))
    assert (kk.home / "count").read_text() == "x\n" * 20
    kk("rm", "again")
