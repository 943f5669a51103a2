"""The sync log: a stream of the tap's own, with a row for each window that was read.

From its rows anybody can prove in the warehouse that the windows of a stream join without a
hole, and that the rows they brought are there: `docs/proof.md` has the SQL. A row is written
before the STATE message that passes its window.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from singer_sdk import Stream
from typing_extensions import override

from tap_litmos.bodies import REPAIR
from tap_litmos.bookmark import Stateless
from tap_litmos.rows import INVALID_VALUE
from tap_litmos.streams import SYNC_LOG
from tap_litmos.summary import StreamStats
from tap_litmos.windows import WHOLE_LIST, format_moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record

    from tap_litmos.declaration import Endpoint
    from tap_litmos.readers import Job
    from tap_litmos.tap import TapLitmos

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Flushed(Stateless):
    """Never asks for a STATE message: the SDK would write it before the rows it covers."""

    is_flushed = property(lambda _: True, lambda *_: None)


class SyncLog(Stream):
    """The stream of what was read. It is synced whenever a window is finished."""

    def __init__(self, tap: TapLitmos) -> None:
        """Make the stream.

        Args:
            tap: The tap.
        """
        super().__init__(tap, schema=SYNC_LOG.schema(), name=SYNC_LOG.stream)
        self.primary_keys = SYNC_LOG.primary_key
        self.replication_key = SYNC_LOG.replication_key
        self.selected_by_default = SYNC_LOG.selected_by_default
        self.logger.setLevel(logging.WARNING)  # else the SDK announces each sync of it
        # By the hash of a row's key, the MD5 of its version; of several, the last one counts.
        self._hashes: dict[int, bytes] = {}
        self._waiting: list[Record] = []

    @property
    @override
    def state_manager(self) -> Stateless:
        return _Flushed(stream_name=self.name, tap_state=self.tap_state)

    def add(self, record: Record, endpoint: Endpoint) -> None:
        """Add a row of the window that is being written."""
        kinds = {field.name: field.kind for field in endpoint.fields}
        line = "|".join(
            _written(record[name], is_date=kinds[name] == "datetime")
            for name in endpoint.key_fields
        )
        key = str([record[name] for name in endpoint.primary_key])
        self._hashes[hash(key)] = hashlib.md5(line.encode(), usedforsecurity=False).digest()

    def finish(self, job: Job, *, is_whole: bool) -> None:
        """Finish the window: all its rows are written, except those without key."""
        window, requested_at, stats = job.window, job.requested_at, StreamStats()
        stats.add(job)
        complete_to = format_moment(window.complete_until(requested_at))
        # Every warehouse has MD5; it shows what is missing, and is no proof against forgery.
        lines = "".join(sorted(row.hex() for row in self._hashes.values()))
        self._waiting.append(
            {
                "Stream": job.stream.name,
                "Since": format_moment(window.since),
                "To": None if window is WHOLE_LIST else format_moment(window.to),
                "CompleteTo": complete_to if is_whole else None,
                "RequestedAt": format_moment(requested_at),
                "Rows": len(self._hashes),
                "Pages": stats.requests - stats.retries,
                "Requests": stats.requests,
                "Retries": stats.retries,
                "PagesReread": stats.pages_reread,
                "RowsWithoutKey": job.rows_without_key,
                "InvalidValues": sum(map(stats.findings.count, (INVALID_VALUE, REPAIR))),
                "Digest": hashlib.md5(lines.encode(), usedforsecurity=False).hexdigest(),
            }
        )
        self._hashes.clear()

    def flush(self) -> None:
        """Write the rows of all windows that are finished."""
        if self._waiting:
            self.sync()

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
<<<<<<< HEAD
        rows, self._waiting = self._waiting, []
        yield from rows
=======
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
>>>>>>> dbt


def _written(value: Any, *, is_date: bool) -> str:
    """Return a value as it is hashed.

    Date-times are microseconds since 1970, booleans `true` or `false`, null is nothing.
    """
    if value is None:
        return ""
    if is_date:
        return str((datetime.fromisoformat(value) - _EPOCH) // _MICROSECOND)
    return str(value).lower() if isinstance(value, bool) else str(value)
