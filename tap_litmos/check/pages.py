"""Pages that are asked for, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pendulum import DateTime

    from tap_litmos.declaration import Endpoint
    from tap_litmos.paginator import Position
    from tap_litmos.rows import Page
    from tap_litmos.windows import Window

LIMIT = 1000
"""The most rows that Litmos takes as `limit` (the document)."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page to ask for.

    Attributes:
        endpoint: Where.
        position: Which window, from which row on.
        limit: How many rows.
    """

    endpoint: Endpoint
    position: Position
    limit: int = LIMIT


@dataclass(frozen=True, slots=True)
class SeenPage:
    """The page that came, without its values.

    Attributes:
        request: What was asked.
        versions: For each row its key and its date of change; see `rows.Page`.
        keys: For each row its key.
        dates: For each row when it last changed; None where it does not say, or has no key.
        created: For each row when it was created; None in the same cases.
        repeated: How many rows with a key came more than once.
        requested_at: When it was asked for.
    """

    request: PageRequest
    versions: Sequence[Hashable]
    keys: Sequence[Hashable]
    dates: Sequence[datetime | None]
    created: Sequence[datetime | None]
    repeated: int
    requested_at: DateTime

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that was asked."""
        return self.request.endpoint

    @property
    def window(self) -> Window:
        """The window that was asked for."""
        return self.request.position.window

    @property
    def rows(self) -> int:
        """How many rows came."""
        return len(self.keys)

    @classmethod
    def of(cls, request: PageRequest, rows: Page, requested_at: DateTime) -> SeenPage:
        """Return what is kept of the rows of a page."""
        created = [_date(record, "CreatedDate") for record in rows.records]
        changed = [_date(record, request.endpoint.replication_key) for record in rows.records]
        # Of some rows the date of change is null until they change.
        dates = [date or other for date, other in zip(changed, created, strict=True)]
        return cls(
            request, rows.versions, rows.keys, dates, created, _repeated(rows), requested_at
        )


def _repeated(rows: Page) -> int:
    """Return how many rows with a key came once more."""
    keys = [key for key, record in zip(rows.keys, rows.records, strict=True) if record]
    return len(keys) - len(set(keys))


def _date(record: dict[str, Any] | None, name: str | None) -> datetime | None:
    """Return a date of a row, None if it has none."""
    text = record.get(name) if record and name else None
    return datetime.fromisoformat(text) if text else None
