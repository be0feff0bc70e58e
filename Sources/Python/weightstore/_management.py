"""Imports, pulls, lists, tags, removals and warm-ups of a store."""

from __future__ import annotations

import os
from ctypes import byref, c_int64, c_size_t
from dataclasses import dataclass
from typing import Any, Callable, Iterable

from . import _library as c
from ._library import encoded, encoded_path, ends, library, optional, plain, strings, text
from ._waiting import Limit, Result, wait


@dataclass(frozen=True)
class Progress:
    """The progress of a call, in bytes: of ``total``, as far as it is known, ``done`` were processed, and ``skipped`` were
    present. ``label`` names the item in progress."""

    total: int
    done: int
    skipped: int
    label: str


@dataclass(frozen=True)
class ModelInfo:
    """A model. ``version`` is the newest one (None if no revision is complete); ``bytes``, ``tensors`` and ``layers`` are
    its; ``missing`` says why files of it are missing. Times are seconds since 1970."""

    name: str
    revisions: int
    version: int | None
    bytes: int
    tensors: int
    layers: int
    refs: tuple[str, ...]
    pinned: bool
    missing: str | None
    modified: int
    last_access: int
    accesses: int


@dataclass(frozen=True)
class RevisionInfo:
    """A revision of a model. ``name`` is ``org/name@~3``, ``source`` the path or URL that it was imported or pulled from,
    ``pin`` the note of its pin (None if it has none)."""

    model: str
    name: str
    version: int | None
    digest: str
    commit: str
    source: str
    bytes: int
    files: int
    tensors: int
    layers: int
    refs: tuple[str, ...]
    pin: str | None
    missing: str | None
    created: int
    last_access: int
    accesses: int


@dataclass(frozen=True)
class ImportSummary:
    """``bytes`` of all files; ``written`` of new shards; ``skipped`` of files that were stored, and not read. The others
    count files, and revisions of a cache that could not be imported (``failures``)."""

    revisions: tuple[RevisionInfo, ...]
    bytes: int
    written: int
    skipped: int
    moved: int
    skipped_files: int
    warnings: int
    failures: int


@dataclass(frozen=True)
class PullSummary:
    """``fetched`` bytes of ``bytes``; ``complete`` if the store has all of them."""

    revision: RevisionInfo | None
    bytes: int
    fetched: int
    complete: bool


@dataclass(frozen=True)
class RemovalSummary:
    """The numbers of revisions and shards, and the bytes of these shards on the disk."""

    revisions: int
    shards: int
    bytes: int


@dataclass(frozen=True)
class WarmSummary:
    """Bytes that were loaded; revisions and prompts that were loaded, left out, and that failed."""

    warmed: int
    items: int
    skipped: int
    failed: int


@dataclass(frozen=True)
class StoreStatistics:
    """Counts of a store. ``stored``, ``kv_stored``, ``catalog`` and ``available`` (free on the disk) are bytes."""

    models: int
    revisions: int
    files: int
    tensors: int
    shards: int
    stored: int
    kv_blocks: int
    kv_stored: int
    damaged: int
    pins: int
    accesses: int
    catalog: int
    available: int


def _optional_text(value: bytes | None) -> str | None:
    return None if value is None else text(value)


def _version(number: int) -> int | None:
    return None if number < 0 else number


def _refs(row: Any) -> tuple[str, ...]:
    return tuple(text(row.refs[index]) for index in range(row.ref_count))


def _model(row: c.Model) -> ModelInfo:
    return ModelInfo(
        text(row.name), row.revisions, _version(row.version), row.bytes, row.tensors, row.layers, _refs(row),
        row.pinned != 0, _optional_text(row.missing), row.modified, row.last_access, row.accesses)


def _revision(row: c.RevisionEntry) -> RevisionInfo:
    return RevisionInfo(
        text(row.model), text(row.name), _version(row.version), text(row.digest), text(row.commit), text(row.source),
        row.bytes, row.files, row.tensors, row.layers, _refs(row), _optional_text(row.pin),
        _optional_text(row.missing), row.created, row.last_access, row.accesses)


