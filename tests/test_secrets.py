"""Secrets: the key goes to the configured host alone, and into no log, URL or state."""

from __future__ import annotations

import html
import http.server
import io
import json
import logging
import ssl
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml
from errors import CERTIFICATE
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

from tap_litmos.redact import HideKey
from tap_litmos.sandbox import Answer, Incoming, Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support import Run

KEY = "k3y/with+odd=chars&<>%"
DEBUG = {"TAP_LITMOS_LOGLEVEL": "DEBUG", "SINGER_SDK_LOGLEVEL": "DEBUG", "LOGLEVEL": "DEBUG"}


def run(config: dict[str, Any], env: dict[str, str] | None = None, *streams: str) -> Run:
    """Run the tap with all that it can log, and check that the key appears nowhere."""
    done = run_process(
        config={"start_date": days_ago(2), "requests_per_minute": 10_000, "api_key": KEY, **config},
        catalog=catalog_of(*(streams or ("teams",))),
        env=DEBUG | (env or {}),
        command=command_with_minute(0.02),
    )
    assert KEY not in done.log
    assert KEY.encode() not in done.output
    return done


class Stranger(http.server.ThreadingHTTPServer):
    """Another host, which has no teams, refuses to be a proxy, and notes what it receives."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                self.seen.append((handler.requestline, handler.headers["apikey"]))
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.write(b"<Teams/>")

            def do_CONNECT(handler) -> None:  # noqa: N805
                self.seen.append((handler.requestline, handler.headers["apikey"]))
                handler.send_error(407)

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: object) -> None:
        """Stay silent about handshakes that fail."""


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with Stranger() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# What is logged


@pytest.mark.parametrize("status", [200, 403, 500])
def test_a_server_that_echoes_the_key_cannot_make_it_known(
    status: int, org: Organisation, tmp_path: Path
) -> None:
    """Not even in the fields of structured logs."""
    path, echo = tmp_path / "logging.yaml", f"no: {KEY}"
    formatter = {"()": "singer_sdk.logging.StructuredFormatter"}
    handler = {"class": "logging.StreamHandler", "formatter": "json"}
    config = {"version": 1, "formatters": {"json": formatter}, "handlers": {"all": handler}}
    config["disable_existing_loggers"] = False
    path.write_text(yaml.safe_dump({**config, "root": {"level": "INFO", "handlers": ["all"]}}))
    with Sandbox(org, on_request=lambda _: Answer(status, echo.encode(), echo)) as box:
        done = run(config_for(box, api_key=KEY), {"SINGER_SDK_LOG_CONFIG": str(path)})
    assert done.status == 1
    assert '"run_summary"' in done.log
    assert box.requests[0].headers["apikey"] == KEY


def test_a_key_in_the_place_of_other_settings_is_hidden() -> None:
    others = ("region", "source", "start_date", "api_url")
    done = run({"end_date": "x", **dict.fromkeys(others, f"{KEY}{KEY}{KEY}")})
    assert done.status == 1
    assert all(f"'{name}'" in done.log for name in others)


def test_a_key_in_a_state_is_hidden() -> None:
    config = {"api_key": KEY, "start_date": days_ago(2)}
    done = run_tap(config=config, state={"bookmarks": [KEY]})
    assert "***" in done.errors[-1]
    assert KEY not in done.log


@pytest.mark.parametrize("end", ["}", ", "])
def test_a_config_in_the_place_of_its_path_is_not_shown(end: str) -> None:
    done = run_process("--config", f'{{"api_key": "{KEY}"{end}', env=DEBUG)
    assert done.status == 1
    assert KEY not in done.log


def test_the_key_is_hidden_in_messages_and_tracebacks() -> None:
    stream, logger = io.StringIO(), logging.getLogger("a logger of somebody else")
    handler = logging.StreamHandler(stream)
    handler.addFilter(HideKey(KEY))
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("value %r of %d", {"a": KEY}, 5)
    logger.error("failed", exc_info=ValueError(KEY))
    logger.removeHandler(handler)
    assert "value {'a': '***'} of 5" in stream.getvalue()
    assert "ValueError: ***" in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_the_key_is_hidden_by_the_handlers_of_every_logger(tmp_path: Path) -> None:
    own = {"own": {"class": "logging.StreamHandler"}}
    loggers = {"tap-litmos": {"handlers": ["own"], "propagate": False}}
    path = tmp_path / "logging.json"
    path.write_text(json.dumps({"version": 1, "handlers": own, "loggers": loggers}))
    row = f"<Id>1</Id><CreatedDate>{html.escape(KEY)}</CreatedDate>"
    with serving({"teams": page("teams", row)}) as box:
        config = config_for(box, api_key=KEY)
        done = run_process(config=config, env={"SINGER_SDK_LOG_CONFIG": str(path)})
    assert done.status == 0
    assert "teams.CreatedDate: '***'" in done.log
    assert KEY not in done.log


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


# Where the key is sent


def test_a_redirect_is_not_followed(org: Organisation, stranger: Stranger) -> None:
    redirected = {
        "achievements": 301,
        "modules": 302,
        "team_users": 303,
        "teams": 307,
        "users": 308,
    }

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        location = {"Location": f"http://127.0.0.1:{stranger.server_port}/x?key={KEY}"}
        status = redirected.get(incoming.stream or "")
        return (status, location, b"") if status else None

    with Sandbox(org, api_key=KEY, on_request=answer) as box:
        done = run(config_for(box), None, "courses", *redirected)
    assert done.status == 1
    assert done.failed == list(redirected)
    assert not stranger.seen
    asked = Counter(seen.stream for seen in box.requests)
    assert all(asked[stream] == 1 for stream in redirected)


@pytest.mark.parametrize("location", ["http://[::1", "\xff", "//", ""])
def test_a_redirect_that_leads_nowhere_ends_its_stream(location: str, org: Organisation) -> None:
    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (302, {"Location": location}, b"") if incoming.stream == "users" else None

    with Sandbox(org, on_request=answer) as box:
        done = run_tap(config=config_for(box), catalog=catalog_of("users", "courses"))
    assert done.status == 1
    assert done.failed == ["users"]
    assert done.rows("courses") == truth(org, "courses")


@pytest.mark.parametrize("variable", [None, "REQUESTS_CA_BUNDLE"])
def test_only_a_certificate_that_somebody_vouches_for_is_accepted(
    variable: str | None, stranger: Stranger, tmp_path: Path
) -> None:
    authority, bundle = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    stranger.socket = context.wrap_socket(stranger.socket, server_side=True)
    url = f"https://127.0.0.1:{stranger.server_port}/v1.svc"
    inherited = {"REQUESTS_CA_BUNDLE": ""}
    done = run({"api_url": url}, inherited | ({variable: str(bundle)} if variable else {}))
    assert done.status == (0 if variable else 1)
    if variable is None:
        assert not stranger.seen
        [line] = done.errors
        assert CERTIFICATE in line
    else:
        assert {key for _, key in stranger.seen} == {KEY}


def test_a_server_that_speaks_no_tls_is_refused(stranger: Stranger) -> None:
    done = run({"api_url": f"https://127.0.0.1:{stranger.server_port}/v1.svc"})
    assert done.status == 1
    assert not stranger.seen


def test_the_key_is_sent_as_a_header_and_nowhere_else(
    org: Organisation, stranger: Stranger, tmp_path: Path
) -> None:
    """On loopback past proxies and passwords of others, and no cookie comes back."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password pass\n")
    (tmp_path / ".netrc").chmod(0o600)
    proxy, names = f"http://127.0.0.1:{stranger.server_port}", ("HTTP_PROXY", "ALL_PROXY")
    env = {name: proxy for upper in names for name in (upper, upper.lower())}
    env |= {"NETRC": str(tmp_path / ".netrc"), "HOME": str(tmp_path), "NO_PROXY": ""}

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Set-Cookie": "session=x; Path=/"}, page("users")

    with Sandbox(org, on_request=answer) as box:
        done = run(config_for(box, api_key=KEY), env, "users")
    assert done.status == 0
    assert not stranger.seen
    assert len(box.requests) > 3
    for request in box.requests:
        assert request.headers.pop("apikey") == KEY
        assert not {"cookie", "authorization"} & request.headers.keys()
        assert KEY not in str((request.path, request.query, request.headers))


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_proxy_for_https_sees_no_key_and_is_named_if_it_refuses(
    scheme: str, stranger: Stranger
) -> None:
    env = {"HTTPS_PROXY": f"http://127.0.0.1:{stranger.server_port}", "NO_PROXY": ""}
    done = run({"api_url": f"{scheme}://litmos.invalid/v1.svc"}, env)
    assert done.status == 1
    assert {line for line, _ in stranger.seen} == {"CONNECT litmos.invalid:443 HTTP/1.0"}
    assert {key for _, key in stranger.seen} == {None}
    assert "the proxy failed" in done.errors[-1]
    assert "407" in done.errors[-1]
