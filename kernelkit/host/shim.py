"""The shim: stays with one container from before its first operation until its end is known.

    init ─ fork ─▶ shim ─ clone ─▶ child: gets a job, performs it, becomes the container's program
                    │
                    ├─ streams: terminal or pipes ⇄ log, clients
                    ├─ channel: the engine's wishes
                    └─ a socket where the next engine finds it, should this one die

It is a fork of init and touches little, for every page it writes to becomes its own.

One shim is forked ahead, with its child, and waits for a job: half of the time of a start is spent on the way there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import signal
import socket
import time
from mmap import mmap

from kernelkit.host.channel import (
    Attach,
    Bye,
    Channel,
    ExecExited,
    ExecStarted,
    Exited,
    Failed,
    Job,
    Prepare,
    Ready,
    Resize,
    Signal,
    Start,
    Started,
    StartExec,
    Take,
    employ,
    receive_descriptors,
    unpack_job,
)
from kernelkit.host.child import LEFT, Child, Gate, bear, move_up
from kernelkit.host.log import Log
from kernelkit.host.streams import Loop, Streams
from kernelkit.trace import Ledger, explain

Waiting = list[tuple[object, list[int]]]  # messages with their descriptors


class Process:
    """A program in the container: the container's own, or an exec's."""

    def __init__(self, pid: int, pidfd: int, streams: Streams) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.streams = streams

    def end(self) -> int:
        """Collect it; its exit code, or 128 + n when signal n ended it."""
        while True:
            try:
                result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
                break
            except InterruptedError:
                continue
        os.close(self.pidfd)
        if result is None:
            return 255
        return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


class Shim:
    """One container's shim."""

    def __init__(self, channel: Channel) -> None:
        self._loop = Loop()
        self._channel: Channel | None = channel
        self._address = ""
        self._listener: socket.socket | None = None
        self._main: Process | None = None
        self._mounts = -1  # the container's mount namespace, if we hold it: namespaces(7)
        self._execs: dict[str, Process] = {}
        self._exited: Exited | None = None
        self._gone = False

    # starting ---------------------------------------------------------------------------------------------------

    def start(self, wish: Start, memory_fd: int, gate_fd: int, forked_at: float) -> bool:
        """Start a container at once; whether it runs."""
        gate = None
        if gate_fd >= 0:
            gate_fd = move_up(gate_fd)
            gate = _ask(gate_fd)
        memory = mmap(memory_fd, 0)
        ledger = Ledger(memory, gate)
        job = unpack_job(memory, Ledger.size(wish.steps))
        ledger.note(job.fork_seq, forked_at, time.time() - forked_at)
        runs = self._run(wish, job, ledger, memory_fd, self._take_waiting(), gate=gate)
        if gate:
            os.close(gate_fd)
        return runs

    def await_job(self, wish: Prepare, forked_at: float) -> bool:
        """Get ready for a job, wait until there is one, do it; whether a container runs."""
        ahead = Ledger(mmap(-1, Ledger.size(2)))
        ahead.note(1, forked_at, time.time() - forked_at)
        # Before the child inherits them; two, for each tells only once.
        mounts, told = (move_up(os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)) for _ in range(2))
        child = bear(self._channel, wish.clone, ahead, 2, host_sockets=True, mounts=mounts) if wish.clone else None
        os.close(mounts)
        if child:
            # Or the kernel would unmount everything before it says that the program has ended.
            self._mounts = os.open(f"/proc/{child.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            self._send(Ready(child.pid), told, child.giver.fileno())
            child.giver.close()  # the engine speaks to it itself: one who has to be woken less
        else:
            self._send(Ready(0), told)
        os.close(told)
        waiting = self._await_take(child)
        if waiting is None:
            if child:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            return False
        take, (memory_fd,) = waiting.pop()
        assert isinstance(take, Take)
        memory = mmap(memory_fd, 0)
        ledger = Ledger(memory)
        job = unpack_job(memory, Ledger.size(take.steps))
        ledger.note(job.fork_seq, *ahead.read(1)[:2])
        if child:
            ledger.note(job.clone_seq, *ahead.read(2)[:2])
        return self._run(take, job, ledger, memory_fd, waiting, child)

    def _await_take(self, child: Child | None) -> Waiting | None:
        """What the engine says, up to a job; None when it is gone, or does without us, or the child has left."""
        if not self._channel:
            return None
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        if child:
            poll.register(child.sync.fileno(), select.POLLIN)
        waiting: Waiting = []
        while True:
            for fd, _ in poll.poll():
                if fd == self._channel.fileno():
                    received = self._channel.receive()
                    if received is None:
                        return None
                    waiting.append(received)
                    if isinstance(received[0], Take):
                        return waiting
                elif child:
                    if child.sync.recv(1, socket.MSG_PEEK) == LEFT:
                        return None
                    poll.unregister(fd)  # it has a job, and has done it before we hear of it

    def _take_waiting(self) -> Waiting:
        """Clients who attached before the start have been waiting in the channel."""
        waiting: Waiting = []
        with contextlib.suppress(BlockingIOError):
            while self._channel and (received := self._channel.receive(wait=False)):
                waiting.append(received)
        return waiting

    def _run(
        self,
        wish: Start | Take,
        job: Job,
        ledger: Ledger,
        memory: int,
        waiting: Waiting,
        child: Child | None = None,
        gate: Gate | None = None,
    ) -> bool:
        assert self._channel
        self._address = wish.address
        streams = Streams(self._loop, Log(job.log) if job.log else None, stdin_once=job.stdin_once)
        for message, descriptors in waiting:
            if isinstance(message, Attach):
                streams.attach(descriptors[0], message)
            elif isinstance(message, Resize):
                streams.resize(message.rows, message.columns)
        process = self._launch(job, ledger, wish.steps, memory, streams, child, gate)
        os.close(memory)
        if isinstance(process, Failed):
            with contextlib.suppress(OSError):  # an engine that has died meanwhile will not be told by us
                self._channel.send(process)
            return False
        self._main = process
        if not child:
            self._send(Started(process.pid))
        return True

    def _launch(
        self,
        job: Job,
        ledger: Ledger,
        steps: int,
        memory: int,
        streams: Streams,
        child: Child | None = None,
        gate: Gate | None = None,
    ) -> Process | Failed:
        """Have a child become the job's program: one that is at work already, or a new one."""
        if not child:
            try:
                around = (job.enter, job.leave)
                child = bear(
                    self._channel, job.clone, ledger, job.clone_seq, around, host_sockets=job.host_sockets, gate=gate
                )
            except OSError as error:
                return Failed(ledger.failed, error.errno or errno.EIO, explain(error))
            with contextlib.suppress(OSError):  # if it has just died, its end will say so
                employ(child.giver, steps, memory)
            child.giver.close()
        stdin, stdout, stderr = child.pipes
        if job.terminal:
            for fd in child.pipes:
                os.close(fd)
        else:
            if not job.stdin:
                os.close(stdin)
            streams.connect_pipes(stdin if job.stdin else -1, stdout, stderr)
        process = Process(child.pid, child.pidfd, streams)
        failure = _listen_to_child(child.sync, streams)
        child.sync.close()
        if failure:
            process.end()
            streams.finish()
            return failure
        ledger.ended(job.exec_seq)
        return process

    # staying ----------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Stay until the container has ended and the engine knows."""
        process = self._main
        assert process
        self._loop.watch(process.pidfd, select.EPOLLIN, self._main_ended)
        if self._channel:
            self._loop.watch(self._channel.fileno(), select.EPOLLIN, self._told_something)
        else:
            self._listen()
        while not self._gone or process.streams.busy or self._execs:
            self._loop.turn()
        if self._listener:
            with contextlib.suppress(OSError):
                os.unlink(self._address)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._address)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self._address)
        self._listener.listen(1)
        self._loop.watch(self._listener.fileno(), select.EPOLLIN, self._new_engine)

    def _new_engine(self, _: int) -> None:
        assert self._listener
        connection, _address = self._listener.accept()
        if self._channel:
            self._lose_engine()
        self._channel = Channel(connection)
        self._loop.watch(self._channel.fileno(), select.EPOLLIN, self._told_something)
        if self._main and not self._exited:
            self._send(Started(self._main.pid))
        if self._exited:
            self._send(self._exited)

    def _lose_engine(self) -> None:
        """The engine is gone: the next one will look for this shim at its address."""
        if self._channel:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._channel = None
        if not self._listener:
            self._listen()

    def _send(self, message: object, *descriptors: int) -> None:
        if self._channel:
            try:
                self._channel.send(message, *descriptors)
            except OSError:
                self._lose_engine()

    def _main_ended(self, _: int) -> None:
        assert self._main
        self._loop.forget(self._main.pidfd)
        code = self._main.end()
        self._exited = Exited(code, time.time())
        self._main.streams.finish()
        self._send(self._exited)
        if self._mounts >= 0:
            os.close(self._mounts)

    def _told_something(self, _: int) -> None:
        assert self._channel
        received = self._channel.receive()
        if received is None:
            self._lose_engine()
            return
        message, descriptors = received
        if isinstance(message, Attach):
            process = self._execs.get(message.process) if message.process else self._main
            if process:
                process.streams.attach(descriptors[0], message)
        elif isinstance(message, Resize):
            process = self._execs.get(message.process) if message.process else self._main
            if process:
                process.streams.resize(message.rows, message.columns)
        elif isinstance(message, Signal):
            if self._main and not self._exited:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._main.pidfd, message.number)
        elif isinstance(message, StartExec):
            self._exec(message, descriptors)
        elif isinstance(message, Bye):
            self._gone = True
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _exec(self, wish: StartExec, descriptors: list[int]) -> None:
        memory = mmap(descriptors[0], 0)
        job = unpack_job(memory, Ledger.size(wish.steps))
        streams = Streams(self._loop, None, stdin_once=True)
        process = self._launch(job, Ledger(memory), wish.steps, descriptors[0], streams)
        os.close(descriptors[0])
        if isinstance(process, Failed):
            for descriptor in descriptors[1:]:
                os.close(descriptor)  # and not shut down: the engine tells this client what went wrong
            self._send(ExecStarted(wish.process, 0, process.seq, process.errno, process.error))
            return
        if wish.attach:
            streams.attach(descriptors[1], wish.attach)
        self._execs[wish.process] = process
        self._send(ExecStarted(wish.process, process.pid))
        self._loop.watch(process.pidfd, select.EPOLLIN, lambda _: self._exec_ended(wish.process))

    def _exec_ended(self, name: str) -> None:
        process = self._execs.pop(name)
        self._loop.forget(process.pidfd)
        # In this order: who sees its streams end may ask for its exit code at once.
        self._send(ExecExited(name, process.end()))
        process.streams.finish()


