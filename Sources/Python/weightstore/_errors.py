"""What can go wrong, by the status of the C interface."""

from __future__ import annotations

from typing import TYPE_CHECKING


class WeightStoreError(Exception):
    """A call that failed. ``status`` is the number that weightstore.h gives it."""

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
    """Where safetensors raises its own error, and caught with it: a tensor that is not there, a closed file, an
    impossible slice."""


class NotFoundError(WeightStoreError, FileNotFoundError):
    """No such model, revision, file, layer or tensor."""

    def __str__(self) -> str:
        return str(self.args[0])


class BadStoreError(WeightStoreError):
    """No store there, or one that can't be opened."""


class DamagedError(WeightStoreError):
    """Stored bytes are damaged or missing."""


class TierFullError(WeightStoreError, MemoryError):
    """The tier has no room beside what leases hold: let go of tensors, or give it a larger budget."""


class BusyError(WeightStoreError):
    """Somebody else holds what is needed."""


class DeviceError(WeightStoreError):
    """No such device, no driver, or the driver failed."""


class ForkedError(WeightStoreError):
    """This process was forked after its parent had opened a store."""


_BY_STATUS: dict[int, type[WeightStoreError]] = {
    3: ForkedError, 4: NotFoundError, 5: DamagedError, 6: BadStoreError, 8: TierFullError, 9: BusyError, 10: DeviceError,
}


def error(status: int, message: str) -> WeightStoreError:
    return _BY_STATUS.get(status, WeightStoreError)(message, status)
