"""Secrets: the key goes to the configured host alone, and into no log, URL or state."""

from __future__ import annotations

import base64
import html
import http.server
import io
import json
import logging
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
import trustme
from errors import ERRORS
from hypothesis import example, given
from hypothesis import strategies as st
from strange import StrangeSandbox as Sandbox
from support import (
    catalog_of,
    command_with_minute,
    config_for,
    days_ago,
    page,
    run_process,
    run_tap,
    serving,
    truth,
)
from tap_litmos.connections import Sockets

from tap_litmos.redact import SHORTEST, RedactKey
from tap_litmos.sandbox import Answer, Incoming, Organisation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Run

READ = 1 << 14
"""Bytes that are read of a refusal."""

KEY = "k3y/with+odd=chars&<>%"
SPELLINGS = {
    KEY,
    quote(KEY),
    quote(KEY, safe=""),
    quote_plus(KEY),
    KEY.upper(),
    base64.b64encode(KEY.encode()).decode(),
}
DEBUG = {"TAP_LITMOS_LOGLEVEL": "DEBUG", "SINGER_SDK_LOGLEVEL": "DEBUG"}


def run(config: dict[str, Any], env: dict[str, str] | None = None, *streams: str) -> Run:
    """Run the tap as loud as it can be, and check that it says no word of the key."""
    done = run_process(
        "--config=ENV",
        config={"start_date": days_ago(2), "requests_per_minute": 10_000, **config},
        catalog=catalog_of(*(streams or ("users",))),
        env=DEBUG | (env or {}),
        command=command_with_minute(0.02),
    )
    for spelling in SPELLINGS:
        assert spelling not in done.log
        assert spelling.encode() not in done.output
    return done


