"""The flags of build, and those of Docker's that are refused.

See: docker/buildx commands/build.go, docker/cli cli/command/image/build.go
"""

from __future__ import annotations

from minidock.cli.command import Flag
from minidock.cli.command import Unsupported as No

_VALUES = "minidock.cli.flag_values:"
_SIZE = _VALUES + "size"

FLAGS = (
    Flag("add-host", kind="list", help='Add a custom host-to-IP mapping (format: "host:ip")'),
    Flag("build-arg", kind="list", help="Set build-time variables"),
    Flag("cache-from", kind="list", help="Images whose layers may be used again"),
    Flag("cgroup-parent", help="Set the parent cgroup for the RUN instructions during build"),
    Flag("explain-cache", kind="bool", help="Say of each step why it was or was not in the cache"),
    Flag("file", "f", help='Name of the Dockerfile (default: "PATH/Dockerfile")'),
    Flag("force-rm", kind="bool", default=True, help="Nothing: containers never stay", hidden=True),
    Flag("iidfile", help="Write the image ID to a file"),
    Flag("keep-failed", kind="bool", help="Keep the container of a RUN that fails, with a shell"),
    Flag("label", kind="list", help="Set metadata for an image"),
    Flag("load", kind="bool", help="Nothing: images are always here", hidden=True),
    Flag("network", help="Set the networking mode for the RUN instructions during build"),
    Flag("no-cache", kind="bool", help="Do not use cache when building the image"),
    Flag("no-cache-filter", kind="list", help="Do not cache specified stages"),
    Flag("output", "o", "list", help='Output destination (format: "type=local,dest=path")'),
    Flag("platform", help="Set target platform for build"),
    Flag("progress", default="auto", help='Set type of progress output ("auto", "plain", "tty")'),
    Flag("pull", kind="bool", help="Always attempt to pull all referenced images"),
    Flag("quiet", "q", "bool", help="Suppress the build output and print image ID on success"),
    Flag("rm", kind="bool", default=True, help="Nothing: containers never stay", hidden=True),
    Flag("secret", kind="list", help='Secret to expose (format: "id=mysecret,src=/local/secret")'),
    Flag("shm-size", value="bytes", check=_SIZE, help="Shared memory size for build containers"),
    Flag("squash", kind="bool", help="Squash newly built layers into a single new layer"),
    Flag("ssh", kind="list", help='SSH agent socket to expose (format: "default|id=socket")'),
    Flag(
        "tag",
        "t",
        "list",
        check="minidock.cli.build_values:tag",
        help='Name and optionally a tag (format: "name:tag")',
    ),
    Flag("target", help="Set the target build stage to build"),
    Flag("ulimit", kind="list", value="ulimit", check=_VALUES + "ulimit", help="Ulimit options"),
)

_ATTESTED = "builds are not attested"
_ONE_BUILDER = "there is one builder, this one"
UNSUPPORTED = (
    No("allow", "", "a build has the rights of a container, and no more"),
    No("annotation", "", "manifests are not annotated"),
    No("attest", "", _ATTESTED),
    No("build-context", "", "name a stage or an image with --from"),
    No("builder", "", _ONE_BUILDER),
    No("cache-to", "", "the cache is here; --build-arg BUILDKIT_INLINE_CACHE=1 sends it along"),
    No("call", "", "there is one method, build"),
    No("check", "", "what is questionable is told before every build"),
    No("compress", "", "nothing is sent anywhere"),
    No("cpu-period", "", "use --cgroup-parent with a limited cgroup"),
    No("cpu-quota", "", "use --cgroup-parent with a limited cgroup"),
    No("cpu-shares", "c", "use --cgroup-parent with a limited cgroup"),
    No("cpuset-cpus", "", "use --cgroup-parent with a limited cgroup"),
    No("cpuset-mems", "", "use --cgroup-parent with a limited cgroup"),
    No("debug", "", "minidock --debug build shows where an error came from"),
    No("disable-content-trust", "", "images are not signed"),
    No("isolation", "", "it is for Windows"),
    No("memory", "m", "use --cgroup-parent with a limited cgroup"),
    No("memory-swap", "", "use --cgroup-parent with a limited cgroup"),
    No("metadata-file", "", "--iidfile writes the image's id"),
    No("provenance", "", _ATTESTED),
    No("push", "", "minidock push does that"),
    No("sbom", "", _ATTESTED),
    No("security-opt", "", "a RUN is confined as every container is"),
)
