"""The parser under fire: whatever comes, it is refused in words or read without a loss.

A long run: `pytest --timeout 0 --hypothesis-profile thorough tests/test_fuzz.py`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from encodings.aliases import aliases
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.parsers import expat
from xml.sax.saxutils import escape

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support import ENDPOINT, Notes, page

from tap_litmos.bodies import REPLACEMENT, Body, clean_body
from tap_litmos.errors import BadBodyError, HostileBodyError
from tap_litmos.rows import RowReader

if TYPE_CHECKING:
    from tap_litmos.rows import Page

fuzz = settings(
    max_examples=3 * settings().max_examples,
    database=None,
    suppress_health_check=list(HealthCheck),
)

CODECS = sorted(set(aliases.values()))
FUZZED = ("users", "course_results", "activity_logins", "ecommerce_courses", "team_ids")
VALID = {name: Draft202012Validator(ENDPOINT[name].schema()) for name in FUZZED}
FIELDS = {name: frozenset(each.name for each in ENDPOINT[name].fields) for name in FUZZED}


def count_rows(content: bytes, nesting: tuple[str, ...]) -> int:
    """Count the rows of a page in the plainest way."""
    path: list[str] = []
    wanted = [name.lower() for name in nesting]
    parser = expat.ParserCreate()
    rows = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal rows
        path.append(name.lower())
        rows += path == wanted

    def end(_: str) -> None:
        path.pop()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(content, True)  # noqa: FBT003
    return rows


def hold(stream: str, content: bytes) -> Page | None:
    """Read a body, and hold what comes of it against what must be true of every page.

    Returns:
        The page, or None if the body was refused.
    """
    endpoint, notes = ENDPOINT[stream], Notes()
    try:
        body = clean_body(content, endpoint.nesting)
        page = RowReader(endpoint, FIELDS[stream], notes).read(body)
    except (BadBodyError, HostileBodyError) as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017 - whatever it is, it is one line
        return None
    assert len(page.records) == len(page.versions) == len(page.keys)
    assert page.records.count(None) == len(notes.rows_without_key)
    hash(frozenset(page.versions))
    for record in filter(None, page.records):
        assert record.keys() == FIELDS[stream]
        VALID[stream].validate(record)
        json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
    assert len(page.records) == count_rows(body.content, endpoint.nesting)
    return page


names = st.one_of(
    st.sampled_from(sorted(frozenset().union(*FIELDS.values()))),
    st.sampled_from(
        ["id", "ID", "userid", "UPDATEDDATE", "i:nil", "User", "Courses", "x", "é"]
    ),
)
texts = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "1",
            "-1",
            "100.0",
            "1e999",
            "٣",
            "true",
            "False",
            "2026-01-31T10:00:00.123",
            "2026-02-30T10:00:00",
            "0001-01-01T00:00:00",
            "9999-12-31T23:59:59-10:00",
            "9" * 30,
            "<![CDATA[a]]>",
            "<![CDATA[",
            "]]>",
            "<!-- -->",
            "<?pi ?>",
            "&#x1F;",
            "&#0;",
            "&#xD800;",
            "&#x110000;",
            "&#99999999999;",
            "&amp;",
            "&nbsp;",
            "&#",
            "\x00",
            "\x0b",
            "\ufffe",
        ]
    ),
    st.text(max_size=8).map(escape),
    st.text(max_size=8),
)
elements = st.recursive(
    st.builds("<{0}>{1}</{0}>".format, names, texts)
    | st.builds('<{} i:nil="true"/>'.format, names)
    | texts,
    lambda inner: st.builds(
        lambda name, each: f"<{name}>{''.join(each)}</{name}>",
        names,
        st.lists(inner, max_size=4),
    ),
    max_leaves=8,
)
heads = st.sampled_from(
    [
        "",
        "",
        "",
        '<?xml version="1.0" encoding="utf-8"?>',
        '<?xml version="1.0" encoding="utf-16"?>',
        '<?xml version="1.0" encoding="windows-1252"?>',
        '<?xml version="1.1"?>',
        "<!DOCTYPE html>",
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        "\ufeff",
        " ",
    ]
)
codecs = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw bodies that look like pages, more or less."""
    stream = draw(st.sampled_from(FUZZED))
    *outer, item = ENDPOINT[stream].nesting
    content = "".join(
        draw(st.sampled_from([f"<{item}>{{}}</{item}>", f"<{item}/>{{}}", "{}"])).format(
            "".join(each)
        )
        for each in draw(st.lists(st.lists(elements, max_size=6), max_size=4))
    )
    for name in reversed(outer):
        content = f'<{name} xmlns:i="x">{content}</{name}>'
    body = (draw(heads) + content).encode(draw(codecs), "replace")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 5]))):
        at = draw(st.integers(0, len(body)))
        cut = draw(st.integers(0, 3))
        body = body[:at] + draw(st.binary(max_size=3)) + body[at + cut :]
    return stream, body


@fuzz
@given(bodies())
def test_a_body_is_refused_or_read_without_a_loss(drawn: tuple[str, bytes]) -> None:
    hold(*drawn)


