"""Which system calls a container may make: Docker's default profile, and profiles in Docker's format.

A profile says per group of calls for which capabilities and architectures it holds; resolved for one container it is
the OCI `linux.seccomp` (config-linux.md, Seccomp).  Docker documentation, "Seccomp security profiles for Docker".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kernelkit.container.seccomp_filter import compile_filter
from kernelkit.errors import InvalidRequest

# uname's word for the machine -> libseccomp's, Go's.
MACHINES = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}

# Harmless to others, or limited by other walls: what every container may call.
ORDINARY = """
accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64
clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close
close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat
faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown fchown32 fchownat fcntl
fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
fsync ftruncate ftruncate64 futex futex_time64 futex_waitv futimesat getcpu getcwd getdents getdents64 getegid
getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid
getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get
ioprio_set io_setup io_submit io_uring_enter io_uring_register io_uring_setup ipc kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr llistxattr
_llseek lremovexattr lseek lsetxattr lstat lstat64 madvise membarrier memfd_create memfd_secret mincore mkdir
mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock
munlockall munmap nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg
sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr shmat shmctl shmdt shmget
shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socket socketcall socketpair splice stat stat64 statfs
statfs64 statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink
unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
""".split()

# Capability -> what it is for, and what makes no sense without it.
GRANTED: dict[str, str] = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
        name_to_handle_at open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount
        umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
MOST_KNOWN = 64  # profiles and filters that are kept
ENOSYS = 38
# All of clone's flags that ask for a new namespace: linux/sched.h, CLONE_NEW* but CLONE_NEWTIME.
NEW_NAMESPACES = 0x7E020000
# personality(2): the default, PER_LINUX32, each also with UNAME26, and "only tell me".
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


def _group(names: str | list[str], action: str = "ALLOW", **more: Any) -> dict[str, Any]:
    words = names.split() if isinstance(names, str) else list(names)
    return {"names": words, "action": f"SCMP_ACT_{action}", **more}


def _argument(op: str, value: int) -> list[dict[str, Any]]:
    return [{"index": 0, "value": value, "op": f"SCMP_CMP_{op}"}]


_UNLESS_ADMIN = {"caps": ["CAP_SYS_ADMIN"]}

# In Docker's format; like theirs of version 20.10.
DEFAULT: Mapping[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        _group(ORDINARY),
        # Before Linux 4.8 a tracer could get around the filter.
        _group("ptrace", includes={"minKernel": "4.8"}),
        *(_group("personality", args=_argument("EQ", value)) for value in PERSONALITIES),
        _group("arch_prctl", includes={"arches": ["amd64", "x32"]}),
        _group("modify_ldt", includes={"arches": ["amd64", "x32", "x86"]}),
        _group(
            "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
            includes={"arches": ["arm", "arm64"]},
        ),
        _group(GRANTED["CAP_DAC_READ_SEARCH"], includes={"caps": ["CAP_DAC_READ_SEARCH"]}),
        _group(GRANTED["CAP_SYS_ADMIN"], includes={"caps": ["CAP_SYS_ADMIN"]}),
        _group("clone", args=_argument("MASKED_EQ", NEW_NAMESPACES), excludes=_UNLESS_ADMIN),
        # clone3 has its flags behind a pointer, where no filter can look: say it is not there, and programs use clone.
        _group("clone3", "ERRNO", errnoRet=ENOSYS, excludes=_UNLESS_ADMIN),
        *(
            _group(names, includes={"caps": [capability]})
            for capability, names in GRANTED.items()
            if capability not in ("CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN")
        ),
    ],
}


@lru_cache(maxsize=MOST_KNOWN)
def profile(capabilities: frozenset[str], machine: str) -> dict[str, Any]:
    """Docker's default profile for a container with these capabilities, as OCI `linux.seccomp`; not to be changed.

    `machine` is uname's word for it.
    """
    return resolve(DEFAULT, capabilities, machine)


def resolve(given: Mapping[str, Any], capabilities: frozenset[str], machine: str, release: str = "") -> dict[str, Any]:
    """A profile in Docker's format, as OCI `linux.seccomp` for these capabilities and this machine.

    `release` is the kernel's, `6.1.0`; without, it counts as new enough for everything. InvalidRequest, in Docker's
    words, for a profile that cannot be understood.
    """
    calls = given.get("syscalls") or [] if isinstance(given, Mapping) else None
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        raise InvalidRequest("Decoding seccomp profile failed: it must be an object with a list of syscalls")
    native, go_name = MACHINES.get(machine, (f"SCMP_ARCH_{machine.upper()}", machine))
    resolved: dict[str, Any] = {"defaultAction": given.get("defaultAction") or "SCMP_ACT_ALLOW"}
    if given.get("defaultErrnoRet") is not None:
        resolved["defaultErrnoRet"] = given["defaultErrnoRet"]
    resolved["architectures"] = _architectures(given, native)
    if given.get("flags"):
        resolved["flags"] = list(given["flags"])
    resolved["syscalls"] = [
        {
            "names": _names(call),
            "action": call.get("action") or resolved["defaultAction"],
            **{key: call[key] for key in ("args", "errnoRet") if call.get(key)},
        }
        for call in calls
        if _holds(call, capabilities, go_name, release)
    ]
    return resolved


def compiled(seccomp: Mapping[str, Any]) -> bytes:
    """The filter for an OCI `linux.seccomp`, ready for the kernel of the machine that it names first.

    InvalidRequest for what cannot be compiled. One that was compiled before costs nothing.
    """
    known = _known.get(id(seccomp))
    if known and known[0] is seccomp:
        return known[1]
    filtered = _compiled(json.dumps(seccomp))
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[id(seccomp)] = seccomp, filtered
    return filtered


# Of the objects that `profile` gives out again and again, by their identity: to compare texts of this length takes as
# long as to build half of a container. The object is held too, so that nobody else gets its identity.
_known: dict[int, tuple[Mapping[str, Any], bytes]] = {}


@lru_cache(maxsize=MOST_KNOWN)
def _compiled(text: str) -> bytes:
    try:
        return compile_filter(json.loads(text))
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"Decoding seccomp profile failed: {error!r}") from None


def _architectures(given: Mapping[str, Any], native: str) -> list[str]:
    if given.get("architectures") and given.get("archMap"):
        raise InvalidRequest(
            "'architectures' and 'archMap' were specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    for entry in given.get("archMap") or ():
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or ())]
    listed = list(given.get("architectures") or ())
    return listed if native in listed else [native, *listed]


def _names(call: Mapping[str, Any]) -> list[str]:
    if call.get("name") and call.get("names"):
        raise InvalidRequest("'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'")
    return [call["name"]] if call.get("name") else list(call.get("names") or ())


def _holds(call: Mapping[str, Any], capabilities: frozenset[str], machine: str, release: str) -> bool:
    """Whether a group is for this container: every condition of `includes`, none of `excludes`."""
    includes, excludes = call.get("includes") or {}, call.get("excludes") or {}
    if excludes.get("arches") and machine in excludes["arches"]:
        return False
    if excludes.get("caps") and capabilities & set(excludes["caps"]):
        return False
    if excludes.get("minKernel") and _new_enough(release, excludes["minKernel"]):
        return False
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    if includes.get("caps") and not capabilities >= set(includes["caps"]):
        return False
    return not includes.get("minKernel") or _new_enough(release, includes["minKernel"])


def _new_enough(release: str, least: str) -> bool:
    return not release or _version(release) >= _version(least)


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    digits = rest.split(".")[0].split("-")[0]
    if not major.isdigit() or not digits.isdigit():
        raise InvalidRequest(f'invalid kernel version in seccomp profile: "{text}"')
    return int(major), int(digits)
