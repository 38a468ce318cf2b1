"""explain: what a command would do to the kernel, without doing it."""

from __future__ import annotations

from minidock.cli.command import ClientError, Command
from minidock.errors import MinidockError, StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.app import App
    from minidock.cli.parse import Parsed

EXPLAIN = Command(
    help="Show what a run would do, step by step, without doing it",
    run="minidock.cli.explain:explain",
    args="run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    least=1,
    interspersed=False,
    needs_root=False,
    examples=(
        "minidock explain run -it ubuntu /bin/bash",
        "minidock explain run --network host --read-only debian true | less",
    ),
    description="""\
Show what a run would do, step by step, without doing it

It needs no privilege. What is printed is the plan that `minidock run` with the
same options would carry out on this machine: each step in a sentence, the man
pages that tell more, and the system calls. `minidock run --explain` prints the
same while it happens, with results and times.""",
)


def explain(args: Parsed, app: App) -> int:
    """`minidock explain`"""
    from minidock.cli.container_run import RUN
    from minidock.cli.parse import check_count, parse
    from minidock.cli.run_options import run_options
    from minidock.engine.connection import GROUND
    from minidock.engine.host_config import has_own_networks
    from minidock.engine.paths import Paths
    from minidock.study.explain import AFTER_START, BEFORE, narration_for
    from minidock.study.imagine import imagine
    from minidock.study.rehearse import rehearse

    words = list(args.positionals)
    if words[:2] == ["container", "run"]:
        words = words[1:]
    if words[0] != "run":
        raise ClientError(f"only `run` can be explained so far, not `{words[0]}`")
    typed = parse(RUN, "run", words[1:])
    if typed.on("help"):
        from minidock.cli.click_app import help_page

        app.out(help_page(["run"]))
        return 0
    check_count(typed)
    narration = narration_for(app.out, app.stdout)
    options = run_options(typed, attach=True)
    imagined = imagine(Paths(app.root, app.run_root), options, app.warn)
    if imagined.note:
        app.err(f"{imagined.note}\n")
    narration.tell("command", BEFORE)
    if has_own_networks(imagined.host_config):
        narration.tell("main", (GROUND,))
    try:
        rehearse(
            imagined.plan,
            imagined.spec,
            imagined.image,
            narration.show,
            interactive=options.interactive,
        )
    except (StartFailed, OSError) as error:
        narration.summary()
        raise MinidockError(f"here the start would fail: {_reason(error)}") from error
    narration.tell("monitor", AFTER_START)
    narration.summary()
    return 0


def _reason(error: StartFailed | OSError) -> str:
    from minidock.runtime.sync import describe_error

    return describe_error(error)
