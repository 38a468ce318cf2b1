"""Where the Steps that connect a container stand in its plan, and what they say to a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from minidock.engine import bundle
from minidock.engine.connection import imagine
from minidock.engine.host_config import defaults, has_own_networks
from minidock.engine.paths import Paths
from minidock.isolation.namespaces import BringUpLoopback
from minidock.isolation.pivot import PivotRoot
from minidock.linux.cgroupfs import CgroupFacts
from minidock.linux.host import HostFacts
from minidock.linux.recording import RecordingKernel
from minidock.network.ports import ForgetFlows, PublishPorts, ReservePorts
from minidock.network.veth import ConfigureEnd, ConnectVeth
from minidock.runtime.manner import MONITORED
from minidock.runtime.plan import plan_container
from minidock.spec.runtime import parse_spec
from minidock.step import ContainerPlan, Context

FACTS = HostFacts((6, 1), (1 << 41) - 1, 40, CgroupFacts((), "/sys/fs/cgroup"))


def plan(tmp_path: Any, bindings: dict[str, Any] | None = None) -> ContainerPlan:
    """Of a container on the default network, on a machine that has none yet."""
    config = {"Hostname": "box", "User": "", "Tty": False, "Env": [], "WorkingDir": "/"}
    host = {**defaults(), "PortBindings": bindings or {}}
    document = {"Name": "web", "Config": {**config, "ExposedPorts": bindings}, "HostConfig": host}
    found = imagine(Paths(str(tmp_path / "root"), str(tmp_path / "run")), document)
    assert not list(tmp_path.iterdir())
    manner = MONITORED.but(prepare=found.prepare, attach=found.attach, inside=found.inside)
    made = bundle.make_spec("c1", "/c/c1", ["/l/1"], config, host, ["true"])
    return plan_container("c1", parse_spec(made, "/c/c1"), FACTS, (4, 5, 6), manner)


def test_without_ports(tmp_path: Any) -> None:
    found = plan(tmp_path)
    assert [type(step) for step in found.attach] == [ConnectVeth]
    kinds = [type(step) for step in found.isolate]
    # Inside, when the room has been furnished, and as the last that needs the host's rights.
    assert kinds.index(BringUpLoopback) < kinds.index(ConfigureEnd) < kinds.index(PivotRoot)
    assert not any(isinstance(step, ReservePorts) for step in found.prepare)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_ports_come_before_all_else(tmp_path: Any, protocol: str) -> None:
    found = plan(tmp_path, {f"80/{protocol}": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]})
    kinds = [type(step) for step in found.prepare]
    assert kinds[:2] == [ReservePorts, PublishPorts]
    assert (ForgetFlows in kinds) is (protocol == "udp")
    (cable,) = found.attach
    assert isinstance(cable, ConnectVeth) and cable.hairpin


def test_two_sends_connect_a_container(tmp_path: Any) -> None:
    found = plan(tmp_path)
    kernel, ctx = RecordingKernel(), Context()
    ctx.init = 4711
    for step in (*found.attach, *(s for s in found.isolate if isinstance(s, ConfigureEnd))):
        step.apply(kernel, ctx)
    calls = [str(call) for call in kernel.calls if call.name == "sendto"]
    assert len(calls) == 3  # with the question which number the link has
    assert "RTM_NEWLINK" in calls[0] and "NLM_F_CREATE" in calls[0]
    assert "RTM_GETLINK" in calls[1]
    assert calls[2].count("RTM_NEWADDR") == calls[2].count("RTM_NEWROUTE") >= 1


def test_who_has_networks() -> None:
    modes = {"bridge": True, "shop": True, "none": False, "host": False, "container:1": False}
    assert {mode: has_own_networks({"NetworkMode": mode}) for mode in modes} == modes
