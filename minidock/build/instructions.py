"""What a Dockerfile says, as values: one class for each instruction.

The parser (dockerfile.py) makes them and does nothing; the builder does what they say and parses
nothing. Between the two stands one more step, because a Dockerfile has variables and their values
are known only when the instruction's turn comes (an ENV of the image that FROM names counts):

    FROM debian AS tools            Stage(name="tools", base="debian", instructions=(
    ARG VERSION=1.2                     Arg(variables=(("VERSION", "1.2"),)),
    ENV HOME=/srv/$VERSION              Env(variables=(("HOME", "/srv/$VERSION"),)),
    COPY --chown=1 a b $HOME/           Copy(sources=("a", "b"), destination="$HOME/", chown="1"),
    RUN make && make install            Run(command=Command(("make && make install",), shell=True)),
    CMD ["sh"]                          Cmd(command=Command(("sh",), shell=False))))

So every text here is as it was typed, quotes and `$` included, and `variables.expanded(instruction,
env)` gives the same instruction with its final texts. What the reference calls shell form is one
text that a shell is to read (`shell=True`); exec form is a list of words. Neither is expanded: the
shell does that itself.

A here-document stands in for a file (COPY, ADD) or for the command (RUN):

    COPY <<EOF /etc/motd            RUN <<EOF
    welcome to $HOST                apt-get update
    EOF                             EOF

See: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class DockerfileError(InvalidInput):
    """A Dockerfile is wrong. `message` is Docker's line, and names the line's number; `excerpt` is
    the place in the file, several lines, to be shown before it."""

    def __init__(self, message: str, *, excerpt: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.excerpt = excerpt


class Lines(Record):
    """Where something stands: first and last line, counted from 1. Zero: in no file."""

    first: int = 0
    last: int = 0


class Heredoc(Record):
    """`<<EOF`. `expand` is false for `<<"EOF"`; `name` is its word, which serves as a file name.

    The tabs that `<<-EOF` takes from the front of each line are gone from `content`.
    """

    name: str
    content: str
    expand: bool = True


class Command(Record):
    """What RUN, CMD and ENTRYPOINT run.

    Exec form: the words. Shell form: one text, to which the builder gives the shell of that moment
    (`["/bin/sh", "-c"]` or SHELL's) to read it. `words` may be empty (`CMD []`).
    """

    words: tuple[str, ...]
    shell: bool


class Instruction(Record):
    """Base of all. `original` is the instruction as typed, on one line where it was continued; it
    is what progress and history show. Here-documents are not part of it."""

    where: Lines
    original: str


# ── instructions that change files ───────────────────────────────────────────────────────────────


class RunMount(Record):
    """`RUN --mount=type=…`. Which fields mean something depends on the type, and the parser has
    refused the others; `None` is "not said". One with variables in it has nothing but `from_` and
    `raw`, its text, until it is expanded."""

    type: str = "bind"  # bind cache tmpfs secret ssh
    target: str = ""  # bind, cache, tmpfs: required; secret, ssh: "" for the usual place
    source: str = ""  # bind, cache: a path in `from_`
    from_: str = ""  # a stage's name or number, or an image; "" is the context, empty for a cache
    read_only: bool = True  # bind: unless `rw`; cache: only with `ro`
    id: str = ""  # cache: the target where not said; secret, ssh
    sharing: str = "shared"  # cache: shared private locked
    required: bool = False  # secret, ssh
    mode: int | None = None  # cache (0755), secret (0400), ssh (0600)
    uid: int | None = None
    gid: int | None = None
    size: int | None = None  # tmpfs, in bytes
    env: str = ""  # secret: as this variable, and in a file only if `target` is given
    raw: str = ""


class Run(Instruction):
    """With here-documents there are three cases, and the first two are alike for the builder:

    `RUN <<EOF`              `command` is the document, in shell form
    `RUN python3 <<EOF`      `command` is the line and the documents after it; the shell reads both
    `RUN <<EOF`, `#!` first  `script` is the document: a program to be run, as /dev/pipes/EOF with
                             mode 0755, which is no part of the image. `command` is its path.
    """

    command: Command
    mounts: tuple[RunMount, ...] = ()
    network: str = "default"  # default none host
    script: Heredoc | None = None


class Copy(Instruction):
    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()  # files of their own, beside `sources`
    from_: str = ""  # a stage's name or number, or an image; "" is the context
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(Instruction):
    sources: tuple[str, ...]  # paths in the context, URLs, Git repositories
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""  # sha256:…, of what a URL gives
    keep_git_dir: bool = False
    unpack: bool | None = None  # None: local archives are unpacked, those of a URL are not


class Workdir(Instruction):
    """Makes the directory, too, where it is missing."""

    path: str


# ── instructions that change the config ──────────────────────────────────────────────────────────


class Arg(Instruction):
    """A value of None is a variable without a default."""

    variables: tuple[tuple[str, str | None], ...]


class Env(Instruction):
    variables: tuple[tuple[str, str], ...]


class Label(Instruction):
    labels: tuple[tuple[str, str], ...]


class Cmd(Instruction):
    command: Command


class Entrypoint(Instruction):
    command: Command


class Shell(Instruction):
    words: tuple[str, ...]


class Expose(Instruction):
    """Once expanded, `80/tcp` each; before, as typed: `80 8000-8002/udp $PORTS`."""

    ports: tuple[str, ...]


class Volume(Instruction):
    paths: tuple[str, ...]


class User(Instruction):
    user: str


class StopSignal(Instruction):
    signal: str


class Healthcheck(Instruction):
    """`check` in the shape of an image's config: `{"Test": ["CMD-SHELL", "…"], "Interval": …}`."""

    check: Mapping[str, Any]


class OnBuild(Instruction):
    """`trigger` is an instruction, as text, which an image built on this one does after its FROM.
    It has been parsed once to see that it can be, and is not expanded before its time."""

    trigger: str


class Maintainer(Instruction):
    name: str


# ── the whole ────────────────────────────────────────────────────────────────────────────────────


class Stage(Record):
    """FROM and what follows it. `base` is an image, the name of a stage above, or `scratch`."""

    where: Lines
    original: str
    base: str
    name: str = ""  # lower case; "" without AS
    platform: str = ""
    instructions: tuple[Instruction, ...] = ()


class LintWarning(Record):
    """What a linter of Docker's would say: `LegacyKeyValueFormat: …`. The build goes on."""

    rule: str
    text: str
    where: Lines


class Dockerfile(Record):
    """`global_args` stand before the first FROM, and are what its variables mean."""

    path: str  # as it is shown in errors
    lines: tuple[str, ...]
    stages: tuple[Stage, ...]
    global_args: tuple[Arg, ...] = ()
    escape: str = "\\"
    syntax: str = ""  # `# syntax=docker/dockerfile:1`: noted, and not needed
    warnings: tuple[LintWarning, ...] = ()
