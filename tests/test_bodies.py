"""Bad bodies: what can be mended is, what is hostile is refused, and nothing else is lost."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from strange import StrangeSandbox as Sandbox
from support import catalog_of, config_for, days_ago, page, run_tap

from tap_litmos.bodies import clean_body
from tap_litmos.errors import BadBodyError
from tap_litmos.rows import Findings
from tap_litmos.sandbox import Incoming, Organisation

if TYPE_CHECKING:
    from pathlib import Path

    from support import Run

STREAM = "courses"
ROW = "<Id>a{0}</Id><Name>Course {0}</Name><Code>{1}</Code>"


def rows(*codes: str) -> list[str]:
    return [ROW.format(number, code) for number, code in enumerate(codes)]


def sync(*bodies: bytes, status: int = 0, minute: float = 0.02, **headers: str) -> Run:
    """Run the tap on a service that sends these bodies one after another, the last for ever."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes]:
        return 200, named, bodies[min(incoming.number, len(bodies)) - 1]

    with Sandbox(Organisation(users=1, years=0.1, live=False), on_request=answer) as box:
        config = config_for(box, start_date=days_ago(1))
        run = run_tap(config=config, catalog=catalog_of(STREAM), minute=minute)
    assert run.status == status
    assert "Traceback" not in run.log
    return run


def codes(run: Run) -> list[Any]:
    return [record["Code"] for record in run.records(STREAM)]


# What is mended


@pytest.mark.parametrize(
    ("sent", "read", "count"),
    [
        ("a&#x1F;b", "a\ufffdb", 1),
        ("a&#31;b&#0;", "a\ufffdb\ufffd", 2),
        ("a\x1fb", "a\ufffdb", 1),
        ("a&#xFFFE;\uffff", "a\ufffd\ufffd", 2),
        ("&#x110000;", "\ufffd", 1),
        ("<![CDATA[&#x1F;]]>&#x1F;", "&#x1F;\ufffd", 1),
        # Halves of characters beyond U+FFFF
        ("Sales &#55357;&#56832;", "Sales 😀", 0),
        ("&#xD83D;&#xDE4F;", "🙏", 0),
        ("&#xD83D; &#xDE4F;", "\ufffd \ufffd", 2),
        ("&#xDE4F;&#xD83D;x", "\ufffd\ufffdx", 2),
        # Ampersands, and entities of HTML
        ("R&D", "R&D", 1),
        ("a & b &amp; c", "a & b & c", 1),
        ("a&nbsp;b&Eacute;", "a\xa0bÉ", 2),
        ("&LT;b&AMP;", "<b&", 2),
        ("?a=1&b=2&copy=3;", "?a=1&b=2&copy=3;", 2),
        ("&nonsense;", "&nonsense;", 1),
        ("<![CDATA[R&D &nbsp;]]>&", "R&D &nbsp;&", 1),
        ("<!-- R&D -->&", "&", 1),
    ],
)
def test_what_xml_forbids_is_repaired_and_reported(sent: str, read: str, count: int) -> None:
    run = sync(page(STREAM, *rows("before", sent, "after &#x41; &lt;b&gt; 🦺")))
    assert codes(run) == ["before", read, "after A <b> 🦺"]
    assert run.stats(STREAM)["repairs"] == str(count)
    assert len(run.warnings) == (count > 0)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"caf\xe9 \xff", "caf\ufffd \ufffd"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "😀"),  # each half in UTF-8
        (b"\xed\xa0\xbd!", "\ufffd!"),
    ],
)
def test_bytes_that_are_no_utf_8_are_repaired(sent: bytes, read: str) -> None:
    body = page(STREAM, *rows("before", "NOISE", "after")).replace(b"NOISE", sent)
    assert codes(sync(body)) == ["before", read, "after"]


@pytest.mark.parametrize("opening", ["<!--", "<?", "<![CDATA["])
def test_what_is_opened_again_and_again_is_searched_once(opening: str) -> None:
    body = f"<Users><User>&bad;{opening * 400_000}".encode()
    with pytest.raises(BadBodyError):
        clean_body(body, None, Findings())


