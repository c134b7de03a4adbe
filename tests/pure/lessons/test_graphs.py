"""Pictures: what they say of a state, what is marked in them, and that both ways of drawing say it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from lessons import draw
from lessons.draw import svg
from lessons.graphs.boxes import as_svg
from lessons.graphs.change import changes, highlight
from lessons.graphs.dot import as_dot
from lessons.graphs.graph import CHANGED, NEW, Edge, Graph, Group, Node, described, groups, nodes
from lessons.graphs.layers import layers
from lessons.graphs.life import life
from lessons.graphs.namespaces import namespaces
from lessons.graphs.network import network
from lessons.state import KINDS, Host, Inside, Layer, Link, Mount, Published, Route, State

HERE = {kind: 4026531830 + number for number, kind in enumerate(KINDS)}
THERE = {kind: 4026532830 + number for number, kind in enumerate(KINDS)} | {"user": HERE["user"]}
LINKS = (
    Link("lo", 1, is_up=True, addresses=("127.0.0.1/8",)),
    Link("uplink", 2, is_up=True, kind="veth", peer=9, addresses=("10.244.0.2/30",)),
    Link("kk0", 3, is_up=True, kind="bridge", addresses=("172.17.0.1/16",)),
)
HOST = Host("practice", LINKS, HERE, ("172.17.0.0/16",), (), "uplink", "kk0")
IMAGE = (
    Layer("sha256:aa", "ADD busybox-static 1.35 /", 1_964_000),
    Layer("sha256:bb", "COPY bash-static /bin/bash", 900),
)
BEFORE = State(HOST, "bash", IMAGE)
CLONED = replace(BEFORE, status="created", inside=Inside(214, "python3", "c1", THERE, (Link("lo", 1),)))
PLUGGED = replace(
    CLONED,
    host=replace(HOST, links=(*LINKS, Link("kk1234", 6, is_up=True, kind="veth", master="kk0", peer=5))),
    inside=replace(CLONED.inside, links=(Link("lo", 1), Link("eth0", 5, kind="veth", peer=6))),  # type: ignore[type-var]
)
RUNNING = replace(
    PLUGGED,
    host=replace(PLUGGED.host, published=(Published("tcp", 8080, "172.17.0.2", 80),)),
    status="running",
    folder=True,
    inside=Inside(
        214,
        "bash",
        "c1",
        THERE,
        (Link("lo", 1), Link("eth0", 5, is_up=True, kind="veth", peer=6, addresses=("172.17.0.2/16",))),
        (Route("default", "172.17.0.1", "eth0"), Route("172.17.0.0/16", "", "eth0")),
        Mount("/", "overlay", "overlay", ()),
        is_entered=True,
        mounts=40,
        written=("etc",),
    ),
)
STATES = (BEFORE, CLONED, PLUGGED, RUNNING)
PICTURES = (life, network, layers, namespaces)


def node(graph: Graph, name: str) -> Node:
    return next(node for node in nodes(graph.top) if node.name == name)


def words(element: str) -> str:
    """The text in an SVG, as one reads it."""
    return " ".join("".join(ElementTree.fromstring(element).itertext()).split())


# --- what the pictures say


def test_a_network_without_a_container_ends_at_the_bridge() -> None:
    graph = network(BEFORE)
    assert [group.name for group in graph.top.members] == ["machine", "host"]
    assert [(edge.tail, edge.head) for edge in graph.edges] == [
        ("machine", "uplink"),
        ("uplink", "nat"),
        ("nat", "bridge"),
    ]


def test_the_two_ends_of_a_cable_are_joined_by_their_numbers() -> None:
    graph = network(PLUGGED)
    assert node(graph, "plug").title == "kk1234"
    assert Edge("plug", "in-eth0", kind="cable") in graph.edges


def test_a_cable_that_is_not_plugged_in_is_drawn_loose() -> None:
    loose = replace(PLUGGED.host.links[-1], master="")
    graph = network(replace(PLUGGED, host=replace(PLUGGED.host, links=(*LINKS, loose))))
    assert node(graph, "plug").lines == ("cable's end, loose",)
    assert [edge.kind for edge in graph.edges if edge.tail == "bridge"] == ["loose"]


def test_a_container_in_the_hosts_network_has_no_box_of_its_own() -> None:
    shared = replace(CLONED, inside=replace(CLONED.inside, namespaces=HERE))  # type: ignore[type-var]
    assert [group.name for group in network(shared).top.members] == ["machine", "host"]


def test_a_published_port_is_said_where_it_is_rewritten_and_where_it_is_called() -> None:
    graph = network(RUNNING)
    assert "8080 → 172.17.0.2:80" in node(graph, "nat").lines
    assert node(graph, "machine").lines == ("port 8080",)
    assert node(graph, "in-eth0").lines == ("172.17.0.2/16", "default via 172.17.0.1")


def test_the_newest_layer_lies_on_top_of_the_others_and_merged_on_all() -> None:
    assert [n.name for n in nodes(layers(RUNNING).top)] == ["merged", "upper", "lower-2", "lower-1"]


def test_sheets_that_are_not_there_yet_are_absent() -> None:
    assert [n.kind for n in nodes(layers(BEFORE).top)] == ["absent", "absent", "layer", "layer"]
    assert [n.kind for n in nodes(layers(RUNNING).top)] == ["view", "writable", "layer", "layer"]


def test_a_namespace_with_the_hosts_number_is_shared() -> None:
    kinds = {n.title: n.kind for n in nodes(namespaces(RUNNING).top) if n.name.startswith("in-")}
    assert kinds == {kind: "shared" if kind == "user" else "container" for kind in KINDS}


@pytest.mark.parametrize(("state", "present"), [(BEFORE, "none"), (CLONED, "created"), (RUNNING, "running")])
def test_the_present_state_of_life_is_the_only_one_marked(state: State, present: str) -> None:
    assert [n.name for n in nodes(life(state).top) if n.kind == "now"] == [present]


# --- what is new in them


def test_without_an_earlier_picture_nothing_is_marked() -> None:
    assert highlight(None, network(RUNNING)) == network(RUNNING)


def test_the_same_state_again_marks_nothing() -> None:
    for picture in PICTURES:
        assert changes(highlight(picture(RUNNING), picture(RUNNING))) == []


def test_a_new_cable_is_new_at_both_ends_and_between() -> None:
    graph = highlight(network(CLONED), network(PLUGGED))
    assert {n.name for n in nodes(graph.top) if n.mark == NEW} == {"plug", "in-eth0"}
    assert {(e.tail, e.head) for e in graph.edges if e.mark == NEW} == {("bridge", "plug"), ("plug", "in-eth0")}


def test_a_new_container_is_a_new_place() -> None:
    graph = highlight(network(BEFORE), network(CLONED))
    assert [group.name for group in groups(graph.top) if group.mark == NEW] == ["container"]


def test_of_a_thing_that_changed_the_new_lines_are_fresh() -> None:
    eth0 = node(highlight(network(PLUGGED), network(RUNNING)), "in-eth0")
    assert (eth0.mark, eth0.fresh) == (CHANGED, ("172.17.0.2/16", "default via 172.17.0.1"))


def test_a_sheet_that_appears_is_new_and_not_merely_changed() -> None:
    graph = highlight(layers(BEFORE), layers(RUNNING))
    assert [n.mark for n in nodes(graph.top)] == [NEW, NEW, "", ""]


def test_of_life_the_new_state_is_news_and_the_old_one_is_not() -> None:
    assert changes(highlight(life(CLONED), life(RUNNING))) == ["running, process 214"]


def test_changes_are_said_in_words_as_well() -> None:
    found = changes(highlight(network(PLUGGED), network(RUNNING)))
    assert "NAT: 8080 → 172.17.0.2:80" in found
    assert "eth0: 172.17.0.2/16, default via 172.17.0.1" in found


# --- DOT

SMALL = Graph(
    "small",
    Group("top", "", (Node("a", 'A "quoted" <name>', ("x & y",), kind="host", mark=NEW), Node("b", "B", aside="7"))),
    (Edge("a", "b", "says", kind="cable", arrow="forward", mark=NEW),),
)


def test_dot_text_holds_names_classes_and_escaped_words() -> None:
    text = as_dot(SMALL)
    assert text.startswith('digraph "small" {')
    assert 'class="host new"' in text
    assert '<B>A "quoted" &lt;name&gt;</B>' in text
    assert "x &amp; y" in text
    assert '"a" -> "b" [class="cable new", label=" says ", dir=forward];' in text


def test_dot_text_groups_what_belongs_together() -> None:
    text = as_dot(network(RUNNING))
    assert [*re.findall(r'subgraph "cluster_(\w+)"', text)] == ["machine", "host", "container"]


def test_a_line_that_is_seen_needs_no_invisible_one_beside_it() -> None:
    assert "style=invis" not in as_dot(SMALL)
    assert '"a" -> "b" [style=invis];' in as_dot(replace(SMALL, edges=()))


@pytest.mark.skipif(not draw.has_dot(), reason="needs the program dot of Debian's graphviz")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("picture", PICTURES)
def test_graphviz_accepts_every_picture_without_a_warning(picture: object, state: State) -> None:
    ran = subprocess.run(["dot", "-Tsvg"], input=as_dot(picture(state)), capture_output=True, text=True)  # type: ignore[operator]
    assert (ran.returncode, ran.stderr) == (0, "")


# --- drawn


@pytest.mark.parametrize(
    "with_dot", [False, pytest.param(True, marks=pytest.mark.skipif(not draw.has_dot(), reason="needs dot"))]
)
@pytest.mark.parametrize("picture", PICTURES)
def test_every_word_of_a_picture_is_in_its_drawing(
    picture: object, with_dot: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = picture(RUNNING)  # type: ignore[operator]
    monkeypatch.setattr(draw, "has_dot", lambda: with_dot)
    said = words(svg(graph))
    for each in nodes(graph.top):
        for word in (each.title, each.aside, *each.lines):
            assert word in said


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("picture", PICTURES)
def test_the_fallback_puts_no_box_on_another_and_none_off_the_page(picture: object, state: State) -> None:
    drawing = ElementTree.fromstring(as_svg(picture(state)))  # type: ignore[operator]
    width, height = float(drawing.get("width", 0)), float(drawing.get("height", 0))
    spots = []
    for group in drawing:
        if group.get("class", "").startswith("node"):
            rect = group[0]
            spots.append([float(rect.get(key, 0)) for key in ("x", "y", "width", "height")])
    for i, (x, y, w, h) in enumerate(spots):
        assert min(x, y) >= 0
        assert x + w <= width
        assert y + h <= height
        for x2, y2, w2, h2 in spots[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_the_fallback_marks_what_is_new_by_class_and_by_word() -> None:
    drawing = as_svg(highlight(network(CLONED), network(PLUGGED)))
    assert 'class="node container new"' in drawing
    assert ">new</tspan>" in drawing


def test_a_drawing_has_a_sentence_for_those_who_cannot_see_it_and_no_ids_that_could_clash() -> None:
    drawing = svg(network(RUNNING))
    assert 'role="img" aria-label="Network: a cable from the bridge to the container; port 8080 leads to' in drawing
    assert ' id="' not in drawing
    assert "<title>" not in drawing


def test_the_same_state_gives_the_same_drawing() -> None:
    assert svg(network(RUNNING)) == svg(network(RUNNING))


@pytest.mark.parametrize("picture", PICTURES)
def test_all_that_a_picture_shows_is_said_to_those_who_cannot_see_it(picture: object) -> None:
    graph = highlight(picture(PLUGGED), picture(RUNNING))  # type: ignore[operator]
    said = described(graph)
    for node in nodes(graph.top):
        for word in (node.title, node.aside, node.mark, *node.lines):
            assert word in said
