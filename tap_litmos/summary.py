"""What was read in a run: a table at its end, and the same as one structured log record."""

from __future__ import annotations

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
from tap_litmos.wording import aligned

if TYPE_CHECKING:
    import logging

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

_NOTES = ("retries", "pages_reread", INVALID_VALUE, REPAIR, WITHOUT_KEY, SHARED_KEY)
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

    def add(self, job: Job) -> list[tuple[str, str]]:
        """Add what a window cost; return the findings that are new."""
        pages = [reading.count for reading in job.readings]
        retries = sum(reading.retries for reading in job.readings)
        self.retries += retries
        self.requests += sum(pages) + retries
        self.pages_reread += sum(pages[1:])
        return [new for reading in job.readings for new in self.findings.update(reading.findings)]

    def figures(self) -> dict[str, Any]:
        """Return all figures, JSON-ready."""
        names = (*_COLUMNS, "retries", "pages_reread")
        figures = {name: round(getattr(self, name), 3) for name in names}
        figures |= {what: self.findings.count(what) for what in _NOTES[2:]}
        return figures | ({"failure": self.failure} if self.failure else {})

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
        reasons = [f"{name} failed: {failure}" for name, failure in failed.items()]
        if len(failed) > 1:
            reasons = [f"{', '.join(failed)} failed, each for the reason logged above"]
        reasons += [
            f"{name}: skipped rows without primary key; its bookmark does not move past them. "
            "Correct the rows in Litmos"
            for name, stats in self.streams.items()
            if stats.findings.count(WITHOUT_KEY)
        ]
        return "; ".join(reasons)

    def close(self, slowdowns: int) -> None:
        """Log what was read: a table, and the same figures as a record named `run_summary`.

        Args:
            slowdowns: How often the tap slowed down, as another program uses the key.
        """
        streams = {name: stats.figures() for name, stats in self.streams.items()}
        totals = _totals(list(streams.values()))
        table = [
            [stream, *(f"{figures[name]:{shown}}" for name, shown in _COLUMNS.items())]
            for stream, figures in {**streams, "total": totals}.items()
        ]
        notes = [f"{name}: {note}" for name in streams if (note := _note(streams[name]))]
        # All in one message, as each has a prefix.
        lines = ["What was read:", *aligned([["stream", *_COLUMNS], *table]), *notes]
        record = {"streams": streams, "totals": totals, "slowdowns": slowdowns}
        self._logger.info("%s", "\n".join(lines), extra={"run_summary": record})
        unknown = {name: stats.unknown_fields for name, stats in self.streams.items()}
        if named := [f"{name}: {', '.join(unknown[name])}" for name in unknown if unknown[name]]:
            text = "Unknown fields, kept in OtherFields if that is selected: %s"
            self._logger.warning(text, "; ".join(named))


def _totals(streams: list[dict[str, Any]]) -> dict[str, Any]:
    names = (*_COLUMNS, *_NOTES)
    return {name: round(sum(figures[name] for figures in streams), 3) for name in names}


def _note(figures: dict[str, Any]) -> str:
    """Return what is out of the ordinary in a stream's figures."""
    found = (f"{name.replace('_', ' ')} {figures[name]:,}" for name in _NOTES if figures[name])
    return ", ".join(found)
