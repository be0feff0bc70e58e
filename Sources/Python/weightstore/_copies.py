"""Copies of the library for forked children.

A forked child has the memory of its parent, but not its threads: in the child, the parent's Dispatch waits for threads
that do not exist, and the parent's SQLite believes that it holds the locks of its connections, so that it acquires none.
Therefore the child loads the library a second time, from a copy with a state of its own: the library, its libsqlite3,
and the Swift runtime if that is not linked in. The dynamic linker identifies a library by its file and its name; the
copies are files in memory, in which the names are changed.

The files are empty until a child loads them, and all children of a process share them.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from dataclasses import dataclass

#: Libraries of the system that a fork does not harm, or that are one for the whole process: they are not copied.
_SHARED = (
    "ld-linux", "libatomic.", "libc.", "libdl.", "libgcc_s.", "libm.", "libpthread.", "libresolv.", "librt.", "libstdc++.",
    "libutil.", "libz.")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_SONAME = 1, 5, 14
_SEALS = 0x0001 | 0x0002 | 0x0004 | 0x0008  # F_SEAL_SEAL, _SHRINK, _GROW, _WRITE
_F_ADD_SEALS, _F_GET_SEALS = 1033, 1034
_RTLD_DI_LINKMAP = 2
_MOST_PROCESSES = 16 ** 3


class _LinkMap(ctypes.Structure):
    """The beginning of ``struct link_map``."""

    _fields_ = [("l_addr", ctypes.c_void_p), ("l_name", ctypes.c_char_p)]


def _path(library: ctypes.CDLL) -> str:
    """The file of a loaded library."""
    found = ctypes.POINTER(_LinkMap)()
    dlinfo = ctypes.CDLL(None).dlinfo
    dlinfo.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    if dlinfo(library._handle, _RTLD_DI_LINKMAP, ctypes.byref(found)) != 0:
        raise OSError("dlinfo failed")
    return os.path.realpath(os.fsdecode(found.contents.l_name or b""))


def _names(elf: mmap.mmap) -> list[tuple[int, int, str]]:
    """The names of libraries in a library: kind (its own, or one that it needs), position and name."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise OSError("not a library of 64 bits, little-endian")
    (table,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    segments = [struct.unpack_from("<IIQQQQ", elf, table + index * size) for index in range(count)]
    entries = []
    for kind, _, start, _, _, length in segments:
        if kind == _PT_DYNAMIC:
            entries = list(struct.iter_unpack("<qQ", elf[start:start + length // 16 * 16]))
    if (0, 0) in entries:
        del entries[entries.index((0, 0)):]
    address = dict(entries)[_DT_STRTAB]
    strings = next(
        address - start + offset for kind, _, offset, start, _, length in segments
        if kind == _PT_LOAD and start <= address < start + length)

    def name(at: int) -> str:
        return bytes(elf[at:elf.find(b"\0", at)]).decode()

    return [
        (kind, strings + value, name(strings + value)) for kind, value in entries if kind in (_DT_NEEDED, _DT_SONAME)]


@dataclass
class _File:
    """A library, and the file in memory for its copy, by its descriptor and its number."""

    path: str
    descriptor: int = -1
    number: tuple[int, int] = (0, 0)

    def create(self) -> None:
        self.descriptor = os.memfd_create(os.path.basename(self.path), os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.number = self._current()

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _current(self) -> tuple[int, int]:
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino

    def fill(self, names: dict[str, str]) -> None:
        """Writes the copy, unless another process has."""
        try:
            known = self._current() == self.number
        except OSError:
            known = False
        if not known:
            self.create()  # A daemon closes the descriptors of its parent.
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            if fcntl.fcntl(self.descriptor, _F_GET_SEALS) & _SEALS == _SEALS:
                return
            os.ftruncate(self.descriptor, 0)
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            with open(self.path, "rb") as file:
                size, done = os.fstat(file.fileno()).st_size, 0
                while done < size:
                    count = os.sendfile(self.descriptor, file.fileno(), done, size - done)
                    if count == 0:
                        raise OSError(f"{self.path}: changed while it was copied")
                    done += count
            with mmap.mmap(self.descriptor, size) as elf:
                for _, at, name in _names(elf):
                    if name in names:
                        elf[at:at + len(names[name])] = names[name].encode()
            # The seals say that the copy is complete.
            fcntl.fcntl(self.descriptor, _F_ADD_SEALS, _SEALS)
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)


class Copies:
    """The files for the copies of a library and of those that it needs, in the order of loading.

    Args:
        depth: the number of forks between the first process and the children that load these copies.
    """

    def __init__(self, files: list[tuple[str, str]], depth: int) -> None:
        self._sources = files
        self.depth = depth
        if depth >= _MOST_PROCESSES:
            raise OSError(f"more than {_MOST_PROCESSES} forks within each other")
        # Names keep their length, because they are changed in place.
        self._renamed = {name: f"{depth:03x}" + name[3:] for name, _ in files}
        self._files = [_File(path) for _, path in files]
        try:
            for file in self._files:
                file.create()
        except OSError:
            for file in self._files:
                file.close()
            raise

    @classmethod
    def of(cls, library: ctypes.CDLL) -> Copies:
        """For the children of a process that has loaded a library."""
        files: list[tuple[str, str]] = []
        seen: set[str] = set()

        def add(path: str) -> None:
            if path in seen:
                return
            seen.add(path)
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:
                names = _names(elf)
            for kind, _, name in names:
                if kind == _DT_NEEDED and not name.startswith(_SHARED):
                    add(_path(ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)))
            files.append((next((name for kind, _, name in names if kind == _DT_SONAME), os.path.basename(path)), path))

        add(_path(library))
        return cls(files, 1)

    def next(self) -> Copies:
        """For the children of a process that has loaded these copies."""
        return Copies(self._sources, self.depth + 1)

    def load(self) -> str:
        """Loads the copies that the library needs, and returns the path of that of the library."""
        for file in self._files:
            file.fill(self._renamed)
        # The linker also identifies libraries by their paths, which must differ from those of other depths.
        paths = [f"/proc/self/fd{'/.' * self.depth}/{file.descriptor}" for file in self._files]
        for path in paths[:-1]:
            ctypes.CDLL(path)
        return paths[-1]
