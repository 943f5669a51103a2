"""The one door to the network: session, key, rate limit and retries.

All requests of a run pass one `Transport`. Facts about Litmos' answers come from the vendor's
pages unless marked as inferred.
"""

from __future__ import annotations

import contextlib
import html
import io
import logging
import re
import ssl
import threading
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import pendulum
import requests
import tenacity
import urllib3

from tap_litmos import rate
from tap_litmos.answers import MEANINGS, advice, charset, http_date, innermost, retry_after
from tap_litmos.bodies import Body, clean_body
from tap_litmos.connections import Adapter, Sockets
from tap_litmos.errors import (
    BadBodyError,
    HostileBodyError,
    NoAnswerError,
    RunFailedError,
    StreamFailedError,
    TransientError,
    TransportClosedError,
)
from tap_litmos.patience import HostHealth, Tries
from tap_litmos.redact import RedactKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pendulum import DateTime

    from tap_litmos.declaration import Endpoint

logger = logging.getLogger("tap-litmos")

PAGES_AHEAD = 4
"""Pages held as bytes beyond those that may be in flight."""

MEMORY = 1 << 30
"""Bytes that all bodies in flight or held ahead may take together, unpacked."""

_LITMOS_BEGAN = 2007
_LAST_YEAR = 9998
"""Between these years a server's clock is believed: none shows a time before Litmos began, and
in the year 9999 sums would overflow."""

_CLOCKS_APART = 600
"""Seconds by which the clocks may differ without a warning."""

_RETRIED = {408, 429}
_LIMIT = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
_TOTAL = re.compile(rb"\bTotalCount\b[^<\d-]{0,60}(\d{1,15})\b", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)

_NO_CONNECTION = (urllib3.exceptions.HTTPError, OSError)
"""What a request or its answer may raise; all errors of requests are of `OSError`."""

