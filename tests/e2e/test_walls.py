"""The walls around a container: what Docker's show, ours show, and what Docker's keep in, ours keep in."""

from __future__ import annotations

import errno
import json
import os
import platform
import tarfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Kernelkit

HERE = Path(__file__).parent  # a folder of the real machine that no container should see
HOSTS = ("practice", "real")

# What Docker 20.10 shows a container, as captured on the same kind of machine.
STATUS = {
    "Uid": "0\t0\t0\t0",
    "Gid": "0\t0\t0\t0",
    "Umask": "0022",
    "NSpid": "1",
    "NSsid": "1",
    "SigBlk": "0000000000000000",
    "SigIgn": "0000000000000000",
    "SigCgt": "0000000000000000",
    "CapInh": "0000000000000000",
    "CapPrm": "00000000a80425fb",
    "CapEff": "00000000a80425fb",
    "CapBnd": "00000000a80425fb",
    "CapAmb": "0000000000000000",
    "NoNewPrivs": "0",
    "Seccomp": "2",
    "Seccomp_filters": "1",
}
USER = {
    "Uid": "1000\t1000\t1000\t1000",
    "CapPrm": "0000000000000000",
    "CapEff": "0000000000000000",
    "CapBnd": "00000000a80425fb",
}
ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=me", "A=1", "HOME=/root"]
MOUNTS = """\
/ / rw,relatime overlay overlay
/proc / rw,nosuid,nodev,noexec,relatime proc proc rw
/dev / rw,nosuid tmpfs tmpfs rw,size=65536k,mode=755
/dev/pts / rw,nosuid,noexec,relatime devpts devpts rw,gid=5,mode=620,ptmxmode=666
/sys / ro,nosuid,nodev,noexec,relatime sysfs sysfs ro
/dev/mqueue / rw,nosuid,nodev,noexec,relatime mqueue mqueue rw
/dev/shm / rw,nosuid,nodev,noexec,relatime tmpfs shm rw,size=65536k
/etc/resolv.conf rw,relatime
/etc/hostname rw,relatime
/etc/hosts rw,relatime
/proc/bus /bus ro,nosuid,nodev,noexec,relatime proc proc rw
/proc/fs /fs ro,nosuid,nodev,noexec,relatime proc proc rw
/proc/irq /irq ro,nosuid,nodev,noexec,relatime proc proc rw
/proc/sys /sys ro,nosuid,nodev,noexec,relatime proc proc rw
/proc/acpi / ro,relatime tmpfs tmpfs ro
/proc/keys /null rw,nosuid tmpfs tmpfs rw,size=65536k,mode=755
/proc/timer_list /null rw,nosuid tmpfs tmpfs rw,size=65536k,mode=755
/sys/firmware / ro,relatime tmpfs tmpfs ro
""".splitlines()
DEV = """\
crw-rw-rw- 1, 7 full
crw-rw-rw- 1, 3 null
crw-rw-rw- 1, 8 random
crw-rw-rw- 5, 0 tty
crw-rw-rw- 1, 9 urandom
crw-rw-rw- 1, 5 zero
drwxr-xr-x pts
drwxrwxrwt mqueue
drwxrwxrwt shm
lrwxrwxrwx fd -> /proc/self/fd
lrwxrwxrwx ptmx -> pts/ptmx
lrwxrwxrwx stderr -> /proc/self/fd/2
lrwxrwxrwx stdin -> /proc/self/fd/0
lrwxrwxrwx stdout -> /proc/self/fd/1
""".splitlines()


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def inside(kk: Kernelkit, *words: str, options: tuple[str, ...] = (), check: bool = True) -> str:
    """What a program says in a container."""
    ended = kk("run", "--rm", *options, "busybox", *words, check=check)
    return ended.stdout + ("" if check else ended.stderr)