@pytest.fixture
def stranger() -> Iterator[http.server.HTTPServer]:
    """Another host, which notes whoever comes."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            seen.append(self.rfile.readline().decode("latin-1"))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen = seen  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def seen(server: http.server.HTTPServer) -> list[str]:
    noted: list[str] = server.seen  # type: ignore[attr-defined]
    return noted


ECHOES = [
    f"no: {KEY}",
    f"no: {quote(KEY, safe='')}",
    f"no: {quote_plus(KEY)}",
    f"no: {KEY.upper()}",
]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500, 503])
def test_a_server_that_echoes_the_key_cannot_make_it_known(status: int, org: Organisation) -> None:
    echo = "; ".join(ECHOES)

    def answer(_: Incoming) -> Answer:
        body = f"<{quote_plus(KEY)}>{echo}</{quote_plus(KEY)}>" if status == 200 else echo
        return Answer(status, body.encode(), echo, "text/plain")

    with Sandbox(org, on_request=answer) as box:
        done = run(config_for(box, api_key=KEY, start_date=days_ago(2)))
    assert done.status == 1
    assert box.requests[0].headers["apikey"] == KEY


@pytest.mark.parametrize("length", [4, 5, 12, len(KEY) - 1])
@pytest.mark.parametrize("spell", [str, quote_plus, html.escape, str.upper])
def test_a_key_that_is_cut_at_the_end_of_a_refusal_is_hidden_too(
    length: int, spell: Callable[[str], str], org: Organisation
) -> None:
    spelled = spell(KEY)
    filler = "<p>".ljust(READ - length, " ")

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 403, {}, f"{filler}{spelled} and more".encode()

    with Sandbox(org, on_request=answer) as box:
        config = config_for(box, api_key=KEY, start_date=days_ago(2))
        done = run_tap(config=config, catalog=catalog_of("users"))
    assert done.status == 1
    assert "Server said: " in done.errors[-1]
    assert "***" in done.errors[-1]
    assert spelled[:4] not in done.log


@pytest.mark.parametrize("length", [8, 20])
@pytest.mark.parametrize(
    ("quoted", "body"),
    [
        (50, "<Users>{text}</Users>"),
        (50, "<{text}/>"),
        (100, "<Users><User><Id>1</Id><Active>{text}</Active></User></Users>"),
        (100, "<Users><User><Id>1</Id><{text}>x</{text}></User></Users>"),
    ],
)
def test_a_key_that_is_cut_where_an_answer_is_quoted_is_hidden_too(
    quoted: int, body: str, length: int
) -> None:
    key = "a-key-that-is-a-name-in-XML-too"
    text = body.format(text=key.rjust(quoted - length + len(key), "x"))
    with serving({"users": text.encode()}) as box:
        config = config_for(box, api_key=key, start_date=days_ago(2))
        done = run_tap(config=config, catalog=catalog_of("users"), minute=0.02)
    assert "xxx***" in done.log
    assert key[:8] not in done.log


@pytest.mark.parametrize("name", ["region", "source", "start_date", "api_url"])
def test_a_key_in_the_place_of_another_setting_is_hidden(name: str) -> None:
    done = run(
        {"api_key": KEY, "api_url": "https://litmos.invalid", "end_date": "x"}
        | {name: f"{KEY}{KEY}{KEY}"}
    )
    assert done.status == 1


@pytest.mark.parametrize("between", ["<br>", "&shy;", "\n"])
def test_a_key_that_is_broken_by_other_characters_is_hidden_too(
    between: str, org: Organisation
) -> None:
    key = "4c7a8e64-5a0d9f2b6c18-7d1f0c52"
    said = f"bad key {key[:12]}{between}{key[12:]}"
    with Sandbox(org, on_request=lambda _: (403, {}, said.encode())) as box:
        config = config_for(box, api_key=key, start_date=days_ago(2))
        done = run_tap(config=config, catalog=catalog_of("users"))
    assert "bad key ***" in done.errors[-1]
    assert key[:8] not in done.log
    assert key[12:20] not in done.log


@pytest.mark.parametrize("location", [b"http://[::1", b"\xff", b"//"])
def test_a_redirect_that_leads_nowhere_ends_its_stream(location: bytes, org: Organisation) -> None:
    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        found = {"Location": location.decode("latin-1")}
        return (302, found, b"") if incoming.stream == "users" else None

    with Sandbox(org, on_request=answer) as box:
        done = run_tap(config=config_for(box), catalog=catalog_of("users", "courses"))
    assert done.status == 1
    assert "Traceback" not in done.log
    assert "users failed: GET /org/users/details returned 302" in done.errors[-1]
    assert done.rows("courses") == truth(org, "courses")


def test_the_filter_hides_the_key_in_whatever_is_logged() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(where)s %(deep)s"))
    handler.addFilter(RedactKey(KEY))
    logger = logging.getLogger("a logger of somebody else")
    logger.propagate = False
    logger.addHandler(handler)
    deep = {"deep": [{"in": (KEY,)}]}
    logger.warning("value %r of %d", {"a": KEY}, 5, extra={"where": quote_plus(KEY), **deep})
    logger.error("failed", exc_info=ValueError(KEY), extra={"where": "here", **deep})
    logger.removeHandler(handler)
    said = stream.getvalue()
    assert "value {'a': '***'} of 5 *** [{'in': ('***',)}]" in said
    assert "failed here" in said
    assert "ValueError: ***" in said
    assert not any(spelling in said for spelling in SPELLINGS)


def test_a_malformed_log_call_of_a_library_is_logged_without_the_key() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactKey(KEY))
    logger = logging.getLogger("a careless library")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("%d requests", KEY)
    logger.removeHandler(handler)
    assert "%d requests ('***',)" in stream.getvalue()


@given(
    key=st.text("abc", min_size=10, max_size=36),
    pieces=st.lists(st.slices(36), min_size=1, max_size=4),
)
@example(key="bcccbcacab", pieces=[slice(1, 10), slice(1, 9)])
def test_no_eight_characters_of_the_key_are_seen(key: str, pieces: list[slice]) -> None:
    hidden = RedactKey(key).hide("".join(key[piece] for piece in pieces))
    assert not any(key[at : at + SHORTEST] in hidden for at in range(len(key) - SHORTEST + 1))


def test_the_key_is_hidden_by_the_handlers_of_every_logger(tmp_path: Path) -> None:
    own = {"own": {"class": "logging.StreamHandler"}}
    loggers = {"tap-litmos": {"handlers": ["own"], "propagate": False}}
    path = tmp_path / "logging.json"
    path.write_text(json.dumps({"version": 1, "handlers": own, "loggers": loggers}))
    with serving(
        {"users": page("users", f"<Id>1</Id><CreatedDate>{html.escape(KEY)}</CreatedDate>")}
    ) as box:
        config = config_for(box, api_key=KEY, start_date=days_ago(2))
        done = run_process(config=config, env={"SINGER_SDK_LOG_CONFIG": str(path)})
    assert done.status == 0
    assert "users.CreatedDate: '***' is not a valid datetime" in done.log
    assert KEY not in done.log


def test_the_key_is_hidden_although_no_run_begins() -> None:
    state: dict[str, Any] = {"bookmarks": {f"a {KEY}": {}}}
    done = run_tap(config={"api_key": KEY, "start_date": days_ago(2)}, state=state)
    assert "it has bookmarks of a *** only" in done.errors[-1]
    assert KEY not in done.log


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    status: int, org: Organisation, stranger: http.server.HTTPServer
) -> None:
    url = f"http://127.0.0.1:{stranger.server_port}/x?key={quote_plus(KEY)}"

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return status, {"Location": url}, b""

    with Sandbox(org, on_request=answer) as box:
        config = config_for(box, api_key=KEY, start_date=days_ago(2))
        done = run(config, None, "users", "courses")
    assert done.status == 1
    assert not seen(stranger)
    assert {each.stream for each in box.requests} == {"users", "courses"}
    to = f"http://127.0.0.1:{stranger.server_port}/x?"
    assert f"returned {status}: it points to {to}" in done.errors[-1]
    assert "redirects are not followed" in done.errors[-1]


@pytest.mark.parametrize(
    "url", ["http://litmos.invalid/v1.svc", "http://127.0.0.1.nip.io", "ftp://x"]
)
def test_plain_http_is_refused_but_on_loopback(url: str) -> None:
    done = run({"api_key": KEY, "api_url": url})
    assert done.status == 1
    assert "Setting 'api_url' is" in done.errors[0]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    stranger: http.server.HTTPServer,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    stranger.socket = context.wrap_socket(stranger.socket, server_side=True)
    url = f"https://127.0.0.1:{stranger.server_port}/v1.svc"
    done = run({"api_key": KEY, "api_url": url})
    assert done.status == 1
    assert not seen(stranger)
    [line] = done.errors
    assert "the TLS certificate or connection is not accepted" in line
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert ERRORS["a host that cannot be"].next in line


def test_a_connection_that_is_shut_down_stays_encrypted() -> None:
    """Else what another thread sends at that moment, the key too, would be plain text."""
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ends = socket.socketpair()
    with ThreadPoolExecutor() as pool:
        accepted = pool.submit(theirs.wrap_socket, ends[1], server_side=True)
        sent_to = ours.wrap_socket(ends[0], server_hostname="127.0.0.1")
    sockets = Sockets()
    sockets.add(sent_to)
    with sent_to, accepted.result():
        sockets.shut_down()
        assert sent_to.version() is not None
        with pytest.raises(OSError, match=r"."):
            sent_to.sendall(KEY.encode())


def test_a_server_that_speaks_no_tls_is_refused(stranger: http.server.HTTPServer) -> None:
    url = f"https://127.0.0.1:{stranger.server_port}/v1.svc"
    done = run({"api_key": KEY, "api_url": url})
    assert done.status == 1
    assert not any(KEY in line for line in seen(stranger))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1.svc", "https://litmos.invalid/v1.svc", "https://a..b/v1.svc"]
)
def test_connections_that_fail_say_nothing_of_the_key(url: str) -> None:
    done = run({"api_key": KEY, "api_url": url})
    assert done.status == 1
    assert "Traceback" not in done.log
    assert "api_url" in done.errors[-1]


@pytest.mark.parametrize("kind", ["reset", "drop", "cut", "cut-chunkless", "html", "root"])
def test_broken_answers_say_nothing_of_the_key(kind: str, org: Organisation) -> None:
    with Sandbox(org, on_request=lambda _: kind) as box:
        done = run(config_for(box, api_key=KEY))
    assert done.status == 1
    assert "Traceback" not in done.log


def test_the_key_is_sent_as_a_header_and_nowhere_else(org: Organisation) -> None:
    with Sandbox(org, api_key=KEY) as box:
        done = run(config_for(box))
    assert done.status == 0
    for request in box.requests:
        assert request.headers.pop("apikey") == KEY
        told = str((request.path, request.query, request.headers))
        assert not any(spelling in told for spelling in SPELLINGS)
    assert done.rows("users").keys() <= truth(org, "users").keys()


def test_cookies_are_not_sent_back(org: Organisation) -> None:
    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Set-Cookie": "session=x; Path=/"}, page("users")

    with Sandbox(org, on_request=answer) as box:
        done = run(config_for(box, api_key=KEY, start_date=days_ago(30)))
    assert done.status == 0
    assert len(box.requests) > 3
    assert not any("cookie" in each.headers for each in box.requests)


def test_plain_http_goes_past_proxies_and_passwords_of_others(
    org: Organisation, stranger: http.server.HTTPServer, tmp_path: Path
) -> None:
    proxy = f"http://127.0.0.1:{stranger.server_port}"
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password pass\n")
    (tmp_path / ".netrc").chmod(0o600)
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    env = {name: proxy for each in names for name in (each, each.lower())}
    env |= {"NETRC": str(tmp_path / ".netrc"), "HOME": str(tmp_path), "NO_PROXY": ""}
    with Sandbox(org) as box:
        done = run(config_for(box), env)
    assert done.status == 0
    assert not seen(stranger)
    assert not any("authorization" in each.headers for each in box.requests)


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_proxy_for_https_sees_no_key(scheme: str, stranger: http.server.HTTPServer) -> None:
    env = {"HTTPS_PROXY": f"http://127.0.0.1:{stranger.server_port}", "NO_PROXY": ""}
    done = run({"api_key": KEY, "api_url": f"{scheme}://litmos.invalid/v1.svc"}, env)
    assert done.status == 1
    assert seen(stranger)
    assert all(line.startswith("CONNECT litmos.invalid:443") for line in seen(stranger) if line)


def test_a_login_link_is_in_no_log() -> None:
    link = "https://litmos.invalid/login?token=s3cret"
    key = f"<LoginKey>{link}</LoginKey>"
    bad = "<Id>u</Id><Active>perhaps</Active><Surprise>x</Surprise><LastLogin>soon</LastLogin>"
    body = page("users", f"{key}{bad}", f"{key}<OriginalId>7</OriginalId>", f"{bad}{key}{key}")
    with serving({"users": body}) as box:
        config = config_for(box, start_date=days_ago(2), include_login_key=True)
        done = run_process(config=config, env=DEBUG)
    assert done.status == 1
    assert len(done.warnings) > 3
    assert done.records("users")[0]["LoginKey"] == link
    assert "s3cret" not in done.log
    assert "s3cret" not in str(done.states)


@pytest.mark.parametrize(
    "config", [json.dumps({"api_key": quote_plus(KEY)}), f'{{"api_key": "{quote_plus(KEY)}", ']
)
def test_a_config_in_the_place_of_its_path_is_not_shown(config: str) -> None:
    done = run_process("--config", config, env=DEBUG)
    assert done.status == 1
    assert quote_plus(KEY) not in done.log
    assert ERRORS["a config on the command line"].what in done.errors[-1]
