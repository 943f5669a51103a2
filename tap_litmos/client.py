"""What every stream does: ask for its pages in order, write their rows, keep its bookmark.

Where a reader of SDK taps finds what they expect:

- paging: `paginator.WindowPaginator`, a `BaseAPIPaginator`; its token is a `Position`: which
  window, from which row on, and which reading of the window
- URL parameters: `paginator.Position.query`, with the dates of `windows.Window.query`
- authentication, retries and the rate limit: `transport.Transport`, one for all streams
- parsing: `bodies.clean_body`, then `rows.RowReader`, which types values; no `post_process`
- state: `bookmark.Bookmark`, in the place of the SDK's `StreamStateManager`
- schemas and keys: declared in `streams.py`; one class reads all date-range endpoints, and one
  the full listings

The base class is `Stream`, not `RESTStream`, because pages are requested ahead of their turn.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from singer_sdk import Stream
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import RecordMessage, Schema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL, Metadata
from typing_extensions import override

from tap_litmos.bookmark import Bookmark
from tap_litmos.errors import (
    RowsNotProvedError,
    RunFailedError,
    StreamFailedError,
    TransportClosedError,
)
from tap_litmos.rows import RowReader
from tap_litmos.windows import WHOLE_LIST, format_moment, parse_moment
from tap_litmos.wording import counted, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from pendulum import DateTime
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import Catalog, CatalogEntry

    from tap_litmos.bodies import Body
    from tap_litmos.declaration import Declaration, Endpoint
    from tap_litmos.paginator import WindowPaginator
    from tap_litmos.rows import Page
    from tap_litmos.run import Run
    from tap_litmos.summary import StreamStats
    from tap_litmos.sync_log import SyncLog
    from tap_litmos.tap import TapLitmos
    from tap_litmos.windows import Window


@contextmanager
def naming_batch_config() -> Iterator[None]:
    """Name the setting to correct where a batch cannot be written.

    Raises:
        RunFailedError: In the place of whatever the SDK or a file system raises.
    """
    try:
        yield
    except (StreamFailedError, TransportClosedError):
        raise  # rows were read meanwhile
    except Exception as error:  # noqa: BLE001 - each kind of storage has errors of its own
        raise RunFailedError(
            f"Cannot write a batch ({type(error).__name__}: {error}). Correct batch_config"
        ) from None


class DeclaredStream(Stream):
    """A stream as it is declared: its catalog entry, its state, how its records are written.

    Records have exactly the selected fields, in the types of the schema, so the SDK need not
    convert or prune them.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: TapLitmos, declaration: Declaration) -> None:
        """Make the stream. Discovery does so without settings.

        Args:
            tap: The tap.
            declaration: What its rows are.
        """
        schema = declaration.schema(leave_out=declaration.opted_out(tap.config))
        super().__init__(tap, schema=schema, name=declaration.stream)
        self.primary_keys = declaration.primary_key
        self.replication_key = declaration.replication_key
        self.selected_by_default = declaration.selected_by_default
        self._declaration = declaration
        self._bookmark: Bookmark | None = None
        self._extracted_at: datetime | None = None
        self._version: int | None = None
        # Both are set by `_generate_record_messages`.
        self._map_failure: StreamFailedError | None = None
        self._has_written = False

    # The catalog

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        entry = catalog.get_stream(self.name)
        if entry is not None:
            self._repair_entry(entry)
        super().apply_catalog(catalog)
        # A catalog cannot change the keys.
        self.primary_keys = self._declaration.primary_key
        self.replication_key = self._declaration.replication_key

    def _repair_entry(self, entry: CatalogEntry) -> None:
        """Correct a catalog entry that would lose rows, and warn of what was changed."""
        listed = dict(entry.schema.properties or {})
        entry.schema.properties = listed
        known: dict[str, Any] = self.schema["properties"]
        keys = self._declaration.key_fields
        if () not in entry.metadata:  # () is the stream itself
            # Without any metadata, the SDK takes a stream for selected; that of the keys, which
            # is added below, would end this.
            entry.metadata.root.selected = True
        selection = entry.metadata.resolve_selection()
        is_selected = selection[()]
        self._drop_unknown(listed, warn=is_selected)
        unselected = sorted(
            key for key in keys if key not in listed or not selection["properties", key]
        )
        for key in keys:
            listed[key] = Schema.from_dict(known[key])
            entry.metadata["properties", key].inclusion = Metadata.InclusionType.AUTOMATIC
        entry.key_properties = self._declaration.primary_key
        missing = sorted(known.keys() - listed.keys())
        for names, what in (
            (unselected, "are keys and written although they are not selected"),
            (missing, "are missing and not written; --discover lists them"),
        ):
            if names and is_selected:
                self.logger.warning(
                    "%s: these fields of the catalog %s: %s", self.name, what, ", ".join(names)
                )

    def _drop_unknown(self, listed: dict[str, Schema], *, warn: bool) -> None:
        """Drop fields that are not declared from those that a catalog lists."""
        known = self.schema["properties"]
        for name in sorted(listed.keys() - known.keys()):
            del listed[name]
            if warn:
                self.logger.warning(
                    "%s: unknown field %.100r in the catalog ignored%s",
                    self.name,
                    name,
                    did_you_mean(name, known),
                )

    def selected_fields(self) -> set[str]:
        """Return the names of the fields that records hold."""
        return {
            field.name
            for field in self._declaration.fields
            if field.name in self.effective_schema["properties"]
            and self.mask["properties", field.name]
        }

    @property
    def is_test(self) -> bool:
        """Whether one record is enough, as with `--test`."""
        return self.ABORT_AT_RECORD_COUNT is not None

    # The state

    @property
    @override
    def state_manager(self) -> Bookmark:
        if self._bookmark is None:
            incremental = self.replication_method == REPLICATION_INCREMENTAL
            self._bookmark = Bookmark(
                replication_key=self.replication_key if incremental else None,
                logger=self.logger,
                tap_name=self.tap_name,
                stream_name=self.name,
                tap_state=self.tap_state,
            )
        return self._bookmark

    # Records

    @override
    def get_batch_config(self, config: Mapping[str, Any]) -> Any:
        with naming_batch_config():
            return super().get_batch_config(config)

    @override
    def get_batches(self, batch_config: Any, context: Context | None = None) -> Iterator[Any]:
        with naming_batch_config():
            yield from super().get_batches(batch_config, context)

    @override
    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterator[Context | None]:
        """Yield nothing: no stream has children.

        The SDK would evaluate a filter of `stream_maps` here, where its error ends the run.
        """
        yield from ()

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """Do as the SDK does, but leave the fields as they are: `RowReader` has typed them."""
        for stream_map in self.stream_maps:
            try:
                mapped = stream_map.transform(record)
            except Exception as error:  # noqa: BLE001 - whatever a user's expression raises
                # Raised here, outside of `get_records`, the error would end the run.
                # `get_records` raises it when it resumes, which ends the stream alone.
                self._map_failure = StreamFailedError(
                    f"{self.name}: the stream map failed on a row "
                    f"({type(error).__name__}: {error}). Correct stream_maps"
                )
                return
            if mapped is not None:
                self._has_written = True  # `ListingStream` asks it, and sets `_version`
                yield RecordMessage(
                    stream=stream_map.stream_alias,
                    record=mapped,
                    version=self._version,
                    time_extracted=self._extracted_at,
                )

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """False: `ListingStream` announces its version itself, after the last row.

        The SDK would announce it before the rows. An incremental stream has no version: rows
        that a sync does not read are not deleted.
        """
        return False


