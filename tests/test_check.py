"""`--check`: every habit of a service is recognised for what it is, without a false alarm."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from strange import ALL_FAULT_KINDS, HABITS
from strange import StrangeSandbox as Sandbox
from support import AFTERNOON, ENDPOINT, changed_at, config_for, in_environment, page, run_tap

from tap_litmos.check import BUDGET, CHECKS, Finding, Report, Verdict, account
from tap_litmos.sandbox import Organisation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Record, Run

    from tap_litmos.sandbox import Incoming

HARMLESS, BREAKS, UNSEEN = Verdict.HARMLESS, Verdict.BREAKS, Verdict.UNSEEN
STREAM = "teams"
KEPT = {
    "users",
    "module_results",
    "course_results",
    "achievements",
    "activity_logins",
}
"""The streams that have rows besides."""


def org_of(
    newest: timedelta = timedelta(0), every: float = 240.0, seed: int = 5
) -> Organisation:
    """Return an organisation with a window of more than a page, and rows up to now.

    Args:
        newest: How long ago, at `AFTERNOON`, the newest row changed.
        every: Seconds between the newest rows.
        seed: Decides on the values of other streams' rows, of which there are a few.
    """
    with time_machine.travel(AFTERNOON, tick=False):
        org = Organisation(users=30, years=0.1, seed=seed, live=False)
    for stream in org.endpoints.keys() - org.listings.keys():
        kept = sorted(org.rows(stream), key=partial(changed_at, stream))[-12:]
        org.replace_rows(stream, kept if stream in KEPT else [])
    week = AFTERNOON - timedelta(days=6)
    modules: list[Record] = [
        {
            "CourseId": "c",
            "Id": f"module-{number}",
            "UpdatedDate": week + timedelta(minutes=number),
        }
        for number in range(60)
    ]
    org.replace_rows("course_modules", modules)
    long_ago = AFTERNOON - timedelta(days=5, hours=4)
    dates = [long_ago + timedelta(seconds=7 * (number // 5)) for number in range(1_230)]
    just = AFTERNOON - newest - timedelta(seconds=37)
    dates += [just - timedelta(seconds=every * number) for number in range(150)]
    rows: list[Record] = [
        {"Id": f"team-{number}", "CreatedDate": date, "UpdatedDate": date}
        for number, date in enumerate(dates)
    ]
    org.replace_rows(STREAM, rows)
    return org


@pytest.fixture(scope="module")
def dense_org() -> Organisation:
    return org_of()


@pytest.fixture(autouse=True)
def each_afternoon() -> Iterator[None]:
    """Let each test begin at the same moment, far from midnight."""
    with time_machine.travel(AFTERNOON):
        yield


@dataclass(frozen=True)
class Case:
    """A service, and what is found of it.

    Attributes:
        habits: How it behaves.
        found: The findings that differ from what the tap assumes, with words of the
            detail or the advice. All others hold.
        settings: Settings that are not the default.
        changes: Whether its rows change meanwhile.
    """

    habits: dict[str, Any]
    found: dict[str, tuple[Verdict, str]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    changes: bool = False


REREAD = {"small_pages": (HARMLESS, "had to be read again")}
UNSTABLE = {"order": (HARMLESS, "rows changed places"), **REREAD}
TWICE = {"repeats": (HARMLESS, "came more than once"), **REREAD}
SLOW_FAULTS = {"timeout", "slow-headers", "slow-body", "silent"}

CASES: dict[str, Case] = {
    "as documented": Case({}),
    # Order
    "oldest first": Case({"order": "updated"}),
    "newest first": Case({"order": "newest"}),
    "ties in any order": Case(
        {"order": "shuffled ties"}, {"order": (HARMLESS, "rows of the same second")}
    ),
    "any order": Case({"order": "random"}, UNSTABLE),
    "any order and twice": Case(
        {"order": "random", "repeated": "adjacent"},
        {
            "order": (BREAKS, "nothing proves that every row came"),
            "small_pages": (HARMLESS, "did not prove"),
            "repeats": (HARMLESS, "came more than once"),
        },
    ),
    # Rows that come twice
    "twice, side by side": Case({"repeated": "adjacent"}, TWICE),
    "twice, anywhere": Case({"repeated": "scattered"}, TWICE),
    "all twice": Case({"repeated": "appended"}, TWICE),
    # Rows that move
    "rows move": Case(
        {"moving": 4}, {"small_pages": (HARMLESS, "changed meanwhile")}, changes=True
    ),
    "rows move without a date": Case(
        {"moving_without_date": 4}, {"small_pages": (HARMLESS, "read again")}, changes=True
    ),
    "rows are added": Case({"growing": 4}, changes=True),
    # Pages
    "pages of 180": Case({"page_cap": 180}, {"limit": (HARMLESS, "end after 180 rows")}),
    "pages of 100": Case({"page_cap": 100}, {"limit": (HARMLESS, "end after 100 rows")}),
    "pages of 50": Case({"page_cap": 50}, {"limit": (BREAKS, "Set page_size to 50")}),
    "pages of 50, as asked": Case(
        {"page_cap": 50}, {"limit": (HARMLESS, "end after 50")}, {"page_size": 50}
    ),
    "the default limit": Case(
        {"ignores_limit": True},
        {
            "limit": (HARMLESS, "end after 100 rows"),
            "small_limit": (HARMLESS, "100 rows for a limit of 10"),
        },
    ),
    "pages of 99, of which one in 10 is left out": Case(
        {"page_cap": 99, "filtered": 10},
        {
            "limit": (BREAKS, "no setting helps"),
            "small_limit": (BREAKS, "Set page_size to 1000"),
            "small_pages": (BREAKS, "rows of the window did not come"),
        },
        {"page_size": 89},
    ),
    "one in 8 left out of small pages": Case(
        {"filtered": 8},
        {
            "limit": (HARMLESS, "end after 875 rows"),
            "small_limit": (BREAKS, "Set page_size to 1000"),
            "small_pages": (BREAKS, "rows of the window did not come"),
        },
        {"page_size": 50},
    ),
    "one in 190 left out": Case({"filtered": 190}, {"limit": (HARMLESS, "end after 995 rows")}),
    "pages that are too long": Case(
        {"overfull": 3}, {"small_limit": (HARMLESS, "13 rows for a limit of 10")}
    ),
    "ignores start": Case(
        {"ignores_start": True},
        {
            "end": (BREAKS, "more than a page cannot be read"),
            "small_pages": (BREAKS, "the same page again"),
        },
    ),
    # Dates
    "days, not moments": Case(
        {"reading": "day"}, {"reading": (HARMLESS, "since is a day, to is a day")}
    ),
    "since alone": Case({"inclusive": (True, False)}),
    "to alone": Case({"inclusive": (False, True)}),
    "neither end": Case(
        {"inclusive": (False, False)}, {"ends": (BREAKS, "the very second at which two")}
    ),
    "neither day": Case(
        {"inclusive": (False, False), "reading": "day"},
        {"ends": (BREAKS, "the day at which two"), "reading": (BREAKS, "since is a day")},
    ),
    "days without to": Case(
        {"inclusive": (True, False), "reading": "day"}, {"reading": (HARMLESS, "to is a day")}
    ),
    "days without since": Case(
        {"inclusive": (False, True), "reading": "day"},
        {"reading": (BREAKS, "Set lookback_hours to 48")},
    ),
    "days without since, with more lookback": Case(
        {"inclusive": (False, True), "reading": "day"},
        {"reading": (HARMLESS, "to is a day")},
        {"lookback_hours": 48},
    ),
    "far west": Case({"zone": -12.0}, {"zone": (HARMLESS, "UTC-12 h")}),
    "far east": Case({"zone": 14.0}, {"zone": (HARMLESS, "UTC+14 h")}),
    "India": Case({"zone": 5.5}, {"zone": (HARMLESS, "UTC+5.5 h")}),
    "far west without lookback": Case(
        {"zone": -12.0}, {"zone": (BREAKS, "Set lookback_hours to 24")}, {"lookback_hours": 2}
    ),
    "windows of 6 days": Case(
        {"longest_days": 6.96}, {"seven_days": (BREAKS, "Set window_days to 6")}
    ),
    "windows of 4 days": Case(
        {"longest_days": 4.0},
        {"seven_days": (HARMLESS, "window_days is 3")},
        {"window_days": 3},
    ),
    # Clocks
    "a clock that is ahead": Case(
        {"clock_skew": 900.0}, {"clock": (HARMLESS, "s behind the server's")}
    ),
    "a clock that is behind": Case(
        {"clock_skew": -900.0}, {"clock": (HARMLESS, "s ahead of the server's")}
    ),
    "a clock of tomorrow": Case(
        {"clock_skew": 11 * 3600.0}, {"clock": (BREAKS, "Set this machine's clock")}
    ),
    # Values
    "as the schema spells": Case({"spelling": "canonical"}),
    "as others spell": Case(
        {"spelling": "alternate"}, {"spelling": (HARMLESS, "CompliantTillDate as Complaint")}
    ),
    "windows-1252": Case({"charset": "windows-1252"}, {"encoding": (HARMLESS, "windows-1252")}),
    "raw ampersands": Case({"raw": True}, {"repairs": (HARMLESS, "invalid entities")}),
    "unknown fields": Case(
        {"unknown_fields": True}, {"unknown_fields": (HARMLESS, "JobRole in 7 streams")}
    ),
    "rows without key": Case(
        {"keyless": 0.1}, {"keys": (BREAKS, "Correct the rows without key")}
    ),
    # Refusals and failures
    "an endpoint is refused": Case(
        {"refuse": {"/org/courses": 403}}, {"endpoints": (BREAKS, "courses (403)")}
    ),
    "an option is refused": Case(
        {"refuse": {"/org/activities/content": 404}},
        {"optional_endpoints": (HARMLESS, "activity_content (404)")},
    ),
    "a list is refused": Case(
        {"refuse": {"/teams": 403}}, {"listings": (HARMLESS, "team_ids (403)")}
    ),
    "a list is refused that is needed": Case(
        {"refuse": {"/teams": 403}},
        {"listings": (BREAKS, "Set detect_deletes to false")},
        {"detect_deletes": True},
    ),
    **{
        f"fails with {kind}": Case(
            {"faults": 0.1, "fault_kinds": (kind,)},
            {"failures": (HARMLESS, "were sent again")},
        )
        for kind in ALL_FAULT_KINDS
        if kind not in {*SLOW_FAULTS, "429", "503"}
    },
    **{
        f"fails with {kind}": Case(
            {"faults": 0.1, "fault_kinds": (kind,), "retry_after": 0},
            {"refusals": (HARMLESS, "429 or 503")},
        )
        for kind in ("429", "503")
    },
}

ELSEWHERE = {"late", "wraps", "requests_per_minute", "others_per_minute", "minute"}
ELSEWHERE |= {"fault_seed", "latency", "timeout_hold", "trickle"}
"""Habits that change nothing in answers, or have a test of their own below."""


def findings_of(run: Run) -> dict[str, Finding]:
    """Return what a check found, by name."""
    return {each["name"]: Finding(**each) for each in json.loads(run.output)["findings"]}


def check_case(box: Sandbox, case: Case) -> Run:
    """Check that exactly what differs is found, within the budget."""
    run = run_tap("--check", minute=1.0, config=config_for(box, **case.settings))
    findings = findings_of(run)
    differing = {
        name: Verdict(each.verdict)
        for name, each in findings.items()
        if each.verdict != "holds"
    }
    assert differing == {name: verdict for name, (verdict, _) in case.found.items()}
    for name, (_, words) in case.found.items():
        assert words in f"{findings[name].detail}. {findings[name].advice}"
    assert run.status == (BREAKS in differing.values())
    assert len(box.requests) <= BUDGET
    assert json.loads(run.output)["requests"] == len(box.requests)
    return run


def with_one_row(
    stream: str, row: str
) -> Callable[[Incoming], tuple[int, dict[str, str], bytes] | None]:
    """Return a hook that lets a stream serve one row and nothing else."""

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (200, {}, page(stream, row)) if incoming.stream == stream else None

    return answer


def test_a_cap_of_one_stream_alone_is_seen(dense_org: Organisation) -> None:
    def cap(incoming: Incoming) -> None:
        if incoming.stream == "course_modules":
            incoming.query["limit"] = str(min(40, int(incoming.query.get("limit", 100))))

    with Sandbox(dense_org, on_request=cap) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    found = findings_of(run)["limit"]
    assert (found.verdict, found.advice) == ("breaks a guarantee", "Set page_size to 40")


def test_windows_that_leave_a_day_between_them_are_seen(dense_org: Organisation) -> None:
    """A day that is not included begins them, and a moment ends them."""

    def read_as_day(incoming: Incoming) -> None:
        if incoming.since is not None:
            day = incoming.since.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            incoming.query["since"] = f"{min(day, incoming.to or day):%Y-%m-%d %H:%M:%S}"

    with Sandbox(dense_org, on_request=read_as_day) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box, lookback_hours=48))
    found = findings_of(run)["ends"]
    assert found.verdict == "breaks a guarantee"
    assert "no setting helps" in found.advice


def values_of(org: Organisation) -> set[str]:
    """Return all values of rows as text, if they are longer than 3 characters.

    Those are left out that the names of fields and streams have too.
    """
    names = [name for each in ENDPOINT.values() for name in (each.stream, *field_names(each))]
    values = set()
    for stream in org.endpoints:
        for value in (value for row in org.rows(stream) for value in row.values()):
            if isinstance(value, datetime):
                values |= {value.isoformat(separator)[:19] for separator in "T "}
            elif isinstance(value, str) or (type(value) is int and value > 9_999):
                values.add(str(value))
    return {
        each for each in values if len(each) > 3 and not any(each in name for name in names)
    }


def field_names(endpoint: Any) -> list[str]:
    return [name for each in endpoint.fields for name in (each.name, *each.also_sent_as)]


@pytest.fixture(scope="module")
def values(dense_org: Organisation) -> set[str]:
    return values_of(dense_org)


@pytest.mark.parametrize("name", CASES)
def test_every_habit_is_recognised_and_no_value_is_told(
    name: str, dense_org: Organisation, values: set[str]
) -> None:
    case = CASES[name]
    with Sandbox(org_of() if case.changes else dense_org, **case.habits) as box:
        run = check_case(box, case)
    said = run.output.decode() + run.log
    words = set(re.findall(r"[\w.@:/-]+", said))
    assert not values & words
    assert not [value for value in values if " " in value and value in said]


def test_all_habits_are_tried() -> None:
    tried = {habit for case in CASES.values() for habit in case.habits}
    assert tried | ELSEWHERE == HABITS


def test_pages_that_go_round_are_recognised() -> None:
    org = org_of()
    for stream in {"course_modules", *KEPT}:
        org.replace_rows(stream, [])
    with Sandbox(org, wraps=True) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    assert run.status == 1
    assert len(box.requests) <= BUDGET
    found = findings_of(run)
    broken = {name for name, each in found.items() if each.verdict == BREAKS}
    assert broken == {"end", "small_pages"}
    assert "no new rows" in found["small_pages"].detail


def test_a_week_of_many_thousand_rows_is_not_called_one_without_end() -> None:
    org = org_of()
    week = AFTERNOON - timedelta(days=6)
    many: list[Record] = [
        {"ModuleResultId": number, "UpdatedDate": week + timedelta(seconds=6 * number)}
        for number in range(25_000)
    ]
    org.replace_rows("module_results", many)
    with Sandbox(org) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    assert run.status == 0
    assert findings_of(run)["end"].verdict == "holds"


def test_a_start_that_counts_pages_is_not_called_a_moving_row(dense_org: Organisation) -> None:
    def count_pages(incoming: Incoming) -> None:
        query = incoming.query
        if "start" in query:
            query["start"] = str(int(query["start"]) * int(query["limit"]))

    with Sandbox(dense_org, on_request=count_pages) as box:
        found = findings_of(run_tap("--check", minute=1.0, config=config_for(box)))
    assert found["order"].verdict == "holds"
    assert found["small_pages"].verdict == BREAKS
    assert "change places" not in found["small_pages"].detail


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (2, (HARMLESS, "2.0 hours after their date; lookback_hours, 24, makes up for it")),
        (30, (BREAKS, "Set lookback_hours to 5")),
    ],
)
def test_rows_that_appear_late_are_recognised(
    hours: float, expected: tuple[Verdict, str]
) -> None:
    # Their time comes one after the other while the check runs.
    org = org_of(newest=timedelta(hours=hours, seconds=-60), every=0.1)
    rows = org.rows(STREAM)[:1_230]
    late = AFTERNOON - timedelta(hours=hours)
    dates = [late + timedelta(seconds=0.025 * number - 1) for number in range(800)]
    rows += [{"Id": f"late-{number}", "UpdatedDate": date} for number, date in enumerate(dates)]
    org.replace_rows(STREAM, rows)
    with Sandbox(org, late=3600 * hours) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    verdict, words = expected
    found = findings_of(run)["lateness"]
    assert found.verdict == verdict
    assert words in f"{found.detail}. {found.advice}"
    assert run.status == (verdict is BREAKS)


def test_a_quiet_account_is_not_called_late() -> None:
    quiet = timedelta(hours=3)
    org = org_of(newest=quiet)
    for stream in KEPT:
        rows = org.rows(stream)
        quiet_rows = [row for row in rows if changed_at(stream, row) <= AFTERNOON - quiet]
        org.replace_rows(stream, quiet_rows)
    with Sandbox(org) as box:
        check_case(box, Case({}, {"lateness": (UNSEEN, "none appeared meanwhile")}))


@pytest.mark.parametrize("size", ["nothing", "little"])
def test_where_little_is_there_it_says_so(size: str) -> None:
    org = Organisation(users=1, years=0.1, live=False)
    if size == "nothing":
        for stream in org.endpoints.keys() - org.listings.keys():
            org.replace_rows(stream, [])
    with Sandbox(org) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    assert run.status == 0
    assert len(box.requests) <= BUDGET
    unseen = {name for name, each in findings_of(run).items() if each.verdict == UNSEEN}
    assert {"limit"} <= unseen
    if size == "nothing":
        assert {"order", "small_pages", "reading", "ends", "zone", "keys", "end"} <= unseen
        assert "No row came" in run.log


def test_values_that_do_not_fit_are_counted_and_not_told(dense_org: Organisation) -> None:
    row = (
        "<Id>secret-id</Id><Active>perhaps so</Active><Passmark>a lot</Passmark>"
        "<CreatedDate>yesterday noon</CreatedDate><UpdatedDate>2026-03-10 12:00</UpdatedDate>"
        "<Nested><Deep>hidden thing</Deep></Nested>"
    )
    with Sandbox(dense_org, on_request=with_one_row("modules", row)) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    found = findings_of(run)
    for kind in ("Active (boolean)", "Passmark (number)", "CreatedDate (datetime)"):
        assert f"modules.{kind}" in found["fit"].detail
    assert found["fit"].verdict == found["date_shapes"].verdict == HARMLESS
    assert "aaaaaaaaa aaaa" in found["date_shapes"].detail
    assert "Nested in modules" in found["unknown_fields"].detail
    for secret in ("secret-id", "perhaps", "a lot", "yesterday", "hidden"):
        assert secret not in run.output.decode() + run.log


def test_keys_that_cannot_be_read_are_not_called_missing(dense_org: Organisation) -> None:
    row = "<Id>1</Id><LastLogin>/Date(1773154200000)/</LastLogin>"
    with Sandbox(dense_org, on_request=with_one_row("user_logins", row)) as box:
        found = findings_of(run_tap("--check", minute=1.0, config=config_for(box)))
    assert found["keys"].verdict == BREAKS
    assert "Not valid: user_logins.LastLogin (datetime)" in found["keys"].detail
    assert "Report the keys" in found["keys"].advice


def test_the_case_of_names_makes_no_difference(dense_org: Organisation) -> None:
    row = "<id>c</id><modulename>m</modulename><orginalmoduleid>1</orginalmoduleid>"
    with Sandbox(dense_org, on_request=with_one_row("module_results", row)) as box:
        found = findings_of(run_tap("--check", minute=1.0, config=config_for(box)))
    assert found["spelling"].verdict == "holds"


@pytest.mark.parametrize("date", ["2019-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_rows_of_another_date_are_counted(date: str, dense_org: Organisation) -> None:
    row = f"<Id>1</Id><UpdatedDate>{date}</UpdatedDate>"
    with Sandbox(dense_org, on_request=with_one_row("modules", row)) as box:
        found = findings_of(run_tap("--check", minute=1.0, config=config_for(box)))
    assert found["within"].verdict == HARMLESS
    assert found["within"].detail.startswith("1 of ")
    assert {found[name].verdict for name in ("zone", "today", "lateness")} == {"holds"}


@pytest.mark.parametrize(
    ("earlier", "zone", "today"),
    [([timedelta(hours=3)], HARMLESS, "holds"), ([], UNSEEN, UNSEEN)],
)
def test_the_zone_is_seen_by_an_earlier_row_of_any_stream(
    earlier: list[timedelta], zone: Verdict, today: str
) -> None:
    """The only row of a page may be too new to tell."""
    org = org_of()
    for stream in {"course_modules", STREAM, *KEPT}:
        org.replace_rows(stream, [])
    just = AFTERNOON - timedelta(minutes=1)
    org.replace_rows(STREAM, [{"Id": "team", "CreatedDate": just, "UpdatedDate": just}])
    dates = [AFTERNOON - before for before in earlier]
    rows: list[Record] = [
        {"Id": "c", "CreatedDate": date, "UpdatedDate": date} for date in dates
    ]
    org.replace_rows("courses", rows)
    with Sandbox(org, zone=-8) as box:
        found = findings_of(run_tap("--check", minute=1.0, config=config_for(box)))
    assert found["zone"].verdict == zone
    assert found["today"].verdict == today


@pytest.mark.parametrize("hours", [-5, 9.5])
def test_dates_that_are_read_in_another_zone_than_they_are_written_are_recognised(
    hours: float, dense_org: Organisation
) -> None:
    def shift(incoming: Incoming) -> None:
        for name in ("since", "to"):
            if name in incoming.query:
                at = datetime.fromisoformat(incoming.query[name]) + timedelta(hours=hours)
                incoming.query[name] = at.isoformat(" ")

    with Sandbox(dense_org, on_request=shift) as box:
        found = findings_of(run_tap("--check", minute=1.0, config=config_for(box)))
    assert found["reading"].verdict == HARMLESS
    assert f"{abs(hours):g} hours apart" in found["reading"].detail
    assert found["ends"].verdict == UNSEEN


@pytest.mark.parametrize("age", [10, 3 * 24 * 60])
def test_rows_that_come_for_either_of_two_dates_are_understood(age: int) -> None:
    """A row that was created minutes before it changed tells nothing of a window's ends."""
    org = org_of()
    for stream in {"course_modules", *KEPT}:
        org.replace_rows(stream, [])
    changed = [AFTERNOON - timedelta(days=4, minutes=number) for number in range(30)]
    changed += [AFTERNOON - timedelta(minutes=2 + number) for number in range(30)]
    rows = [(f"<Id>team-{number}</Id>", date) for number, date in enumerate(changed)]

    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        if incoming.stream != STREAM or incoming.since is None or incoming.to is None:
            return None
        served = []
        for text, date in rows:
            created = date - timedelta(minutes=age)
            if (
                incoming.since <= date <= incoming.to
                or incoming.since <= created <= incoming.to
            ):
                dates = f"<CreatedDate>{created:%Y-%m-%dT%H:%M:%S}</CreatedDate>"
                served.append(
                    f"{text}{dates}<UpdatedDate>{date:%Y-%m-%dT%H:%M:%S}</UpdatedDate>"
                )
        start = incoming.start or 0
        return 200, {}, page(STREAM, *served[start : start + (incoming.limit or 100)])

    with Sandbox(org, on_request=answer) as box:
        run = run_tap("--check", config=config_for(box))
    assert run.status == 0
    found = findings_of(run)
    expected = UNSEEN if age < 24 * 60 else "holds"
    assert {found[name].verdict for name in ("reading", "ends")} == {expected}
    assert found["zone"].verdict == "holds"
    assert found["small_pages"].verdict == "holds"


