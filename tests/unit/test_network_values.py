"""What is typed about networks, in the words of Docker's client."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minidock.cli import network_values as values
from minidock.cli.command import ClientError, Command, Flag
from minidock.cli.parse import parse

LISTS = ("network", "net", "network-alias", "net-alias", "link", "link-local-ip")
COMMAND = Command(
    help="",
    run="",
    flags=(
        *(Flag(name, kind="list") for name in LISTS),
        *(Flag(name) for name in ("ip", "ip6", "mac-address")),
    ),
)


def endpoints(*argv: str) -> tuple[str, dict[str, values.Endpoint]]:
    return values.endpoints(parse(COMMAND, "run", argv))


@pytest.mark.parametrize(
    ("check", "text", "kept"),
    [
        (values.ip_address, " 1.1.1.1 ", "1.1.1.1"),
        (values.ip_address, "2001:0db8::0001", "2001:db8::1"),
        (values.search_domain, "example.com.", "example.com"),
        (values.search_domain, ".", "."),
        (values.extra_host, "db:10.0.0.1", "db:10.0.0.1"),
        (values.extra_host, "db=10.0.0.1", "db:10.0.0.1"),
        (values.extra_host, "db=::1", "db:::1"),
        (values.extra_host, "db:[::1]", "db:::1"),
        (values.extra_host, "gw:host-gateway", "gw:host-gateway"),
        (values.mac_address, "02-42-AC-11-00-02", "02:42:ac:11:00:02"),
        (values.mac_address, "0242.ac11.0002", "02:42:ac:11:00:02"),
    ],
)
def test_a_value_in_its_usual_form(check: Callable[[str], str], text: str, kept: str) -> None:
    assert check(text) == kept


@pytest.mark.parametrize(
    ("check", "text", "words"),
    [
        (values.ip_address, "foo", "IP address is not correctly formatted: foo"),
        (values.search_domain, "a b", "a b is not a valid domain"),
        (values.search_domain, "-x", "-x is not a valid domain"),
        (values.extra_host, "foo", 'bad format for add-host: "foo"'),
        (values.extra_host, "foo:bar", 'invalid IP address in add-host: "bar"'),
        (values.link, "a:b:c", "bad format for links: a:b:c"),
        (values.network, "a=b,c=d", "invalid field key a"),
        (values.network, "name=x,foo", "invalid field foo"),
        (values.network, "name=x,gw-priority=z", r"invalid gw-priority \(z\): invalid syntax"),
        (values.network, "name=x,driver-opt=z", "invalid key value pair format in driver options"),
        (values.network, "name=x,mac-address=z", "z is not a valid mac address"),
        (values.network, "alias=x", "network name/id is not specified"),
    ],
)
def test_what_cannot_be_meant(check: Callable[[str], str], text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(text)


def test_no_network_is_the_default_one() -> None:
    assert endpoints() == ("default", {"default": {}})


def test_old_flags_mean_the_first_network() -> None:
    mode, found = endpoints(
        "--network", "a", "--network", "b", "--network-alias", "x", "--ip", "10.0.0.9",
        "--mac-address", "02:42:00:00:00:01", "--link", "db:postgres",
    )  # fmt: skip
    assert mode == "a"
    assert found == {
        "a": {
            "IPAMConfig": {"IPv4Address": "10.0.0.9"},
            "Links": ["db:postgres"],
            "Aliases": ["x"],
            "MacAddress": "02:42:00:00:00:01",
        },
        "b": {},
    }


def test_the_long_form() -> None:
    text = "name=Shop,alias=a,alias=b,ip6=fd00::9,gw-priority=-2,driver-opt=k=v"
    assert endpoints("--network", text) == (
        "Shop",
        {
            "Shop": {
                "IPAMConfig": {"IPv6Address": "fd00::9"},
                "Aliases": ["a", "b"],
                "DriverOpts": {"k": "v"},
                "GwPriority": -2,
            }
        },
    )


def test_links_on_the_default_network_are_another_thing() -> None:
    assert endpoints("--link", "db") == ("default", {"default": {}})


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--network", "bridge", "--network-alias", "x"], "only supported for user-defined"),
        (["--network", "a", "--network", "bridge"], "cannot attach both user-defined and non"),
        (["--network", "a", "--network", "a"], 'network "a" is specified multiple times'),
        (
            ["--network", "name=a,alias=b", "--network-alias", "c"],
            "cannot specify both --network-alias and per-network alias",
        ),
        (["--network", ""], "no name set for network"),
        (["--network", "a", "--ip", "x"], "invalid IPv4 address: x"),
        (["--network", "a", "--ip6", "1.2.3.4"], "invalid IPv6 address: 1.2.3.4"),
        (["--mac-address", "zz"], "zz is not a valid mac address"),
        (["--network", "a", "--link-local-ip", "169.254.1.1"], "link-local"),
    ],
)
def test_what_does_not_go_together(argv: list[str], words: str) -> None:
    with pytest.raises(ClientError, match=words):
        endpoints(*argv)
