"""Parts of a revision, and leases that are loaded while the program does other work."""

from __future__ import annotations

import ctypes
import os
import select
import threading
from ctypes import byref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generator

from . import _library as c
from ._errors import CancelledError, TimedOutError
from ._library import encoded, library
from ._store import Lease, _Descriptor, _Handle
from ._waiting import Result, milliseconds, wait

if TYPE_CHECKING:
    from ._store import Revision


@dataclass(frozen=True)
class Part:
    """Tensors of a revision that are leased together. Make it with one of the functions."""

    _kind: int
    _file: str | None = None
    _name: str | None = None
    _stack: str | None = None
    _layers: range | None = None
    _experts: range | None = None

    @staticmethod
    def all() -> Part:
        """All tensors."""
        return Part(0)

    @staticmethod
    def file(path: str) -> Part:
        """The tensors of a file."""
        return Part(0, _file=path)

    @staticmethod
    def tensor(name: str, *, file: str | None = None) -> Part:
        """One tensor; if ``file`` is None, every tensor of that name in any file."""
        return Part(0, _file=file, _name=name)

    @staticmethod
    def layer(number: int, *, stack: str | None = None) -> Part:
        """The tensors of a layer; only those of one stack if it is named."""
        return Part(1, _stack=stack, _layers=range(number, number + 1))

    @staticmethod
    def layers(numbers: range) -> Part:
        """The tensors of several layers."""
        return Part(1, _layers=numbers)

    @staticmethod
    def rest() -> Part:
        """The tensors that belong to no layer: embedding, final norm, head."""
        return Part(2)

    @staticmethod
    def experts(layer: int, numbers: range) -> Part:
        """The tensors of experts of a layer, and no others, as :meth:`Revision.lease_experts` leases them."""
        return Part(3, _layers=range(layer, layer + 1), _experts=numbers)

    @staticmethod
    def with_experts(numbers: range, *, layers: range | None = None) -> Part:
        """The tensors of an expert-parallel rank: without those of experts with other numbers. ``layers`` is None for all
        tensors of the revision."""
        return Part(4, _layers=layers, _experts=numbers)

    @staticmethod
    def without_experts(layer: int) -> Part:
        """The tensors of a layer outside of its experts, and outside of tensors that stack them."""
        return Part(5, _layers=range(layer, layer + 1))

    def _structure(self) -> c.Part:
        part = c.Part()
        part.kind = self._kind
        part.file, part.name, part.stack = c.plain(self._file), c.plain(self._name), c.plain(self._stack)
        part.first_layer, part.last_layer = (-1, -1) if self._layers is None else c.ends(self._layers)
        part.first_expert, part.last_expert = (-1, -1) if self._experts is None else c.ends(self._experts)
        return part


def _event() -> _Descriptor:
    # os.eventfd is there from Python 3.10 on. EFD_CLOEXEC and EFD_NONBLOCK are the flags of open.
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    number = ctypes.CDLL(None, use_errno=True).eventfd(0, flags)
    if number < 0:
        raise OSError(ctypes.get_errno(), "eventfd")
    return _Descriptor(number)


class PendingLease(_Handle):
    """A lease that was begun (:meth:`Revision.lease_async`): wait for it with :meth:`result`, or ``await`` it.

    If the value ends before its lease was returned, the lease is cancelled.
    """

    _release = "pending_release"

    def __init__(self, revision: Revision, part: Part, tier: str, when_queued: bool = False) -> None:
        self._tier = tier
        self._lease: Lease | None = None
        self._failure: Exception | None = None
        self._lock = threading.RLock()
        self._event = _event()
        options = c.LeaseOptions()
        options.event, options.when_queued = self._event.number, when_queued
        handle = Result("pending_release")
        super().__init__(None)
        library().lease_begin(revision, byref(part._structure()), encoded(tier), byref(options), byref(handle))
        super().__init__(handle)

    def done(self) -> bool:
        """Whether the lease has succeeded, failed or was cancelled."""
        # Before the wait: a lease that ends right after it has another status then.
        ended = self._has_ended()
        try:
            self._retrieve()
        except (CancelledError, TimedOutError) as failure:
            if not ended:
                return False  # Of the wait, and not of the lease.
            self._failure = failure
        except Exception as failure:
            self._failure = failure
        return True

    def _retrieve(self) -> None:
        """Stores the lease, if it has succeeded. The first of several threads retrieves it."""
        with self._lock:
            if self._lease is None and self._failure is None:
                handle = Result("lease_release")
                library().lease_wait(self, 0, byref(handle))
                self._lease = Lease(handle, self._tier)

    def result(self, timeout: float | None = None) -> Lease:
        """The lease. Waits for it, and raises the error of its load.

        Args:
            timeout: in seconds; after it, :class:`TimedOutError` is raised, and a later call can wait again.
        """
        limit = milliseconds(timeout)
        if not self.done():
            # Only waits, so that other threads can, and an interruption loses no lease.
            wait("lease_wait", self, limit, None, tries=False)
            self._retrieve()
        if self._failure is not None:
            raise self._failure
        assert self._lease is not None
        return self._lease

    def cancel(self) -> None:
        """Ends the load, unless other leases wait for the same bytes, or it has ended."""
        library().lease_cancel(self)

    def _has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self._event.number, select.POLLIN)
        return bool(poll.poll(0))

    def __await__(self) -> Generator[Any, None, Lease]:
        return self._awaited().__await__()

    async def _awaited(self) -> Lease:
        import asyncio

        if not self.done():
            loop = asyncio.get_running_loop()
            ended = loop.create_future()

            def end() -> None:
                if not ended.done():
                    ended.set_result(None)

            # A descriptor of its own, because a loop has one reader for each number.
            with_reader = os.dup(self._event.number)
            loop.add_reader(with_reader, end)
            try:
                await ended
            except asyncio.CancelledError:
                self.cancel()
                raise
            finally:
                loop.remove_reader(with_reader)
                os.close(with_reader)
        return self.result()