_AT_ONCE = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.SSLError,
    urllib3.exceptions.ProxyError,
)


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as it came.

    Attributes:
        body: The checked body.
        requested_at: When it was requested, by the earlier of the server's clock and ours.
        requests: How many requests it took, retries included.
    """

    body: Body
    requested_at: DateTime
    requests: int = 1


class Stats(Protocol):
    """Counts what the transport does for a stream."""

    def requested(self) -> None:
        """Count a request that was sent."""

    def retried(self) -> None:
        """Count a request that will be sent again."""


class Transport:
    """Fetches pages; safe to use from several threads.

    The key is sent to the configured host alone: redirects are not followed, cookies are not
    kept, and no proxy sees it in plain text.

    Attributes:
        rate: The rate limit, which every request passes, retries included.
        clock_ahead: Seconds by which this machine's clock was ahead of the server's at the last
            answer; None if the server's is not known.
    """

    def __init__(  # noqa: PLR0913 - each is a setting, or a fact about the run
        self,
        *,
        api_url: str,
        api_key: str,
        source: str,
        requests_per_minute: int,
        connections: int,
        timeout: float,
        paths: Sequence[str] = (),
        rate_limit_file: str | None = None,
        fail_fast: bool = False,
        minute: float = rate.MINUTE,
    ) -> None:
        """Make the transport; nothing is sent yet.

        Args:
            api_url: The base URL, up to `/v1.svc`.
            api_key: The key, sent in the header `apikey`.
            source: What is sent as `source` with every request.
            requests_per_minute: The allowed rate.
            connections: How many connections to keep open.
            timeout: Seconds from the beginning of a request to the end of its answer.
            paths: The paths of the endpoints that the run asks.
            rate_limit_file: Path of a file that all processes with this key share.
            fail_fast: Whether somebody waits for the verdict: a host that refuses from the
                first contact on is tried for 15 seconds instead of a minute, and endpoints of
                which none answers with a page for five minutes in all.
            minute: How long a minute takes, in seconds: all waits are counted in it.
        """
        self._url = api_url.rstrip("/")
        self._key = api_key
        self._hiding = RedactKey(api_key)
        self._source = source
        self._timeout = timeout
        self._minute = minute
        self._largest_body = MEMORY // (connections + PAGES_AHEAD)
        self._logged_until: dict[str, float] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._asking_others = threading.Lock()
        self._clock_was_checked = False
        self.clock_ahead: float | None = None
        self._host = HostHealth(paths, fail_fast=fail_fast, minute=self._minute)
        self.rate = rate.RateLimit(
            requests_per_minute,
            file=rate_limit_file,
            key=api_key,
            minute=self._minute,
            sleep=self._sleep,
        )
        self._sockets = Sockets()
        self._session = requests.Session()
        self._session.headers.update({"Accept": "application/xml", "User-Agent": "tap-litmos"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Proxies and certificates of the environment are wanted, but plain http is for this
        # machine only: a proxy would read the key.
        self._session.trust_env = self._url.startswith("https:")
        self._session.auth = self._authorise
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, Adapter(self._sockets, connections))

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # With `auth`, the environment's .netrc is not asked for another.
        request.headers["apikey"] = self._key
        return request

    def close(self) -> None:
        """Stop all waiting and all requests in flight at once."""
        self._closed.set()
        self._sockets.shut_down()
        self._session.close()
        self.rate.close()

    def redact(self, text: str, *, cut: bool = False) -> str:
        """Return a text from outside as one line of at most 300 characters without the key.

        Args:
            text: Any text.
            cut: Whether it was cut off, so that it may end with a part of the key.
        """
        hidden = self._hiding.hide(text, cut=cut)
        shown = "".join(letter if letter.isprintable() else " " for letter in hidden)
        return " ".join(shown.split())[:300]

    def fetch(
        self, endpoint: Endpoint, params: Mapping[str, str | int], stats: Stats
    ) -> FetchedPage:
        """Fetch one page, patiently.

        Transient failures are retried with growing, jittered waits of up to a minute, for five
        minutes and at least once. Waiting for a turn does not count.

        Args:
            endpoint: What to ask for.
            params: The query, without `source`.
            stats: Counts the requests.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            RunFailedError: If the key is refused, or the host does not answer at all.
        """
        tries = Tries(
            endpoint.path, self._host, lambda: self._another_answers(stats), self._minute
        )

        def before_sleep(state: tenacity.RetryCallState) -> None:
            stats.retried()
            if tries.limited or tries.fault.retry_after is not None:
                self.rate.pause(state.upcoming_sleep, limited=tries.limited)
            if self._is_news(str(tries.fault), state.upcoming_sleep):
                logger.warning(
                    "%s: %s; retrying in %.0f s",
                    endpoint.stream,
                    tries.fault,
                    state.upcoming_sleep,
                )

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=tries.wait,
            stop=tries.are_over,
            sleep=self._sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
        try:
            page = retrying(self._attempt, endpoint, params, stats, tries)
            return replace(page, requests=retrying.statistics["attempt_number"])
        except TransientError as fault:
            if tries.host_is_silent:
                raise RunFailedError(
                    f"{self._url} does not answer: {fault}. Check the settings api_url and "
                    "region, and whether this machine can reach it"
                ) from None
            raise StreamFailedError(
                f"{endpoint.path} {tries.verdict}: {fault}. "
                "Run the sync again later; it resumes from the last bookmark"
            ) from None
        except HostileBodyError as error:
            raise StreamFailedError(
                f"{endpoint.path}: {error}. Check that api_url is really Litmos"
            ) from None

    def total_count(self, path: str, stats: Stats) -> int | None:
        """Ask once how many rows there are; None if no answer tells.

        The answer's shape is not documented well (the vendor's pages name its `TotalCount`),
        so that a number behind this name will do, in XML or JSON.

        Args:
            path: The path of an endpoint that tells it.
            stats: Counts the request.
        """
        self.rate.wait_for_turn()
        stats.requested()
        answer = b""
        with (
            contextlib.suppress(*_NO_CONNECTION, HostileBodyError),
            self._get(path, {"limit": 1}, min(self._timeout, self._minute / 2)) as response,
        ):
            if response.status_code == HTTPStatus.OK:
                answer = self._content(response, 1 << 20)
        found = _TOTAL.search(answer)
        return int(found[1]) if found else None

    def _attempt(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str | int],
        stats: Stats,
        tries: Tries,
    ) -> FetchedPage:
        self.rate.wait_for_turn()
        stats.requested()
        requested_at = pendulum.now("UTC")
        tries.sent_at = time.monotonic()
        answered = False
        try:
            with self._get(endpoint.path, params, self._timeout) as response:
                answered = True
                self._host.answered(endpoint.path)
                if response.status_code == HTTPStatus.OK:
                    content = self._content(response)
                    body = clean_body(content, endpoint.nesting, charset(response.headers))
                    self._host.page_came()
                    return FetchedPage(body, self._earlier_clock(response, requested_at))
                raise self._failure(endpoint, params, response)
        except _NO_CONNECTION as error:
            raise self._no_answer(error, answered=answered) from None
        except BadBodyError as error:
            raise TransientError(self.redact(str(error))) from None

    def _get(
        self, path: str, params: Mapping[str, str | int], timeout: float
    ) -> requests.Response:
        """Send a request; the body of its answer is still to be read."""
        # Every decoder reads %20 as a space; `+` is one in forms only.
        query = urlencode({"source": self._source, **params}, quote_via=quote)
        bound: Any = urllib3.Timeout(total=timeout)
        return self._session.get(
            f"{self._url}{path}?{query}", timeout=bound, allow_redirects=False, stream=True
        )

    def _is_news(self, fault: str, wait: float) -> bool:
        """Return whether to log a fault: not if another request waits because of it."""
        now = time.monotonic()
        with self._lock:
            if now < self._logged_until.get(fault, now):
                return False
            self._logged_until[fault] = now + wait
            return True

    def _another_answers(self, stats: Stats) -> bool:
        """Ask other endpoints, for a minute, whether the host is there; any answer will do.

        Args:
            stats: Counts the requests.
        """
        timeout = min(self._timeout, self._minute / 2)
        with self._asking_others:
            until = time.monotonic() + self._minute
            while (path := self._host.another_path()) and time.monotonic() < until:
                self.rate.wait_for_turn()
                stats.requested()
                sent_at = time.monotonic()
                try:
                    self._get(path, {"limit": 1}, timeout).close()
                except _NO_CONNECTION:
                    self._host.is_suspect(path, sent_at, 0.0, at_once=False)
                else:
                    self._host.answered(path)
                    return True
        return False

    def _content(self, response: requests.Response, most: int = 0) -> bytes:
        """Read a body, at most about `most` bytes of it if that is given."""
        content = io.BytesIO()  # it gives its content away without a copy
        while chunk := response.raw.read1(1 << 16, decode_content=True):
            content.write(chunk)
            if most and content.tell() >= most:
                break
            if content.tell() > self._largest_body:
                size = self._largest_body >> 20
                raise HostileBodyError(f"the response is larger than {size} MB")
        return content.getvalue()

    def _earlier_clock(self, response: requests.Response, requested_at: DateTime) -> DateTime:
        """Return when a request was sent, by the server's clock if it is surely earlier."""
        date = http_date(response.headers.get("Date", ""))
        if date is None or date.year < _LITMOS_BEGAN or date.year > _LAST_YEAR:
            return requested_at
        # The header has whole seconds, cut off: when the answer began, the server's clock
        # showed up to a second more. Less the time that we waited for the answer, this is the
        # latest that it can have shown when we asked.
        moment = date.add(seconds=1) - response.elapsed
        ahead = (requested_at - moment).total_seconds()
        with self._lock:
            if abs(ahead) > _CLOCKS_APART and not self._clock_was_checked:
                logger.warning(
                    "This machine's clock is %.0f minutes %s the server's; bookmarks follow "
                    "the earlier of the two",
                    abs(ahead) / 60,
                    "ahead of" if ahead > 0 else "behind",
                )
            self._clock_was_checked = True
            self.clock_ahead = ahead
        return min(requested_at, moment)

    def _failure(
        self, endpoint: Endpoint, params: Mapping[str, str | int], response: requests.Response
    ) -> BaseException:
        """Return the exception for an answer that is not 200."""
        status = response.status_code
        if status in _RETRIED or status // 100 == 5:  # noqa: PLR2004
            if status in _LIMIT:
                self.rate.refused()
            reason = self.redact(response.reason or "")
            after = retry_after(response.headers)
            return TransientError(f"Litmos returned {status} {reason}".strip(), status, after)
        message = f"GET {endpoint.path} returned {status}: {self._meaning(response)}."
        said = self._said(response)
        if said:
            message += f' Server said: "{said}".'
        if status == HTTPStatus.UNAUTHORIZED:
            return RunFailedError(f"{message} Check the settings api_key and region")
        refusal = StreamFailedError(f"{message} {advice(endpoint, params, status)}")
        refusal.status = status
        return refusal

    def _meaning(self, response: requests.Response) -> str:
        """Return in words what a status means that is final."""
        target = response.headers.get("Location")
        if target is not None and response.status_code // 100 == 3:  # noqa: PLR2004
            return (
                f"it points to {self.redact(target)}, but redirects are not followed, as they "
                "would carry the key along"
            )
        return MEANINGS.get(response.status_code, "Litmos does not document this status")

    def _said(self, response: requests.Response) -> str:
        """Return what the server says about a refusal."""
        text, most = "", 1 << 14
        with contextlib.suppress(*_NO_CONNECTION):
            text = self._content(response, most)[:most].decode(errors="replace")
        # The end may cut the key, or a reference in it.
        text = html.unescape(_TAGS.sub(" ", self._hiding.hide(text, cut=True)))
        said, reason = self.redact(text, cut=True), self.redact(response.reason or "")
        return said if reason in said else "; ".join(filter(None, (reason, said)))

    def _no_answer(self, error: Exception, *, answered: bool) -> BaseException:
        """Return the exception for a request to which no complete answer came."""
        if self._closed.is_set():
            return TransportClosedError()
        bad_url = (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)
        if isinstance(error, bad_url) or isinstance(
            innermost(error), ssl.SSLCertVerificationError
        ):
            return RunFailedError(
                f"{self._url} cannot be trusted or used, and the key was not sent: "
                f"{self._describe(error)}. Check the setting api_url"
            )
        if answered:
            return TransientError(self._describe(error))
        reason = getattr(error.args[0], "reason", None) if error.args else None
        return NoAnswerError(self._describe(error), at_once=isinstance(reason, _AT_ONCE))

    def _describe(self, error: Exception) -> str:
        """Return in a few words how a connection failed."""
        if isinstance(error, requests.exceptions.SSLError):
            cause = innermost(error)
            return self.redact(f"the TLS certificate or connection is not accepted: {cause}")
        if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
            return f"no complete answer came within {self._timeout:g} s"
        cause = innermost(error)
        return self.redact(f"the connection failed ({type(cause).__name__}: {cause})")

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise TransportClosedError