def test_a_start_date_after_the_oldest_rows_is_told(dense_org: Organisation) -> None:
    with Sandbox(dense_org) as box:
        config = config_for(box, start_date="2026-03-09")
        found = findings_of(run_tap("--check", minute=1.0, config=config))
    assert found["oldest"].verdict == HARMLESS
    assert re.search(r"Set start_date to 2026-0\d-01", found["oldest"].advice)


def test_what_the_account_answers_and_the_tap_does_not_read_is_told(
    dense_org: Organisation,
) -> None:
    session = (
        b"<SessionCourses><SessionCourse><Name>Fire safety</Name><Sessions><Session><Days>"
        b"<SessionDay>Monday</SessionDay></Days></Session></Sessions></SessionCourse>"
        b"</SessionCourses>"
    )
    user = "<Id>abc</Id><UserName>olga</UserName><Points>4711</Points>"
    bodies: dict[str, tuple[int, dict[str, str], bytes]] = {
        "/sessions/past": (200, {}, session),
        "/users/details": (200, {}, page("users", user)),
        "/bulkimports": (200, {}, b"<html><body>Sign in</body></html>"),
        "/coursecustomfields": (200, {}, b'[{"Label": "Birthday"}]'),
    }
    with Sandbox(dense_org, on_request=lambda incoming: bodies.get(incoming.path)) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    found = findings_of(run)["other_endpoints"]
    assert found.verdict == HARMLESS
    assert "SessionCourses/SessionCourse/Sessions/Session/Days/SessionDay" in found.detail
    assert "Users/User/Points" in found.detail
    assert "UserName" not in found.detail
    assert not {"/coursecustomfields", "/bulkimports"} & set(re.findall(r"/\w+", found.detail))
    for value in ("Fire", "Monday", "olga", "4711", "Birthday"):
        assert value not in run.output.decode() + run.log
    assert findings_of(run)["failures"].verdict == "holds"
    assert run.status == 0


