"""What the filters of all lists have in common: `docker ... ls --filter NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Mapping

from kernelkit.errors import InvalidRequest

Filters = Mapping[str, list[str]]


def label_matches(labels: Mapping[str, str] | None, wanted: str) -> bool:
    """Whether there is a label of that name, and with `name=value` of that value."""
    name, equals, value = wanted.partition("=")
    found = labels or {}
    return name in found and (not equals or found[name] == value)


def labels_match(labels: Mapping[str, str] | None, filters: Filters) -> bool:
    """Whether all of `label` and none of `label!` match."""
    return all(label_matches(labels, wanted) for wanted in filters.get("label", ())) and not any(
        label_matches(labels, unwanted) for unwanted in filters.get("label!", ())
    )


def check_filters(filters: Filters, *known: str) -> None:
    """Refuse a filter that this list does not have: InvalidRequest in Docker's words."""
    for name in filters:
        if name not in known:
            raise InvalidRequest(f"invalid filter '{name}'")


def is_true(filters: Filters, name: str) -> bool | None:
    """A filter that says yes or no; None when it is not given, InvalidRequest when it says neither."""
    words = [word.lower() for word in filters.get(name, ())]
    if not words:
        return None
    if all(word in ("1", "true", "t") for word in words):
        return True
    if all(word in ("0", "false", "f") for word in words):
        return False
    raise InvalidRequest(f"invalid filter '{name}=[{' '.join(filters[name])}]'")
