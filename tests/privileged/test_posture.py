"""What the kernel says about a process in a container."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import sys
import time

import pytest

from minidock.linux.seal import spawn_sealed


def inside(minidock, script: str, *flags: str) -> str:
    return str(minidock.ok("run", "--rm", *flags, "busybox", "sh", "-c", script))


def test_capabilities(minidock) -> None:
    status = inside(minidock, "grep Cap /proc/self/status")
    sets = dict(line.split(":\t") for line in status.splitlines())
    fourteen = "00000000a80425fb"
    assert sets == {
        "CapInh": "0" * 16,
        "CapPrm": fourteen,
        "CapEff": fourteen,
        "CapBnd": fourteen,
        "CapAmb": "0" * 16,
    }


def test_another_user_has_none(minidock) -> None:
    status = inside(minidock, "grep Cap /proc/self/status", "-u", "1000")
    sets = dict(line.split(":\t") for line in status.splitlines())
    assert {sets["CapPrm"], sets["CapEff"], sets["CapAmb"], sets["CapInh"]} == {"0" * 16}


def test_no_signal_is_ignored_or_blocked(minidock) -> None:
    # Without a shell, which ignores signals of its own.
    status = minidock.ok(
        "run", "--rm", "busybox", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"
    )
    assert status == f"SigBlk:\t{'0' * 16}\nSigIgn:\t{'0' * 16}\n"


@pytest.mark.parametrize("flags", [(), ("-i",), ("-t",)])
def test_no_descriptor_but_three(minidock, flags: tuple[str, ...]) -> None:
    # `ls` opens the directory it lists, as 3; there is no shell in between to close anything.
    out = minidock.ok("run", "--rm", *flags, "busybox", "ls", "/proc/self/fd")
    assert out.split() == ["0", "1", "2", "3"]


def test_exec_leaks_no_descriptor(minidock) -> None:
    name = minidock.ok("run", "-d", "busybox", "sleep", "100").strip()
    assert minidock.ok("exec", name, "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]


def test_umask_pid_and_hostname(minidock) -> None:
    assert inside(minidock, "umask; echo $$; hostname", "-h", "box") == "0022\n1\nbox\n"


def test_every_namespace_is_its_own(minidock) -> None:
    kinds = ("pid", "mnt", "uts", "ipc", "net", "cgroup")
    out = inside(
        minidock, "for n in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done"
    )
    ours = {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
    assert not ours & set(out.split())
    assert len(set(out.split())) == len(kinds)


def test_the_network_is_its_own(minidock) -> None:
    look = "ls /sys/class/net; cat /sys/class/net/lo/flags"
    assert inside(minidock, look, "--network", "none") == "lo\n0x9\n"
    assert inside(minidock, look) == "eth0\nlo\n0x9\n"


def test_host_network(minidock) -> None:
    ours = os.readlink("/proc/self/ns/net")
    assert inside(minidock, "readlink /proc/self/ns/net", "--network", "host").strip() == ours


def mounts(minidock, *flags: str) -> dict[str, tuple[str, set[str]]]:
    table = {}
    for line in inside(minidock, "cat /proc/self/mountinfo", *flags).splitlines():
        fields, _, filesystem = line.partition(" - ")
        table[fields.split()[4]] = (filesystem.split()[0], set(fields.split()[5].split(",")))
    return table


def test_mounts_have_dockers_types_and_options(minidock) -> None:
    table = mounts(minidock)
    hard = {"nosuid", "nodev", "noexec"}
    expected = {
        "/": ("overlay", {"rw"}),
        "/proc": ("proc", {"rw"} | hard),
        "/dev": ("tmpfs", {"rw", "nosuid"}),
        "/dev/pts": ("devpts", {"rw", "nosuid", "noexec"}),
        "/sys": ("sysfs", {"ro"} | hard),
        "/dev/mqueue": ("mqueue", {"rw"} | hard),
        "/dev/shm": ("tmpfs", {"rw"} | hard),
    }
    for path, (kind, options) in expected.items():
        assert table[path][0] == kind, path
        assert options <= table[path][1], path
    assert "ro" in table["/sys/fs/cgroup"][1]
    for path in ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"):
        assert "ro" in table[path][1]


def test_nothing_of_the_host_is_mounted(minidock) -> None:
    out = inside(minidock, "cat /proc/self/mountinfo")
    roots = [line.split()[3] for line in out.splitlines() if " ext4 " in line or " xfs " in line]
    assert {os.path.basename(root) for root in roots} <= {"hosts", "hostname", "resolv.conf"}


def test_masked_paths_are_empty(minidock) -> None:
    assert inside(
        minidock, "cat /proc/keys /proc/timer_list; ls /sys/firmware /proc/acpi"
    ).strip() in ("/sys/firmware:\n\n/proc/acpi:", "/proc/acpi:\n\n/sys/firmware:")


@pytest.mark.parametrize(
    "path", ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/power/state"]
)
def test_kernel_settings_cannot_be_written(minidock, path: str) -> None:
    done = minidock(
        "run", "--rm", "busybox", "sh", "-c", f"[ -e {path} ] || exit 1; echo x > {path}"
    )
    assert done.returncode != 0


def test_devices(minidock) -> None:
    out = inside(minidock, "stat -c '%n %F %a %t:%T' /dev/*")
    found = {line.split()[0]: line for line in out.splitlines()}
    for name, number in (("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"),
                         ("urandom", "1:9"), ("tty", "5:0")):  # fmt: skip
        assert found[f"/dev/{name}"] == f"/dev/{name} character special file 666 {number}"
    others = set(found) - {f"/dev/{n}" for n in "null zero full random urandom tty".split()}
    assert others == {f"/dev/{n}" for n in "fd stdin stdout stderr ptmx pts shm mqueue".split()}


def test_a_device_of_the_host_cannot_be_used(minidock) -> None:
    disk = next(
        (e.path for e in os.scandir("/dev") if stat.S_ISBLK(e.stat(follow_symlinks=False).st_mode)),
        None,
    )
    if disk is None:
        pytest.skip("this host has no block device")
    number = os.stat(disk).st_rdev
    script = f"mknod /disk b {os.major(number)} {os.minor(number)} && head -c 1 /disk"
    done = minidock("run", "--rm", "busybox", "sh", "-c", script)
    assert done.returncode != 0
    assert "Operation not permitted" in done.stderr


def test_dev_null_is_the_containers(minidock) -> None:
    """Without `-i`, standard input is. A descriptor on the host's would be a way to its inode."""
    out = inside(minidock, "stat -L -c '%d %i' /proc/self/fd/0 /dev/null; chmod 600 /dev/stdin")
    input_, null = out.splitlines()
    assert input_ == null
    assert os.stat("/dev/null").st_mode & 0o777 == 0o666


