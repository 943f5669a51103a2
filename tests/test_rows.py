"""Reading rows: every value as it was sent, typed by its field."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strange import StrangeSandbox as Sandbox
from support import ENDPOINT, Record, Run, catalog_of, config_for, days_ago, page, run_tap, serving

from tap_litmos.bodies import clean_body
from tap_litmos.rows import (
    DEFAULTED,
    INVALID_VALUE,
    UNKNOWN_FIELD,
    WITHOUT_KEY,
    Findings,
    RowReader,
)
from tap_litmos.sandbox import Organisation


def read_some(stream: str, fields: set[str], body: bytes) -> tuple[list[Record], Findings]:
    """Return the records of a page with these fields, and what was found out about them."""
    found = Findings()
    content = clean_body(body, None, found)
    records = RowReader(ENDPOINT[stream], fields).read(content, found).records
    return [record for record in records if record is not None], found


def read(stream: str, body: bytes) -> tuple[list[Record], Findings]:
    return read_some(stream, {field.name for field in ENDPOINT[stream].fields}, body)


def read_value(name: str, xml: str) -> tuple[Any, Findings]:
    """Return the value of one field of module results."""
    key = "<ModuleResultId>1</ModuleResultId>"
    [record], found = read("module_results", page("module_results", f"{key}{xml}"))
    return record[name], found


def value(name: str, text: str) -> Any:
    """Return the value that a text has in a field; there is nothing to report."""
    read, found = read_value(name, f"<{name}>{text}</{name}>")
    assert not found.counts
    return read


def sync_page(stream: str, *rows: str) -> Run:
    """Let the tap read one page over HTTP."""
    with serving({stream: page(stream, *rows)}) as box:
        config = config_for(box, start_date=days_ago(1))
        return run_tap(config=config, catalog=catalog_of(stream))


def escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})


# Text

xml_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda letter: letter >= " " or letter in "\t\n\r"
    )
)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("&lt;p&gt;bold&lt;/p&gt;", "<p>bold</p>"),
        ("&amp;lt;p&amp;gt;", "&lt;p&gt;"),
        ("<![CDATA[<b>&lt;</b>]]>", "<b>&lt;</b>"),
        ("emoji 🦺 &#x1F600;", "emoji 🦺 😀"),
        ("a&#xD;&#xA;b", "a\r\nb"),
        ("0042", "0042"),
        ("null", "null"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_text_is_as_it_was_sent(sent: str, text: str) -> None:
    assert value("Name", sent) == text


@given(text=xml_text)
def test_any_text_is_as_it_was_sent(text: str) -> None:
    assert value("Name", escaped(text)) == (text or None)
    if "]]>" not in text and "\r" not in text:
        assert value("Name", f"<![CDATA[{text}]]>") == (text or None)


def test_text_survives_the_whole_way() -> None:
    text = "  a & b <c> &lt;d&gt; \u2028 \\ \" ' 🦺\t\n"
    [record] = sync_page("teams", f"<Id>t</Id><Name>{escape(text)}</Name>").records("teams")
    assert record["Name"] == text


# Booleans, numbers and dates


@given(truth=st.booleans(), cases=st.lists(st.booleans(), min_size=5, max_size=5))
def test_booleans_are_read_in_any_case(truth: bool, cases: list[bool]) -> None:  # noqa: FBT001
    word = "true" if truth else "false"
    mixed = "".join(
        letter.upper() if upper else letter for letter, upper in zip(word, cases, strict=False)
    )
    assert value("Completed", f" {mixed}\n") is truth
    assert value("Completed", "1" if truth else "0") is truth


@given(number=st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_read(number: int) -> None:
    for text in (f"{number}", f" {number} ", f"{number}.0"):
        found = value("AttemptNumber", text)
        assert type(found) is int
        assert found == number


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read(number: float) -> None:
    found = value("Score", repr(number))
    assert type(found) is float
    assert found == number
    assert value("Passmark", "85.5") == 85.5


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("2021-09-20T19:19:58", "2021-09-20T19:19:58.000000Z"),
        ("2021-09-20T19:19:58.1234567", "2021-09-20T19:19:58.123456Z"),
        ("2021-09-20", "2021-09-20T00:00:00.000000Z"),
        (" 2021-09-20T19:19:58\n", "2021-09-20T19:19:58.000000Z"),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00.0000000", None),
        ("", None),
    ],
)
def test_date_times_have_one_shape(sent: str, moment: str | None) -> None:
    assert value("FinishedDate", sent) == moment


@given(
    at=st.datetimes(datetime(1900, 1, 1), datetime(9999, 1, 1)),  # noqa: DTZ001 - no zone
    digits=st.integers(0, 7),
    separator=st.sampled_from("T "),
    offset=st.none() | st.integers(-14 * 60, 14 * 60),
    colon=st.sampled_from([":", ""]),
)
def test_any_date_time_is_read_as_utc(
    at: datetime, digits: int, separator: str, offset: int | None, colon: str
) -> None:
    fraction = f"{at.microsecond:06}7"[:digits]
    text = f"{at:%Y-%m-%d}{separator}{at:%H:%M:%S}" + (f".{fraction}" if fraction else "")
    kept = at.replace(microsecond=int(f"{fraction:0<6}"[:6]))
    if offset is not None:
        ahead = timedelta(minutes=offset)
        sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
        text += f"{sign}{hours:02}{colon}{minutes:02}" if offset else "Z"
        kept = kept.replace(tzinfo=timezone(ahead)).astimezone(UTC)
    assert value("FinishedDate", text) == f"{kept:%Y-%m-%dT%H:%M:%S.%f}Z"


MISFITS = {
    "Score": ["abc", "85,5", "NaN", "INF", "1e999", "1_000", "٤٢", "0x10"],
    "AttemptNumber": ["85.5", "three", str(2**63), "9" * 5000],
    "Completed": ["yes", "2"],
    "FinishedDate": [
        "soon",
        "2026-02-30T00:00:00",
        "2026-01-01T25:00:00",
        "31/12/2026",
        "/Date(1603756359593-0500)/",
        "9999-12-31T23:59:59-12:00",
        "2026-01-01T00:00:00+15:00",
        "2026-01-01T00:00:00-02:75",
    ],
}


@pytest.mark.parametrize(
    ("name", "sent"), [(name, sent) for name in MISFITS for sent in MISFITS[name]]
)
def test_what_does_not_fit_becomes_null_and_is_reported(name: str, sent: str) -> None:
    read, found = read_value(name, f"<{name}>{sent}</{name}>")
    assert read is None
    assert found.counts == {(INVALID_VALUE, name): 1}
    assert found.examples[INVALID_VALUE, name] == sent[:100]


@given(name=st.sampled_from(list(MISFITS)), text=xml_text)
def test_whatever_is_sent_is_delivered_or_reported(name: str, text: str) -> None:
    read, found = read_value(name, f"<{name}>{escape(text)}</{name}>")
    is_lost = read is None and bool(text.strip())
    assert found.counts == ({(INVALID_VALUE, name): 1} if is_lost else {})


def test_invalid_values_are_warned_of_once_a_field() -> None:
    run = sync_page(
        "module_results",
        "<ModuleResultId>1</ModuleResultId><Score>abc</Score>",
        "<ModuleResultId>2</ModuleResultId><Score>85.5</Score>",
        "<ModuleResultId>3</ModuleResultId><Passmark>twelve</Passmark><Score>x</Score>",
    )
    assert run.status == 0
    assert [record["Score"] for record in run.records("module_results")] == [None, 85.5, None]
    for line, words in zip(run.warnings, ("Score: 'abc'", "Passmark: 'twelve'"), strict=True):
        assert f"module_results.{words}" in line
    assert run.stats("module_results")["invalid_values"] == "3"


# Nothing, and too much


@pytest.mark.parametrize("name", ["Name", "Score", "AttemptNumber", "Completed", "FinishedDate"])
@pytest.mark.parametrize("xml", ["<{0}/>", "<{0}></{0}>", '<{0} i:nil="true"/>', ""])
def test_what_is_empty_nil_or_missing_is_null(name: str, xml: str) -> None:
    read, found = read_value(name, xml.format(name))
    assert read is None
    assert not found.counts


@pytest.mark.parametrize(
    ("xml", "first"),
    [
        ("<Name>a</Name><Name>b</Name>", "a"),
        ("<Name/><Name>b</Name><Name>c</Name>", "b"),
        ('<Name i:nil="true"/><Name/><Name>c</Name>', "c"),
        ("<Name/><NAME>other case</NAME>", "other case"),
    ],
)
def test_of_a_repeated_element_the_first_that_is_not_empty_counts(xml: str, first: str) -> None:
    assert read_value("Name", xml)[0] == first


def test_updated_date_twice_as_in_the_document() -> None:
    date = "<UpdatedDate>2026-01-02T03:04:05</UpdatedDate><UpdatedDate>-1</UpdatedDate>"
    row = f"<Id>u</Id><UserId>v</UserId>{date}"
    [record], found = read("course_results", page("course_results", row))
    assert record["UpdatedDate"] == "2026-01-02T03:04:05.000000Z"
    assert not found.counts


@pytest.mark.parametrize("name", ["OriginalId", "OriginalUserId", "originaluserid"])
def test_other_spellings_have_the_same_name_in_records(name: str) -> None:
    row = f'<Id>u</Id><OriginalId i:nil="true"/><{name}>7</{name}>'
    [record], found = read("users", page("users", row))
    assert record["OriginalId"] == 7
    assert set(record) == {field.name for field in ENDPOINT["users"].fields}
    assert not found.counts


@pytest.mark.parametrize(
    "body",
    [
        b"<Teams/>",
        b"<Teams>\r\n</Teams>\n",
        b'<?xml version="1.0" encoding="utf-8"?><Teams xmlns:i="urn:x"/>',
        b"\xef\xbb\xbf<Teams/>",
        b"<teams/>",
    ],
)
def test_an_empty_root_is_a_page_without_rows(body: bytes) -> None:
    assert read("teams", body)[0] == []


@pytest.mark.parametrize("stream", ENDPOINT)
def test_a_page_of_any_stream_may_be_empty(stream: str) -> None:
    root = page(stream).partition(b">")[0] + b"/>"
    for body in (root, page(stream)):
        assert read(stream, body)[0] == []


def test_white_space_between_elements_does_not_matter() -> None:
    """A coming release of xmltodict gives it as text."""
    indented = "\n  <Id>a</Id>\n  <Name> b </Name>\n  <Hat>\n    <Size>L</Size>\n  </Hat>\n"
    [record], found = read("teams", b"<?xml version='1.0'?>\n" + page("teams", indented))
    assert (record["Id"], record["Name"]) == ("a", " b ")
    assert record["OtherFields"] == '{"Hat":{"Size":"L"}}'
    assert found.counts == {(UNKNOWN_FIELD, "Hat"): 1}


# What no field takes


@pytest.mark.parametrize(
    ("xml", "kept"),
    [
        ("<Shoe>42</Shoe>", {"Shoe": "42"}),
        ("<Shoe> </Shoe>", {"Shoe": " "}),
        ("<shoe>1</shoe><Shoe>2</Shoe>", {"shoe": "1", "Shoe": "2"}),
        ("<Shoe>1</Shoe><Shoe/><Shoe>2</Shoe>", {"Shoe": ["1", "2"]}),
        ("<A><B>1</B><C/><D>x</D><D>y</D></A>", {"A": {"B": "1", "D": ["x", "y"]}}),
        ("<A>x<B>y</B></A>", {"A": {"#text": "x", "B": "y"}}),
        ("<Shoe/><Hat></Hat><A><B/></A>", None),
        ("<Score>abc</Score>", {"Score": "abc"}),
        ("<Score>abc</Score><Score>5</Score>", {"Score": "abc"}),
        ("<Name>a</Name><Name>b</Name><Name>a</Name>", {"Name": "b"}),
        ("<Name>a</Name><NAME>b</NAME>", {"NAME": "b"}),
        ("<Completed>true</Completed><Completed>1</Completed>", None),
        ("<Score><A>1</A></Score>", {"Score": {"A": "1"}}),
        ("<OtherFields>x</OtherFields>", {"OtherFields": "x"}),
    ],
)
def test_what_no_field_takes_is_kept_as_json(xml: str, kept: Any) -> None:
    text, _ = read_value("OtherFields", xml)
    assert (text and json.loads(text)) == kept


def test_other_fields_have_a_stable_order() -> None:
    one, two = (
        read("teams", page("teams", f"<Id>t</Id>{xml}"))[0][0]["OtherFields"]
        for xml in ("<B>é</B><A>1</A>", "<A>1</A><B>é</B>")
    )
    assert one == two == '{"A":"1","B":"é"}'


KNOWN = ENDPOINT["activity_logins"].elements()
element_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True).filter(
    lambda name: name.lower() not in KNOWN and name.lower() != "loginkey"
)


@given(st.dictionaries(element_names, xml_text.filter(str.strip), max_size=4))
def test_any_text_of_unknown_elements_survives(sent: dict[str, str]) -> None:
    xml = "".join(f"<{name}>{escaped(text)}</{name}>" for name, text in sent.items())
    [record], found = read("activity_logins", page("activity_logins", xml))
    assert json.loads(record["OtherFields"] or "{}") == sent
    assert {name for _, name in found.counts} == set(sent)


@given(
    name=st.sampled_from(["ActivityType", "UserName", "LoginDate", "OriginalUserId", "Shoe"]),
    texts=st.lists(xml_text.filter(str.strip), min_size=2, max_size=2, unique=True),
)
def test_rows_that_differ_anywhere_have_different_keys(name: str, texts: list[str]) -> None:
    rows = [f"<{name}>{escaped(text)}</{name}>" for text in texts]
    (one, two), _ = read("activity_logins", page("activity_logins", *rows))
    values = [{key: row[key] for key in row if key != "ActivityKey"} for row in (one, two)]
    assert (one["ActivityKey"] == two["ActivityKey"]) == (values[0] == values[1])


def test_a_key_that_is_a_hash_is_the_same_whatever_is_selected() -> None:
    rows = [f"<UserName>x</UserName><Shoe>{size}</Shoe>" for size in (42, 43)]
    body = page("activity_logins", *rows)
    whole, _ = read("activity_logins", body)
    keys, _ = read_some("activity_logins", set(), body)
    assert keys == [{"ActivityKey": row["ActivityKey"], "LoginDate": None} for row in whole]
    assert keys[0] != keys[1]


def test_deselected_fields_are_in_no_other_field() -> None:
    row = "<Id>u</Id><LoginKey>secret</LoginKey><LastLogin>soon</LastLogin><X>1</X>"
    [record], _ = read_some("users", {"OtherFields"}, page("users", row))
    assert record == {"Id": "u", "UpdatedDate": None, "OtherFields": '{"X":"1"}'}


@pytest.mark.parametrize(
    "place",
    [
        "<a:LoginKey>{}</a:LoginKey>",
        "<Profile><loginkey>{}</loginkey></Profile>",
        "<Profile><a:LoginKey>{}</a:LoginKey><City>x</City></Profile>",
        "<LastLogin><LoginKey>{}</LoginKey></LastLogin>",
        "<Skype><LoginKey><a>{}</a></LoginKey></Skype>",
        "<LoginKey>one</LoginKey><LoginKey>{}</LoginKey>",
    ],
)
@pytest.mark.parametrize("stream", ["users", "user_logins", "achievements", "activity_logins"])
def test_a_login_link_is_in_no_other_field_wherever_it_is_sent(stream: str, place: str) -> None:
    body = page(stream, "<Id>u</Id>" + place.format("secret")).replace(b">", b' xmlns:a="a">', 1)
    fields = {field.name for field in ENDPOINT[stream].fields if not field.opt_in}
    records, found = read_some(stream, fields, body)
    assert "secret" not in repr((records, found.counts, found.examples))


def test_the_prefix_of_a_namespace_makes_no_other_field() -> None:
    row = "<Id>u</Id><a:City>Turku</a:City><b:City>Oulu</b:City><a:Shoe>42</a:Shoe>"
    [record] = read("users", page("users", row).replace(b">", b' xmlns:a="a" xmlns:b="b">', 1))[0]
    assert record["City"] == "Turku"
    assert json.loads(record["OtherFields"]) == {"b:City": "Oulu", "a:Shoe": "42"}


# Keys


@pytest.mark.parametrize("stream", ["team_courses", "team_learning_paths"])
@pytest.mark.parametrize("flag", ["", "<IsInTeamLibrary/>", "<IsInTeamLibrary> </IsInTeamLibrary>"])
def test_a_missing_flag_of_the_team_library_reads_as_false(stream: str, flag: str) -> None:
    [record], found = read(stream, page(stream, f"<TeamId>t</TeamId><Id>c</Id>{flag}"))
    assert record["IsInTeamLibrary"] is False
    assert found.counts == {(DEFAULTED, "IsInTeamLibrary"): 1}


def test_a_flag_of_the_team_library_that_does_not_fit_is_not_guessed() -> None:
    row = "<TeamId>t</TeamId><Id>c</Id><IsInTeamLibrary>perhaps</IsInTeamLibrary>"
    records, found = read("team_courses", page("team_courses", row))
    assert not records
    assert set(found.counts) == {(WITHOUT_KEY, ""), (INVALID_VALUE, "IsInTeamLibrary")}


def test_a_row_without_its_key_is_left_out_and_named_by_other_ids() -> None:
    without = "<Name>Nobody's</Name><OriginalCourseId>4711</OriginalCourseId>"
    run = sync_page("courses", "<Id>a</Id>", without, '<Id i:nil="true"/>', "<Id>b</Id>")
    assert run.status == 1
    assert [row["Id"] for row in run.records("courses")] == ["a", "b"]
    [warning] = run.warnings
    assert "4711" in warning
    assert run.stats("courses")["rows_without_key"] == "2"
    assert "replication_key_value" not in run.state["bookmarks"].get("courses", {})


def test_pages_of_rows_without_key_are_paged_to_their_end() -> None:
    org = Organisation(users=1, years=0.1, live=False)
    now = org.now()
    rows = [{"Id": None if n % 3 else f"c{n}", "OriginalCourseId": n} for n in range(40)]
    org.replace_rows("courses", [{**row, "UpdatedDate": now} for row in rows])
    with Sandbox(org) as box:
        config = config_for(box, start_date=days_ago(2), page_size=7)
        run = run_tap(config=config, catalog=catalog_of("courses"))
    assert run.status == 1
    assert len(run.rows("courses")) == 14


@pytest.mark.parametrize("page_size", [15, 1000])
@pytest.mark.parametrize("order", ["id", "updated", "newest"])
def test_of_rows_with_one_key_the_newest_is_written_last_and_they_are_counted(
    page_size: int, order: Any
) -> None:
    org = Organisation(users=1, years=0.1, live=False)
    start = org.now().replace(microsecond=0) - timedelta(days=6)
    rows: list[Any] = [
        {"Id": f"c{n % 36}", "UserId": "u", "UpdatedDate": start + timedelta(hours=n)}
        for n in range(40)
    ]
    org.replace_rows("course_results", random.Random(1).sample(rows, 40))  # noqa: S311
    with Sandbox(org, order=order) as box:
        config = config_for(box, start_date=days_ago(8), end_date=days_ago(2), page_size=page_size)
        run = run_tap(config=config, catalog=catalog_of("course_results"))
    assert run.status == 0
    last = {row["Id"]: row["UpdatedDate"] for row in run.records("course_results")}
    newest = {row["Id"]: f"{row['UpdatedDate']:%Y-%m-%dT%H:%M:%S.000000Z}" for row in rows}
    assert last == newest
    if page_size == 1000:  # a newer one on a later page may be the same row, changed
        assert run.stats("course_results")["rows_sharing_a_key"] == "4"
    assert run.bookmark("course_results") > start


# Listings


def test_a_listing_has_its_moment_and_nothing_of_its_rows_but_the_id() -> None:
    org = Organisation(users=25, years=0.1, live=False)
    with Sandbox(org) as box:
        config = config_for(box, detect_deletes=True, page_size=10)
        run = run_tap(config=config, catalog=catalog_of("user_ids"))
    assert run.status == 0
    records = run.records("user_ids")
    assert len(run.rows("user_ids")) == len(org.rows("users"))
    assert {tuple(record) for record in records} == {("Id", "ListedAt")}
    [listed_at] = {record["ListedAt"] for record in records}
    assert listed_at <= f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
