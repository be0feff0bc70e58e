"""Tensors of a reader in a forked child. Their bytes are mapped from the files of the store, without a library. The
parent's hold on the revision is the child's, too: the kernel ends it when both have ended."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

from ._errors import DamagedError, ForkedError

if TYPE_CHECKING:
    import torch

    from ._tensors import TensorInfo


#: Few bytes are copied: a mapping costs more, and the kernel limits their number.
_COPIED_BYTES = 64 << 10


def _copy(descriptor: int, info: TensorInfo, path: str) -> bytearray:
    memory = bytearray(info.bytes)
    # The size was compared: a file that is shorter now was cut meanwhile.
    if os.preadv(descriptor, [memory], info.shard_offset) < info.bytes:
        raise DamagedError(f"{path}: shorter than {info.shard_offset + info.bytes} bytes.", 5)
    return memory


class ForkedTensor:
    """A tensor whose bytes are on disk. It has the parts of :class:`LeasedTensor` that arrays are made from.

    Raises:
        ForkedError: the store itself must be used: the bytes are not on disk, or wanted on a device.
    """

    is_in_ram = True

    def __init__(self, info: TensorInfo, store: str, tier: str) -> None:
        self.info = info
        if tier != "ram":
            raise ForkedError(f"{info.name}: only the tier ram is mapped without a library.", 3)
        if info.bytes == 0:
            return
        if info.shard is None:
            raise ForkedError(f"{info.name}: never fetched.", 3)
        path = os.path.join(store, "blobs", info.shard[:2], info.shard)
        start = info.shard_offset - info.shard_offset % mmap.ALLOCATIONGRANULARITY
        self._delta = info.shard_offset - start
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ForkedError(f"{info.name}: evicted.", 3) from None
        try:
            end = info.shard_offset + info.bytes
            if os.fstat(descriptor).st_size < end:
                raise DamagedError(f"{path}: shorter than {end} bytes.", 5)
            if info.bytes <= _COPIED_BYTES:
                self._delta = 0
                self._bytes: mmap.mmap | bytearray = _copy(descriptor, info, path)
            else:
                self._bytes = mmap.mmap(descriptor, end - start, access=mmap.ACCESS_COPY, offset=start)
        finally:
            os.close(descriptor)

    def memory(self) -> memoryview:
        """The bytes, read-only."""
        if self.info.bytes == 0:
            return memoryview(b"")
        return memoryview(self._bytes)[self._delta:].toreadonly()

    def torch_bytes(self) -> torch.Tensor:
        """The bytes as a tensor of one dimension, whose pages become private when they are written."""
        import torch

        return torch.frombuffer(self._bytes, dtype=torch.uint8, count=self.info.bytes, offset=self._delta)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __reduce__(self) -> Any:
        raise TypeError("ForkedTensor: memory of this process")
