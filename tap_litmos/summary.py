"""The run summary: exactly what was read, for each stream."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_litmos.wording import aligned, counted

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

    from tap_litmos.bodies import Body

_SHOWN = 10
"""How many warnings of one sort are logged for a field."""

_MOST_UNKNOWN = 1000
"""How many unknown fields of a stream are counted: a hostile body could hold any number."""

_MOST_LOGGED = 100
"""How many of them are logged."""


@dataclass(slots=True)
class StreamStats:
    """What was read of one stream.

    Attributes:
        stream: Its name.
        rows: Records written.
        distinct_rows: Rows that were told apart by their key within each window.
        windows: Windows finished.
        requests: Requests sent, retries included.
        retries: Requests that had to be sent again.
        pages_reread: Pages that were asked for again, as rows had moved or came twice.
        invalid_values: Values that were not valid for their field.
        repairs: Characters, bytes and entities that were repaired, so that a body is XML.
        rows_without_key: Rows skipped, as they had no primary key.
        unknown_fields: Elements that are not in the schema.
        total_count: How many rows there are by Litmos' own count, None if it gives none.
        seconds: How long its sync took.
        failure: Why it was given up, in a line, or None.
    """

    stream: str
    logger: logging.Logger
    rows: int = 0
    distinct_rows: int = 0
    windows: int = 0
    requests: int = 0
    retries: int = 0
    pages_reread: int = 0
    invalid_values: int = 0
    repairs: int = 0
    rows_without_key: int = 0
    total_count: int | None = None
    seconds: float = 0.0
    failure: str | None = None
    _unknown: set[str] = field(default_factory=set)
    _warned: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: float | None = None

    @property
    def unknown_fields(self) -> int:
        """How many elements are not in the schema."""
        return len(self._unknown)

    def start(self) -> None:
        """Let the clock run."""
        self._started = time.monotonic()

    def stop(self) -> None:
        """Stop the clock."""
        if self._started is not None:
            self.seconds += time.monotonic() - self._started
            self._started = None

    def requested(self) -> None:
        """Count a request; called from several threads."""
        with self._lock:
            self.requests += 1

    def retried(self) -> None:
        """Count a retry; called from several threads."""
        with self._lock:
            self.retries += 1

    def invalid_value(self, field: str, value: str, kind: str) -> None:
        """Count a value that is not valid for its field, and warn of it."""
        self.invalid_values += 1
        self._warn(
            field,
            "%s.%s: %r is not a valid %s; writing null, and it to OtherFields if selected",
            self.stream,
            field,
            value[:100],
            kind,
        )

    def defaulted(self, field: str) -> None:
        """Warn of a part of the key that is missing, and has a default."""
        self._warn(field, "%s.%s is missing; using its default", self.stream, field)

    def repaired(self, body: Body, where: str) -> None:
        """Count the repairs of a body, and warn of them."""
        for what, count in body.repairs.items():
            self.repairs += count
            repairs = counted(count, what)
            self._warn(what, "%s, %s: repaired %s", self.stream, where, repairs)

    def of_another_window(self, window: str) -> None:
        """Warn of a page whose rows all last changed before its window."""
        self._warn(
            "",
            "%s, %s: all rows of a page last changed before that. Check them: a proxy or cache "
            "may have sent a wrong one",
            self.stream,
            window,
        )

    def unknown_field(self, element: str) -> None:
        """Count an element that is not in the schema, and warn of it once."""
        if element in self._unknown or len(self._unknown) >= _MOST_UNKNOWN:
            return
        self._unknown.add(element)
        if len(self._unknown) <= _MOST_LOGGED:
            self.logger.warning(
                "%s: unknown field %r (not in the schema); kept in OtherFields if selected",
                self.stream,
                element[:100],
            )

    def row_without_key(self, ids: dict[str, Any]) -> None:
        """Count a row without its primary key, and warn of it."""
        self.rows_without_key += 1
        self._warn("", "%s: skipped a row without primary key (ids: %s)", self.stream, ids)

    def _warn(self, about: str, message: str, *values: object) -> None:
        self._warned[message, about] += 1
        if self._warned[message, about] <= _SHOWN:
            self.logger.warning(message, *values)
        if self._warned[message, about] == _SHOWN:
            self.logger.warning("%s: further such warnings are suppressed", self.stream)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, JSON-ready. An interrupted sync may have left the clock on."""
        self.stop()
        figures = {name: getattr(self, name) for name in (*_COLUMNS, *_NOTES)}
        figures["seconds"] = round(self.seconds, 3)
        if self.total_count is not None:
            figures["total_count"] = self.total_count
        return figures | ({"failure": self.failure} if self.failure else {})

    def notes(self) -> str:
        """Return what is out of the ordinary, in a line; nothing if all is as it should be."""
        return ", ".join(
            counted(number, noun)
            for name, noun in _NOTES.items()
            if (number := getattr(self, name))
        )


