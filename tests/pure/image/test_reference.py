"""The names of images mean to us what they mean to Docker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import InvalidRequest
from kernelkit.image.reference import Reference

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "domain", "path", "tag", "digest", "familiar"),
    [
        ("debian", "docker.io", "library/debian", "latest", "", "debian:latest"),
        ("library/debian:12", "docker.io", "library/debian", "12", "", "debian:12"),
        ("docker.io/debian", "docker.io", "library/debian", "latest", "", "debian:latest"),
        ("index.docker.io/library/debian", "docker.io", "library/debian", "latest", "", "debian:latest"),
        ("me/tool", "docker.io", "me/tool", "latest", "", "me/tool:latest"),
        ("docker.io/library/a/b", "docker.io", "library/a/b", "latest", "", "library/a/b:latest"),
        ("localhost/tool", "localhost", "tool", "latest", "", "localhost/tool:latest"),
        ("localhost:5000/a/b", "localhost:5000", "a/b", "latest", "", "localhost:5000/a/b:latest"),
        (f"localhost:5000/a/b@{DIGEST}", "localhost:5000", "a/b", "", DIGEST, f"localhost:5000/a/b@{DIGEST}"),
        (f"debian:12@{DIGEST}", "docker.io", "library/debian", "12", DIGEST, f"debian:12@{DIGEST}"),
        ("[::1]:5000/x", "[::1]:5000", "x", "latest", "", "[::1]:5000/x:latest"),
        ("Example.org/x", "Example.org", "x", "latest", "", "Example.org/x:latest"),
        ("HOST/x", "HOST", "x", "latest", "", "HOST/x:latest"),
        ("a__b--c/d.e", "docker.io", "a__b--c/d.e", "latest", "", "a__b--c/d.e:latest"),
        ("quay.io/org/x:V_1.0-rc", "quay.io", "org/x", "V_1.0-rc", "", "quay.io/org/x:V_1.0-rc"),
    ],
)
def test_a_name_has_its_parts(text: str, domain: str, path: str, tag: str, digest: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert (reference.domain, reference.path, reference.tag, reference.digest) == (domain, path, tag, digest)
    assert reference.familiar() == familiar


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("/x", "invalid reference format"),
        ("x/", "invalid reference format"),
        ("x:", "invalid reference format"),
        (":x", "invalid reference format"),
        ("x:a b", "invalid reference format"),
        ("x\n", "invalid reference format"),
        ("x:-a", "invalid reference format"),
        ("a__b.c/d", "invalid reference format"),  # the dot makes it a domain, and those have no underscores
        ("a//b", "invalid reference format"),
        ("../x", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("x@sha256:abc", "invalid reference format"),
        ("x@sha256:" + "a" * 40, "invalid checksum digest length"),
        ("x@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("BusyBox", "invalid reference format: repository name (library/BusyBox) must be lowercase"),
        ("localhost:5000/Up", "invalid reference format: repository name (Up) must be lowercase"),
        ("a" * 300, "repository name must not be more than 255 characters"),
        ("f" * 64, "cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_what_is_no_name_is_refused_in_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Reference.parse(text)
    assert message in refused.value.message


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidRequest:
        return
    assert Reference.parse(reference.canonical()) == reference
    assert Reference.parse(reference.familiar()) == reference
