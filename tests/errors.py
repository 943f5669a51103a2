"""Every message with which a run can end, and what provokes it: the one place that quotes them.

Each says what happened, where, and what to do next.
"""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import (
    INVALID_KEY,
    KEEPS_FAILING,
    NO_ANSWER,
    NOT_PROVED,
    NOT_READY,
    WITHOUT_KEY,
    batch_config,
    catalog_of,
    days_ago,
    page,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_litmos.sandbox import Incoming

    Hook = Callable[[Incoming], Any]

STREAM = "courses"
PATH = "/org/courses"
FAILED = f"{STREAM} failed: {PATH}"
SETTINGS = "Check the settings api_url, region and source"
AGAIN = "Run the sync again later; it resumes there"
NOT_LITMOS = "Check that api_url is really Litmos"
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A message, and an input that provokes it.

    Attributes:
        what: Words of it that say what happened, and where.
        next: Words of it that say what to do; "" if the rest says it.
        arguments: Arguments of the command.
        config: Settings that differ from the sandbox's; None leaves one out, and a text is the
            file's content.
        state: The state; a text is the file's content.
        catalog: Likewise the catalog. By default one stream is selected.
        hook: How the sandbox answers.
        env: Variables of the environment.
        messages: After how many messages the target closes the pipe.
        stdout_error: How stdout fails then.
    """

    what: str
    next: str = ""
    arguments: tuple[str, ...] = ()
    config: dict[str, Any] | str = field(default_factory=dict)
    state: dict[str, Any] | str | None = None
    catalog: dict[str, Any] | str | None = field(default_factory=lambda: catalog_of(STREAM))
    hook: Hook | None = None
    env: dict[str, str] = field(default_factory=dict)
    messages: int | None = None
    stdout_error: OSError | None = None


def always(status: int, body: bytes = b"", **headers: str) -> Hook:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, named, body)


def setting(name: str, value: Any, what: str, then: str = "", **more: Any) -> Case:
    """Return the case of a setting with a value that breaks its rule."""
    return Case(what=what, next=then, config={name: value, **more})


def body(content: bytes, what: str, then: str = AGAIN) -> Case:
    """Return the case of a body that fails its stream."""
    return Case(what=what, next=then, hook=always(200, content))


def status(number: int, what: str, then: str = SETTINGS) -> Case:
    """Return the case of a status that is final."""
    return Case(what=f": {what}", next=then, hook=always(number, b"<p>tea</p>"))


def shuffled(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
    """Answer as a service that sends each of six rows twice, in any order."""
    rows = [f"<Id>{number % 6}</Id>" for number in range(12)]
    random.Random(incoming.number).shuffle(rows)  # noqa: S311 - no secret
    start = incoming.start or 0
    return 200, {}, page(STREAM, *rows[start : start + 4])


def rotating(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
    """Answer as a service that begins again where its rows end."""
    start = incoming.start or 0
    rows = (f"<Id>{number % 7}</Id>" for number in range(start, start + 4))
    return 200, {}, page(STREAM, *rows)


PAGE = page(STREAM, "<Id>1</Id><Name>x</Name>")
ONE_WINDOW = {"start_date": days_ago(1)}
SMALL_PAGES = {"page_size": 2, "start_date": days_ago(30), "end_date": days_ago(28)}
BATCHES = batch_config(Path("/nowhere"))

ERRORS: dict[str, Case] = {
    # Settings
    "a setting is missing": setting("api_key", None, "'api_key' is a required property"),
    "an empty key": setting("api_key", "", "'' should be non-empty in config['api_key']"),
    "a blank key": setting("api_key", " ", "'api_key' is blank or contains", "copy it again"),
    "a key that is no key": setting("api_key", "ключ", "'api_key' is blank or contains"),
    "a start date that is none": setting(
        "start_date", "soon", "'start_date' is 'soon'", "such as 2026-01-31"
    ),
    "a start date in the future": setting(
        "start_date", TOMORROW, f"'start_date' is '{TOMORROW}'", "between 1990 and now"
    ),
    "an end before the start": setting(
        "end_date",
        "2026-01-01",
        "'end_date' is '2026-01-01'",
        "after start_date",
        start_date="2026-01-02",
    ),
    "an unknown region": setting("region", "moon", "'moon' is not one of ['us', 'eu', 'au']"),
    "a number out of range": setting("page_size", 1001, "1001 is greater than the maximum of 1000"),
    "a URL that is none": setting("api_url", "http://[", "'api_url' must be an https URL"),
    "a URL with a key": setting("api_url", "https://x/?apikey=secret", "'api_url'", "query"),
    "a URL in plain text": setting("api_url", "http://litmos.invalid", "'api_url'", "show the key"),
    "a file that processes cannot share": setting(
        "rate_limit_file", ":memory:", "'rate_limit_file' must be", "path of a file"
    ),
    "batches with a stream map": setting(
        "batch_config",
        BATCHES,
        "'batch_config' and 'stream_maps' cannot be",
        "",
        stream_maps={STREAM: {"Name": None}},
    ),
    # Files
    "a config that is no JSON": Case(what="Cannot read --config ", next="line 1", config="{"),
    "a config that is not there": Case(
        what="Cannot read --config nowhere.json", arguments=("--config", "nowhere.json")
    ),
    "a config on the command line": Case(
        what="--config takes the path of a file", arguments=("--config", '{"api_key": "secret"}')
    ),
    "a config that is no object": Case(what="is not a JSON object", config="[]"),
    "a state that is no JSON": Case(what="Cannot read --state ", state="{"),
    "a state that is none": Case(
        what="Not a Singer state", next="Pass the last STATE message", state={"users": {}}
    ),
    "a catalog that is no JSON": Case(what="Cannot read --catalog ", catalog="{"),
    "a catalog that is none": Case(
        what="is not a catalog", next="--discover prints one", catalog={"streams": [None]}
    ),
    # This machine
    "a rate_limit_file that cannot be": Case(
        what="rate_limit_file is unusable (",
        next="or choose another path",
        config={"rate_limit_file": "/dev/null/rate.db"},
    ),
    "a server that is not there": Case(
        what=f"http://127.0.0.1:1/v1.svc {NO_ANSWER}",
        next="Check the settings api_url and region, and whether this machine can reach Litmos",
        config={"api_url": "http://127.0.0.1:1/v1.svc"},
        catalog=catalog_of(STREAM, "teams"),
    ),
    "a host that cannot be": Case(
        what="Not connecting to https://a..b/v1.svc",
        next="Check api_url",
        config={"api_url": "https://a..b/v1.svc"},
    ),
    "a proxy that cannot be": Case(
        what="Cannot use the proxy: ",
        next="Check the environment variable HTTPS_PROXY",
        config={"api_url": "https://litmos.invalid"},
        env={"HTTPS_PROXY": "http://[", "NO_PROXY": ""},
    ),
    "certificates that are not there": Case(
        what="/nowhere/ca.pem",
        next="Check the environment variable REQUESTS_CA_BUNDLE",
        config={"api_url": "https://litmos.invalid"},
        env={"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"},
    ),
    "a proxy without its library": Case(
        what="Cannot use the proxy: ",
        next="Check the environment variable HTTPS_PROXY",
        config={"api_url": "https://litmos.invalid"},
        env={"HTTPS_PROXY": "socks5://127.0.0.1:1", "NO_PROXY": ""},
    ),
    # Litmos
    "a redirect": Case(
        what="not following the redirect to https://litmos.invalid/x",
        next=SETTINGS,
        hook=always(302, Location="https://litmos.invalid/x"),
    ),
    "204": status(204, "Litmos does not accept the request"),
    "400": status(400, "Litmos does not accept the request"),
    "401": status(401, INVALID_KEY, "Check the settings api_key, and region or api_url"),
    "403": status(
        403, "the API key does not belong", "Use the key of an Account Owner, or deselect"
    ),
    "403 for what not everybody has": Case(
        what="returned 403",
        next="if yours does not, deselect it",
        catalog=catalog_of("activity_logins"),
        hook=always(403),
    ),
    "404": status(404, "there is no such endpoint", "api_url, which ends in /v1.svc"),
    "406": status(406, "Litmos does not accept the dates", "Set window_days to 6"),
    "418": status(418, "Litmos does not accept the request"),
    "500 for five minutes": Case(
        what=f"{FAILED} {KEEPS_FAILING}Litmos returned 500", next=AGAIN, hook=always(500)
    ),
    "several streams": Case(
        what=f"{STREAM}, teams failed, each for the reason logged above",
        catalog=catalog_of(STREAM, "teams"),
        hook=always(404),
    ),
    "a test of an account that lacks an endpoint": Case(
        what=f"16{NOT_READY}{FAILED}: Litmos returned 404",
        next="Check the settings region and api_url",
        arguments=("--test",),
        catalog=None,
        hook=lambda incoming: (404, {}, b"") if incoming.path == PATH else None,
    ),
    # Bodies
    "an HTML page": body(
        b"<!DOCTYPE html><html/>", f"{FAILED} {KEEPS_FAILING}the response is an HTML page"
    ),
    "no XML": body(b"{}", "the response is not XML (not well-formed (invalid token): line 1"),
    "another root": body(b"<Error/>", "instead of rows"),
    "another encoding": body(
        b'<?xml version="1.0" encoding="x"?><Courses/>', "cannot read the response's encoding ("
    ),
    "an encoding that is declared oddly": body(
        b'<?xml version="1.0"' + b" " * 200 + b'encoding="x"?><Courses/>',
        "cannot read the response's encoding (",
    ),
    "other rows": body(
        b"<Courses><Kurs><Id>1</Id></Kurs></Courses>",
        "the response has <Kurs> instead of rows",
    ),
    "text instead of rows": body(
        b"<Courses>Service unavailable</Courses>",
        "the response has Service unavailable instead of rows",
    ),
    "a nil root": body(
        b'<Courses xmlns:i="urn:x" i:nil="true"/>',
        "instead of rows",
    ),
    "a page of another window": body(
        page(STREAM, "<Id>1</Id><UpdatedDate>2001-01-01</UpdatedDate>"),
        "row changed near the requested dates",
    ),
    "a document type": body(
        b"<!DOCTYPE Courses><Courses/>",
        f"{PATH}: the response declares a document type",
        NOT_LITMOS,
    ),
    "a body without end": Case(
        what=f"{PATH}: the response is larger than 100 MB",
        next=NOT_LITMOS,
        hook=always(200, gzip.compress(bytes(101 << 20)), Content_Encoding="gzip"),
    ),
    "far more rows than were asked for": body(
        page(STREAM, *[""] * 100_001), f"{PATH}: the response has more than 100,000 rows", ""
    ),
    # Rows
    "a row without key": Case(
        what=f"Sync incomplete: {STREAM}: skipped rows {WITHOUT_KEY}",
        next="Correct the rows in Litmos",
        hook=always(200, page(STREAM, "<Name>x</Name>")),
        config=ONE_WINDOW,
    ),
    "rows that cannot be proved": Case(
        what=NOT_PROVED,
        next="Run the sync at a quieter time",
        config={**SMALL_PAGES, "page_size": 4},
        hook=shuffled,
    ),
    "a service that ignores start": Case(
        what="the service keeps sending pages, but almost no new rows",
        config={**SMALL_PAGES, "page_size": 20},
        hook=always(200, page(STREAM, *(f"<Id>{number}</Id>" for number in range(20)))),
    ),
    "a service that goes round": Case(
        what="the service keeps sending pages, but almost no new rows",
        config={**SMALL_PAGES, "page_size": 4},
        hook=rotating,
    ),
    "a stream map that cannot be": Case(
        what="Failed to parse expression 1 +", config={"stream_maps": {STREAM: {"Name": "1 +"}}}
    ),
    "a stream map that fails on a row": Case(
        what="ValueError",
        hook=always(200, PAGE),
        config={"stream_maps": {STREAM: {"Name": "int(Name)"}}},
    ),
    "batches in a place that cannot be": Case(
        what="NotADirectoryError: ",
        hook=always(200, PAGE),
        config={"batch_config": batch_config(Path("/dev/null/in"))},
    ),
    # The target
    "a full disk": Case(
        what="Cannot write to stdout: [Errno 28] No space left on device",
        messages=1,
        stdout_error=OSError(28, "No space left on device"),
    ),
    "a target that is gone": Case(
        what="The target closed the pipe (see its log)",
        next="The next sync resumes from the last state that the target saved",
        messages=1,
    ),
}

CERTIFICATE = (
    ". The API key was not sent. Check api_url, or set REQUESTS_CA_BUNDLE to your organization's "
    "certificates"
)
ENDLESS = " pages. Set window_days lower"
PROVOKED_ELSEWHERE = (CERTIFICATE, ENDLESS)
"""What other tests provoke, as it takes a server of another kind."""
