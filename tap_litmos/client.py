"""What every stream does: a `RESTStream` whose partitions are windows of time.

`partitions` are the windows of the plan. The SDK asks for the records of each in turn, and
`get_records` takes them from `Readers`, whose threads read windows ahead through the SDK's
`request_records`. Its context is the window's `since` and `to`; its token is the offset.
"""

from __future__ import annotations

import random
import re
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from http import HTTPStatus
from itertools import count, islice
from typing import TYPE_CHECKING, Any, cast

import backoff
import requests
from singer_sdk import RESTStream
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import ActivateVersionMessage, RecordMessage, Schema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL, Metadata
from typing_extensions import override
from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

from tap_litmos.bodies import clean_body
from tap_litmos.bookmark import Bookmark
from tap_litmos.errors import BadBodyError, HostileBodyError, RunFailedError, in_one_line
from tap_litmos.paginator import PageSizes, WindowPaginator
from tap_litmos.proof import read_closed, read_open
from tap_litmos.rows import Findings, RowReader
from tap_litmos.settings import base_url
from tap_litmos.windows import WHOLE_LIST, format_moment

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from backoff.types import Details
    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.helpers.types import Context, Record, RequestFunc
    from singer_sdk.singerlib import Catalog
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from tap_litmos.declaration import Endpoint
    from tap_litmos.readers import Job
    from tap_litmos.rows import Page
    from tap_litmos.session import LitmosSession
    from tap_litmos.tap import TapLitmos
    from tap_litmos.windows import Window

MAX_BODY = 100 << 20
"""Bytes of a body, decompressed; a page has some megabytes."""

PATIENCE = 5.0
"""Minutes to try an endpoint; chosen, not measured."""

PATIENCE_UNREACHED = 1.0
"""The same for a host that was never reached."""

PATIENCE_INTERACTIVE = 0.25
"""The same with `--test` and `--check`, where somebody waits."""

MAX_RETRY_AFTER = 10.0
"""Minutes for which `Retry-After` is followed."""

_jitter = random.Random()  # noqa: S311 - no secret

MAX_LIST_READINGS = 5
"""How often a list of ids is read until one reading is exact."""

_TOO_LARGE = {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
"""What a gateway returns if Litmos takes too long for a page."""

_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_RATE_LIMITED = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}

MEANINGS = {
    401: "the API key is not valid, or the account is not enabled for the API",
    403: "the API key does not belong to an Account Owner, or this feature is not enabled",
    404: "there is no such endpoint",
    406: "Litmos does not accept the dates",
}
"""What a final status means (the document, the vendor's other pages)."""

ADVICE = {
    401: "Check the settings api_key, and region or api_url",
    403: "Use the key of an Account Owner, or deselect the stream",
    404: "Check the settings region and api_url, which ends in /v1.svc",
    406: "Set window_days to 6: Litmos may count the 7 days of a window otherwise",
}
"""What to do about it."""


