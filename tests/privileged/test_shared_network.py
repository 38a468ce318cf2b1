"""`--network container:X`: one network for two containers, names and all."""

from __future__ import annotations

NAMESPACE = "readlink /proc/self/ns/net"


def test_it_is_the_others_network_with_its_names(minidock) -> None:
    minidock.ok("run", "-d", "--name", "donor", "--hostname", "host1", "busybox", "sleep", "1000")
    theirs = minidock.ok("exec", "donor", *NAMESPACE.split())
    minidock.ok("exec", "donor", "sh", "-c", "echo 192.0.2.9 printer >>/etc/hosts")
    inside = f"{NAMESPACE}; hostname; tail -n 1 /etc/hosts"
    out = minidock.ok("run", "--rm", "--network", "container:donor", "busybox", "sh", "-c", inside)
    assert out.splitlines() == [theirs.strip(), "host1", "192.0.2.9 printer"]
    other = minidock.ok("run", "--rm", "busybox", *NAMESPACE.split())
    assert other != theirs


def test_what_is_the_others_cannot_be_chosen(minidock) -> None:
    minidock.ok("run", "-d", "--name", "donor", "busybox", "sleep", "1000")
    for flags, words in (
        (["--hostname", "x"], "hostname and the network mode"),
        (["--dns", "192.0.2.1"], "dns and the network mode"),
        (["--add-host", "a:192.0.2.1"], "custom host-to-IP mapping and the network mode"),
        (["--userns", "auto"], "cannot share another container's network namespace"),
    ):
        done = minidock("run", "--rm", *flags, "--network", "container:donor", "busybox", "true")
        assert done.returncode == 125
        assert words in done.stderr
    done = minidock("run", "--rm", "--network", "container:nobody", "busybox", "true")
    assert (done.returncode, "No such container: nobody" in done.stderr) == (125, True)


def test_of_one_that_does_not_run_there_is_none(minidock) -> None:
    donor = minidock.ok("create", "--name", "donor", "busybox", "sleep", "1000").strip()
    minidock.ok("create", "--name", "guest", "--network", "container:donor", "busybox", "true")
    done = minidock("start", "guest")
    assert done.returncode == 1
    words = f"cannot join network namespace of a non running container: {donor}"
    assert words in done.stderr
    minidock.ok("start", "donor")
    minidock.ok("start", "-a", "guest")
