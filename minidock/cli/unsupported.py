"""Flags of Docker that minidock does not take yet, and what they wait for.

Read only when a flag is not known, so that `minidock run -p 80:80` says why instead of
`unknown flag`. A row leaves this page when its issue lands.
"""

from __future__ import annotations

from minidock.cli.command import Unsupported as No

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
    No("attach", "a", "choosing single streams comes later"),
    No("cpu-count", "", "it is for Windows"),
    No("cpu-percent", "", "it is for Windows"),
    No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),
    No("disable-content-trust", "", "images are not signed"),
    No("gpus", "", "more devices come later"),
    No("io-maxbandwidth", "", "it is for Windows"),
    No("io-maxiops", "", "it is for Windows"),
    No("kernel-memory", "", "kernels have no such limit any more"),
    No("label-file", "", "give labels with --label"),
    No("log-driver", "", "there is one log, json-file"),
    No("log-opt", "", "there is one log, json-file"),
    No("sig-proxy", "", "signals are always passed on"),
    No("storage-opt", "", "a container's files are limited by its filesystem only"),
    No("use-api-socket", "", "there is no socket yet"),
)
CREATE = RUN
EXEC = (No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),)
ATTACH = (
    No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),
    No("sig-proxy", "", "signals are always passed on"),
)
START = (
    No("checkpoint", "", "checkpoints come later"),
    No("checkpoint-dir", "", "checkpoints come later"),
    No("detach-keys", "", "the keys are ctrl-p,ctrl-q"),
)
PLATFORM = (No("platform", "", "images here are of one platform"),)
"""For import, history, rmi, image inspect."""
RM = (No("link", "l", "links go with the container that has them"),)
NETWORK_CREATE = (
    No("config-from", "", "a network's settings are its own"),
    No("config-only", "", "a network's settings are its own"),
    No("ingress", "", "it is for a swarm"),
)
