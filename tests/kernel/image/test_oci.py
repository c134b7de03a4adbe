"""What is kept is an OCI image layout: the official schemas say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kernelkit.engine.commit import add_image
from kernelkit.engine.engine import Engine
from kernelkit.engine.saving import save
from kernelkit.image.reference import Reference
from kernelkit.image.store import Store
from kernelkit.kernel.tar import Stream
from kernelkit.kernel.untar import untar
from tests.layout import busybox, tar
from tests.schema import SPECS

SCHEMAS = SPECS / "oci-image"

pytestmark = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="needs the OCI schemas beside the checkout")


def check(value: Any, schema: str) -> None:
    """Fails with what is wrong."""
    jsonschema.Draft4Validator(resolved(schema, json.loads((SCHEMAS / schema).read_text()))).validate(value)


def resolved(file: str, part: Any) -> Any:
    """A schema with what it refers to, in this file or another one of the folder, put in its place."""
    if isinstance(part, list):
        return [resolved(file, each) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        name, _, path = part["$ref"].partition("#")
        found = json.loads((SCHEMAS / (name or file)).read_text())
        for key in path.strip("/").split("/") if path else ():
            found = found[key]
        return resolved(name or file, found)
    return {key: resolved(file, each) for key, each in part.items() if key != "id" or not isinstance(each, str)}


def check_layout(folder: Path) -> None:
    """A layout, with everything that its index leads to."""

    def read(digest: str) -> Any:
        return json.loads((folder / "blobs" / digest.replace(":", "/")).read_text())

    check(json.loads((folder / "oci-layout").read_text()), "image-layout-schema.json")
    index = json.loads((folder / "index.json").read_text())
    check(index, "image-index-schema.json")
    assert index["manifests"]
    for entry in index["manifests"]:
        manifest = read(entry["digest"])
        check(manifest, "image-manifest-schema.json")
        check(read(manifest["config"]["digest"]), "config-schema.json")
        for blob in (entry, manifest["config"], *manifest["layers"]):
            assert (folder / "blobs" / blob["digest"].replace(":", "/")).stat().st_size == blob["size"]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine with two images, one made from the other."""
    made = Engine(tmp_path / "home", Store(tmp_path / "home"))
    layer = made.store.add_layer([tar(busybox())])
    base = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]}}
    image = made.store.add_image(base, [layer], names=[Reference.parse("base:1")])
    config = {**base["config"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}}
    upper = made.store.add_layer([tar({"new": b"new", ".wh.etc": b""})])
    add_image(
        made, image, config, upper, names=[Reference.parse("derived:1")], created_by="sh", author="me", comment="c"
    )
    return made


def test_the_home_is_a_layout(engine: Engine) -> None:
    check_layout(engine.store.home)


def test_what_is_saved_is_a_layout(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    untar(Stream(save(engine, ["derived:1", "base"])), str(tmp_path / "saved"))
    check_layout(tmp_path / "saved")
    table = json.loads((tmp_path / "saved/manifest.json").read_text())
    assert [entry["RepoTags"] for entry in table] == [["derived:1"], ["base:1"]]
    for entry in table:
        assert all((tmp_path / "saved" / path).is_file() for path in (entry["Config"], *entry["Layers"]))
