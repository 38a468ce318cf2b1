"""Unpacked layers: directories that overlayfs stacks.

    layers/<64 hex>/        the files of one layer; the name is its ChainID
    layers/<64 hex>.json    what is known about it: DiffID, size, link
    layers/l/<n>            a symbolic link to the directory, because mount options must fit in one
                            page, and 127 layers with names of 64 digits do not
    layers/new/             directories being filled, and those being removed

A layer is unpacked once however many containers and images use it; nobody writes into it
again. It is filled in `new` and then renamed, and the JSON file with its link is written last: a
directory without that is what an interruption left, and is unpacked again.

A blob is synced to disk before anything points to it. Thousands of small files are not: it would
take longer than unpacking them. Instead the JSON file says during which boot they were written.
After another boot (a power cut, perhaps) the sizes of the files are added up once and compared:
the kernel may have lost the content of files that it had not written yet, and then their sizes
too. Names, modes and attributes it writes in order, before the rename.

See: filesystems/overlayfs.rst (multiple lower layers), rename(2); image-spec config.md (ChainID)
"""

from __future__ import annotations

import os
import stat

from minidock.errors import BadData
from minidock.image.blobs import replace_file, unique_name
from minidock.image.locks import exclusive
from minidock.linux.host import boot_id
from minidock.linux.private import make_private
from minidock.record import Record
from minidock.spec.digest import ChainID, DiffID
from minidock.spec.fields import Fields, dump, load_object
from minidock.spec.reference import is_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Layer(Record):
    """What is known about a layer. `size` in bytes of file content. `link` is empty while the layer
    is not unpacked; `boot` is empty when its files are known to be on disk."""

    diff_id: DiffID
    size: int
    link: str = ""
    boot: str = ""


