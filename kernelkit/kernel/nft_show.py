"""What `nft list` shows, as plain values."""

from __future__ import annotations

import json
import subprocess


def elements(table: str, name: str) -> list[str]:
    """The elements of a set in a table of IPv4; none when there is no such table or no nft."""
    try:
        ran = subprocess.run(["nft", "-j", "list", "set", "ip", table, name], capture_output=True, text=True)
    except FileNotFoundError:
        return []
    if ran.returncode:
        return []
    found = (entry["set"] for entry in json.loads(ran.stdout)["nftables"] if "set" in entry)
    return [str(element) for each in found for element in each.get("elem", [])]
