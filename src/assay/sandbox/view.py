"""What of the file system a worker may read: Python, the C libraries, time zones, and the packages it was allowed.

Site folders are left out, whichever folder they lie in: installed packages can hold the answers to what is asked.
"""

# pathlib costs a bare interpreter more than all that is done here

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

SITE_FOLDERS = ("site-packages", "dist-packages")

_ZONES = "/usr/share/zoneinfo"
_LOADER_CACHE = "/etc/ld.so.cache"
_MOST_LINKS = 40


class View:
    """Real paths: `folders` with all below, single `files`, what is `masked` below the folders, symbolic `links` on the
    way to them, and `packages` as name → (file, whether it is a folder's `__init__`).
    """

    def __init__(
        self,
        folders: Sequence[str],
        files: Sequence[str] = (),
        masked: Sequence[str] = (),
        links: dict[str, str] | None = None,
        packages: dict[str, tuple[str, bool]] | None = None,
    ) -> None:
        self.folders = tuple(folders)
        self.files = tuple(files)
        self.masked = tuple(masked)
        self.links = links or {}
        self.packages = packages or {}

    def without(self, names: Iterable[str]) -> View:
        """This view but for the packages of these names."""
        dropped = {path for name in names for path in self._of(name)}
        folders = [path for path in self.folders if path not in dropped]
        files = [path for path in self.files if path not in dropped]
        packages = {name: found for name, found in self.packages.items() if name not in names}
        return View(folders, files, self.masked, self.links, packages)

    def _of(self, name: str) -> tuple[str, ...]:
        origin, folder = self.packages[name]
        place = os.path.realpath(os.path.dirname(origin) if folder else origin)
        return (place, f"{place}.libs")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**vars(self), "packages": {name: list(found) for name, found in self.packages.items()}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> View:
        """The reverse of `to_json`."""
        packages = {name: (str(found[0]), bool(found[1])) for name, found in value["packages"].items()}
        return cls(value["folders"], value["files"], value["masked"], value["links"], packages)


class PackageMissing(Exception):
    """An allowed package is not installed where assay runs."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the package {name!r} is not installed")
        self.name = name


def interpreter() -> str:
    """The real path of this Python, outside any virtual environment: what a worker is started with."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _standard_library() -> str:
    return os.path.dirname(os.__file__)


def _system_libraries() -> list[str]:
    """The folders that the loader searches: by architecture as on Debian, else /usr/lib64, else /usr/lib."""
    triplet = getattr(sys.implementation, "_multiarch", "")
    for kind in (f"lib/{triplet}" if triplet else "", "lib64", "lib"):
        found = [folder for folder in (f"/usr/{kind}", f"/{kind}") if kind and os.path.isdir(folder)]
        if found:
            return [*found, *filter(os.path.isdir, ("/lib64",))]
    return []


def _own_libraries() -> Iterator[str]:
    """The shared libraries beside the interpreter: libpython, and in some distributions libssl and the like."""
    for folder in dict.fromkeys(os.path.join(sys.base_exec_prefix, name) for name in ("lib", sys.platlibdir)):
        if os.path.isdir(folder):
            names = sorted(name for name in os.listdir(folder) if name.startswith("lib") and ".so" in name)
            yield from filter(os.path.isfile, (os.path.join(folder, name) for name in names))


def _package(name: str) -> tuple[str, bool, list[str]]:
    """A top-level package's file, whether it is a folder's, and everything of it on disk."""
    from importlib.util import find_spec  # a worker of the standard library alone does without

    if not name.isidentifier():  # looking for `a.b` would run a
        raise PackageMissing(name)
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise PackageMissing(name)
    places = list(spec.submodule_search_locations or [])
    if not places:
        return spec.origin, False, [spec.origin]
    companions = [f"{place}.libs" for place in places if os.path.isdir(f"{place}.libs")]
    return spec.origin, True, [*places, *companions]


