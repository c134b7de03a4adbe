"""`run` and its options: each does what Docker's does, seen in the kernel, by our own client and by the stock one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kernelkit
from tests.patience import wait_until

Run = Callable[..., Any]

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CGROUP = "cd /sys/fs/cgroup; for f in {}; do cat $f 2>/dev/null; done"


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The file's kernelkit; whatever a test makes goes after it."""
    yield shared_kk
    shared_kk.empty()
    shared_kk("volume", "prune", "-af")


@pytest.fixture(params=["kernelkit", "docker"])
def run(kk: Kernelkit, request: pytest.FixtureRequest) -> Run:
    """`run --rm` by one of the two clients."""
    client = kk if request.param == "kernelkit" else kk.docker

    def run(*words: str, **options: Any) -> Any:
        return client("run", "--rm", *words, **options)

    return run


def inspect(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk("inspect", name).stdout)[0]
    return found


def await_log(kk: Kernelkit, name: str, word: str) -> None:
    """Wait until a container has said this."""
    wait_until(lambda: word in kk("logs", name).stdout, f"{name} never said '{word}'")


def seen(name: str, options: str, command: str, said: str) -> Any:
    """One case: what a program inside says with these options."""
    return pytest.param(options.split(), ["sh", "-c", command], said, id=name)