def status(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


# what is seen ---------------------------------------------------------------------------------------------------------


def test_a_process_has_docker_s_rights(kk: Kernelkit) -> None:
    found = status(inside(kk, "cat", "/proc/self/status"))
    assert {key: found[key] for key in STATUS} == STATUS
    assert "0" in found["Groups"].split()


def test_a_user_s_process_has_none(kk: Kernelkit) -> None:
    found = status(inside(kk, "cat", "/proc/self/status", options=("-u", "1000:1000")))
    assert {key: found[key] for key in USER} == USER
    assert found["Groups"].split() == ["1000"]


def test_an_exec_has_the_same(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    found = status(kk("exec", "box", "cat", "/proc/self/status").stdout)
    same = [key for key in STATUS if not key.startswith("NS")]
    assert {key: found[key] for key in same} == {key: STATUS[key] for key in same}


def test_the_environment_is_docker_s_and_nothing_of_the_host_s(kk: Kernelkit) -> None:
    assert inside(kk, "env", options=("-e", "A=1", "-h", "me")).splitlines() == ENVIRONMENT


def test_the_mounts_are_docker_s(kk: Kernelkit) -> None:
    found = {}
    for line in inside(kk, "cat", "/proc/self/mountinfo").splitlines():
        # Debian's kernels give a tmpfs inode numbers of 64 bits, and say so: tmpfs(5), CONFIG_TMPFS_INODE64.
        before, after = (half.split() for half in line.replace(",inode64", "").split(" - "))
        root, place, options = before[3:6]
        assert before[6:] == [], f"{place} is not private"
        found[place] = (
            f"{place} {options}" if place.startswith("/etc/") else f"{place} {root} {options} {' '.join(after)}"
        )
    expected = {line.split()[0]: line for line in MOUNTS}
    found["/"] = " ".join(found["/"].split()[:5])
    there = {place for place in expected if place.count("/") < 2 or Path(place).exists() or place.startswith("/etc/")}
    cgroups = {place: found.pop(place) for place in list(found) if place.startswith("/sys/fs/cgroup")}
    assert {place: found.get(place) for place in there} == {place: expected[place] for place in there}
    assert found.keys() - expected.keys() <= {
        "/proc/kcore",
        "/proc/scsi",
        "/proc/asound",
        "/proc/sysrq-trigger",
        "/sys/devices/virtual/powercap",
    }
    assert all(" ro," in text or place == "/sys/fs/cgroup" for place, text in cgroups.items())
    assert all(text.split()[1] == "/" for text in cgroups.values()), "a cgroup namespace of its own"


def test_read_only_means_all_but_what_is_the_kernel_s(kk: Kernelkit) -> None:
    said = inside(kk, "cat", "/proc/self/mountinfo", options=("--read-only",))
    options = {line.split()[4]: line.split()[5].split(",")[0] for line in said.splitlines()}
    assert {p: options[p] for p in ("/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")} == dict.fromkeys(
        ("/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"), "ro"
    )
    assert {p: options[p] for p in ("/dev", "/dev/shm", "/proc")} == dict.fromkeys(("/dev", "/dev/shm", "/proc"), "rw")


def test_dev_holds_docker_s_nodes_and_links(kk: Kernelkit) -> None:
    lines = [line.split() for line in inside(kk, "ls", "-lA", "/dev").splitlines()[1:]]
    found = [" ".join([w[0], *(w[4:6] if w[0][0] == "c" else []), *w[9 if w[0][0] == "c" else 8 :]]) for w in lines]
    assert sorted(found) == sorted(DEV)


def test_nothing_of_the_host_is_open(kk: Kernelkit) -> None:
    said = inside(kk, "ls", "-l", "/proc/self/fd").splitlines()
    assert [line.split()[8] for line in said if "->" in line] == ["0", "1", "2"]
    assert inside(kk, "cat", "/proc/keys", "/proc/timer_list") == ""
    assert inside(kk, "sh", "-c", "readlink /proc/self/cwd; readlink /proc/self/root") == "/\n/\n"


def test_every_namespace_is_its_own(kk: Kernelkit) -> None:
    kinds = [f"/proc/self/ns/{kind}" for kind in ("cgroup", "ipc", "mnt", "net", "pid", "uts")]
    look = ["sh", "-c", f"for x in {' '.join(kinds)}; do readlink $x; done"]
    ours, practice = inside(kk, *look).split(), kk("shell", *look).stdout.split()
    assert len(set(ours) | set(practice) | {os.readlink(kind) for kind in kinds}) == 18


def test_limits_of_processes_are_the_machine_s(kk: Kernelkit) -> None:
    assert inside(kk, "cat", "/proc/self/limits") == Path("/proc/self/limits").read_text()


# what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs x /tmp",
        "mount --bind /etc /tmp",
        "mount -o remount,rw /sys",
        "umount /proc/sys",
        "umount -l /proc/keys",
        "mknod /tmp/disk b 254 0 && cat /tmp/disk",
        "mknod /tmp/mem c 1 1 && cat /tmp/mem",
        "mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg",
        "echo 77 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "echo x > /sys/kernel/uevent_helper",
        "cd /sys/fs/cgroup/memory || cd /sys/fs/cgroup; echo 1 > cgroup.procs",
        "echo 0 > /proc/self/oom_score_adj && echo -900 > /proc/self/oom_score_adj",
        "hostname other",
        "ip link set eth0 down",
        f"chroot /proc/1/root/../../../.. test -e {HERE}",
        f"test -e /proc/1/root/../../../..{HERE}",
        f"cd ../../../../../../.. && test -e .{HERE}",
        "insmod /tmp/x.ko; dmesg -c",
        "unshare -m true",
        "unshare -U true",
        "nsenter -t 1 -n true && nsenter -t 1 -m true",
        "renice -n -5 1",
        "date -s 2000-01-01; date +%Y | grep -q 2000",
        "swapon /tmp/x",
        "reboot -f; test -e /never",
        "losetup /dev/loop0 /bin/busybox",
        "chmod 700 /sys/kernel",
        "cd /sys/fs/cgroup/pids || cd /sys/fs/cgroup; mkdir x",
    ],
)
def test_what_docker_refuses_is_refused(kk: Kernelkit, attempt: str) -> None:
    ended = kk("run", "--rm", "busybox", "sh", "-c", attempt, check=False)
    assert ended.returncode not in (0, 125, 126, 127), ended.stdout
    assert Path("/proc/sys/kernel/panic").read_text() != "77\n"