@fuzz
@given(st.sampled_from(FUZZED), st.binary())
def test_bytes_are_refused_or_read(stream: str, content: bytes) -> None:
    hold(stream, content)


bad = st.sampled_from(
    [
        *((each, REPLACEMENT) for each in ("\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff")),
        *((each, REPLACEMENT) for each in ("&#x1F;", "&#31;", "&#x00000;", "&#xFFFF;")),
        *((each, REPLACEMENT) for each in ("&#xdfff;", "&#x110000;", f"&#{'9' * 30};")),
        ("<![CDATA[&#x1F;]]>", "&#x1F;"),
        ("<![CDATA[\x01]]>", REPLACEMENT),
        ("&#x9;", "\t"),
        ("&#128512;", "\U0001f600"),
    ]
)
# What `str.splitlines` and XML do to a carriage return is not what this is about.
good = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
)
pieces = st.lists(bad | good.map(lambda text: (escape(text), text)), max_size=6)


@fuzz
@given(st.lists(st.tuples(pieces, pieces), min_size=1, max_size=4))
def test_what_xml_forbids_is_replaced_and_all_else_survives(
    rows: list[tuple[list[tuple[str, str]], list[tuple[str, str]]]],
) -> None:
    sent, expected, replaced = "", [], 0
    for number, row in enumerate(rows):
        first, last = ("".join(xml for xml, _ in each) for each in row)
        sent += f"<User><Id>u{number}</Id><FirstName>{first}</FirstName>"
        sent += f"<LastName>{last}</LastName></User>"
        expected.append(["".join(text for _, text in each) or None for each in row])
        replaced += sum(
            xml != text and text == REPLACEMENT and xml != escape(text)
            for each in row
            for xml, text in each
        )
    content = f"<Users>{sent}</Users>".encode()
    body = clean_body(content, ENDPOINT["users"].nesting)
    page = hold("users", content)
    assert page is not None
    records = [record for record in page.records if record is not None]
    assert [[each["FirstName"], each["LastName"]] for each in records] == expected
    assert body.repairs["forbidden character"] == replaced


@fuzz
@given(st.binary(min_size=1, max_size=4), st.integers(0, 20))
def test_bytes_that_are_no_utf_8_cost_nothing_around_them(noise: bytes, place: int) -> None:
    before, after = "x" * place, "y" * (20 - place)
    noise = bytes(each for each in noise if each >= 0x80)
    content = b"<Users><User><Id>u</Id><City>%s%s%s</City></User></Users>" % (
        before.encode(),
        noise,
        after.encode(),
    )
    page = hold("users", content)
    assert page is not None
    [record] = page.records
    assert record is not None
    city = record["City"]
    assert city.startswith(before)
    assert city.endswith(after)
    assert city == (before.encode() + noise + after.encode()).decode(errors="replace")


@fuzz
@given(st.lists(pieces, max_size=4), st.sampled_from(["", "\n ", "<!-- a & b -->", "<?a &?>"]))
def test_a_well_formed_document_is_never_changed(
    rows: list[list[tuple[str, str]]], between: str
) -> None:
    cities = ["".join(escape(text) for _, text in row) for row in rows]
    items = between.join(f"<User><Id>u</Id><City>{city}</City></User>" for city in cities)
    content = f"<Users>{between}{items}{between}</Users>".encode()
    body = clean_body(content, ENDPOINT["users"].nesting)
    assert body == Body(content, rows=len(rows))


@fuzz
@given(st.sampled_from(FUZZED), st.binary(), st.text(max_size=9) | st.sampled_from(CODECS))
def test_check_raises_nothing_but_its_own_errors(
    stream: str, content: bytes, charset: str
) -> None:
    with suppress(BadBodyError, HostileBodyError):
        clean_body(content, ENDPOINT[stream].nesting, charset)
    whole = page(stream, "<Id>é&nbsp;</Id>").decode()
    with suppress(ValueError, LookupError):  # no codec, or not one that can write the page
        content = whole.encode(charset) + content
    with suppress(BadBodyError, HostileBodyError):
        clean_body(content, ENDPOINT[stream].nesting, charset)


seams = st.lists(
    st.sampled_from(
        ["<User>", "</User>", "<User/>", "<User a='/'>", "<a>", "</a>", "x", " ", "<!--", "-->"]
    ),
    max_size=9,
)


@fuzz
@given(seams)
def test_only_rows_stand_in_the_place_of_rows(drawn: list[str]) -> None:
    content = f"<Users>{''.join(drawn)}</Users>".encode()
    with suppress(BadBodyError):
        rows = clean_body(content, ("Users", "User")).rows
        assert rows == only_rows(content)


def only_rows(content: bytes) -> int:
    """Return how many rows a page has, which must be rows and nothing else."""
    root = ET.fromstring(content)  # noqa: S314 - our own
    beside = [root.text, *(row.tail for row in root)]
    assert not any(text and text.strip() for text in beside)
    assert {row.tag for row in root} <= {"User"}
    return len(root)
