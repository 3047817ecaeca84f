"""What `dev` tells: addresses, and lines to copy that work as they are."""

import json
import shlex

from service.cli.program import command_line
from service.cli.sandbox import IMAGE, Sandbox
from service.dev.build_servers import BuildServers, Sample
from service.domain.deployment import PRODUCTION
from service.rpc.call import SERVICE

_IMAGE = f"{IMAGE}:1.0"


def directions(box: Sandbox, deployment_id: str, sample: Sample | None) -> str:
    """Write it all down; `deployment_id` is a deployment that nobody has deployed yet, `sample` is there to build."""
    blocks = [_addresses(box)]
    for title, lines in _lines(box, deployment_id, sample).items():
        blocks.append("\n".join([title, *(f"  {line}" for line in lines)]))
    return "\n" + "\n\n".join(blocks)


def _addresses(box: Sandbox) -> str:
    stack = box.stack
    named = {
        "gRPC": f"{stack.grpc_address}, plaintext, with reflection",
        "Restate": f"{stack.restate.ingress_url} (ingress), {stack.restate.admin_url} (admin and its web page)",
        "health": f"{stack.health_url}/ready",
        "database": stack.dsn,
        **(
            {"ClickHouse": f"{stack.clickhouse.address} (its password is in the configuration)"}
            if stack.clickhouse
            else {}
        ),
        **(_build_addresses(stack.build_servers) if stack.build_servers else {}),
        "config": str(stack.config_file),
        "log": f"{stack.worker_log} (warnings show below), {stack.restate.log}",
    }
    return "\n".join(f"  {name:<10} {value}" for name, value in named.items())


def _build_addresses(servers: BuildServers) -> dict[str, str]:
    return {
        "git": f"{servers.git.url}, for reading",
        "registry": f"{servers.registry.host} (its user and password are in the configuration)",
        "BuildKit": servers.buildkit.address,
    }


def _lines(box: Sandbox, deployment_id: str, sample: Sample | None) -> dict[str, list[str]]:
    """Return lines to copy by what they do."""
    config = ("--config", box.stack.config_file)
    source = {"dockerImage": {"image": _IMAGE}}
    request = json.dumps({"deploymentId": deployment_id, **source})
    grpcurl = ("grpcurl", "-plaintext")
    address = box.stack.grpc_address
    url = f"{box.stack.restate.ingress_url}/{SERVICE}/{deployment_id}/Deploy"
    return {
        f"Deploy with grpcurl; {deployment_id} was created for it:": [
            shlex.join([*grpcurl, "-d", request, address, f"{SERVICE}/Deploy"]),
            command_line("status", deployment_id, *config),
        ],
        "Deploy with this program:": [
            command_line("deploy", *config, "--app", box.world.app.slug, "--env", PRODUCTION, "--image", _IMAGE),
        ],
        **_build(box, sample),
        "Deploy through Restate, as the Go callers do:": [
            shlex.join(["curl", url, "-H", "content-type: application/json", "-d", request]),
        ],
        f"Go back to {deployment_id} once it is ready and another one is live, see what that would do, make it last:": [
            command_line("rollback", *config, "--to", deployment_id, "--dry-run"),
            command_line("rollback", *config, "--to", deployment_id),
            command_line("promote", *config, deployment_id),
            command_line("history", *config, box.world.app.slug),
        ],
        **_sweep(box),
        "Look around:": [
            command_line("operations", *config),
            shlex.join([*grpcurl, address, "list"]),
            shlex.join([*grpcurl, address, "describe", SERVICE]),
            shlex.join([*grpcurl, address, "grpc.health.v1.Health/Check"]),
        ],
    }


def _build(box: Sandbox, sample: Sample | None) -> dict[str, list[str]]:
    if sample is None or box.stack.build_servers is None:
        return {}
    folder = box.stack.build_servers.folder_of(sample.repository)
    place = ("--app", box.world.app.slug, "--env", PRODUCTION)
    commit = ("--repository", sample.repository, "--branch", sample.branch, "--commit", sample.sha)
    return {
        f"Build from git and deploy; for a commit of your own, clone {folder} and push to it:": [
            command_line("deploy", "--config", box.stack.config_file, *place, *commit),
        ]
    }


def _sweep(box: Sandbox) -> dict[str, list[str]]:
    if box.stack.clickhouse is None:
        return {}
    line = command_line("scale-down", "--config", box.stack.config_file, "--dry-run")
    return {"See which previews are idle; without --dry-run they are put to standby:": [line]}