def test_with_more_rights_the_read_only_paths_and_the_devices_still_hold(kk: Kernelkit) -> None:
    options = ("--cap-add", "SYS_ADMIN", "--cap-add", "SYS_RAWIO")
    said = inside(kk, "sh", "-c", "mknod /tmp/d b 254 0; head -c 1 /tmp/d", options=options, check=False)
    assert "Operation not permitted" in said
    said = inside(kk, "sh", "-c", "echo 77 > /proc/sys/kernel/panic", options=options, check=False)
    assert "Read-only file system" in said


def test_the_host_s_own_devices_are_out_of_reach(kk: Kernelkit) -> None:
    """What hides /proc/keys is the container's null device: changing its mode must not change the host's."""
    before = os.stat("/dev/null").st_mode
    inside(kk, "sh", "-c", "chmod 600 /proc/keys /proc/timer_list /dev/null; rm -f /dev/null", check=False)
    assert os.stat("/dev/null").st_mode == before


CALLS = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for name, number, *arguments in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    answer = libc.syscall(number, *[ctypes.c_long(a) for a in arguments])
    found[name] = ctypes.get_errno() if answer < 0 else 0
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
def test_the_filter_refuses_what_docker_s_refuses(kk: Kernelkit) -> None:
    """The real filter, as the container gets it, asked about system calls by number from a Python inside."""
    calls: list[tuple[str, int, int]] = [
        ("add_key", 248, 0), ("request_key", 249, 0), ("keyctl", 250, 0), ("bpf", 321, 99), ("kexec_load", 246, 0),
        ("open_by_handle_at", 304, -1), ("init_module", 175, 0), ("perf_event_open", 298, 0), ("userfaultfd", 323, -1),
        ("mount", 165, 0), ("umount2", 166, 0), ("pivot_root", 155, 0), ("swapon", 167, 0), ("reboot", 169, 0),
        ("setns", 308, -1), ("unshare", 272, 0x10000000), ("clone3", 435, 0), ("open_tree", 428, -1),
        ("move_mount", 429, -1), ("fsopen", 430, 0), ("lookup_dcookie", 212, 0), ("nfsservctl", 180, 0),
        ("getpid", 39, 0), ("personality", 135, 0), ("ptrace", 101, 16), ("clock_settime", 227, 0), ("acct", 163, 0),
        ("settimeofday", 164, 1), ("iopl", 172, 3), ("quotactl", 179, 0), ("create_module", 174, 0),
    ]  # fmt: skip
    mounts = [
        "-v",
        "/usr:/usr:ro",
        "-v",
        "/lib:/lib:ro",
        "-v",
        "/lib64:/lib64:ro",
        "-v",
        "/etc/alternatives:/etc/alternatives:ro",
    ]
    python = os.path.realpath("/usr/bin/python3")
    words = [python, "-S", "-E", "-c", CALLS, json.dumps(calls)]
    filtered = json.loads(inside(kk, *words, options=tuple(mounts)))
    refused = {name for name, error in filtered.items() if error == errno.EPERM}
    assert filtered.pop("clone3") == errno.ENOSYS, "so that programs fall back to clone, whose flags can be looked at"
    assert refused == set(filtered) - {"getpid", "personality", "ptrace"}
    free = json.loads(inside(kk, *words, options=(*mounts, "--security-opt", "seccomp=unconfined")))
    assert {name for name in refused if free[name] != errno.EPERM} >= {"add_key", "keyctl", "userfaultfd", "unshare"}


