"""From what ordinary tools write to a State."""

from __future__ import annotations

from lessons.look import Names, parse
from lessons.state import Published, Route

RULES = """{"nftables": [{"metainfo": {"version": "1.0.6"}},
{"set": {"name": "subnets", "table": "kernelkit", "elem": [{"prefix": {"addr": "172.17.0.0", "len": 16}}]}},
{"map": {"name": "tcp_ports", "table": "kernelkit", "elem": [[8080, {"concat": ["172.17.0.2", 80]}]]}},
{"map": {"name": "udp_at", "table": "kernelkit",
         "elem": [[{"concat": ["127.0.0.1", 53]}, {"concat": ["172.17.0.3", 5353]}]]}},
{"rule": {"table": "kernelkit", "chain": "postrouting", "expr": [
  {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@subnets"}},
  {"masquerade": null}]}},
{"rule": {"table": "kernelkit", "chain": "postrouting", "expr": [
  {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}},
             "right": {"prefix": {"addr": "127.0.0.0", "len": 8}}}}, {"masquerade": null}]}}]}"""
HOST = f"""\001hostname
practice
\001links
[{{"ifindex": 3, "ifname": "kk0", "flags": ["BROADCAST", "UP"], "linkinfo": {{"info_kind": "bridge"}},
  "addr_info": [{{"family": "inet", "local": "172.17.0.1", "prefixlen": 16}},
                 {{"family": "inet6", "local": "fe80::1", "prefixlen": 64}}]}}]
\001routes
[{{"dst": "default", "gateway": "10.244.0.1", "dev": "uplink", "flags": []}}]
\001namespaces
mnt mnt:[4026532001]
net net:[4026532008]
\001rules
{RULES}
"""
INSIDE = """\001folder
/home/containers/c1/upper
\001written
etc
dev
\001pid
214
\001command
bash\x20
\001inside-namespaces
mnt mnt:[4026532101]
net net:[4026532108]
\001mounts
500 499 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l/2:/l/1,upperdir=/u,workdir=/w
501 500 0:51 / /proc rw,nosuid - proc proc rw
\001inside-hostname
c1
\001inside-links
[{"ifindex": 5, "link_index": 6, "ifname": "eth0", "flags": ["UP"], "linkinfo": {"info_kind": "veth"}, "addr_info": []}]
\001inside-routes
[{"dst": "default", "gateway": "172.17.0.1", "dev": "eth0"}]
"""


def test_the_host_is_read_from_ip_nft_and_proc() -> None:
    host = parse(HOST, "", (), {}, Names()).host
    assert (host.hostname, host.uplink, host.namespaces) == (
        "practice",
        "uplink",
        {"mnt": 4026532001, "net": 4026532008},
    )
    assert [(link.name, link.kind, link.addresses) for link in host.links] == [("kk0", "bridge", ("172.17.0.1/16",))]


def test_masquerade_and_published_ports_are_found_in_sets_and_maps() -> None:
    host = parse(HOST, "", (), {}, Names()).host
    assert host.masquerades == ("172.17.0.0/16",)
    assert host.published == (Published("tcp", 8080, "172.17.0.2", 80), Published("udp", 53, "172.17.0.3", 5353))


def test_only_those_in_the_narrowest_set_go_out_as_the_host() -> None:
    """As the rules have it: `ip saddr @subnets ip saddr @masqueraded`, and another one for what was led in."""
    saddr = '{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@%s"}}'
    led_in = '{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}'
    rules = """{"nftables": [
    {"set": {"name": "subnets", "table": "kernelkit", "elem": [{"prefix": {"addr": "172.17.0.0", "len": 16}}]}},
    {"set": {"name": "masqueraded", "table": "kernelkit", "elem": ["172.17.0.2"]}},
    {"rule": {"table": "kernelkit", "expr": [%s, %s, {"masquerade": null}]}},
    {"rule": {"table": "kernelkit", "expr": [%s, %s, {"masquerade": null}]}}]}"""
    text = rules % (saddr % "subnets", saddr % "masqueraded", saddr % "subnets", led_in)
    assert parse(HOST.replace(RULES, text), "", (), {}, Names()).host.masquerades == ("172.17.0.2",)
    nobody = text.replace('"elem": ["172.17.0.2"]', '"elem": []')
    assert parse(HOST.replace(RULES, nobody), "", (), {}, Names()).host.masquerades == ()


def test_without_a_container_there_is_no_inside() -> None:
    state = parse(HOST, "bash", (), {}, Names())
    assert (state.inside, state.status, state.folder) == (None, "", False)


def test_a_container_is_read_from_its_process() -> None:
    state = parse(HOST + INSIDE, "bash", (), {"State": {"Status": "running"}}, Names())
    inside = state.inside
    assert inside is not None
    assert (state.status, state.folder, inside.pid, inside.command, inside.hostname) == (
        "running",
        True,
        214,
        "bash",
        "c1",
    )
    assert inside.root is not None
    assert (inside.is_entered, inside.mounts, inside.root.option("upperdir")) == (True, 2, "/u")
    assert (inside.links[0].peer, inside.routes) == (6, (Route("default", "172.17.0.1", "eth0"),))
    assert inside.written == ("dev", "etc")


def test_a_merged_tree_that_is_not_yet_the_root_directory_is_told_apart() -> None:
    before = INSIDE.replace(" / rw,relatime - overlay", " /home/containers/c1/merged rw,relatime - overlay")
    inside = parse(HOST + before, "bash", (), {}, Names()).inside
    assert inside is not None
    assert inside.root is not None
    assert not inside.is_entered


def test_rules_of_others_are_not_the_engines() -> None:
    other = HOST.replace('"table": "kernelkit"', '"table": "kernelkit-1234"')
    assert parse(other, "", (), {}, Names()).host.published == ()
    assert len(parse(other, "", (), {}, Names("kk0", "kernelkit-1234")).host.published) == 2
