"""Answers that fail, as those of real servers and networks do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import responses

_FAULTS = "429 408 500 502 503 504 reset drop cut cut-chunkless html root timeout"
FAULT_KINDS = tuple(_FAULTS.split())
"""What passes if one asks again; "timeout" keeps silent for a while."""

DEFAULT_FAULT_KINDS = FAULT_KINDS[:-1]

EMPTY_FAULT_KINDS = ("text", "message", "nil")
"""Answers that look like an empty page, and are none."""

SLOW_KINDS = ("slow-headers", "slow-body")
"""Answers that come byte by byte."""

ALL_FAULT_KINDS = (*FAULT_KINDS, *EMPTY_FAULT_KINDS, *SLOW_KINDS, "silent")

UNANSWERED_KINDS = {"reset", "drop", "timeout", "silent"}
BROKEN_KINDS = {*UNANSWERED_KINDS, "cut", "cut-chunkless"}
"""After these the connection is closed, though not all was sent."""

_REASONS = responses | {403: "The feature is not enabled for this account"}
HTML = "text/html; charset=utf-8"
XML = "application/xml; charset=utf-8"
_BODIES = {
    "root": "<Error><Message>Object reference not set</Message></Error>",
    "text": "<{root}>Service unavailable</{root}>",
    "message": "<{root}><Message>Service unavailable</Message></{root}>",
    "nil": '<{root} xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>',
}


@dataclass(slots=True)
class Answer:
    """An answer, not yet sent.

    Attributes:
        status: The status code.
        body: What follows the headers.
        reason: The reason phrase, which carries the message of a refusal.
        content_type: The media type of the body.
        headers: Further headers; they replace those that are sent by default.
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


def refusal(status: int, message: str | None = None) -> Answer:
    """Return an answer that refuses; the message is in the reason phrase, as in Litmos."""
    reason = message or _REASONS.get(status, "Refused")
    page = f"<!DOCTYPE html>\n<html><head><title>{reason}</title></head>"
    page += f"<body><h1>{status}</h1><p>{reason}</p></body></html>\n"
    return Answer(status, page.encode(), reason, HTML)


def faulty_answer(kind: str | None, root: str, number: int, retry_after: int) -> Answer | None:
    """Return the answer of a fault that has one of its own, else None.

    Args:
        kind: One of `ALL_FAULT_KINDS`. None: there is no fault.
        root: The root element that the answer should have.
        number: The number of the request: odd and even ones tell differently when to retry.
        retry_after: After how many seconds a 429 wants to be asked again.
    """
    if kind not in {None, *ALL_FAULT_KINDS}:
        raise ValueError(f"{kind!r} is no fault")
    if kind == "html":
        return Answer(200, refusal(200, "Sign in").body, "OK", HTML)
    if kind in _BODIES:
        return Answer(200, _BODIES[kind].format(root=root).encode(), "OK")
    if kind is None or not kind.isdigit():
        return None
    answer = refusal(int(kind))
    if kind == "429":
        # Rounded up: a date has whole seconds, and must not lie before the wanted moment.
        when = datetime.now(UTC) + timedelta(seconds=retry_after + 0.999)
        text = format_datetime(when, usegmt=True) if number % 2 else str(retry_after)
        answer.headers["Retry-After"] = text
    return answer