# images that want out -------------------------------------------------------------------------------------------------


def evil(kk: Kernelkit, name: str, links: dict[str, str]) -> str:
    """An image in which these folders are links."""
    kk("create", "--name", "donor", "busybox")
    kk("export", "-o", str(kk.home / "donor.tar"), "donor")
    kk("rm", "donor")
    with tarfile.open(kk.home / "donor.tar") as old, tarfile.open(kk.home / "evil.tar", "w") as new:
        for member in old:
            if member.name.strip("/").split("/")[0] not in {link.split("/")[0] for link in links}:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for link, target in links.items():
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, target
            new.addfile(info)
    kk("import", str(kk.home / "evil.tar"), name)
    return name


@pytest.mark.parametrize("place", ["dev", "proc", "sys"])
def test_an_image_whose_folder_is_a_link_does_not_lead_outside(kk: Kernelkit, tmp_path: Path, place: str) -> None:
    """The places for what is the kernel's are in a sheet above the image's, where its links do not show."""
    image = evil(kk, f"evil-{place}", {place: str(tmp_path)})
    said = kk("run", "--rm", image, "/bin/busybox", "sh", "-c", f"stat -c %F /{place}; ls /{place} | wc -l").stdout
    assert said.split()[0] == "directory"
    assert int(said.split()[1]) > 5
    assert list(tmp_path.iterdir()) == []


def test_links_in_an_image_never_turn_a_mount_elsewhere(kk: Kernelkit, tmp_path: Path) -> None:
    links = {"etc": str(tmp_path), "data": f"{tmp_path}/../..", "one": "two", "two": f"{tmp_path}/three"}
    image = evil(kk, "evil-etc", links)
    options = ["-v", "vol:/data/x", "--tmpfs", "/etc/y", "-v", "/etc/passwd:/one"]
    said = kk("run", "--rm", *options, image, "/bin/busybox", "cat", "/etc/hostname", "/one")
    assert said.stdout[13:] == Path("/etc/passwd").read_text()
    assert list(tmp_path.iterdir()) == []
    assert "evil" not in Path("/proc/self/mountinfo").read_text()
    kk("volume", "rm", "vol")


def test_a_volume_over_proc_is_refused(kk: Kernelkit) -> None:
    for option in (["-v", "/tmp:/proc"], ["-v", "x:/proc/sys"], ["--tmpfs", "/proc/1"], ["-v", "/proc/../proc/keys"]):
        refused = kk("run", "--rm", *option, "busybox", "true", check=False)
        assert refused.returncode == 125
        assert "cannot be mounted because it is inside /proc" in refused.stderr
    assert (
        inside(kk, "cat", "/proc/uptime", options=("-v", "/etc/hostname:/proc/uptime:ro"))
        == Path("/etc/hostname").read_text()
    )


def test_a_device_s_place_cannot_lead_outside(kk: Kernelkit, tmp_path: Path) -> None:
    target = f"/dev/../../../../../../../..{tmp_path}/zero"
    inside(kk, "test", "-c", f"{tmp_path}/zero", options=("--device", f"/dev/zero:{target}"))
    assert list(tmp_path.iterdir()) == []


def test_an_exec_in_a_hostile_container_shows_it_nothing_of_the_host(kk: Kernelkit) -> None:
    """While an exec is on its way to its program, the container's root looks for the host's program in /proc."""
    spy = textwrap.dedent(
        """\
        while [ ! -e /stop ]; do
          for p in /proc/[0-9]*; do
            exe=$(readlink $p/exe) && case $exe in /bin/*) ;; *) echo "$exe" >> /seen ;; esac
          done
        done 2>/dev/null"""
    )
    kk("run", "-d", "--name", "spy", "busybox", "sh", "-c", spy)
    for _ in range(15):
        kk("exec", "spy", "true")
    kk("exec", "spy", "touch", "/stop")
    assert kk("exec", "spy", "cat", "/seen", check=False).stdout == ""