def _rows(handle: Result, function: str, row: Any, made: Callable[[Any], Any]) -> list[Any]:
    """The rows of a list, which is released with the handle."""
    count = c_size_t()
    library().list_count(handle, byref(count))
    rows = []
    for index in range(count.value):
        getattr(library(), function)(handle, index, byref(row))
        rows.append(made(row))
    return rows


class _Watch:
    """Passes the progress of a call to a function. Its exception cancels the call, and is raised again."""

    def __init__(self, function: Callable[[Progress], Any] | None) -> None:
        self._function = function
        self._failure: BaseException | None = None

    def pointer(self) -> Any:
        return c.ProgressFunction() if self._function is None else c.ProgressFunction(self._call)

    def _call(self, pointer: Any, _: Any) -> int:
        if self._failure is not None or self._function is None:
            return 1
        progress = pointer.contents
        try:
            self._function(Progress(progress.total, progress.done, progress.skipped, text(progress.label)))
        except BaseException as failure:
            self._failure = failure
            return 1
        return 0

    def run(self, timeout: float | None, name: str, *arguments: Any) -> None:
        try:
            if timeout is None:
                wait(name, *arguments, tries=False)
            else:
                with Limit(timeout):
                    wait(name, *arguments, tries=False)
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise
        # The last report, after which nothing is left to cancel.
        if self._failure is not None:
            raise self._failure


