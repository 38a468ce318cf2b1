"""Whiteouts: how a layer says that something in the layers below is gone.

A layer only ever adds. To delete `/etc/motd` of a lower layer it must add a mark, and there are
two forms of it:

| gone is | in a layer tarball (OCI, from AUFS) | in a directory of overlayfs |
|---|---|---|
| `x` | an empty file `.wh.x` | a character device `x` with number 0:0 |
| all that was in `d` | an empty file `d/.wh..wh..opq` | xattr `trusted.overlay.opaque=y` on `d` |

Unpacking turns the first into the second, committing the second into the first. A mark speaks
about the layers *below* its own, never about its own: where a layer holds both `.wh.x` and `x`,
in whatever order, the `x` of the layer is what is seen. If that `x` is a directory, it must be
made opaque, or the content of the deleted one would shine through.

Names that begin with `.wh.` are therefore taken. A container that creates a file `.wh.foo` would,
after a commit, have deleted `foo` (with Docker it has); here such a commit is refused.

See: OCI image-spec layer.md, "Whiteouts"; the kernel's filesystems/overlayfs.rst
"""

from __future__ import annotations

import os
import stat

WHITEOUT_PREFIX = b".wh."
OPAQUE_MARK = b".wh..wh..opq"
# AUFS kept its own books under this prefix (.wh..wh.plnk, .wh..wh.aufs). Only the opaque mark
# means anything to others.
AUFS_PREFIX = b".wh..wh."

# What overlayfs notes about its own layers stands in this namespace. An archive must not set it:
# `trusted.overlay.redirect=/../..` would show one directory in the place of another.
OVERLAY_XATTRS = b"trusted.overlay."
OPAQUE_XATTR = b"trusted.overlay.opaque"
REDIRECT_XATTR = b"trusted.overlay.redirect"
METACOPY_XATTR = b"trusted.overlay.metacopy"

# Labels that the packing host's policy gave; they mean nothing, or harm, on another.
HOST_XATTRS = (b"security.selinux", b"security.ima", b"security.evm", b"system.nfs4_acl")


def whiteout_target(name: bytes) -> bytes:
    """The name that the mark `.wh.NAME` deletes.

    Raises `ValueError` for the names that would delete the directory itself or its parent.
    """
    target = name.removeprefix(WHITEOUT_PREFIX)
    if target in (b"", b".", b".."):
        raise ValueError("a whiteout must name a file in its own directory")
    return target


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlayfs's mark: a character device with number 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: str | bytes | int) -> bool:
    """Whether nothing of the layers below shows through this directory."""
    try:
        return os.getxattr(directory, OPAQUE_XATTR) == b"y"
    except OSError:  # ENODATA, or a filesystem without extended attributes
        return False