def test_the_budget_is_kept_whatever_fails(dense_org: Organisation) -> None:
    with Sandbox(dense_org, faults=0.6, fault_kinds=("500", "drop", "cut")) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    assert json.loads(run.output)["requests"] == len(box.requests) <= BUDGET
    assert "Traceback" not in run.log


def test_windows_that_keep_failing_are_not_taken_for_too_long(dense_org: Organisation) -> None:
    def fail(incoming: Incoming) -> str | None:
        return "500" if incoming.to and incoming.to < incoming.at else None

    with Sandbox(dense_org, on_request=fail) as box:
        run = run_tap("--check", minute=0.05, config=config_for(box))
    found = findings_of(run)["seven_days"]
    assert (found.verdict, found.detail) == (UNSEEN, "a closed window did not come")


def test_what_the_budget_does_not_allow_is_not_seen(
    dense_org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "BUDGET", 25)
    with Sandbox(dense_org) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    assert len(box.requests) == 25
    assert run.status == 0
    found = findings_of(run)
    assert found["endpoints"].verdict == "holds"
    for name in ("order", "optional_endpoints", "listings", "other_endpoints"):
        assert found[name].verdict == UNSEEN
    assert "budget of 25 requests" in found["listings"].detail


def test_others_who_use_the_key_are_noticed(dense_org: Organisation) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (503, {}, b"") if incoming.number in {30, 31, 32} else None

    with Sandbox(dense_org, on_request=refuse) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    found = findings_of(run)["refusals"]
    assert found.verdict == HARMLESS
    assert found.detail.startswith("3 of ")
    assert "set requests_per_minute below" in found.advice