class LitmosStream(RESTStream[int]):
    """A stream of one date-range endpoint.

    Attributes:
        endpoint: Its declaration.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # `RowReader` has typed the values
    user_agent = "tap-litmos"
    allow_redirects = False  # they would carry the key along
    emit_activate_version_messages = False  # `ListingStream` writes its own
    payload_as_json = False

    def __init__(self, tap: TapLitmos, endpoint: Endpoint) -> None:
        """Make the stream. Discovery does so without settings.

        Args:
            tap: The tap.
            endpoint: The declaration of the stream.
        """
        schema = endpoint.schema(leave_out=endpoint.opted_out(tap.config))
        super().__init__(tap, name=endpoint.stream, schema=schema, path=endpoint.path)
        self.endpoint = endpoint
        self.primary_keys = endpoint.primary_key
        self.replication_key = endpoint.replication_key
        self.selected_by_default = endpoint.selected_by_default
        self.state_partitioning_keys = []  # one bookmark for all windows
        self._litmos = tap
        self._this_thread = threading.local()
        self._has_failed = False
        self._extracted_at: datetime | None = None
        self._version: int | None = None
        self._has_written = False

    # The catalog

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Apply a catalog, which can select fields, but neither change nor drop the keys."""
        entry = catalog.get_stream(self.name)
        if entry is not None:
            if () not in entry.metadata:  # () is the stream itself
                entry.metadata.root.selected = True  # as the SDK does without any metadata
            listed, known = entry.schema.properties or {}, self.schema["properties"]
            properties = {name: listed[name] for name in listed if name in known}
            entry.schema.properties = properties  # without LoginKey, unless its setting is on
            for key in self.endpoint.key_fields:
                properties[key] = Schema.from_dict(self.schema["properties"][key])
                entry.metadata["properties", key].inclusion = Metadata.InclusionType.AUTOMATIC
            entry.stream = self.name
            entry.key_properties = self.endpoint.primary_key
            entry.replication_key = self.endpoint.replication_key
        super().apply_catalog(catalog)

    # Requests

    @property
    @override
    def url_base(self) -> str:
        return base_url(self.config)

    @property
    @override
    def requests_session(self) -> LitmosSession:
        return self._litmos.session

    @cached_property
    def authenticator(self) -> APIKeyAuthenticator:
        """Sends the key in a header."""
        return APIKeyAuthenticator(key="apikey", value=self.config["api_key"])

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/xml", "Cache-Control": "no-cache"}

    @property
    @override
    def timeout(self) -> int:
        return int(self.config["request_timeout"])

    @override
    def get_http_request(self, *, page: PageContext[int]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        paging = {"start": page.next_page_token, "limit": self._reading.limit}
        request.params = {"source": self.config["source"], **paging, **(page.stream_context or {})}
        return request

    @override
    def get_new_paginator(self) -> WindowPaginator:
        return self._reading  # the SDK passes no context

    @property
    def _reading(self) -> WindowPaginator:
        """What this thread reads: see `read`."""
        return cast("WindowPaginator", self._this_thread.reading)

    # Responses

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Check a response, and leave its rows as its attribute `page`.

        Raises:
            RetriableAPIError: If another try may return the page.
            FatalAPIError: If the endpoint refuses.
            RunFailedError: If the key is refused.
        """
        with response:
            if response.status_code == HTTPStatus.OK:
                vars(response)["page"] = self._page(self._body(response), response)
                return
            status = f"{response.status_code} {response.reason or ''}".strip()
            if self._may_pass(response):
                raise RetriableAPIError(f"Litmos returned {status}", response)
            refusal = self._refusal(response)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise RunFailedError(refusal)
        raise FatalAPIError(refusal)

    def _page(self, body: bytes, response: requests.Response) -> Page:
        """Return the rows of a body.

        Raises:
            BadBodyError: If it is not the requested page.
        """
        findings = Findings()
        # The charset that `Content-Type` names; requests' own function has a default.
        kind = response.headers.get("Content-Type", "")
        charset = re.search(r"charset=\W?([\w.:-]+)", kind, re.ASCII)
        content = clean_body(body, charset and charset[1], findings)
        page = self._row_reader.read(content, findings)
        if not self._may_belong(page):
            text = "no row changed near the requested dates; a cache may be serving a wrong page"
            raise BadBodyError(text)
        self._reading.findings.update(findings)
        return page

    def _may_belong(self, page: Page) -> bool:
        """Return whether a page may be of the window that is read.

        Litmos serves what was created or updated in it (the document); two days allow for any
        zone, and for dates that are read as days. A row without dates may belong to any window.
        """
        window, dates = self._reading.window, self.endpoint.date_fields
        records = list(filter(None, page.records))
        first = format_moment(window.since.subtract(days=2))
        last = format_moment(window.to.add(days=2))
        found = ([row[name] for name in dates if row.get(name)] for row in records)
        return not records or any(
            not row or any(first <= date <= last for date in row) for row in found
        )

    def _body(self, response: requests.Response) -> bytes:
        """Read a body of bounded size, in bounded time.

        Raises:
            HostileBodyError: If it is larger than 100 MB.
            requests.RequestException: If it does not come whole within `request_timeout`.
        """
        content, deadline = bytearray(), time.monotonic() + self.timeout
        for chunk in response.iter_content(1 << 16):
            content += chunk
            if len(content) > MAX_BODY:
                text = "the response is larger than 100 MB. Check that api_url is really Litmos"
                raise HostileBodyError(text)
            if time.monotonic() > deadline:
                raise requests.ReadTimeout("Read timed out")
        return bytes(content)

    def _may_pass(self, response: requests.Response) -> bool:
        """Return whether a refusal may pass: a 403 in HTML between pages is a firewall's."""
        status, kind = response.status_code, response.headers.get("Content-Type", "")
        if status == HTTPStatus.FORBIDDEN:
            return "html" in kind and self._page_sizes.largest > 0
        return status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def _refusal(self, response: requests.Response) -> str:
        """Return what a final status means, what the server said, and what to do."""
        status = response.status_code
        meaning = MEANINGS.get(status, "Litmos does not accept the request")
        advice = ADVICE.get(status, "Check the settings api_url, region and source")
        if response.is_redirect:
            target = response.headers["Location"]
            meaning = f"not following the redirect to {target:.200}; it would receive the key"
        if not self.selected_by_default:
            advice = "Not every account has this endpoint: if yours does not, deselect it"
        said = "".join(filter(str.isprintable, response.reason or ""))
        return f'Litmos returned {status} "{said:.200}": {meaning}. {advice}'

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        return self._reading.rows_to_write(response)

    @cached_property
    def _row_reader(self) -> RowReader:
        fields = self.effective_schema["properties"]
        return RowReader(self.endpoint, {name for name in fields if self.mask["properties", name]})

    # Retries: a try may end in a broken connection, a status, or a body that is not a page

    @override
    def request_decorator(self, func: RequestFunc) -> RequestFunc:
        # As the SDK does, but without a number of tries, and without log lines of `backoff`.
        errors = (RetriableAPIError, requests.RequestException)
        options: Any = {"on_backoff": self.backoff_handler, "logger": None, "jitter": None}
        decorate = backoff.on_exception(self.backoff_wait_generator, errors, **options)
        return decorate(func)

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        """Yield how long to wait after each try, in seconds; end when it is time to give up.

        Patience starts again with each smaller page.
        """
        error = yield 0.0  # `backoff` sends each error
        minute, started, limit = self._litmos.minute, time.monotonic(), self._reading.limit
        for tries in count():
            now = time.monotonic()
            if self._reading.limit < limit:
                started, limit = now, self._reading.limit
            trying = now - min(started, self.requests_session.silent_since or now)
            patience = PATIENCE if self.requests_session.has_answered else PATIENCE_UNREACHED
            if self._litmos.is_interactive:
                patience = PATIENCE_INTERACTIVE
            # Two time-outs may take longer than that; the third page is smaller.
            if tries > self.requests_session.has_answered and trying > patience * minute:
                return
            wait = _retry_after(error)
            if wait is None:
                wait = min(minute / 60 * 2.0**tries, minute / 2)
            # Requests that failed together must not come again together.
            error = yield min(wait, MAX_RETRY_AFTER * minute) * _jitter.uniform(1.0, 1.5)

    @override
    def backoff_handler(self, details: Details) -> None:
        """Log a failure, and ask for a smaller page or at a lower rate if that may help."""
        error, request, wait = details["exception"], details["args"][0], details["wait"]
        status = getattr(getattr(error, "response", None), "status_code", None)
        reading, session = self._reading, self.requests_session
        # Amid a body, requests raises a ConnectionError with the same text.
        is_timeout = session.has_answered and "Read timed out" in str(error)
        is_too_large = is_timeout or status in _TOO_LARGE
        had_shrunk = self._page_sizes.has_shrunk
        if reading.failed(is_timeout=is_too_large):
            request.url = re.sub(r"\blimit=\d+", f"limit={reading.limit}", request.url)
            if not had_shrunk:
                text = "Asking for smaller pages, as Litmos fails; consider page_size %d"
                self.logger.warning(text, reading.limit)
        # Litmos also returns 503 for a moment, for no reason: the first one is not the limit.
        is_second = status in _RATE_LIMITED and details["tries"] > 1
        if is_second or status == HTTPStatus.TOO_MANY_REQUESTS:
            session.rate.refused(wait)
        text = in_one_line(error)
        if session.is_news(text, wait):
            self.logger.warning("%s; trying again in %.0f s", text, wait)

    # Windows

    @cached_property
    def state_manager(self) -> Bookmark:
        """The bookmark; a catalog may ask for none, with FULL_TABLE."""
        is_incremental = self.replication_method == REPLICATION_INCREMENTAL
        return Bookmark(
            self.replication_key if is_incremental else None,
            tap_name=self.tap_name,
            stream_name=self.name,
            tap_state=self.tap_state,
            state_partitioning_keys=[],
        )

    @cached_property
    def windows(self) -> Sequence[Window]:
        """The windows of this sync, in their order.

        A test reads only the newest, which is the likeliest to have rows.
        """
        windows = self.state_manager.plan(self.config)
        newest = sorted(windows, key=lambda window: window.to)[-1:]
        return newest if self.ABORT_AT_RECORD_COUNT else windows

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        return [dict(window.query()) for window in self.windows]

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Yield the records of the next window; then extend the bookmark, and write STATE.

        If the stream fails, the others go on.
        """
        if self._has_failed or not self.windows:
            return
        job = self._litmos.readers.next_job(self)
        stats, started = self._litmos.summary.of(self.name), time.monotonic()
        try:
            for record in self._records(job):
                yield record
                stats.rows += 1
            if not self.ABORT_AT_RECORD_COUNT:
                self._finish(job)
                stats.windows += 1
        except (RetriableAPIError, FatalAPIError, requests.RequestException) as error:
            self._has_failed = True
            self._litmos.stream_failed(self, self._failure(error))
        finally:
            stats.seconds += time.monotonic() - started
            self._litmos.summary.add(job)
            if self._has_failed or self.ABORT_AT_RECORD_COUNT:
                self._litmos.readers.drop(self)

    def _records(self, job: Job) -> Iterator[Record]:
        """Yield the records of a window, and add them to the sync log."""
        log = self._litmos.sync_log if self._litmos.sync_log.selected else None
        extracted_at = None
        for record in islice(self._litmos.readers.rows(job), self.ABORT_AT_RECORD_COUNT):
            if extracted_at is None:  # a plain date-time is written faster than pendulum's
                extracted_at = datetime.fromtimestamp(job.requested_at.timestamp(), UTC)
            self._extracted_at = extracted_at
            if log:
                log.add(record, self.endpoint)
            yield record

    def _finish(self, job: Job) -> None:
        """Extend the bookmark, now that all rows of a window are written, and write STATE."""
        is_whole = job.is_proved and not job.rows_without_key
        if not job.is_proved:
            self.logger.info("Rows kept changing in %s; the next sync reads it again", job.window)
        if is_whole:
            self.state_manager.extend(job.window, job.requested_at)
        else:
            self.state_manager.block_at(job.window)
        if self._litmos.sync_log.selected:
            self._litmos.sync_log.finish(job, is_whole=is_whole)
        if self.get_batch_config(self.config) is None:  # else the SDK does, behind each BATCH
            self._litmos.sync_log.flush()
            self.finalize_state_progress_markers(self.stream_state)  # this writes a STATE

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterator[Any]:
        """Yield the batches; the STATE behind each passes the windows logged before it."""
        for batch in super().get_batches(batch_config, context):
            self._litmos.sync_log.flush()
            yield batch

    def _failure(self, error: Exception) -> str:
        """Return in one line why the stream failed."""
        if isinstance(error, FatalAPIError):
            return f"{self.path}: {error}"
        advice = "Check the settings api_url and region, and whether this machine can reach Litmos"
        if self.requests_session.has_answered:
            advice = "Run the sync again later; it resumes there"
        return f"{self.path} keeps failing: {in_one_line(error)}. {advice}"

    def read_window(self, job: Job) -> Iterator[Record]:
        """Yield the rows of a window until it is proved that every row came; in any thread.

        Args:
            job: The window; receives what the paginator finds out.

        Raises:
            FatalAPIError: If it cannot be proved.
        """
        read = partial(self._read_once, job)
        if job.window.is_open:
            job.is_proved = yield from read_open(read, job.window)
        else:
            yield from read_closed(read, job.window)
            job.is_proved = True

    def _read_once(
        self, job: Job, window: Window, *known: Any
    ) -> Generator[Record, None, WindowPaginator]:
        reading = WindowPaginator(window, self._page_sizes, *known)
        job.readings.append(reading)
        yield from self.read(reading)
        return reading

    def read(self, reading: WindowPaginator, **params: Any) -> Iterator[Record]:
        """Yield the rows that a paginator walks over.

        Args:
            reading: The paginator.
            params: Parameters that replace those of its window.
        """
        self._this_thread.reading = reading
        yield from self.request_records({**reading.window.query(), **params})

    @cached_property
    def _page_sizes(self) -> PageSizes:
        return PageSizes(self.config["page_size"])

    # The SDK's frame

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """Do as the SDK does, but leave the fields as they are: `RowReader` has typed them."""
        for stream_map in self.stream_maps:
            mapped = stream_map.transform(record)
            if mapped is not None:
                self._has_written = True
                yield RecordMessage(
                    stream=stream_map.stream_alias,
                    record=mapped,
                    version=self._version,
                    time_extracted=self._extracted_at,
                )

    @override
    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterable[Context | None]:
        """Return nothing: no stream has children, and the SDK would evaluate filters for them."""
        return ()


class ListingStream(LitmosStream):
    """A full list of ids: read whole each time, without dates or bookmark."""

    @cached_property
    def windows(self) -> Sequence[Window]:
        """The whole list, as the only window."""
        return [WHOLE_LIST]

    @override
    def read_window(self, job: Job) -> Iterator[Record]:
        """Yield the ids once one reading of the list was exact; otherwise none of them.

        The ids of an incomplete list would pass for all that exist.
        """
        for _ in range(MAX_LIST_READINGS):
            ids = list(islice(self._read_once(job, job.window), self.ABORT_AT_RECORD_COUNT))
            job.is_proved = job.readings[-1].is_intact
            if job.is_proved and not job.rows_without_key:
                yield from ids
            if job.is_proved or job.rows_without_key:
                return

    @override
    def _records(self, job: Job) -> Iterator[Record]:
        """Yield the ids; then announce their version: ids of earlier ones were deleted."""
        for record in super()._records(job):
            if self.get_batch_config(self.config) is None:  # a BATCH carries no version
                self._version = job.requested_at.int_timestamp
            if "ListedAt" in record:
                record["ListedAt"] = format_moment(job.requested_at)
            yield record
        if self.ABORT_AT_RECORD_COUNT:
            return
        if not job.is_proved or job.rows_without_key:
            self.logger.warning("Listing incomplete; not reporting deletions")
        elif self._version is not None and self._has_written:
            for stream_map in self.stream_maps:
                message = ActivateVersionMessage(stream_map.stream_alias, self._version)
                self._litmos.write_message(message)


def _retry_after(error: Exception) -> float | None:
    """Return the seconds that `Retry-After` asks for, None if it is missing or malformed."""
    response = getattr(error, "response", None)
    with suppress(InvalidHeader, OverflowError):
        return None if response is None else Retry().get_retry_after(response.raw)
    return None
