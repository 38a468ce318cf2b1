"""The line of an instruction in `minidock history`: Docker's, as its builder wrote them."""

from __future__ import annotations

import pytest

from minidock.build.dockerfile import parse_dockerfile
from minidock.build.history import created_by
from minidock.build.variables import expanded


@pytest.mark.parametrize(
    "text, line",
    [
        ("RUN make  it", "RUN /bin/sh -c make  it"),
        ('RUN ["make", "it"]', "RUN make it"),
        ("COPY --from=x --chown=1 --chmod=0755 a b /c/", "COPY --chown=1 --chmod=0755 a b /c/"),
        ("COPY --link <<EOF a /c/\nEOF", "COPY a <<EOF /c/"),
        ("ADD a.tar /", "ADD a.tar /"),
        ('ENV a=1 b="2 3"', "ENV a=1 b=2 3"),
        ("LABEL a b", "LABEL a=b"),
        ("ARG a b=2", "ARG a b=2"),
        ("CMD sh", 'CMD ["/bin/sh" "-c" "sh"]'),
        ("ENTRYPOINT []", "ENTRYPOINT []"),
        ('SHELL ["a", "b"]', "SHELL [a b]"),
        ("EXPOSE 80 53/udp 80", "EXPOSE map[53/udp:{} 80/tcp:{}]"),
        ("VOLUME /a /b", "VOLUME [/a /b]"),
        ("USER u", "USER u"),
        ("WORKDIR x/", "WORKDIR /srv/x"),
        ("STOPSIGNAL 9", "STOPSIGNAL 9"),
        ("MAINTAINER me", "MAINTAINER me"),
        ("ONBUILD RUN x", ""),
        ("HEALTHCHECK --interval=90s --timeout=500ms --retries=3 CMD a",
         'HEALTHCHECK &{["CMD-SHELL" "a"] "1m30s" "500ms" "0s" "0s" \'\\x03\'}'),
    ],
)  # fmt: skip
def test_a_line_of_history(text: str, line: str) -> None:
    file = parse_dockerfile(f"FROM scratch\n{text}".encode(), "Dockerfile")
    instruction = expanded(file.stages[0].instructions[0], {})
    assert created_by(instruction, {"WorkingDir": "/srv"}) == line


def test_a_run_shows_its_arguments() -> None:
    file = parse_dockerfile(b"FROM scratch\nRUN x", "Dockerfile")
    (run,) = file.stages[0].instructions
    assert created_by(run, {}, {"b": "2", "a": "1"}) == "RUN |2 b=2 a=1 /bin/sh -c x"
