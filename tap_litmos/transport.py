"""The one door to the network: session, key, rate limit and retries.

All requests of a run pass one `Transport`. Facts about Litmos' answers come from the vendor's
pages unless marked as inferred.
"""

from __future__ import annotations

import contextlib
import html
import io
import logging
import random
import re
import socket
import ssl
import threading
import time
import weakref
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, quote_plus, urlencode

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
    from collections.abc import Callable, Mapping

    from pendulum import DateTime

    from tap_litmos.declaration import Endpoint

logger = logging.getLogger("tap-litmos")

MINUTE = 60.0
"""The span of Litmos' rate limit in seconds; all waits are counted in it."""

PATIENCE = 5
"""Minutes of waiting after which a request is given up, at least."""

LONGEST_RETRY_AFTER = 10
"""Minutes that a `Retry-After` is followed for, at most."""

LARGEST_BODIES = 1 << 30
"""Bytes that all bodies held at once may have, unpacked; one that takes more than its share is
taken for an attack."""

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


class Stats(Protocol):
    """Counts what the transport does for a stream."""

    def requested(self) -> None:
        """Count a request that was sent."""

    def retried(self) -> None:
        """Count a request that will be sent again."""


class KeyFilter(logging.Filter):
    """Hides the key in all that is logged, whichever way it came there."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        """Take what hides the key in a text."""
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the key in a record; every record passes."""
        message = record.getMessage()
        hidden = self._redact(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True


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
        timeout: float,
        bodies: int = 1,
        endpoints: int = 1,
        first_contact: float = 1.0,
    ) -> None:
        """Make the transport; nothing is sent yet.

        Args:
            api_url: The base URL, up to `/v1.svc`.
            api_key: The key, sent in the header `apikey`.
            source: What is sent as `source` with every request.
            requests_per_minute: The allowed rate.
            timeout: Seconds to wait for a connection, and then for the whole answer.
            bodies: How many bodies may be held or in flight at once.
            endpoints: How many endpoints the run asks.
            first_contact: Minutes after which the run ends if the host refuses every
                connection from the start.
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
        self._host = _Host(endpoints)
        self._first_contact = first_contact * MINUTE
        self._largest = LARGEST_BODIES // bodies
        self._clock_was_checked = False
        self._sockets = _Sockets()
        self._session = requests.Session()
        self._session.headers.update({"Accept": "application/xml", "User-Agent": "tap-litmos"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.trust_env = self._url.startswith("https:")
        self._session.auth = self._authorise
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _Adapter(self._sockets, bodies))

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["apikey"] = self._key
        return request

    def close(self) -> None:
        """Stop all waiting and all requests in flight at once."""
        self._closed.set()
        self._sockets.shut_down()
        self._session.close()

    def hide_key(self, text: str) -> str:
        """Return a text without the key, in any of its spellings."""
        return self._spellings_of_key.sub("***", text)

    def redact(self, text: str) -> str:
        """Return a text from outside as one line of at most 300 characters without the key."""
        hidden = self.hide_key(text)
        # What was read may end within the key.
        for length in range(len(self._key) - 1, 3, -1):
            if hidden.endswith(self._key[:length]):
                hidden = f"{hidden[:-length]}***"
                break
        shown = "".join(each if each.isprintable() else " " for each in hidden)
        return " ".join(shown.split())[:300]

    def fetch(
        self, endpoint: Endpoint, params: Mapping[str, str | int], stats: Stats
    ) -> FetchedPage:
        """Fetch one page, patiently.

        Passing failures are retried with growing, jittered waits of up to a minute, for about
        five minutes, and at least once.

        Args:
            endpoint: What to ask for.
            params: The query, without `source`.
            stats: Counts the requests.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            RunFailedError: If the key is refused, or the host does not answer at all.
        """
        retries = _Retries()
        began = time.monotonic()

        def give_up(state: tenacity.RetryCallState) -> bool:
            elapsed = time.monotonic() - began
            if self._host.refuses_connections:
                return elapsed + state.upcoming_sleep >= self._first_contact
            too_long = elapsed >= PATIENCE * MINUTE
            return (too_long and state.attempt_number > 1) or self._host.is_silent()

        def before_sleep(state: tenacity.RetryCallState) -> None:
            stats.retried()
            wait = state.next_action.sleep if state.next_action else 0.0
            if retries.limited:
                self._pause(wait)
            logger.warning(
                "%s: %s; trying again in %.0f s", endpoint.stream, retries.fault, wait
            )

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=retries.wait,
            stop=give_up,
            sleep=self._sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
        try:
            return retrying(self._attempt, endpoint, params, stats)
        except TransientError as fault:
            if self._host.refuses_connections or self._host.is_silent():
                raise RunFailedError(
                    f"{self._url} does not answer: {fault}. Check the settings api_url and "
                    "region, and that this machine reaches it"
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
        self, endpoint: Endpoint, params: Mapping[str, str | int], stats: Stats
    ) -> FetchedPage:
        self._wait_for_turn()
        stats.requested()
        requested_at, started = pendulum.now("UTC"), time.monotonic()
        # A space goes as `%20`, which every decoder reads, not as the `+` of forms.
        query = urlencode({"source": self._source, **params}, quote_via=quote)
        try:
            with self._session.get(
                f"{self._url}{endpoint.path}?{query}",
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                self._host.answered()
                if response.status_code == HTTPStatus.OK:
                    content = self._content(response)
                    body = check(content, endpoint.nesting, _charset(response.headers))
                    return FetchedPage(body, self._earlier_clock(response, requested_at))
                raise self._failure(endpoint, response)
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
            self._host.failed(endpoint.path, started, _innermost(error))
            raise TransientError(self._describe(error)) from None
        except BadBodyError as error:
            raise TransientError(self.redact(str(error))) from None

    def _content(self, response: requests.Response, most: int = 0) -> bytes:
        """Read a body, at most `most` bytes of it if that is given."""
        content = bytearray()
        while chunk := response.raw.read1(1 << 16, decode_content=True):
            content += chunk
            if most and len(content) >= most:
                break
            if len(content) > self._largest:
                raise HostileBodyError(f"the answer is larger than {self._largest >> 20} MB")
        return bytes(content)

    def _earlier_clock(self, response: requests.Response, requested_at: DateTime) -> DateTime:
        """Return when a request was sent, by the server's clock if it is surely earlier."""
        date = _http_date(response.headers.get("Date", ""))
        if date is None:
            return requested_at
        # The header has whole seconds, cut off, so the true moment is up to a second later;
        # the request was sent before the answer's headers came.
        try:
            moment = date.add(seconds=1) - response.elapsed
        except OverflowError:  # the year 9999
            return requested_at
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

    def _failure(self, endpoint: Endpoint, response: requests.Response) -> BaseException:
        """Return the exception for an answer that is not 200."""
        status = response.status_code
        if status // 100 == 3:  # noqa: PLR2004
            target = self.redact(response.headers.get("Location", "nowhere"))
            return StreamFailedError(
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
            text = self._content(response, most=1 << 14).decode(errors="replace")
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
        elif status == HTTPStatus.NOT_ACCEPTABLE:
            message += ". Set window_days to 6: a clock change may make 7 days too long"
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


class _Host:
    """What all requests of a run have learned about the host; safe to use from threads.

    One endpoint that does not answer fails its stream. The run ends only where that concerns
    every endpoint.

    Attributes:
        refuses_connections: Whether nothing ever came but errors that concern the host: its
            name is not found, it refuses the connection, or TLS fails.
    """

    def __init__(self, endpoints: int) -> None:
        self.refuses_connections = False
        self._endpoints = endpoints
        self._has_answered = False
        self._silent_since: float | None = None
        self._failing: set[str] = set()
        self._lock = threading.Lock()

    def answered(self) -> None:
        """Mark that an answer has begun, whatever it says."""
        with self._lock:
            self._has_answered, self.refuses_connections = True, False
            self._silent_since = None
            self._failing.clear()

    def failed(self, path: str, started: float, cause: BaseException) -> None:
        """Mark that no answer came.

        Args:
            path: The endpoint that was asked.
            started: When it was asked, by the monotonic clock.
            cause: What happened.
        """
        at_once = isinstance(cause, (ConnectionRefusedError, socket.gaierror, ssl.SSLError))
        with self._lock:
            self.refuses_connections = at_once and not self._has_answered
            self._silent_since = min(self._silent_since or started, started)
            self._failing.add(path)

    def is_silent(self) -> bool:
        """Whether nothing has come for five minutes, whichever endpoint was asked."""
        with self._lock:
            return (
                self._silent_since is not None
                and time.monotonic() - self._silent_since >= PATIENCE * MINUTE
                and len(self._failing) >= min(2, self._endpoints)
            )


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


def _charset(headers: Mapping[str, str]) -> str | None:
    """Return the charset that an answer's header names; requests' own has a default."""
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "")
    return message.get_content_charset()


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


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a moment."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._socket = connection
        self._raw = connection.makefile("rb", buffering=0)
        self._deadline = time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not end")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    """An answer that has to be there within the timeout, headers included.

    The timeout of a socket counts anew with each byte.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if timeout := sock.gettimeout():
            self.fp.close()
            self.fp = io.BufferedReader(_TimedReader(sock, timeout))


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
            response_class = _TimedResponse

            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class Secure(HTTPSConnection):
            response_class = _TimedResponse

            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