@pytest.mark.parametrize(
    ("options", "command", "said"),
    [
        seen("plain", "", "id; hostname | wc -c; pwd", "uid=0(root) gid=0(root) groups=0(root),10(wheel)\n13\n/\n"),
        seen("hostname", "-h me", "hostname; cat /etc/hostname; grep -c me$ /etc/hosts", "me\nme\n1\n"),
        seen("domainname", "--domainname x.org", "cat /proc/sys/kernel/domainname", "x.org\n"),
        seen("env", "-e A=b=c -e PATH=/bin -e HOME=/", "echo $A $PATH $HOME", "b=c /bin /\n"),
        seen("workdir", "-w /a/b", "pwd; ls -ld /a/b | cut -c1-10", "/a/b\ndrwxr-xr-x\n"),
        seen("user", "-u www-data:daemon --group-add 77", "id", "uid=33(www-data) gid=1(daemon) groups=1(daemon),77\n"),
        seen("uid", "-u 1234", "id; echo $HOME", "uid=1234 gid=0(root) groups=0(root)\n/\n"),
        seen("group", "--group-add audio", "id -G", "0 10 29\n"),
        seen("entrypoint", "--entrypoint echo", "x", "-c x\n"),
        seen("ulimit", "--ulimit nofile=100:200 --ulimit core=0", "ulimit -n; ulimit -Hn; ulimit -c", "100\n200\n0\n"),
        seen("shm-size", "--shm-size 1m", "df /dev/shm | tail -1 | awk '{print $2}'", "1024\n"),
        seen("sysctl", "--sysctl net.core.somaxconn=77", "cat /proc/sys/net/core/somaxconn", "77\n"),
        seen("ipc-sysctl", "--sysctl kernel.msgmax=99", "cat /proc/sys/kernel/msgmax", "99\n"),
        seen("read-only", "--read-only -w /new", "pwd; touch /x 2>&1; touch /dev/shm/x",
             "/new\ntouch: /x: Read-only file system\n"),
        seen("tmpfs", "--tmpfs /t:size=1m,mode=700", "stat -f -c %T /t; stat -c %a /t; df /t | awk 'END{print $2}'",
             "tmpfs\n700\n1024\n"),
        seen("tmpfs-keeps-mode", "--tmpfs /root --tmpfs /tmp --tmpfs /new", "stat -c %a /root /tmp /new",
             "700\n1777\n1777\n"),
        seen("mount-tmpfs", "--mount type=tmpfs,dst=/t/,tmpfs-size=1m", "df /t | awk 'END{print $2}'", "1024\n"),
        seen("network-none", "--network none", "ls /proc/sys/net/ipv4/conf", "all\ndefault\nlo\n"),
        seen("network-bridge", "--network bridge", "ip -o -4 a show eth0 | awk '{print $2, $6}'",
             "eth0 172.17.255.255\n"),
        seen("network-host", "--network host", "ip -o link show kk0 | grep -c kk0", "1\n"),
        seen("mac", "--mac-address 92:d0:c6:0a:29:33", "cat /sys/class/net/eth0/address", "92:d0:c6:0a:29:33\n"),
        seen("dns", "--dns 1.2.3.4 --dns-search x.y --dns-option ndots:3", "cat /etc/resolv.conf",
             "search x.y\nnameserver 1.2.3.4\noptions ndots:3\n"),
        seen("add-host", "--add-host a:1.2.3.4 --add-host gw:host-gateway", "awk '$2 ~ /^(a|gw)$/' /etc/hosts",
             "1.2.3.4\ta\n172.17.0.1\tgw\n"),
        seen("cap-drop", "--cap-drop ALL --cap-add chown", "grep CapEff /proc/self/status",
             "CapEff:\t0000000000000001\n"),
        seen("cap-add", "--cap-add SYS_ADMIN", "mkdir /m && mount -t tmpfs x /m && echo ok", "ok\n"),
        seen("no-new-privileges", "--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status",
             "NoNewPrivs:\t1\n"),
        seen("seccomp", "--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"),
        seen("systempaths", "--security-opt systempaths=unconfined", "grep -c ' /proc/' /proc/self/mountinfo || true",
             "0\n"),
        seen("nothing-to-turn-off", "--security-opt apparmor=unconfined --security-opt label=disable", "true", ""),
        seen("device", "--device /dev/null:/dev/sub/n:rw", "stat -c '%t %T' /dev/sub/n; echo x > /dev/sub/n", "1 3\n"),
        seen("device-elsewhere", "--device /dev/zero:/etc/z", "head -c 3 /etc/z | wc -c", "3\n"),
        seen("uts-host", "--uts host", "hostname", "practice\n"),
        seen("pid-host", "--pid host", "cat /proc/1/cmdline | tr '\\0' ' ' | grep -c kernelkit.server", "1\n"),
        seen("userns-host", "--userns host", "cat /proc/self/uid_map | awk '{print $1, $2}'", "0 0\n"),
        seen("ipc-none", "--ipc none", "ls -d /dev/shm 2>&1 || true", "ls: /dev/shm: No such file or directory\n"),
        seen("cgroupns-host", "--cgroupns host", "grep -c /containers/ /proc/self/cgroup | sed 's/[1-9].*/some/'",
             "some\n"),
        seen("oom-score-adj", "--oom-score-adj 300", "cat /proc/self/oom_score_adj", "300\n"),
        seen("init", "--init", "cat /proc/1/comm; echo $$ | sed 's/^[2-9]$/not 1/'", "kernelkit-init\nnot 1\n"),
        seen("no-init", "--init=false", "echo $$", "1\n"),
        seen("expose", "--expose 80", "true", ""),
        seen("stdin-closed", "", "cat; echo end", "end\n"),
        seen("terminal", "-t", "tty; echo $TERM", "/dev/pts/0\nxterm\n"),
    ],
)  # fmt: skip
def test_an_option_does_what_docker_s_does(run: Run, options: list[str], command: list[str], said: str) -> None:
    if "--entrypoint" in options:
        command = command[1:]
    assert run(*options, "busybox", *command).stdout == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            "--link-local-ip 169.254.1.1",
            "'--link-local-ip' (LinkLocalIPs) is not supported by kernelkit",
            marks=pytest.mark.client(28),
        ),
        ("--volume-driver other -v vol:/x", 'error looking up volume plugin other: plugin "other" not found'),
        ("--link nobody:x", "could not get container for nobody: No such container: nobody"),
        ("--security-opt apparmor=mine", "'--security-opt apparmor=mine' is not supported by kernelkit"),
        ("--security-opt nosuch=x", 'invalid --security-opt 1: "nosuch=x"'),
        ("--log-driver syslog", "logger: no log driver named 'syslog' is registered"),
        ("--runtime other", "unknown or invalid runtime name: other"),
        ("--isolation hyperv", "invalid isolation: 'hyperv'"),
    ],
)
def test_an_option_that_does_not_work_is_refused_by_name(run: Run, options: str, said: str) -> None:
    refused = run(*options.split(), "busybox", "true", check=False)
    assert (refused.returncode, refused.stdout) == (125, "")
    assert said in refused.stderr


