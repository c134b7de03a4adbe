"""The eight steps, in words: what each does, what it is for, what to predict before it is done."""

from __future__ import annotations

from lessons.question import Question
from lessons.walk import Stage

STAGES = (
    Stage(
        name="pull",
        title="Pulled from the registry",
        short="pull",
        sentence="The image's layers are fetched over HTTP, compared with their digests and unpacked.",
        need="there would be no bash to run: a container brings its own files, and uses none of the host's.",
        question=Question(
            "How does the engine make sure that it got the layer it asked for?",
            ("the registry signs it", "by the digest of its content, which is its name", "it does not"),
            1,
            "A layer is named by the SHA-256 of what is in it: whoever changes one byte, on the way or in the "
            "registry, changes its name. It also means that a layer is never fetched twice.",
        ),
        why="An image is a list of archives and a small JSON file. Nothing runs yet: so far it is all files.",
        focus="Layers",
        main=("FetchBlob", "UnpackLayer"),
        few=2,
    ),
    Stage(
        name="create",
        title="A new container",
        short="container",
        sentence="A process is cloned into namespaces of its own. From here to its end, this process is the container.",
        need="bash would see all of the host: its processes, its mounts, its links, its name.",
        question=Question(
            "The picture knows seven kinds of namespace. Which one will this container share with the host?",
            ("none of them", "net", "user", "cgroup"),
            2,
            "root in there is the host's root, held back only by what it gives up in step 8. "
            "(Linux has an eighth kind, time, and engines leave the clocks alone.)",
        ),
        why="There is no “container” in Linux. There are processes that see less than others do, "
        "and cgroups that count and limit what they use.",
        focus="Namespaces",
        main=("MakeCgroup", "Clone", "JoinCgroup", "SetHostname"),
        few=1,
    ),
    Stage(
        name="filesystem",
        title="A new file system",
        short="file system",
        sentence="Mounts made from here on stay private to the container, and it gets three empty directories.",
        need="on a host that shares its mounts, as systemd makes them, all that follows would turn up outside as well.",
        question=Question(
            "The process has a mount namespace of its own by now. Which files does it see?",
            ("none", "the image's", "all of the host's"),
            2,
            "A new mount namespace begins as a copy of the host's list of mounts: same files, own list. "
            "What it sees changes in step 8 only, when it gets another root directory.",
        ),
        why="`upper` is for what the container writes, `work` for the kernel's own bookkeeping, "
        "and at `merged` everything will be seen as one tree.",
        focus="Layers",
        main=("SetPropagation", "MakeDirectory"),
    ),
    Stage(
        name="rw-layer",
        title="Read-write layer mounted",
        short="read-write layer",
        sentence="One empty writable sheet is laid on the image's read-only layers, and all are mounted as one tree.",
        need="every container would need a copy of the whole image, or could not write to it.",
        question=Question(
            "If the container changes a file of the image, where will the changed file be?",
            ("in the layer it came from", "in upper", "in memory"),
            1,
            "overlayfs copies the file up first, and the copy hides the one below. The layers stay as they are, "
            "for everybody else.",
        ),
        why="A hundred containers of one image share its layers. Into the tree go /proc, /sys and a small /dev, "
        "then what a container should not see is covered up.",
        focus="Layers",
        main=("Mount",),
        few=3,
    ),
    Stage(
        name="interface",
        title="Network interface allocated",
        short="interface",
        sentence="A cable is made, a veth pair: one end inside, called eth0, the other plugged into the host's bridge.",
        need="its network namespace would hold a loopback that is down, and nothing else.",
        question=Question(
            "The cable's two ends are in two namespaces. Which of them will `ip link` on the host show?",
            ("both", "the one in the bridge", "eth0"),
            1,
            "A link belongs to one network namespace. On the host, eth0 is no more than a number, "
            "the `@if…` behind the other end's name.",
        ),
        why="What goes into one end of the cable comes out of the other; the bridge is a switch in software.",
        focus="Network",
        main=("AddVeth", "SetMaster", "SetLinkUp"),
    ),
    Stage(
        name="ip",
        title="IP address set",
        short="address",
        sentence="eth0 gets an address of the bridge's network, and a route: all else goes by way of the bridge.",
        need="the cable is plugged in and nobody is at home. The exercise below begins there.",
        question=Question(
            "With an address, a cable and a route: who can talk with the container now?",
            ("nobody yet", "the host and its neighbours on the bridge", "everybody"),
            1,
            "Only those who know the way to 172.17.0.0/16, and that is this host. The container can send something "
            "further, but it would go under an address to which nobody out there can answer.",
        ),
        why="The engine keeps a book of leased addresses, so that no two containers get the same one.",
        focus="Network",
        main=("AddAddress", "SetLinkUp", "AddRoute"),
    ),
    Stage(
        name="nat",
        title="NAT set",
        short="NAT",
        sentence="Two entries in the host's firewall: what the container sends out goes under the host's address, "
        "and what arrives at the published port goes in to the container.",
        need="it would talk with its host only, and nobody would answer at the published port.",
        question=Question(
            "What will this step change inside of the container?",
            ("nothing", "its firewall", "its routes"),
            0,
            "All of it is in the host's table of rules. In there, nobody knows that a port is published.",
        ),
        why="Outside nobody knows the way to the container's address. "
        "The host rewrites the sender of what goes out, and the destination of what comes in.",
        focus="Network",
        main=("AddSetElement", "AddMapElement"),
    ),
    Stage(
        name="exec",
        title="bash executed",
        short="bash",
        sentence="The merged tree becomes the process's root directory, rights are given up, and bash takes its place.",
        need="it would still be the engine's own code in there, with all the files and all the rights of root.",
        question=Question(
            "root gives up most of its rights here. How could bash get them back?",
            ("with sudo", "it is root: it only needs to ask", "not at all"),
            2,
            "The bounding set can only shrink, and `execve` gives nothing that is not in it. "
            "root in there is less than root out here.",
        ),
        why="Only the last call starts the program you asked for. "
        "Everything before it was done by the same process, while it still had the rights to do it.",
        focus="Layers",
        main=("PivotRoot", "Unmount", "DropBounding", "Exec"),
    ),
)
