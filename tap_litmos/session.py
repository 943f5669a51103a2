"""The HTTP session that all streams of a run share."""

from __future__ import annotations

import os
import threading
import time
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pendulum
import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidURL
from typing_extensions import override
from urllib3.exceptions import LocationParseError

from tap_litmos.errors import RunFailedError, in_one_line

if TYPE_CHECKING:
    from pendulum import DateTime

    from tap_litmos.rate import RateLimit

_CREDIBLE_YEARS = range(2007, 2100)
"""Litmos began in 2007, so a clock that shows an earlier year is wrong."""


class LitmosSession(requests.Session):
    """Waits for the rate limit before each request, and records when it was sent.

    `RESTStream` sends each try through it. Responses have two more attributes: `server_time`,
    when the request was sent by the server's clock, and `requested_at`, the same by the earlier
    of both clocks: a clock that is ahead would carry the bookmark past rows still to come.

    Attributes:
        rate: The rate limit.
        has_answered: Whether any response ever came.
        silent_since: Since when no response comes, by the monotonic clock. None: one came last.
    """

    def __init__(self, url: str, rate: RateLimit, *, connections: int) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: The base URL of the API.
            rate: The rate limit.
            connections: The most requests in flight at once.
        """
        super().__init__()
        self.rate = rate
        self.has_answered = False
        self.silent_since: float | None = None
        self.stream = True  # the streams read bodies up to a bound
        # On loopback, which is plain http, no proxy may come between: it would read the key.
        self.trust_env = url.lower().startswith("https")
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True  # `send` ignores it
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(pool_maxsize=connections))
        self._url = url
        self._lock = threading.Lock()
        self._logged_until: dict[str, float] = {}

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        # The SDK encodes a space as `+`, which is a space in forms only.
        request.url = (request.url or "").replace("+", "%20")
        self.rate.acquire()
        sent_at = pendulum.now("UTC")
        try:
            response = super().send(request, **{"verify": self.verify, **kwargs})
        except (OSError, ValueError, LocationParseError) as error:  # all of requests too
            if problem := self._explain(error):
                raise RunFailedError(problem) from None
            self.silent_since = self.silent_since or time.monotonic()
            raise
        self.has_answered, self.silent_since = True, None
        server_time = _server_time(response) or sent_at
        vars(response)["server_time"] = server_time
        vars(response)["requested_at"] = min(sent_at, server_time)
        return response

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: redirects are refused, and requests would fail on a malformed one."""

    def _explain(self, error: Exception) -> str | None:
        """Return what is wrong with the set-up of this machine or URL; None if it may pass."""
        text = in_one_line(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return (
                f"Not connecting to {self._url}: {text}. The API key was not sent. Check api_url, "
                "or set REQUESTS_CA_BUNDLE to your organization's certificates"
            )
        if isinstance(error, requests.RequestException) and not isinstance(error, ValueError):
            return None
        is_ours = str(urlsplit(self._url).hostname) in text
        if (isinstance(error, InvalidURL) and not is_ours) or "SOCKS" in text:
            return f"Cannot use the proxy: {text}. Check the environment variable HTTPS_PROXY"
        if "CA certificate" in text:
            return f"{text}. Check the environment variable REQUESTS_CA_BUNDLE"
        return f"Not connecting to {self._url}: {text}. Check api_url"

    def is_news(self, text: str, wait: float) -> bool:
        """Return whether to log a failure: not if an equal one was, and still waits.

        Args:
            text: What happened.
            wait: Seconds until the next try.
        """
        now = time.monotonic()
        with self._lock:
            if now < self._logged_until.get(text, now):
                return False
            self._logged_until[text] = now + wait
            return True


def _server_time(response: requests.Response) -> DateTime | None:
    """Return when a request was sent by the server's clock, at the latest; None if unknown."""
    try:
        date = pendulum.instance(parsedate_to_datetime(response.headers["Date"]))
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    if date.year not in _CREDIBLE_YEARS:
        return None
    # The header has whole seconds.
    return date.in_timezone("UTC").add(seconds=1) - response.elapsed
