"""What was read in a run: a table at its end, and the same as one structured log record."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_litmos.bodies import REPAIR
from tap_litmos.rows import (
    DEFAULTED,
    INVALID_VALUE,
    SHARED_KEY,
    UNKNOWN_FIELD,
    WITHOUT_KEY,
    Findings,
)
from tap_litmos.wording import aligned, pluralize

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from tap_litmos.readers import Job

_WARNINGS = {
    INVALID_VALUE: "{stream}.{about}: {example!r} is not valid for the field; writing null",
    DEFAULTED: "{stream}.{about} is missing; using its default",
    REPAIR: "{stream}: repaired {about}",
    WITHOUT_KEY: "{stream}: skipped a row without primary key (ids: {example})",
}
"""What is logged of the first finding about each field."""

_COLUMNS = {"rows": ",", "windows": ",", "requests": ",", "seconds": ",.1f"}
"""The columns of the table, and how their figures are shown."""

_COUNTED = {
    "invalid_values": INVALID_VALUE,
    "repairs": REPAIR,
    "rows_without_key": WITHOUT_KEY,
    "shared_keys": SHARED_KEY,
}
_NOTES = {
    "retries": "retry",
    "pages_reread": "reread page",
    "invalid_values": "invalid value",
    "repairs": "repair",
    "rows_without_key": "skipped row",
    "shared_keys": "row with the key of another",
    "unknown_fields": "unknown field",
}
"""What is noted below the table."""


@dataclass(slots=True)
class StreamStats:
    """What was read of one stream.

    Attributes:
        rows: Records written.
        windows: Windows finished.
        requests: Requests sent, retries included.
        retries: Requests that had to be sent again.
        pages_reread: Pages of windows that were read again.
        seconds: How long its sync took.
        failure: Why it failed, in one line. None: it did not.
        findings: What did not fit the schema.
    """

    rows: int = 0
    windows: int = 0
    requests: int = 0
    retries: int = 0
    pages_reread: int = 0
    seconds: float = 0.0
    failure: str | None = None
    findings: Findings = field(default_factory=Findings)

    def add(self, job: Job) -> Iterator[tuple[str, str]]:
        """Add a window; yield the findings that are new."""
        pages = [reading.count for reading in job.readings]
        retries = sum(reading.retries for reading in job.readings)
        self.windows += 1
        self.retries += retries
        self.requests += sum(pages) + retries
        self.pages_reread += sum(pages[1:])
        for reading in job.readings:
            yield from self.findings.update(reading.findings)

    def figures(self) -> dict[str, Any]:
        """Return all figures, JSON-ready."""
        figures = {name: getattr(self, name) for name in (*_COLUMNS, "retries", "pages_reread")}
        counts = {name: self.findings.count(what) for name, what in _COUNTED.items()}
        failure = {"failure": self.failure} if self.failure else {}
        unknown = {"unknown_fields": len(self.unknown_fields)}
        return figures | {"seconds": round(self.seconds, 3)} | counts | unknown | failure

    @property
    def unknown_fields(self) -> list[str]:
        """The elements that are not in the schema."""
        return sorted(about for what, about in self.findings.counts if what == UNKNOWN_FIELD)


class Summary:
    """What was read in a run."""

    def __init__(self, logger: logging.Logger) -> None:
        """Start an empty summary.

        Args:
            logger: Where warnings and the table go.
        """
        self.streams: dict[str, StreamStats] = {}
        self._logger = logger
        self._started = time.monotonic()

    def of(self, stream: str) -> StreamStats:
        """Return the figures of a stream, which begin at zero."""
        return self.streams.setdefault(stream, StreamStats())

    def add(self, job: Job) -> None:
        """Add a window; warn of what did not fit the schema, once for each field."""
        stream = job.stream.name
        stats = self.of(stream)
        for what, about in stats.add(job):
            if what in _WARNINGS:
                example = stats.findings.examples[what, about]
                text = _WARNINGS[what].format(stream=stream, about=about, example=example)
                self._logger.warning("%s", text)

    @property
    def problem(self) -> str:
        """Why the run is not a full success, in one line; empty if it is."""
        failed = {name: stats.failure for name, stats in self.streams.items() if stats.failure}
        skipped = {
            name: count
            for name, stats in self.streams.items()
            if (count := stats.findings.count(WITHOUT_KEY))
        }
        reasons = []
        if len(failed) == 1:
            reasons = [f"{name} failed: {failure}" for name, failure in failed.items()]
        elif failed:
            reasons = [f"{', '.join(failed)} failed, each for the reason logged above"]
        if skipped:
            reasons.append(
                f"{', '.join(skipped)}: skipped {pluralize(sum(skipped.values()), 'row')} "
                "without primary key; their bookmarks do not move past these rows. Correct the "
                "rows in Litmos"
            )
        return "; ".join(reasons)

    def close(self, slowdowns: int) -> None:
        """Log what was read: a table, and the same figures as a record named `run_summary`.

        Args:
            slowdowns: How often the tap slowed down, as another program uses the key.
        """
        streams = {name: stats.figures() for name, stats in self.streams.items()}
        names = (*_COLUMNS, *_NOTES)
        totals = {n: round(sum(figures[n] for figures in streams.values()), 3) for n in names}
        rows, requests = (
            pluralize(totals["rows"], "row"),
            pluralize(totals["requests"], "request"),
        )
        table = [["stream", *_COLUMNS]]
        for stream, figures in {**streams, "total": totals}.items():
            table.append([stream, *(f"{figures[name]:{_COLUMNS[name]}}" for name in _COLUMNS)])
        notes = [
            f"{stream}: {', '.join(parts)}"
            for stream, figures in streams.items()
            if (parts := [pluralize(figures[n], _NOTES[n]) for n in _NOTES if figures[n]])
        ]
        if slowdowns:
            notes.append(f"Slowed down {pluralize(slowdowns, 'time')}")
        # All in one message, as each has a prefix.
        self._logger.info(
            "%s",
            "\n".join([f"Read {rows} in {requests}", *aligned(table), *notes]),
            extra={"run_summary": {"streams": streams, "totals": totals, "slowdowns": slowdowns}},
        )
        self._warn_of_unknown_fields()

    def _warn_of_unknown_fields(self) -> None:
        unknown = {name: stats.unknown_fields for name, stats in self.streams.items()}
        if any(unknown.values()):
            self._logger.warning(
                "Fields that the tap does not know, kept in OtherFields if that is selected: %s",
                "; ".join(
                    f"{name}: {', '.join(unknown[name])}" for name in unknown if unknown[name]
                ),
            )
