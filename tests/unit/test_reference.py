"""Names of images: what they stand for, and which are refused, as Docker's own client said."""

from __future__ import annotations

import pytest

from minidock.errors import InvalidInput
from minidock.spec.reference import parse_reference

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "familiar", "canonical"),
    [
        ("ubuntu", "ubuntu:latest", "docker.io/library/ubuntu:latest"),
        ("ubuntu:22.04", "ubuntu:22.04", "docker.io/library/ubuntu:22.04"),
        ("library/foo", "foo:latest", "docker.io/library/foo:latest"),
        ("docker.io/foo", "foo:latest", "docker.io/library/foo:latest"),
        ("docker.io/library/foo", "foo:latest", "docker.io/library/foo:latest"),
        ("index.docker.io/foo", "foo:latest", "docker.io/library/foo:latest"),
        ("grafana/loki:2.9", "grafana/loki:2.9", "docker.io/grafana/loki:2.9"),
        ("library/a/b", "library/a/b:latest", "docker.io/library/a/b:latest"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("localhost", "localhost:latest", "docker.io/library/localhost:latest"),
        ("docker.io", "docker.io:latest", "docker.io/library/docker.io:latest"),
        ("a:80/b", "a:80/b:latest", "a:80/b:latest"),
        ("other.io:5000/a/b:x", "other.io:5000/a/b:x", "other.io:5000/a/b:x"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ("FOO/bar", "FOO/bar:latest", "FOO/bar:latest"),
        ("a--b/c__d/e.f_g", "a--b/c__d/e.f_g:latest", "docker.io/a--b/c__d/e.f_g:latest"),
        (f"foo@sha256:{HEX}", f"foo@sha256:{HEX}", f"docker.io/library/foo@sha256:{HEX}"),
        (f"foo:t@sha256:{HEX}", f"foo:t@sha256:{HEX}", f"docker.io/library/foo:t@sha256:{HEX}"),
        (f"x/{HEX}", f"x/{HEX}:latest", f"docker.io/x/{HEX}:latest"),
        (f"{HEX}:tag", f"{HEX}:tag", f"docker.io/library/{HEX}:tag"),
    ],
)
def test_a_name_has_a_short_and_a_full_form(text: str, familiar: str, canonical: str) -> None:
    reference = parse_reference(text)
    assert reference.familiar == familiar
    assert reference.canonical == canonical
    assert parse_reference(canonical) == reference
    assert parse_reference(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        *("", ":foo", "foo:", "foo@", "foo:b@", "a//b", "/a", "a/", "-a", "a-", "a___b", "a._b"),
        *("a..b", "a:b:c", "a:-t", f"a:{'a' * 129}", "::1/a", "a:80x/b", "docker.io/", "foo bar"),
        *("foo:ä", "ä", "foo.", "a.b./c", "a/b@", "a@b", "a:B/c", "foo\n", "foo@sha256:abcd"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_reference(text)
    assert error.value.message == "invalid reference format"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("a.b/C", "invalid reference format: repository name (C) must be lowercase"),
        ("a/B:c", "invalid reference format: repository name (a/B) must be lowercase"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("a" * 250, "repository name must not be more than 255 characters"),
        (f"foo@md5:{HEX}", "unsupported digest algorithm"),
        (f"foo@sha512:{HEX}", "invalid checksum digest length"),
        (f"foo@sha256:{HEX[:40]}", "invalid checksum digest length"),
        (f"foo@sha256:{HEX.upper()}", "invalid checksum digest format"),
    ],
)
def test_errors_are_dockers(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_reference(text)
    assert error.value.message == message
