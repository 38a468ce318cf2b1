"""`-v` and `--mount` as they are typed: what Docker's client makes of them, and its complaints."""

from __future__ import annotations

import os
import re

import pytest

from minidock.cli.command import ClientError
from minidock.cli.mount_flags import csv_fields, parse_mount, sort_volumes

# Each of these was seen from Docker's client, 28.2.
MOUNTS = {
    "dst=/y": {"Type": "volume", "Target": "/y"},
    "src=v,target=/y,ro": {"Type": "volume", "Source": "v", "Target": "/y", "ReadOnly": True},
    "src=v,destination=/y,readonly=false": {"Type": "volume", "Source": "v", "Target": "/y"},
    "TYPE=Bind,source=/a,DST=/y,bind-propagation=RSlave": {
        "Type": "bind", "Source": "/a", "Target": "/y",
        "BindOptions": {"Propagation": "rslave"},
    },
    "type=bind,src=/a,dst=/y,bind-nonrecursive": {
        "Type": "bind", "Source": "/a", "Target": "/y", "BindOptions": {"NonRecursive": True},
    },
    "type=bind,src=/a,dst=/y,bind-recursive=enabled,consistency=CACHED": {
        "Type": "bind", "Source": "/a", "Target": "/y", "Consistency": "cached",
        "BindOptions": {},
    },
    "type=bind,src=/a,dst=/y,ro,bind-recursive=writable": {
        "Type": "bind", "Source": "/a", "Target": "/y", "ReadOnly": True,
        "BindOptions": {"ReadOnlyNonRecursive": True},
    },
    "src=v,dst=/y,volume-nocopy,volume-label=a=b,volume-label=c,volume-subpath=d/e": {
        "Type": "volume", "Source": "v", "Target": "/y",
        "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b", "c": ""}, "Subpath": "d/e"},
    },
    "src=v,dst=/y,volume-driver=local,volume-opt=type=nfs,volume-opt=o=a": {
        "Type": "volume", "Source": "v", "Target": "/y",
        "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"type": "nfs", "o": "a"}}},
    },
    "type=tmpfs,dst=/y,tmpfs-size=64m,tmpfs-mode=1770": {
        "Type": "tmpfs", "Target": "/y", "TmpfsOptions": {"SizeBytes": 64 << 20, "Mode": 0o1770},
    },
    'type=bind,"src=/a,b ""c""",dst=/y': {"Type": "bind", "Source": '/a,b "c"', "Target": "/y"},
}  # fmt: skip


@pytest.mark.parametrize("text", MOUNTS)
def test_a_mount(text: str) -> None:
    assert parse_mount(text) == MOUNTS[text]


def test_a_source_that_is_here() -> None:
    assert parse_mount("type=bind,src=./a,dst=/y")["Source"] == f"{os.getcwd()}/a"
    assert parse_mount("type=bind,src=.,dst=/y")["Source"] == os.getcwd()


WRONG = {
    "": "EOF",
    "type": "invalid field 'type' must be a key=value pair",
    "foo=bar": "unexpected key 'foo' in 'foo=bar'",
    "type=bind,src=/tmp": "target is required",
    "type=,dst=/y": "type is required",
    "type=bind,src=/tmp,dst=/y,volume-nocopy":
        "cannot mix 'volume-*' options with mount type 'bind'",
    "dst=/y,bind-propagation=rprivate": "cannot mix 'bind-*' options with mount type 'volume'",
    "dst=/y,tmpfs-size=1m": "cannot mix 'tmpfs-*' options with mount type 'volume'",
    "dst=/y,image-subpath=x": "cannot mix 'image-*' options with mount type 'volume'",
    "type=tmpfs,dst=/y,tmpfs-size=xx": "invalid value for tmpfs-size: xx",
    "type=tmpfs,dst=/y,tmpfs-mode=999": "invalid value for tmpfs-mode: 999",
    "dst=/y,readonly=foo": "invalid value for readonly: foo",
    "TYPE=Volume,DST=/y,VOLUME-NOCOPY=x": "invalid value for volume-nocopy: x",
    "dst=/y,bind-recursive=foo": "invalid value for bind-recursive: foo "
        '(must be "enabled", "disabled", "writable", or "readonly")',
    "type=bind,src=/tmp,dst=/y,bind-recursive=writable":
        "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
    "type=bind,src=/tmp,dst=/y,bind-recursive=readonly,readonly":
        "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in "
        "conjunction",
    'dst="/y': 'parse error on line 1, column 5: bare " in non-quoted-field',
    'dst=a"b': 'parse error on line 1, column 6: bare " in non-quoted-field',
    '"dst=/y" ,x': 'parse error on line 1, column 8: extraneous or missing " in quoted-field',
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_mount_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(WRONG[text])}$"):
        parse_mount(text)


def test_the_fields_of_a_record() -> None:
    assert list(csv_fields('a,"b,""c""",,d')) == ["a", 'b,"c"', "", "d"]
    assert list(csv_fields("a,")) == ["a", ""]


@pytest.mark.parametrize(
    ("text", "binds", "paths"),
    [
        ("/a:/b", ["/a:/b"], []),
        ("/a:/b:ro", ["/a:/b:ro"], []),
        ("data:/b:rw,nocopy", ["data:/b:rw,nocopy"], []),
        ("./a:/b:ro", ["HERE/a:/b:ro"], []),
        ("..:/b", ["UP:/b"], []),
        ("~/a:/b", ["~/a:/b"], []),
        ("/anonymous", [], ["/anonymous"]),
        ("/x", [], ["/x"]),
        ("q:/y", ["q:/y"], []),  # Docker makes an anonymous volume at "q:/y"
    ],
)
def test_volumes(text: str, binds: list[str], paths: list[str]) -> None:
    here = {"HERE": os.getcwd(), "UP": os.path.dirname(os.getcwd())}
    for word, place in here.items():
        binds = [bind.replace(word, place) for bind in binds]
    assert sort_volumes([text, text]) == (binds, paths), "each once"


def test_volumes_that_cannot_be_read() -> None:
    for text in (":/y", "/x:", "aa::bb"):
        with pytest.raises(ClientError, match=f"^invalid spec: {text}: empty section between"):
            sort_volumes([text])
    with pytest.raises(ClientError, match=r"^invalid spec: /a:/b:ro:x: too many colons$"):
        sort_volumes(["/a:/b:ro:x"])
    with pytest.raises(ClientError, match=r"^invalid empty volume spec$"):
        sort_volumes([""])
