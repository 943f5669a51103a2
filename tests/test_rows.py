"""Reading rows: every value as it was sent, typed by its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    ENDPOINT,
    Notes,
    Record,
    Run,
    catalog_of,
    config_for,
    days_ago,
    page,
    run_tap,
    serving,
)

from tap_litmos.bodies import clean_body
from tap_litmos.rows import RowReader
from tap_litmos.sandbox import Organisation, Sandbox

IDS = "<Id>u</Id><UserId>v</UserId><UpdatedDate>2026-01-02T03:04:05</UpdatedDate>"


def read(stream: str, body: bytes) -> tuple[list[Record], Notes]:
    """Return the records of a page, and what was reported meanwhile."""
    endpoint, notes = ENDPOINT[stream], Notes()
    fields = {each.name for each in endpoint.fields}
    found = RowReader(endpoint, fields, notes).read(clean_body(body, endpoint.nesting))
    return [record for record in found.records if record is not None], notes


def read_value(name: str, xml: str) -> tuple[Any, Notes]:
    """Return the value of one field of module results."""
    key = "<ModuleResultId>1</ModuleResultId>"
    [record], notes = read("module_results", page("module_results", f"{key}{xml}"))
    return record[name], notes


def value(name: str, text: str) -> Any:
    """Return the value that a text has in a field; there is nothing to report."""
    found, notes = read_value(name, f"<{name}>{text}</{name}>")
    assert notes == Notes()
    return found


def sync_page(stream: str, *rows: str) -> Run:
    """Let the tap read one page over HTTP."""
    with serving({stream: page(stream, *rows)}) as box:
        config = config_for(box, start_date=days_ago(1))
        return run_tap(config=config, catalog=catalog_of(stream))


# Text

xml_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda letter: letter >= " " or letter in "\t\n\r"
    )
)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("  two blanks  ", "  two blanks  "),
        ("\n\tlines\n", "\n\tlines\n"),
        (" ", " "),
        ("&lt;p&gt;bold&lt;/p&gt;", "<p>bold</p>"),
        ("&amp;lt;p&amp;gt;", "&lt;p&gt;"),
        ("<![CDATA[<b>&lt;</b>]]>", "<b>&lt;</b>"),
        ("emoji 🦺 &#x1F600;", "emoji 🦺 😀"),
        ("Zoë Żółć 山田", "Zoë Żółć 山田"),
        ("a&#xD;&#xA;b", "a\r\nb"),
        ("0042", "0042"),
        ("true", "true"),
        ("null", "null"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_text_is_as_it_was_sent(sent: str, text: str) -> None:
    assert value("Name", sent) == text


@given(text=xml_text)
def test_any_text_is_as_it_was_sent(text: str) -> None:
    assert value("Name", escape(text, {"\r": "&#13;"})) == (text or None)


@given(text=xml_text.filter(lambda text: "]]>" not in text and "\r" not in text))
def test_any_text_in_cdata_is_as_it_was_sent(text: str) -> None:
    assert value("Name", f"<![CDATA[{text}]]>") == (text or None)


@pytest.mark.parametrize("sent", ["00:07:30", "27:00:00", "1.02:03:04", "about an hour"])
def test_time_taken_stays_text(sent: str) -> None:
    assert value("TimeTaken", sent) == sent


def test_text_survives_the_whole_way() -> None:
    text = "  a & b <c> &lt;d&gt; \u2028 \\ \" ' 🦺\t\n"
    run = sync_page("teams", f"<Id>t</Id><Name>{escape(text)}</Name>")
    [record] = run.records("teams")
    assert record["Name"] == text


# Booleans and numbers


@given(truth=st.booleans(), cases=st.lists(st.booleans(), min_size=5, max_size=5))
def test_booleans_are_read_in_any_case(truth: bool, cases: list[bool]) -> None:  # noqa: FBT001
    word = "true" if truth else "false"
    mixed = "".join(
        letter.upper() if upper else letter for letter, upper in zip(word, cases, strict=False)
    )
    assert value("Completed", mixed) is truth
    assert value("Completed", f" {mixed}\n") is truth
    assert value("Completed", "1" if truth else "0") is truth


@given(number=st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_read(number: int) -> None:
    for text in (f"{number}", f" {number} ", f"{number}.0", f"{number}.00"):
        found = value("AttemptNumber", text)
        assert type(found) is int
        assert found == number


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read(number: float) -> None:
    found = value("Score", repr(number))
    assert type(found) is float
    assert found == number


@pytest.mark.parametrize(
    ("sent", "number"), [("85.5", 85.5), ("100", 100.0), ("0.00", 0.0), ("100.0", 100.0)]
)
@pytest.mark.parametrize("name", ["Score", "Passmark"])
def test_fractions_of_scores_are_kept(name: str, sent: str, number: float) -> None:
    assert value(name, sent) == number


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Score", "abc"),
        ("Score", "85,5"),
        ("Score", "NaN"),
        ("Score", "INF"),
        ("Score", "1e999"),
        ("Score", "1_000"),
        ("Score", "٤٢"),
        ("Score", "0x10"),
        ("AttemptNumber", "85.5"),
        ("AttemptNumber", "three"),
        ("AttemptNumber", str(2**63)),
        ("AttemptNumber", "9" * 5000),
        ("Completed", "yes"),
        ("Completed", "2"),
        ("FinishedDate", "soon"),
        ("FinishedDate", "2026-02-30T00:00:00"),
        ("FinishedDate", "2026-01-01T25:00:00"),
        ("FinishedDate", "31/12/2026"),
        ("FinishedDate", "/Date(1603756359593-0500)/"),
        ("FinishedDate", "9999-12-31T23:59:59-12:00"),
        ("FinishedDate", "2026-01-01T00:00:00+15:00"),
        ("FinishedDate", "2026-01-01T00:00:00-02:75"),
    ],
)
def test_what_does_not_fit_becomes_null_and_is_reported(name: str, sent: str) -> None:
    found, notes = read_value(name, f"<{name}>{sent}</{name}>")
    assert found is None
    assert notes.invalid_values == [(name, sent)]


@given(
    name=st.sampled_from(["Score", "AttemptNumber", "Completed", "FinishedDate"]),
    text=xml_text,
)
def test_whatever_is_sent_is_delivered_or_reported(name: str, text: str) -> None:
    found, notes = read_value(name, f"<{name}>{escape(text)}</{name}>")
    if found is None and text.strip():
        [(reported, _)] = notes.invalid_values
        assert reported == name
    else:
        assert not notes.invalid_values


def test_invalid_values_are_warned_of_and_counted() -> None:
    run = sync_page(
        "module_results",
        "<ModuleResultId>1</ModuleResultId><Score>abc</Score>",
        "<ModuleResultId>2</ModuleResultId><Score>85.5</Score>",
        "<ModuleResultId>3</ModuleResultId><Passmark>twelve</Passmark><Score>x</Score>",
    )
    assert run.status == 0
    assert [each["Score"] for each in run.records("module_results")] == [None, 85.5, None]
    for words in (("Score", "abc"), ("Passmark", "twelve"), ("Score", "'x'")):
        assert any(
            "module_results" in line and all(map(line.__contains__, words)) for line in run.warnings
        ), words
    assert len(run.warnings) == 3
    assert run.stats("module_results")["invalid"] == "3"


# Dates


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("2021-09-20T19:19:58", "2021-09-20T19:19:58.000000Z"),
        ("2021-09-20T19:19:58Z", "2021-09-20T19:19:58.000000Z"),
        ("2021-09-20T19:19:58.08", "2021-09-20T19:19:58.080000Z"),
        ("2021-09-20T19:19:58.1234567", "2021-09-20T19:19:58.123456Z"),
        ("2021-09-20 19:19:58", "2021-09-20T19:19:58.000000Z"),
        ("2021-09-20T19:19:58+05:30", "2021-09-20T13:49:58.000000Z"),
        ("2021-09-20T19:19:58.5-0500", "2021-09-21T00:19:58.500000Z"),
        ("2021-09-20", "2021-09-20T00:00:00.000000Z"),
        (" 2021-09-20T19:19:58\n", "2021-09-20T19:19:58.000000Z"),
        ("0001-01-01T00:00:00", None),
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
    further=st.integers(0, 9),
    separator=st.sampled_from("T "),
    offset=st.none() | st.integers(-14 * 60, 14 * 60),
    colon=st.booleans(),
)
def test_any_date_time_is_read_as_utc(
    at: datetime,
    digits: int,
    further: int,
    separator: str,
    offset: int | None,
    colon: bool,  # noqa: FBT001
) -> None:
    fraction = f"{at.microsecond:06}{further}"[:digits]
    text = f"{at:%Y-%m-%d}{separator}{at:%H:%M:%S}" + (f".{fraction}" if fraction else "")
    kept = at.replace(microsecond=int(f"{fraction:0<6}"[:6]))
    if offset is not None:
        ahead = timedelta(minutes=offset)
        sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
        text += f"{sign}{hours:02}{':' if colon else ''}{minutes:02}" if offset else "Z"
        kept = kept.replace(tzinfo=timezone(ahead)).astimezone(UTC)
    assert value("FinishedDate", text) == f"{kept:%Y-%m-%dT%H:%M:%S.%f}Z"


# Nothing, and too much


@pytest.mark.parametrize("name", ["Name", "Score", "AttemptNumber", "Completed", "FinishedDate"])
@pytest.mark.parametrize(
    "xml",
    [
        "<{0}/>",
        "<{0}></{0}>",
        '<{0} i:nil="true"/>',
        '<{0} i:nil="true"></{0}>',
        "",
    ],
)
def test_what_is_empty_nil_or_missing_is_null(name: str, xml: str) -> None:
    found, notes = read_value(name, xml.format(name))
    assert found is None
    assert notes == Notes()


def test_nil_needs_no_declared_namespace() -> None:
    body = b'<Teams><Team><Id>t</Id><Name i:nil="true"/></Team></Teams>'
    body = body.replace(b"<Teams>", b'<Teams xmlns:i="urn:any">')
    [record], _ = read("teams", body)
    assert record["Name"] is None


@pytest.mark.parametrize(
    ("xml", "found"),
    [
        ("<Name>a</Name><Name>b</Name>", "a"),
        ("<Name/><Name>b</Name><Name>c</Name>", "b"),
        ('<Name i:nil="true"/><Name/><Name>c</Name>', "c"),
        ("<Name/><Name/>", None),
        ("<Name/><NAME>other case</NAME>", "other case"),
    ],
)
def test_of_a_repeated_element_the_first_that_is_not_empty_counts(
    xml: str, found: str | None
) -> None:
    assert read_value("Name", xml) == (found, Notes())


def test_updated_date_twice_as_in_the_document() -> None:
    row = f"{IDS}<UpdatedDate>-1</UpdatedDate>"
    [record], notes = read("course_results", page("course_results", row))
    assert record["UpdatedDate"] == "2026-01-02T03:04:05.000000Z"
    assert notes == Notes()


@pytest.mark.parametrize("name", ["OriginalId", "OriginalUserId", "originaluserid"])
def test_other_spellings_have_the_same_name_in_records(name: str) -> None:
    [record], notes = read("users", page("users", f"<Id>u</Id><{name}>7</{name}>"))
    assert record["OriginalId"] == 7
    assert set(record) == {each.name for each in ENDPOINT["users"].fields}
    assert notes == Notes()


def test_of_two_spellings_the_one_with_a_value_counts() -> None:
    row = '<Id>u</Id><OriginalId i:nil="true"/><OriginalUserId>7</OriginalUserId>'
    [record], _ = read("users", page("users", row))
    assert record["OriginalId"] == 7


def test_unknown_fields_are_kept_with_one_warning_each() -> None:
    rows = [f"<Id>{number}</Id><Shoe>4{number}</Shoe><Hat/>" for number in range(5)]
    run = sync_page("teams", *rows)
    assert run.status == 0
    assert [record["Id"] for record in run.records("teams")] == list("01234")
    assert [record["OtherFields"] for record in run.records("teams")] == [
        f'{{"Shoe":"4{number}"}}' for number in range(5)
    ]
    assert len(run.warnings) == 2
    for line, name in zip(run.warnings, ("Shoe", "Hat"), strict=True):
        assert "teams" in line
        assert name in line
    assert run.stats("teams")["unknown"] == "2"


# Pages


def test_a_page_may_have_no_row_one_or_several() -> None:
    for count in (0, 1, 2, 50):
        rows = [f"<Id>{number}</Id>" for number in range(count)]
        records, notes = read("teams", page("teams", *rows))
        assert [record["Id"] for record in records] == [str(each) for each in range(count)]
        assert notes == Notes()


@pytest.mark.parametrize(
    "body",
    [
        b"<Teams/>",
        b"<Teams></Teams>",
        b"<Teams>\r\n</Teams>\n",
        b'<?xml version="1.0" encoding="utf-8"?><Teams xmlns:i="urn:x"/>',
        b"\xef\xbb\xbf<Teams/>",
        b"<teams/>",
    ],
)
def test_an_empty_root_is_a_page_without_rows(body: bytes) -> None:
    assert read("teams", body) == ([], Notes())


def test_white_space_around_elements_does_not_matter() -> None:
    body = b"""<?xml version="1.0"?>
    <Teams>
      <Team>
        <Id>a</Id>
        <Name> b </Name>
      </Team>
    </Teams>
    """
    [record], notes = read("teams", body)
    assert (record["Id"], record["Name"]) == ("a", " b ")
    assert notes == Notes()


def test_a_row_has_every_field_even_if_few_were_sent() -> None:
    run = sync_page("module_results", "<ModuleResultId>5</ModuleResultId>")
    [record] = run.records("module_results")
    fields = [each.name for each in ENDPOINT["module_results"].fields]
    assert record == {**dict.fromkeys(fields), "ModuleResultId": 5}


# What no field takes


def others(xml: str, stream: str = "module_results") -> tuple[Any, Notes]:
    """Return what a row with these elements has in its other fields."""
    [record], notes = read(stream, page(stream, f"<ModuleResultId>1</ModuleResultId>{xml}"))
    text = record["OtherFields"]
    return text and json.loads(text), notes


@pytest.mark.parametrize(
    ("xml", "kept"),
    [
        ("<Shoe>42</Shoe>", {"Shoe": "42"}),
        ("<Shoe> </Shoe>", {"Shoe": " "}),
        ("<shoe>1</shoe><Shoe>2</Shoe>", {"shoe": "1", "Shoe": "2"}),
        ("<Shoe>1</Shoe><Shoe/><Shoe>2</Shoe>", {"Shoe": ["1", "2"]}),
        ("<A><B>1</B><C/><D>x</D><D>y</D></A>", {"A": {"B": "1", "D": ["x", "y"]}}),
        ("<A>x<B>y</B>\n</A>", {"A": {"#text": "x\n", "B": "y"}}),
        ("<Shoe/><Hat></Hat><A><B/></A>", None),
        ("<Score>abc</Score>", {"Score": "abc"}),
        ("<Score>abc</Score><Score>5</Score>", {"Score": "abc"}),
        ("<Name>a</Name><Name>b</Name><Name>a</Name>", {"Name": "b"}),
        ("<Name>a</Name><NAME>b</NAME>", {"NAME": "b"}),
        ("<Completed>true</Completed><Completed>1</Completed>", None),
        ("<Score><A>1</A></Score>", {"Score": {"A": "1"}}),
        ("<OtherFields>x</OtherFields>", {"OtherFields": "x"}),
        ("\n ", None),
    ],
)
def test_what_no_field_takes_is_kept_as_json(xml: str, kept: Any) -> None:
    assert others(xml)[0] == kept


def test_text_in_the_place_of_elements_is_kept() -> None:
    one, two = read("activity_logins", page("activity_logins", "loose", "lost"))[0]
    assert one["OtherFields"] == '{"#text":"loose"}'
    assert one["ActivityKey"] != two["ActivityKey"]


def test_a_value_that_fits_counts_though_another_did_not() -> None:
    found, notes = read_value("Score", "<Score>abc</Score><Score>5</Score>")
    assert found == 5
    assert notes.invalid_values == [("Score", "abc")]


def test_other_fields_have_a_stable_order() -> None:
    one, two = (
        read("teams", page("teams", f"<Id>t</Id>{xml}"))[0][0]["OtherFields"]
        for xml in ("<B>é</B><A>1</A>", "<A>1</A><B>é</B>")
    )
    assert one == two == '{"A":"1","B":"é"}'


KNOWN = {
    name.lower()
    for known in ENDPOINT["activity_logins"].fields
    if known.sent
    for name in (known.name, *known.also_sent_as)
}
element_names: st.SearchStrategy[str] = st.from_regex(
    r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True
).filter(lambda name: name.lower() not in KNOWN)


@given(st.dictionaries(element_names, xml_text.filter(bool), max_size=4))
def test_any_text_of_unknown_elements_survives(sent: dict[str, str]) -> None:
    xml = "".join(
        f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>" for name, text in sent.items()
    )
    [record], notes = read("activity_logins", page("activity_logins", xml))
    assert json.loads(record["OtherFields"] or "{}") == sent
    assert sorted(notes.unknowns) == sorted(sent)


@given(
    name=st.sampled_from(["ActivityType", "UserName", "LoginDate", "OriginalUserId", "Shoe"]),
    texts=st.lists(xml_text.filter(str.strip), min_size=2, max_size=2, unique=True),
)
def test_rows_that_differ_anywhere_have_different_keys(name: str, texts: list[str]) -> None:
    rows = [f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>" for text in texts]
    (one, two), _ = read("activity_logins", page("activity_logins", *rows))
    values = [{key: row[key] for key in row if key != "ActivityKey"} for row in (one, two)]
    assert (one["ActivityKey"] == two["ActivityKey"]) == (values[0] == values[1])
    if name in {"ActivityType", "UserName", "Shoe"}:
        assert one["ActivityKey"] != two["ActivityKey"]


def read_some(stream: str, fields: set[str], *rows: str) -> list[Record]:
    """Return the records with some fields alone."""
    endpoint = ENDPOINT[stream]
    reader = RowReader(endpoint, fields, Notes())
    found = reader.read(clean_body(page(stream, *rows), endpoint.nesting)).records
    return [record for record in found if record is not None]


def test_deselected_fields_are_in_no_other_field() -> None:
    row = "<Id>u</Id><LoginKey>secret</LoginKey><LastLogin>soon</LastLogin><X>1</X>"
    for stream in ("users", "user_logins"):
        records = read_some(stream, {"OtherFields"}, row)
        assert "secret" not in json.dumps(records)
    assert read_some("users", {"OtherFields"}, row) == [
        {"Id": "u", "UpdatedDate": None, "OtherFields": '{"X":"1"}'}
    ]


SECRET_PLACES = [
    "<a:LoginKey>{}</a:LoginKey>",
    "<Profile><loginkey>{}</loginkey></Profile>",
    "<Profile><a:LoginKey>{}</a:LoginKey><City>x</City></Profile>",
    "<LastLogin><LoginKey>{}</LoginKey></LastLogin>",
    "<Skype><LoginKey><a>{}</a></LoginKey></Skype>",
    "<LoginKey>one</LoginKey><LoginKey>{}</LoginKey>",
    "<b>" * 60 + "<LoginKey>{}</LoginKey>" + "</b>" * 60,
]


@pytest.mark.parametrize("place", SECRET_PLACES)
@pytest.mark.parametrize("stream", ["users", "user_logins", "achievements", "activity_logins"])
def test_a_login_link_is_in_no_other_field_wherever_it_is_sent(stream: str, place: str) -> None:
    endpoint = ENDPOINT[stream]
    content = page(stream, "<Id>u</Id>" + place.format("secret"))
    body = clean_body(content.replace(b">", b' xmlns:a="a">', 1), endpoint.nesting)
    notes = Notes()
    fields = {field.name for field in endpoint.fields if not field.opt_in}
    assert "secret" not in repr(RowReader(endpoint, fields, notes).read(body))
    assert "secret" not in repr(notes)


def test_the_prefix_of_a_namespace_makes_no_other_field() -> None:
    row = "<Id>u</Id><a:City>Turku</a:City><b:City>Oulu</b:City><a:Shoe>42</a:Shoe>"
    content = page("users", row).replace(b">", b' xmlns:a="a" xmlns:b="b">', 1)
    [record] = read("users", content)[0]
    assert record["City"] == "Turku"
    assert json.loads(record["OtherFields"]) == {"b:City": "Oulu", "a:Shoe": "42"}


def test_what_is_deselected_counts_for_the_hash_alone() -> None:
    rows = ["<OriginalUserId>one</OriginalUserId>", "<OriginalUserId>two</OriginalUserId>"]
    one, two = read_some("activity_logins", {"OtherFields"}, *rows)
    assert one["OtherFields"] is two["OtherFields"] is None
    assert one["ActivityKey"] != two["ActivityKey"]


def test_the_key_is_the_same_whatever_is_selected() -> None:
    row = "<UserName>x</UserName><Shoe>42</Shoe><OriginalUserId>one</OriginalUserId>"
    everything = {known.name for known in ENDPOINT["activity_logins"].fields}
    [whole] = read_some("activity_logins", everything, row)
    [key] = read_some("activity_logins", set(), row)
    assert key == {"ActivityKey": whole["ActivityKey"], "LoginDate": None}


def test_deep_nesting_keeps_its_text() -> None:
    deep = "<a>" * 5000 + "text" + "</a>" * 5000
    assert "text" in json.dumps(others(f"<Shoe>{deep}</Shoe>")[0])
    found, _ = read_value("Name", f"<Name>{deep}</Name>")
    assert "text" in found


# Listings, and a key part with a default


def test_a_listing_has_its_moment_and_nothing_of_its_rows_but_the_id() -> None:
    endpoint, notes = ENDPOINT["user_ids"], Notes()
    reader = RowReader(endpoint, {"Id", "ListedAt"}, notes)
    reader.set_constant("ListedAt", "2026-01-02T03:04:05.000000Z")
    body = page("user_ids", "<Id>a</Id><UserName>x</UserName><ListedAt>y</ListedAt>", "<Id>b</Id>")
    assert reader.read(clean_body(body, endpoint.nesting)).records == [
        {"Id": "a", "ListedAt": "2026-01-02T03:04:05.000000Z"},
        {"Id": "b", "ListedAt": "2026-01-02T03:04:05.000000Z"},
    ]
    assert notes == Notes()


@pytest.mark.parametrize("stream", ["team_courses", "team_learning_paths"])
@pytest.mark.parametrize("xml", ["", "<IsInTeamLibrary/>", "<IsInTeamLibrary> </IsInTeamLibrary>"])
def test_a_missing_flag_of_the_team_library_reads_as_false(stream: str, xml: str) -> None:
    flag = xml.format("IsInTeamLibrary")
    [record], notes = read(stream, page(stream, f"<TeamId>t</TeamId><Id>c</Id>{flag}"))
    assert record["IsInTeamLibrary"] is False
    assert notes == Notes(defaults=["IsInTeamLibrary"])


def test_a_flag_of_the_team_library_that_does_not_fit_is_not_guessed() -> None:
    row = "<TeamId>t</TeamId><Id>c</Id><IsInTeamLibrary>perhaps</IsInTeamLibrary>"
    records, notes = read("team_courses", page("team_courses", row))
    assert not records
    assert notes.rows_without_key == [{"TeamId": "t", "Id": "c"}]
    assert notes.invalid_values == [("IsInTeamLibrary", "perhaps")]
    assert not notes.defaults


def test_all_rows_of_a_listing_have_the_moment_of_its_first_page() -> None:
    org = Organisation(users=25, years=0.1, live=False)
    with Sandbox(org) as box:
        config = config_for(box, detect_deletes=True, page_size=10)
        run = run_tap(config=config, catalog=catalog_of("user_ids"))
    assert run.status == 0
    records = run.records("user_ids")
    assert len(records) == len(org.rows("users"))
    [listed_at] = {record["ListedAt"] for record in records}
    assert listed_at <= f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