class Management:
    """The part of :class:`Store` that changes and lists its models.

    ``progress`` functions get a :class:`Progress` some ten times a second; an exception of theirs cancels the call.
    ``timeout`` is in seconds (:class:`TimedOutError`); :class:`Limit` counts, too. Bytes that are stored by then stay, and
    the next call reuses them.
    """

    def import_(
        self, path: str | os.PathLike[str], name: str | None = None, *, refs: Iterable[str] = ("main",),
        origins: Iterable[str] = (), move: bool = False, partial: bool = False, strict: bool = False,
        opaque: bool = False, rehash: bool = False, progress: Callable[[Progress], Any] | None = None,
        timeout: float | None = None,
    ) -> ImportSummary:
        """Imports a directory, a file or a Hugging Face cache. When the call returns, the import is durable.

        Args:
            name: ``org/name``; None means the name of the source.
            refs: the refs that name the new revision.
            origins: URLs of origins that hold the files, which are checked: the revision can then be evicted.
            move: remove each source file once its bytes are durable.
            partial: import a directory although its index names missing files.
            strict: refuse unusual files.
            opaque: keep files that break their format, without tensors.
            rehash: read and hash all bytes again.
        """
        watch, options, summary, revisions = _Watch(progress), c.ImportOptions(), c.ImportSummary(), Result("list_release")
        options.name = plain(name)
        options.refs, options.ref_count = strings(refs)
        options.origins, options.origin_count = strings(origins)
        options.move, options.partial, options.strict = move, partial, strict
        options.opaque, options.rehash, options.progress = opaque, rehash, watch.pointer()
        watch.run(
            timeout, "import", self, encoded_path(path), byref(options), byref(summary), byref(revisions))
        return ImportSummary(
            tuple(_rows(revisions, "list_revision", c.RevisionEntry(), _revision)), summary.bytes, summary.written,
            summary.skipped, summary.moved, summary.skipped_files, summary.warnings, summary.failures)

    def pull(
        self, name: str, *, origin: str | None = None, layers: range | None = None, experts: range | None = None,
        include: Iterable[str] = (), opaque: bool = False, progress: Callable[[Progress], Any] | None = None,
        timeout: float | None = None,
    ) -> PullSummary:
        """Adds a revision of an origin, ``org/name`` or ``org/name@revision``, and fetches its bytes. It resumes an
        interrupted pull.

        Args:
            origin: the URL of the origin, such as ``https://huggingface.co`` or ``s3://bucket``; None means the model's
                own origins.
            layers, experts: fetch only the tensors of these layers, and of these experts. The other bytes are fetched at
                their first use.
            include: fetch only files that match one of these patterns, such as ``*.json``.
            opaque: keep files that break their format, without tensors.
        """
        watch, options, summary, revisions = _Watch(progress), c.PullOptions(), c.PullSummary(), Result("list_release")
        options.origin = plain(origin)
        if layers is not None:
            options.layers = (c_int64 * 2)(*ends(layers))
        if experts is not None:
            options.experts = (c_int64 * 2)(*ends(experts))
        options.include, options.include_count = strings(include)
        options.opaque, options.progress = opaque, watch.pointer()
        watch.run(
            timeout, "pull", self, encoded(name), byref(options), byref(summary), byref(revisions))
        found = _rows(revisions, "list_revision", c.RevisionEntry(), _revision)
        return PullSummary(found[0] if found else None, summary.bytes, summary.fetched, summary.complete != 0)

    def models(self, pattern: str | None = None) -> list[ModelInfo]:
        """The models by name; only those that match a pattern such as ``org/*``, if there is one."""
        models = Result("list_release")
        library().models(self, optional(pattern), byref(models))
        return _rows(models, "list_model", c.Model(), _model)

    def revisions(self, model: str) -> list[RevisionInfo]:
        """The revisions of a model, oldest first."""
        revisions = Result("list_release")
        library().revisions(self, encoded(model), byref(revisions))
        return _rows(revisions, "list_revision", c.RevisionEntry(), _revision)

    def tag(self, revision: str, ref: str) -> None:
        """Creates the ref of a revision's model, or moves it to the revision."""
        wait("tag", self, encoded(revision), encoded(ref), tries=False)

    def untag(self, model: str, ref: str) -> None:
        """Removes a ref of a model; the revision stays."""
        wait("untag", self, encoded(model), encoded(ref), tries=False)

    def rm(
        self, *names: str, force: bool = False, dry_run: bool = False,
        progress: Callable[[Progress], Any] | None = None, timeout: float | None = None,
    ) -> RemovalSummary:
        """Removes models with all of their revisions, or single revisions (``org/name@~3``): all of them or none.

        Raises :class:`BusyError` if one is pinned (unless ``force``) or held by a live process, this one included: release
        the :class:`Revision`, its leases and its tensors first. With ``dry_run``, nothing is removed.
        """
        watch, options, summary = _Watch(progress), c.RemovalOptions(), c.RemovalSummary()
        options.force, options.dry_run, options.progress = force, dry_run, watch.pointer()
        watch.run(timeout, "remove", self, *strings(names), byref(options), byref(summary))
        return RemovalSummary(summary.revisions, summary.shards, summary.bytes)

    def warm(
        self, *revisions: str, tier: str = "ram", top: int = 5, fetch: bool = True,
        progress: Callable[[Progress], Any] | None = None, timeout: float | None = None,
    ) -> WarmSummary:
        """Loads revisions into a tier before they are needed: the named ones, or the ``top`` most used ones. It does not
        count as an access. Without ``fetch``, evicted shards are left out."""
        if not 1 <= top < 1 << 63:
            raise ValueError(f"top {top}: must be at least 1, and fit into 64 bits")
        watch, options, summary = _Watch(progress), c.WarmOptions(), c.WarmSummary()
        options.revisions, options.revision_count = strings(revisions)
        options.top, options.no_fetch, options.progress = top, not fetch, watch.pointer()
        watch.run(timeout, "warm", self, encoded(tier), byref(options), byref(summary))
        return WarmSummary(summary.warmed, summary.items, summary.skipped, summary.failed)

    def stats(self) -> StoreStatistics:
        """Counts of the store: models, revisions, bytes, accesses."""
        totals = c.StoreTotals()
        library().store_statistics(self, byref(totals))
        return StoreStatistics(*(getattr(totals, name) for name in StoreStatistics.__dataclass_fields__))
