"""The shim: stays with one container from before its first operation until its end is known.

    init ─ fork ─▶ shim ─ clone ─▶ child: performs the plan, becomes the container's program
                    │
                    ├─ streams: terminal or pipes ⇄ log, clients
                    ├─ channel: the engine's wishes
                    └─ a socket where the next engine finds it, should this one die

It is a fork of init and touches little, for every page it writes to becomes its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pickle
import select
import signal
import socket
import time
from collections.abc import Callable
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
    Resize,
    Signal,
    Start,
    Started,
    StartExec,
    receive_descriptors,
)
from kernelkit.host.log import Log
from kernelkit.host.streams import Loop, Streams
from kernelkit.kernel.netlink import HOST_NETFILTER, HOST_ROUTE, NETLINK_NETFILTER, NETLINK_ROUTE
from kernelkit.trace import Ledger, explain

SYNC = 3  # where a child finds the socket to its shim
STDIN, STDOUT, STDERR = 4, 5, 6  # and the ends of its pipes


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

    def __init__(self, channel: Channel, address: str) -> None:
        self._loop = Loop()
        self._channel: Channel | None = channel
        self._address = address
        self._listener: socket.socket | None = None
        self._main: Process | None = None
        self._execs: dict[str, Process] = {}
        self._exited: Exited | None = None
        self._told = False
        self._gone = False

    def run(self, steps: int, memory_fd: int, gate_fd: int, forked_at: float) -> None:
        """Start the container and stay until it has ended and the engine knows."""
        memory = mmap(memory_fd, 0)
        os.close(memory_fd)
        if gate_fd >= 0:
            gate_fd = _move_up(gate_fd)
        ledger = Ledger(memory, _ask(gate_fd) if gate_fd >= 0 else None)
        job: Job = pickle.loads(memoryview(memory)[Ledger.size(steps) :])
        ledger.note(job.fork_seq, forked_at)
        streams = Streams(self._loop, Log(job.log) if job.log else None, stdin_once=job.stdin_once)
        self._take_waiting(streams)
        process = self._start(job, ledger, streams)
        if gate_fd >= 0:
            os.close(gate_fd)
        if isinstance(process, Failed):
            self._send(process)
            return
        self._main = process
        self._send(Started(process.pid))
        del job, ledger, memory
        self._serve(process)

    # starting ---------------------------------------------------------------------------------------------------

    def _take_waiting(self, streams: Streams) -> None:
        """Clients who attached before the start have been waiting in the channel."""
        while self._channel:
            try:
                received = self._channel.receive(wait=False)
            except BlockingIOError:
                return
            if received is None:
                return
            message, descriptors = received
            if isinstance(message, Attach):
                streams.attach(descriptors[0], message)
            elif isinstance(message, Resize):
                streams.resize(message.rows, message.columns)

    def _start(self, job: Job, ledger: Ledger, streams: Streams) -> Process | Failed:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [] if job.terminal else [os.pipe2(os.O_CLOEXEC) for _ in range(3 if job.stdin else 2)]
        # Opened here, a netlink socket goes on speaking to this network namespace from inside the child's own.
        host_sockets = [_netlink(NETLINK_ROUTE), _netlink(NETLINK_NETFILTER)] if job.host_sockets else []
        try:
            pid, pidfd = _clone(job, ledger)
        except OSError as error:
            return Failed(ledger.failed, error.errno or errno.EIO, explain(error))
        if pid == 0:
            _become(job, ledger, theirs, pipes, host_sockets)
        theirs.close()
        for fd in host_sockets:
            os.close(fd)
        if pipes:
            stdin = -1
            if job.stdin:
                read, stdin = pipes.pop(0)
                os.close(read)
            (stdout, write_out), (stderr, write_err) = pipes
            os.close(write_out)
            os.close(write_err)
            streams.connect_pipes(stdin, stdout, stderr)
        process = Process(pid, pidfd, streams)
        failure = _listen_to_child(ours, streams)
        ours.close()
        if failure:
            process.end()
            streams.finish()
            return failure
        ledger.ended(job.first + len(job.operations) - 1)
        return process

    # staying ----------------------------------------------------------------------------------------------------

    def _serve(self, process: Process) -> None:
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

    def _send(self, message: object) -> None:
        if self._channel:
            try:
                self._channel.send(message)
            except OSError:
                self._lose_engine()

    def _main_ended(self, _: int) -> None:
        assert self._main
        self._loop.forget(self._main.pidfd)
        code = self._main.end()
        self._exited = Exited(code, time.time())
        self._main.streams.finish()
        self._send(self._exited)

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

    def _exec(self, wish: StartExec, descriptors: list[int]) -> None:
        memory = mmap(descriptors[0], 0)
        os.close(descriptors[0])
        job: Job = pickle.loads(memoryview(memory)[Ledger.size(wish.steps) :])
        streams = Streams(self._loop, None, stdin_once=True)
        process = self._start(job, Ledger(memory), streams)
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


def main(message: Start, descriptors: list[int], forked_at: float) -> None:
    """Be the shim of the job that init was told to start."""
    memory, channel, *gate = descriptors
    connection = socket.socket(fileno=channel)
    Shim(Channel(connection), message.address).run(message.steps, memory, gate[0] if gate else -1, forked_at)


def _clone(job: Job, ledger: Ledger) -> tuple[int, int]:
    """Make the child: (0, -1) there, (pid, pidfd) here."""
    if job.enter:
        ledger.perform([job.enter], job.clone_seq - 1)
    answer: tuple[int, int] = ledger.fork(job.clone, job.clone_seq, child=(0, -1))
    if job.leave and answer[0]:
        ledger.perform([job.leave], job.clone_seq + 1)
    return answer


def _ask(gate: int) -> Callable[[int], bool]:
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


def _netlink(protocol: int) -> int:
    """A netlink socket of this network namespace: netlink(7)."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol).detach()


def _move_up(fd: int) -> int:
    """The same descriptor with a number out of the way of those a child is promised."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 32)
    os.close(fd)
    return moved


def _become(
    job: Job, ledger: Ledger, sync: socket.socket, pipes: list[tuple[int, int]], host_sockets: list[int]
) -> None:
    """The child: perform the plan. The last operation is the exec; who comes back from here has failed."""
    try:
        promised = [(SYNC, sync.fileno()), *zip((HOST_ROUTE, HOST_NETFILTER), host_sockets, strict=False)]
        if pipes:
            ends = ([pipes[0][0]] if job.stdin else []) + [write for _, write in pipes[-2:]]
            promised += zip((STDIN, STDOUT, STDERR)[3 - len(ends) :], ends, strict=True)
        for number, moved in [(number, _move_up(fd)) for number, fd in promised]:
            os.dup2(moved, number, inheritable=False)
        ledger.perform(job.operations, job.first)
        raise OSError(errno.ENOEXEC, "the exec was left out: there is no program")
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        with contextlib.suppress(OSError):
            os.write(SYNC, pickle.dumps(Failed(ledger.failed, number, explain(error))))
    finally:
        os._exit(127)


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
