"""The eight steps, in words: what each does, why, and what to watch for before it is done."""

from __future__ import annotations

from lessons.walk import Stage

STAGES = (
    Stage(
        name="pull",
        title="Pulled from the registry",
        short="pull",
        sentence="The image's layers are fetched over HTTP, compared with their digests and unpacked.",
        why="An image is a list of archives and a small JSON file. Nothing runs yet: so far it is all files.",
        watch="How many layers will arrive, and which one lies at the bottom?",
        main=("FetchBlob", "UnpackLayer"),
        few=2,
    ),
    Stage(
        name="create",
        title="A new container",
        short="container",
        sentence="A process is cloned into namespaces of its own. From here to its end, this process is the container.",
        why="There is no “container” in Linux. There are processes that see less than others do, "
        "and cgroups that count and limit what they use.",
        watch="There are seven kinds of namespace here. Which one will the container share with the host?",
        main=("MakeCgroup", "Clone", "JoinCgroup", "SetHostname"),
        few=1,
    ),
    Stage(
        name="filesystem",
        title="A new file system",
        short="file system",
        sentence="Mounts made from here on stay private to the container, and it gets three empty directories.",
        why="The new mount namespace is a copy of the host's: same files, own list of mounts. "
        "Cutting the copy off comes first, or all that follows would show up on the host as well.",
        watch="Will anybody outside of the container notice what it mounts next?",
        main=("SetPropagation", "MakeDirectory"),
    ),
    Stage(
        name="rw-layer",
        title="Read-write layer mounted",
        short="read-write layer",
        sentence="One empty writable sheet is laid on the image's read-only layers, and all are mounted as one tree.",
        why="A hundred containers of one image share its layers; each has a sheet of its own to write on. "
        "Into the tree go /proc, /sys and a small /dev, then what a container should not see is covered up.",
        watch="If the container changes a file of the image, where will the changed file be?",
        main=("Mount", "MaskPath"),
        few=1,
    ),
    Stage(
        name="interface",
        title="Network interface allocated",
        short="interface",
        sentence="A cable is made, a veth pair: one end inside, called eth0, the other plugged into the host's bridge.",
        why="A fresh network namespace has only a loopback that is down. "
        "What goes into one end of the cable comes out of the other; the bridge is a switch in software.",
        watch="The cable has two ends in two namespaces. Which of them will `ip link` on the host show?",
        main=("AddVeth", "SetMaster", "SetLinkUp"),
    ),
    Stage(
        name="ip",
        title="IP address set",
        short="address",
        sentence="eth0 gets an address of the bridge's network, and a route: all else goes by way of the bridge.",
        why="The engine keeps a book of leased addresses, so that no two containers get the same one.",
        watch="Packets can leave now. Can anybody outside of the host call the container first?",
        main=("AddAddress", "SetLinkUp", "AddRoute"),
    ),
    Stage(
        name="nat",
        title="NAT set",
        short="NAT",
        sentence="One entry in the host's firewall: what arrives at the published port goes on to the container.",
        why="Outside nobody knows the way to the container's address. "
        "The host rewrites the destination of what comes in, and the sender of what goes out.",
        watch="What will change inside of the container?",
        main=("AddMapElement",),
    ),
    Stage(
        name="exec",
        title="bash executed",
        short="bash",
        sentence="The merged tree becomes the process's root directory, rights are given up, and bash takes its place.",
        why="Only the last call starts the program you asked for. "
        "Everything before it was done by the same process, while it still had the rights to do it.",
        watch="bash will be process 1 in there. What is it out here?",
        main=("PivotRoot", "Unmount", "DropBounding", "Exec"),
    ),
)
