"""The account of a run: exactly what was read, for each stream."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

_SHOWN = 10
"""How many warnings of one sort are logged for a field; all are counted."""


@dataclass(slots=True)
class StreamStats:
    """What was read of one stream.

    Attributes:
        stream: Its name.
        rows: Records written.
        windows: Windows finished.
        requests: Requests sent, retries included.
        retries: Requests that had to be sent again.
        pages_reread: How often paging had to step back, as rows had moved.
        misfits: Values that did not fit, and forbidden characters replaced.
        rows_without_key: Rows left out, as they had no primary key.
        unknown_fields: Elements left out that no schema knows.
        seconds: How long its sync took.
        failure: Why it was given up, in a line, or None.
    """

    stream: str
    logger: logging.Logger
    rows: int = 0
    windows: int = 0
    requests: int = 0
    retries: int = 0
    pages_reread: int = 0
    misfits: int = 0
    rows_without_key: int = 0
    seconds: float = 0.0
    failure: str | None = None
    _unknown: set[str] = field(default_factory=set)
    _warned: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: float | None = None

    @property
    def unknown_fields(self) -> int:
        """How many elements no schema knows."""
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
        """Count a value that is not of its field's kind, and warn of it."""
        self.misfits += 1
        self._warn(
            field,
            "%s.%s: %r is no %s; null is delivered",
            self.stream,
            field,
            value[:100],
            kind,
        )

    def replaced(self, characters: int, where: str) -> None:
        """Count characters that XML forbids, and warn of them."""
        self.misfits += characters
        self._warn(
            "\0",
            "%s: %d characters that XML forbids were replaced by U+FFFD in %s",
            self.stream,
            characters,
            where,
        )

    def unknown(self, element: str) -> None:
        """Count an element that no schema knows, and warn of it once."""
        if element in self._unknown or len(self._unknown) >= 1000:  # noqa: PLR2004
            return
        self._unknown.add(element)
        if len(self._unknown) <= 100:  # noqa: PLR2004
            self.logger.warning(
                "%s: the field %r is in no schema and is left out", self.stream, element[:100]
            )

    def row_without_key(self, ids: dict[str, Any]) -> None:
        """Count a row without its primary key, and warn of it."""
        self.rows_without_key += 1
        self._warn("", "%s: a row without primary key is left out; it has %s", self.stream, ids)

    def _warn(self, about: str, message: str, *values: object) -> None:
        self._warned[about] += 1
        if self._warned[about] <= _SHOWN:
            self.logger.warning(message, *values)
        if self._warned[about] == _SHOWN:
            self.logger.warning("%s: more of the same is counted only", self.stream)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, JSON-ready."""
        names = [name for name, _ in COLUMNS]
        figures = {name: getattr(self, name) for name in names if name != "stream"}
        figures["seconds"] = round(self.seconds, 3)
        return figures | ({"failure": self.failure} if self.failure else {})


COLUMNS = (
    ("stream", "stream"),
    ("rows", "rows"),
    ("windows", "windows"),
    ("requests", "requests"),
    ("retries", "retries"),
    ("pages_reread", "windows read again"),
    ("misfits", "values that did not fit"),
    ("rows_without_key", "rows without key"),
    ("unknown_fields", "unknown fields"),
    ("seconds", "seconds"),
)

_RARE = {"retries", "pages_reread", "misfits", "rows_without_key", "unknown_fields"}
_WIDE = 110


class RunSummary:
    """What was read in a run."""

    def __init__(self, logger: logging.Logger) -> None:
        """Start an empty account."""
        self.logger = logger
        self.streams: dict[str, StreamStats] = {}

    def of(self, stream: str) -> StreamStats:
        """Return the account of a stream, which is opened if need be."""
        return self.streams.setdefault(stream, StreamStats(stream, self.logger))

    @property
    def problems(self) -> list[str]:
        """One line for each reason why the run is not a full success."""
        return [
            f"{each.stream} failed: {each.failure}"
            for each in self.streams.values()
            if each.failure
        ] + [
            f"{each.stream}: {each.rows_without_key} rows without primary key were left out"
            for each in self.streams.values()
            if each.rows_without_key
        ]

    def close(self) -> None:
        """Log the account as one structured record, and print it as a table on stderr."""
        if not self.streams:
            return
        from rich.box import SIMPLE  # noqa: PLC0415 - costs time, and the start counts
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        accounts = list(self.streams.values())
        for each in accounts:
            each.stop()
        totals = {
            name: round(sum(getattr(each, name) for each in accounts), 3)
            for name, _ in COLUMNS[1:]
        }
        self.logger.info(
            "Read %d rows in %d requests",
            totals["rows"],
            totals["requests"],
            extra={
                "account": {
                    "streams": {each.stream: each.as_dict() for each in accounts},
                    "totals": totals,
                }
            },
        )
        console = Console(stderr=True)
        if not console.is_terminal:
            console = Console(stderr=True, width=_WIDE)
        # Where there is no room for all, what did not happen is left out.
        shown = [
            (name, heading)
            for name, heading in COLUMNS
            if console.width >= _WIDE or name not in _RARE or totals[name]
        ]
        table = Table(title="What was read", show_footer=True, box=SIMPLE)
        for name, heading in shown:
            footer = "total" if name == "stream" else _shown(totals[name])
            longest = max(map(len, heading.split()))
            table.add_column(heading, footer, justify="right", min_width=longest)
        table.columns[0].justify = "left"
        table.columns[0].no_wrap = True
        for each in accounts:
            table.add_row(*(_shown(getattr(each, name)) for name, _ in shown))
        console.print(table)


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
