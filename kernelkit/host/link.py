"""The engine's side of the conversations with init and the shims."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kernelkit.errors import Unavailable
from kernelkit.host.channel import (
    Attach,
    Bye,
    Channel,
    Exited,
    Failed,
    Job,
    Prepare,
    Signal,
    Start,
    Started,
    Take,
    employ,
)
from kernelkit.trace import Operation

log = logging.getLogger(__name__)

PARTING = 5.0  # seconds in which a shim that was told to leave does

Heard = Callable[[str, object], None]


@dataclass(frozen=True)
class Prepared:
    """A shim that is ready, and its child with this pid; without a child, it will make one itself."""

    channel: Channel
    pid: int
    child: socket.socket | None

    def close(self) -> None:
        """Do without them; they end."""
        self.channel.close()
        if self.child:
            self.child.close()


class Link:
    """Starts shims, and passes on what they say.

    `heard(container id, message)` is called in a thread of this object's own, one message after another.
    """

    def __init__(self, init: Channel, addresses: str, heard: Heard) -> None:
        self._init = init
        self._addresses = addresses
        self._heard = heard
        self._shims: dict[str, Channel] = {}
        self._names: dict[int, str] = {}
        self._parting: dict[str, threading.Event] = {}
        self._clone: Operation | None = None  # what a prepared shim has performed ahead
        self._prepared: Channel | None = None
        self._lock = threading.Lock()
        self._poll = select.epoll()
        threading.Thread(target=self._listen, name="shims", daemon=True).start()

    def address(self, container: str) -> str:
        """Where a container's shim listens once its engine is gone: a short path, for unix(7) allows 107 bytes."""
        return f"{self._addresses}/{container[:12]}.sock"

    def prepare(self, clone: Operation | None) -> None:
        """From now on always have a shim ready for a next start, by which `clone` has been performed already."""
        self._clone = clone
        self.prepare_next()

    def prepare_next(self) -> None:
        """Ask for a shim to be ready for the next start, unless there is one; for when the present start is over."""
        with self._lock:
            if self._prepared:
                return
            self._prepared, theirs = Channel.pair()
        with contextlib.suppress(OSError):  # the host is going down
            self._init.send(Prepare(self._clone), theirs.fileno())
        theirs.close()

    def start(
        self,
        container: str,
        job: Job,
        memory: int,
        steps: int,
        attached: Sequence[tuple[int, Attach]] = (),
        gate: int = -1,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Started | Failed:
        """Give the job to the shim that is ready, or have one forked; wait until the program runs or a step has failed.

        The caller keeps and closes `memory` and `gate`; the descriptors of clients in `attached` are handed over.
        `meanwhile` is called while the others are at work.
        """
        if parting := self._parting.get(container):
            parting.wait(PARTING)
        clients = list(attached)
        ready = self._prepared_for(job, gate)
        if ready and self._employ(ready, steps, memory):
            channel = ready.channel
            if not self._hand_over(ready, container, memory, steps, clients):
                return Failed(job.fork_seq, 0, "the shim died")
            meanwhile()
            if ready.child and _becomes_program(ready.child):
                self._keep(container, channel)
                return Started(ready.pid)
        else:
            channel = self._fork(container, memory, steps, clients, gate)
            meanwhile()
        received = channel.receive()
        if received is None:
            channel.close()
            return Failed(job.fork_seq, 0, "the shim died")
        answer, _ = received
        if isinstance(answer, Started):
            self._keep(container, channel)
            return answer
        channel.close()
        assert isinstance(answer, Failed)
        return answer

    def find(self, container: str) -> Started | Exited | None:
        """Take over a shim that an earlier engine started: what it says of its container; None when it is gone."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(self.address(container))
        except OSError:
            connection.close()
            return None
        channel = Channel(connection)
        received = channel.receive()
        if received is None:
            channel.close()
            return None
        self._keep(container, channel)
        message = received[0]
        return message if isinstance(message, Started | Exited) else None

    def dismiss(self, container: str) -> bool:
        """Send away a shim that an earlier engine started, and end its container; False when it is not there."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            channel = Channel(connection)
            try:
                connection.connect(self.address(container))
                channel.receive()  # what it has to say comes first: nobody may go before it has been said
                channel.send(Signal(signal.SIGKILL))
                channel.send(Bye())
                while channel.receive():
                    pass  # until it has closed its end
            except OSError:
                return False
        return True

    def send(self, container: str, message: object, *descriptors: int) -> bool:
        """Tell a container's shim something; False when there is none."""
        channel = self._shims.get(container)
        if channel is None:
            return False
        try:
            channel.send(message, *descriptors)
        except OSError:
            return False
        return True

    def part(self, container: str) -> None:
        """End the conversation with a container's shim: tell it to leave, and let it go when it has.

        It holds the mounts of its container to the last, so `start` waits for that before they are made again.
        """
        with self._lock:
            channel = self._shims.get(container)
            if channel is None or container in self._parting:
                return
            self._parting[container] = threading.Event()
        try:
            channel.send(Bye())
        except OSError:
            self._gone(container)

    def _gone(self, container: str) -> None:
        """A shim has closed its end."""
        with self._lock:
            channel = self._shims.pop(container, None)
            if channel:
                self._names.pop(channel.fileno(), None)
                with contextlib.suppress(OSError):
                    self._poll.unregister(channel.fileno())
                channel.close()
            parting = self._parting.pop(container, None)
        if parting:
            parting.set()

    # shims that are ready ---------------------------------------------------------------------------------------

    def _prepared_for(self, job: Job, gate: int) -> Prepared | None:
        """The shim that is ready, if it is of use for this job."""
        # Who stops before each step wants to stop before those that were performed ahead as well.
        if gate >= 0 or (self._clone and (job.clone != self._clone or job.enter)):
            return None
        with self._lock:
            channel = self._prepared
            try:
                received = channel.receive(wait=False) if channel else None
            except BlockingIOError:
                return None  # not yet; it will be for the next
            self._prepared = None
        if not channel or not received:
            if channel:
                channel.close()
            return None
        ready, (mounts, *child) = received
        prepared = Prepared(channel, ready.pid, socket.socket(fileno=child[0]) if child else None)
        if _unchanged(mounts):
            return prepared
        prepared.close()
        return None

    def _employ(self, ready: Prepared, steps: int, memory: int) -> bool:
        """Give the child that is ready its job; False when it has left meanwhile, and nothing was done.

        It is the one who decides, for it leaves by itself when the host's mounts change, and never with a job.
        """
        try:
            if ready.child:
                employ(ready.child, steps, memory)
        except OSError:
            ready.close()
            return False
        return True

    def _hand_over(
        self, ready: Prepared, container: str, memory: int, steps: int, clients: list[tuple[int, Attach]]
    ) -> bool:
        """Tell the shim of its child's job; False when it was killed, and so is the child now."""
        try:
            _introduce(ready.channel, clients)
            ready.channel.send(Take(steps, self.address(container)), memory)
        except OSError:
            if ready.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(ready.pid, signal.SIGKILL)
            for descriptor, _ in clients:
                os.close(descriptor)
            ready.close()
            return False
        return True

    def _fork(self, container: str, memory: int, steps: int, clients: list[tuple[int, Attach]], gate: int) -> Channel:
        """Have init fork a shim for the job."""
        ours, theirs = Channel.pair()
        _introduce(ours, clients)
        try:
            extra = [gate] if gate >= 0 else []
            self._init.send(Start(steps, self.address(container)), memory, theirs.fileno(), *extra)
        except OSError as error:
            ours.close()
            raise Unavailable(f"start a shim: the practice host's init does not answer: {error}") from error
        finally:
            theirs.close()
        return ours

    def _keep(self, container: str, channel: Channel) -> None:
        with self._lock:
            self._shims[container] = channel
            self._names[channel.fileno()] = container
            self._poll.register(channel.fileno(), select.EPOLLIN)

    def _listen(self) -> None:
        while True:
            for fd, _ in self._poll.poll():
                with self._lock:
                    container = self._names.get(fd)
                    channel = self._shims.get(container) if container else None
                if container is None or channel is None:
                    continue
                try:
                    received = channel.receive(wait=False)
                except BlockingIOError:
                    continue
                except OSError:
                    received = None
                if received is None:
                    expected = container in self._parting
                    self._gone(container)
                    if not expected:
                        self._tell(container, None)
                else:
                    self._tell(container, received[0])

    def _tell(self, container: str, message: object) -> None:
        try:
            self._heard(container, message)
        except Exception:  # nobody else listens, to this container or to any other
            log.exception("what the shim of %s said was not acted on", container[:12])


def _becomes_program(child: socket.socket) -> bool:
    """Wait for the end of a child's socket, which closes when it executes its program; False when it says something.

    It ends as well when the child is killed: its shim will tell.
    """
    with child, contextlib.suppress(ConnectionResetError):
        return not child.recv(1)
    return True


def _introduce(channel: Channel, clients: list[tuple[int, Attach]]) -> None:
    """Hand over those who have attached already."""
    while clients:
        descriptor, wish = clients[0]
        channel.send(wish, descriptor)
        os.close(descriptor)
        del clients[0]


def _unchanged(mounts: int) -> bool:
    """Whether what the mounts of this descriptor were is what they are: proc(5), /proc/PID/mounts. Closes it."""
    poll = select.poll()
    poll.register(mounts, select.POLLPRI)
    changed = poll.poll(0)
    os.close(mounts)
    return not changed