def test_the_callers_umask_does_not_matter(minidock) -> None:
    before = os.umask(0o077)
    try:
        out = inside(minidock, "stat -c %a /dev/null /etc/hosts /")
    finally:
        os.umask(before)
    assert out == "666\n644\n755\n"


def test_image_environment_does_not_reach_our_interpreter(minidock) -> None:
    hostile = ("-e", "PYTHONPATH=/evil", "-e", "LD_PRELOAD=/evil.so", "-e", "PYTHONSTARTUP=/evil")
    assert inside(minidock, "echo fine", *hostile) == "fine\n"


def test_our_interpreter_cannot_be_overwritten(tmp_path, monkeypatch) -> None:
    """CVE-2019-5736: /proc/<pid>/exe of a process that is on its way into a container leads to the
    host's Python. It is opened while that runs, and written to when it has ended. (A copy of the
    interpreter, since this test's own keeps the original busy.)"""
    if os.geteuid() != 0:
        pytest.skip("needs root: sealing makes a mount")
    copy = tmp_path / "python3"
    shutil.copy(sys.executable, copy)
    monkeypatch.setattr(sys, "executable", str(copy))
    ours, theirs = socket.socketpair()
    pid = spawn_sealed("minidock.engine.spawn", (), (theirs.fileno(),))
    theirs.close()
    while not os.path.samestat(os.stat(f"/proc/{pid}/exe"), os.stat(copy)):
        time.sleep(0.001)  # until it has executed
    exe = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
    ours.close()  # it ends without an order
    os.waitpid(pid, 0)
    number = errno.ETXTBSY
    while number == errno.ETXTBSY:  # its launcher is still on the way out
        time.sleep(0.01)
        with pytest.raises(OSError) as caught:
            os.open(f"/proc/self/fd/{exe}", os.O_WRONLY)
        number = caught.value.errno or 0
    assert number == errno.EROFS
    os.close(exe)


def test_the_init_of_ours_cannot_be_written_to_from_inside(minidock) -> None:
    name = minidock.ok("run", "-d", "--init", "busybox", "sleep", "100").strip()
    done = minidock("exec", name, "sh", "-c", "echo owned > /proc/1/exe")
    assert done.returncode != 0


def test_a_working_directory_cannot_lead_out(minidock) -> None:
    for fd in range(3, 12):
        done = minidock("run", "--rm", "-w", f"/proc/self/fd/{fd}", "busybox", "ls")
        assert done.returncode != 0, f"/proc/self/fd/{fd}: {done.stdout}"
