"""Bad bodies: what can be mended is, what is hostile is refused, and nothing else is lost."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from errors import ERRORS
from support import (
    KEEPS_FAILING,
    WITHOUT_KEY,
    catalog_of,
    config_for,
    days_ago,
    page,
    run_process,
    run_tap,
    serving,
)

from tap_litmos import transport
from tap_litmos.bodies import clean_body
from tap_litmos.errors import BadBodyError, HostileBodyError
from tap_litmos.sandbox import Incoming, Organisation, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from support import Run

STREAM = "courses"
ROW = "<Id>a{0}</Id><Name>Course {0}</Name><Code>{1}</Code>"


def rows(*codes: str) -> list[str]:
    return [ROW.format(number, code) for number, code in enumerate(codes)]


def sync_as(charset: str, body: bytes) -> Run:
    """Let the tap read a body whose header names a charset."""
    headers = {"Content-Type": f"text/xml; charset={charset}"}

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, headers, body

    with Sandbox(Organisation(users=1, years=0.1, live=False), on_request=answer) as box:
        config = config_for(box, start_date=days_ago(1))
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=0.02)
    assert run.status == 0
    return run


def sync(body: bytes, *, status: int = 0) -> Run:
    with serving({STREAM: body}) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=0.02)
    assert run.status == status
    assert "Traceback" not in run.log
    return run


@pytest.mark.parametrize(
    ("sent", "read", "count"),
    [
        ("a&#x1F;b", "a\ufffdb", 1),
        ("a&#31;b&#0;", "a\ufffdb\ufffd", 2),
        ("a\x1fb", "a\ufffdb", 1),
        ("a\x00\x08b", "a\ufffd\ufffdb", 2),
        ("a&#xFFFE;\uffff", "a\ufffd\ufffd", 2),
        ("&#xD83D;&#xDE00;", "\ufffd\ufffd", 2),
        ("&#x110000;", "\ufffd", 1),
        ("<![CDATA[&#x1F;]]>&#x1F;", "&#x1F;\ufffd", 1),
    ],
)
def test_characters_that_xml_forbids_are_replaced_and_told_of(
    sent: str, read: str, count: int
) -> None:
    body = page(STREAM, *rows("before", sent, "after &#x41; &lt;b&gt; \U0001f600"))
    run = sync(body)
    codes = [each["Code"] for each in run.records(STREAM)]
    assert codes == ["before", read, "after A <b> \U0001f600"]
    [warning] = run.warnings
    assert f": repaired {count} forbidden character" in warning
    assert run.stats(STREAM)["repairs"] == str(count)


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    body = page(STREAM, *rows("before", "NOISE", "after")).replace(b"NOISE", b"caf\xe9 \xff")
    run = sync(body)
    codes = [each["Code"] for each in run.records(STREAM)]
    assert codes == ["before", "caf\ufffd \ufffd", "after"]
    assert ": repaired 2 undecodable bytes" in run.warnings[0]


def test_a_declared_encoding_is_followed() -> None:
    text = page(STREAM, *rows("café")).decode()
    head = '<?xml version="1.0" encoding="iso-8859-1"?>'
    run = sync((head + text).encode("latin-1"))
    assert run.records(STREAM)[0]["Code"] == "café"
    assert not run.warnings


BILLION = """<!DOCTYPE Courses [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"""


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "declaration",
    [
        BILLION,
        '<!DOCTYPE Courses SYSTEM "{url}">',
        '<!DOCTYPE Courses [<!ENTITY b SYSTEM "{url}">]>',
        '<!DOCTYPE Courses [<!ENTITY % p SYSTEM "{url}"> %p;]>',
        "<!DOCTYPE Courses>",
    ],
)
def test_document_types_and_entities_are_refused(
    declaration: str, codec: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("read-from-a-file")
    text = page(STREAM, *rows("&b;" if "b" in declaration else "x")).decode()
    body = (declaration.format(url=secret.as_uri()) + text).encode(codec)
    run = sync(body, status=1)
    assert not run.records(STREAM)
    assert ERRORS["a document type"].what in run.errors[-1]
    assert "Read 0 rows in 1 request" in run.log
    assert "read-from-a-file" not in run.log
    assert "replication_key_value" not in json.dumps(run.states)


@pytest.mark.parametrize(
    ("sent", "read", "count"),
    [
        ("R&D", "R&D", 1),
        ("a & b &amp; c", "a & b & c", 1),
        ("a&nbsp;b&Eacute;", "a\xa0bÉ", 2),
        ("&LT;b&AMP;", "<b&", 2),
        ("?a=1&b=2&copy=3;", "?a=1&b=2&copy=3;", 2),
        ("&nonsense;", "&nonsense;", 1),
        ("&#;&#x;&#X41;", "&#;&#x;A", 3),
        ("<![CDATA[R&D &nbsp;]]>&", "R&D &nbsp;&", 1),
        ("<!-- R&D -->&", "&", 1),
    ],
)
def test_ampersands_and_entities_of_html_are_repaired(sent: str, read: str, count: int) -> None:
    run = sync(page(STREAM, *rows("before", sent, "after &#x41; &lt;b&gt;")))
    assert [row["Code"] for row in run.records(STREAM)] == ["before", read, "after A <b>"]
    [warning] = run.warnings
    assert f": repaired {count} invalid entit" in warning


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "utf-16", '"Latin1"', "gbk"])
def test_the_charset_of_the_header_is_followed(charset: str) -> None:
    codec = charset.strip('"')
    text = "é 山" if codec in {"utf-16", "gbk"} else "é ÿ"
    run = sync_as(charset, page(STREAM, *rows(text)).decode().encode(codec))
    assert run.records(STREAM)[0]["Code"] == text
    assert not run.warnings


@pytest.mark.parametrize(
    "head",
    [
        '<?xml version="1.0" encoding="utf-8"?>',
        "\ufeff",
        "<?xml version='1.0'\tencoding = 'UTF-8'?>",
        "<?xml version='1.0' encoding='utf8'?>",
        "<?xml version='1.0' encoding='us-ascii'?>",
        "\ufeff<?xml version='1.0' encoding='windows-1252' standalone='yes'?>",
    ],
)
def test_a_declared_encoding_counts_before_the_header(head: str) -> None:
    text = page(STREAM, *rows("é")).decode()
    run = sync_as("iso-8859-1", (head + text).encode())
    assert run.records(STREAM)[0]["Code"] == "é"


def test_bytes_that_a_charset_lacks_are_replaced() -> None:
    body = page(STREAM, *rows("NOISE")).replace(b"NOISE", b"\x80\x81")
    run = sync_as("windows-1252", body)
    assert run.records(STREAM)[0]["Code"] == "€\ufffd"
    assert ": repaired 1 undecodable byte" in run.warnings[0]


@pytest.mark.parametrize("charset", ["nonsense", "rot13", "base64", "a\x00b", "undefined"])
def test_a_charset_that_is_none_fails_the_stream(charset: str) -> None:
    with pytest.raises(BadBodyError, match=ERRORS["an encoding that is declared oddly"].what):
        clean_body(page(STREAM, *rows("x")), ("Courses", "Course"), charset)


@pytest.mark.parametrize("charset", ["Punycode", "unicode_escape", "idna"])
def test_a_codec_that_no_server_means_is_not_used(charset: str) -> None:
    """With punycode, a body of some megabytes would take hours."""
    with pytest.raises(BadBodyError, match="not a charset"):
        clean_body(page(STREAM, *rows("x")), ("Courses", "Course"), charset)


TRANSIENT = {
    "a nil root with rows": b'<Courses xmlns:i="urn:x" i:nil="true">'
    b"<Course><Id>a</Id></Course></Courses>",
    "an HTML page": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "HTML in capitals": b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "x"><HTML></HTML>',
    "another root": b"<Error><Message>Object reference not set</Message></Error>",
    "nothing": b"",
    "JSON": b'{"Courses": []}',
    "half a page": page(STREAM, *rows("x"))[:-20],
    "two pages": page(STREAM, *rows("x")) * 2,
    "an unknown encoding": b'<?xml version="1.0" encoding="nonsense"?><Courses/>',
    "a wrong encoding": b'<?xml version="1.0" encoding="utf-16"?><Courses/>',
    "a codec that is no charset": b'<?xml version="1.0" encoding="rot13"?><Courses/>',
    "text in the place of rows": b"<Courses>Service unavailable</Courses>",
    "a message in the place of rows": b"<Courses><Message>Try later</Message></Courses>",
    "a message beside rows": page(STREAM, *rows("x")).replace(
        b"</Courses>", b"<Message>Cut</Message></Courses>"
    ),
    "text beside rows": page(STREAM, *rows("x", "y")).replace(b"/Course><", b"/Course>and<"),
    "a nil root": b'<Courses xmlns:i="urn:x" i:nil="true"/>',
    "half a character": page(STREAM, *rows("x")) + b"\xc3",
}


@pytest.mark.parametrize("what", TRANSIENT)
def test_what_is_no_page_is_asked_for_again(what: str) -> None:
    whole = page(STREAM, *rows("x", "y"))

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, TRANSIENT[what] if incoming.number < 3 else whole

    with Sandbox(Organisation(users=1, years=0.1, live=False), on_request=answer) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=1.0)
    assert run.status == 0
    assert len(box.requests) == 3
    assert [each["Code"] for each in run.records(STREAM)] == ["x", "y"]
    assert len(run.warnings) == 2


@pytest.mark.parametrize("what", TRANSIENT)
def test_what_never_is_a_page_fails_its_stream(what: str) -> None:
    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, TRANSIENT[what]

    with Sandbox(Organisation(users=1, years=0.1, live=False), on_request=answer) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=0.02)
    assert run.status == 1
    assert "Traceback" not in run.log
    assert run.failed == ["courses"]
    assert KEEPS_FAILING in run.errors[-1]
    assert "replication_key_value" not in json.dumps(run.states)


def test_rows_of_another_name_are_not_skipped_in_silence() -> None:
    body = page(STREAM, *rows("x")).replace(b"Course>", b"Kurs>")
    run = sync(body, status=1)
    assert ERRORS["other rows"].what in run.errors[-1]
    assert ERRORS["other rows"].next in run.errors[-1]
    assert "replication_key_value" not in json.dumps(run.states)


HARMLESS = {
    "comments": b"<Courses><!-- a --><Course><Id>a</Id></Course><!-- </Course> --></Courses>",
    "instructions": b"<?a b?><Courses><?a b?><Course><Id>a</Id></Course></Courses><?a b?>",
    "CDATA": b"<Courses><Course><Id>a</Id><Tag><![CDATA[</Course>]]></Tag></Course></Courses>",
    "another case": b"<courses><COURSE><Id>a</Id></COURSE></courses>",
    "attributes": b'<Courses a="b"><Course c="d"><Id>a</Id></Course></Courses>',
    "lines": b"<Courses>\r\n <Course>\n<Id>a</Id>\n</Course>\t\n</Courses>\n",
    "a row within a row": b"<Courses><Course><Id>a</Id><Course>x</Course></Course></Courses>",
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_harmless_beside_rows_is_read(what: str) -> None:
    assert [row["Id"] for row in sync(HARMLESS[what]).records(STREAM)] == ["a"]


def test_a_row_without_its_key_is_left_out_and_told_of() -> None:
    body = page(
        STREAM,
        *rows("x"),
        "<Name>Nobody's</Name><OriginalCourseId>4711</OriginalCourseId>",
        '<Id i:nil="true"/><OriginalCourseId>4712</OriginalCourseId>',
        "<Id>b</Id><Code>y</Code>",
    )
    with serving({STREAM: body, "users": page("users", "<Id>u</Id>")}) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_tap(config=config, catalog=catalog_of(STREAM, "users"))
    assert run.status == 1
    assert [each["Code"] for each in run.records(STREAM)] == ["x", "y"]
    assert run.records("users")
    assert "4711" in run.warnings[0]
    assert "4712" in run.warnings[1]
    assert run.stats(STREAM)["skipped"] == "2"
    assert run.stats(STREAM)["rows"] == "2"
    assert f"courses: 2 skipped rows {WITHOUT_KEY}" in run.errors[-1]
    assert not run.state["bookmarks"][STREAM]
    assert run.bookmark("users")


def test_pages_of_rows_without_key_are_paged_to_their_end() -> None:
    org = Organisation(users=1, years=0.1, live=False)
    org.replace_rows(
        STREAM,
        [
            {"Id": None if number % 3 else f"c{number}", "UpdatedDate": org.now()}
            | {"OriginalCourseId": number}
            for number in range(40)
        ],
    )
    with Sandbox(org) as box:
        config = config_for(box, start_date=days_ago(2), page_size=7)
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=0.02)
    assert run.status == 1
    assert len(run.rows(STREAM)) == 14
    assert run.stats(STREAM)["reread"] == "0"


def deep(levels: int) -> str:
    return "<Name>" + "<a>" * levels + "</a>" * levels + "</Name>"


def test_deep_nesting_does_no_harm() -> None:
    body = page(STREAM, *rows("x"), f"<Id>deep</Id>{deep(200_000)}", "<Id>last</Id>")
    run = sync(body)
    assert [each["Id"] for each in run.records(STREAM)] == ["a0", "deep", "last"]


def test_fifty_megabytes_are_read() -> None:
    text = "Lorem ipsum dolor sit amet &amp; so on. " * 14_500
    count = 89  # with one more it could be a page that was cut
    body = page(STREAM, *(ROW.format(number, text) for number in range(count)))
    assert len(body) > 50_000_000
    with serving({STREAM: body}) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_process(config=config, catalog=catalog_of(STREAM))
    assert run.status == 0
    assert len(run.records(STREAM)) == count
    assert {each["Code"] for each in run.records(STREAM)} == {text.replace("&amp;", "&")}


def test_a_body_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MEMORY", 9 << 20)
    packed = gzip.compress(page(STREAM, "<Id>" + "x" * (1 << 24) + "</Id>"))
    assert len(packed) < 1 << 16

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Encoding": "gzip"}, packed

    with Sandbox(Organisation(users=1, years=0.1, live=False), on_request=answer) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=0.02)
    assert run.status == 1
    assert ERRORS["a body without end"].what in run.errors[-1]


def test_packed_pages_are_read() -> None:
    packed = gzip.compress(page(STREAM, *rows("x" * 100_000)))

    def answer(_: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Encoding": "gzip"}, packed

    with Sandbox(Organisation(users=1, years=0.1, live=False), on_request=answer) as box:
        config = config_for(box, start_date=days_ago(2))
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=0.02)
    assert run.status == 0
    assert run.records(STREAM)[0]["Code"] == "x" * 100_000


@pytest.mark.parametrize("opening", ["<!--", "<?", "<![CDATA["])
def test_what_is_opened_again_and_again_is_searched_once(opening: str) -> None:
    body = f"<Users><User>&bad;{opening * 400_000}".encode()
    with pytest.raises(BadBodyError):
        clean_body(body, ("Users", "User"))


@pytest.mark.parametrize("hiding", ["<!--{}-->", "<?a {}?>", "<![CDATA[{}]]>"])
def test_what_looks_like_the_seam_of_two_rows_and_is_hidden_is_not_counted(hiding: str) -> None:
    row = f"<Course>{hiding.format('</Course><Course>')}</Course>"
    assert clean_body(f"<Courses>{row}</Courses>".encode(), ("Courses", "Course")).rows == 1


def test_half_a_character_of_another_encoding_is_replaced() -> None:
    body = clean_body(b"<Users><User>+2AA-</User></Users>", ("Users", "User"), "utf-7")
    assert body.rows == 1
    assert body.repairs


def test_a_page_of_far_more_rows_than_were_asked_for_is_refused() -> None:
    body = b"<Users>%b</Users>" % (b"<User></User>" * 100_001)
    with pytest.raises(HostileBodyError, match="100,001 rows"):
        clean_body(body, ("Users", "User"))
