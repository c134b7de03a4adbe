"""JSON as Go's structs: what a template of `inspect` finds in it.

Docker's client reads the JSON into structs first. So a template may ask for an optional field that the JSON leaves
out, an absent list prints as `[]`, and a struct as `{a b}`, where the same JSON as plain maps would say `<no value>`,
`<nil>` and `map[x:a y:b]`. Written out again as JSON, everything is as it came.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Fields that are maps, by name; every other object of JSON is a struct.
MAPS = frozenset(
    (
        "Annotations Attributes Containers Data DriverOpts ExposedPorts Labels Networks Options PortBindings Ports "
        "StorageOpt Sysctls Tmpfs Volumes AuxiliaryAddresses"
    ).split()
)
# Fields that are pointers: absent, they are nil.
POINTERS = frozenset(
    (
        "Health Healthcheck Init SizeRw SizeRootFs OomKillDisable PidsLimit MemorySwappiness IPAMConfig StopTimeout "
        "GraphDriver UsageData ClusterVolume ImageManifestDescriptor Manifests Descriptor BindOptions VolumeOptions "
        "TmpfsOptions"
    ).split()
)
TEXTS = frozenset("StopSignal MacAddress Comment Variant OsVersion Author Parent".split())
LISTS = frozenset("Mounts Shell RepoTags RepoDigests".split())


# The fields of a mount in the order in which Go prints them.
MOUNT = "Type Name Source Destination Driver Mode RW Propagation".split()


class Struct(dict):  # type: ignore[type-arg]
    """A struct: its optional fields can be asked for and are empty; as JSON it has only what it came with."""

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in POINTERS or key in TEXTS or key in LISTS or key in MAPS

    def __missing__(self, key: str) -> Any:
        return "" if key in TEXTS else _nothing(key)

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        return _nothing(key) if value is None else value

    def printed(self) -> list[Any]:
        """The values in order, as Go prints them between braces."""
        return [self[key] for key in self]


class Map(dict):  # type: ignore[type-arg]
    """A map: a key that it does not have is no mistake, and has no value."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> None:
        """No value."""


class NilList(list):  # type: ignore[type-arg]
    """A list that is not there: empty in a template, null as JSON."""

    def as_plain(self) -> None:
        """Null."""


class NilMap(Map):
    """A map that is not there: empty in a template, null as JSON."""

    def as_plain(self) -> None:
        """Null."""


class NilPointer:
    """A pointer to nothing: false, printed `<nil>`, null as JSON."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "<nil>"

    def as_plain(self) -> None:
        """Null."""


def _nothing(key: str) -> Any:
    if key in POINTERS:
        return NilPointer()
    return NilMap() if key in MAPS else NilList()


def typed(value: Any, key: str = "") -> Any:
    """The value with its objects as structs, but for those that are maps."""
    if isinstance(value, list):
        return [typed(one, "[]") for one in value]
    if not isinstance(value, dict):
        return value
    # The options of a log driver are a map in a struct, and both are called Config.
    is_map = key in MAPS or (key == "Config" and all(isinstance(one, str) for one in value.values()))
    if key == "[]" and set(MOUNT) <= value.keys():
        value = {name: value[name] for name in (*MOUNT, *(set(value) - set(MOUNT)))}
    inner = {name: typed(one, "[]" if is_map else name) for name, one in value.items()}
    return Map(inner) if is_map else Struct(inner)
