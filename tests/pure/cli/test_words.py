"""Values, names, moments and sizes in the words of the command line."""

from __future__ import annotations

import time

import pytest

from kernelkit.cli import human, names
from kernelkit.cli.moments import api_time
from kernelkit.cli.practice import quoted
from kernelkit.cli.values import csv_fields, filters, parse_decimal, parse_duration, parse_int, parse_size, parse_swap


@pytest.mark.parametrize(
    ("text", "value"),
    [("64m", 64 << 20), ("1.5g", 3 << 29), ("512", 512), ("10kB", 10240), ("2GiB", 2 << 30), ("0b", 0)],
)
def test_sizes_are_in_steps_of_1024(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "-1", "x", "1q", "1.2.3m"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        parse_size(text)


def test_only_swap_may_be_without_limit() -> None:
    assert parse_swap("-1") == -1


def test_processors_are_billionths() -> None:
    assert [parse_decimal(text) for text in ("1.5", ".25", "2", "1e-1")] == [
        1500000000,
        250000000,
        2000000000,
        100000000,
    ]


def test_durations_are_nanoseconds() -> None:
    assert parse_duration("1m30s") == 90 * 10**9
    assert parse_duration("250ms") == 250 * 10**6
    with pytest.raises(ValueError, match="missing unit"):
        parse_duration("5")


def test_numbers_may_have_another_base() -> None:
    assert [parse_int(text) for text in ("10", "0x10", "010", "-0b11")] == [10, 16, 8, -3]


def test_quotes_keep_a_comma() -> None:
    assert csv_fields('type=tmpfs,"dst=/a,b",x=""""') == ["type=tmpfs", "dst=/a,b", 'x="']


def test_filters_are_sets_by_key() -> None:
    expected = {"status": {"exited": True}, "label": {"a=b": True, "c": True}}
    assert filters(["status=exited", "label=a=b", "LABEL=c"]) == expected


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("busybox", ("docker.io/library/busybox", "")),
        ("a/b:1", ("docker.io/a/b", "1")),
        ("localhost/a", ("localhost/a", "")),
        ("HOST/a:1", ("HOST/a", "1")),
        ("localhost:5000/a/b@sha256:x", ("localhost:5000/a/b", "sha256:x")),
        ("index.docker.io/x:1", ("docker.io/library/x", "1")),
    ],
)
def test_the_full_name_of_an_image(name: str, parts: tuple[str, str]) -> None:
    assert names.split(name) == parts


def test_the_familiar_name_is_the_short_one() -> None:
    assert names.familiar("docker.io/library/busybox:1") == "busybox:1"
    assert names.familiar("ghcr.io/a/b") == "ghcr.io/a/b"


@pytest.mark.parametrize("name", ["a", "a/b-c__d.e:V1.x", "localhost:5000/a", "Host.com/a@sha256:" + "0" * 64, "a--b"])
def test_good_names_of_images(name: str) -> None:
    names.check(name)


@pytest.mark.parametrize(
    "name", ["", "A", "a//b", "-a", "a_-b", "a___b", "a:", "a:-x", "a:" + "x" * 129, "a@sha256:00", "a b", "a/B", "a."]
)
def test_bad_names_of_images(name: str) -> None:
    with pytest.raises(ValueError, match="invalid reference format"):
        names.check(name)


def test_moments_count_back_from_now_or_are_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert api_time("42m", now=10_000.0) == str(10_000 - 42 * 60)
    assert api_time("1700000000.25") == "1700000000.25"
    assert api_time("2013-01-02T13:23:37.5Z") == "1357133017.500000000"
    assert api_time("2013-01-02T13:23:37+01:00") == "1357129417.000000000"
    assert api_time("2013-01-02") == "1357084800.000000000"
    assert api_time("") == ""
    for text in ("yesterday", "2013-13-01", "2013-01-02T25", "1e5"):
        with pytest.raises(ValueError, match=r"failed to parse|parsing time"):
            api_time(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (200, "3 minutes"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (731 * 86400, "2 years"),
    ],
)
def test_how_long_ago_is_said_roughly(seconds: float, words: str) -> None:
    assert human.duration(seconds) == words


def test_sizes_for_people() -> None:
    assert [human.size(count) for count in (0, 999, 1983159, 4324159000)] == ["0B", "999B", "1.98MB", "4.32GB"]
    assert human.size(1983159, 4) == "1.983MB"
    assert human.binary_size(25276514304) == "23.54GiB"


def test_stamps_are_read_and_written() -> None:
    assert (
        human.parse_stamp("2026-11-23T20:25:57.5Z") == human.parse_stamp("2026-11-23T21:25:57.5+01:00") == 1795465557.5
    )
    assert human.spaced("2026-11-23T20:25:57.123Z") == "2026-11-23 20:25:57.123 +0000 UTC"
    assert human.rfc3339_nano(1_700_000_000_000_000_005).endswith(".000000005Z")


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["vol10", "vol9", "a"], key=human.natural) == ["a", "vol9", "vol10"]


def test_words_for_a_shell_are_quoted_only_if_need_be() -> None:
    assert quoted("unix:///run/docker.sock") == "unix:///run/docker.sock"
    assert quoted("/with a 'quote'") == "'/with a '\"'\"'quote'\"'\"''"