# Encodings


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "utf-16", '"Latin1"'])
def test_the_charset_of_the_header_is_followed(charset: str) -> None:
    text = "é ÿ" if charset != "utf-16" else "é 山 😀"
    body = page(STREAM, *rows(text)).decode().encode(charset.strip('"'))
    run = sync(body, Content_Type=f"text/xml; charset={charset}")
    assert codes(run) == [text]
    assert not run.warnings


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ('<?xml version="1.0" encoding="utf-8"?>', "utf-8"),
        ('<?xml version="1.0" encoding="iso-8859-1"?>', "latin-1"),
        ("<?xml version='1.0' encoding = 'windows-1252'?>", "cp1252"),
        ("<?xml version='1.0' encoding='utf-16'?>", "utf-16"),
        ("<?xml version='1.0' encoding='us-ascii'?>", "utf-8"),
        ("\ufeff<?xml version='1.0' encoding='windows-1252' standalone='yes'?>", "utf-8"),
        ("\ufeff", "utf-8"),
    ],
)
def test_what_a_body_declares_or_shows_counts_before_the_header(head: str, codec: str) -> None:
    body = (head + page(STREAM, *rows("é")).decode()).encode(codec)
    assert codes(sync(body, Content_Type="text/xml; charset=iso-8859-15")) == ["é"]


def test_bytes_that_a_charset_lacks_are_replaced() -> None:
    body = page(STREAM, *rows("NOISE")).replace(b"NOISE", b"\x80\x81")
    run = sync(body, Content_Type="text/xml; charset=windows-1252")
    assert codes(run) == ["€\ufffd"]
    assert len(run.warnings) == 1


@pytest.mark.parametrize("charset", ["nonsense", "rot13", "undefined"])
def test_a_charset_that_is_none_is_no_page(charset: str) -> None:
    with pytest.raises(BadBodyError):
        clean_body(page(STREAM, *rows("x")), charset, Findings())


# What is no page

NO_PAGES = {
    "an HTML page": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "HTML in capitals": b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "x"><HTML></HTML>',
    "another root": b"<Error><Message>Object reference not set</Message></Error>",
    "rows of another name": b"<Courses><Kurs><Id>1</Id></Kurs></Courses>",
    "nothing": b"",
    "JSON": b'{"Courses": []}',
    "half a page": page(STREAM, *rows("x"))[:-20],
    "two pages": page(STREAM, *rows("x")) * 2,
    "an unknown encoding": b'<?xml version="1.0" encoding="nonsense"?><Courses/>',
    "a wrong encoding": b'<?xml version="1.0" encoding="utf-16"?><Courses/>',
    "text": b"<Courses>Service unavailable</Courses>",
    "a message": b"<Courses><Message>Try later</Message></Courses>",
    "a message beside rows": page(STREAM, *rows("x")).replace(
        b"</Courses>", b"<Message>Cut</Message></Courses>"
    ),
    "a nil root": b'<Courses xmlns:i="urn:x" i:nil="true"/>',
    "half a character": page(STREAM, *rows("x")) + b"\xc3",
}


@pytest.mark.parametrize("what", NO_PAGES)
def test_what_is_no_page_is_asked_for_again_and_never_counts(what: str) -> None:
    run = sync(NO_PAGES[what], NO_PAGES[what], page(STREAM, *rows("x", "y")), minute=0.3)
    assert codes(run) == ["x", "y"]
    assert run.stats(STREAM)["retries"] == "2"
    never = sync(NO_PAGES[what], status=1)
    assert never.failed == [STREAM]
    assert "replication_key_value" not in json.dumps(never.states)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE Courses [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE Courses SYSTEM "{url}">',
        '<!DOCTYPE Courses [<!ENTITY b SYSTEM "{url}">]>',
        '<!DOCTYPE Courses [<!ENTITY % p SYSTEM "{url}"> %p;]>',
    ],
)
def test_document_types_and_entities_are_refused(
    declaration: str, codec: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("read-from-a-file")
    text = page(STREAM, *rows("&b;" if "b" in declaration else "x")).decode()
    run = sync((declaration.replace("{url}", secret.as_uri()) + text).encode(codec), status=1)
    assert not run.records(STREAM)
    assert not run.warnings  # it is not tried again
    assert "read-from-a-file" not in run.log
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


# Large bodies


def test_packed_pages_of_some_megabytes_are_read() -> None:
    packed = gzip.compress(page(STREAM, *rows(*["x" * 100_000] * 80)))
    assert codes(sync(packed, Content_Encoding="gzip")) == ["x" * 100_000] * 80