def test_the_rate_is_kept(dense_org: Organisation) -> None:
    # The sandbox counts arrivals, which on a busy machine come closer together.
    with Sandbox(dense_org, requests_per_minute=60, minute=1.0) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box, requests_per_minute=40))
    assert findings_of(run)["refusals"].verdict == "holds"
    assert run.status == 0


def test_a_wrong_key_ends_it_as_it_ends_a_sync(dense_org: Organisation) -> None:
    with Sandbox(dense_org) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box, api_key="wrong-key"))
    assert run.status == 1
    assert not run.output
    assert len(box.requests) == 1
    assert "returned 401" in run.errors[-1]
    assert "wrong-key" not in run.log
    assert "Traceback" not in run.log


def test_where_no_endpoint_answers_nothing_else_is_asked(dense_org: Organisation) -> None:
    with Sandbox(dense_org, on_request=lambda _: (404, {}, b"")) as box:
        run = run_tap("--check", config=config_for(box))
    assert run.status == 1
    assert len(box.requests) == 17
    assert list(findings_of(run)) == ["endpoints"]
    assert "none of 17 answered: users (404)" in run.output.decode()


def test_endpoints_that_only_fail_are_not_all_asked_for_long(dense_org: Organisation) -> None:
    failing = ("courses", "modules", "teams", "team_users", "user_courses")

    def fail(incoming: Incoming) -> str | None:
        return "500" if incoming.stream in failing else None

    with Sandbox(dense_org, on_request=fail) as box:
        config = config_for(box, max_concurrent_requests=1)
        run = run_tap("--check", minute=1.0, config=config)
    tries = Counter(request.stream for request in box.requests)
    few, also_few, *many = sorted(tries[stream] for stream in failing)
    assert few == also_few == 2 < min(many)
    detail = findings_of(run)["endpoints"].detail
    assert all(f"{stream} (keeps failing)" in detail for stream in failing)


