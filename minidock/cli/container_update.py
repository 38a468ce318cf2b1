"""update: other limits, or another restart policy, for containers that are there."""

from __future__ import annotations

from minidock.cli.command import ClientError, Command, Flag
from minidock.cli.run_flags import LIMIT_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

UPDATE = Command(
    help="Update configuration of one or more containers",
    run="minidock.cli.container_update:update",
    args="CONTAINER [CONTAINER...]",
    least=1,
    flags=(
        *LIMIT_FLAGS,
        Flag("restart", help="Restart policy to apply when a container exits"),
    ),
    examples=(
        "minidock update --memory 512m --memory-swap 1g web",
        "minidock update --restart unless-stopped web db",
    ),
)


def update(args: Parsed, app: App) -> int:
    """`minidock update`"""
    from minidock.engine.limit_rules import check_limits
    from minidock.engine.update import update as update_container

    if not any(args.given(flag.long) for flag in UPDATE.flags):
        raise ClientError("you must provide one or more flags when using this command")
    changes = _changes(args)
    containers = app.containers()
    warnings: list[str] = []

    def update_one(name: str) -> str:
        wanted = dict(changes)
        warned = check_limits(wanted, update=True)
        update_container(containers.find(name), wanted)
        warnings.extend(warned)
        return name

    code = app.each(args.positionals, update_one)
    if warnings:
        app.out("\n".join(warnings) + "\n")
    return code


def _changes(args: Parsed) -> dict[str, Any]:
    from minidock.cli.host_config import limits

    changes = limits(args)
    if args.text("restart"):
        from minidock.cli.lifecycle_flags import restart_policy
        from minidock.engine.restart import checked_policy

        policy = restart_policy(args.text("restart"), auto_remove=False)
        changes["RestartPolicy"] = checked_policy(*policy)
    return changes
