"""Calls that may wait: they end at a time limit, when they are cancelled, and when Python has a signal to handle."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
from typing import Any, Callable

from . import _library as c
from ._library import library

_current = threading.local()


class Limit:
    """Limits the time of the calls of a ``with`` block, and cancels them.

        with weightstore.Limit(30) as limit:          # limit.cancel() on another thread ends them, too
            weights = weightstore.load_file("org/name")

    It counts for the thread of the block, and for calls that load or fetch: they raise :class:`TimedOutError` and
    :class:`CancelledError`. What is resident is leased all the same, and fetched bytes stay for the next call. Limits
    can be nested.

    Args:
        seconds: from the start of the block; None means no limit.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._milliseconds = milliseconds(seconds)
        self._work: Result | None = None
        self._before: Limit | None = None
        self._depth = c.depth
        # Held while the work is cancelled, so that it is not released. A signal handler of the same thread may cancel.
        self._lock = threading.RLock()

    def __enter__(self) -> Limit:
        if self._work is not None:
            raise RuntimeError("a Limit is used once")
        self._before = getattr(_current, "limit", None)
        self._work, self._depth = _new_work(self._before, self._milliseconds), c.depth
        _current.limit = self
        library().work_use(self._work)
        return self

    def __exit__(self, *_: object) -> None:
        if self._depth != c.depth:
            return  # The child of a fork within the block has no limit.
        _current.limit = self._before
        library().work_use(self._before._work if self._before is not None else None)
        with self._lock:
            self._work = None

    def cancel(self) -> None:
        """Ends the calls of the block, and later ones at once. Any thread can call it; after the block it does
        nothing."""
        with self._lock:
            if self._work is not None and self._depth == c.depth:
                library().work_cancel(self._work)


def milliseconds(seconds: float | None) -> int:
    """A time limit for the library; -1 for None and for one that is never reached.

    Raises:
        ValueError: it is not a number.
    """
    if seconds is None:
        return -1
    if seconds != seconds:
        raise ValueError(f"{seconds}: must be a number of seconds")
    return -1 if seconds >= _MOST_SECONDS else max(0, round(seconds * 1000))


#: The milliseconds of shorter limits fit into 64 bits.
_MOST_SECONDS = 1 << 50


def _new_work(parent: Limit | None, milliseconds: int) -> Result:
    work = Result("work_release")
    library().work_new(parent._work if parent is not None else None, milliseconds, ctypes.byref(work))
    return work


class Result(ctypes.c_void_p):
    """The place for a handle that the library returns. The handle is released with the value, unless another value has
    taken it over: the exception of a signal may be raised between any two steps.

    Handles are never reused, so that one that is released twice harms no other.
    """

    def __init__(self, release: str) -> None:
        super().__init__()
        self._release, self._depth = release, c.depth

    def __del__(self) -> None:
        # In a forked child, the handle is the parent's.
        if self.value is not None and self._depth == c.depth:
            try:
                getattr(library(), self._release)(self.value)
            except Exception:  # Released already, or the interpreter is shutting down.
                pass


class _Job:
    """A call on the helper's thread."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], work: Result) -> None:
        self.function, self.arguments, self.work = function, arguments, work
        self.failure: BaseException | None = None
        self.ended = threading.Lock()
        self.ended.acquire()
        self._state = threading.Lock()
        self._is_done = False

    def run(self) -> None:
        try:
            library().work_use(self.work)
            self.function(*self.arguments)
        except BaseException as failure:
            self.failure = failure
        with self._state:
            self._is_done = True
        library().work_use(None)
        self.ended.release()

    def abandon(self) -> None:
        """Cancels the call. Its result is released with the arguments."""
        with self._state:
            if not self._is_done:
                library().work_cancel(self.work)


class _Helper:
    """A thread for the calls of the main thread, which alone handles signals, and waits for it."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="weightstore", daemon=True).start()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job.run()
            del job

    def submit(self, job: _Job | None) -> None:
        self._jobs.put(job)


_helper: _Helper | None = None
_over: Result | None = None


def _forget() -> None:
    global _current, _helper, _over
    # Threads and works are the parent's.
    _current, _helper, _over = threading.local(), None, None


os.register_at_fork(after_in_child=_forget)


def wait(name: str, *arguments: Any, tries: bool = True) -> None:
    """Calls a function of the library that may wait.

    On the main thread, it is tried without waiting first. If it has to wait, it runs on another thread, because a
    thread that is inside the library handles no signal. A signal's exception, such as KeyboardInterrupt, cancels it.

    Args:
        tries: whether the call can be tried; the others have no work.
    """
    global _helper, _over
    function = getattr(library(), name)
    if threading.current_thread() is not threading.main_thread():
        function(*arguments)
        return
    limit: Limit | None = getattr(_current, "limit", None)
    if tries:
        from ._errors import CancelledError, TimedOutError

        _over = _over or _new_work(None, 0)
        use = library().work_use
        try:
            use(_over)
            function(*arguments)
            return
        except (CancelledError, TimedOutError):
            pass
        finally:
            use(limit._work if limit is not None else None)
    try:
        helper = _helper = _helper or _Helper()
    except RuntimeError:  # The interpreter is shutting down, and starts no thread.
        function(*arguments)
        return
    job = _Job(function, arguments, _new_work(limit, -1))
    try:
        helper.submit(job)
        job.ended.acquire()
    except BaseException:
        # The call may need a moment to end. The next one has a thread of its own.
        _helper = None
        helper.submit(None)
        job.abandon()
        raise
    # Without the cycle of the exception, its frames and the job, which would hold the arguments.
    failure, job.failure = job.failure, None
    del job
    if failure is not None:
        try:
            raise failure
        finally:
            del failure
