# ---
# jupyter:
#   jupytext:
#     cell_markers: '"""'
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
"""
# What `docker run` did

You type `docker run -it bash`, and a moment later there is a shell in another world.
What happened in that moment?

**Why this is worth an hour.** There is no *container* in the Linux kernel.
There are namespaces, mounts, cgroups, links, rules, and one ordinary process that has been shown less than the others.
Once you have seen them put together, you can look into any container on any machine,
and you know where to look when it has no network, no space, or no rights.

**How to use this page.** Run its cells from top to bottom with Shift-Enter.
Everything you see is read from a real kernel, yours.
It happens on a *practice host*, a small Linux inside your machine in which you are root:
break what you like, `kernelkit down` throws it away.
Any cell can be run again; after a restart of the Python kernel, begin with the next one.
"""

# %%
from lessons.l01_what_docker_run_did import Lesson

lesson = Lesson()

# %% [markdown]
"""
## Look

Before anything happens: the practice host has a way out to the real machine, rules for rewriting addresses (NAT)
that apply to nobody yet, and a bridge, a switch in software, into which nothing is plugged.
"""

# %%
lesson.look()

# %% [markdown]
"""
## Predict

Three guesses before you see it. They are for you alone; being wrong here is the best way to remember.
"""

# %%
lesson.predict()

# %% [markdown]
"""
## Do

Here is the run, in eight steps. It really waits before each of them: the engine is stopped in the middle of its work.

- First comes what was just done and what it changed; then what is about to happen, as the commands you could type instead.
- Below is what the kernel holds *now*. What the last step changed is orange, has a thick edge, and says so.
- Make your prediction, then press **Next** (or the right arrow key).
  **Back** undoes nothing: it shows again what was seen then, and **Next** goes forward to the present.
  **Start over** removes the container and begins with the first step.
"""

# %%
lesson.walk()

# %% [markdown]
"""
## See it in the kernel

The pictures are drawn from the output of ordinary tools. Look for yourself.
The first cell performs what you have not clicked; it does not turn the page above.

You can do the same in a terminal (File ▸ New ▸ Terminal, and back by the menu Tabs):
`kernelkit shell` makes you root on the practice host, `kernelkit exec -it lesson-1 bash` takes you into the container.
"""

# %%
lesson.finish()

# %% [markdown]
"""
On the host, bash is a process like any other, under another number; its parent is the *shim* that holds its terminal.
There is one link more: the cable's end, plugged into `kk0`. Which process is behind it, the host's list of links does not say.
"""

# %%
lesson.host("ps -o pid,ppid,args -C bash; ip -brief address")

# %% [markdown]
"""
In the container's namespaces the same kernel gives other answers.
These are the host's tools, run in the container's namespaces, which is all that “inside” means:
"""

# %%
lesson.inside("hostname; ip -brief address; ip route")

# %% [markdown]
"""
And this is the whole record: every request the engine made to the kernel for this one run, as a script.
Given to a shell, it builds the same container by hand.
"""

# %%
lesson.record()

# %% [markdown]
"""
## What was it for?

The surest way to learn what a step does is to leave it out.
Say first what you expect. Then choose: a web server is run twice, with everything and without that,
and both containers are looked at in the same way.
"""

# %%
lesson.without()

# %% [markdown]
"""
## Exercise
"""

# %%
lesson.exercise.show()

# %%
from kernelkit.kernel.ip import AddAddress, AddRoute, SetLinkUp


def give_address(link, address, gateway):
    """The plan that gives a container its place in the network."""
    return [
        # TODO: what the engine did in step 6
    ]


# %% [markdown]
"""
### How to check

The check says what it saw in the kernel, what it hoped for, and one next thought.
Run it as often as you like: every try gets a fresh container.
"""

# %%
lesson.exercise.check(give_address)

# %% [markdown]
"""
## Manual pages

| step | what the kernel is asked | read |
| --- | --- | --- |
| 1 pulled | files only | [OCI image specification](https://github.com/opencontainers/image-spec/blob/main/spec.md) |
| 2 container | `clone3`, `unshare`, `sethostname` | `man 7 namespaces`, `man 2 clone`, `man 7 cgroups` |
| 3 file system | `mount` with `MS_PRIVATE` | `man 7 mount_namespaces` |
| 4 read-write layer | `mount -t overlay` | `man 8 mount`, [overlayfs](https://docs.kernel.org/filesystems/overlayfs.html) |
| 5 interface | rtnetlink: a veth pair | `man 4 veth`, `man 8 ip-link` |
| 6 address | rtnetlink: address, route | `man 8 ip-address`, `man 8 ip-route` |
| 7 NAT | nfnetlink: an element of a set, one of a map | `man 8 nft` |
| 8 bash | `pivot_root`, `capset`, `seccomp`, `execve` | `man 2 pivot_root`, `man 7 capabilities`, `man 2 seccomp` |

## Summary

- A container is **one process**, cloned into namespaces of its own; the last thing it does before your program is `execve`.
- Its files are **layers**: the image's, shared and read-only, under one writable sheet of its own.
- Its network is **a cable**: one end inside, the other in the host's bridge. A published port is one entry in the firewall.
- Its walls are **given up, not added**: the process drops what it shall not have, and the kernel does not give it back.
- Nothing here was magic: every step is a line of shell, and you have seen each of them change the kernel.

When you are done, `lesson.tidy()` in a cell removes what this page has made, and `kernelkit down` in a terminal removes
everything else.
"""