class LitmosStream(DeclaredStream):
    """A stream of one endpoint.

    Rows are written window by window. The span that was read is extended once a window is
    written whole, no row of it was skipped, and the window touches what was read before. A
    STATE message follows if that has changed the state; in batch mode it follows the BATCH that
    holds the rows.

    Attributes:
        endpoint: The declaration of the stream.
    """

    def __init__(self, tap: TapLitmos, endpoint: Endpoint, sync_log: SyncLog) -> None:
        """Make the stream. Discovery does so without settings.

        Args:
            tap: The tap.
            endpoint: The declaration of the stream.
            sync_log: Takes in each window that is finished.
        """
        super().__init__(tap, endpoint)
        self.endpoint = endpoint
        self._sync_log = sync_log
        self._requested_at: DateTime  # when the first page of the window was requested
        self._prepare_run = tap.prepare_run

    # The plan

    def plan(self, now: DateTime) -> Sequence[Window]:
        """Return the windows of this sync, in the order in which they are read.

        Args:
            now: The current moment.
        """
        if self.replication_method != REPLICATION_INCREMENTAL:
            # Its `Bookmark` neither reads nor keeps a state then: see `state_manager`.
            self.logger.warning(
                "%s: catalog requests %s: re-reading from start_date; no bookmark is saved",
                self.name,
                self.replication_method,
            )
        end = self.config.get("end_date")
        windows = self.state_manager.plan(
            parse_moment(self.config["start_date"]),
            now,
            days=self.config["window_days"],
            lookback_hours=self.config["lookback_hours"],
            end=parse_moment(end) if end else None,
        )
        # A test reads the newest window, which is the likeliest to have rows.
        if self.is_test and windows:
            return [max(windows, key=lambda window: window.to)]
        return windows

    # The sync

    @cached_property
    def run(self) -> Run:
        """The run that the stream is part of.

        It is set before the sync. Where a program calls `Tap.sync_all`, which is final in the
        SDK, the first stream of the sync prepares it.
        """
        return self._prepare_run()

    @property
    def _stats(self) -> StreamStats:
        return self.run.summary.of(self.name)

    @property
    def _paginator(self) -> WindowPaginator:
        return self.run.paginators[self.name]

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Yield the records; a failure of this stream alone does not stop the others."""
        stats = self._stats
        stats.start()
        try:
            # `--test` sets it to 1; to stop here avoids the SDK's error for it. None: no limit.
            for record in islice(self._read(), self.ABORT_AT_RECORD_COUNT):
                yield record
                # `_generate_record_messages` runs during the `yield`. What it raised would end
                # the run, so it leaves the error of a stream map here.
                if self._map_failure is not None:
                    raise self._map_failure
                stats.rows += 1
            if stats.rows_without_key:
                self.run.report_skipped_rows()  # unless it does so at its end
        except StreamFailedError as error:
            self.run.fail(self.endpoint, error)
        finally:
            stats.stop()
            self.run.fetcher.finish_stream(self.name)

    def _read(self) -> Iterator[Record]:
        """Yield the records of all windows.

        The SDK has written a record before it asks for the next one, so a STATE message may be
        written between two windows. With `batch_config` see `_after_window`.
        """
        if self._stats.windows:
            raise RuntimeError("A tap syncs once: make another one for the next sync")
        reader = RowReader(self.endpoint, self.selected_fields(), self._stats)
        for window in self.run.plan[self.endpoint]:
            yield from self._read_window(window, reader)

    def _read_window(self, window: Window, reader: RowReader) -> Iterator[Record]:
        """Yield the records of a window, page by page; then extend or block the bookmark."""
        stats = self._stats
        skipped_before = stats.rows_without_key
        yield from self._read_pages(window, reader)
        self.run.fetcher.finish_window(self.name, window)
        stats.windows += 1
        self._sync_log.finish(window, self._requested_at)
        if stats.rows_without_key == skipped_before:
            self._after_window(window)  # extends the bookmark, writes STATE
        else:
            # A row without key was not written: the bookmark does not move past its window.
            self.state_manager.block_at(window)

    def _read_pages(self, window: Window, reader: RowReader) -> Iterator[Record]:
        """Yield the records of a window.

        They are written before the window is proved, and again where it is read again: rows are
        merged by their keys in the warehouse. Only the bookmark waits for the proof.
        """
        stats = self._stats
        # By version; with the record, as a row may change under the same date.
        last_page: dict[Any, Record | None] = {}
        is_first = True
        paginator = self._paginator
        # `_advance` moves the paginator on: behind the window's last page, to the next window.
        while not paginator.finished and (position := paginator.current_value).window == window:
            self.run.progress.reached(self.name, str(window))
            fetched = self.run.fetcher.page(self.name, position, probing=paginator.is_probing)
            if is_first:
                is_first = False
                self._requested_at = fetched.requested_at
                self._sync_log.begin(self.endpoint, stats)
                self._on_first_page(reader)  # for listings
            self._extracted_at = _plain(fetched.requested_at)  # it becomes `time_extracted`
            page, tries = reader.read(fetched.body), fetched.requests
            self._warn_of_repairs_and_old_rows(page, fetched.body, window)
            del fetched  # the body takes memory while the rows are written
            # `get_next` of the paginator decides whether it continues the page before.
            accepted = self._advance(page)
            self._sync_log.add(page, tries, accepted=accepted)
            if accepted:
                # Pages overlap: see `paginator`. Skipped rows are left out too.
                yield from _without_repeats(page, last_page)
                last_page = dict(zip(page.versions, page.records, strict=True))

    def _advance(self, page: Page) -> bool:
        """Let the paginator decide which page is next; return whether it accepts this one.

        Raises:
            StreamFailedError: If it cannot be proved that all rows of the window came.
        """
        paginator, stats = self._paginator, self._stats
        window, cut_before = paginator.current_value.window, paginator.cuts
        try:
            paginator.advance(page)  # it calls `get_next`, and moves on
        except RowsNotProvedError as error:
            raise StreamFailedError(
                f"GET {self.endpoint.path}: cannot prove that every row of {window} came: "
                f"{error}. The bookmark does not move past it. Run the sync again at a quieter "
                "time; if that does not help, report it"
            ) from None
        stats.pages_reread = paginator.pages_reread
        stats.distinct_rows = paginator.distinct_rows
        if paginator.cuts and not cut_before:
            self.logger.warning(
                "%s: the service sends fewer rows than asked for although it has more; reading "
                "on until a page brings nothing new",
                self.name,
            )
        return paginator.accepted

    def _warn_of_repairs_and_old_rows(self, page: Page, body: Body, window: Window) -> None:
        """Warn of what was repaired, and if all rows of a page last changed before its window.

        Litmos serves what was created or updated in it (the document); two days allow for any
        zone, and for dates that are read as days.
        """
        self._stats.repaired(body, str(window))
        if self.replication_key is not None and page.records:
            # A row whose date is not known may belong to the window.
            dates = ((row or {}).get(self.replication_key) or "unknown" for row in page.records)
            if max(dates) < format_moment(window.since.subtract(days=2)):
                self._stats.of_another_window(str(window))

    def _on_first_page(self, reader: RowReader) -> None:
        """Do what is due when the first page of a window has come, before its rows are read."""

    def _after_window(self, window: Window) -> None:
        """Extend the bookmark, now that a window is written whole, and no row was skipped."""
        if self.is_test:  # it has read one row of one window
            return
        self.state_manager.extend(window, self._requested_at)
        # In batch mode the SDK writes STATE, after the BATCH message that holds the rows.
        if self.get_batch_config(self.config) is None:
            self._write_state_message()  # the SDK leaves out one that equals the last

    @override
    def _write_state_message(self) -> None:
        """Write a STATE message, and before it the sync log's rows of the windows it covers."""
        self._sync_log.write()
        super()._write_state_message()


