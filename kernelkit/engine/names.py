"""Names for containers that were given none: an adjective and somebody whose work is in every kernel or network."""

from __future__ import annotations

import re
import secrets

from kernelkit.errors import InvalidRequest

ALLOWED = "[a-zA-Z0-9][a-zA-Z0-9_.-]"

ADJECTIVES = (
    "able amber ample apt balmy bold brave bright brisk calm candid careful cheerful chilly civil clever cosy crisp "
    "curious daring deft eager early earnest easy even fair fancy fast fine fleet fluent fond frank free fresh frosty "
    "gallant gentle glad golden grand green handy happy hardy hearty honest humble ideal jolly just keen kind lasting "
    "light likely lively loyal lucid lucky mellow merry mild modest neat nimble noble orderly patient placid plain "
    "polite proud prudent quick quiet rapid rare ready regal robust rosy round sage sandy serene sharp shiny silent "
    "silver simple smart smooth snug sober solid sound spry stable steady stoic subtle sunny sure swift tacit tame "
    "tender tidy tough tranquil trusty upbeat valiant vivid warm wise witty young zesty"
).split()

SURNAMES = (
    "allen backus bartik bell berners boole borg brooks cerf church codd conway corbato cox curry dahl davies deering "
    "diffie dijkstra engelbart estrin feinler floyd gosling granville gray hamilton hamming hellman hoare holberton "
    "hopper huffman iverson jacobson johnson joy kahn karp kay keller kernighan kilburn kleene kleinrock knuth lamarr "
    "lampson licklider liskov lovelace mccarthy mcilroy mckusick merkle metcalfe meyer milner minsky moore naur "
    "newell noether nygaard ossanna perlis perlman pike postel rabin ramey rashid reynolds ritchie roberts rossum "
    "saltzer schneier scott shamir shannon simon spaerck stallman stevens strachey sutherland tanenbaum tarjan "
    "thompson torvalds turing ullman vixie vonneumann wilkes wirth yao zuse"
).split()


def suggest(attempt: int = 0) -> str:
    """A name by chance; a later `attempt` appends a digit, as the plain ones seem to be taken."""
    name = f"{secrets.choice(ADJECTIVES)}_{secrets.choice(SURNAMES)}"
    return f"{name}{secrets.randbelow(10)}" if attempt else name


def check(name: str) -> str:
    """The name without the slash some clients put before it; InvalidRequest when it is none."""
    plain = name.removeprefix("/")
    if not re.fullmatch(f"{ALLOWED}+", plain):
        raise InvalidRequest(f"Invalid container name ({name}), only {ALLOWED} are allowed")
    return plain