def test_a_service_that_only_fails_is_not_asked_for_long(dense_org: Organisation) -> None:
    with Sandbox(dense_org, on_request=lambda _: (503, {}, b"")) as box:
        run = run_tap("--check", minute=0.01, config=config_for(box))
    assert run.status == 1
    assert len(box.requests) <= 7 + 16 * 2
    assert list(findings_of(run)) == ["endpoints"]


def test_a_machine_that_starts_no_thread_checks_all_the_same(
    dense_org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "(work)" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Sandbox(dense_org) as box:
        check_case(box, Case({}))


def test_a_missing_setting_ends_it_as_it_ends_a_sync() -> None:
    run = run_tap("--check", minute=1.0, config={"api_key": "k"})
    assert run.status == 1
    assert not run.output
    assert "Setting 'start_date' is missing" in run.errors[-1]


def test_nobody_takes_the_report(dense_org: Organisation) -> None:
    with Sandbox(dense_org) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box), messages=0)
    assert run.status == 1
    assert "Traceback" not in run.log


def test_the_environment_is_enough(dense_org: Organisation) -> None:
    with Sandbox(dense_org) as box:
        run = run_tap("--check", minute=1.0, env=in_environment(config_for(box)))
    assert run.status == 0
    assert box.requests


# The table


def finding(verdict: Verdict, detail: str = "so it is", advice: str = "") -> Finding:
    return Finding("name", "Paging", "This is so", "looked at it", verdict, detail, advice)


