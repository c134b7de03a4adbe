"""The eight stops of the tour: what each is called, what it is, what to guess before it is done, and what shows it."""

from __future__ import annotations

from kernelkit.cli.sights import addressed, cabled, created, executed, furnished, layered, pulled, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernelkit.cli.sights import Sight


class Stop:
    """One stage of a run, in words; `main` are the operations that matter most, `sight` looks for what they did."""

    def __init__(self, title: str, about: str, main: str, guess: str, answer: str, sight: Sight) -> None:
        self.title = title
        self.about = about
        self.main = main.split()
        self.guess = guess
        self.answer = answer
        self.sight = sight


# By the stage's name in the record.
STOPS = {
    "pull": Stop(
        "The image is pulled from the registry",
        "An image is a list of layers, each an archive of files. The registry hands them out over HTTP, named by the "
        "digest of what is in them; each is compared with its name and unpacked into a folder of its own.",
        "FetchBlob UnpackLayer",
        "what if somebody on the way changes one byte?",
        "The digest would be another one, and the engine would not take it.",
        pulled,
    ),
    "create": Stop(
        "A new container is created",
        "A container is a process that sees less. clone(2) makes it in new namespaces: other mounts, another name of "
        "the machine, other processes, another network. Cgroups say how much it may use.",
        "MakeCgroup Clone JoinCgroup SetHostname",
        "how many new processes does it take?",
        "One, and it is this process that becomes bash in the end.",
        created,
    ),
    "filesystem": Stop(
        "A new file system is made for it",
        "Its mounts no longer spread to the host, and three folders are made: upper for what it will write, work for "
        "the kernel, merged for the view of everything together.",
        "SetPropagation MakeDirectory",
        "which files does the process see by now?",
        "All of the host's, still: its list of mounts began as a copy. That changes in step 8.",
        furnished,
    ),
    "rw-layer": Stop(
        "A read-write layer is mounted on top",
        "overlay stacks the image's layers, read-only, under the upper folder, which takes every change. Then come "
        "/proc, /dev and /sys, and what a container must not see is covered.",
        "Mount",
        "where will a file of the image be once the container has changed it?",
        "In upper, as a copy that hides the one below; the layers stay as they are.",
        layered,
    ),
    "interface": Stop(
        "A network interface is allocated",
        "A veth pair is a cable with two plugs: one goes into the bridge of the host, the other into the network "
        "namespace of the container, where it is called eth0.",
        "AddVeth SetMaster SetLinkUp",
        "which of the two ends will `ip link` on the host show?",
        "The one in the bridge: a link is in one network namespace at a time.",
        cabled,
    ),
    "ip": Stop(
        "An IP address is set",
        "eth0 gets a free address of the bridge's subnet, is switched on, and the bridge becomes the gateway.",
        "AddAddress SetLinkUp AddRoute",
        "who can talk with the container now?",
        "This host, and those on its bridge; nobody else knows the way to that address.",
        addressed,
    ),
    "nat": Stop(
        "NAT is set",
        "Nobody outside knows the container's address. It becomes an element of a set: a rule rewrites the source of "
        "what those in it send out. An element of a map leads a published port of the host to port 80 inside.",
        "AddSetElement AddMapElement",
        "what does this change inside of the container?",
        "Nothing: all of it is in the host's rules.",
        translated,
    ),
    "exec": Stop(
        "bash is executed",
        "The process makes merged its root, gives up its rights, has its system calls filtered, and becomes bash.",
        "PivotRoot Unmount DropBounding Exec",
        "how could root in there get its rights back?",
        "Not at all: execve(2) gives nothing that is not in the bounding set, and that can only shrink.",
        executed,
    ),
}
