"""One client's connection: requests in, answers out, until either side has had enough.

The grammar is the h11 library's (RFC 9112); here are only the bounds: how large a head, how slow a client.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, unquote

import h11

from kernelkit.errors import InvalidRequest
from kernelkit.server.messages import Answer, Hijack, Reply, Request, Stream

LARGEST_HEAD = 65536  # bytes
HEAD_TIME = 20.0  # seconds from a request's first byte to the end of its head
STALL_TIME = 600.0  # seconds between two pieces of a body: a person may be typing it into a pipe
ANSWER_TIME = 60.0  # seconds in which a client has to take an answer that is no stream
CHUNK = 1 << 16
LINGER_TIME = 5.0  # seconds for a client to hear that what it still sends is not wanted
LEFT_OVER = 1 << 20  # bytes of an unread body that are worth reading to keep a connection

Respond = Callable[[Request], Answer]
Headers = list[tuple[str, str]]


class Connection:
    """Serves one client; `idle` is called with True before waiting for a next request and with False after it came."""

    def __init__(
        self, client: socket.socket, respond: Respond, refuse: Callable[[Exception], Reply], headers: Headers
    ) -> None:
        self._client = client
        self._respond = respond
        self._refuse = refuse
        self._headers = headers
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
        self._gone = False
        self._upgrade = False  # whether the client is ready to speak something else from here on
        self._head_only = False  # the answer to HEAD has a body's fields and no body

    def serve(self, idle: Callable[[bool], None]) -> None:
        """Answer requests until the client leaves, or has been handed to somebody else."""
        try:
            while not self._gone:
                idle(True)
                arrived = self._await_request()
                idle(False)
                if not arrived or not self._serve_one():
                    return
        except OSError:
            return  # the client went away; nobody is there to be told
        finally:
            self._client.close()

    def _await_request(self) -> bool:
        """Wait for the next request's first byte, without an end: a client may keep a connection for later."""
        if self._http.trailing_data[0]:
            return True
        self._client.settimeout(None)
        data = self._client.recv(CHUNK)
        self._http.receive_data(data)
        return bool(data)

    def _serve_one(self) -> bool:
        """Answer one request; whether another may follow on this connection."""
        try:
            request = self._read_head()
        except h11.RemoteProtocolError as error:
            self._send_reply(self._refuse(InvalidRequest(f"malformed request: {error}")), close=True)
            self._linger()
            return False
        except TimeoutError:
            self._send_reply(self._refuse(InvalidRequest("the request took too long to arrive")), close=True)
            return False
        if request is None:
            return False
        try:
            answer = self._respond(request)
        except h11.RemoteProtocolError as error:
            answer = self._refuse(InvalidRequest(f"malformed request: {error}"))
        if isinstance(answer, Hijack):
            self._hand_over(answer)
            return False
        if isinstance(answer, Stream):
            self._send_stream(answer)
            self._finish_body(request)
        else:
            whole = self._finish_body(request)
            self._send_reply(answer, close=not whole)
            if not whole:
                self._linger()
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    # reading ----------------------------------------------------------------------------------------------------

    def _read_head(self) -> Request | None:
        deadline = time.monotonic() + HEAD_TIME
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                return self._request(event)
            if event is not h11.NEED_DATA:
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._client.settimeout(left)
            self._http.receive_data(self._client.recv(CHUNK))

    def _request(self, head: h11.Request) -> Request:
        path, _, query = head.target.decode("latin-1").partition("?")
        if path.startswith("http://"):
            path = "/" + path.split("/", 3)[-1]
        self._head_only = head.method == b"HEAD"
        self._upgrade = any(name == b"upgrade" for name, _ in head.headers)
        return Request(
            method=head.method.decode("ascii"),
            path=unquote(path) if "%" in path else path,
            query=parse_qs(query, keep_blank_values=True) if query else {},
            headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
            body=self._body(),
            client=self._client,
        )

    def _body(self) -> Iterator[bytes]:
        if self._http.they_are_waiting_for_100_continue:
            self._client.sendall(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif event is h11.NEED_DATA:
                self._client.settimeout(STALL_TIME)
                self._http.receive_data(self._client.recv(CHUNK))
            else:
                return

    def _finish_body(self, request: Request) -> bool:
        """Read what the handler left of the body, unless that is a lot; whether the connection can be kept."""
        if self._http.their_state is h11.SEND_BODY and self._http.they_are_waiting_for_100_continue:
            return False
        read = 0
        try:
            while self._http.their_state is h11.SEND_BODY and read < LEFT_OVER:
                chunk = next(request.body, None)
                if chunk is None:
                    # An iterator that its handler broke off has ended; a new one goes on where it stopped.
                    request.body = self._body()
                    continue
                read += len(chunk)
        except (h11.RemoteProtocolError, TimeoutError):
            return False
        return self._http.their_state is not h11.SEND_BODY

    def _linger(self) -> None:
        """Hear out a client that is still sending: a closed connection would keep it from reading the answer."""
        deadline = time.monotonic() + LINGER_TIME
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self._client.settimeout(left)
                if not self._client.recv(CHUNK):
                    return

    # writing ----------------------------------------------------------------------------------------------------

    def _send_reply(self, reply: Reply, *, close: bool = False) -> None:
        headers = [*self._headers, *reply.headers]
        if reply.content_type:
            headers.append(("Content-Type", reply.content_type))
        if reply.status not in (204, 304):
            headers.append(("Content-Length", str(len(reply.body))))
        if close:
            headers.append(("Connection", "close"))
        if self._http.our_state is not h11.IDLE and self._http.our_state is not h11.SEND_RESPONSE:
            return
        out = self._say(h11.Response(status_code=reply.status, headers=headers))
        if reply.body and reply.status not in (204, 304) and not self._head_only:
            out += self._say(h11.Data(data=reply.body))
        self._client.settimeout(ANSWER_TIME)
        self._client.sendall(out + self._say(h11.EndOfMessage()))

    def _send_stream(self, stream: Stream) -> None:
        headers = [*self._headers, *stream.headers, ("Content-Type", stream.content_type)]
        try:
            self._client.settimeout(None)
            self._client.sendall(self._say(h11.Response(status_code=stream.status, headers=headers)))
            for chunk in stream.chunks:
                if chunk:
                    self._client.sendall(self._say(h11.Data(data=chunk)))
            self._client.sendall(self._say(h11.EndOfMessage()))
        finally:
            for close in (getattr(stream.chunks, "close", None), stream.close):
                if close:
                    close()

    def _say(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""

    def _hand_over(self, hijack: Hijack) -> None:
        """Send the head, and let the connection's descriptor go to whoever takes it."""
        status = "101 UPGRADED" if self._upgrade else "200 OK"
        fields = [*self._headers, ("Content-Type", hijack.content_type)]
        fields += [("Connection", "Upgrade"), ("Upgrade", "tcp")] if self._upgrade else []
        # Not h11's to say: what follows a hijacked 200 is neither counted nor chunked, and Docker's own clients know.
        head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"

        def handover() -> tuple[int, bytes]:
            self._client.settimeout(ANSWER_TIME)
            self._client.sendall(head.encode())
            self._client.settimeout(None)
            leftover = bytes(self._http.trailing_data[0])
            return self._client.detach(), leftover

        self._gone = True
        hijack.take(handover)

    def abandon(self) -> None:
        """Close a connection that another thread is waiting on."""
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
