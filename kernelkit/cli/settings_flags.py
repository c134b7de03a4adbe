"""The options of `run` and `create`: one declaration each, which reads them, refuses them and explains them."""

from __future__ import annotations

from kernelkit.cli import mounts, networking
from kernelkit.cli.devices import check_device_rule, check_rate, check_weight
from kernelkit.cli.flags import BOOL, BYTES, DECIMAL, DURATION, INT, LIST, MAP, STRING, SWAP, UINT, UINT16, Flag, Kind
from kernelkit.cli.values import (
    check_address,
    check_extra_host,
    check_label,
    check_link,
    check_search_domain,
    check_stream,
    check_sysctl,
    check_variable,
    parse_ulimit,
)

MOUNT = Kind("mount", mounts.parse_mount, many=True)
NETWORK = Kind("network", networking.parse_network, many=True)
ULIMIT = Kind("ulimit", parse_ulimit, many=True)
GPUS = Kind("gpu-request", many=True)

NAMESPACES = (
    Flag("cgroupns", STRING, "Cgroup namespace to use (host|private)"),
    Flag("ipc", STRING, "IPC namespace to use: none, private, shareable, host or container:NAME"),
    Flag("pid", STRING, "PID namespace to use: host or container:NAME"),
    Flag("userns", STRING, "User namespace to use"),
    Flag("uts", STRING, "UTS namespace to use: host"),
)
IDENTITY = (
    Flag("annotation", MAP, "Add an annotation to the container (handed to the OCI runtime)"),
    Flag("cidfile", STRING, "Write the container ID to the file"),
    Flag("domainname", STRING, "NIS domain name of the container"),
    Flag("hostname", STRING, "Host name of the container", "h"),
    Flag("label", LIST, "Set metadata on the container (key=value)", "l", check=check_label),
    Flag("label-file", LIST, "Read labels from a file, one a line"),
    Flag("name", STRING, "Name of the container"),
)
PROCESS = (
    Flag("attach", LIST, "Attach to STDIN, STDOUT or STDERR", "a", check=check_stream),
    Flag("entrypoint", STRING, "Overwrite the ENTRYPOINT of the image"),
    Flag("env", LIST, "Set an environment variable", "e", check=check_variable),
    Flag("env-file", LIST, "Read environment variables from a file, one a line"),
    Flag("group-add", LIST, "Add a further group to join"),
    Flag("init", BOOL, "Run an init inside the container that forwards signals and reaps processes"),
    Flag("interactive", BOOL, "Keep STDIN open even if not attached", "i"),
    Flag("stop-signal", STRING, "Signal that stops the container"),
    Flag("stop-timeout", INT, "Seconds to wait before the container is killed"),
    Flag("tty", BOOL, "Allocate a pseudo-terminal", "t"),
    Flag("user", STRING, "User name or UID (<name|uid>[:<group|gid>])", "u"),
    Flag("workdir", STRING, "Working directory inside the container", "w"),
)
# Those that `update` can change later.
CHANGEABLE = (
    Flag("blkio-weight", UINT16, "Relative weight of block I/O, 10 to 1000, or 0 to disable", default=0),
    Flag("cpu-period", INT, "Period of the CPU quota, in microseconds"),
    Flag("cpu-quota", INT, "CPU time in a period, in microseconds"),
    Flag("cpu-rt-period", INT, "Period of the real-time CPU limit, in microseconds"),
    Flag("cpu-rt-runtime", INT, "Real-time CPU time in a period, in microseconds"),
    Flag("cpu-shares", INT, "Relative weight of CPU time", "c"),
    Flag("cpus", DECIMAL, "Number of CPUs"),
    Flag("cpuset-cpus", STRING, "CPUs it may run on (0-3, 0,1)"),
    Flag("cpuset-mems", STRING, "Memory nodes it may use (0-3, 0,1)"),
    Flag("memory", BYTES, "Limit of memory", "m"),
    Flag("memory-reservation", BYTES, "Soft limit of memory"),
    Flag("memory-swap", SWAP, "Limit of memory and swap together; -1 for unlimited swap"),
    Flag("pids-limit", INT, "Limit of processes (-1 for unlimited)"),
)
LIMITS = (
    *CHANGEABLE,
    Flag("blkio-weight-device", LIST, "Relative weight of a device's block I/O", check=check_weight),
    Flag("cgroup-parent", STRING, "Parent cgroup of the container"),
    Flag("cpu-count", INT, "Number of CPUs (Windows only)"),
    Flag("cpu-percent", INT, "Percentage of CPU (Windows only)"),
    Flag("device-read-bps", LIST, "Limit the rate of reading from a device, in bytes a second", check=check_rate),
    Flag("device-read-iops", LIST, "Limit the rate of reading from a device, in operations a second", check=check_rate),
    Flag("device-write-bps", LIST, "Limit the rate of writing to a device, in bytes a second", check=check_rate),
    Flag("device-write-iops", LIST, "Limit the rate of writing to a device, in operations a second", check=check_rate),
    Flag("io-maxbandwidth", BYTES, "Maximum I/O bandwidth of the system drive (Windows only)"),
    Flag("io-maxiops", UINT, "Maximum operations a second of the system drive (Windows only)"),
    Flag("kernel-memory", BYTES, "Limit of kernel memory (no longer in any kernel)"),
    Flag("memory-swappiness", INT, "How readily memory is swapped (0 to 100)", default=-1),
    Flag("oom-kill-disable", BOOL, "Do not kill it when memory runs out"),
    Flag("oom-score-adj", INT, "How readily the kernel kills it when memory runs out (-1000 to 1000)"),
    Flag("shm-size", BYTES, "Size of /dev/shm"),
    Flag("ulimit", ULIMIT, "Limit of a process's resource (name=soft[:hard])"),
)
FILES = (
    Flag("device", LIST, "Add a device of the host to the container"),
    Flag("device-cgroup-rule", LIST, "Add a rule to the list of devices it may use", check=check_device_rule),
    Flag("gpus", GPUS, "GPUs to add to the container ('all' for all of them)"),
    Flag("mount", MOUNT, "Attach a mount to the container"),
    Flag("read-only", BOOL, "Mount the root file system read-only"),
    Flag("storage-opt", LIST, "Option of the storage driver for the container"),
    Flag("tmpfs", LIST, "Mount a tmpfs on a folder"),
    Flag("use-api-socket", BOOL, "Bind mount the socket of the API"),
    Flag("volume", LIST, "Bind mount a volume or a folder of the host", "v"),
    Flag("volume-driver", STRING, "Driver of the container's volumes"),
    Flag("volumes-from", LIST, "Mount the volumes of another container"),
)
NET = (
    Flag("add-host", LIST, "Add a line to /etc/hosts (host:ip)", check=check_extra_host),
    Flag("dns", LIST, "Set a DNS server", check=check_address),
    Flag("dns-opt", LIST, "Set a DNS option", hidden=True),
    Flag("dns-option", LIST, "Set a DNS option"),
    Flag("dns-search", LIST, "Set a DNS search domain", check=check_search_domain),
    Flag("expose", LIST, "Expose a port or a range of ports"),
    Flag("ip", STRING, "IPv4 address (such as 172.30.100.104)"),
    Flag("ip6", STRING, "IPv6 address (such as 2001:db8::33)"),
    Flag("link", LIST, "Add a link to another container", check=check_link),
    Flag("link-local-ip", LIST, "Link-local address of the container", check=check_address),
    Flag("mac-address", STRING, "MAC address of the container (such as 92:d0:c6:0a:29:33)"),
    Flag("net", NETWORK, "Connect the container to a network", hidden=True),
    Flag("net-alias", LIST, "Another name for the container in its network", hidden=True),
    Flag("network", NETWORK, "Connect the container to a network"),
    Flag("network-alias", LIST, "Another name for the container in its network"),
    Flag("publish", LIST, "Publish a port of the container on the host", "p"),
    Flag("publish-all", BOOL, "Publish all exposed ports on random ports", "P"),
)
SECURITY = (
    Flag("cap-add", LIST, "Add a Linux capability"),
    Flag("cap-drop", LIST, "Drop a Linux capability"),
    Flag("disable-content-trust", BOOL, "Skip the verification of the image", default=True),
    Flag("privileged", BOOL, "Give extended privileges to the container"),
    Flag("security-opt", LIST, "Security option (no-new-privileges, seccomp=FILE, …)"),
    Flag("sysctl", MAP, "Set a kernel parameter of its namespaces", check=check_sysctl),
)
HEALTH = (
    Flag("health-cmd", STRING, "Command that says whether the container is healthy"),
    Flag("health-interval", DURATION, "Time between two checks (ms|s|m|h)", default=0),
    Flag("health-retries", INT, "Failures in a row that mean unhealthy"),
    Flag("health-start-interval", DURATION, "Time between checks in the start period (ms|s|m|h)", default=0),
    Flag("health-start-period", DURATION, "Time to start in before failures count (ms|s|m|h)", default=0),
    Flag("health-timeout", DURATION, "Longest time that one check may take (ms|s|m|h)", default=0),
    Flag("no-healthcheck", BOOL, "Do not run the image's HEALTHCHECK"),
)
LIFE = (
    Flag("isolation", STRING, "Isolation technology"),
    Flag("log-driver", STRING, "Driver of the container's log"),
    Flag("log-opt", LIST, "Option of the log driver"),
    Flag("platform", STRING, "Platform of the image, if it has several"),
    Flag("pull", STRING, 'Pull the image first ("always", "missing", "never")', default="missing"),
    Flag("quiet", BOOL, "Do not show the pull's progress", "q"),
    Flag(
        "restart", STRING, "What to do when the container exits (no|on-failure[:N]|always|unless-stopped)", default="no"
    ),
    Flag("rm", BOOL, "Remove the container and its anonymous volumes when it exits"),
    Flag("runtime", STRING, "Runtime of the container"),
)
SETTINGS = (*NAMESPACES, *IDENTITY, *PROCESS, *LIMITS, *FILES, *NET, *SECURITY, *HEALTH, *LIFE)