def plan_view(packages: Iterable[str] = ()) -> View:
    """What a worker of this interpreter may read; `packages` are top-level names installed here. Raises
    PackageMissing.
    """
    found = {name: _package(name) for name in packages if name not in sys.stdlib_module_names}
    platform_library = os.path.join(sys.base_exec_prefix, sys.platlibdir, os.path.basename(_standard_library()))
    wanted = [interpreter(), _standard_library(), platform_library, *_system_libraries(), *_own_libraries()]
    wanted += [_ZONES, _LOADER_CACHE]
    wanted += [path for _, _, paths in found.values() for path in paths]
    origins = {name: (origin, folder) for name, (origin, folder, _) in found.items()}
    return _gather([path for path in wanted if os.path.exists(path)], origins)


def _gather(wanted: list[str], packages: dict[str, tuple[str, bool]]) -> View:
    links: dict[str, str] = {}
    real = sorted({_real(path, links) for path in wanted})
    folders = [path for path in real if os.path.isdir(path)]
    masked = sorted({mask for folder in folders for mask in _site_folders(folder)})
    kept = [path for path in real if not _covered(path, folders, masked)]
    links = {link: target for link, target in links.items() if not _within(link, folders)}
    return View(
        [path for path in kept if path in folders],
        [path for path in kept if path not in folders],
        [mask for mask in masked if mask not in kept],
        links,
        packages,
    )


def _real(path: str, links: dict[str, str]) -> str:
    """Where a path ends; every symbolic link on the way is added to `links`."""
    for _ in range(_MOST_LINKS):
        following = _first_link(path)
        if following is None:
            return path
        target = os.readlink(following)
        links[following] = target
        rest = os.path.relpath(path, following)
        path = os.path.normpath(os.path.join(os.path.dirname(following), target, rest))
    raise OSError(f"too many symbolic links at {path}")


def _first_link(path: str) -> str | None:
    so_far = "/"
    for part in path.split("/"):
        so_far = os.path.join(so_far, part)
        if os.path.islink(so_far):
            return so_far
    return None


def _site_folders(folder: str) -> Iterator[str]:
    """Site folders directly in a folder, or one below: lib/python3.11/site-packages as well as python3.11's own."""
    with os.scandir(folder) as entries:
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for base in (folder, *inner):
        yield from filter(os.path.isdir, (os.path.join(base, name) for name in SITE_FOLDERS))


def _below(path: str, folder: str) -> bool:
    return path != folder and path.startswith(folder.rstrip("/") + "/")


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(_below(path, folder) for folder in folders)


def _covered(path: str, folders: list[str], masked: list[str]) -> bool:
    """Whether a folder above already shows this path, with no mask between."""
    above = [folder for folder in folders if _below(path, folder)]
    return any(not any(_below(mask, folder) and _at_or_below(path, mask) for mask in masked) for folder in above)


def _at_or_below(path: str, folder: str) -> bool:
    return path == folder or _below(path, folder)


def readable(view: View, *, expand: bool) -> tuple[list[str], list[str]]:
    """The paths to open for reading with all below them, and folders of which only names may be listed.

    With `expand` the masked folders are left out by listing what lies beside them, for rules that cannot take back;
    where mounts hide them there is no need to.
    """
    whole: list[str] = list(view.files)
    listed: list[str] = []
    for folder in view.folders:
        _expand(folder, view.masked if expand else (), whole, listed)
    return whole, listed


def _expand(folder: str, masked: Sequence[str], whole: list[str], listed: list[str]) -> None:
    if folder in masked:
        return
    if not _any_below(masked, folder):
        whole.append(folder)
        return
    listed.append(folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _expand(entry.path, masked, whole, listed)
            elif entry.is_file(follow_symlinks=False):
                whole.append(entry.path)


def _any_below(paths: Iterable[str], folder: str) -> bool:
    return any(_below(path, folder) for path in paths)


class Packages:
    """Finds the allowed packages by name, since the folder they lie in cannot be listed. For `sys.meta_path`."""

    def __init__(self, view: View, names: Iterable[str]) -> None:
        from importlib.util import spec_from_file_location

        self._files = {name: view.packages[name] for name in names if name in view.packages}
        self._spec = spec_from_file_location

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an allowed top-level package; None for anything else."""
        if name not in self._files:
            return None
        origin, folder = self._files[name]
        places = [os.path.dirname(origin)] if folder else None
        return self._spec(name, origin, submodule_search_locations=places)
