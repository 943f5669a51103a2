"""The sync log: what it says of each window, and when."""

from __future__ import annotations

import hashlib
import json
import random
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from errors import ERRORS
from strange import StrangeSandbox as Sandbox
from support import (
    DEFAULT_STREAMS,
    ENDPOINT,
    Record,
    Run,
    batch_config,
    catalog_of,
    changed_at,
    config_for,
    days_ago,
    fold,
    moment,
    org_with_teams,
    page,
    rows_of,
    run_process,
    run_tap,
    serving,
    started,
    truth,
)

from tap_litmos import sync_log

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tap_litmos.sandbox import Incoming, Organisation

FEW = ("module_results", "team_courses", "user_logins", "users")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def logged(
    box: Sandbox,
    *streams: str,
    state: dict[str, Any] | None = None,
    minute: float | None = None,
    **settings: Any,
) -> Run:
    """Sync streams with their log."""
    config = config_for(box, **settings)
    catalog = catalog_of("sync_log", *(streams or FEW), config=config)
    return run_tap(config=config, catalog=catalog, state=state, minute=minute)


def log_of(run: Run, stream: str) -> list[Record]:
    """Return the rows of the log about a stream."""
    return [row for row in run.records("sync_log") if row["Stream"] == stream]


def digest(stream: str, rows: Iterable[Record]) -> str:
    """Return the digest of rows, made as docs/proof.md says."""
    endpoint = ENDPOINT[stream]
    names = dict.fromkeys([*endpoint.primary_key, endpoint.replication_key or "Id"])
    kinds = {field.name: field.kind for field in endpoint.fields}

    def text(row: Record, name: str) -> str:
        value = row[name]
        if value is None:
            return ""
        if kinds[name] == "datetime":
            return str((datetime.fromisoformat(value) - EPOCH) // timedelta(microseconds=1))
        return json.dumps(value) if isinstance(value, bool) else str(value)

    lines = ["|".join(text(row, name) for name in names) for row in rows]
    hashes = sorted(hashlib.md5(line.encode()).hexdigest() for line in lines)  # noqa: S324
    return hashlib.md5("".join(hashes).encode()).hexdigest()  # noqa: S324


# What a row says


def test_it_is_off_unless_it_is_selected(
    org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is to be kept for a log that nobody wants")

    monkeypatch.setattr(sync_log, "Entry", refuse)
    with Sandbox(org) as box:
        run = run_tap(config=config_for(box))
        listed = run_tap(config=config_for(box), catalog=catalog_of(*FEW))
        requests = len(box.requests)
        monkeypatch.undo()
        with_log = logged(box)
        assert len(box.requests) - requests == int(with_log.stats("total")["requests"])
    assert run.status == listed.status == with_log.status == 0
    assert not run.of_type("SCHEMA", "sync_log") + listed.of_type("SCHEMA", "sync_log")
    assert with_log.records("sync_log")


@pytest.mark.parametrize("page_size", [2, 7, 1000])
def test_each_window_has_a_row_with_what_came_in_it(long_org: Organisation, page_size: int) -> None:
    with Sandbox(long_org) as box:
        run = logged(box, page_size=page_size)
        asked = {(seen.stream, seen.since, seen.to) for seen in box.requests}
    assert run.status == 0
    rows = run.records("sync_log")
    assert {(row["Stream"], moment(row["Since"]), moment(row["To"])) for row in rows} == asked
    for stream in FEW:
        for row in log_of(run, stream):
            expected = [
                each
                for each in truth(long_org, stream).values()
                if row["Since"] <= changed_at(stream, each) <= row["To"]
            ]
            assert row["Rows"] == len(expected)
            assert row["Digest"] == digest(stream, expected)
            nothing = ("Retries", "PagesReread", "RowsWithoutKey", "InvalidValues")
            assert [row[name] for name in nothing] == [0] * 4
            assert row["TotalCount"] is None
            assert row["Requests"] == row["Pages"] >= 1
        requests = sum(row["Requests"] for row in log_of(run, stream))
        assert requests == int(run.stats(stream)["requests"].replace(",", ""))


def test_the_open_window_vouches_for_its_bookmark_alone(org: Organisation) -> None:
    with Sandbox(org) as box:
        run = logged(box)
    for stream in FEW:
        *finished, last = log_of(run, stream)
        assert all(row["CompleteTo"] == row["To"] for row in finished)
        assert last["To"] > last["CompleteTo"]
        assert moment(last["CompleteTo"]) == run.bookmark(stream)
        assert last["RequestedAt"] == last["CompleteTo"]


def test_rows_left_out_are_counted_and_their_window_vouches_for_nothing(
    long_org: Organisation,
) -> None:
    with Sandbox(long_org, keyless=0.05) as box:
        run = logged(box, "module_results", start_date=days_ago(130))
    assert run.status == 1
    rows = log_of(run, "module_results")
    odd = [row for row in rows if row["RowsWithoutKey"]]
    assert odd
    assert all(row["CompleteTo"] is None for row in odd)
    assert all(row["CompleteTo"] for row in rows if not row["RowsWithoutKey"])
    assert sum(row["RowsWithoutKey"] for row in rows) == int(run.stats("module_results")["skipped"])
    assert run.bookmark("module_results") <= min(moment(row["Since"]) for row in odd)


def test_the_last_window_of_all_is_logged_though_no_state_passes_it() -> None:
    with serving({"users": page("users", "<UserName>x</UserName>", "<Id>1</Id>")}) as box:
        run = logged(box, "users", start_date=days_ago(9))
    assert run.status == 1
    assert [row["RowsWithoutKey"] for row in log_of(run, "users")] == [0, 1]
    assert [row["Id"] for row in run.records("users")] == ["1"]


def test_a_window_that_fails_has_no_row(org: Organisation) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        since = incoming.since
        late = since is not None and since.date().isoformat() > days_ago(30)
        return (404, {}, b"") if late and incoming.stream == "users" else None

    with Sandbox(org, on_request=refuse) as box:
        run = logged(box)
    assert run.status == 1
    rows = log_of(run, "users")
    assert rows
    assert max(moment(row["CompleteTo"]) for row in rows) == run.bookmark("users")
    assert len(log_of(run, "teams") + log_of(run, "team_courses")) > len(rows)


@pytest.mark.parametrize("page_size", [25, 1000])
def test_a_listing_is_logged_from_the_beginning_of_time_on(
    page_size: int, org: Organisation
) -> None:
    """Even where all its pages are read again from the first one on."""
    with Sandbox(org, order="random") as box:
        run = logged(box, "user_ids", "team_ids", detect_deletes=True, page_size=page_size)
    for stream, of in (("user_ids", "users"), ("team_ids", "teams")):
        [row] = log_of(run, stream)
        ids = run.records(stream)
        assert row["Since"] == "1990-01-01T00:00:00.000000Z"
        assert row["To"] is None
        assert {row["CompleteTo"], row["RequestedAt"]} == {each["ListedAt"] for each in ids}
        assert row["Rows"] == len(org.rows(of))
        assert row["Digest"] == digest(stream, run.rows(stream).values())


def test_a_row_that_changes_while_its_window_is_read_counts_in_its_last_state() -> None:
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
    org = org_with_teams(first + timedelta(seconds=number) for number in range(100))
    with Sandbox(org, moving=2, order="updated") as box:
        run = logged(box, "teams", page_size=20, start_date=days_ago(0))
    assert run.status == 0
    *_, row = log_of(run, "teams")
    assert len(run.records("teams")) > 100
    assert row["Rows"] == 100
    assert row["Digest"] == digest("teams", run.rows("teams").values())


def test_keys_that_python_hashes_alike_count_apart() -> None:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    rows = [
        f"<ModuleResultId>{number}</ModuleResultId><UpdatedDate>{now}</UpdatedDate>"
        for number in (-1, -2)
    ]
    with serving({"module_results": page("module_results", *rows)}) as box:
        run = logged(box, "module_results", start_date=days_ago(0))
    assert run.status == 0
    assert [row["Rows"] for row in log_of(run, "module_results")] == [2]


def test_what_a_window_took_is_counted(long_org: Organisation) -> None:
    pages: set[tuple[Any, ...]] = set()

    def fail_once(incoming: Incoming) -> str | None:
        failed = (incoming.since, incoming.start) in pages
        pages.add((incoming.since, incoming.start))
        return None if failed else "500"

    with Sandbox(long_org, on_request=fail_once) as box:
        run = logged(box, "module_results", page_size=50, minute=1.0)
    assert run.status == 0
    rows = log_of(run, "module_results")
    assert sum(row["Pages"] for row in rows) == len(pages)
    assert all(row["Retries"] == row["Pages"] for row in rows)
    assert all(row["Requests"] == 2 * row["Pages"] for row in rows)


@pytest.mark.parametrize(
    "habits", [{"order": "random"}, {"repeated": "scattered"}, {"page_cap": 100}]
)
def test_rows_that_come_more_than_once_count_once(
    habits: dict[str, Any], long_org: Organisation
) -> None:
    with Sandbox(long_org, **habits) as box:
        run = logged(box, "module_results", page_size=30)
    assert run.status == 0
    rows = log_of(run, "module_results")
    again = sum(row["PagesReread"] for row in rows)
    assert again == int(run.stats("module_results")["reread"])
    assert again > 0 or "page_cap" in habits
    for row in rows:
        expected = [
            each
            for each in truth(long_org, "module_results").values()
            if row["Since"] <= changed_at("module_results", each) <= row["To"]
        ]
        assert row["Rows"] == len(expected)
        assert row["Digest"] == digest("module_results", expected)


def test_values_that_do_not_fit_are_counted_where_they_came() -> None:
    now = f"<UpdatedDate>{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}</UpdatedDate>"
    body = page("teams", f"<Id>t</Id><ParentTeamId>&#x1F;</ParentTeamId>{now}", "<Id>u</Id>")
    odd = body.replace(b"<Id>u</Id>", b"<Id>u</Id><CreatedDate>never</CreatedDate>")
    with serving({"teams": odd}) as box:
        run = logged(box, "teams", start_date=days_ago(20))
    assert [row["InvalidValues"] for row in log_of(run, "teams")] == [0, 0, 0, 2]


def test_a_stream_that_keeps_no_bookmark_is_logged_too(org: Organisation) -> None:
    with Sandbox(org) as box:
        catalog = catalog_of("sync_log", "users")
        for entry in catalog["streams"]:
            if entry["tap_stream_id"] == "users":
                entry["replication_method"] = "FULL_TABLE"
        run = run_tap(config=config_for(box), catalog=catalog)
    assert run.status == 0
    assert sum(row["Rows"] for row in log_of(run, "users")) >= len(org.rows("users"))


# When it is written


def check_order(run: Run, org: Organisation, before: dict[str, list[Record]]) -> None:
    """Check that no row of the log comes before those of its window, nor a STATE before it.

    Args:
        run: The run.
        org: The truth, which has not changed.
        before: What earlier runs delivered, by stream; what this one did is added.
    """
    for message in run.messages:
        if message["type"] == "RECORD":
            arrive(message["stream"], [message["record"]], org, before)
        elif message["type"] == "BATCH":
            arrive(message["stream"], rows_of(message), org, before)
        elif message["type"] == "STATE":
            for stream, bookmark in message["value"]["bookmarks"].items():
                if "replication_key_value" in bookmark:
                    spans = [row for row in before["sync_log"] if row["Stream"] == stream]
                    reached = bookmark["replicated_from"]
                    for row in sorted(spans, key=lambda row: str(row["Since"])):
                        if row["Since"] <= reached:
                            reached = max(reached, row["CompleteTo"])
                    assert bookmark["replication_key_value"] <= reached


def arrive(
    stream: str, rows: list[Record], org: Organisation, before: dict[str, list[Record]]
) -> None:
    """Take in rows; check that those of the log promise nothing that has not come before."""
    before.setdefault(stream, []).extend(rows)
    if stream != "sync_log":
        return
    for row in rows:
        promised = {
            key
            for key, each in truth(org, row["Stream"]).items()
            if row["Since"] <= changed_at(row["Stream"], each) < row["CompleteTo"]
        }
        assert promised <= fold(row["Stream"], before.get(row["Stream"], [])).keys()


@pytest.mark.parametrize("in_batches", [False, True])
def test_killed_again_and_again_it_never_claims_what_was_not_written(
    long_org: Organisation, tmp_path: Path, *, in_batches: bool
) -> None:
    chance = random.Random(in_batches)  # noqa: S311 - no secret
    catalog = catalog_of("sync_log", *DEFAULT_STREAMS)
    settings: dict[str, Any] = {"lookback_hours": 0, "page_size": 50}
    if in_batches:
        settings["batch_config"] = batch_config(tmp_path)
    state: dict[str, Any] = {}
    delivered: dict[str, list[Record]] = {"sync_log": []}
    with Sandbox(long_org) as box:
        config = config_for(box, **settings)
        for kill in range(5):
            with started(config=config, catalog=catalog, state=state) as tap:
                if kill < 4:
                    tap.read(chance.randrange(5_000, 30_000 if in_batches else 150_000))
                    tap.process.send_signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
                run = tap.finish()
            assert "Traceback" not in run.log
            check_order(run, long_org, delivered)
            state = [state, *run.states][-1]
    assert run.status == 0
    for stream in DEFAULT_STREAMS:
        spans = [row for row in delivered["sync_log"] if row["Stream"] == stream]
        reached = min(row["Since"] for row in spans)
        assert moment(reached) < long_org.start
        for row in sorted(spans, key=lambda row: str(row["Since"])):
            assert row["Since"] <= reached
            reached = max(reached, row["CompleteTo"])
        assert moment(reached) == run.bookmark(stream)


def test_its_schema_comes_once_and_before_its_rows(org: Organisation) -> None:
    with Sandbox(org) as box:
        run = logged(box, "achievements", "users")
    kinds = [each["type"] for each in run.messages if each.get("stream") == "sync_log"]
    assert kinds[0] == "SCHEMA"
    assert set(kinds[1:]) == {"RECORD"}
    [schema] = run.of_type("SCHEMA", "sync_log")
    assert schema["key_properties"] == ["Stream", "Since", "RequestedAt"]
    streams = [row["Stream"] for row in run.records("sync_log")]
    assert {"achievements", "users"} == set(streams)


def test_it_alone_reads_nothing(org: Organisation) -> None:
    with Sandbox(org) as box:
        run = run_tap(config=config_for(box), catalog=catalog_of("sync_log"))
        assert not box.requests
    assert run.status == 0
    assert [each["type"] for each in run.messages if each["type"] != "STATE"] == ["SCHEMA"]


def test_its_state_is_taken_by_the_next_sync(org: Organisation) -> None:
    with Sandbox(org) as box:
        first = logged(box)
        again = logged(box, state=first.state)
    assert again.status == 0
    assert not again.warnings
    assert {row["Stream"] for row in again.records("sync_log")} == set(FEW)


# Catalogs and stream maps


def test_fields_that_are_not_selected_are_left_out_but_for_the_key(org: Organisation) -> None:
    chosen = {"Digest": False, "InvalidValues": False, "Since": False}
    with Sandbox(org) as box:
        catalog = catalog_of("sync_log", "users", fields={"sync_log": chosen})
        run = run_tap(config=config_for(box), catalog=catalog)
    [fields] = {tuple(row) for row in run.records("sync_log")}
    [schema] = run.of_type("SCHEMA", "sync_log")
    assert set(fields) == set(schema["schema"]["properties"])
    assert "Since" in fields
    assert not {"Digest", "InvalidValues"} & set(fields)


def test_stream_maps_apply(org: Organisation) -> None:
    maps = {
        "sync_log": {"__alias__": "reads", "Stream": "Stream.upper()", "Digest": "__NULL__"},
        "users": {"Email": "__NULL__"},
    }
    with Sandbox(org) as box:
        run = logged(box, "users", stream_maps=maps)
    assert run.status == 0
    assert {row["Stream"] for row in run.records("reads")} == {"USERS"}
    assert not any("Digest" in row for row in run.records("reads"))
    with Sandbox(org) as box:
        nothing = logged(box, "users", stream_maps={"sync_log": "__NULL__"})
    assert nothing.status == 0
    assert not nothing.records("sync_log") + nothing.of_type("SCHEMA", "sync_log")


def test_a_stream_map_that_fails_on_it_ends_the_run_in_a_line(org: Organisation) -> None:
    with Sandbox(org) as box:
        run = logged(box, stream_maps={"sync_log": {"Rows": "1 / (Rows - Rows)"}})
    assert run.status == 1
    assert "Traceback" not in run.log
    [line] = run.errors
    assert f"{ERRORS['a stream map that fails on the sync log'].what}ZeroDivisionError" in line
    assert not run.of_type("STATE")


# How many users there are


def answered(body: bytes, status: int = 200) -> Any:
    def answer(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | None:
        return (status, {}, body) if incoming.path == "/users/paginated" else None

    return answer


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<Users><Pagination><TotalCount>1234</TotalCount></Pagination></Users>", 1234),
        (b'<R xmlns:a="n"><a:TotalCount i:type="long"> 12 </a:TotalCount></R>', 12),
        (b'{"Pagination": {"TotalCount": 0, "Start": 5}, "Items": []}', 0),
        (b'<Pagination Start="5" TotalCount="7" />', 7),
        (b"<Pagination><TotalCount/><Start>5</Start></Pagination>", None),
        (b"<Pagination><TotalCount>-1</TotalCount></Pagination>", None),
        (b"<Users/>", None),
        (b"\xff\x00", None),
    ],
)
def test_a_total_is_read_in_any_shape(body: bytes, expected: int | None, org: Organisation) -> None:
    with Sandbox(org, on_request=answered(body)) as box:
        run = logged(box, "user_ids", detect_deletes=True)
    assert run.status == 0
    [row] = log_of(run, "user_ids")
    assert row["TotalCount"] == expected
    assert row["Rows"] == len(org.rows("users"))
    # Where fewer came than Litmos counts, the others need not be deleted.
    is_whole = row["Rows"] >= (expected or 0)
    assert bool(run.of_type("ACTIVATE_VERSION", "user_ids")) == is_whole
    assert bool(run.warnings) != is_whole


def test_the_sandbox_tells_the_total_and_the_summary_has_it(
    org: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    with Sandbox(org) as box:
        run = logged(box, "user_ids", "team_ids", detect_deletes=True)
        asked = [seen for seen in box.requests if seen.path == "/users/paginated"]
    [seen] = asked
    assert seen.query == {"source": "tap-litmos", "limit": "1"}
    [row] = log_of(run, "user_ids")
    assert row["TotalCount"] == row["Rows"] == len(org.rows("users"))
    [row] = log_of(run, "team_ids")
    assert row["TotalCount"] is None
    [summary] = [
        vars(each)["run_summary"] for each in caplog.records if "run_summary" in vars(each)
    ]
    assert summary["streams"]["user_ids"]["total_count"] == len(org.rows("users"))
    assert "total_count" not in summary["streams"]["team_ids"]


@pytest.mark.parametrize("how", [404, 403, 500, "reset", "empty"])
def test_without_a_total_a_sync_goes_on(how: int | str, org: Organisation) -> None:
    def refuse(incoming: Incoming) -> tuple[int, dict[str, str], bytes] | str | None:
        if incoming.path != "/users/paginated":
            return None
        return how if isinstance(how, str) else (how, {}, b"TotalCount 5")

    with Sandbox(org, on_request=refuse) as box:
        run = logged(box, "user_ids", detect_deletes=True)
    assert run.status == 0
    [row] = log_of(run, "user_ids")
    assert row["TotalCount"] is None
    assert not run.warnings


def test_nobody_is_asked_for_a_total_without_the_listings(org: Organisation) -> None:
    with Sandbox(org) as box:
        run = logged(box)
        assert all(seen.path != "/users/paginated" for seen in box.requests)
    assert run.status == 0


# The plan


def test_the_plan_says_how_far_back_a_sync_reads(org: Organisation) -> None:
    with Sandbox(org) as box:
        first = run_process(config=config_for(box, start_date=days_ago(50)))
    [plan] = [line for line in first.log.splitlines() if "Plan: " in line]
    assert f"Plan: 17 streams since {days_ago(51)}; " in plan
