"""Questions and answers as they travel."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.engine import dns


def question(name: str, kind: int, *, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, dns.IN)


def test_a_question_is_read() -> None:
    found = dns.parse(question("Web.N1", dns.A))
    assert found
    assert (found.number, found.name, found.kind) == (7, "web.n1", dns.A)


def test_an_answer_repeats_the_question_and_lists_addresses() -> None:
    asked = question("web", dns.A)
    found = dns.parse(asked)
    assert found
    answer = dns.addresses(found, ["172.18.0.2", "172.18.0.3"])
    number, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", answer)
    assert (number, questions, answers) == (7, 1, 2)
    assert flags == 0x8180  # a response, recursion desired and available, no error
    assert answer[12:].startswith(asked[12:])
    assert answer.endswith(b"\0\4" + bytes([172, 18, 0, 3]))


def test_a_name_without_an_address_of_that_kind_is_there_all_the_same() -> None:
    found = dns.parse(question("web", dns.AAAA))
    assert found
    answer = dns.addresses(found, [])
    assert struct.unpack_from("!HHHHHH", answer)[1:4] == (0x8180, 1, 0)


def test_an_answer_too_long_for_a_datagram_says_so() -> None:
    found = dns.parse(question("web", dns.A))
    assert found
    many = [f"10.0.0.{i}" for i in range(1, 200)]
    cut = dns.addresses(found, many)
    assert len(cut) <= dns.LARGEST
    assert struct.unpack_from("!HHHHHH", cut)[1] & dns.TRUNCATED
    assert struct.unpack_from("!HHHHHH", dns.addresses(found, many, datagram=False))[3] == 199


def test_a_pointer_names_who_it_is() -> None:
    found = dns.parse(question("2.0.18.172.in-addr.arpa", dns.PTR))
    assert found
    assert dns.reversed_address(found.name) == "172.18.0.2"
    assert dns.pointer(found, "web.n1").endswith(b"\x03web\x02n1\0")


@pytest.mark.parametrize("name", ["web", "1.2.3.in-addr.arpa", "a.2.3.4.in-addr.arpa", "2.0.18.172.ip6.arpa"])
def test_what_is_no_address_reversed_is_none(name: str) -> None:
    assert dns.reversed_address(name) == ""


def test_a_failure_bears_the_questions_number() -> None:
    answer = dns.failure(question("nosuch", dns.A), dns.SERVFAIL)
    number, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", answer)
    assert (number, flags, questions, answers) == (7, 0x8182, 1, 0)


@given(st.binary(max_size=600))
def test_no_bytes_whatever_upset_it(message: bytes) -> None:
    found = dns.parse(message)
    if found:
        dns.addresses(found, [])
    assert len(dns.failure(message, dns.FORMERR)) >= 12


def test_an_answer_is_not_taken_for_a_question() -> None:
    assert dns.parse(question("web", dns.A, flags=0x8180)) is None