def main(message: Start | Prepare, descriptors: list[int], forked_at: float) -> None:
    """Be the shim of the job that init was told to start, or of one to come."""
    if isinstance(message, Start):
        memory, channel, *gate = descriptors
        shim = Shim(Channel(socket.socket(fileno=channel)))
        runs = shim.start(message, memory, gate[0] if gate else -1, forked_at)
    else:
        shim = Shim(Channel(socket.socket(fileno=descriptors[0])))
        runs = shim.await_job(message, forked_at)
    if runs:
        shim.serve()


def _ask(gate: int) -> Gate:
    """Before each operation, tell the engine its number and wait for its word: one byte, `k` to skip it.

    An engine that says nothing and closes its end wants no more of it.
    """

    def ask(seq: int) -> bool:
        os.write(gate, seq.to_bytes(4, "little"))
        word = os.read(gate, 1)
        if not word:
            raise OSError(errno.ECANCELED, "the start was aborted")
        return word != b"k"

    return ask


def _listen_to_child(sync: socket.socket, streams: Streams) -> Failed | None:
    """Wait until the child has become its program, which closes the socket; or until it says what failed."""
    failure: Failed | None = None
    while True:
        data, descriptors = receive_descriptors(sync)
        if not data:
            return failure
        if descriptors:
            streams.connect_terminal(descriptors[0])
        else:
            failure = pickle.loads(data)
