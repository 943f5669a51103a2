"""Why a request was refused for good, and what the user can do about it."""

from __future__ import annotations

import html
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from tap_litmos.errors import RunFailedError, StreamFailedError
from tap_litmos.windows import LONGEST_DAYS, parse_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from tap_litmos.declaration import Endpoint
    from tap_litmos.redact import RedactKey

MEANINGS = {
    400: "Litmos does not accept the parameters of the request",
    401: "the API key is not valid, or the account is not enabled for the API",
    403: "the API key does not belong to an Account Owner, or this feature is not enabled",
    404: "there is no such endpoint",
    406: "Litmos does not accept the dates or parameters of the request",
}
"""What a final status means (the document, the vendor's other pages)."""

_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def refusal(
    endpoint: Endpoint,
    params: Mapping[str, str | int],
    response: requests.Response,
    body: bytes,
    redactor: RedactKey,
) -> StreamFailedError | RunFailedError:
    """Return the error for a response with a final status.

    Args:
        endpoint: What was requested.
        params: The query.
        response: The response.
        body: What its body begins with.
        redactor: Hides the key.
    """
    status = response.status_code
    message = f"GET {endpoint.path} returned {status}: {_meaning(response, redactor)}."
    if said := _said(response.reason or "", body, redactor):
        message += f' Server said: "{said}".'
    if status == HTTPStatus.UNAUTHORIZED:
        return RunFailedError(f"{message} Check the settings api_key and region")
    return StreamFailedError(f"{message} {_advice(endpoint, params, status)}", status)


def _meaning(response: requests.Response, redactor: RedactKey) -> str:
    """Explain a final status in words."""
    target = response.headers.get("Location")
    if target is not None and response.status_code // 100 == 3:  # noqa: PLR2004
        return (
            f"it points to {redactor.one_line(target)}, but redirects are not followed, as "
            "they would carry the key along"
        )
    return MEANINGS.get(response.status_code, "Litmos does not document this status")


def _said(reason: str, body: bytes, redactor: RedactKey) -> str:
    """Return the text of a refusal: its reason phrase and its body, without the tags."""
    # The key is hidden twice: here, as it may have a `<` or be cut at the end; and by
    # `one_line`, as unescaping may reveal it again.
    text = _TAGS.sub(" ", redactor.hide(body.decode(errors="replace"), cut=True))
    said = redactor.one_line(html.unescape(text), cut=True)
    reason = redactor.one_line(reason)
    return said if reason in said else "; ".join(filter(None, (reason, said)))


def _advice(endpoint: Endpoint, params: Mapping[str, str | int], status: int) -> str:
    """Return what the user can do about an endpoint that refuses."""
    if status == HTTPStatus.NOT_ACCEPTABLE and _spans_a_week(params):
        return "Set window_days to 6: Litmos may count the 7 days of a window otherwise"
    if not endpoint.selected_by_default:
        return "Not every account has what this stream reads: if yours does not, deselect it"
    if status == HTTPStatus.FORBIDDEN:
        return "Use the key of an Account Owner, or deselect the stream"
    return "Check the settings api_url, region and source; if that does not help, open an issue"


def _spans_a_week(params: Mapping[str, str | int]) -> bool:
    """Return whether a window is as long as Litmos allows."""
    if "since" not in params:
        return False
    since, to = (parse_moment(str(params[name])) for name in ("since", "to"))
    return (to - since).days == LONGEST_DAYS
