"""Answers, and the requests that they answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.client import responses
from typing import TYPE_CHECKING

from . import rules

if TYPE_CHECKING:
    from datetime import datetime

HTML = "text/html; charset=utf-8"
XML = "application/xml; charset=utf-8"

_REASONS = responses | {403: "The feature is not enabled for this account"}


@dataclass(slots=True, eq=False)
class Incoming:
    """A request that the sandbox received.

    Attributes:
        number: Its ordinal number, from 1.
        method: Its method.
        path: Its path below the base URL.
        stream: The stream that it requests, None if the path is unknown.
        query: Its parameters, which an `on_request` hook may change.
        headers: Its headers, with names in lower case.
        at: When it arrived, by the organisation's clock.
        time: When it arrived, by the monotonic clock, in seconds.
        status: The status code of the answer; 0 while there is none.
        fault: The fault that is injected, if any.
        since: The start of its window as sent, None if missing or invalid.
        to: The end of its window, None likewise.
        start: The number of the first row that it wants, None likewise.
        limit: How many rows it wants, None likewise.
    """

    number: int
    method: str
    path: str
    stream: str | None
    query: dict[str, str]
    headers: dict[str, str]
    at: datetime
    time: float = field(default_factory=time.monotonic)
    status: int = 0
    fault: str | None = None
    since: datetime | None = field(init=False)
    to: datetime | None = field(init=False)
    start: int | None = field(init=False)
    limit: int | None = field(init=False)

    def __post_init__(self) -> None:
        """Parse the parameters."""
        self.since, self.to = (rules.moment(self.query.get(name)) for name in ("since", "to"))
        self.start, self.limit = (
            rules.number(self.query.get(name)) for name in ("start", "limit")
        )


@dataclass(slots=True)
class Answer:
    """An answer that is ready to send.

    Attributes:
        status: The status code.
        body: The body.
        reason: The reason phrase, which carries the message of a refusal.
        content_type: The media type of the body.
        headers: More headers; they replace the default ones.
    """

    status: int
    body: bytes
    reason: str = ""
    content_type: str = XML
    headers: dict[str, str] = field(default_factory=dict)

    def head(self, now: datetime) -> dict[str, str]:
        """Return all headers; `now` is what the service's clock shows."""
        return {
            "Date": format_datetime(now, usegmt=True),
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            **self.headers,
        }


def refusal(status: int, message: str = "") -> Answer:
    """Return a refusal, with its message in the reason phrase, as Litmos does."""
    reason = message or _REASONS.get(status, "Refused")
    page = f"<!DOCTYPE html>\n<html><head><title>{reason}</title></head>"
    page += f"<body><h1>{status}</h1><p>{reason}</p></body></html>\n"
    return Answer(status, page.encode(), reason, HTML)
