"""What the values of run's flags look like. The error texts are Docker's own, read off its CLI."""

from __future__ import annotations

import pytest

from minidock.cli import flag_values
from minidock.cli.command import UsageError
from minidock.cli.container_run import RUN
from minidock.cli.parse import parse


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("0", 0), ("7", 7), ("7b", 7), ("1k", 1 << 10), ("1K", 1 << 10), ("1kb", 1 << 10),
        ("1KiB", 1 << 10), ("64m", 64 << 20), ("1.5g", 3 << 29), ("2 MB", 2 << 20), ("1t", 1 << 40),
        ("0.5p", 1 << 49), ("1e3", 1000), ("+5", 5),
    ],
)  # fmt: skip
def test_sizes(text: str, bytes_: int) -> None:
    assert flag_values.size(text) == str(bytes_)


@pytest.mark.parametrize(
    ("check", "text", "words"),
    [
        ("size", "", "invalid size: ''"),
        ("size", "x", "invalid size: 'x'"),
        ("size", "-1", "invalid size: '-1'"),
        ("size", "10z", "invalid suffix: 'z'"),
        ("size", "10mx", "invalid suffix: 'mx'"),
        ("size", "10bb", "invalid suffix: 'bb'"),
        ("size", "1.2.3", 'strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
        ("size", "9e99", "invalid size: '9e99'"),
        ("size_or_unlimited", "-2", "invalid size: '-2'"),
        ("cpus", "x", "failed to parse x as a rational number"),
        ("cpus", "", "failed to parse  as a rational number"),
        ("cpus", "1/0", "failed to parse 1/0 as a rational number"),
        ("cpus", "1e99", "failed to parse 1e99 as a rational number"),
        ("cpus", "1/3", "value is too precise"),
        ("cpus", "0.0000000001", "value is too precise"),
        ("uint16", "70000", 'strconv.ParseUint: parsing "70000": value out of range'),
        ("uint16", "-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("uint16", "x", 'strconv.ParseUint: parsing "x": invalid syntax'),
        ("ulimit", "nofile", "invalid ulimit argument: nofile"),
        ("ulimit", "nosuch=1", "invalid ulimit type: nosuch"),
        ("ulimit", "NOFILE=1", "invalid ulimit type: NOFILE"),
        ("ulimit", "nofile=", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("ulimit", "nofile=1:x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("ulimit", "nofile=9" * 30, "invalid syntax"),
        ("ulimit", "nofile=1:2:3", "too many limit value arguments - 1:2:3, can only have up to"),
        ("ulimit", "nofile=5:2", "ulimit soft limit must be less than or equal to hard limit: 5"),
        ("ulimit", "nofile=-1:5", "soft: -1 (unlimited), hard: 5"),
        ("sysctl", "vm.swappiness=1", "sysctl 'vm.swappiness=1' is not allowed"),
        ("sysctl", "net.x", "sysctl 'net.x' is not allowed"),
        ("device_rule", "c 1:3 rr rw", "invalid device cgroup format 'c 1:3 rr rw'"),
        ("device_rule", "x 1:3 r", "invalid device cgroup format 'x 1:3 r'"),
        ("device_rule", "c 1 r", "invalid device cgroup format 'c 1 r'"),
        ("device_bps", "x", "bad format: x"),
        ("device_bps", "sda:1", "bad format for device path: sda:1"),
        ("device_bps", "/dev/sda:-1", "invalid rate for device: /dev/sda:-1. The correct format"),
        ("device_iops", "/dev/sda:1k", "invalid rate for device: /dev/sda:1k. The correct format"),
        ("device_weight", "/dev/sda:5", "invalid weight for device: /dev/sda:5"),
        ("device_weight", "/dev/sda:1001", "invalid weight for device: /dev/sda:1001"),
    ],
)
def test_what_is_refused(check: str, text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        getattr(flag_values, check)(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("check", "text", "kept"),
    [
        ("cpus", "1.5", "1500000000"), ("cpus", "1/2", "500000000"), ("cpus", "2e0", "2000000000"),
        ("cpus", ".5", "500000000"), ("cpus", "-1", "-1000000000"), ("cpus", "0.000000001", "1"),
        ("size_or_unlimited", "-1", "-1"), ("uint16", "0x10", "16"),
        ("ulimit", "nofile=5", "nofile=5:5"), ("ulimit", "core=0:-1", "core=0:-1"),
        ("ulimit", "nproc=infinity", "nproc=-1:-1"),
        ("sysctl", "net.ipv4.ip_forward=1", "net.ipv4.ip_forward=1"),
        ("sysctl", "kernel.msgmax=", "kernel.msgmax="),
        ("device_rule", "c *:* rwm", "c *:* rwm"), ("device_rule", "a 1:3 r", "a 1:3 r"),
        ("device_bps", "/dev/sda:1mb", "/dev/sda:1048576"),
        ("device_iops", "/dev/sda:010", "/dev/sda:10"),
        ("device_weight", "/dev/sda:0", "/dev/sda:0"),
    ],
)  # fmt: skip
def test_what_is_kept(check: str, text: str, kept: str) -> None:
    assert getattr(flag_values, check)(text) == kept


def test_a_check_by_name_is_made_when_the_flag_is_typed() -> None:
    assert parse(RUN, "run", ["-m", "1k", "i"]).text("memory") == "1024"
    with pytest.raises(UsageError) as caught:
        parse(RUN, "run", ["-m", "x", "i"])
    first = str(caught.value).partition("\n")[0]
    assert first == """invalid argument "x" for "-m, --memory" flag: invalid size: 'x'"""
