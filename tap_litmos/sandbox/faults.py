"""Answers that fail, as those of real servers and networks do."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

FAULT_KINDS = (
    "429",
    "408",
    "500",
    "502",
    "503",
    "504",
    "reset",
    "drop",
    "cut",
    "cut-chunkless",
    "html",
    "root",
    "timeout",
)
DEFAULT_FAULT_KINDS = FAULT_KINDS[:-1]

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "The feature is not enabled for this account",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_LINGER = "hh" if os.name == "nt" else "ii"
HTML = "text/html; charset=utf-8"
XML = "application/xml; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """An answer, not yet sent.

    Attributes:
        status: The status code.
        body: What follows the headers.
        reason: The reason phrase, which carries the message of a refusal.
        content_type: The media type of the body.
        headers: Further headers.
    """

    status: int
    body: bytes
    reason: str
    content_type: str = XML
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The status code and the reason phrase."""
        return f"{self.status} {self.reason}"

    def all_headers(self) -> list[tuple[str, str]]:
        """Return all headers, with those that follow from the body."""
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            *self.headers,
        ]


def refusal(status: int, message: str | None = None) -> Answer:
    """Return an answer that refuses; the message is in the reason phrase, as in Litmos."""
    reason = message or REASONS.get(status, "Refused")
    page = f"<!DOCTYPE html>\n<html><head><title>{reason}</title></head>"
    page += f"<body><h1>{status}</h1><p>{reason}</p></body></html>\n"
    return Answer(status, page.encode(), reason, HTML)


def faulty_answer(kind: str, number: int, retry_after: int) -> Answer | None:
    """Return the answer of a fault that is a whole answer, None for a broken connection.

    Args:
        kind: One of `FAULT_KINDS`.
        number: The number of the request: odd and even ones tell differently when to retry.
        retry_after: After how many seconds a 429 wants to be asked again.
    """
    if kind == "html":
        return Answer(200, refusal(200, "Sign in").body, "OK", HTML)
    if kind == "root":
        return Answer(200, b"<Error><Message>Object reference not set</Message></Error>", "OK")
    if not kind.isdigit():
        return None
    answer = refusal(int(kind))
    if kind == "429":
        # Rounded up: a date has whole seconds, and must not lie before the wanted moment.
        when = datetime.now(UTC) + timedelta(seconds=retry_after + 0.999)
        text = format_datetime(when, usegmt=True) if number % 2 else str(retry_after)
        answer.headers.append(("Retry-After", text))
    return answer


def break_connection(kind: str, answer: Answer, connection: socket.socket) -> None:
    """Send a part of an answer or nothing, and close the connection in a certain way.

    Args:
        kind: "reset", "drop", "timeout", "cut" or "cut-chunkless".
        answer: What would have been sent.
        connection: The connection to the client.
    """
    if kind == "reset":
        # Closed for good at once, with nothing left to send: the client gets RST, not FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        socket.close(connection.detach())
        return
    if kind.startswith("cut"):
        head = (
            f"HTTP/1.1 {answer.line}\r\nDate: {format_datetime(datetime.now(UTC), usegmt=True)}"
        )
        for name, value in answer.all_headers():
            if name != "Content-Length" or kind == "cut":
                head += f"\r\n{name}: {value}"
        half = answer.body[: len(answer.body) // 2]
        connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode("latin-1") + half)
    connection.shutdown(socket.SHUT_RDWR)
