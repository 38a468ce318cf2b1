"""images, history, import, tag, rmi and commit beside Docker's own: the same words, character by
character, and the same exit codes.

One long session is typed at both. What must differ is made equal: ids, dates, ages, and the name
of the program. Docker shows images of one second in no order, so those that are listed together
are made a second apart.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Answer = tuple[str, str, int]

SLEEP = ("sleep",)
ALL_FIELDS = (
    "{{.Repository}}:{{.Tag}} {{.Digest}} {{.ID}} {{.CreatedSince}} {{.CreatedAt}} {{.Size}} "
    "{{.VirtualSize}} {{.Containers}} {{.SharedSize}} {{.UniqueSize}}"
)
DIGEST = "sha256:" + "1" * 64
CHANGES = (
    *("-c", "CMD x y", "-c", 'ENTRYPOINT ["a"]', "-c", "LABEL l=2", "-c", "EXPOSE 90"),
    *("-c", "VOLUME /v", "-c", "WORKDIR rel", "-c", "ONBUILD RUN x", "-c", "USER u"),
)
SESSION: list[tuple[str, ...]] = [
    ("images",),
    ("import", "-", "first"),
    SLEEP,
    ("import", "-c", 'CMD ["/bin/sh"]', "-c", "ENV A=b", "-m", "my msg", "-", "second:v1"),
    SLEEP,
    ("import", "-"),
    ("import",),
    ("import", "-", "Foo"),
    ("import", "nofile", "x"),
    ("import", "-c", "FROM x", "-", "y"),
    ("import", "-", f"x@{DIGEST}"),
    ("images",),
    ("images", "-a"),
    ("images", "--no-trunc"),
    ("images", "--digests"),
    ("images", "-q"),
    ("images", "-q", "--no-trunc"),
    ("history", "second:v1"),
    ("history", "--no-trunc", "second:v1"),
    ("history", "-H=false", "second:v1"),
    ("history", "-q", "second:v1"),
    ("history", "nosuch"),
    ("history",),
    ("create", "--name", "c1", "--network", "none", "first", "/bin/true"),
    SLEEP,
    ("commit", "-m", "msg", "-a", "me <a@b>", "-c", "ENV Q=1", "c1", "ci:1"),
    SLEEP,
    ("commit", *CHANGES, "c1", "ci:3"),
    ("commit", "c1", "Ci"),
    ("commit", "c1", f"ci@{DIGEST}"),
    ("commit", "nosuch", "x"),
    ("commit", "", "x"),
    ("commit", "-c", "FROM x", "c1", "y"),
    ("commit", "--pause=no", "c1", "y"),
    ("commit",),
    ("commit", "a", "b", "c"),
    ("history", "ci:3"),
    ("history", "--no-trunc", "ci:1"),
    ("images", "-f", "dangling=true"),
    ("images", "-f", "dangling=false"),
    ("images", "-f", "label=l"),
    ("images", "-f", "label=l=2"),
    ("images", "-f", "label=l=3"),
    ("images", "-f", "label="),
    ("images", "-f", "before=ci:1"),
    ("images", "-f", "since=second:v1"),
    ("images", "-f", "since=second:v1", "-f", "before=ci:3"),
    ("images", "-f", "before=nosuch"),
    ("images", "-f", "reference=c*"),
    ("images", "-f", "x"),
    ("images", "-f", ""),
    ("images", "ci"),
    ("images", "ci:3"),
    ("images", "c"),
    ("images", "c*:1"),
    ("images", "docker.io/library/ci"),
    ("images", "Ci"),
    ("images", "["),
    ("images", "*"),
    ("images", "*/*"),
    ("images", "--format", "json"),
    ("images", "--format", "{{json .}}", "ci:1"),
    ("images", "--format", ALL_FIELDS),
    ("images", "--format", f"table {ALL_FIELDS}", "ci:1"),
    ("images", "--format", "table {{.ID}}\\t{{.CreatedSince}}", "ci:1"),
    ("images", "--format", "{{.Foo}}"),
    ("images", "--format", "{{.Foo"),
    ("images", "-q", "--format", "{{.Tag}}", "ci:1"),
    ("images", "-q", "--format", "table", "ci:1"),
    ("history", "--format", "json", "second:v1"),
    ("history", "--human=false", "--format", "json", "second:v1"),
    ("history", "--format", "table {{.ID}} {{.CreatedBy}}", "second:v1"),
    ("history", "--format", "{{.Foo}}", "second:v1"),
    ("tag", "nosuch", "a"),
    ("tag", "first", "Foo"),
    ("tag", "first", "a b"),
    ("tag", "first", f"a@{DIGEST}"),
    ("tag", "first", DIGEST[7:]),
    ("tag", DIGEST, "x"),
    ("tag", DIGEST[7:], "x"),
    ("tag", "Foo:x", "b"),
    ("tag", "first", "sha256:x"),
    ("tag", "", "x"),
    ("tag", "a"),
    ("tag", "first", "third"),
    ("tag", "first", "localhost:5000/x/y:2"),
    ("tag", "ci:3", "third"),
    ("images", "third"),
    ("images", "localhost:5000/x/y"),
    ("images", "localhost:5000/*/y"),
    ("images", "*/*/*"),
    ("rmi",),
    ("rmi", "nosuch"),
    ("rmi", "-f", "nosuch"),
    ("rmi", "nosuch", "third"),
    ("rmi", "ci:1"),
    ("rmi", "first"),
    ("rmi", "-f", "first"),
    ("images", "-a"),
    ("rmi", "ci:3"),
    ("rmi", "localhost:5000/x/y:2"),
    ("tag", "second:v1", "two"),
    ("rmi", "second"),
    ("rmi", "-f", "second:v1"),
    ("rmi", "-f", "localhost:5000/x/y:2"),
    ("images", "-a"),
    ("rm", "c1"),
    ("rmi", "two"),
    # Of these Docker leaves an image without a name behind, minidock nothing.
    ("import", "-", "sha256:abc"),
]


def root_tarball() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, size in (("bin/true", 1_234_567), ("etc/passwd", 890)):
            entry = tarfile.TarInfo(name)
            entry.size = size
            tar.addfile(entry, io.BytesIO(bytes(size)))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def answers(
    docker_engine: Callable[..., subprocess.CompletedProcess[str]],
    minidock_home: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[tuple[Answer, Answer]]]:
    """What both said at each step of the session."""
    minidock = type(minidock_home)(tmp_path_factory.mktemp("images"))
    tarball = root_tarball()
    found = []
    for step in SESSION:
        if step == SLEEP:
            time.sleep(1.1)
            found.append((("", "", 0), ("", "", 0)))
            continue
        stdin = tarball if step[0] == "import" else b""
        theirs, ours = (run(*step, stdin=stdin) for run in (docker_engine, minidock))
        found.append((answer(theirs), answer(ours)))
    yield found
    minidock.remove_all()


def answer(done: subprocess.CompletedProcess[str]) -> Answer:
    return normal(done.stdout), normal(done.stderr), done.returncode


def normal(text: str) -> str:
    """Without what must differ."""
    ids: dict[str, str] = {}

    def same(match: re.Match[str]) -> str:
        name = ids.setdefault(match[0][:12], f"id{len(ids)}")
        return name.ljust(len(match[0]), "_")

    text = text.replace("minidock", "docker")
    text = re.sub(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b", same, text)
    text = re.sub(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d", r"date\1time", text)
    # How wide this column is depends on how fast the test runs.
    text = re.sub(r"(?:Less than a second|\d+ seconds?) ago *", "long ago ", text)
    return re.sub(r"CREATED {2,}(?!BY|AT)", "CREATED   ", text)


STEPS = [
    pytest.param(number, id=" ".join(step)) for number, step in enumerate(SESSION) if step != SLEEP
]


@pytest.mark.parametrize("step", STEPS)
def test_both_say_the_same(answers: list[tuple[Answer, Answer]], step: int) -> None:
    theirs, ours = answers[step]
    assert ours == theirs
