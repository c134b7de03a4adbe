"""Changes to settings are read as Docker reads them."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.engine.amend import amended
from kernelkit.errors import InvalidRequest

SHELL = ["/bin/sh", "-c"]
BEFORE = {"Env": ["PATH=/bin", "A=one"], "Cmd": ["sh"], "Labels": {"old": "1"}, "WorkingDir": "/srv"}


@pytest.mark.parametrize(
    ("change", "key", "expected"),
    [
        ('CMD ["a", "b c"]', "Cmd", ["a", "b c"]),
        ("CMD a b  c", "Cmd", [*SHELL, "a b  c"]),
        ("cmd [a]", "Cmd", [*SHELL, "[a]"]),
        ('ENTRYPOINT ["x"]', "Entrypoint", ["x"]),
        ("ENTRYPOINT x $A", "Entrypoint", [*SHELL, "x $A"]),
        ("ENV B=2 C='3 4' D=\"$A five\" E=a\\ b", "Env", ["PATH=/bin", "A=one", "B=2", "C=3 4", "D=one five", "E=a b"]),
        ("ENV A two and more", "Env", ["PATH=/bin", "A=two and more"]),
        ("ENV PATH=/sbin:$PATH A=${A}s", "Env", ["PATH=/sbin:/bin", "A=ones"]),
        ("ENV A=${NONE:-default} B=${A:+set}", "Env", ["PATH=/bin", "A=default", "B=set"]),
        ("ENV C='$A' D=\\$A", "Env", ["PATH=/bin", "A=one", "C=$A", "D=$A"]),
        ("LABEL by=me 'with space'=\"a \\\"b\\\"\"", "Labels", {"old": "1", "by": "me", "with space": 'a "b"'}),
        ("EXPOSE 80 53/udp", "ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
        ("EXPOSE 8000-8001", "ExposedPorts", {"8000/tcp": {}, "8001/tcp": {}}),
        ("EXPOSE 8080:80 127.0.0.1::53/udp", "ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
        ('VOLUME ["/a", "/b c"]', "Volumes", {"/a": {}, "/b c": {}}),
        ("VOLUME /a /b", "Volumes", {"/a": {}, "/b": {}}),
        ("USER me:us", "User", "me:us"),
        ("WORKDIR sub/../dir", "WorkingDir", "/srv/dir"),
        ("WORKDIR /", "WorkingDir", "/"),
        ("STOPSIGNAL SIGINT", "StopSignal", "SIGINT"),
        ('SHELL ["/bin/bash", "-c"]', "Shell", ["/bin/bash", "-c"]),
        ("ONBUILD RUN make all", "OnBuild", ["RUN make all"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        ("HEALTHCHECK CMD curl -f x", "Healthcheck", {"Test": ["CMD-SHELL", "curl -f x"]}),
        ("HEALTHCHECK --retries=2 CMD x", "Healthcheck", {"Retries": 2, "Test": ["CMD-SHELL", "x"]}),
        ("HEALTHCHECK --interval=1m CMD x", "Healthcheck", {"Interval": 60 * 10**9, "Test": ["CMD-SHELL", "x"]}),
        ('HEALTHCHECK CMD ["true"]', "Healthcheck", {"Test": ["CMD", "true"]}),
        ("# a comment", "Cmd", ["sh"]),
        ("CMD echo \\\n more", "Cmd", [*SHELL, "echo  more"]),
    ],
)  # fmt: skip
def test_a_change_is_made(change: str, key: str, expected: Any) -> None:
    assert amended(BEFORE, [change])[key] == expected


def test_the_original_stays_as_it_was() -> None:
    before = {"Env": ["A=1"], "Labels": {"a": "1"}}
    amended(before, ["ENV B=2", "LABEL b=2"])
    assert before == {"Env": ["A=1"], "Labels": {"a": "1"}}


def test_a_new_entry_point_takes_the_old_arguments_away() -> None:
    assert amended(BEFORE, ['ENTRYPOINT ["x"]'])["Cmd"] is None
    assert amended(BEFORE, ['CMD ["y"]', 'ENTRYPOINT ["x"]'])["Cmd"] == ["y"]
    assert amended(BEFORE, ['ENTRYPOINT ["x"]\nCMD ["y"]'])["Cmd"] == ["y"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("FROM x", "from is not a valid change command"),
        ("RUN x", "run is not a valid change command"),
        ("nonsense", "nonsense is not a valid change command"),
        ("CMD", "CMD requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'),
        ("EXPOSE http", "invalid containerPort: http"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 80/http", "invalid proto: http"),
        ("ENV =x", "ENV names can not be blank"),
        ("LABEL a=1 =x", "LABEL names can not be blank"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ("USER a b", "USER requires exactly one argument"),
        ("SHELL /bin/sh", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK --nope=1 CMD x", "unknown flag: --nope=1"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("HEALTHCHECK CMD", "missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK x", 'unknown type "x" in HEALTHCHECK (try CMD)'),
    ],
)
def test_what_is_no_change_is_refused(change: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        amended({}, [change])
    assert refused.value.message == said
