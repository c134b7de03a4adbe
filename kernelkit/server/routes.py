"""The Docker Engine API as a table, in the order of its own documentation; at the end what is ours."""

from __future__ import annotations

from kernelkit.server import absent, archives, containers, executions, host, images, networks, record, system, volumes
from kernelkit.server.router import Route

ROUTES: tuple[Route, ...] = (
    ("GET", "/_ping", system.ping),
    ("HEAD", "/_ping", system.ping),
    ("GET", "/version", system.version),
    ("GET", "/info", system.about),
    ("GET", "/events", system.events),
    ("GET", "/system/df", system.disk_use),
    ("POST", "/auth", system.login),
    # containers
    ("GET", "/containers/json", containers.list_all),
    ("POST", "/containers/create", containers.create),
    ("POST", "/containers/prune", containers.prune),
    ("GET", "/containers/{id...}/json", containers.inspect),
    ("GET", "/containers/{id...}/top", containers.processes),
    ("GET", "/containers/{id...}/logs", containers.logs),
    ("GET", "/containers/{id...}/stats", containers.usage),
    ("POST", "/containers/{id...}/resize", containers.resize),
    ("POST", "/containers/{id...}/start", containers.start),
    ("POST", "/containers/{id...}/stop", containers.stop_one),
    ("POST", "/containers/{id...}/restart", containers.restart),
    ("POST", "/containers/{id...}/kill", containers.kill),
    ("POST", "/containers/{id...}/update", containers.change),
    ("POST", "/containers/{id...}/rename", containers.rename),
    ("POST", "/containers/{id...}/pause", containers.pause),
    ("POST", "/containers/{id...}/unpause", containers.unpause),
    ("POST", "/containers/{id...}/attach", containers.attach),
    ("POST", "/containers/{id...}/wait", containers.wait),
    ("DELETE", "/containers/{id...}", containers.remove),
    ("GET", "/containers/{id...}/changes", archives.diff),
    ("GET", "/containers/{id...}/export", archives.export_one),
    ("HEAD", "/containers/{id...}/archive", archives.look),
    ("GET", "/containers/{id...}/archive", archives.take),
    ("PUT", "/containers/{id...}/archive", archives.put),
    ("POST", "/commit", archives.commit_one),
    # programs run in them
    ("POST", "/containers/{id...}/exec", executions.create),
    ("POST", "/exec/{id}/start", executions.start),
    ("POST", "/exec/{id}/resize", executions.resize),
    ("GET", "/exec/{id}/json", executions.inspect),
    # images
    ("GET", "/images/json", images.list_all),
    ("POST", "/images/create", archives.create),
    ("POST", "/images/load", archives.load),
    ("GET", "/images/get", archives.save),
    ("GET", "/images/search", images.search),
    ("POST", "/images/prune", images.prune),
    ("GET", "/images/{name...}/json", images.inspect),
    ("GET", "/images/{name...}/history", images.history),
    ("POST", "/images/{name...}/tag", images.tag),
    ("POST", "/images/{name...}/push", archives.push_one),
    ("GET", "/images/{name...}/get", archives.save),
    ("DELETE", "/images/{name...}", images.remove),
    ("GET", "/distribution/{name...}/json", images.distribution),
    # networks
    ("GET", "/networks", networks.list_all),
    ("POST", "/networks/create", networks.create),
    ("POST", "/networks/prune", networks.prune),
    ("GET", "/networks/{id...}", networks.inspect),
    ("DELETE", "/networks/{id...}", networks.remove),
    ("POST", "/networks/{id...}/connect", networks.connect),
    ("POST", "/networks/{id...}/disconnect", networks.disconnect),
    # volumes
    ("GET", "/volumes", volumes.list_all),
    ("POST", "/volumes/create", volumes.create),
    ("POST", "/volumes/prune", volumes.prune),
    ("GET", "/volumes/{name...}", volumes.inspect),
    ("DELETE", "/volumes/{name...}", volumes.remove),
    # what is not there
    ("POST", "/build", absent.build),
    ("POST", "/build/cancel", absent.build),
    ("POST", "/build/prune", absent.build_cache),
    ("POST", "/session", absent.build_session),
    ("POST", "/grpc", absent.build),
    ("GET", "/containers/{id...}/attach/ws", absent.attach_by_websocket),
    *(
        (method, f"/containers/{{id...}}/checkpoints{rest}", absent.checkpoints)
        for method, rest in (("GET", ""), ("POST", ""), ("DELETE", "/{name}"))
    ),
    ("GET", "/plugins", absent.no_plugins),
    ("GET", "/plugins/privileges", absent.plugins),
    ("POST", "/plugins/pull", absent.plugins),
    ("POST", "/plugins/create", absent.plugins),
    ("GET", "/plugins/{name...}/json", absent.no_plugin),
    ("DELETE", "/plugins/{name...}", absent.no_plugin),
    *(
        ("POST", f"/plugins/{{name...}}/{verb}", absent.no_plugin)
        for verb in ("enable", "disable", "push", "upgrade", "set")
    ),
    ("POST", "/swarm/init", absent.swarm),
    ("POST", "/swarm/join", absent.swarm),
    ("POST", "/swarm/leave", absent.membership),
    ("POST", "/swarm/unlock", absent.membership),
    ("PUT", "/volumes/{name...}", absent.cluster),
    *(
        (method, f"/{what}{rest}", absent.cluster)
        for what in ("swarm", "nodes", "services", "tasks", "secrets", "configs")
        for method in ("GET", "POST", "DELETE")
        for rest in ("", "/{rest...}")
    ),
    # ours
    ("GET", "/kernelkit/host", host.about),
    ("POST", "/kernelkit/shell", host.shell),
    ("POST", "/kernelkit/perform", host.perform),
    ("GET", "/kernelkit/trace", record.newest),
    ("GET", "/kernelkit/trace/{id}", record.of_container),
    ("GET", "/kernelkit/trace/{id}/script", record.as_script),
    ("POST", "/kernelkit/containers/{id}/start", record.start),
)
