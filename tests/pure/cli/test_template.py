"""Go's templates, as far as `--format` goes; what they print was compared with Docker's client."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.cli.template import Template, TemplateError
from kernelkit.cli.typed import typed

VALUE: dict[str, Any] = {
    "Name": "/web",
    "State": {"Status": "running", "Pid": 7, "Health": None},
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"b": "2", "a": "1"}},
    "Ratio": 0.5,
    "Done": False,
}


def shown(template: str, value: Any = VALUE) -> str:
    return Template(template).render(value)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "/web"),
        ("{{.State.Pid}} {{.Ratio}} {{.Done}}", "7 0.5 false"),
        ("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[a:1 b:2]"),
        ('{{index .Config.Labels "a"}}{{index .Config.Env 1}}', "1B=2"),
        ("{{json .Config.Env}}", '["A=1","B=2"]'),
        ("{{range .Config.Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
        ("{{range $i, $e := .Config.Env}}{{$i}}{{$e}},{{end}}", "0A=1,1B=2,"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v} }{{end}}".replace("$v} }", "$v}}"), "a=1b=2"),
        ("{{range .State.Health}}x{{else}}none{{end}}", "none"),
        ('{{if eq .State.Status "running"}}up{{else}}down{{end}}', "up"),
        ("{{if .Done}}a{{else if .Ratio}}b{{else}}c{{end}}", "b"),
        ("{{if and .Name (not .Done) (gt .State.Pid 5)}}yes{{end}}", "yes"),
        ("{{with .State}}{{.Status}}{{end}}", "running"),
        ("{{$x := .State.Pid}}{{$x}}", "7"),
        ('{{.Name | upper | printf "%q"}}', '"/WEB"'),
        ('{{join (split .Name "e") "-"}}', "/w-b"),
        ('{{printf "%-6s|%5d|%t" .Name .State.Pid .Done}}', "/web  |    7|false"),
        ("{{len .Config.Env}} {{len .Name}} {{slice .Name 1}}", "2 4 web"),
        ("a {{- .State.Pid -}} b{{/* not seen */}}", "a7b"),
        ('{{title "a bc"}} {{truncate .Name 2}} {{pad "x" 1 2}}|', "A Bc /w  x  |"),
        ('{{println .Name}}{{html "<a>"}}{{urlquery "a b"}}', "/web\n&lt;a&gt;a+b"),
        ("{{.State.Health}}", "<no value>"),
    ],
)
def test_what_a_template_prints(template: str, text: str) -> None:
    assert shown(template) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{.Nope}}", 'template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"'),
        ("{{.Nope.X.Y}}", 'template: :1:7: executing "" at <.Nope.X.Y>: map has no entry for key "Nope"'),
        ("{{slice .Name 9}}", 'template: :1: executing "" at <slice>: error calling slice: index out of range: 9'),
        ("{{$x}}", 'template: :1: undefined variable "$x"'),
    ],
)
def test_what_is_wrong_is_said_as_go_says_it(template: str, said: str) -> None:
    with pytest.raises(TemplateError) as wrong:
        shown(template)
    assert str(wrong.value) == said


def test_json_read_as_structs_has_fields_that_it_left_out() -> None:
    container = typed({"State": {"Pid": 7}, "Config": {"Env": None, "Labels": {"a": "1"}, "ExposedPorts": None}})
    assert shown("{{.State.Health}} {{.Config.Env}} {{.Config.ExposedPorts}}", container) == "<nil> [] map[]"
    assert shown("{{.Config.Labels.nope}} {{.Config.Labels}}", container) == "<no value> map[a:1]"
    assert shown("{{json .Config}}", container) == '{"Env":null,"Labels":{"a":"1"},"ExposedPorts":null}'
    assert shown("{{json .Config.Env}} {{json .State.Health}}", container) == "null null"
    with pytest.raises(TemplateError):
        shown("{{.State.Nope}}", container)


def test_a_mount_prints_in_the_order_of_its_struct() -> None:
    mount = {"Name": "v", "Type": "volume", "Source": "/s", "Destination": "/d"}
    mount |= {"Driver": "local", "Mode": "z", "RW": True, "Propagation": ""}
    assert shown("{{.Mounts}}", typed({"Mounts": [mount]})) == "[{volume v /s /d local z true }]"
