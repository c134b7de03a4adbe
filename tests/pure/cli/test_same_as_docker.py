"""The same words to Docker's own client and to ours: the same requests, the same output, the same exit code."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import short_folder
from tests.pure.cli.answers import ANSWERS
from tests.pure.cli.fake_engine import Asked, FakeEngine, stock_docker

DOCKER = stock_docker()
pytestmark = pytest.mark.skipif(not DOCKER, reason="needs Docker's client, version 28 or newer")

COMMANDS = """
ps
ps -a
ps -aq
ps -as --no-trunc
ps -l
ps -n 3
ps --no-trunc
ps --format json
ps --format '{{json .}}'
ps --format 'table {{.Names}}\\t{{.Label "app"}}\\t{{.Mounts}}\\t{{.Networks}}'
ps --format '{{.ID}}: {{.Command | upper}} {{printf "%-10s|" .Names}}{{join (split .Image "u") "_"}} {{.Size}}'
ps --format '{{.Ports}} {{.RunningFor}} {{.CreatedAt}} {{.State}} {{.LocalVolumes}}'
ps --format '{{.Nope}}'
ps --format '{{.Nope'
ps --filter status=exited --filter label=a=b --filter label=c
ps --filter foo
ps -n x
ps extra
container ls -a
container list -a
kill web
kill -s USR1 web nosuch
kill --signal=9 web
kill
kill ''
stop web
stop -t 3 -s INT web
stop -t x web
stop --time 3 web
restart -t 0 web
pause web
unpause web
wait web
rename web other
rename made other
rename web ''
rm web
rm -fv web nosuch
rm -f nosuch
rm nosuch
rm ''
logs web
logs -t --details --tail 5 --since 2013-01-02T13:23:37Z --until 1700000000.5 web
logs --since foo web
logs nosuch
top web
top web -o pid,comm
port web
port web 80
port web 81
port web foo
port web 9/udp
inspect web
inspect web busybox vol9
inspect -s web
inspect nosuch
inspect -f json web
inspect -f '{{.Id}}' web nosuch
inspect -f '{{.State.Health}} {{.Config.Env}} {{.Config.Entrypoint}} {{.HostConfig.Init}}' web
inspect -f '{{.Mounts}} {{.HostConfig.PortBindings}} {{.Config.Labels}} {{.Config.Labels.nope}}' web
inspect -f '{{json .State}} {{json .Config.Labels}}' web
inspect -f '{{range $p, $c := .NetworkSettings.Ports}}{{$p}}={{len $c}} {{end}}' web
inspect -f '{{if .State.Running}}yes{{else}}no{{end}} {{with .Config}}{{.Image}}{{end}}' web
inspect -f '{{index .Config.Env 0}} {{index .Config.Labels "app"}} {{slice .Id 0 4}}' web
inspect -f '{{.Nope.X}}' web
inspect -f '{{.State.Health.Status}}' web
inspect -f '{{.Nope' web
inspect --type foo web
inspect --type image busybox
container inspect nosuch
image inspect busybox
image inspect nosuch
network inspect nosuch
volume inspect vol9 nosuch
diff web
commit -m msg -a me -c 'ENV Q=1' -c 'CMD x' web apitest:1
commit -p=false web
commit web BAD
images
images -a --digests
images -q
images --no-trunc
images busybox
images --format json
images --format '{{.Repository}}:{{.Tag}}@{{.Digest}} {{.CreatedSince}} {{.CreatedAt}} {{.UniqueSize}}'
images -f dangling=true -f label=x
image ls --format '{{.Nope}}'
rmi busybox
rmi -f nosuch
rmi nosuch used
image rm --no-prune busybox
tag busybox a/b:2
tag busybox BAD
tag busybox a@sha256:1234567890123456789012345678901234567890123456789012345678901234
history busybox
history --no-trunc busybox
history -q busybox
history -H=false busybox
history --format json busybox
pull busybox
pull -q busybox
pull -a busybox
pull busybox:1.35
pull BAD
network ls
network ls --no-trunc -f driver=bridge
network ls -q
network ls --format json
network create --subnet 10.1.0.0/16 --ip-range 10.1.2.0/24 --gateway 10.1.0.1 --aux-address r=10.1.0.9 mine
network create -d bridge --internal --attachable --label a=b -o x=y --ipv6 mine
network create --gateway 10.1.0.1 mine
network create --subnet 10.1.0.0/16 --subnet 10.1.2.0/24 mine
network create --subnet 10.1.0.0/16 --gateway 10.9.0.1 mine
network connect --alias x --ip 10.1.0.5 --link a:b mine web
network disconnect -f mine web
network rm mine
network rm nosuch
network rm -f nosuch
volume ls
volume ls -q
volume ls --format json
volume ls --format '{{.Label}}'
volume create vol9
volume create -d local -o type=tmpfs --label a=b vol9
volume create
volume rm vol9
volume rm nosuch
volume rm -f vol9
container prune
container prune -f --filter until=24h
image prune -f
image prune -af --filter label=x
image prune
network prune -f
volume prune -f
volume prune -fa
volume prune
system prune
system prune -f
system prune -af --volumes
system prune --filter label=x -a
system df
system df -v
system df --format json
system df -v --format json
events --since 1699999999 --until 1700000001
events --since 0 --until 1700000001 --format json
events --until 1700000001 -f type=container --format '{{.Status}} {{.ID}} {{.Actor.Attributes.name}} {{.Time}}'
events --since foo
stats --no-stream web
stats --no-stream --format json web
stats --no-stream --no-trunc web
update -m 128m --memory-swap -1 --cpus 1.5 --pids-limit 5 --restart on-failure:3 web nosuch
update web
update --cpus x web
save nosuch
load -i /nonexistent
import /nonexistent
search foo
login -u a -p b 127.0.0.1:1
login
login --password-stdin
logout 127.0.0.1:1
start web nosuch
create --name x -it -e A=b -p 80 -v /a:/b:ro -l l=m --cpus .5 -m 1g --ulimit nofile=1:2 busybox sh -c 'echo hi'
create --mount type=volume,src=v,dst=/x,readonly --tmpfs /t:size=1m --dns 1.1.1.1 --add-host a:1.2.3.4 busybox
create --health-cmd true --health-interval 1m30s --network mine --network-alias x --ip 10.1.0.7 busybox
create --restart always --log-opt max-size=1m --sysctl net.core.somaxconn=7 --shm-size 64k --device /dev/null busybox
create --cap-add net_admin --cap-drop ALL --security-opt no-new-privileges --init --stop-signal INT busybox
create BAD
create --nosuch busybox
create
version -f '{{.Server.Version}} {{.Server.APIVersion}}'
""".strip().splitlines()

# What follows `create`, before the image: each kind of value once as it should be, and as it should not.
SETTINGS = r"""
-a stdin -a STDOUT
--add-host a=1.2.3.4 --add-host b:::1 --add-host c:host-gateway --add-host d:[::1]
--add-host foo
--annotation a=b
--blkio-weight 300 --blkio-weight-device /dev/null:200
--cap-add net_admin --cap-add CAP_SYS_TIME --cap-drop all
--cgroup-parent /x --cgroupns host
--cgroupns foo
--cpu-period 1000 --cpu-quota 500 --cpu-rt-period 5
--cpu-rt-runtime 6 -c 512 --cpus 1.25 --cpuset-cpus 0-1 --cpuset-mems 0
--cpus 0.0000000001
--device /dev/null:/dev/x:rw --device /dev/zero:r --device /dev/full
--device /dev/null:/x:zz
--device vendor.com/class=dev
--device-cgroup-rule 'c 1:3 rwm' --device-read-bps /dev/null:1mb
--device-read-iops /dev/null:5 --device-write-bps /dev/null:1k --device-write-iops /dev/null:7
--device-read-bps foo
--device-cgroup-rule foo
--dns 8.8.8.8 --dns-search example.com --dns-option ndots:1 --dns-opt x
--dns foo
--dns 127.0.0.1
--dns-search .
--domainname d --hostname h
--entrypoint ''
--entrypoint /bin/sh
--env-file /nonexistent
-e =x
--expose 80 --expose 90-92/udp
--expose foo
--gpus all
--gpus 2
--gpus '"device=0,1",capabilities=utility'
--group-add 5 --group-add audio
--health-cmd 'curl x' --health-interval 5s --health-retries 3
--health-start-period 1m --health-timeout 2s --health-start-interval 1s
--no-healthcheck
--no-healthcheck --health-cmd x
--health-retries -1 --health-cmd x
--health-interval 1us --health-cmd x
--init --interactive --ipc host
--ipc container:x
--ip 1.2.3.4
--network mine --ip 10.1.1.1 --ip6 fd::1 --link-local-ip 169.254.1.1 --mac-address 02:42:ac:11:00:09
--network name=mine,alias=a,alias=b,ip=1.2.3.4,driver-opt=x=y,mac-address=02:42:ac:11:00:09,gw-priority=3
--network mine --network other --network-alias foo
--network mine --network host
--network host --network-alias x
--network container:abc
--network none
--net bridge --link a:b
--network mine --link a:b
--network foo=bar
--mac-address foo
-l a=b -l c --label d=e=f
-l =x
--link web:x
--link a:b:c
--log-driver none
--log-driver none --log-opt a=b
--log-driver json-file --log-opt max-size=1m --log-opt max-file=3
-m 100m --memory-reservation 50m --memory-swap -1 --memory-swappiness 50
-m -1
--memory-swappiness 101
--memory-swap foo
--mount type=bind,source=/a,target=/b,readonly,bind-propagation=rshared
--mount type=bind,source=/a,target=/b,readonly,bind-recursive=readonly,bind-propagation=rprivate
--mount type=bind,source=/a,target=/b,readonly,bind-recursive=readonly
--mount type=bind,source=/a,target=/b,bind-recursive=readonly
--mount type=bind,source=/a,target=/b,bind-recursive=writable
--mount type=bind,source=/a,target=/b,readonly,bind-recursive=writable
--mount type=bind,src=/a,dst=/b,bind-recursive=disabled
--mount type=bind,src=/a,dst=/b,bind-recursive=readonly,readonly,bind-propagation=rprivate
--mount type=bind,src=/a,dst=/b,bind-nonrecursive
--mount type=volume,src=v,dst=/b,volume-nocopy,volume-driver=local,volume-opt=type=tmpfs
--mount type=volume,src=v,dst=/b,volume-label=a=b,volume-subpath=x
--mount type=tmpfs,dst=/b,tmpfs-size=10m,tmpfs-mode=1770
--mount type=tmpfs,dst=/b,tmpfs-mode=zz
--mount dst=/b
--mount src=v,dst=/b,ro=false
--mount type=image,src=busybox,dst=/b
--mount type=image,src=busybox,dst=/b,image-subpath=x
--mount type=npipe,src=a,dst=/b
--mount type=foo,dst=/b
--mount type=bind,src=/a
--mount foo=bar
--mount type=bind,dst=/b,volume-nocopy
--mount 'type=bind,"src=/a,b",dst=/c'
--name x --oom-kill-disable --oom-score-adj 5
--pid host --uts host --userns host
--pid container:x
--pid foo
--uts foo
--userns foo
--pids-limit 5
--platform linux/arm64
--privileged --read-only
-p 80 -p 8080:80 -p 127.0.0.1:81:81/udp -p [::1]:82:82 -p 90-92:90-92 -p 8000-9000:80 -p ::83
-p 127.0.0.1::80
-p 80-81:90
-p 99999
-p a.b.c.d:1:2
-p published=8080,target=80,protocol=udp
-P
--pull never
--restart on-failure
--restart on-failure:5
--restart on-failure:x
--restart unless-stopped
--restart :5
--restart foo
--rm --runtime x
--restart always --rm
--security-opt no-new-privileges --security-opt seccomp=unconfined
--security-opt apparmor=x --security-opt label:disable
--security-opt seccomp=/nonexistent
--security-opt foo
--security-opt no-new-privileges:false
--shm-size 1g --stop-signal INT --stop-timeout 5
--stop-timeout -1
--storage-opt size=1g
--storage-opt foo
--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=5
--sysctl foo=1
--sysctl kernel.hostname=x
--tmpfs /a --tmpfs /b:size=1m,ro
-t -i
--ulimit nofile=1024:2048 --ulimit core=-1 --ulimit nproc=5
--ulimit nofile=5:2
--ulimit foo
--use-api-socket
-u 1000:5 -w /x
-v /a:/b
-v /c:/d:ro,z
-v vol:/e -v /f
-v /g:/h:rshared,nocopy
-v a:b:c:d
-v rel/ative:/x
-v ./rel:/x
-v :/x
-v /a:/b:foo
-v ~/x:/y
--volumes-from a --volumes-from b:ro --volume-driver local
--annotation foo
--cpu-count 2
--io-maxiops 5
--disable-content-trust
-m 100m --memory foo
--isolation default
--dns 127.0.0.1 -v :
-v a::b
-v ''
--security-opt systempaths=unconfined
""".strip().splitlines()


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    folder = short_folder()
    fake = FakeEngine(folder / "s", ANSWERS)
    yield fake
    fake.close()
    (folder / "config.json").unlink(missing_ok=True)
    (folder / "s").unlink()
    folder.rmdir()


def said(program: str, words: list[str], engine: FakeEngine) -> tuple[int, str, str, list[object]]:
    """Exit code, standard output, standard error and the requests of a command."""
    engine.asked.clear()
    folder = engine.path.parent
    (folder / "config.json").unlink(missing_ok=True)
    socket = {"DOCKER_HOST": f"unix://{engine.path}", "KERNELKIT_SOCKET": str(engine.path)}
    env = {**os.environ, **socket, "DOCKER_CONFIG": str(folder), "TZ": "UTC", "HOME": str(folder)}
    ran = subprocess.run(
        [program, *words], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )
    # Sorted, for both ask for several things at once.
    asked = sorted((one.plain() for one in engine.asked if not needless(one)), key=repr)
    return ran.returncode, ran.stdout, ran.stderr, asked


def needless(asked: Asked) -> bool:
    """What Docker's client asks for the sake of its swarm and its plugins."""
    return asked.method == "GET" and asked.path in (
        "/info",
        "/networks/mine",
        "/networks/nosuch",
        "/plugins/nosuch/json",
    )


@pytest.mark.parametrize("command", [*COMMANDS, *(f"create {words} busybox" for words in SETTINGS)])
def test_a_command_asks_and_says_what_docker_s_does(command: str, engine: FakeEngine) -> None:
    words = shlex.split(command)
    code, out, err, asked = said(DOCKER, words, engine)
    kernelkit = str(Path(sys.executable).with_name("kernelkit"))
    ours = said(kernelkit, words, engine)
    named = err.replace("docker: ", "kernelkit: ").replace("'docker", "'kernelkit").replace("  docker ", "  kernelkit ")
    # A slip of the pen in version 28: "SRun" where at most so many arguments are allowed.
    assert (code, out, named.replace("SRun", "Run")) == ours[:3]
    assert asked == ours[3]