def test_no_option_of_docker_s_is_unknown_to_our_client(kk: Kernelkit) -> None:
    theirs = {
        word for line in kk.docker("run", "--help").stdout.splitlines() for word in line.split() if word[:2] == "--"
    }
    ours = {word for line in kk("run", "--help").stdout.splitlines() for word in line.split() if word[:2] == "--"}
    assert theirs - ours <= {"--help"}


# files ----------------------------------------------------------------------------------------------------------------


def test_variables_from_files_and_from_here(kk: Kernelkit, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# of mine\nA=1\nB\n\n  C=x y\nNOWHERE\n")
    kk.env["B"] = "bee"
    said = kk("run", "--rm", "--env-file", str(tmp_path / "env"), "-e", "D=", "-e", "B", "busybox", "env").stdout
    del kk.env["B"]
    assert said.splitlines()[2:] == ["A=1", "B=bee", "C=x y", "D=", "HOME=/root"]
    assert said.splitlines()[0] == PATH


def test_the_id_is_written_where_it_is_wanted_and_never_over_another(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "id"
    run("--cidfile", str(file), "busybox", "true")
    identity = file.read_text()
    assert len(identity) == 64
    refused = run("--cidfile", str(file), "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "ontainer ID file found" in refused.stderr
    assert file.read_text() == identity


def test_volumes_and_folders_are_mounted(run: Run, kk: Kernelkit, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hi\n")
    mounts = ["-v", f"{tmp_path}:/ro:ro", "-v", f"{tmp_path / 'f'}:/one/file", "-v", "vol:/v", "-v", "/anonymous"]
    mounts += ["--mount", f"type=bind,src={tmp_path},dst=/m,readonly", "--mount", "type=volume,src=vol2,dst=/v2"]
    script = "cat /one/file; touch /ro/x /m/x 2>&1; echo kept > /v/x; echo new > /one/file; ls -d /anonymous /v2"
    said = run(*mounts, "busybox", "sh", "-c", script, check=False).stdout
    refused = "touch: /ro/x: Read-only file system\ntouch: /m/x: Read-only file system\n"
    assert said == f"hi\n{refused}/anonymous\n/v2\n"
    assert (tmp_path / "f").read_text() == "new\n"
    assert run("-v", "vol:/w:ro", "busybox", "sh", "-c", "cat /w/x; touch /w/y 2>&1", check=False).stdout == (
        "kept\ntouch: /w/y: Read-only file system\n"
    )
    kk("create", "--name", "owner", "-v", "vol:/from", "busybox")
    assert run("--volumes-from", "owner:ro", "busybox", "cat", "/from/x").stdout == "kept\n"
    assert sorted(kk("volume", "ls", "-q").stdout.split()) == ["vol", "vol2"], "anonymous ones went with --rm"


def test_a_folder_that_is_not_there_is_made_for_v_and_refused_for_mount(run: Run, tmp_path: Path) -> None:
    run("-v", f"{tmp_path}/made:/x", "busybox", "true")
    assert (tmp_path / "made").is_dir()
    refused = run("--mount", f"type=bind,src={tmp_path}/not,dst=/x", "busybox", "true", check=False)
    assert f"bind source path does not exist: {tmp_path}/not" in refused.stderr
    assert not (tmp_path / "not").exists()


def test_what_is_mounted_later_is_passed_on_where_that_is_possible(kk: Kernelkit, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for wanted, said in (("rslave", "not a shared or slave mount"), ("rshared", "not a shared mount")):
        refused = kk("run", "--rm", "-v", f"{tmp_path}:/x:{wanted}", "busybox", "true", check=False)
        assert refused.returncode == 125
        assert f"path {tmp_path} is mounted on " in refused.stderr
        assert said in refused.stderr
    kk("shell", "sh", "-c", f"mount --bind {tmp_path} {tmp_path} && mount --make-shared {tmp_path}")
    kk("run", "-d", "--name", "slave", "-v", f"{tmp_path}:/x:rslave", "busybox", "sleep", "1000")
    kk("run", "-d", "--name", "private", "-v", f"{tmp_path}:/x", "busybox", "sleep", "1000")
    kk("shell", "mount", "-t", "tmpfs", "later", f"{tmp_path}/sub")
    assert kk("exec", "slave", "grep", "-c", " /x/sub ", "/proc/self/mountinfo").stdout == "1\n"
    assert kk("exec", "private", "grep", "-c", " /x/sub ", "/proc/self/mountinfo", check=False).stdout == "0\n"
    kk("rm", "-f", "slave", "private")
    kk("shell", "umount", "-R", str(tmp_path))


def test_a_profile_of_one_s_own_filters_system_calls(run: Run, tmp_path: Path) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    said = run("--security-opt", f"seccomp={tmp_path}/profile.json", "busybox", "mkdir", "/x", check=False)
    assert said.stderr == "mkdir: can't create directory '/x': Operation not permitted\n"


def test_annotations_are_in_the_container_s_specification(kk: Kernelkit) -> None:
    identity = kk("run", "-d", "--annotation", "a=b", "busybox", "sleep", "100").stdout.strip()
    file = kk.home / "containers" / identity / "config.json"
    wait_until(file.exists)  # written when there is time for it
    assert json.loads(file.read_text())["annotations"] == {"a": "b"}


# namespaces -----------------------------------------------------------------------------------------------------------


def test_namespaces_of_another_container_are_joined(run: Run, kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "other", "--ipc", "shareable", "-h", "otherhost", "busybox", "sleep", "1000")
    pid = inspect(kk, "other")["State"]["Pid"]
    for kind, option in (("net", "--network"), ("ipc", "--ipc"), ("pid", "--pid")):
        theirs = kk("shell", "readlink", f"/proc/{pid}/ns/{kind}").stdout
        assert run(option, "container:other", "busybox", "readlink", f"/proc/self/ns/{kind}").stdout == theirs
    assert run("--network", "container:other", "busybox", "hostname").stdout == "otherhost\n"
    wait_until(lambda: "sleep 1000" in run("--pid", "container:other", "busybox", "ps").stdout)
    kk("exec", "other", "touch", "/dev/shm/ours")
    assert run("--ipc", "container:other", "busybox", "ls", "/dev/shm").stdout == "ours\n"


def test_what_cannot_be_joined_is_said(run: Run, kk: Kernelkit) -> None:
    identity = kk("create", "--name", "still", "busybox").stdout.strip()
    for kind, option in (("network", "--network"), ("IPC", "--ipc"), ("PID", "--pid")):
        refused = run(option, "container:still", "busybox", "true", check=False)
        assert refused.returncode == 125
        assert f"cannot join {kind} of a non running container: {identity}" in refused.stderr
    kk("run", "-d", "--name", "alone", "busybox", "sleep", "1000")
    assert "non-shareable IPC" in run("--ipc", "container:alone", "busybox", "true", check=False).stderr


def test_an_address_is_chosen_in_a_network_of_one_s_own(kk: Kernelkit) -> None:
    kk("network", "create", "--subnet", "172.30.9.0/24", "mine")
    said = kk("run", "--rm", "--network", "mine", "--ip", "172.30.9.77", "busybox", "ip", "-o", "-4", "a").stdout
    kk("network", "rm", "mine")
    assert "172.30.9.77/24" in said
    refused = kk("run", "--rm", "--ip", "172.17.0.9", "busybox", "true", check=False)
    assert "user specified IP address is supported on user defined networks only" in refused.stderr


def test_all_exposed_ports_are_published_on_free_ones(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "web", "--expose", "80", "--expose", "90-91/udp", "-P", "busybox", "httpd", "-f")
    ports = inspect(kk, "web")["NetworkSettings"]["Ports"]
    assert sorted(ports) == ["80/tcp", "90/udp", "91/udp"]
    assert all(int(bound[0]["HostPort"]) >= 32768 for bound in ports.values())


# rights ---------------------------------------------------------------------------------------------------------------


def test_a_privileged_container_has_all_there_is(run: Run, kk: Kernelkit) -> None:
    bounding = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    said = run("--privileged", "busybox", "sh", "-c", "grep -E 'CapBnd|Seccomp:' /proc/self/status; ls /dev").stdout
    assert said.splitlines()[:2] == [bounding, "Seccomp:\t0"]
    here = {entry.name for entry in os.scandir("/dev") if entry.is_file(follow_symlinks=False) is False
            and not entry.is_dir() and not entry.is_symlink()}  # fmt: skip
    assert here - {"console", "ptmx"} <= set(said.splitlines()[2:])
    written = "mount -t tmpfs x /tmp && echo 1 > /proc/sys/net/ipv4/ip_forward && mount | grep -c ' /proc/.* ro'"
    assert run("--privileged", "busybox", "sh", "-c", written, check=False).stdout == "0\n"


def test_a_device_cgroup_rule_opens_what_was_made_by_hand(run: Run) -> None:
    script = "mknod /tmp/fuse c 10 229; head -c 0 /tmp/fuse 2>&1"
    assert "Operation not permitted" in run("busybox", "sh", "-c", script, check=False).stdout
    assert run("--device-cgroup-rule", "c 10:229 r", "busybox", "sh", "-c", script).stdout == ""


# life -----------------------------------------------------------------------------------------------------------------


def test_names_labels_and_stop_settings_are_kept(kk: Kernelkit) -> None:
    options = ["--name", "kept", "--label", "a=b", "-l", "c", "--stop-signal", "USR1", "--stop-timeout", "7"]
    kk("run", "-d", *options, "--restart", "on-failure:3", "busybox", "sleep", "1000")
    found = inspect(kk, "kept")
    assert found["Name"] == "/kept"
    assert found["Config"]["Labels"] == {"a": "b", "c": ""}
    assert (found["Config"]["StopSignal"], found["Config"]["StopTimeout"]) == ("USR1", 7)
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}


def test_the_stop_signal_is_the_one_that_stops(kk: Kernelkit) -> None:
    script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    kk("run", "-d", "--name", "st", "--stop-signal", "SIGUSR1", "busybox", "sh", "-c", script)
    await_log(kk, "st", "ready")
    kk("stop", "-t", "60", "st")
    assert inspect(kk, "st")["State"]["ExitCode"] == 9


@pytest.mark.client(28)
def test_an_image_is_pulled_or_not_as_wanted(run: Run, kk: Kernelkit) -> None:
    refused = run("--pull", "never", "bash", "true", check=False)
    assert (refused.returncode, "No such image: bash:latest" in refused.stderr) == (125, True)
    said = run("--pull", "always", "busybox", "echo", "here")
    assert said.stdout == "here\n"
    assert "Image is up to date for busybox:latest" in said.stderr
    assert run("--pull", "always", "-q", "busybox", "true").stderr == ""
    assert (
        run("--platform", "linux/amd64" if os.uname().machine == "x86_64" else "linux/arm64", "busybox", "true").stdout
        == ""
    )
    other = run("--platform", "linux/s390x", "busybox", "true", check=False)
    assert (other.returncode, "linux/s390x" in other.stderr) == (125, True)


# an init of the container's own --------------------------------------------------------------------------------------


def test_an_init_collects_orphans_and_hands_on_signals(kk: Kernelkit) -> None:
    script = "(sleep 0.1 & ) ; trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    kk("run", "-d", "--init", "--name", "in", "busybox", "sh", "-c", script)
    await_log(kk, "in", "ready")
    kk("exec", "in", "sleep", "0.3")
    ps = ("exec", "in", "ps", "-o", "pid,stat,args")
    assert "/sbin/kernelkit-init -- sh -c" in kk(*ps).stdout.splitlines()[1]
    wait_until(lambda: " Z" not in kk(*ps).stdout)  # for a moment, what has just ended is one
    kk("stop", "-t", "60", "in")
    assert inspect(kk, "in")["State"]["ExitCode"] == 5


def test_an_init_ends_as_the_program_has_ended(run: Run) -> None:
    assert run("--init", "busybox", "sh", "-c", "exit 7", check=False).returncode == 7
    assert run("--init", "busybox", "sh", "-c", "kill -9 $$", check=False).returncode == 137
    missing = run("--init", "busybox", "nosuch", check=False)
    assert missing.returncode == 127
    assert 'exec: "nosuch": executable file not found in $PATH' in missing.stderr


def test_an_init_keeps_the_host_s_program_and_environment_to_itself(run: Run) -> None:
    script = "cat /proc/1/environ; readlink /proc/1/exe; ls /proc/1/root/; cat /proc/1/maps"
    said = run("--init", "busybox", "sh", "-c", script, check=False)
    assert said.stdout == ""
    assert said.stderr.count("Permission denied") >= 3
