"""The engine's side of the conversations with init and the shims."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence

from kernelkit.errors import Unavailable
from kernelkit.host.channel import Attach, Channel, Exited, Failed, Job, Start, Started

Heard = Callable[[str, object], None]


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
        self._lock = threading.Lock()
        self._poll = select.epoll()
        threading.Thread(target=self._listen, name="shims", daemon=True).start()

    def address(self, container: str) -> str:
        """Where a container's shim listens once its engine is gone: a short path, for unix(7) allows 107 bytes."""
        return f"{self._addresses}/{container[:12]}.sock"

    def start(
        self,
        container: str,
        job: Job,
        memory: int,
        steps: int,
        attached: Sequence[tuple[int, Attach]] = (),
        gate: int = -1,
    ) -> Started | Failed:
        """Have init fork a shim for the job; wait until the container's program runs, or a step has failed.

        The caller keeps and closes `memory` and `gate`; the descriptors of clients in `attached` are handed over.
        """
        ours, theirs = Channel.pair()
        for descriptor, wish in attached:
            ours.send(wish, descriptor)
            os.close(descriptor)
        try:
            extra = [gate] if gate >= 0 else []
            self._init.send(Start(steps, self.address(container)), memory, theirs.fileno(), *extra)
        except OSError as error:
            ours.close()
            raise Unavailable(f"start a shim: the practice host's init does not answer: {error}") from error
        finally:
            theirs.close()
        received = ours.receive()
        if received is None:
            ours.close()
            return Failed(job.fork_seq, 0, "the shim died")
        answer, _ = received
        if isinstance(answer, Started):
            self._keep(container, ours)
            return answer
        ours.close()
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

    def forget(self, container: str) -> None:
        """Close the conversation with a container's shim."""
        with self._lock:
            channel = self._shims.pop(container, None)
            if channel:
                self._names.pop(channel.fileno(), None)
                with contextlib.suppress(OSError):
                    self._poll.unregister(channel.fileno())
                channel.close()

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
                    self.forget(container)
                    self._heard(container, None)
                else:
                    self._heard(container, received[0])
