"""Where in a start the filter is loaded."""

import pytest

from minidock.isolation.capabilities import SetCapabilities
from minidock.isolation.process import Execute, FindProgram, ForbidNewPrivileges
from minidock.isolation.seccomp.install import InstallSeccomp
from minidock.isolation.user import BecomeUser
from minidock.linux.cgroupfs import CgroupFacts
from minidock.linux.host import HostFacts
from minidock.linux.recording import RecordingKernel
from minidock.runtime.exec import plan_exec
from minidock.runtime.plan import plan_container
from minidock.runtime.wire import decode, encode
from minidock.spec.lean_json import dumps
from minidock.spec.runtime import Namespace, Process, Spec
from minidock.step import Context, Step

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read", "openat"], "action": "SCMP_ACT_ALLOW"}],
}
FACTS = HostFacts((6, 1), (1 << 41) - 1, 40, CgroupFacts((), "/sys/fs/cgroup"))
SPEC = Spec(
    "/bundle/rootfs",
    Process(("true",)),
    namespaces=(Namespace("mount"), Namespace("pid")),
    cgroups_path="/minidock/c1",
    seccomp=dumps(PROFILE),
)


def steps(*, no_new_privileges: bool, more: bool = False, spec: Spec = SPEC) -> tuple[Step, ...]:
    process = spec.process.but(no_new_privileges=no_new_privileges)
    if more:
        return plan_exec(1, spec, process, FACTS, (0, 1, 2)).confine
    return plan_container("c1", spec.but(process=process), FACTS, (0, 1, 2)).confine


@pytest.mark.parametrize("more", [False, True], ids=["run", "exec"])
def test_while_there_are_rights(more: bool) -> None:
    kinds = [type(step) for step in steps(no_new_privileges=False, more=more)]
    assert kinds.index(InstallSeccomp) < kinds.index(BecomeUser) < kinds.index(SetCapabilities)


@pytest.mark.parametrize("more", [False, True], ids=["run", "exec"])
def test_last_of_all_where_none_can_be_gained(more: bool) -> None:
    kinds = [type(step) for step in steps(no_new_privileges=True, more=more)]
    assert kinds[-3:] == [FindProgram, InstallSeccomp, Execute]
    assert ForbidNewPrivileges in kinds


def test_no_profile_no_filter() -> None:
    plain = SPEC.but(seccomp="")
    assert InstallSeccomp not in [type(s) for s in steps(no_new_privileges=True, spec=plain)]


def test_what_it_tells_and_does() -> None:
    (step,) = (s for s in steps(no_new_privileges=False) if isinstance(s, InstallSeccomp))
    assert step.describe() == (
        f"let a filter of {len(step.program) // 8} instructions decide on system calls: "
        "allow 2 system calls; EPERM for the others, ENOSYS for those newer than the profile"
    )
    kernel = RecordingKernel()
    step.apply(kernel, Context())
    length = len(step.program) // 8
    assert [str(call) for call in kernel.calls] == [
        "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, "
        f"{{len={length}, filter=…}})"
    ]
    assert decode(encode(step)) == step
