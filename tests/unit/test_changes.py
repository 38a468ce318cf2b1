"""`-c`: what each instruction makes of a config, and Docker's errors, as its engine gave them."""

from __future__ import annotations

from typing import Any

import pytest

from minidock.errors import InvalidInput
from minidock.image.changes import apply_changes


@pytest.mark.parametrize(
    ("change", "config"),
    [
        ("CMD", {"Cmd": ["/bin/sh", "-c"]}),
        ('CMD ["a","b"]', {"Cmd": ["a", "b"]}),
        ("CMD echo hi", {"Cmd": ["/bin/sh", "-c", "echo hi"]}),
        ("cmd foo", {"Cmd": ["/bin/sh", "-c", "foo"]}),
        ('CMD ["a",', {"Cmd": ["/bin/sh", "-c", '["a",']}),
        ("CMD ['a']", {"Cmd": ["/bin/sh", "-c", "['a']"]}),
        ("CMD echo \\\n  hi", {"Cmd": ["/bin/sh", "-c", "echo   hi"]}),
        ('ENTRYPOINT ["/x"]', {"Entrypoint": ["/x"]}),
        ("ENTRYPOINT x y", {"Entrypoint": ["/bin/sh", "-c", "x y"]}),
        ('ENV a=b c="d e"', {"Env": ["a=b", "c=d e"]}),
        ("ENV a b  c", {"Env": ["a=b  c"]}),
        ("ENV a b=c", {"Env": ["a=b=c"]}),
        ("ENV a=$PATH", {"Env": ["a="]}),
        ("ENV a=1\nENV b=x$a c='$a'", {"Env": ["a=1", "b=x1", "c=$a"]}),
        (
            "EXPOSE 80 443/tcp 53/UDP 8000-8001 8080:81",
            {
                "ExposedPorts": {
                    "443/tcp": {},
                    "53/udp": {},
                    "80/tcp": {},
                    "8000/tcp": {},
                    "8001/tcp": {},
                    "81/tcp": {},
                }
            },
        ),
        ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
        (
            "HEALTHCHECK --interval=1m0.5s --retries=3 CMD curl x",
            {
                "Healthcheck": {
                    "Test": ["CMD-SHELL", "curl x"],
                    "Interval": 60_500_000_000,
                    "Retries": 3,
                }
            },
        ),
        ('HEALTHCHECK CMD ["a"]', {"Healthcheck": {"Test": ["CMD", "a"]}}),
        ('LABEL "a b"="c d" e=f', {"Labels": {"a b": "c d", "e": "f"}}),
        ("ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
        ("STOPSIGNAL SIGTERM", {"StopSignal": "SIGTERM"}),
        ("STOPSIGNAL 9", {"StopSignal": "9"}),
        ("USER a b", {"User": "a b"}),
        ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ('VOLUME ["/a","/b c"]', {"Volumes": {"/a": {}, "/b c": {}}}),
        ("WORKDIR foo", {"WorkingDir": "/foo"}),
        ("WORKDIR /a/../b/", {"WorkingDir": "/a/../b/"}),
        ("WORKDIR /a\nWORKDIR ../b\n# done", {"WorkingDir": "/b"}),
    ],
)
def test_an_instruction_changes_the_config(change: str, config: dict[str, Any]) -> None:
    assert apply_changes({}, [change]) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", "file with no instructions"),
        ("# x", "file with no instructions"),
        ("FOO bar", "foo is not a valid change command"),
        ("RUN x", "run is not a valid change command"),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        (
            'ENV a="x',
            'failed to process "\\"x": unexpected end of statement while looking for matching '
            "double-quote",
        ),
        ("ENV =x", "ENV names can not be blank"),
        (
            "ENV a=1 b",
            'Syntax error - can\'t find = in "b". Must be of the form: name=value',
        ),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE abc", "invalid containerPort: abc"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 80/foo", "invalid proto: foo"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --foo=3 CMD x", "Unknown flag: foo"),
        ("HEALTHCHECK --interval=abc CMD x", 'time: invalid duration "abc"'),
        ("HEALTHCHECK --interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("LABEL", "LABEL requires at least one argument"),
        ("LABEL a", "LABEL must have two arguments"),
        ("LABEL =x", "LABEL names can not be blank"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("STOPSIGNAL FOO", "invalid signal: FOO"),
        ("USER", "USER requires exactly one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
    ],
)
def test_what_cannot_be_is_refused_in_dockers_words(change: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        apply_changes({}, [change])
    assert error.value.message == message


def test_a_commit_starts_from_the_config_of_the_container() -> None:
    old = {"Env": ["A=1", "B=2"], "Cmd": ["bash"], "Labels": {"x": "1"}, "WorkingDir": "/w"}
    new = apply_changes(old, ["ENV B=3 C=$A", "LABEL y=2", "WORKDIR sub"])
    assert new == {
        "Env": ["A=1", "B=3", "C=1"],
        "Cmd": ["bash"],
        "Labels": {"x": "1", "y": "2"},
        "WorkingDir": "/w/sub",
    }
    assert old["Env"] == ["A=1", "B=2"]


def test_an_entrypoint_drops_the_cmd_that_belonged_to_another() -> None:
    old = {"Cmd": ["bash"], "Entrypoint": ["/old"]}
    assert apply_changes(old, ['ENTRYPOINT ["/new"]']) == {"Entrypoint": ["/new"]}
    assert apply_changes(old, ['CMD ["x"]', 'ENTRYPOINT ["/new"]'])["Cmd"] == ["x"]
    assert apply_changes({"Cmd": ["bash"]}, ["ENTRYPOINT []"])["Cmd"] == ["bash"]


def test_no_changes_leave_everything() -> None:
    assert apply_changes({"Cmd": ["bash"]}, []) == {"Cmd": ["bash"]}