def test_the_table_fits_80_columns_and_says_what_to_do(dense_org: Organisation) -> None:
    with Sandbox(dense_org, page_cap=50, unknown_fields=True) as box:
        run = run_tap("--check", minute=1.0, config=config_for(box))
    lines = run.log.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("topic "))) :]
    assert max(map(len, table)) <= 80
    rows = [line for line in table if re.match(r"(Reach|Paging|Dates|Values|Rate) ", line)]
    assert len(rows) == len(CHECKS) == len(findings_of(run))
    end = " ".join(table[-6:])
    assert "Do not rely on the tap for this account yet" in end
    assert "Set page_size to 50." in end


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (
            [Verdict.HOLDS, HARMLESS],
            "You can rely on the tap for this account (holds: 1, differs",
        ),
        ([Verdict.HOLDS, UNSEEN], "As far as could be seen, you can rely on the tap"),
        (
            [HARMLESS, BREAKS, UNSEEN],
            'Do not rely on the tap for this account yet. Broken: "This',
        ),
    ],
)
def test_the_conclusion_is_a_sentence(verdicts: list[Verdict], said: str) -> None:
    report = Report([finding(verdict) for verdict in verdicts], {"rows": 1})
    assert report.conclusion()[0].startswith(said)
    assert report.breaks == (BREAKS in verdicts)


def test_a_long_detail_is_cut_in_the_table_alone() -> None:
    detail = ", ".join(f"Field{number}" for number in range(500))
    report = Report([finding(HARMLESS, detail)], {"rows": 1})
    assert len(report.table()) < 2_000
    assert "Field499" in report.json()