# The columns of the table, and how their figures are shown.
_COLUMNS = {
    "rows": ",",
    "distinct_rows": ",",
    "windows": ",",
    "requests": ",",
    "seconds": ",.1f",
}
_NOTES = {
    "retries": "retry",
    "pages_reread": "reread page",
    "invalid_values": "invalid value",
    "repairs": "repair",
    "rows_without_key": "skipped row",
    "unknown_fields": "unknown field",
}


class RunSummary:
    """What was read in a run."""

    def __init__(self, logger: logging.Logger) -> None:
        """Start an empty summary."""
        self.logger = logger
        self.streams: dict[str, StreamStats] = {}

    def of(self, stream: str) -> StreamStats:
        """Return the figures of a stream, which begin at zero."""
        if stream not in self.streams:
            self.streams[stream] = StreamStats(stream, self.logger)
        return self.streams[stream]

    @property
    def problem(self) -> str:
        """Why the run is not a full success, in a line; nothing if it is."""
        failed = [stats for stats in self.streams.values() if stats.failure]
        without_key = [stats for stats in self.streams.values() if stats.rows_without_key]
        reasons = []
        if len(failed) == 1:
            reasons.append(f"{failed[0].stream} failed: {failed[0].failure}")
        elif failed:
            reasons.append(f"{_names(failed)} failed, each for the reason logged above")
        if without_key:
            rows = sum(stats.rows_without_key for stats in without_key)
            skipped = counted(rows, _NOTES["rows_without_key"])
            reasons.append(
                f"{_names(without_key)}: {skipped} without primary key; no bookmark moves "
                "past them. Correct these rows in Litmos"
            )
        return "; ".join(reasons)

    def close(self, slowdowns: int = 0) -> None:
        """Log what was read: a table, and the same figures as a record named `run_summary`.

        Where nothing was read there is no table: an error says why.

        Args:
            slowdowns: How often the tap slowed down, as another client uses the key.
        """
        streams = {
            stats.stream: stats.as_dict()
            for stats in self.streams.values()
            if stats.requests or stats.rows
        }
        totals = {
            name: round(sum(figures[name] for figures in streams.values()), 3)
            for name in (*_COLUMNS, *_NOTES)
        }
        rows, requests = counted(totals["rows"], "row"), counted(totals["requests"], "request")
        lines = [f"Read {rows} in {requests}"]
        if totals["rows"] + totals["windows"]:
            lines += [*_table(streams, totals), *self._notes(slowdowns)]
        # All in one message: each has a prefix, which in Meltano's log takes 54 columns.
        self.logger.info(
            "%s",
            "\n".join(lines),
            extra={
                "run_summary": {"streams": streams, "totals": totals, "slowdowns": slowdowns}
            },
        )

    def _notes(self, slowdowns: int) -> Iterator[str]:
        """Yield what is out of the ordinary, a line for each stream."""
        for stats in self.streams.values():
            if notes := stats.notes():
                yield f"{stats.stream}: {notes}"
        if slowdowns:
            yield f"Slowed down {counted(slowdowns, 'time')}, as another client uses this key"


def _names(streams: Sequence[StreamStats]) -> str:
    return ", ".join(stats.stream for stats in streams)


def _table(streams: Mapping[str, Mapping[str, Any]], totals: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table that is at most 80 columns wide."""
    columns = list(_COLUMNS)
    if totals["distinct_rows"] == totals["rows"]:
        columns.remove("distinct_rows")
    table = [["stream", *(name.removesuffix("_rows") for name in columns)]]
    for stream, figures in {**streams, "total": totals}.items():
        table.append([stream, *(f"{figures[name]:{_COLUMNS[name]}}" for name in columns)])
    return aligned(table)
