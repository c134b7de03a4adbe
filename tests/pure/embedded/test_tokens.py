"""Tokens: what they allow, for how long, and that nobody else can make them."""

from __future__ import annotations

import base64
import json

import pytest

from kernelkit.embedded.tokens import LIFETIME, Mint

BUSYBOX = "library/busybox"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_allows_what_it_was_asked_for_and_no_more() -> None:
    mint = Mint(b"secret")
    token = mint.issue([f"repository:{BUSYBOX}:pull"])
    assert mint.allows(token, BUSYBOX)
    assert mint.allows(token, "")
    assert not mint.allows(token, "library/bash")


def test_nobody_may_push() -> None:
    mint = Mint(b"secret")
    assert not mint.allows(mint.issue([f"repository:{BUSYBOX}:push"]), BUSYBOX)
    both = mint.issue([f"repository:{BUSYBOX}:pull,push"])
    claims = json.loads(base64.urlsafe_b64decode(both.split(".")[1] + "=="))
    assert claims["access"] == [{"type": "repository", "name": BUSYBOX, "actions": ["pull"]}]


def test_a_token_ends() -> None:
    clock = Clock()
    mint = Mint(b"secret", clock)
    token = mint.issue([f"repository:{BUSYBOX}:pull"])
    clock.now += LIFETIME - 1
    assert mint.allows(token, BUSYBOX)
    clock.now += 1
    assert not mint.allows(token, BUSYBOX)


def test_another_server_s_token_is_not_ours() -> None:
    token = Mint(b"theirs").issue([f"repository:{BUSYBOX}:pull"])
    assert not Mint(b"ours").allows(token, BUSYBOX)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "\udcff.x.y"])
def test_rubbish_is_refused(token: str) -> None:
    assert not Mint(b"secret").allows(token, BUSYBOX)


def test_changed_claims_are_refused() -> None:
    mint = Mint(b"secret")
    head, claims, signature = mint.issue([f"repository:{BUSYBOX}:pull"]).split(".")
    changed = base64.urlsafe_b64decode(claims + "==").replace(b"busybox", b"debian!")
    forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
    assert not mint.allows(f"{head}.{forged}.{signature}", BUSYBOX)
    assert not mint.allows(f"{head}.{claims}.", BUSYBOX)
