"""The values that flags take: numbers, sizes, durations. What is none is refused in Docker's words (ValueError)."""

from __future__ import annotations

SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
TRUE = ("1", "t", "T", "true", "TRUE", "True")
FALSE = ("0", "f", "F", "false", "FALSE", "False")


def parse_bool(text: str) -> bool:
    """True or false, as `--flag=…` spells them."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_int(text: str) -> int:
    """A whole number of 64 bits, decimal or 0x…, 0o…, 0b…."""
    try:
        value = int(text, 0) if text.strip() == text and not text.startswith("0_") else int("")
    except ValueError:
        value = _octal(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def _octal(text: str) -> int:
    # A leading zero alone means base 8, in Go as in C; Python refuses it.
    digits = text.removeprefix("-").removeprefix("+")
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit() and not set(digits) & {"8", "9"}:
        return -int(digits, 8) if text.startswith("-") else int(digits, 8)
    raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')


def parse_uint16(text: str) -> int:
    """A whole number from 0 to 65535."""
    if not text.isdigit():
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > 0xFFFF:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def parse_decimal(text: str) -> int:
    """A number of CPUs, as billionths: `1.5` is 1500000000."""
    number, _, power = text.removeprefix("-").lower().partition("e")
    whole, _, part = number.partition(".")
    if not (whole + part).isdigit() or (power and not power.removeprefix("-").removeprefix("+").isdigit()):
        raise ValueError(f"failed to parse {text} as a rational number")
    shift = 9 - len(part) + int(power or "0")
    digits = int(whole + part)
    if shift < 0 and digits % 10**-shift:
        raise ValueError("value is too precise")
    billionths: int = digits * 10**shift if shift >= 0 else digits // 10**-shift
    return -billionths if text.startswith("-") else billionths


def parse_swap(text: str) -> int:
    """Bytes, or -1 for as many as there are."""
    return -1 if text == "-1" else parse_size(text)


def parse_size(text: str) -> int:
    """Bytes: `64m`, `1.5g`, `512`, `10kB`, in steps of 1024."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(number) :].strip().lower()
    if (unit.endswith("ib") and len(unit) == 3) or (unit.endswith("b") and len(unit) == 2):
        unit = unit[0]
    if not number or not number.replace(".", "", 1).isdigit():
        raise ValueError(f"invalid size: '{text}'")
    if unit not in SIZES:
        raise ValueError(f"invalid suffix: '{unit}'")
    if "." in number:
        return int(float(number) * SIZES[unit])
    return int(number) * SIZES[unit]


def parse_duration(text: str) -> int:
    """Nanoseconds: `1m30s`, `250ms`, `0`."""
    rest = text.removeprefix("-").removeprefix("+")
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµmsh"))]
        rest = rest[len(unit) :]
        if not number.replace(".", "", 1).isdigit():
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in NANOSECONDS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        whole, _, part = number.partition(".")
        scale = NANOSECONDS[unit]
        total += int(whole or "0") * scale + (int(part) * scale // 10 ** len(part) if part else 0)
    return -total if text.startswith("-") else total


def check_label(text: str) -> None:
    """A label: `key` or `key=value`."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")


def check_variable(text: str) -> None:
    """An environment variable: `NAME` or `NAME=value`."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")


def parse_filter(text: str) -> str:
    """A filter: `key=value`."""
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


def filters(conditions: list[str]) -> dict[str, dict[str, bool]]:
    """`["status=exited", "label=a"]` as the API wants it."""
    found: dict[str, dict[str, bool]] = {}
    for condition in conditions:
        key, _, value = condition.partition("=")
        found.setdefault(key.strip().lower(), {})[value.strip()] = True
    return found


RESOURCES = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()


def parse_ulimit(text: str) -> dict[str, object]:
    """A limit as getrlimit(2) has it: `nofile=1024:2048`, `nproc=5`, `core=-1` for unlimited."""
    name, equals, limits = text.partition("=")
    if not equals or not limits:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in RESOURCES:
        raise ValueError(f"invalid ulimit type: {name}")
    first, colon, second = limits.partition(":")
    soft = parse_int(first)
    hard = parse_int(second) if colon else soft
    if hard != -1 and (soft == -1 or soft > hard):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def check_stream(text: str) -> None:
    """STDIN, STDOUT or STDERR, in any case."""
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")


def is_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address."""
    import _socket  # `ipaddress` would take longer than the rest of the command

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def check_address(text: str) -> None:
    """An IPv4 or IPv6 address."""
    if not is_address(text.strip()):
        raise ValueError(f"IP address is not correctly formatted: {text}")


def check_extra_host(text: str) -> None:
    """A line for /etc/hosts: `host:ip`, `host=ip`, or `host:host-gateway`."""
    name, address = split_extra_host(text)
    if not name or not address:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address != "host-gateway" and not is_address(address):
        raise ValueError(f'invalid IP address in add-host: "{address}"')


def split_extra_host(text: str) -> tuple[str, str]:
    """The name and the address of an `--add-host`."""
    name, _, address = text.partition("=") if "=" in text else text.partition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return name, address


def check_search_domain(text: str) -> None:
    """A domain for /etc/resolv.conf; `.` means none."""
    letters = text.strip()
    if letters == ".":
        return
    labels = letters.removesuffix(".").split(".")
    good = all(part and part.replace("-", "").replace("_", "").isalnum() for part in labels)
    if not good or not any(character.isalpha() for character in letters):
        raise ValueError(f"{text} is not a valid domain")


def check_link(text: str) -> None:
    """A link: `container` or `container:alias`."""
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")


def check_sysctl(text: str) -> None:
    """A kernel parameter that belongs to a namespace, with its value."""
    name, equals, _ = text.partition("=")
    known = (
        "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
        "kernel.shm_rmid_forced"
    ).split()
    if not equals or not (name in known or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")


def csv_fields(text: str) -> list[str]:
    """The fields of one line of comma-separated values; quotes keep a comma, doubled quotes are one."""
    fields: list[str] = []
    field, quoted, i = "", False, 0
    while i < len(text):
        character = text[i]
        if quoted and character == '"' and text[i + 1 : i + 2] == '"':
            field += '"'
            i += 1
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += character
        i += 1
    return [*fields, field]


def mapping(pairs: list[str]) -> dict[str, str]:
    """`["a=b", "c"]` as a dictionary; a key without a value has the empty one."""
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
