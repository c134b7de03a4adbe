"""Questions and answers of the domain name system, as they travel: RFC 1035, RFC 3596 (AAAA).

header     number, flags, how many: questions, answers, authorities, additional
question   name, type, class
answer     name, type, class, seconds it may be kept, length, data
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

A = 1
PTR = 12
AAAA = 28
IN = 1

NOERROR = 0
FORMERR = 1
SERVFAIL = 2

KEPT = 600  # seconds that an answer may be kept: Docker's
LARGEST = 512  # bytes of an answer in a datagram

RESPONSE = 0x8000
TRUNCATED = 0x0200
_COPIED = 0x7900  # of a question's flags: the kind of question, "recursion desired"
_AVAILABLE = 0x0080

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_ANSWER = struct.Struct("!HHHIH")
_TO_QUESTION = 0xC000 | _HEADER.size  # a pointer to the question's name: RFC 1035, section 4.1.4


@dataclass(frozen=True)
class Question:
    """What is asked: `name` in lower case without the last dot. `raw` are the question's bytes."""

    number: int
    flags: int
    name: str
    kind: int
    raw: bytes


def parse(message: bytes) -> Question | None:
    """The one question in a message; None when it is none that we understand."""
    try:
        number, flags, questions, *_ = _HEADER.unpack_from(message)
        if flags & RESPONSE or questions != 1:
            return None
        labels, at = [], _HEADER.size
        while length := message[at]:
            if length > 63:
                return None
            labels.append(message[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
        kind, category = _QUESTION.unpack_from(message, at + 1)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if category != IN:
        return None
    return Question(number, flags, ".".join(labels), kind, message[_HEADER.size : at + 1 + _QUESTION.size])


def addresses(question: Question, found: Sequence[str], *, datagram: bool = True) -> bytes:
    """The answer that lists addresses; none is an answer too: the name is there, but not with this type."""
    family = socket.AF_INET6 if question.kind == AAAA else socket.AF_INET
    return _answer(question, [socket.inet_pton(family, address) for address in found], datagram=datagram)


def pointer(question: Question, name: str) -> bytes:
    """The answer that says whose address it is."""
    encoded = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return _answer(question, [encoded + b"\0"], datagram=True)


def failure(message: bytes, code: int) -> bytes:
    """The answer that there is none."""
    question = parse(message)
    number = message[:2].ljust(2, b"\0")
    flags = RESPONSE | _AVAILABLE | code | (question.flags & _COPIED if question else 0)
    counts = struct.pack("!HHHHH", flags, 1 if question else 0, 0, 0, 0)
    return number + counts + (question.raw if question else b"")


def reversed_address(name: str) -> str:
    """`2.0.18.172.in-addr.arpa` → `172.18.0.2`; empty for anything else."""
    labels = name.removesuffix(".in-addr.arpa").split(".")
    if not name.endswith(".in-addr.arpa") or len(labels) != 4 or not all(label.isdigit() for label in labels):
        return ""
    return ".".join(reversed(labels))


def _answer(question: Question, values: Sequence[bytes], *, datagram: bool) -> bytes:
    flags = RESPONSE | _AVAILABLE | (question.flags & _COPIED)
    answers = [_ANSWER.pack(_TO_QUESTION, question.kind, IN, KEPT, len(value)) + value for value in values]
    room = LARGEST - _HEADER.size - len(question.raw)
    if datagram and sum(map(len, answers)) > room:
        answers, flags = [], flags | TRUNCATED
    return _HEADER.pack(question.number, flags, 1, len(answers), 0, 0) + question.raw + b"".join(answers)