class Snapshots:
    """The unpacked layers below one root."""

    def __init__(self, root: str) -> None:
        self._directory = f"{root}/layers"
        self._new = f"{root}/layers/new"

    def make(self) -> None:
        """Create the directories. Raises `OSError`."""
        for path in (f"{self._directory}/l", self._new):
            make_private(path)

    def path(self, chain: ChainID) -> str:
        return f"{self._directory}/{chain.hex}"

    def link_path(self, layer: Layer) -> str:
        return f"{self._directory}/l/{layer.link}"

    def new(self) -> str:
        """An empty directory to unpack into. It becomes the container's `/`: mode 0755."""
        path = f"{self._new}/{unique_name()}"
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)  # whatever the umask is
        return path

    def known(self, chain: ChainID) -> Layer | None:
        """What the JSON file says, if there is a readable one."""
        try:
            with open(f"{self.path(chain)}.json", "rb") as file:
                fields = Fields(load_object(file.read(4096), "layer"), "layer")
            diff_id = DiffID(fields.text("DiffID", None))
            return Layer(diff_id, fields.size("Size"), fields.text("Link"), fields.text("Boot"))
        except FileNotFoundError:
            return None
        except BadData:
            return None  # what a power cut left; the layer will be unpacked again

    def unpacked(self, chain: ChainID) -> Layer | None:
        """The layer if it is there to be mounted, and sound."""
        layer = self.known(chain)
        if layer is None or not layer.link or not os.path.isdir(self.link_path(layer)):
            return None
        if layer.boot and layer.boot != boot_id():
            if content_size(self.path(chain)) != layer.size:
                return None
            layer = layer.but(boot="")
            self._write(chain, layer)
        return layer

    def note(self, chain: ChainID, layer: Layer) -> None:
        """Remember the size of a layer that is not unpacked yet."""
        if self.known(chain) is None:
            self._write(chain, layer)

    def ensure(self, chain: ChainID, diff_id: DiffID, unpack: Callable[[str], int]) -> Layer:
        """The unpacked layer; `unpack(directory)` is called if it is not there, and returns its
        size. Of several commands that want it at once, one unpacks and the others wait."""
        layer = self.unpacked(chain)
        if layer:
            return layer
        self.make()
        with exclusive(f"{self._directory}/lock"):
            layer = self.unpacked(chain)
            if layer:
                return layer
            temporary = self.new()
            try:
                size = unpack(temporary)
                return self._adopt(temporary, chain, diff_id, size)
            except BaseException:
                remove_tree(temporary)
                raise

    def adopt(self, temporary: str, chain: ChainID, diff_id: DiffID, size: int) -> Layer:
        """Take a directory from `new` that was filled meanwhile. If the layer is there already,
        the directory is removed."""
        with exclusive(f"{self._directory}/lock"):
            layer = self.unpacked(chain)
            if layer is None:
                return self._adopt(temporary, chain, diff_id, size)
        remove_tree(temporary)
        return layer

    def _adopt(self, temporary: str, chain: ChainID, diff_id: DiffID, size: int) -> Layer:
        self._put_aside(self.path(chain))  # what an interruption left under the name
        os.rename(temporary, self.path(chain))
        layer = Layer(diff_id, size, self._link(chain), boot_id())
        self._write(chain, layer)
        return layer

    def _link(self, chain: ChainID) -> str:
        """The shortest name that is free."""
        taken = set(os.listdir(f"{self._directory}/l"))
        number = 0
        while (name := _base36(number)) in taken:
            number += 1
        os.symlink(f"../{chain.hex}", f"{self._directory}/l/{name}")
        return name

    def _write(self, chain: ChainID, layer: Layer) -> None:
        document: dict[str, object] = {"DiffID": layer.diff_id, "Size": layer.size}
        if layer.link:
            document["Link"] = layer.link
        if layer.boot:
            document["Boot"] = layer.boot
        path = f"{self.path(chain)}.json"
        # Not synced: without this file the layer is unpacked again, that is all.
        replace_file(path, dump(document), self._new, durable=False)

    # ── removing ─────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[ChainID]:
        """Every layer with a directory or a JSON file."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        stems = {name.removesuffix(".json") for name in names}
        return [ChainID.from_hex(stem) for stem in stems if is_identifier(stem)]

    def chain_of(self, path: str) -> ChainID | None:
        """The layer that a path such as `…/layers/l/7` means, if it is one.

        However the path begins: a root that was named in another way, or moved, is no reason to
        remove the layers of a container.
        """
        directory, _, name = path.rpartition("/")
        try:
            if directory.endswith("/l"):
                name = os.path.basename(os.readlink(f"{self._directory}/l/{name}"))
            return ChainID.from_hex(name)
        except (OSError, BadData):
            return None

    def discard(self, chain: ChainID) -> None:
        """Make a layer disappear; its files wait in `new` for `clear_new`."""
        self._put_aside(f"{self.path(chain)}.json")
        self._put_aside(self.path(chain))

    def _put_aside(self, path: str) -> None:
        try:
            os.rename(path, f"{self._new}/{unique_name()}")
        except FileNotFoundError:
            pass

    def drop_links(self, keep: Iterable[ChainID]) -> None:
        """Remove the links of layers other than these."""
        links = {layer.link for chain in keep if (layer := self.known(chain))}
        for name in _listdir(f"{self._directory}/l"):
            if name not in links:
                os.unlink(f"{self._directory}/l/{name}")

    def links(self) -> dict[str, ChainID | None]:
        """The names in `l`, and which layer each leads to; None for none."""
        home = f"{self._directory}/l"
        return {name: self.chain_of(f"{home}/{name}") for name in _listdir(home)}

    def unlink(self, name: str) -> None:
        """Remove one link."""
        os.unlink(f"{self._directory}/l/{name}")

    def half_made(self) -> list[str]:
        """What is being filled or removed now, or was when its writer was killed."""
        return [f"{self._new}/{name}" for name in _listdir(self._new)]

    def clear_new(self) -> None:
        """Remove what writers left that were killed. Only while no writer lives."""
        for name in _listdir(self._new):
            path = f"{self._new}/{name}"
            try:
                if os.path.isdir(path) and not os.path.islink(path):
                    remove_tree(path)
                else:
                    os.unlink(path)
            except OSError:
                continue  # ENOTEMPTY: the child of a killed writer lives a moment longer


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def _base36(number: int) -> str:
    text = _DIGITS[number % 36]
    return _base36(number // 36 - 1) + text if number >= 36 else text


def content_size(directory: str) -> int:
    """Bytes in the regular files of a tree, hard links counted once. Follows no links."""
    total = 0
    linked: set[int] = set()
    for _, _, names, fd in os.fwalk(directory):
        for name in names:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) or status.st_ino in linked:
                continue
            if status.st_nlink > 1:
                linked.add(status.st_ino)
            total += status.st_size
    return total


def remove_tree(top: str) -> None:
    """Remove a directory that nobody uses; it may be gone already, or going. Raises `OSError`.

    By descriptor, because a path inside a layer may be as long as the kernel takes; and without
    following a link, because the layer was written by strangers.
    """
    try:
        _empty(os.open(top, _OPEN_DIRECTORY))
        os.rmdir(top)
    except FileNotFoundError:
        pass


def _empty(directory: int) -> None:
    """Remove everything in an open directory, and close it."""
    try:
        with os.scandir(directory) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in found:
            try:
                if is_directory:
                    _empty(os.open(name, _OPEN_DIRECTORY, dir_fd=directory))
                    os.rmdir(name, dir_fd=directory)
                else:
                    os.unlink(name, dir_fd=directory)
            except FileNotFoundError:
                continue  # two sweepers at work
    finally:
        os.close(directory)