class ListingStream(LitmosStream):
    """A full listing of ids: read whole each time, without dates or bookmark."""

    _is_short = False  # by Litmos' own count

    @override
    def plan(self, now: DateTime) -> Sequence[Window]:
        return [WHOLE_LIST]

    def select_in(self, catalog: Catalog) -> None:
        """Select the stream in a catalog that does not list it yet."""
        if catalog.get_stream(self.name) is None:
            self.selected = True
            catalog.add_stream(self._singer_catalog_entry)

    @override
    def _read_pages(self, window: Window, reader: RowReader) -> Iterator[Record]:
        """Yield the ids once all have come, and none of them if one was skipped.

        The ids of an unfinished list would pass for all that exist.
        """
        pages = super()._read_pages(window, reader)
        if self.is_test:
            yield from pages
            return
        ids = list(pages)
        self._extracted_at = _plain(self._requested_at)
        self._is_short = self._lacks_ids(ids)
        if not self._stats.rows_without_key:
            yield from ids

    def _lacks_ids(self, records: Sequence[Record]) -> bool:
        """Return whether fewer ids came than Litmos counts, and warn of it."""
        total = self._stats.total_count
        if total is None or (came := len({record["Id"] for record in records})) >= total:
            return False
        self.logger.warning(
            "%s: %s came, but Litmos counts %d: it is not announced which were deleted",
            self.name,
            counted(came, "id"),
            total,
        )
        return True

    @override
    def _on_first_page(self, reader: RowReader) -> None:
        reader.set_constant("ListedAt", format_moment(self._requested_at))
        if self.is_test:
            return
        self._stats.total_count = self.run.fetcher.total_count(self.name)
        if self.get_batch_config(self.config) is None:  # a BATCH message carries no version
            self._version = self._requested_at.int_timestamp

    @override
    def _after_window(self, window: Window) -> None:
        """Announce the version: rows of earlier ones were deleted.

        Where nothing was written, or ids may be missing, it is not announced: it would mark as
        deleted who is not.
        """
        if self._version is not None and self._has_written and not self._is_short:
            self._write_activate_version_message(self._version)


def _plain(moment: DateTime) -> datetime:
    """Return a moment as a plain date-time, which is written faster than a pendulum one."""
    return datetime.fromtimestamp(moment.timestamp(), UTC)


def _without_repeats(page: Page, last_page: dict[Any, Record | None]) -> Iterator[Record]:
    """Yield the records of a page but those that the page before it brought alike.

    A window that is read again writes its rows again, which an upserting target merges. A row
    that changed meanwhile under the same date is another record, and has to be written.
    """
    for version, record in zip(page.versions, page.records, strict=True):
        if record is not None and last_page.get(version) != record:
            yield record
