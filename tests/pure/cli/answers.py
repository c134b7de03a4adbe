"""Answers that an engine of API 1.50 gives, small enough to read and rich enough to show every column."""

from __future__ import annotations

from typing import Any

from tests.pure.cli.fake_engine import chunked

CREATED = 1_700_000_000
WEB = "d01db81a3f2515252077e929d286beadb15410e080d7d5ccef87114aa5eee2eb"
MADE = "f5d7940a66d2f621025a84be9cb5853002c3bf44af633b9e156a0ca37d02c81e"
BUSYBOX = "sha256:33895bd1b28a47de510906a32c885325e9190258a0c874e5b9d2fefa8e866392"
NONAME = "sha256:ac12f5a648012d8cfe768d8835ef8f03976cdc9dd56e10dbd088b0e6f173fdac"
DIGEST = "sha256:25d50ff19def3e2758ddf798ad1043977b0865c5a1a9916b20efb1da5165ea80"

CONTAINERS: list[dict[str, Any]] = [
    {
        "Id": MADE,
        "Names": ["/made"],
        "Image": BUSYBOX,
        "ImageID": BUSYBOX,
        "Command": "true",
        "Created": CREATED,
        "Ports": [],
        "Labels": {},
        "State": "created",
        "Status": "Created",
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "Mounts": [],
        "SizeRw": 0,
        "SizeRootFs": 1983159,
    },
    {
        "Id": WEB,
        "Names": ["/web", "/other/alias"],
        "Image": "busybox",
        "ImageID": BUSYBOX,
        "Command": "sh -c 'while :; do echo out; echo \"<err>\" >&2; sleep 5; done'",
        "Created": CREATED + 5000,
        "Ports": [
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"PrivatePort": 9000, "Type": "tcp"},
            {"PrivatePort": 9001, "Type": "tcp"},
            {"PrivatePort": 53, "Type": "udp"},
        ],
        "Labels": {"app": "web", "a.b": "c"},
        "State": "running",
        "Status": "Up 2 hours (healthy)",
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {"mine": {}}},
        "Mounts": [
            {
                "Type": "volume",
                "Name": "a-volume-with-a-long-name",
                "Source": "",
                "Destination": "/d",
                "Driver": "local",
            },
            {"Type": "bind", "Source": "/srv", "Destination": "/s", "Mode": "", "RW": True, "Propagation": "rprivate"},
        ],
        "SizeRw": 15,
        "SizeRootFs": 1983174,
    },
]
INSPECTED: dict[str, Any] = {
    "Id": WEB,
    "Created": "2026-11-24T22:04:11.505470454Z",
    "Path": "sh",
    "Args": ["-c", "echo <err> >&2"],
    "State": {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": 9076,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-11-24T22:04:11.734751228Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    },
    "Image": BUSYBOX,
    "Name": "/web",
    "RestartCount": 0,
    "Driver": "overlay2",
    "Platform": "linux",
    "HostConfig": {
        "Binds": ["vol1:/data"],
        "LogConfig": {"Type": "json-file", "Config": {}},
        "NetworkMode": "bridge",
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Memory": 67108864,
        "PidsLimit": None,
    },
    "Mounts": [
        {
            "Type": "volume",
            "Name": "vol1",
            "Source": "/v/vol1/_data",
            "Destination": "/data",
            "Driver": "local",
            "Mode": "z",
            "RW": True,
            "Propagation": "",
        }
    ],
    "Config": {
        "Hostname": "d01db81a3f25",
        "Tty": False,
        "OpenStdin": False,
        "Env": ["A=b", "PATH=/bin"],
        "Cmd": ["sh"],
        "Image": "busybox",
        "Volumes": None,
        "Entrypoint": None,
        "Labels": {"app": "web"},
    },
    "NetworkSettings": {
        "SandboxID": "cb",
        "Ports": {
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            "9/udp": None,
        },
        "Networks": {
            "bridge": {"IPAddress": "172.17.0.2", "IPPrefixLen": 16, "Gateway": "172.17.0.1", "Aliases": None}
        },
    },
}
IMAGES: list[dict[str, Any]] = [
    {
        "Id": NONAME,
        "RepoTags": [],
        "RepoDigests": [],
        "Created": CREATED,
        "Size": 1983159,
        "SharedSize": -1,
        "Containers": -1,
        "Labels": None,
        "ParentId": "",
    },
    {
        "Id": BUSYBOX,
        "RepoTags": ["busybox:latest", "busybox:1.35"],
        "RepoDigests": [f"busybox@{DIGEST}"],
        "Created": CREATED + 10,
        "Size": 4324159,
        "SharedSize": 1983159,
        "Containers": 2,
        "Labels": {"a": "b"},
        "ParentId": "",
    },
]
HISTORY = [
    {
        "Id": BUSYBOX,
        "Created": CREATED,
        "CreatedBy": 'CMD ["bash"]',
        "Tags": ["busybox:1.35"],
        "Size": 0,
        "Comment": "c",
    },
    {
        "Id": "<missing>",
        "Created": CREATED - 5,
        "CreatedBy": "COPY file:1b1ef28f34b001524bac2b19274deaefe5f3ea0598aaa4be3de77b5773a71da6 in /bin/bash\tx",
        "Tags": None,
        "Size": 2341000,
        "Comment": "",
    },
]
NETWORKS = [
    {
        "Name": "none",
        "Id": "838d10d1295c" + "0" * 52,
        "Created": "2026-11-24T22:03:56.454351819Z",
        "Scope": "local",
        "Driver": "null",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "Internal": False,
        "Labels": {},
    },
    {
        "Name": "bridge",
        "Id": "92bf10f091df" + "0" * 52,
        "Created": "2026-11-24T22:03:56.4+01:00",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": True,
        "Internal": True,
        "Labels": {"x": "y"},
    },
]
VOLUMES: dict[str, Any] = {
    "Volumes": [
        {
            "Driver": "local",
            "Labels": None,
            "Mountpoint": "/v/vol10",
            "Name": "vol10",
            "Options": None,
            "Scope": "local",
        },
        {
            "Driver": "local",
            "Labels": {"a": "b"},
            "Mountpoint": "/v/vol9",
            "Name": "vol9",
            "Options": {},
            "Scope": "local",
        },
    ],
    "Warnings": None,
}
DISK = {
    "LayersSize": 4324159,
    "Images": IMAGES,
    "Containers": CONTAINERS,
    "Volumes": [
        {
            "Name": "vol9",
            "Driver": "local",
            "Scope": "local",
            "Mountpoint": "/v/vol9",
            "Labels": None,
            "UsageData": {"RefCount": 0, "Size": 1500000},
        }
    ],
    "BuildCache": None,
}
STATS = {
    "id": WEB,
    "name": "/web",
    "read": "2026-11-24T22:04:11Z",
    "pids_stats": {"current": 3},
    "memory_stats": {"usage": 1000000, "limit": 67108864, "stats": {"inactive_file": 100000}},
    "cpu_stats": {"cpu_usage": {"total_usage": 2000000000}, "system_cpu_usage": 20000000000, "online_cpus": 2},
    "precpu_stats": {"cpu_usage": {"total_usage": 1000000000}, "system_cpu_usage": 10000000000, "online_cpus": 2},
    "networks": {"eth0": {"rx_bytes": 1760, "tx_bytes": 1300}, "eth1": {"rx_bytes": 10, "tx_bytes": 0}},
    "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 4096}, {"op": "write", "value": 1000}]},
}
EVENT = (
    b'{"status":"die","id":"d01","from":"busybox","Type":"container","Action":"die","Actor":{"ID":"d01","Attributes":'
    b'{"exitCode":"0","name":"web","image":"busybox"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}\n'
)
PULL = (
    b'{"status":"Pulling from library/busybox","id":"latest"}\n'
    b'{"status":"Pulling fs layer","progressDetail":{},"id":"45088ba5567b"}\n'
    b'{"status":"Downloading","progressDetail":{"current":1024,"total":2048},"id":"45088ba5567b"}\n'
    b'{"status":"Pull complete","progressDetail":{},"id":"45088ba5567b"}\n'
    b'{"status":"Digest: ' + DIGEST.encode() + b'"}\n'
    b'{"status":"Status: Downloaded newer image for busybox:latest"}\n'
)
FRAMES = b"\1\0\0\0\0\0\0\4out\n" + b"\2\0\0\0\0\0\0\4err\n"
NO_CONTAINER = (404, {"message": "No such container: nosuch"})

ANSWERS: dict[str, Any] = {
    "GET /containers/json": CONTAINERS,
    "GET /containers/web/json": INSPECTED,
    f"GET /containers/{WEB}/logs": chunked(FRAMES[:5], FRAMES[5:], kind="application/vnd.docker.multiplexed-stream"),
    "GET /containers/nosuch/json": NO_CONTAINER,
    "GET /containers/busybox/json": (404, {"message": "No such container: busybox"}),
    "GET /containers/vol9/json": NO_CONTAINER,
    "GET /images/vol9/json": NO_CONTAINER,
    "GET /networks/vol9": NO_CONTAINER,
    "GET /volumes/vol9": VOLUMES["Volumes"][1],
    "GET /images/busybox/json": {"Id": BUSYBOX, "RepoTags": ["busybox:latest"], "Size": 5, "RootFS": {"Layers": ["a"]}},
    "GET /images/nosuch/json": (404, {"message": "No such image: nosuch:latest"}),
    "GET /networks/nosuch": (404, {"message": "network nosuch not found"}),
    "GET /volumes/nosuch": (404, {"message": "get nosuch: no such volume"}),
    "GET /containers/web/top": {"Titles": ["PID", "COMMAND"], "Processes": [["1", "sh -c x"], ["23456", "sleep"]]},
    "GET /containers/web/stats": STATS,
    "GET /containers/web/changes": [
        {"Kind": 0, "Path": "/tmp"},
        {"Kind": 1, "Path": "/tmp/a b"},
        {"Kind": 2, "Path": "/x"},
    ],
    "GET /images/json": IMAGES,
    "GET /images/busybox/history": HISTORY,
    "GET /networks": NETWORKS,
    "GET /volumes": VOLUMES,
    "GET /system/df": DISK,
    "GET /events": chunked(EVENT),
    "GET /info": {"NCPU": 2, "DriverStatus": [["a", "b"]], "OSType": "linux", "Swarm": {"LocalNodeState": "inactive"}},
    "POST /images/create": chunked(PULL),
    "POST /containers/web/kill": (204, None),
    "POST /containers/nosuch/kill": NO_CONTAINER,
    "POST /containers/web/stop": (204, None),
    "POST /containers/web/restart": (204, None),
    "POST /containers/web/pause": (204, None),
    "POST /containers/web/unpause": (409, {"message": f"Container {WEB} is not paused"}),
    "POST /containers/web/rename": (204, None),
    "POST /containers/made/rename": (409, {"message": "Conflict. The container name is taken"}),
    "POST /containers/web/wait": {"StatusCode": 7},
    "POST /containers/web/update": {"Warnings": ["no swap here"]},
    "POST /containers/nosuch/update": NO_CONTAINER,
    "DELETE /containers/web": (204, None),
    "DELETE /containers/nosuch": NO_CONTAINER,
    "POST /commit": (201, {"Id": NONAME}),
    "POST /images/busybox/tag": (201, None),
    "DELETE /images/busybox": [{"Untagged": "busybox:latest"}, {"Deleted": BUSYBOX}],
    "DELETE /images/nosuch": (404, {"message": "No such image: nosuch:latest"}),
    "DELETE /images/used": (409, {"message": "conflict: image is in use"}),
    "POST /networks/create": (201, {"Id": "n" * 64, "Warning": ""}),
    "DELETE /networks/mine": (204, None),
    "GET /networks/mine": {"Id": "n" * 64, "Name": "mine", "Driver": "bridge"},
    "DELETE /networks/nosuch": (404, {"message": "network nosuch not found"}),
    "POST /networks/mine/connect": (200, None),
    "POST /networks/mine/disconnect": (200, None),
    "POST /volumes/create": (201, {"Name": "vol9", "Driver": "local"}),
    "DELETE /volumes/vol9": (204, None),
    "DELETE /volumes/nosuch": (404, {"message": "get nosuch: no such volume"}),
    "POST /containers/prune": {"ContainersDeleted": [WEB, MADE], "SpaceReclaimed": 1234567},
    "POST /images/prune": {"ImagesDeleted": [{"Untagged": "a:1"}, {"Deleted": BUSYBOX}], "SpaceReclaimed": 5},
    "POST /networks/prune": {"NetworksDeleted": ["mine"]},
    "POST /volumes/prune": {"VolumesDeleted": ["vol9"], "SpaceReclaimed": 1500000},
    "POST /build/prune": {"CachesDeleted": None, "SpaceReclaimed": 0},
    "GET /images/get": (404, {"message": "No such image: nosuch"}),
    "POST /auth": {"Status": "Login Succeeded", "IdentityToken": ""},
    "GET /images/search": (400, {"message": "search is not supported"}),
    "POST /containers/create": (201, {"Id": WEB, "Warnings": ["look out"]}),
    "POST /containers/web/start": (204, None),
    "POST /containers/nosuch/start": NO_CONTAINER,
    "GET /version": {
        "Platform": {"Name": "kernelkit"},
        "Version": "0.1.0",
        "ApiVersion": "1.50",
        "MinAPIVersion": "1.24",
        "Os": "linux",
        "Arch": "amd64",
        "Components": [],
    },
}
