"""Every message with which a run can end, and what provokes it.

Each says what happened, where, and what to do next.
"""

from __future__ import annotations

import gzip
import os
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import (
    INVALID_KEY,
    KEEPS_FAILING,
    NO_ANSWER,
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

    Answer = Callable[[Incoming], Any]

STREAM = "courses"
PATH = "/org/courses"

UNDOCUMENTED = "Litmos does not document this status."
MEANINGS = {
    204: UNDOCUMENTED,
    400: "Litmos does not accept the parameters of the request.",
    403: "the API key does not belong to an Account Owner, or this feature is not enabled.",
    404: "there is no such endpoint.",
    405: UNDOCUMENTED,
    406: "Litmos does not accept the dates or parameters of the request.",
    418: UNDOCUMENTED,
}
"""What the tap says that a status means which it does not try again."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A message, and an input that provokes it.

    Attributes:
        what: Words of it that say what happened, and where.
        next: Words of it that say what to do.
        arguments: Arguments of the command.
        config: Settings that differ from the sandbox's; a text is the file's content.
        without: Settings that are left out.
        state: The state; a text is the file's content.
        catalog: Likewise the catalog. By default one stream is selected.
        answer: How the sandbox answers.
        messages: After how many messages the target closes the pipe.
        stdout_error: How stdout fails then.
        minute: How many seconds a minute takes.
        memory: Bytes that all bodies may take together, if less than usual.
        no_room: Whether no temporary file can be made, to which hashes go at once.
    """

    what: str
    next: str
    arguments: tuple[str, ...] = ()
    config: dict[str, Any] | str = field(default_factory=dict)
    without: tuple[str, ...] = ()
    state: dict[str, Any] | str | None = None
    catalog: dict[str, Any] | str | None = field(default_factory=lambda: catalog_of(STREAM))
    answer: Answer | None = None
    messages: int | None = None
    stdout_error: OSError = field(default_factory=BrokenPipeError)
    minute: float = 0.01
    memory: int | None = None
    no_room: bool = False


def always(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, named, body)


def refusing(path: str, status: int) -> Answer:
    """Return answers of a service that lacks one endpoint."""
    return lambda incoming: (status, {}, b"") if incoming.path == path else None


def moving() -> Answer:
    """Return answers with full pages that never have a row in common."""
    numbers = iter(range(1_000_000))

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, page(STREAM, *(f"<Id>{next(numbers)}</Id>" for _ in range(2)))

    return answer


def rotating(count: int) -> Answer:
    """Return answers of a service that begins anew where its rows end."""

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        start = incoming.start or 0
        rows = (f"<Id>{number % count}</Id>" for number in range(start, start + 4))
        return 200, {}, page(STREAM, *rows)

    return answer


def shuffled() -> Answer:
    """Return answers of a service that sends each of six rows twice, in any order."""
    chance = random.Random(1)  # noqa: S311 - no secret

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        start = incoming.start or 0
        rows = [f"<Id>{number % 6}</Id>" for number in range(12)]
        chance.shuffle(rows)
        return 200, {}, page(STREAM, *rows[start : start + 4])

    return answer


def html_then_nothing() -> Answer:
    return always(200, b"<!DOCTYPE html><html><body>Sign in</body></html>")


BATCHES = batch_config(Path("/nowhere"))
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
YESTERDAY = {"replication_key_value": days_ago(1)}

ERRORS: dict[str, Case] = {
    # Settings
    "a setting is missing": Case(
        what="Setting 'api_key' is missing",
        next="give it in the config file, or as TAP_LITMOS_API_KEY in the environment",
        without=("api_key",),
    ),
    "an empty key": Case(
        what="Setting 'api_key'",
        next="must be a non-empty string",
        config={"api_key": ""},
    ),
    "a blank key": Case(
        what="Setting 'api_key'",
        next="must be a non-empty string",
        config={"api_key": " "},
    ),
    "a key that is no key": Case(
        what="Setting 'api_key' has characters that no API key contains",
        next="copy it again",
        config={"api_key": "ключ"},
    ),
    "a start date that is none": Case(
        what="Setting 'start_date' is 'soon'",
        next="must be an ISO date or date-time such as 2026-01-31",
        config={"start_date": "soon"},
    ),
    "a start date in the future": Case(
        what=f"Setting 'start_date' is '{TOMORROW}'",
        next="but must lie between 1990-01-01 and now",
        config={"start_date": TOMORROW},
    ),
    "an end before the start": Case(
        what="Setting 'end_date' is '2026-01-01'",
        next="must be after start_date, '2026-01-02'",
        config={"start_date": "2026-01-02", "end_date": "2026-01-01"},
    ),
    "an unknown region": Case(
        what="Setting 'region' is 'moon'",
        next="must be one of us, eu, au",
        config={"region": "moon"},
    ),
    "a number out of range": Case(
        what="Setting 'page_size' is 1001",
        next="must be a whole number from 2 to 1000",
        config={"page_size": 1001},
    ),
    "a number that is too small": Case(
        what="Setting 'requests_per_minute' is 0",
        next="must be a whole number from 1 to 1000000",
        config={"requests_per_minute": 0},
    ),
    "a source that cannot be sent": Case(
        what="Setting 'source' has characters that cannot be printed",
        next="take them out",
        config={"source": "a\nb"},
    ),
    "a source that is too long": Case(
        what="Setting 'source' is 'xxxxx",
        next="must be a string of 1 to 50 characters",
        config={"source": "x" * 51},
    ),
    "a URL that is none": Case(
        what="Setting 'api_url' is 'http://[', but",
        next="must be a valid URL",
        config={"api_url": "http://["},
    ),
    "a URL of another kind": Case(
        what="Setting 'api_url' is 'ftp://x'",
        next="must be a URL such as https://api.litmos.com/v1.svc",
        config={"api_url": "ftp://x"},
    ),
    "a URL with a key": Case(
        what="Setting 'api_url' is 'https://x/…'",
        next="must have no user, password, query or fragment",
        config={"api_url": "https://x/?apikey=secret"},
    ),
    "a URL in plain text": Case(
        what="Setting 'api_url' is 'http://litmos.invalid'",
        next="must be https",
        config={"api_url": "http://litmos.invalid"},
    ),
    "batches with a stream map": Case(
        what="Settings 'batch_config' and 'stream_maps' cannot be used together",
        next="Leave one of them out",
        config={"batch_config": BATCHES, "stream_maps": {STREAM: {"Name": None}}},
    ),
    "batches that are not compressed": Case(
        what="Setting 'batch_config.encoding.compression' is 'none'",
        next="must be gzip",
        config={
            "batch_config": {**BATCHES, "encoding": {"format": "jsonl", "compression": "none"}}
        },
    ),
    "batches without rows": Case(
        what="Setting 'batch_config.batch_size'",
        next="must be a whole number, 1 or more",
        config={"batch_config": {**BATCHES, "batch_size": 0}},
    ),
    "a batch size that is none": Case(
        what="Setting 'batch_config.batch_size'",
        next="must be a whole number, 1 or more",
        config={"batch_config": {**BATCHES, "batch_size": 2.5}},
    ),
    "batches of no format": Case(
        what="Cannot write a batch (TypeError: ",
        next="Correct batch_config",
        config={"batch_config": {**BATCHES, "encoding": {}}},
    ),
    "batches in a place that cannot be": Case(
        what="Cannot write a batch (NotADirectoryError: ",
        next="Correct batch_config",
        answer=always(200, page(STREAM, "<Id>1</Id>")),
        config={"batch_config": batch_config(Path(os.devnull, "in"))},
    ),
    "a stream map that maps nothing": Case(
        what="Setting 'stream_maps' cannot be used (IndexError: ",
        next="string index out of range",
        config={"stream_maps": {STREAM: {"Name": ""}}},
    ),
    "a stream map that keeps what it does not name": Case(
        what="Setting 'stream_maps': '__else__'",
        next="must be null or '__NULL__'",
        config={"stream_maps": {STREAM: {"__else__": "__KEEP__"}}},
    ),
    # Files
    "a config that is no JSON": Case(
        what="is not valid JSON (", next="line 1 column 2", config="{", without=()
    ),
    "a config that is not there": Case(
        what="Cannot read --config ",
        next="No such file",
        arguments=("--config", "nowhere.json"),
    ),
    "a config that is no object": Case(
        what="--config ", next="is not a JSON object: pass settings such as", config="[]"
    ),
    "a config on the command line": Case(
        what="--config takes the path of a JSON file",
        next="not its content",
        arguments=("--config", '{"api_key": "secret"}'),
    ),
    "a state that is no JSON": Case(
        what="is not valid JSON (",
        next="pass the last STATE message that the target emitted, or its value",
        state="{",
    ),
    "a state that is no object": Case(
        what="is not a JSON object", next="pass the last STATE message", state="[]"
    ),
    "a state that is none": Case(
        what="Not a Singer state",
        next="pass the last STATE message that the target emitted, or its value",
        state={"value": {"bookmarks": {}}},
    ),
    "another tap's state": Case(
        what="This state belongs to another tap: it has bookmarks of issues only",
        next="Pass the state of tap-litmos, or none",
        state={"bookmarks": {"issues": YESTERDAY}},
    ),
    "a catalog that is no JSON": Case(
        what="is not valid JSON (", next="pass what --discover prints", catalog="{"
    ),
    "a catalog that is none": Case(
        what="is not a Singer catalog (it lists no streams)",
        next="--discover prints one",
        catalog={"streams": []},
    ),
    "a catalog that lists a stream twice": Case(
        what="is not a Singer catalog (it lists a stream twice)",
        next="--discover prints one",
        catalog={"streams": 2 * catalog_of(STREAM)["streams"]},
    ),
    "flattening that renames a key": Case(
        what="team_courses: flattening renames the key IsInTeamLibrary",
        next="Raise flattening_max_key_length, or leave it out",
        config={
            "flattening_enabled": True,
            "flattening_max_depth": 1,
            "flattening_max_key_length": 12,
        },
        catalog=catalog_of("team_courses"),
    ),
    # The network
    "a server that is not there": Case(
        what=f"http://127.0.0.1:1/v1.svc {NO_ANSWER}the connection failed",
        next="Check the settings api_url and region, and whether this machine can reach it",
        config={"api_url": "http://127.0.0.1:1/v1.svc"},
    ),
    "a host that cannot be": Case(
        what="https://a..b/v1.svc cannot be trusted or used, and the key was not sent",
        next="Check the setting api_url",
        config={"api_url": "https://a..b/v1.svc"},
    ),
    "a redirect": Case(
        what=f"GET {PATH} returned 302: it points to https://litmos.invalid/sign-in, but",
        next="Check the settings api_url, region and source",
        answer=always(302, Location="https://litmos.invalid/sign-in"),
    ),
    # Litmos
    "400": Case(
        what=f"GET {PATH} returned 400: {MEANINGS[400]}",
        next="Check the settings api_url, region and source",
        answer=always(400),
    ),
    "401": Case(
        what=f"GET {PATH} returned 401: {INVALID_KEY}",
        next="Check the settings api_key and region",
        answer=always(401),
    ),
    "403": Case(
        what=f"GET {PATH} returned 403: {MEANINGS[403]}",
        next="Use the key of an Account Owner, or deselect the stream",
        answer=always(403),
    ),
    "403 for what not everybody has": Case(
        what="returned 403",
        next="if yours does not, deselect it",
        catalog=catalog_of("activity_logins"),
        answer=always(403),
    ),
    "404": Case(
        what=f"GET {PATH} returned 404: {MEANINGS[404]}",
        next="Check the settings api_url, region and source",
        answer=always(404),
    ),
    "406": Case(
        what=f"GET {PATH} returned 406: {MEANINGS[406]}",
        next="Set window_days to 6: Litmos may count the 7 days of a window otherwise",
        answer=always(406),
    ),
    "406 for less than 7 days": Case(
        what=f"GET {PATH} returned 406: {MEANINGS[406]}",
        next="Check the settings api_url, region and source",
        answer=always(406),
        config={"window_days": 6, "start_date": days_ago(2)},
    ),
    "418": Case(
        what=f'GET {PATH} returned 418: {MEANINGS[418]} Server said: "I',
        next="Check the settings api_url, region and source",
        answer=always(418, b"<p>tea</p>"),
    ),
    "500 for five minutes": Case(
        what=f"{PATH} {KEEPS_FAILING}Litmos returned 500",
        next="Run the sync again later; it resumes from the last bookmark",
        answer=always(500),
    ),
    "404 for every stream": Case(
        what=f"all 2 streams failed for the same reason: GET {PATH} returned 404",
        next="Check the settings api_url, region and source",
        catalog=catalog_of(STREAM, "teams"),
        answer=always(404),
    ),
    "a test of an account that lacks an endpoint": Case(
        what=f"16{NOT_READY}{STREAM} failed: GET {PATH}",
        next="Check the settings api_url, region and source",
        arguments=("--test",),
        catalog=None,
        answer=refusing(PATH, 404),
    ),
    "no room for a temporary file": Case(
        what="Cannot write a temporary file, which a window of many rows needs: No space left",
        next="Free some space, or let TMPDIR name a folder that has some",
        no_room=True,
    ),
    # Bodies
    "an HTML page": Case(
        what=f"{PATH} {KEEPS_FAILING}the response is an HTML page",
        next="Run the sync again later",
        answer=html_then_nothing(),
    ),
    "no XML": Case(
        what="the response is not XML (not well-formed (invalid token): line 1, column 0)",
        next="Run the sync again later",
        answer=always(200, b"{}"),
    ),
    "another root": Case(
        what="the response is <Error> instead of <Courses>",
        next="Run the sync again later",
        answer=always(200, b"<Error/>"),
    ),
    "another encoding": Case(
        what="the response's encoding cannot be read (unknown encoding: x)",
        next="Run the sync again later",
        answer=always(200, b'<?xml version="1.0" encoding="x"?><Courses/>'),
    ),
    "an encoding that is declared oddly": Case(
        what="the response's encoding cannot be read",
        next="Run the sync again later",
        answer=always(200, b'<?xml version="1.0"' + b" " * 200 + b'encoding="x"?><Courses/>'),
    ),
    "other rows": Case(
        what=f"{PATH} {KEEPS_FAILING}the response has rows <Kurs> instead of <Course>",
        next="a newer version of the tap may know them",
        answer=always(200, b"<Courses><Kurs><Id>1</Id></Kurs></Courses>"),
    ),
    "text in the place of rows": Case(
        what="the response has text in the place of rows: 'Service unavailable'",
        next="Run the sync again later",
        answer=always(200, b"<Courses>Service unavailable</Courses>"),
    ),
    "a nil root": Case(
        what="the response has a nil <Courses> in the place of rows",
        next="Run the sync again later",
        answer=always(200, b'<Courses xmlns:i="urn:x" i:nil="true"/>'),
    ),
    "a document type": Case(
        what=f"{PATH}: the response declares a document type, which is refused",
        next="Check that api_url is really Litmos",
        answer=always(200, b"<!DOCTYPE Courses><Courses/>"),
    ),
    "a body without end": Case(
        what=f"{PATH}: the response is larger than 1 MB",
        next="Check that api_url is really Litmos",
        answer=always(200, gzip.compress(b" " * (2 << 20)), Content_Encoding="gzip"),
        memory=9 << 20,
    ),
    "far more rows than were asked for": Case(
        what=f"{PATH}: the response has 100,001 rows",
        next="Check that api_url is really Litmos",
        answer=always(200, page(STREAM, *[""] * 100_001)),
    ),
    # Rows
    "a row without key": Case(
        what=f"Sync incomplete: courses: 1 skipped row {WITHOUT_KEY}",
        next="no bookmark moves past them. Correct these rows in Litmos",
        answer=always(200, page(STREAM, "<Name>x</Name>")),
        config={"start_date": days_ago(1)},
    ),
    "rows that move too fast": Case(
        what="its rows change places faster than they can be read",
        next="Run the sync again at a quieter time",
        config={"page_size": 2, "start_date": days_ago(1)},
        answer=moving(),
    ),
    "a stream map that fails on a row": Case(
        what="courses failed: courses: the stream map failed on a row (",
        next="Correct stream_maps",
        answer=always(200, page(STREAM, "<Id>c</Id><Name>x</Name>")),
        config={"stream_maps": {STREAM: {"Name": "int(Name)"}}},
    ),
    "a filter of a stream map that fails on a row": Case(
        what="courses failed: courses: the stream map failed on a row (",
        next="Correct stream_maps",
        answer=always(200, page(STREAM, "<Id>c</Id><Name>x</Name>")),
        config={"stream_maps": {STREAM: {"__filter__": "1/0"}}},
    ),
    "a stream map that makes no text": Case(
        what="A message cannot be written as JSON: ",
        next="Correct stream_maps",
        answer=always(200, page(STREAM, "<Id>c</Id><Name>x</Name>")),
        config={"stream_maps": {STREAM: {"Name": "'\\ud800'"}}},
    ),
    "a stream map that fails on the sync log": Case(
        what="sync_log: the stream map failed on a row (",
        next="Correct stream_maps",
        catalog=catalog_of(STREAM, "sync_log"),
        config={"stream_maps": {"sync_log": {"Stream": "int(Stream)"}}},
    ),
    "a service that ignores start": Case(
        what="it sends the same page again, whatever `start` asks for",
        next="The bookmark does not move past it",
        config={"page_size": 2, "start_date": days_ago(1)},
        answer=always(200, page(STREAM, "<Id>1</Id>", "<Id>2</Id>")),
    ),
    "a service that goes round": Case(
        what="it goes on sending pages, but no new rows",
        next="The bookmark does not move past it",
        config={"page_size": 4, "start_date": days_ago(1)},
        answer=rotating(7),
    ),
    "rows that come in any order, some twice": Case(
        what="it has 12 rows, but only",
        next="Run the sync again at a quieter time",
        config={"page_size": 4, "start_date": days_ago(1)},
        answer=shuffled(),
    ),
    # The target
    "a full disk": Case(
        what="Cannot write to stdout: [Errno 28] No space left on device",
        next="The next sync resumes from the last state that the target saved",
        messages=1,
        stdout_error=OSError(28, "No space left on device"),
    ),
    "a full disk under what is printed": Case(
        what="Cannot write to stdout: ",
        next="[Errno 28] No space left on device",
        arguments=("--discover",),
        messages=0,
        stdout_error=OSError(28, "No space left on device"),
    ),
    "a target that is gone": Case(
        what="The target closed the pipe (see its log)",
        next="The next sync resumes from the last state that the target saved",
        messages=1,
    ),
}
