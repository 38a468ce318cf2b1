"""What `-p` and `--expose` say, in the words of Docker's client where they say nothing sensible;
and ports as `ps` shows them."""

from __future__ import annotations

import pytest

from minidock.cli.command import ClientError
from minidock.cli.port_values import bindings, exposed
from minidock.engine.port_list import shown_ports


def one(host_ip: str, host_port: str) -> list[dict[str, str]]:
    return [{"HostIp": host_ip, "HostPort": host_port}]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80", {"80/tcp": one("", "")}),
        ("8080:80", {"80/tcp": one("", "8080")}),
        (":80", {"80/tcp": one("", "")}),
        ("8080:80/UDP", {"80/udp": one("", "8080")}),
        ("127.0.0.1:8080:80", {"80/tcp": one("127.0.0.1", "8080")}),
        ("127.0.0.1::80", {"80/tcp": one("127.0.0.1", "")}),
        ("[::1]:8080:80", {"80/tcp": one("::1", "8080")}),
        ("::1:8080:80", {"80/tcp": one("::1", "8080")}),
        ("80-81:90-91", {"90/tcp": one("", "80"), "91/tcp": one("", "81")}),
        ("90-91", {"90/tcp": one("", ""), "91/tcp": one("", "")}),
        ("8000-8010:80", {"80/tcp": one("", "8000-8010")}),
        ("target=80,published=8080", {"80/tcp": one("", "8080")}),
        ("protocol=udp,target=53,mode=host", {"53/udp": one("", "")}),
    ],
)
def test_bindings(text: str, found: object) -> None:
    assert bindings([text]) == found


def test_one_port_may_be_bound_several_times() -> None:
    assert bindings(["80:80", "81:80"]) == {"80/tcp": one("", "80") + one("", "81")}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x", "invalid containerPort: x"),
        ("80:x", "invalid containerPort: x"),
        ("x:80", "invalid hostPort: x"),
        ("70000:80", "invalid hostPort: 70000"),
        ("80:70000", "invalid containerPort: 70000"),
        ("1.2.3:80:80", "invalid IP address: 1.2.3"),
        ("localhost:80:80", "invalid IP address: localhost"),
        ("1.2.3.4:80:80:80", "invalid IP address: 1.2.3.4:80"),
        ("80/foo", "invalid proto: foo"),
        ("", "no port specified: <empty>"),
        ("80:", "no port specified: 80:<empty>"),
        ("published=80", "no port specified: 80:/tcp<empty>"),
        ("9-8:80", "invalid hostPort: 9-8"),
        ("80-79", "invalid containerPort: 80-79"),
        (
            "8000-8001:80-82",
            "invalid ranges specified for container and host Ports: 80-82 and 8000-8001",
        ),
        (" 80:80", "invalid hostPort:  80"),
    ],
)
def test_what_cannot_be_meant(text: str, why: str) -> None:
    with pytest.raises(ClientError) as error:
        bindings([text])
    assert error.value.message == why


def test_exposed() -> None:
    assert exposed(["80", "90-92/udp", "80/tcp"]) == ("80/tcp", "90/udp", "91/udp", "92/udp")
    for text, why in (
        ("80:90", "invalid port format for --expose: 80:90"),
        ("", "invalid range format for --expose: , error: empty string specified for ports"),
        (
            "90-80",
            "invalid range format for --expose: 90-80, error: "
            "invalid range specified for port: 90-80",
        ),
        (
            "x",
            'invalid range format for --expose: x, error: strconv.ParseUint: parsing "x": '
            "invalid syntax",
        ),
    ):
        with pytest.raises(ClientError) as error:
            exposed([text])
        assert error.value.message == why


def test_shown() -> None:
    both = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
    assert shown_ports({"80/tcp": both}) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    assert shown_ports({"80/tcp": None, "443/tcp": None}) == "80/tcp, 443/tcp"
    same = {f"{n}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(n)}] for n in (80, 81, 82, 90)}
    assert shown_ports(same) == "0.0.0.0:80-82->80-82/tcp, 0.0.0.0:90->90/tcp"
    assert shown_ports({}) == ""
