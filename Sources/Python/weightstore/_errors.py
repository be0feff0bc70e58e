"""The errors, by the status of the C interface."""

from __future__ import annotations

from typing import TYPE_CHECKING


class WeightStoreError(Exception):
    """A call that failed. ``status`` is a ``weightstore_status`` of weightstore.h."""

    def __init__(self, message: str, status: int = 16) -> None:
        super().__init__(message)
        self.status = status


if TYPE_CHECKING:
    _Original = Exception
else:
    try:
        from safetensors import SafetensorError as _Original
    except ImportError:
        _Original = Exception


class SafetensorError(WeightStoreError, _Original):
    """Raised where safetensors raises its own ``SafetensorError``, and a subclass of it: a missing tensor, a closed
    file, an invalid slice."""


class NotFoundError(WeightStoreError, FileNotFoundError):
    """No such model, revision, file, layer or tensor."""

    def __str__(self) -> str:
        return str(self.args[0])


class BadStoreError(WeightStoreError):
    """There is no store, or it cannot be opened."""


class DamagedError(WeightStoreError):
    """Stored bytes are damaged or missing."""


class TierFullError(WeightStoreError, MemoryError):
    """Leases hold so much of the tier that the tensors do not fit: release tensors, or set a larger budget."""


class BusyError(WeightStoreError):
    """Pinned, in use, or locked by another process."""


class DeviceError(WeightStoreError):
    """No such device, no driver, or the driver failed."""


class ForkedError(WeightStoreError):
    """This process was forked after its parent had used the library: a lease is the parent's, or no copy of the library
    can be loaded."""


class InvalidArgumentError(WeightStoreError, ValueError):
    """A name, a number or an option that is out of range or unknown."""


class DiskFullError(WeightStoreError):
    """The disk or the store's quota is full."""


class UnreachableError(WeightStoreError):
    """The bytes are not in the store, and their origin cannot be reached."""


class NotAllowedError(WeightStoreError):
    """The origin requires a token."""


class BadAnswerError(WeightStoreError):
    """The origin sent unexpected bytes."""


class CancelledError(WeightStoreError):
    """The call was cancelled: :meth:`Limit.cancel`."""


class TimedOutError(WeightStoreError, TimeoutError):
    """The time of a :class:`Limit` was over."""

    def __str__(self) -> str:
        return str(self.args[0])


_BY_STATUS: dict[int, type[WeightStoreError]] = {
    1: InvalidArgumentError, 3: ForkedError, 4: NotFoundError, 5: DamagedError, 6: BadStoreError, 7: DiskFullError,
    8: TierFullError, 9: BusyError, 10: DeviceError, 11: UnreachableError, 12: NotAllowedError, 13: BadAnswerError,
    17: CancelledError, 18: TimedOutError,
}


def error(status: int, message: str) -> WeightStoreError:
    return _BY_STATUS.get(status, WeightStoreError)(message, status)


# Users know them by the package.
for _class in (WeightStoreError, SafetensorError, *_BY_STATUS.values()):
    _class.__module__ = "weightstore"
