"""Every message with which a run can end, and what provokes it.

Each says what happened, where, and what to do next.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from support import catalog_of, days_ago, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_litmos.sandbox import Incoming

    Answer = Callable[[Incoming], Any]

STREAM = "courses"
PATH = "/org/courses"


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
        constants: Constants of the transport that are smaller than in life.
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
    constants: dict[str, float] = field(default_factory=lambda: {"MINUTE": 0.01})


def always(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, named, body)


def moving() -> Answer:
    """Return answers with full pages that never have a row in common."""
    numbers = iter(range(1_000_000))

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, page(STREAM, *(f"<Id>{next(numbers)}</Id>" for _ in range(2)))

    return answer


def html_then_nothing() -> Answer:
    return always(200, b"<!DOCTYPE html><html><body>Sign in</body></html>")


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
        next="must be a text that is not empty",
        config={"api_key": ""},
    ),
    "a blank key": Case(
        what="Setting 'api_key'",
        next="must be a text that is not empty",
        config={"api_key": " "},
    ),
    "a key that is no key": Case(
        what="Setting 'api_key' has characters that no key has",
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
        next="which lies in the future",
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
        next="must be a whole number from 1 to 1000",
        config={"page_size": 1001},
    ),
    "a number that is too small": Case(
        what="Setting 'requests_per_minute' is 0",
        next="must be a whole number, 1 or more",
        config={"requests_per_minute": 0},
    ),
    "a source that is too long": Case(
        what="Setting 'source' is 'xxxxx",
        next="must be a text of 1 to 50 characters",
        config={"source": "x" * 51},
    ),
    "a URL that is none": Case(
        what="Setting 'api_url' is 'http://[', but",
        next="is no URL",
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
    # Files
    "a config that is no JSON": Case(
        what="--config ", next="cannot be read: ", config="{", without=()
    ),
    "a config on the command line": Case(
        what="--config takes the path of a JSON file",
        next="not its content",
        arguments=("--config", '{"api_key": "secret"}'),
    ),
    "a state that is no JSON": Case(
        what="is no JSON (",
        next="it must hold the value of the last STATE message that the target has taken",
        state="{",
    ),
    "a state that is no object": Case(
        what="is no JSON object", next="it must hold the value of the last STATE", state="[]"
    ),
    "a state message": Case(
        what="The state is no Singer state",
        next="it must be the value of the last STATE message that the target has taken",
        state={"type": "STATE", "value": {"bookmarks": {}}},
    ),
    "another tap's state": Case(
        what="The state is another tap's: it has bookmarks of issues only",
        next="Give tap-litmos its own state, or none",
        state={"bookmarks": {"issues": YESTERDAY}},
    ),
    "a catalog that is no JSON": Case(
        what="is no JSON (", next="it must hold what --discover prints", catalog="{"
    ),
    "a catalog that is none": Case(
        what="is no Singer catalog ('it lists no streams')".replace("'", ""),
        next="--discover prints one",
        catalog={"streams": []},
    ),
    # The network
    "a server that is not there": Case(
        what="http://127.0.0.1:1/v1.svc does not answer: the connection failed",
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
        what=f"GET {PATH} returned 400: Litmos does not accept the parameters of the request.",
        next="Check the settings api_url, region and source",
        answer=always(400),
    ),
    "401": Case(
        what=f"GET {PATH} returned 401: the API key is not valid, or the account is not",
        next="Check the settings api_key and region",
        answer=always(401),
    ),
    "403": Case(
        what=f"GET {PATH} returned 403: the API key does not belong to an Account Owner, or",
        next="Use the key of an Account Owner, or deselect the stream",
        answer=always(403),
    ),
    "403 for what not everybody has": Case(
        what="returned 403",
        next="deselect it then",
        catalog=catalog_of("activity_logins"),
        answer=always(403),
    ),
    "404": Case(
        what=f"GET {PATH} returned 404: there is no such endpoint",
        next="Check the settings api_url, region and source",
        answer=always(404),
    ),
    "406": Case(
        what=f"GET {PATH} returned 406: Litmos does not accept the dates or parameters",
        next="Set window_days to 6: Litmos may count the 7 days of a window otherwise",
        answer=always(406),
    ),
    "406 for less than 7 days": Case(
        what=f"GET {PATH} returned 406: Litmos does not accept the dates or parameters",
        next="Check the settings api_url, region and source",
        answer=always(406),
        config={"window_days": 6, "start_date": days_ago(2)},
    ),
    "418": Case(
        what=f'GET {PATH} returned 418: Litmos does not document this answer. Server said: "I',
        next="Check the settings api_url, region and source",
        answer=always(418, b"<p>tea</p>"),
    ),
    "500 for five minutes": Case(
        what=f"{PATH} keeps failing after 5 minutes of trying: Litmos returned 500",
        next="Run the sync again later; it resumes from the last bookmark",
        answer=always(500),
    ),
    # Bodies
    "an HTML page": Case(
        what=f"{PATH} keeps failing after 5 minutes of trying: the answer is an HTML page",
        next="Run the sync again later",
        answer=html_then_nothing(),
    ),
    "no XML": Case(
        what="the answer is no XML (not well-formed (invalid token): line 1, column 0)",
        next="Run the sync again later",
        answer=always(200, b"{}"),
    ),
    "another root": Case(
        what="the answer is <Error> instead of <Courses>",
        next="Run the sync again later",
        answer=always(200, b"<Error/>"),
    ),
    "another encoding": Case(
        what="the answer's encoding cannot be read (unknown encoding: x)",
        next="Run the sync again later",
        answer=always(200, b'<?xml version="1.0" encoding="x"?><Courses/>'),
    ),
    "other rows": Case(
        what="courses failed: the answer has rows <Kurs> instead of <Course>",
        next="a newer version of the tap may know them",
        answer=always(200, b"<Courses><Kurs><Id>1</Id></Kurs></Courses>"),
    ),
    "a document type": Case(
        what=f"{PATH}: the answer declares a document type, which is refused",
        next="Check that api_url is really Litmos",
        answer=always(200, b"<!DOCTYPE Courses><Courses/>"),
    ),
    "a body without end": Case(
        what=f"{PATH}: the answer is larger than 1 MB",
        next="Check that api_url is really Litmos",
        answer=always(200, gzip.compress(b" " * (2 << 20)), Content_Encoding="gzip"),
        constants={"MEMORY": 9 << 20},
    ),
    # Rows
    "a row without key": Case(
        what="Not everything was synced: courses: 1 rows without primary key were left out",
        next="were left out",
        answer=always(200, page(STREAM, "<Name>x</Name>")),
        config={"start_date": days_ago(1)},
    ),
    "rows that move too fast": Case(
        what=f"{PATH}: the rows of ",
        next="Run the sync again at a quieter time",
        config={"page_size": 2, "start_date": days_ago(1)},
        answer=moving(),
    ),
    # The target
    "a target that is gone": Case(
        what="The target has closed the pipe",
        next="see its own messages. The next sync goes on from the last state",
        messages=1,
    ),
}
