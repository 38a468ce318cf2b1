"""Flags of Docker that minidock does not take yet, and what they wait for.

Read only when a flag is not known, so that `minidock run -p 80:80` says why instead of
`unknown flag`. A row leaves this page when its issue lands.
"""

from __future__ import annotations

from minidock.cli.command import Unsupported as No

_NETWORK = "container networks come later"
_VOLUME = "volumes come later"
_LIMITS = "resource limits come later"
_SECURITY = "the rest of isolation comes later"
_REGISTRY = "registries come later"
_DAEMON = "there is no daemon to talk to"

ROOT = (
    No("host", "H", _DAEMON),
    No("context", "c", _DAEMON),
    No("config", "", "minidock has no configuration file"),
    No("log-level", "l", "nothing is logged; --debug shows where an error came from"),
    No("tls", "", _DAEMON),
    No("tlscacert", "", _DAEMON),
    No("tlscert", "", _DAEMON),
    No("tlskey", "", _DAEMON),
    No("tlsverify", "", _DAEMON),
)

RUN = (
    No("add-host", "", _NETWORK),
    No("annotation", "", "annotations come later"),
    No("attach", "a", "choosing single streams comes later"),
    No("blkio-weight", "", _LIMITS),
    No("blkio-weight-device", "", _LIMITS),
    No("cap-add", "", _SECURITY),
    No("cap-drop", "", _SECURITY),
    No("cgroup-parent", "", _LIMITS),
    No("cgroupns", "", _SECURITY),
    No("cpu-count", "", "it is for Windows"),
    No("cpu-percent", "", "it is for Windows"),
    No("cpu-period", "", _LIMITS),
    No("cpu-quota", "", _LIMITS),
    No("cpu-rt-period", "", _LIMITS),
    No("cpu-rt-runtime", "", _LIMITS),
    No("cpu-shares", "c", _LIMITS),
    No("cpus", "", _LIMITS),
    No("cpuset-cpus", "", _LIMITS),
    No("cpuset-mems", "", _LIMITS),
    No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),
    No("device", "", "more devices come later"),
    No("device-cgroup-rule", "", _LIMITS),
    No("device-read-bps", "", _LIMITS),
    No("device-read-iops", "", _LIMITS),
    No("device-write-bps", "", _LIMITS),
    No("device-write-iops", "", _LIMITS),
    No("disable-content-trust", "", _REGISTRY),
    No("dns", "", _NETWORK),
    No("dns-opt", "", _NETWORK),
    No("dns-option", "", _NETWORK),
    No("dns-search", "", _NETWORK),
    No("domainname", "", _NETWORK),
    No("expose", "", _NETWORK),
    No("gpus", "", "more devices come later"),
    No("group-add", "", "supplementary groups come later"),
    No("io-maxbandwidth", "", "it is for Windows"),
    No("io-maxiops", "", "it is for Windows"),
    No("ip", "", _NETWORK),
    No("ip6", "", _NETWORK),
    No("ipc", "", _SECURITY),
    No("isolation", "", "it is for Windows"),
    No("kernel-memory", "", _LIMITS),
    No("label-file", "", "give labels with --label"),
    No("link", "", _NETWORK),
    No("link-local-ip", "", _NETWORK),
    No("log-driver", "", "there is one log, json-file"),
    No("log-opt", "", "there is one log, json-file"),
    No("mac-address", "", _NETWORK),
    No("memory", "m", _LIMITS),
    No("memory-reservation", "", _LIMITS),
    No("memory-swap", "", _LIMITS),
    No("memory-swappiness", "", _LIMITS),
    No("mount", "", _VOLUME),
    No("network-alias", "", _NETWORK),
    No("net-alias", "", _NETWORK),
    No("oom-kill-disable", "", _LIMITS),
    No("oom-score-adj", "", _LIMITS),
    No("pid", "", _SECURITY),
    No("pids-limit", "", _LIMITS),
    No("platform", "", _REGISTRY),
    No("privileged", "", _SECURITY),
    No("publish", "p", _NETWORK),
    No("publish-all", "P", _NETWORK),
    No("quiet", "q", _REGISTRY),
    No("runtime", "", "there is one runtime, minidock's own"),
    No("security-opt", "", _SECURITY),
    No("shm-size", "", _SECURITY),
    No("sig-proxy", "", "signals are always passed on"),
    No("stop-timeout", "", "give it to stop: minidock stop -t"),
    No("storage-opt", "", _LIMITS),
    No("sysctl", "", _SECURITY),
    No("tmpfs", "", _VOLUME),
    No("ulimit", "", _LIMITS),
    No("use-api-socket", "", "there is no socket yet"),
    No("userns", "", _SECURITY),
    No("uts", "", _SECURITY),
    No("volume", "v", _VOLUME),
    No("volume-driver", "", _VOLUME),
    No("volumes-from", "", _VOLUME),
)
CREATE = RUN
EXEC = (
    No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),
    No("privileged", "", _SECURITY),
)
ATTACH = (
    No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),
    No("sig-proxy", "", "signals are always passed on"),
)
START = (
    No("checkpoint", "", "checkpoints come later"),
    No("checkpoint-dir", "", "checkpoints come later"),
    No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),
)
IMAGES = (No("tree", "", "images here are of one platform"),)
PLATFORM = (No("platform", "", _REGISTRY),)
"""For import, history, rmi, image inspect."""
RM = (No("link", "l", _NETWORK),)
