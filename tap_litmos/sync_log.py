"""The sync log: a stream of the tap's own, with a row for each window that was read.

From its rows anybody can prove in the warehouse that the windows of a stream join without a
hole, and that the rows they brought are there: `docs/proof.md` has the SQL. A row is written
after all rows of its window, and before the STATE message that passes them. Nothing is kept
or computed unless the stream is selected.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from singer_sdk.batch import Batcher
from typing_extensions import override

from tap_litmos.client import DeclaredStream, naming_batch_config
from tap_litmos.errors import RunFailedError
from tap_litmos.streams import SYNC_LOG
from tap_litmos.windows import WHOLE_LIST, format_moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pendulum import DateTime
    from singer_sdk.helpers.types import Context, Record

    from tap_litmos.declaration import Endpoint
    from tap_litmos.rows import Page
    from tap_litmos.summary import StreamStats
    from tap_litmos.tap import TapLitmos
    from tap_litmos.windows import Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class SyncLog(DeclaredStream):
    """The stream of what was read; streams are read one after another, window by window."""

    def __init__(self, tap: TapLitmos) -> None:
        """Make the stream.

        Args:
            tap: The tap.
        """
        super().__init__(tap, SYNC_LOG)
        self._entry: Entry | None = None
        self._waiting: list[Record] = []
        self._schema_is_written = False

    def begin(self, endpoint: Endpoint, stats: StreamStats) -> None:
        """Begin a window whose first page has come, but is not read yet.

        Args:
            endpoint: Whose window it is.
            stats: The counters of its stream so far.
        """
        self._entry = Entry(endpoint, stats) if self.selected and not self.is_test else None

    def add(self, page: Page, requests: int, *, accepted: bool) -> None:
        """Add a page to the window.

        Args:
            page: The page.
            requests: How many requests it took.
            accepted: Whether its rows are written.
        """
        if self._entry is not None:
            self._entry.add(page, requests, accepted=accepted)

    def finish(self, window: Window, requested_at: DateTime) -> None:
        """Finish the window: all its rows are written, except those without key.

        Args:
            window: The window.
            requested_at: When its first page was requested.
        """
        if self._entry is not None:
            self._waiting.append(self._entry.row(window, requested_at))

    def write(self) -> None:
        """Write the rows of all windows that are finished.

        Raises:
            RunFailedError: If a stream map fails on one.
        """
        if not self._waiting:
            return
        self._write_schema_message()
        fields = self.selected_fields()
        rows = [
            {name: value for name, value in row.items() if name in fields}
            for row in self._waiting
        ]
        self._waiting.clear()
        batches = self.get_batch_config(self.config)
        if batches is not None:
            batcher = Batcher(self.tap_name, self.name, batches)
            with naming_batch_config():
                for manifest in batcher.get_batches(iter(rows)):
                    self._write_batch_message(batches.encoding, manifest)
            return
        self._extracted_at = datetime.now(UTC)  # these rows are made here, not requested
        for row in rows:
            self._write_record_message(row)
            if self._map_failure is not None:
                raise RunFailedError(str(self._map_failure))

    @override
    def _write_schema_message(self) -> None:
        """Write the SCHEMA message once: rows come before the stream's own turn, and after."""
        if not self._schema_is_written:
            self._schema_is_written = True
            super()._write_schema_message()

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        return ()


class Entry:
    """What is known of a window while it is read."""

    def __init__(self, endpoint: Endpoint, stats: StreamStats) -> None:
        """Begin the entry.

        Args:
            endpoint: Whose window it is.
            stats: The counters of its stream so far.
        """
        self._stats = stats
        self._before = _counts(stats)
        self._pages = self._requests = 0
        dates = {field.name for field in endpoint.fields if field.kind == "datetime"}
        self._are_dates = [name in dates for name in endpoint.key_fields]
        # By the hash of a row's key, the MD5 of its version; of several, the last one counts.
        # The hash is that of the key's text, as hash(-1) is hash(-2).
        self._rows: dict[int, tuple[bytes, str | None]] = {}
        self._replication_key = endpoint.replication_key

    def add(self, page: Page, requests: int, *, accepted: bool) -> None:
        """Add a page: see `SyncLog.add`."""
        self._pages += 1
        self._requests += requests
        if accepted:
            self._rows.update(
                (hash(str(key)), (self._hashed(version), self._dated(record)))
                for key, version, record in zip(
                    page.keys, page.versions, page.records, strict=True
                )
                if record is not None
            )

    def _dated(self, record: Record) -> str | None:
        """Return when a row last changed, by its own date."""
        return record.get(self._replication_key or "") or record.get("CreatedDate")

    def _hashed(self, version: Iterable[Any]) -> bytes:
        """Return the MD5 of a row's key and replication value.

        They stand in a line with `|` in between: date-times as microseconds since 1970, text
        and numbers as they are, `true` or `false`, nothing for null.
        """
        line = "|".join(
            _written(value, is_date=is_date)
            for value, is_date in zip(version, self._are_dates, strict=True)
        )
        return hashlib.md5(line.encode(), usedforsecurity=False).digest()

    def row(self, window: Window, requested_at: DateTime) -> Record:
        """Return the row of the log.

        Args:
            window: The window.
            requested_at: When its first page was requested.
        """
        counts = {
            name: count - self._before[name] for name, count in _counts(self._stats).items()
        }
        dated = [
            line
            for line, date in self._rows.values()
            if window is WHOLE_LIST
            or (date and window.since <= datetime.fromisoformat(date) <= window.to)
        ]
        complete_to = None if counts["RowsWithoutKey"] else window.complete_until(requested_at)
        return {
            "Stream": self._stats.stream,
            "Since": format_moment(window.since),
            "To": None if window is WHOLE_LIST else format_moment(window.to),
            "CompleteTo": complete_to and format_moment(complete_to),
            "RequestedAt": format_moment(requested_at),
            "Rows": len(self._rows),
            "RowsDatedInWindow": len(dated),
            "TotalCount": self._stats.total_count,
            "Pages": self._pages,
            "Requests": self._requests,
            "Retries": self._requests - self._pages,
            **counts,
            "Digest": digest(dated),
        }


def digest(rows: Iterable[bytes]) -> str:
    """Return the MD5 of the sorted hashes of rows, as 32 hexadecimal digits.

    The hashes are written as hexadecimal digits too, without anything in between. MD5, as
    every warehouse has it: it shows what is missing, and is no proof against forgery.
    """
    lines = "".join(sorted(row.hex() for row in rows))
    return hashlib.md5(lines.encode(), usedforsecurity=False).hexdigest()


def _counts(stats: StreamStats) -> dict[str, int]:
    """Return what is counted for a stream, and only grows."""
    return {
        "PagesReread": stats.pages_reread,
        "RowsWithoutKey": stats.rows_without_key,
        "InvalidValues": stats.invalid_values + stats.repairs,
    }


def _written(value: Any, *, is_date: bool) -> str:
    """Return a value as a line has it that is hashed."""
    if value is None:
        return ""
    if is_date:
        return str((datetime.fromisoformat(value) - _EPOCH) // _MICROSECOND)
    return str(value).lower() if isinstance(value, bool) else str(value)
