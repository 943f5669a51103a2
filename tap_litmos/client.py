"""What every stream does: ask for its pages in order, write their rows, keep its bookmark."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import pendulum
from singer_sdk import Stream
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import RecordMessage, Schema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL, Metadata
from typing_extensions import override

from tap_litmos.errors import BadBodyError, StreamFailedError
from tap_litmos.rows import RowReader
from tap_litmos.windows import (
    RowsKeepMovingError,
    WindowPaginator,
    midnight,
    parse_moment,
    windows,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from pendulum import DateTime
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import Catalog, CatalogEntry, MetadataMapping

    from tap_litmos.declaration import Endpoint
    from tap_litmos.rows import Page
    from tap_litmos.summary import StreamStats
    from tap_litmos.tap import TapLitmos
    from tap_litmos.windows import Window

_CLOCKS_MAY_DIFFER_MINUTES = 5


class LitmosStream(Stream):
    """A stream of one endpoint.

    Rows leave window by window. When the last row of a window is written, its bookmark is
    due: it is put into the state right before the next STATE message, which follows at once,
    or in batch mode after the BATCH that holds the rows.
    """

    # Records leave `RowReader` with exactly the fields and types of the schema.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: TapLitmos, endpoint: Endpoint) -> None:
        """Make the stream; no setting is needed yet.

        Args:
            tap: The tap.
            endpoint: The declaration of the stream.
        """
        super().__init__(tap, schema=endpoint.schema(), name=endpoint.stream)
        self.endpoint = endpoint
        self.litmos = tap
        self.primary_keys = endpoint.primary_key
        self.replication_key = endpoint.replication_key
        self.selected_by_default = endpoint.selected_by_default
        self._bookmark: DateTime | None = None
        self._bookmark_is_due = False
        self._extracted_at: datetime | None = None

    # The catalog

    @property
    @override
    def metadata(self) -> MetadataMapping:
        if self._metadata is None:
            metadata = super().metadata
            from_catalog = self._tap_input_catalog is not None and (
                self._tap_input_catalog.get_stream(self.name) is not None
            )
            for field in self.endpoint.fields:
                if not field.selected_by_default and not from_catalog:
                    metadata["properties", field.name].selected_by_default = False
        return super().metadata

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        entry = catalog.get_stream(self.name)
        if entry is not None:
            self._mend(entry)
        super().apply_catalog(catalog)
        self.primary_keys = self.endpoint.primary_key
        self.replication_key = self.endpoint.replication_key

    def _mend(self, entry: CatalogEntry) -> None:
        """Make a catalog entry one that loses no rows, and say what was changed."""
        listed = entry.schema.properties = dict(entry.schema.properties or {})
        known: dict[str, Any] = self.schema["properties"]
        strange = sorted(listed.keys() - known.keys())
        for name in strange:
            del listed[name]
        keys = self.endpoint.automatic
        selection = entry.metadata.resolve_selection()
        unselected = sorted(
            key for key in keys if key not in listed or not selection["properties", key]
        )
        for key in keys:
            listed.setdefault(key, Schema.from_dict(known[key]))
            entry.metadata["properties", key].inclusion = Metadata.InclusionType.AUTOMATIC
        entry.key_properties = self.endpoint.primary_key
        missing = sorted(known.keys() - listed.keys())
        for names, what in (
            (strange, "are not known, and are ignored"),
            (unselected, "are its keys, and are delivered although they are not selected"),
            (missing, "are not listed, and are left out; --discover lists them"),
        ):
            if names and selection[()]:
                self.logger.warning(
                    "%s: these fields of the catalog %s: %s", self.name, what, ", ".join(names)
                )

    def select_in(self, catalog: Catalog) -> None:
        """Select the stream in a catalog that does not list it yet."""
        if catalog.get_stream(self.name) is None:
            self.selected = True
            catalog.add_stream(self._singer_catalog_entry)

    def selected_fields(self) -> set[str]:
        """Return the names of the fields that records hold."""
        return {
            field.name
            for field in self.endpoint.fields
            if field.name in self.effective_schema["properties"]
            and self.mask["properties", field.name]
        }

    # What to ask for

    @property
    @override
    def partitions(self) -> None:
        """None: a partitioned state is not one of this tap's."""

    @property
    def is_incremental(self) -> bool:
        """Whether the stream goes on from its bookmark."""
        return self.replication_method == REPLICATION_INCREMENTAL

    def plan(self, now: DateTime) -> Sequence[Window | None]:
        """Return the windows of this sync, oldest first.

        A sync begins at the midnight (UTC) at or before the bookmark less the lookback, but
        never before `start_date`'s.

        Args:
            now: The current moment.
        """
        if self.endpoint.is_listing:
            return [None]
        start = midnight(parse_moment(self.config["start_date"]))
        if self.is_incremental:
            self._bookmark = self._bookmark_in_state(now)
        else:
            self.logger.warning(
                "%s: the catalog asks for %s; all is read from start_date, and no bookmark is "
                "kept",
                self.name,
                self.replication_method,
            )
        if (bookmark := self._bookmark) is not None:
            if bookmark < start:
                self.logger.warning(
                    "%s: the bookmark %s is older than start_date; what lies between them is "
                    "not read. To read it, set start_date to an earlier date",
                    self.name,
                    bookmark,
                )
            else:
                lookback = bookmark.subtract(hours=self.config["lookback_hours"])
                start = max(start, midnight(lookback))
        end = self.config.get("end_date")
        planned = list(
            windows(
                start,
                now,
                days=self.config["window_days"],
                end=parse_moment(end) if end else None,
            )
        )
        return planned[-1:] if self.is_test else planned

    @property
    def is_batch(self) -> bool:
        """Whether rows leave in files, announced by BATCH messages."""
        return self.get_batch_config(self.config) is not None

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """Whether the SDK announces a new version before its rows.

        A listing announces it after them: what is missing from a part of the rows is not
        deleted.
        """
        return super().emit_activate_version_messages and not self.endpoint.is_listing

    @property
    def is_test(self) -> bool:
        """Whether one record is enough, as with `--test`."""
        return self.ABORT_AT_RECORD_COUNT is not None

    def _bookmark_in_state(self, now: DateTime) -> DateTime | None:
        """Return the bookmark, or None if there is none that can be trusted."""
        state = self.tap_state.get("bookmarks", {}).get(self.name, {})
        value = state.get("replication_key_value")
        if value is None:
            return None
        try:
            bookmark = parse_moment(value)
        except (ValueError, TypeError):
            reason = "is no date"
        else:
            if state.get("replication_key") != self.replication_key:
                reason = f"is of the replication key {state.get('replication_key')!r}"
            elif bookmark > now.add(minutes=_CLOCKS_MAY_DIFFER_MINUTES):
                reason = "lies in the future"
            else:
                return bookmark
        self.logger.warning(
            "%s: the bookmark %.50r %s; the stream is read from start_date again",
            self.name,
            value,
            reason,
        )
        for key in ("replication_key", "replication_key_value"):
            state.pop(key, None)
        return None

    # The sync

    @property
    def account(self) -> StreamStats:
        """The account of this stream."""
        return self.litmos.account.of(self.name)

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        for record in islice(self._read(), self.ABORT_AT_RECORD_COUNT):
            yield record
            self.account.rows += 1

    def _read(self) -> Iterator[Record]:
        """Yield the records of all windows; when one is taken, those before it are written."""
        fetcher, account = self.litmos.fetcher, self.account
        if self.endpoint.is_listing and not self.is_batch:
            self._stream_version = self._initialized_at // 1000
        reader = RowReader(self.endpoint, self.selected_fields(), account)
        paginator = WindowPaginator(self.litmos.plan[self.name], self.config["page_size"])
        delivered: dict[Any, Record] = {}
        requested_at = pendulum.now("UTC")
        while (position := paginator.position) is not None:
            self.litmos.progress.reached(self.name, position.window)
            answer = fetcher.page(self.name, position)
            # A pendulum date-time would be converted anew for each record.
            self._extracted_at = datetime.fromtimestamp(answer.requested_at.timestamp(), UTC)
            if position.offset == 0:
                requested_at, delivered = answer.requested_at, {}
            if answer.body.replaced:
                account.replaced(answer.body.replaced, _where(position.window))
            page = reader.read(answer.body)
            del answer
            try:
                continues = paginator.advance(page.count, frozenset(page.versions))
            except RowsKeepMovingError:
                raise StreamFailedError(
                    f"{self.endpoint.path}: the rows of {_where(position.window)} move faster "
                    "than they can be read. Run the sync again at a quieter time"
                ) from None
            account.pages_reread = paginator.steps_back
            if not continues:
                continue
            yield from _fresh(page, delivered)
            following = paginator.position
            if following is not None and following.offset > 0:
                delivered = dict(zip(page.versions, page.records, strict=False))
            else:
                fetcher.finish(self.name, position.window)
                self._finish(position.window, requested_at)
        if self._stream_version is not None and self.endpoint.is_listing:
            self._write_activate_version_message(self._stream_version)

    def _finish(self, window: Window | None, requested_at: DateTime) -> None:
        """Take note that all rows of a window have been written."""
        self.account.windows += 1
        if window is None or not self.is_incremental or self.is_test:
            return
        bookmark = window.bookmark(requested_at)
        self._bookmark = max(bookmark, self._bookmark or bookmark)
        self._bookmark_is_due = True
        if not self.is_batch:
            self.state_manager.is_flushed = False
            self._write_state_message()

    @override
    def _write_state_message(self) -> None:
        if self._bookmark_is_due:
            self.get_context_state(None).update(
                replication_key=self.replication_key,
                replication_key_value=f"{self._bookmark:%Y-%m-%dT%H:%M:%S.%f}Z",
            )
            self._bookmark_is_due = False
        super()._write_state_message()

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        """Sync the stream; a failure that is its own leaves the other streams alone."""
        self.account.start()
        try:
            yield from super()._sync_records(context, write_messages=write_messages)
        except (StreamFailedError, BadBodyError) as error:
            self.account.failure = str(error)
            self.logger.error("%s is given up: %s", self.name, error)  # noqa: TRY400
        finally:
            self.account.stop()
            self.litmos.fetcher.drop(self.name)

    # What the SDK would do for each record, and is done already or not needed

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        for stream_map in self.stream_maps:
            mapped = stream_map.transform(record)
            if mapped is not None:
                yield RecordMessage(
                    stream=stream_map.stream_alias,
                    record=mapped,
                    version=self._stream_version,
                    time_extracted=self._extracted_at,
                )

    @override
    def _process_record(
        self,
        record: Record,
        child_context: Context | None = None,
        partition_context: Context | None = None,
    ) -> None:
        """Do nothing: there are no child streams and no partitions."""

    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        """Do nothing: the bookmark is a window's end, never a row's date."""

    @override
    def _write_starting_replication_value(self, context: Context | None) -> None:
        """Do nothing: where a sync starts is part of the plan, not of the state."""

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return None: bookmarks never lie in the future."""


def _fresh(page: Page, delivered: dict[Any, Record]) -> Iterable[Record]:
    """Yield the records of a page but those that the page before it has delivered."""
    if not delivered:
        yield from page.records
        return
    for version, record in zip(page.versions, page.records, strict=False):
        if delivered.get(version) != record:
            yield record


def _where(window: Window | None) -> str:
    return f"{window.since:%Y-%m-%d} to {window.to:%Y-%m-%d}" if window else "the list"
