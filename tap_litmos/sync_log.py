"""The sync log: a stream of the tap's own, with a row for each window that was read.

From its rows anybody can prove in the warehouse that the windows of a stream join without a
hole, and that the rows they brought are there: `docs/proof.md` has the SQL. A row is written
before the STATE message that passes its window.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from functools import cached_property
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
        # By the hash of a row's key, the MD5 of its version, and its own date.
        self._rows: dict[int, tuple[str, str]] = {}
        self._waiting: list[Record] = []

    @cached_property
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
        date = record.get(endpoint.replication_key or "") or record.get("CreatedDate") or ""
        self._rows[hash(key)] = hashlib.md5(line.encode(), usedforsecurity=False).hexdigest(), date

    def finish(self, job: Job, *, is_whole: bool) -> None:
        """Finish the window: all its rows are written, except those without key."""
        window, requested_at, stats = job.window, job.requested_at, StreamStats()
        stats.add(job)
        complete_to = format_moment(window.complete_until(requested_at))
        since, to = format_moment(window.since), format_moment(window.to)
        is_list = window is WHOLE_LIST
        dated = [line for line, date in self._rows.values() if is_list or since <= date <= to]
        # Every warehouse has MD5; it shows what is missing, and is no proof against forgery.
        digest = hashlib.md5("".join(sorted(dated)).encode(), usedforsecurity=False)
        self._waiting.append(
            {
                "Stream": job.stream.name,
                "Since": since,
                "To": None if is_list else to,
                "CompleteTo": complete_to if is_whole else None,
                "RequestedAt": format_moment(requested_at),
                "Rows": len(self._rows),
                "RowsDatedInWindow": len(dated),
                "Pages": stats.requests - stats.retries,
                "Requests": stats.requests,
                "Retries": stats.retries,
                "PagesReread": stats.pages_reread,
                "RowsWithoutKey": job.rows_without_key,
                "InvalidValues": sum(map(stats.findings.count, (INVALID_VALUE, REPAIR))),
                "Digest": digest.hexdigest(),
            }
        )
        self._rows.clear()

    def flush(self) -> None:
        """Write the rows of all windows that are finished."""
        if self._waiting:
            self.sync()

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        rows, self._waiting = self._waiting, []
        yield from rows


def _written(value: Any, *, is_date: bool) -> str:
    """Return a value as it is hashed.

    Date-times are microseconds since 1970, booleans `true` or `false`, null is nothing.
    """
    if value is None:
        return ""
    if is_date:
        return str((datetime.fromisoformat(value) - _EPOCH) // _MICROSECOND)
    return str(value).lower() if isinstance(value, bool) else str(value)
