"""The one door to the network: session, key, rate limit and retries.

All requests of a run pass one `Transport`. Facts about Litmos' answers come from the vendor's
pages unless marked as inferred.
"""

from __future__ import annotations

import contextlib
import html
import logging
import random
import re
import socket
import ssl
import threading
import time
import weakref
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, quote_plus

import pendulum
import requests
import tenacity
import urllib3
from pyrate_limiter import InMemoryBucket, Rate, RateItem
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from tap_litmos.errors import (
    BadBodyError,
    HostileBodyError,
    RunFailedError,
    StreamFailedError,
    TransientError,
    TransportClosedError,
)
from tap_litmos.rows import Body, check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pendulum import DateTime

    from tap_litmos.declaration import Endpoint

logger = logging.getLogger("tap-litmos")

MINUTE = 60.0
"""The span of Litmos' rate limit in seconds; all waits are counted in it."""

PATIENCE = 5
"""Minutes of waiting after which a request is given up, at least."""

LONGEST_RETRY_AFTER = 10
"""Minutes that a `Retry-After` is followed for, at most."""

LARGEST_BODY = 1 << 29
"""Bytes of a body, unpacked, beyond which it is taken for an attack."""

_RETRIED = {408, 429}
_FINAL = {
    400: "Litmos does not accept the request's parameters",
    401: "the API key is not valid, or the account is not enabled for the API",
    403: "the key's user is no Account Owner, or the account does not have this feature",
    404: "there is no such endpoint",
    406: "Litmos does not accept the request's dates or parameters",
}
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as it came.

    Attributes:
        body: The checked body.
        requested_at: When it was requested, by the earlier of the server's clock and ours.
    """

    body: Body
    requested_at: DateTime


class Meter(Protocol):
    """Whom the transport tells what it does for a stream."""

    def requested(self) -> None:
        """Take note of a request that was sent."""

    def retried(self) -> None:
        """Take note that a request will be sent again."""


class Transport:
    """Fetches pages; safe to use from several threads.

    No span of 60 seconds ever holds more than the allowed number of requests, retries
    counted. The key is sent to the configured host alone: redirects are refused, cookies are
    not kept, and no proxy sees it in plain text.
    """

    def __init__(
        self,
        *,
        api_url: str,
        api_key: str,
        source: str,
        requests_per_minute: int,
        connections: int,
        timeout: float,
    ) -> None:
        """Make the transport; nothing is sent yet.

        Args:
            api_url: The base URL, up to `/v1.svc`.
            api_key: The key, sent in the header `apikey`.
            source: What is sent as `source` with every request.
            requests_per_minute: The allowed rate.
            connections: How many connections to keep open.
            timeout: Seconds to wait for an answer to begin, and for it to end.
        """
        self._url = api_url.rstrip("/")
        self._key = api_key
        spellings = (
            api_key,
            quote(api_key, safe=""),
            quote_plus(api_key),
            html.escape(api_key),
        )
        self._spellings_of_key = re.compile("|".join(map(re.escape, spellings)), re.IGNORECASE)
        self._source = source
        self._timeout = timeout
        self._closed = threading.Event()
        self._lock = threading.Lock()
        # The margin keeps the promise on the server's side too, where requests arrive with
        # delays that differ.
        span = round(1000 * MINUTE * (1 + 1 / 60))
        self._bucket = InMemoryBucket([Rate(requests_per_minute, span)])
        self._pause_until = 0.0
        self._answered = False
        self._clock_was_checked = False
        self._sockets = _Sockets()
        self._session = requests.Session()
        self._session.headers.update({"Accept": "application/xml", "User-Agent": "tap-litmos"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.trust_env = self._url.startswith("https:")
        self._session.auth = self._authorise
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _Adapter(self._sockets, connections))

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["apikey"] = self._key
        return request

    def close(self) -> None:
        """Stop all waiting and all requests in flight at once."""
        self._closed.set()
        self._sockets.shut_down()
        self._session.close()

    def redact(self, text: str) -> str:
        """Return a text from outside as one line of at most 300 characters without the key."""
        hidden = self._spellings_of_key.sub("***", text)
        shown = "".join(each if each.isprintable() else " " for each in hidden)
        return " ".join(shown.split())[:300]

    def fetch(
        self, endpoint: Endpoint, params: Mapping[str, str | int], meter: Meter
    ) -> FetchedPage:
        """Fetch one page, patiently.

        Passing failures are retried with growing, jittered waits of up to a minute, for five
        minutes of waiting at least.

        Args:
            endpoint: What to ask for.
            params: The query, without `source`.
            meter: Whom to tell of the requests.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            RunFailedError: If the key is refused, the server redirects, or it was never
                reached in this run.
        """
        retries = _Retries()

        def before_sleep(state: tenacity.RetryCallState) -> None:
            meter.retried()
            wait = state.next_action.sleep if state.next_action else 0.0
            if retries.limited:
                self._pause(wait)
            logger.warning(
                "%s: %s; trying again in %.0f s", endpoint.stream, retries.fault, wait
            )

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=retries.wait,
            stop=lambda state: state.idle_for >= PATIENCE * MINUTE,
            sleep=self._sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
        try:
            return retrying(self._attempt, endpoint, params, meter)
        except TransientError as fault:
            if not self._answered:
                raise RunFailedError(
                    f"{self._url} has not answered in {PATIENCE} minutes of trying: {fault}. "
                    "Check the settings api_url and region, and that this machine reaches it"
                ) from None
            raise StreamFailedError(
                f"{endpoint.path} keeps failing after {PATIENCE} minutes of trying: {fault}. "
                "Run the sync again later; it goes on from the last bookmark"
            ) from None
        except HostileBodyError as error:
            raise StreamFailedError(
                f"{endpoint.path}: {error}. Check that api_url is really Litmos"
            ) from None

    def _attempt(
        self, endpoint: Endpoint, params: Mapping[str, str | int], meter: Meter
    ) -> FetchedPage:
        self._wait_for_turn()
        meter.requested()
        requested_at, started = pendulum.now("UTC"), time.monotonic()
        try:
            with self._session.get(
                self._url + endpoint.path,
                params={"source": self._source, **params},
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                self._answered = True
                if response.status_code == HTTPStatus.OK:
                    content = self._content(response, started)
                    body = check(content, endpoint.nesting)
                    return FetchedPage(body, self._earlier_clock(response, requested_at))
                raise self._failure(endpoint, response, started)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if self._closed.is_set():
                raise TransportClosedError from None
            bad_url = (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)
            if isinstance(error, bad_url) or isinstance(
                _innermost(error), ssl.SSLCertVerificationError
            ):
                raise RunFailedError(
                    f"{self._url} cannot be trusted or used, and the key was not sent: "
                    f"{self._describe(error)}. Check the setting api_url"
                ) from None
            raise TransientError(self._describe(error)) from None
        except BadBodyError as error:
            raise TransientError(self.redact(str(error))) from None

    def _content(self, response: requests.Response, started: float, most: int = 0) -> bytes:
        """Read a body, at most `most` bytes of it if that is given."""
        content = bytearray()
        # `read1` returns what has come: an answer that trickles does not outlast the timeout.
        while chunk := response.raw.read1(1 << 16, decode_content=True):
            content += chunk
            if most and len(content) >= most:
                break
            if len(content) > LARGEST_BODY:
                raise HostileBodyError(f"the answer is larger than {LARGEST_BODY >> 20} MB")
            if time.monotonic() - started > self._timeout:
                raise requests.Timeout("the answer did not end")
        return bytes(content)

    def _earlier_clock(self, response: requests.Response, requested_at: DateTime) -> DateTime:
        """Return when a request was sent, by the server's clock if it is surely earlier."""
        date = _http_date(response.headers.get("Date", ""))
        if date is None:
            return requested_at
        # The header has whole seconds, cut off.
        moment = date.add(seconds=1) - response.elapsed
        ahead = (requested_at - moment).total_seconds()
        with self._lock:
            if abs(ahead) > 10 * 60 and not self._clock_was_checked:
                logger.warning(
                    "This machine's clock is %.0f minutes %s the server's; bookmarks follow "
                    "the earlier of the two",
                    abs(ahead) / 60,
                    "ahead of" if ahead > 0 else "behind",
                )
            self._clock_was_checked = True
        return min(requested_at, moment)

    def _failure(
        self, endpoint: Endpoint, response: requests.Response, started: float
    ) -> BaseException:
        """Return the exception for an answer that is not 200."""
        status = response.status_code
        if status // 100 == 3:  # noqa: PLR2004
            target = self.redact(response.headers.get("Location", "nowhere"))
            return RunFailedError(
                f"{endpoint.path} answers {status} and points to {target}; redirects are not "
                "followed, as they would carry the key along. Set api_url to Litmos' address"
            )
        reason = self.redact(response.reason or "")
        if status in _RETRIED or status // 100 == 5:  # noqa: PLR2004
            after = _retry_after(response.headers)
            return TransientError(f"Litmos answers {status} {reason}".strip(), status, after)
        text = ""
        with contextlib.suppress(
            requests.RequestException, urllib3.exceptions.HTTPError, OSError
        ):
            text = self._content(response, started, most=1 << 14).decode(errors="replace")
        said = self.redact(html.unescape(_TAGS.sub(" ", text)))
        quoted = said if reason in said else "; ".join(filter(None, (reason, said)))
        meaning = _FINAL.get(status, "an answer that Litmos does not document")
        message = (
            f"{endpoint.path} answers {status}: {meaning} (it says: {quoted or 'nothing'})"
        )
        if status == HTTPStatus.UNAUTHORIZED:
            return RunFailedError(f"{message}. Check the settings api_key and region")
        if status == HTTPStatus.FORBIDDEN and endpoint.selected_by_default:
            message += ". Use the key of an Account Owner, or deselect the stream"
        elif not endpoint.selected_by_default:
            message += ". Not every account has what this stream reads: deselect it then"
        else:
            message += ". Check the settings api_url, region and source; if it stays, report it"
        return StreamFailedError(message)

    def _describe(self, error: Exception) -> str:
        """Return in a few words how a connection failed."""
        if isinstance(error, requests.exceptions.SSLError):
            cause = _innermost(error)
            return self.redact(f"the TLS certificate or connection is not accepted: {cause}")
        if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
            return f"no complete answer came within {self._timeout:g} s"
        cause = _innermost(error)
        return self.redact(f"the connection failed ({type(cause).__name__}: {cause})")

    def _wait_for_turn(self) -> None:
        """Wait until no pause is on and the rate allows one more request."""
        while True:
            with self._lock:
                wait = self._pause_until - time.monotonic()
                if wait <= 0:
                    item = RateItem("litmos", time.monotonic_ns() // 1_000_000)
                    if self._bucket.put(item):
                        self._bucket.leak(item.timestamp)
                        return
                    waiting = self._bucket.waiting(item)
                    wait = waiting / 1000 if isinstance(waiting, int) else 0.0
            self._sleep(max(wait, 0.001))

    def _pause(self, seconds: float) -> None:
        """Let all requests wait."""
        with self._lock:
            self._pause_until = max(self._pause_until, time.monotonic() + seconds)

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise TransportClosedError


class _Retries:
    """How long one request waits between its tries.

    Attributes:
        fault: Why the last try failed.
        limited: Whether it was the rate limit, which refuses all other requests too.
    """

    def __init__(self) -> None:
        self.fault = TransientError("not tried yet")
        self.limited = False

    def wait(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds to wait.

        Beyond the rate limit Litmos answers 503, for up to a minute; but 503 also comes in
        passing. So the second in a row is taken for the limit.
        """
        error = state.outcome.exception() if state.outcome else None
        fault = error if isinstance(error, TransientError) else self.fault
        both = {self.fault.status, fault.status}
        again = both == {HTTPStatus.SERVICE_UNAVAILABLE}
        self.limited = again or fault.status == HTTPStatus.TOO_MANY_REQUESTS
        self.fault = fault
        second = MINUTE / 60
        if fault.retry_after is not None:
            self.limited = True
            asked = min(fault.retry_after, LONGEST_RETRY_AFTER * MINUTE)
            return asked + second * random.uniform(0.5, 1.5)  # noqa: S311
        if again:
            return MINUTE * random.uniform(0.95, 1.0)  # noqa: S311
        doubled = second * 2.0 ** (state.attempt_number - 1)
        return min(doubled, MINUTE / 2) * random.uniform(1.0, 2.0)  # noqa: S311


def _innermost(error: BaseException) -> BaseException:
    """Return the error with which it all began."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _http_date(text: str) -> DateTime | None:
    """Return the moment of an HTTP date, or None if it is none."""
    try:
        return pendulum.instance(parsedate_to_datetime(text)).in_timezone("UTC")
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as seconds or as a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until = _http_date(value)
    if until is None:
        return None
    now = _http_date(headers.get("Date", "")) or pendulum.now("UTC")
    return max(0.0, (until - now).total_seconds())


class _Sockets:
    """The sockets of all connections, to be shut down at once."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._shut = False

    def add(self, opened: socket.socket | None) -> None:
        """Take note of a socket; one that comes too late is shut down like the others."""
        if opened is not None:
            with self._lock:
                self._open.add(opened)
                shut = self._shut
            if shut:
                self.shut_down()

    def shut_down(self) -> None:
        """Wake whoever waits for an answer."""
        with self._lock:
            self._shut = True
            for each in list(self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Tells `_Sockets` of each connection that is made."""

    def __init__(self, sockets: _Sockets, connections: int) -> None:
        self._sockets = sockets
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        sockets = self._sockets

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
