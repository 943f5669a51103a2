"""What an answer tells besides its rows: its headers, and why a request was refused."""

from __future__ import annotations

from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import pendulum

from tap_litmos.windows import LONGEST_DAYS, parse_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pendulum import DateTime

    from tap_litmos.declaration import Endpoint

MEANINGS = {
    400: "Litmos does not accept the parameters of the request",
    401: "the API key is not valid, or the account is not enabled for the API",
    403: "the API key does not belong to an Account Owner, or this feature is not enabled",
    404: "there is no such endpoint",
    406: "Litmos does not accept the dates or parameters of the request",
}
"""What a status means that is final (the document, the vendor's other pages)."""


def advice(endpoint: Endpoint, params: Mapping[str, str | int], status: int) -> str:
    """Return what the user can do about an endpoint that refuses."""
    if status == HTTPStatus.NOT_ACCEPTABLE and _spans_a_week(params):
        return "Set window_days to 6: Litmos may count the 7 days of a window otherwise"
    if not endpoint.selected_by_default:
        return "Not every account has what this stream reads: deselect it then"
    if status == HTTPStatus.FORBIDDEN:
        return "Use the key of an Account Owner, or deselect the stream"
    return "Check the settings api_url, region and source; if that does not help, open an issue"


def _spans_a_week(params: Mapping[str, str | int]) -> bool:
    """Return whether a window is as long as Litmos allows."""
    if "since" not in params:
        return False
    since, to = (parse_moment(str(params[name])) for name in ("since", "to"))
    return (to - since).days == LONGEST_DAYS


def innermost(error: BaseException) -> BaseException:
    """Return the error with which it all began."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def charset(headers: Mapping[str, str]) -> str | None:
    """Return the charset that an answer's header names; requests' own has a default."""
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "")
    return message.get_content_charset()


def http_date(text: str) -> DateTime | None:
    """Parse an HTTP date; None if malformed."""
    try:
        return pendulum.instance(parsedate_to_datetime(text)).in_timezone("UTC")
    except (ValueError, TypeError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as seconds or as a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until = http_date(value)
    if until is None:
        return None
    now = http_date(headers.get("Date", "")) or pendulum.now("UTC")
    return max(0.0, (until - now).total_seconds())
