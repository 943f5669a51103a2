"""The only place that talks to the network: session, key, rate limit and retries.

All requests of a run pass one `Transport`. Facts about Litmos' answers come from the vendor's
pages unless marked as inferred.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import ssl
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

import pendulum
import requests
import urllib3

from tap_litmos.bodies import Body, clean_body
from tap_litmos.connections import Adapter, Session, Sockets
from tap_litmos.errors import (
    BadBodyError,
    HostileBodyError,
    NoAnswerError,
    RunFailedError,
    StreamFailedError,
    TransientError,
    TransportClosedError,
)
from tap_litmos.headers import charset, http_date, retry_after
from tap_litmos.patience import PATIENCE, HostHealth, Tries
from tap_litmos.rate import RateLimit
from tap_litmos.redact import RedactKey
from tap_litmos.refusals import refusal
from tap_litmos.settings import base_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pendulum import DateTime

    from tap_litmos.declaration import Endpoint

logger = logging.getLogger("tap-litmos")

PAGES_AHEAD = 4
"""How many more pages than there may be requests in flight may be in flight or held ahead."""

MEMORY = 1 << 30
"""Bytes that the bodies of all these pages may take together, decompressed."""

_LITMOS_BEGAN = 2007
_LAST_YEAR = 9998
"""Between these years a server's clock is believed: none shows a time before Litmos began, and
in the year 9999 sums would overflow."""

_CLOCKS_APART = 600
"""Seconds by which the clocks may differ without a warning."""

_RETRIED_4XX = {408, 429}
_RATE_LIMITED = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
_TOTAL = re.compile(rb"\bTotalCount\b[^<\d-]{0,60}(\d{1,15})\b", re.IGNORECASE)
_COUNT = 1 << 20
"""Bytes that are read of a response that counts rows."""

_REFUSAL = 1 << 14
"""Bytes that are read of a refusal: its message quotes 300 characters."""

_NO_CONNECTION = (urllib3.exceptions.HTTPError, OSError)
"""What a request or its response may raise; all errors of requests are of `OSError`."""

_BEFORE_SENDING = (
    urllib3.exceptions.ConnectTimeoutError,  # also: the name is not found, or it is refused
    urllib3.exceptions.SSLError,
    urllib3.exceptions.ProxyError,
)
"""How a connection fails before anything is sent."""


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
    """Counts what the transport does for a stream; what it raises ends the request."""

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

    def __init__(
        self,
        config: Mapping[str, Any],
        endpoints: Iterable[Endpoint],
        *,
        fail_fast: bool,
        minute: float,
    ) -> None:
        """Make the transport; nothing is sent yet.

        Args:
            config: The settings, valid and with their defaults.
            endpoints: What the run asks.
            fail_fast: Whether somebody waits, as with `--test` or `--check`. Then a host that
                was never reached is given up after 15 seconds instead of a minute, and all
                endpoints after five minutes in which none answered with a page.
            minute: How long a minute takes, in seconds: all waits are counted in it.
        """
        self._url = base_url(config).rstrip("/")
        self._key: str = config["api_key"]
        self._redactor = RedactKey(self._key)
        self._source: str = config["source"]
        self._timeout: float = config["request_timeout"]
        connections: int = config["max_concurrent_requests"]
        self._minute = minute
        # A host that takes no connection within half a minute takes none.
        self._connect_timeout = min(self._timeout, minute / 2)
        self._largest_body = MEMORY // (connections + PAGES_AHEAD)
        self._logged_until: dict[str, float] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._probe_lock = threading.Lock()
        self.clock_ahead: float | None = None
        paths = [endpoint.path for endpoint in endpoints]
        self._host = HostHealth(paths, fail_fast=fail_fast, minute=minute)
        self.rate = RateLimit(
            config["requests_per_minute"],
            file=config.get("rate_limit_file"),
            key=self._key,
            minute=minute,
            sleep=self._sleep,
        )
        self._sockets = Sockets()
        self._session = Session()
        self._session.headers.update(
            {
                "Accept": "application/xml",
                "Cache-Control": "no-cache",
                "User-Agent": "tap-litmos",
            }
        )
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Proxies and certificates of the environment are wanted, but plain http is for this
        # machine only: a proxy would read the key.
        self._session.trust_env = urlsplit(self._url).scheme == "https"
        self._session.auth = self._authorise
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, Adapter(self._sockets, connections))

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, and not as a header of the session: this keeps requests from using .netrc.
        request.headers["apikey"] = self._key
        return request

    def close(self) -> None:
        """Stop all waiting and all requests in flight at once."""
        self._closed.set()
        self._sockets.shut_down()
        self._session.close()
        self.rate.close()

    def fetch(
        self, endpoint: Endpoint, params: Mapping[str, str | int], stats: Stats
    ) -> FetchedPage:
        """Fetch one page; retry transient failures.

        The waits grow to about a minute, with jitter; `Retry-After` is honoured, up to ten
        minutes. Once tries and waits have taken five minutes, it gives up, but not before the
        second try. Waiting for the rate limit does not count.

        Args:
            endpoint: What to ask for.
            params: The query, without `source`, which names the client.
            stats: Counts the requests.

        Raises:
            StreamFailedError: If the endpoint refuses, or keeps failing.
            RunFailedError: If the key is refused, the URL or the certificate is not accepted,
                or the host does not answer at all.
            TransportClosedError: If the transport is closed meanwhile.
        """
        tries = Tries(self._minute)
        while True:
            try:
                return self._attempt(endpoint, params, stats, tries)
            except TransientError as fault:
                wait = self._wait_after(fault, endpoint, stats, tries)
            except HostileBodyError as error:
                raise StreamFailedError(
                    f"{endpoint.path}: {error}. Check that api_url is really Litmos"
                ) from None
            self._sleep(wait)

    def _wait_after(
        self, fault: TransientError, endpoint: Endpoint, stats: Stats, tries: Tries
    ) -> float:
        """Return the seconds to wait before the next try.

        Raises:
            StreamFailedError: If there is to be no next try: the endpoint keeps failing.
            RunFailedError: If the host does not answer at all.
        """
        wait = tries.wait_after(fault)
        if (
            isinstance(fault, NoAnswerError)
            and self._host.note_silence(
                endpoint.path, tries.sent_at, wait, before_sending=fault.before_sending
            )
            and not self._other_endpoint_answers(stats)
        ):
            raise RunFailedError(
                f"{self._url} does not answer: {fault}. Check the settings api_url and "
                "region, and whether this machine can reach it"
            ) from None
        if tries.are_over or self._host.is_fruitless(wait):
            over = f"keeps failing after {PATIENCE} minutes of trying"
            verdict = over if tries.are_over else "keeps failing"
            raise StreamFailedError(
                f"{endpoint.path} {verdict}: {fault}. "
                "Run the sync again later; it resumes from the last bookmark"
            ) from None
        stats.retried()
        if tries.limited or fault.retry_after is not None:
            self.rate.pause(wait, limited=tries.limited)
        if self._should_log(str(fault), wait):
            logger.warning("%s: %s; retrying in %.0f s", endpoint.stream, fault, wait)
        return wait

    def total_count(self, path: str, stats: Stats) -> int | None:
        """Ask once how many rows there are; None if the response does not tell.

        The response is not documented well (the vendor's pages name its `TotalCount`), so a
        number after this name will do, in XML or JSON.

        Args:
            path: The path of an endpoint that tells it.
            stats: Counts the request.
        """
        self.rate.wait_for_turn()
        stats.requested()
        body = b""
        with (
            contextlib.suppress(*_NO_CONNECTION),
            self._probe(path) as response,
        ):
            if response.status_code == HTTPStatus.OK:
                body = self._content(response, _COUNT)
        found = _TOTAL.search(body)
        return int(found[1]) if found else None

    def _attempt(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str | int],
        stats: Stats,
        tries: Tries,
    ) -> FetchedPage:
        """Send a request once, and return its page.

        Raises:
            TransientError: If another try may help.
            HostileBodyError: If no other try will help.
            StreamFailedError: If the endpoint refuses.
            RunFailedError: If the key is refused, or the host cannot be trusted.
            TransportClosedError: If the transport is closed meanwhile.
        """
        self.rate.wait_for_turn()
        stats.requested()
        requested_at = pendulum.now("UTC")
        tries.begin()
        answered = False  # once True, a lost connection is no sign of a dead host
        try:
            with self._get(endpoint.path, params, self._timeout) as response:
                answered = True
                # See `patience`: a run is given up only if its host answers at no endpoint.
                self._host.answered(endpoint.path)
                if response.status_code == HTTPStatus.OK:
                    content = self._content(response)
                    body = clean_body(content, endpoint.nesting, charset(response.headers))
                    self._host.page_came()
                    # The bookmark never passes this time. A clock that is ahead would carry it
                    # past rows that are still to come.
                    requested_at = self._earlier_clock(response, requested_at)
                    return FetchedPage(body, requested_at, tries.count)
                raise self._error_for_status(endpoint, params, response)
        except _NO_CONNECTION as error:
            raise self._error_for_connection(error, answered=answered) from None
        except BadBodyError as error:
            raise TransientError(self._redactor.one_line(str(error))) from None

    def _get(
        self, path: str, params: Mapping[str, str | int], timeout: float
    ) -> requests.Response:
        """Send a request; the body of its answer is still to be read."""
        # Every decoder reads %20 as a space; `+` is one in forms only.
        query = urlencode({"source": self._source, **params}, quote_via=quote)
        bound: Any = urllib3.Timeout(connect=self._connect_timeout, total=timeout)
        return self._session.get(
            f"{self._url}{path}?{query}", timeout=bound, allow_redirects=False, stream=True
        )

    def _probe(self, path: str) -> requests.Response:
        """Send a request for one row, which has half a minute at most."""
        return self._get(path, {"limit": 1}, min(self._timeout, self._minute / 2))

    def _should_log(self, fault: str, wait: float) -> bool:
        """Return whether to log a fault: not if one like it was logged and still waits."""
        now = time.monotonic()
        with self._lock:
            if now < self._logged_until.get(fault, now):
                return False
            self._logged_until[fault] = now + wait
            return True

    def _other_endpoint_answers(self, stats: Stats) -> bool:
        """Return whether the host answers at all, asking other endpoints for up to a minute.

        Args:
            stats: Counts the requests.
        """
        with self._probe_lock:
            until = time.monotonic() + self._minute
            while (path := self._host.another_path()) and time.monotonic() < until:
                self.rate.wait_for_turn()
                stats.requested()
                sent_at = time.monotonic()
                try:
                    self._probe(path).close()
                except _NO_CONNECTION:
                    self._host.note_silence(path, sent_at, 0.0, before_sending=False)
                else:
                    self._host.answered(path)
                    return True
        return False

    def _content(self, response: requests.Response, most: int | None = None) -> bytes:
        """Read a body, or about the first `most` bytes of it."""
        content = io.BytesIO()  # it gives its content away without a copy
        while chunk := response.raw.read1(1 << 16, decode_content=True):
            content.write(chunk)
            if most is not None and content.tell() >= most:
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
        # Date has whole seconds, so up to 1 s more may have passed when the response came.
        # Minus the wait for it, this is the latest time at which we can have sent the request.
        moment = date.add(seconds=1) - response.elapsed
        ahead = (requested_at - moment).total_seconds()
        with self._lock:
            if abs(ahead) > _CLOCKS_APART and self.clock_ahead is None:
                logger.warning(
                    "This machine's clock is %.0f minutes %s the server's; bookmarks follow "
                    "the earlier of the two",
                    abs(ahead) / 60,
                    "ahead of" if ahead > 0 else "behind",
                )
            self.clock_ahead = ahead
        return min(requested_at, moment)

    def _error_for_status(
        self, endpoint: Endpoint, params: Mapping[str, str | int], response: requests.Response
    ) -> BaseException:
        """Return the error for a status that is not 200."""
        status = response.status_code
        if status in _RETRIED_4XX or status // 100 == 5:  # noqa: PLR2004
            if status in _RATE_LIMITED:
                self.rate.refused()
            reason = self._redactor.one_line(response.reason or "")
            after = retry_after(response.headers)
            return TransientError(f"Litmos returned {status} {reason}".strip(), status, after)
        body = b""
        with contextlib.suppress(*_NO_CONNECTION):
            body = self._content(response, _REFUSAL)[:_REFUSAL]
        return refusal(endpoint, params, response, body, self._redactor)

    def _error_for_connection(self, error: Exception, *, answered: bool) -> BaseException:
        """Return the error for a request to which no complete response came."""
        if self._closed.is_set():
            return TransportClosedError()
        bad_url = (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)
        if isinstance(error, bad_url) or isinstance(
            _root_cause(error), ssl.SSLCertVerificationError
        ):
            return RunFailedError(
                f"{self._url} cannot be trusted or used, and the key was not sent: "
                f"{self._describe(error)}. Check the setting api_url"
            )
        if answered:
            return TransientError(self._describe(error))
        reason = getattr(error.args[0], "reason", None) if error.args else None
        return NoAnswerError(
            self._describe(error), before_sending=isinstance(reason, _BEFORE_SENDING)
        )

    def _describe(self, error: Exception) -> str:
        """Return in a few words how a connection failed."""
        if isinstance(error, requests.ConnectTimeout):
            return f"no connection was made within {self._connect_timeout:g} s"
        if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
            return f"no complete answer came within {self._timeout:g} s"
        cause = _root_cause(error)
        failed = f"the connection failed ({type(cause).__name__}: {cause})"
        if isinstance(error, requests.exceptions.SSLError):
            failed = f"the TLS certificate or connection is not accepted: {cause}"
        return self._redactor.one_line(failed)

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise TransportClosedError


def _root_cause(error: BaseException) -> BaseException:
    """Return the error at the beginning of a chain."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
