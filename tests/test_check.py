"""`--check`: every habit of a service is recognized for what it is, without a false alarm."""

from __future__ import annotations

import json
import re
import socket
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from strange import StrangeSandbox as Sandbox
from support import (
    AFTERNOON,
    DEFAULT_STREAMS,
    ENDPOINT,
    changed_at,
    config_for,
    in_environment,
    page,
    run_tap,
)

from tap_litmos.check import CHECKS, account
from tap_litmos.check.findings import Finding, Report, Verdict
from tap_litmos.sandbox import Organisation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Record, Run

    from tap_litmos.sandbox import Incoming

    Answer = tuple[int, dict[str, str], bytes] | None
    Expected = dict[str, tuple[Verdict, str]]

BREAKS, HARMLESS, UNSEEN, HOLDS = Verdict.BREAKS, Verdict.HARMLESS, Verdict.UNSEEN, Verdict.HOLDS
STREAM = "teams"
KEPT = {"users", "module_results", "course_results", "achievements", "activity_logins"}
"""The streams that have a few rows besides."""


def team(number: object, date: datetime) -> Record:
    return {"Id": f"team-{number}", "CreatedDate": date, "UpdatedDate": date}


def org_of(*rows: Record, kept: set[str] = KEPT) -> Organisation:
    """Return an organisation with these teams, by default a week of more than a page."""
    with time_machine.travel(AFTERNOON, tick=False):
        org = Organisation(users=30, years=0.1, seed=5, live=False)
    for stream in org.endpoints.keys() - org.listings.keys():
        some = sorted(org.rows(stream), key=partial(changed_at, stream))[-12:]
        org.replace_rows(stream, some if stream in kept else [])
    modules = [(n, AFTERNOON - timedelta(days=6, minutes=-n)) for n in range(60)]
    if kept:
        org.replace_rows(
            "course_modules",
            [{"CourseId": "c", "Id": f"module-{n}", "UpdatedDate": at} for n, at in modules],
        )
    old = AFTERNOON - timedelta(days=5, hours=4)
    dates = [old + timedelta(seconds=7 * (n // 5)) for n in range(1_230)]
    dates += [AFTERNOON - timedelta(seconds=37 + 240 * n) for n in range(150)]
    org.replace_rows(STREAM, list(rows) or [team(n, date) for n, date in enumerate(dates)])
    return org


@pytest.fixture(scope="module")
def org() -> Organisation:
    return org_of()


@pytest.fixture(autouse=True)
def every_afternoon() -> Iterator[None]:
    """Start each test at the same moment, far from midnight."""
    with time_machine.travel(AFTERNOON):
        yield


def check(
    org: Organisation, minute: float = 6.0, settings: dict[str, Any] | None = None, **habits: Any
) -> tuple[Run, dict[str, dict[str, str]], list[Incoming]]:
    """Return a run of the check, its findings by name, and the requests."""
    with Sandbox(org, **habits) as box:
        run = run_tap("--check", minute=minute, config=config_for(box, **(settings or {})))
    assert "Traceback" not in run.log
    assert len(box.requests) <= account.BUDGET
    report = json.loads(run.output or '{"findings": [], "requests": 1}')
    assert report["requests"] == len(box.requests)
    return run, {found["name"]: found for found in report["findings"]}, box.requests


def check_for(org: Organisation, expected: Expected, **habits: Any) -> Run:
    """Check that these findings differ from what the tap assumes, and all others hold."""
    run, found, _ = check(org, **habits)
    differing = {name for name, finding in found.items() if finding["verdict"] != HOLDS}
    assert differing == expected.keys()
    for name, (verdict, words) in expected.items():
        assert found[name]["verdict"] == verdict
        assert words in f"{found[name]['detail']}. {found[name]['advice']}"
    assert run.status == (BREAKS in {verdict for verdict, _ in expected.values()})
    return run


REREAD = {"pages": (HARMLESS, "reads such a window again in parts")}
TWICE = {"keys": (HARMLESS, "the same row came more than once: teams"), **REREAD}
OF_DAYS = "since is read as a day and included, to as a day and included"

CASES: dict[str, tuple[dict[str, Any], Expected]] = {
    "as documented": ({}, {}),
    "any order": ({"order": "random"}, {"order": (HARMLESS, "changed places"), **REREAD}),
    "any order and twice": (
        {"order": "random", "repeated": "adjacent"},
        {"order": (BREAKS, "no setting helps"), **TWICE},
    ),
    "twice, side by side; raw ampersands; an option is refused, as if the key were wrong": (
        {"repeated": "adjacent", "raw": True, "refuse": {"/org/activities/content": 401}},
        {
            "schema": (HARMLESS, "invalid entity"),
            "optional_endpoints": (HARMLESS, "Do not select activity_content (401)"),
            **TWICE,
        },
    ),
    "pages of 180; a clock that is ahead; unknown fields; a list is refused": (
        {
            "page_cap": 180,
            "clock_skew": 900.0,
            "unknown_fields": True,
            "refuse": {"/teams": 403},
        },
        {
            "limit": (HARMLESS, "end after 180 rows"),
            "clock": (HARMLESS, "differ by 15 minutes"),
            "schema": (HARMLESS, "users.JobRole 12x"),
            "optional_endpoints": (HARMLESS, "team_ids"),
        },
    ),
    "pages of 50": (
        {"page_cap": 50},
        {"limit": (BREAKS, "Set page_size to 50"), "pages": (UNSEEN, "")},
    ),
    "pages of 50, as set; far west without lookback": (
        {"page_cap": 50, "zone": -12.0, "settings": {"page_size": 50, "lookback_hours": 2}},
        {
            "limit": (HARMLESS, "end after 50"),
            "pages": (UNSEEN, ""),
            "windows": (BREAKS, "Set lookback_hours to 24"),
        },
    ),
    "the default limit; a clock of tomorrow": (
        {"ignores_limit": True, "clock_skew": 11 * 3600.0},
        {
            "limit": (HARMLESS, "100 rows for a limit of 10"),
            "clock": (BREAKS, "Set this machine"),
        },
    ),
    "pages of 99, of which one in 10 is left out": (
        {"page_cap": 99, "filtered": 10, "settings": {"page_size": 89}},
        {"limit": (BREAKS, "no setting helps"), "pages": (BREAKS, "rows did not come")},
    ),
    "one in 8 left out of small pages": (
        {"filtered": 8, "settings": {"page_size": 50}},
        {"limit": (BREAKS, "Set page_size to 1000"), "pages": (BREAKS, "rows did not come")},
    ),
    "one in 8 left out of large pages": (
        {"filtered": 8},
        {"limit": (HARMLESS, "keeps reading"), "pages": (UNSEEN, "small pages do not tell")},
    ),
    "pages that are too long; days, not moments": (
        {"overfull": 3, "reading": "day"},
        {
            "limit": (HARMLESS, "13 rows for a limit of 10"),
            "windows": (HARMLESS, OF_DAYS),
        },
    ),
    "ignores start; far west": (
        {"ignores_start": True, "zone": -12.0},
        {
            "pages": (BREAKS, "window_days to 1"),
            "windows": (HARMLESS, "Add 12 hours where you query"),
        },
    ),
    "since alone; a list is refused that is needed": (
        {
            "inclusive": (True, False),
            "refuse": {"/teams": 403},
            "settings": {"detect_deletes": True},
        },
        {"optional_endpoints": (BREAKS, "Set detect_deletes to false")},
    ),
    "to alone; rows without key": (
        {"inclusive": (False, True), "keyless": 0.1},
        {"keys": (BREAKS, "Correct the rows without key")},
    ),
    "neither end; other spellings": (
        {"inclusive": (False, False), "spelling": "alternate"},
        {
            "windows": (BREAKS, "the very second at which"),
            "schema": (HARMLESS, "CompliantTillDate as ComplaintTillDate"),
        },
    ),
    "neither day; windows of 6 days": (
        {"inclusive": (False, False), "reading": "day", "longest_days": 6.96},
        {
            "windows": (BREAKS, "rows of the day at which two windows meet"),
            "seven_days": (BREAKS, "Set window_days to 6"),
        },
    ),
    "days without since": (
        {"inclusive": (False, True), "reading": "day"},
        {"windows": (BREAKS, "Set lookback_hours to 48")},
    ),
    "India; an endpoint is refused": (
        {"zone": 5.5, "refuse": {"/org/courses": 403}},
        {
            "windows": (HARMLESS, "are read in UTC+5.5 h"),
            "endpoints": (BREAKS, "refused: courses (403)"),
        },
    ),
    "windows of 4 days": (
        {"longest_days": 4.0, "settings": {"window_days": 3}},
        {"seven_days": (HARMLESS, "window_days is 3"), "pages": (UNSEEN, "")},
    ),
    "fails now and then": ({"faults": 0.1, "retry_after": 0}, {}),
}


@pytest.fixture(scope="module")
def values(org: Organisation) -> set[str]:
    """Return the values of rows as text, except short ones and those in names of fields."""
    names = " ".join(str(endpoint.elements()) for endpoint in ENDPOINT.values()) + str(ENDPOINT)
    rows = (row for stream in org.endpoints for row in org.rows(stream))
    found = {str(value)[:19] for row in rows for value in row.values()}
    return {value for value in found if len(value) > 4 and value not in names}


@pytest.mark.parametrize("name", CASES)
def test_every_habit_is_recognized_and_no_value_is_told(
    name: str, org: Organisation, values: set[str]
) -> None:
    habits, expected = CASES[name]
    run = check_for(org, expected, **habits)
    said = run.output.decode() + run.log
    assert not values & set(re.findall(r"[\w.@:/-]+", said))
    assert not [value for value in values if " " in value and value in said]


@pytest.mark.parametrize("habit", ["moving", "moving_without_date", "growing"])
def test_rows_that_move_are_no_defect(habit: str) -> None:
    check_for(org_of(), {} if habit == "growing" else REREAD, **{habit: 4})


# Pages


def test_pages_that_go_round_are_recognized() -> None:
    run, found, _ = check(org_of(kept=set()), wraps=True)
    assert run.status == 1
    assert found["pages"]["verdict"] == BREAKS


def test_a_cap_of_one_stream_alone_is_seen(org: Organisation) -> None:
    def cap(incoming: Incoming) -> None:
        if incoming.stream == "course_modules":
            incoming.query["limit"] = str(min(40, int(incoming.query["limit"])))

    expected = {"limit": (BREAKS, "Set page_size to 40"), "pages": (UNSEEN, "")}
    check_for(org, expected, on_request=cap)


def test_a_start_that_counts_pages_is_seen(org: Organisation) -> None:
    def count_pages(incoming: Incoming) -> None:
        query = incoming.query
        query["start"] = str(int(query["start"]) * int(query["limit"]))

    found = check(org, on_request=count_pages)[1]
    assert found["order"]["verdict"] == HOLDS
    assert found["pages"]["verdict"] == BREAKS


# Dates


def read_as(change: Callable[[str, datetime], datetime]) -> Callable[[Incoming], None]:
    """Return a hook that reads `since` and `to` otherwise."""

    def hook(incoming: Incoming) -> None:
        for name in {"since", "to"} & incoming.query.keys():
            read = change(name, datetime.fromisoformat(incoming.query[name]))
            incoming.query[name] = read.isoformat(" ")

    return hook


def test_windows_that_leave_a_day_between_them_are_seen(org: Organisation) -> None:
    """A day that is not included begins them, and a moment ends them."""

    def next_day(name: str, at: datetime) -> datetime:
        return at if name == "to" else datetime(at.year, at.month, at.day) + timedelta(days=1)  # noqa: DTZ001

    found = check(org, on_request=read_as(next_day), settings={"lookback_hours": 48})[1]
    assert found["windows"]["verdict"] == BREAKS
    assert "no setting helps" in found["windows"]["advice"]


@pytest.mark.parametrize(("zone", "hour"), [(-5.0, 3), (-5.0, 22), (9.5, 15)])
def test_right_times_are_not_called_wrong_if_windows_are_read_in_another_zone(
    zone: float, hour: int
) -> None:
    now = AFTERNOON.replace(hour=hour)
    rows = [team(n, now - timedelta(days=n // 50 * 4, minutes=7 * n + 3)) for n in range(100)]
    shift = read_as(lambda _, at: at - timedelta(hours=zone))
    with time_machine.travel(now):
        _, found, _ = check(org_of(*rows, kept=set()), on_request=shift)
    assert found["windows"]["verdict"] == HARMLESS
    assert f"are read in UTC{zone:+g} h, rows are in UTC;" in found["windows"]["detail"]
    assert found["windows"]["advice"] == ""


def with_rows(
    *rows: tuple[datetime, datetime], suffix: str = "", ahead: float = 0
) -> Callable[[Incoming], Answer]:
    """Return a hook that serves teams for either of two dates.

    Args:
        rows: When each was created, and when it changed.
        suffix: What follows the dates.
        ahead: Hours by which `since` and `to` are ahead of UTC.
    """

    def answer(incoming: Incoming) -> Answer:
        if incoming.stream != STREAM or incoming.since is None or incoming.to is None:
            return None
        since, to = (at - timedelta(hours=ahead) for at in (incoming.since, incoming.to))
        end = min(to, AFTERNOON.replace(hour=4)) if to <= AFTERNOON else to
        served = [
            f"<Id>team-{number}</Id><CreatedDate>{created:%Y-%m-%dT%H:%M:%S}{suffix}</CreatedDate>"
            f"<UpdatedDate>{changed:%Y-%m-%dT%H:%M:%S}{suffix}</UpdatedDate>"
            for number, (created, changed) in enumerate(rows)
            if since <= created <= end or since <= changed <= end
        ]
        start = incoming.start or 0
        return 200, {}, page(STREAM, *served[start : start + (incoming.limit or 100)])

    return answer


def test_rows_that_name_their_zone_need_no_guess() -> None:
    """Even where nothing else tells in which zone windows are read."""
    dates = [AFTERNOON - timedelta(days=4, minutes=7 * number) for number in range(30)]
    hook = with_rows(*zip(dates, dates, strict=True), suffix="Z", ahead=-5)
    _, found, _ = check(org_of(kept=set()), on_request=hook)
    assert "are read in UTC-5 h, rows are in UTC;" in found["windows"]["detail"]
    assert found["windows"]["advice"] == ""


@pytest.mark.parametrize(("age", "verdict"), [(10, UNSEEN), (3 * 24 * 60, HOLDS)])
def test_rows_that_come_for_either_of_two_dates_are_understood(age: int, verdict: Verdict) -> None:
    """A row that was created minutes before it changed tells nothing of a window's ends."""
    dates = [AFTERNOON - timedelta(days=4, minutes=number) for number in range(30)]
    dates += [AFTERNOON - timedelta(minutes=2 + number) for number in range(30)]
    hook = with_rows(*((date - timedelta(minutes=age), date) for date in dates))
    run, found, _ = check(org_of(kept=set()), on_request=hook)
    assert found["windows"]["verdict"] == verdict
    assert found["pages"]["verdict"] == HOLDS
    assert run.status == 0


@pytest.mark.parametrize(("hours", "verdict"), [(2, HARMLESS), (30, BREAKS)])
def test_rows_that_appear_late_are_recognized(hours: float, verdict: Verdict) -> None:
    # Their time comes one after the other while the check runs.
    late = AFTERNOON - timedelta(hours=hours)
    rows = [team(n, late + timedelta(seconds=0.025 * n - 1)) for n in range(800)]
    rows += [team(n, late - timedelta(days=4, seconds=n)) for n in range(800, 900)]
    run, found, _ = check(org_of(*rows), late=3600 * hours)
    assert found["lateness"]["verdict"] == verdict
    assert f"{hours:.1f} hours after their date" in found["lateness"]["detail"]
    assert run.status == (verdict is BREAKS)


def test_a_quiet_account_is_not_called_late() -> None:
    rows = [team(n, AFTERNOON - timedelta(hours=3 + n)) for n in range(200)]
    found = check(org_of(*rows, kept=set()))[1]
    assert found["lateness"]["verdict"] == UNSEEN
    assert found["windows"]["verdict"] == found["today"]["verdict"] == HOLDS


@pytest.mark.parametrize("rows", [(), (team(1, AFTERNOON - timedelta(minutes=1)),)])
def test_if_there_is_little_it_says_so(rows: tuple[Record, ...]) -> None:
    org = org_of(kept=set())
    org.replace_rows(STREAM, list(rows))
    run, found, _ = check(org)
    unseen = {name for name, finding in found.items() if finding["verdict"] == UNSEEN}
    assert {"limit", "pages", "order", "windows", "today"} <= unseen
    assert ("No rows came" in run.log) == (not rows)
    assert run.status == 0


# Values


def with_page(stream: str, *rows: str) -> Callable[[Incoming], Answer]:
    """Return a hook that serves a stream these rows and nothing else."""
    return lambda incoming: (200, {}, page(stream, *rows)) if incoming.stream == stream else None


NOW = "<UpdatedDate>2026-03-10T12:00:00</UpdatedDate>"


def test_two_rows_with_one_key_are_not_a_row_that_came_twice(org: Organisation) -> None:
    one, other = (f"<Id>i</Id><Name>{name}</Name>{NOW}" for name in ("one", "other"))
    _, found, _ = check(org, on_request=with_page("modules", one, one))
    assert found["keys"]["verdict"] == HARMLESS
    _, found, _ = check(org, on_request=with_page("modules", one, other))
    assert found["keys"]["verdict"] == BREAKS
    assert "different rows have the same key: modules" in found["keys"]["detail"]
    assert "more than once" not in found["keys"]["detail"]


def test_values_that_do_not_fit_are_counted_and_not_told(org: Organisation) -> None:
    row = (
        "<Id>secret-id</Id><Active>perhaps so</Active><Passmark>a lot</Passmark>"
        f"<CreatedDate>yesterday noon</CreatedDate>{NOW}<Nested><Deep>hidden</Deep></Nested>"
    )
    run, found, _ = check(org, on_request=with_page("modules", row))
    detail = found["schema"]["detail"]
    for name in ("Active (boolean)", "Passmark (number)", "CreatedDate (datetime)", "Nested"):
        assert f"modules.{name}" in detail
    for secret in ("secret-id", "perhaps", "a lot", "yesterday", "hidden"):
        assert secret not in run.output.decode() + run.log


def test_keys_that_cannot_be_read_are_not_called_missing(org: Organisation) -> None:
    row = "<Id>1</Id><LastLogin>/Date(1773154200000)/</LastLogin>"
    _, found, _ = check(org, on_request=with_page("user_logins", row))
    assert found["keys"]["verdict"] == BREAKS
    assert "Not valid: user_logins.LastLogin (datetime)" in found["keys"]["detail"]


@pytest.mark.parametrize("date", ["2019-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_pages_that_a_sync_would_take_for_wrong_ones_are_seen(date: str, org: Organisation) -> None:
    row = f"<Id>1</Id><UpdatedDate>{date}</UpdatedDate>"
    expected = {"windows": (BREAKS, "Deselect and report modules")}
    check_for(org, expected, on_request=with_page("modules", row))


def test_what_the_account_offers_and_the_tap_does_not_read_is_told(org: Organisation) -> None:
    session = (
        b"<SessionCourses><SessionCourse><Name>Fire safety</Name><Sessions><Session><Days>"
        b"<SessionDay>Monday</SessionDay></Days></Session></Sessions></SessionCourse>"
        b"</SessionCourses>"
    )
    bodies: dict[str, Answer] = {
        "/sessions/past": (200, {}, session),
        "/bulkimports": (200, {}, b"<html><body>Sign in</body></html>"),
        "/coursecustomfields": (200, {}, b'[{"Label": "Birthday"}]'),
    }
    run, found, _ = check(org, on_request=lambda incoming: bodies.get(incoming.path))
    assert "/sessions/past" in found["other_endpoints"]["detail"]
    course = "SessionCourses/SessionCourse"
    assert json.loads(run.output)["undocumented_endpoints"] == {
        "/sessions/past": [f"{course}/Name", f"{course}/Sessions/Session/Days/SessionDay"]
    }
    for value in ("Fire", "Monday", "Sign in", "Birthday"):
        assert value not in run.output.decode() + run.log


# Failures


def test_the_budget_is_kept_whatever_fails(
    org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(org, minute=1.0, faults=0.6, fault_kinds=("500", "drop", "cut"))
    monkeypatch.setattr(account, "BUDGET", 25)
    run, found, requests = check(org)
    assert len(requests) == 25
    assert run.status == 0
    assert "budget of 25 requests" in found["optional_endpoints"]["detail"]


def test_a_wrong_key_or_a_missing_setting_ends_it_as_it_ends_a_sync(org: Organisation) -> None:
    run, _, requests = check(org, settings={"api_key": "wrong-key"})
    assert (run.status, run.output, len(requests)) == (1, b"", 1)
    assert len(run.errors) == 1
    assert "wrong-key" not in run.log
    run = run_tap("--check", config={"api_key": "k"})
    assert (run.status, run.output) == (1, b"")
    assert "start_date" in run.errors[-1]


def test_a_host_that_does_not_answer_ends_it() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    config = {"api_key": "k", "start_date": "2026-03-01", "api_url": url}
    run = run_tap("--check", minute=0.5, config=config)
    assert (run.status, run.output) == (1, b"")
    assert "does not answer" in run.errors[-1]


@pytest.mark.parametrize("status", [404, 503])
def test_if_no_endpoint_answers_nothing_else_is_asked(status: int, org: Organisation) -> None:
    run, found, requests = check(org, minute=0.05, on_request=lambda _: (status, {}, b""))
    assert run.status == 1
    assert len(requests) <= 3 * 7 + 14 * 2
    assert list(found) == ["endpoints"]
    assert f"none of {len(DEFAULT_STREAMS)} answered" in found["endpoints"]["detail"]


def test_windows_that_keep_failing_are_not_taken_for_too_long(org: Organisation) -> None:
    def fail(incoming: Incoming) -> str | None:
        return "500" if incoming.to and incoming.to < incoming.at else None

    _, found, _ = check(org, minute=0.05, on_request=fail)
    assert found["seven_days"]["verdict"] == UNSEEN


def test_the_environment_is_enough_and_nobody_has_to_take_the_report(org: Organisation) -> None:
    with Sandbox(org) as box:
        assert run_tap("--check", env=in_environment(config_for(box))).status == 0
        run = run_tap("--check", config=config_for(box), messages=0)
    assert run.status == 1
    assert "can rely on the tap" in run.log
    assert "Traceback" not in run.log


# The table


def test_the_table_fits_80_columns_and_what_does_not_hold_comes_first(org: Organisation) -> None:
    run, found, _ = check(org, page_cap=50, unknown_fields=True)
    verdicts = [finding["verdict"] for finding in found.values()]
    assert verdicts == [BREAKS, HARMLESS, UNSEEN] + [HOLDS] * (len(CHECKS) - 3)
    lines = run.log.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("topic "))) :]
    assert max(map(len, table)) <= 80
    rows = [line for line in table if re.match(r"(Reach|Paging|Dates|Values) ", line)]
    assert len(rows) == len(CHECKS)
    assert "…" in run.log  # long details are cut here, but not in the JSON
    end = " ".join(table[-6:])
    assert "Do not rely on the tap for this account yet" in end
    assert "Set page_size to 50." in end


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([HOLDS, HARMLESS], "You can rely on the tap for this account (differs but is harmless: 1"),
        ([HOLDS, UNSEEN], "As far as could be seen, you can rely on the tap"),
        ([HARMLESS, BREAKS, UNSEEN], 'Do not rely on the tap for this account yet. Broken: "So"'),
    ],
)
def test_the_conclusion_is_a_sentence(verdicts: list[Verdict], said: str) -> None:
    findings = [Finding("name", "Paging", "So", verdict, "it is", "") for verdict in verdicts]
    report = Report(findings, {"rows": 1})
    assert report.conclusion()[0].startswith(said)
    assert report.breaks == (BREAKS in verdicts)
