"""Tries a plan on a fresh container that has everything but its address, and looks at the kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kernelkit.trace import fields
from lessons.client import Engine, Json, LessonError
from lessons.exercises.exercise import Claim, Verdict, as_plan, call
from lessons.l01_what_docker_run_did.exercise import hints
from lessons.look import look
from lessons.state import Inside
from lessons.walk import remove
from lessons.without import called

NAME, IMAGE, LINK = "exercise-1", "bash", "eth0"
SERVER = ["busybox", "httpd", "-f", "-p", "80"]


def check(engine: Engine, answer: Callable[..., Any]) -> Verdict:
    """What the kernel holds after the student's plan."""
    remove(engine, NAME)
    address = ""
    try:
        container, address, gateway = _start_without_address(engine)
        plan = as_plan(call(answer, link=LINK, address=address, gateway=gateway))
        _forget(engine, address)
        refused = _perform(engine, container, plan)
        state = look(engine, "", container)
        if state.inside is None:
            raise LessonError(f"the container '{NAME}' has ended: run this cell again")
        claims = _claims(state.inside, address, gateway)
        # A server may just be starting; where something is missing, waiting for it would only keep the student.
        patience = 10 if all(claim.holds for claim in claims) else 0.3
        claims.append(_reached(engine, address.partition("/")[0], patience))
        if refused:
            claims.insert(0, refused)
        return Verdict(tuple(claims), tuple(operation.shell() for operation in plan))
    finally:
        remove(engine, NAME)
        if address:
            _forget(engine, address)


def _forget(engine: Engine, address: str) -> None:
    """Have the host ask anew who has this address, arp(7).

    With step 6 left out, a container keeps the link-layer address that the kernel has chosen. The host remembers that
    of the one before for half a minute, and would call somebody who has gone.
    """
    engine.shell("ip", "neighbour", "flush", "to", address.partition("/")[0])


def _start_without_address(engine: Engine) -> tuple[str, str, str]:
    """The container, the address the engine leased for it, and its gateway."""
    engine.have(IMAGE)
    container = engine.post("/containers/create", {"Image": IMAGE, "Cmd": SERVER}, name=NAME)["Id"]
    with engine.stepping(container, ["ip"], step=False):
        pass
    network = engine.get(f"/containers/{container}/json")["NetworkSettings"]["Networks"]["bridge"]
    return container, f"{network['IPAddress']}/{network['IPPrefixLen']}", network["Gateway"]


def _perform(engine: Engine, container: str, plan: Sequence[Any]) -> Claim | None:
    """Have the plan performed; a claim about what the kernel refused, if it did."""
    if not plan:
        return Claim("your plan", "three operations", "an empty list", holds=False, hint=hints.PLAN)
    asked: list[Json] = [{"operation": type(operation).__name__, "fields": fields(operation)} for operation in plan]
    for step in engine.perform(asked, container=container):
        if step["error"]:
            saw = f"`{step['shell']}` was refused: {step['error']}"
            hint = next((hint for words, hint in hints.REFUSED if words in step["error"].lower()), hints.OTHERWISE)
            return Claim("your plan", "the kernel says yes to all of it", saw, holds=False, hint=hint)
    return None


def _claims(inside: Inside, address: str, gateway: str) -> list[Claim]:
    link = next((link for link in inside.links if link.name == LINK), None)
    addresses = ", ".join(link.addresses) if link and link.addresses else "none"
    default = next((route for route in inside.routes if route.destination == "default"), None)
    is_up = bool(link and link.is_up)
    is_led = bool(default and default.gateway == gateway)
    return [
        Claim("`eth0` is switched on", "up", "up" if is_up else "down", is_up, hints.UP),
        Claim("its address", address, addresses, bool(link and address in link.addresses), hints.ADDRESS),
        Claim("the way out", f"default via {gateway}", _route(default), is_led, hints.ROUTE),
    ]


def _route(default: Any) -> str:
    return f"default via {default.gateway or default.link}" if default else "no default route"


def _reached(engine: Engine, address: str, patience: float) -> Claim:
    """Whether the host can talk to the container's web server."""
    said = called(engine, address, patience)
    return Claim("the host calls its web server", "an answer over HTTP", said or "no answer", bool(said), hints.REACH)
