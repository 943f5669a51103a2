"""Settings: what is said of them, and what happens when one breaks its rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import (
    DEFAULT_STREAMS,
    Run,
    catalog_of,
    config_for,
    days_ago,
    in_environment,
    page,
    run_tap,
    serving,
)

if TYPE_CHECKING:
    from tap_litmos.sandbox import Sandbox

SETTINGS: dict[str, Any] = {
    "api_key": None,
    "start_date": None,
    "end_date": None,
    "region": "us",
    "api_url": None,
    "source": "tap-litmos",
    "include_login_key": False,
    "page_size": 1000,
    "window_days": 7,
    "lookback_hours": 24,
    "requests_per_minute": 90,
    "rate_limit_file": None,
    "max_concurrent_requests": 5,
    "detect_deletes": False,
    "request_timeout": 300,
}
"""Every setting of the tap's own with its default."""

BROKEN: dict[str, list[Any]] = {
    "api_key": ["   ", "two\nlines", "schlüssel", 5],
    "start_date": ["2026-02-30", "31.12.2025", days_ago(-2), "9999-12-31", "0001-01-01", 20260101],
    "end_date": ["never", "2000-01-01", days_ago(1), f"{days_ago(1)}T00:00:00Z", True],
    "region": ["mars", "US"],
    "api_url": [
        "api.litmos.com",
        "http://127.0.0.1.example.com/v1.svc",
        "ftp://127.0.0.1/v1.svc",
        "https://user:word@api.litmos.com/v1.svc",
        "https://api.litmos.com/v1.svc?apikey=1",
        "https://[::1",
        "https://host:port/",
        {},
    ],
    "source": ["s" * 51],
    "page_size": [1, 1001, "many", 2.5],
    "window_days": [0, 8],
    "lookback_hours": [-1, 721, [24]],
    "requests_per_minute": [0],
    "max_concurrent_requests": [0, 33],
    "request_timeout": [0, 3601],
    "detect_deletes": ["perhaps"],
}
"""By setting, values that break its rule."""

VALID: dict[str, list[Any]] = {
    "start_date": [days_ago(0), f"{days_ago(1)}T10:00:00+02:00"],
    "end_date": [days_ago(0)],
    "region": ["eu"],
    "source": ["s", "s" * 50],
    "page_size": [2, 1000],
    "window_days": [1, 7],
    "lookback_hours": [0, 720],
    "max_concurrent_requests": [1, 32],
    "request_timeout": [1, 3600],
    "detect_deletes": [True, False],
}
"""By setting, values that keep it."""


def pairs(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in table.items() for value in values]


def run_with(config: dict[str, Any], source: str) -> Run:
    if source == "file":
        return run_tap(config=config, catalog=catalog_of("teams"))
    return run_tap(env=in_environment(config), catalog=catalog_of("teams"))


def check_refusal(run: Run, name: str, key: str) -> None:
    """Check that a run ended with one clear line about a setting."""
    assert run.status == 1
    assert not run.output
    [line] = run.errors[:-1]  # the SDK adds one
    assert f"'{name}'" in line
    assert "Traceback" not in run.log
    assert key not in run.log


# What is said of them


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_tap("--about", "--format", "json").output)["settings"]
    return found


def test_there_are_these_settings_each_with_a_description(about: dict[str, Any]) -> None:
    builtin = {"stream_maps", "stream_map_config", "faker_config", "batch_config"}
    own = {
        name: setting
        for name, setting in about["properties"].items()
        if name not in builtin and not name.startswith("flattening")
    }
    assert {name: setting.get("default") for name, setting in own.items()} == SETTINGS
    assert all(len(setting["description"]) > 10 for setting in own.values())
    assert about["required"] == ["api_key", "start_date"]
    assert {name for name, setting in own.items() if setting.get("secret")} == {"api_key"}


# Rules


@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize(("name", "value"), pairs(BROKEN))
def test_a_broken_rule_ends_the_run_before_any_request(
    name: str, value: Any, source: str, box: Sandbox
) -> None:
    if source == "environment" and not isinstance(value, str):
        value = "?" if name != "api_key" else "\n"
    config = config_for(box, start_date=days_ago(1))
    check_refusal(run_with({**config, name: value}, source), name, box.api_key)
    assert not box.requests


@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize(("name", "value"), pairs(VALID))
def test_what_keeps_its_rule_is_accepted(name: str, value: Any, source: str, box: Sandbox) -> None:
    run = run_with({**config_for(box, start_date=days_ago(1)), name: value}, source)
    assert run.status == 0
    assert not run.errors
    assert len(box.requests) >= (name != "end_date")


@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize("name", ["api_key", "start_date"])
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_required_must_be_there(
    name: str, value: str | None, source: str, box: Sandbox
) -> None:
    config = config_for(box) | {name: value}
    if source == "environment" and value is None:
        del config[name]
    run = run_with(config, source)
    check_refusal(run, name, box.api_key)
    assert not box.requests


def test_several_broken_rules_have_a_line_each(box: Sandbox) -> None:
    run = run_tap(config=config_for(box, page_size=0, window_days=9))
    assert run.status == 1
    assert ["page_size" in line for line in run.errors[:-1]] == [True, False]
    assert ["window_days" in line for line in run.errors[:-1]] == [False, True]


@pytest.mark.parametrize("key", ["hush-1\nhush-2", "hush-ü"])
def test_a_key_that_is_refused_is_not_shown(key: str, box: Sandbox) -> None:
    run = run_tap(config={**config_for(box), "api_key": key})
    assert run.status == 1
    assert "hush" not in run.log


# Where they come from


def test_null_and_variables_that_are_empty_stand_for_the_default(box: Sandbox) -> None:
    config = config_for(box, start_date=days_ago(1), source=None, page_size=None)
    env = dict.fromkeys(map("TAP_LITMOS_{}".format, ("SOURCE", "WINDOW_DAYS", "END_DATE")), "")
    assert run_tap(config=config, env=env).status == 0
    assert {seen.query["source"] for seen in box.requests} == {"tap-litmos"}
    assert {seen.query["limit"] for seen in box.requests} == {"1000"}
    assert len(box.requests) == len(DEFAULT_STREAMS)


def test_the_environment_fills_what_files_leave_out(box: Sandbox) -> None:
    config = config_for(box, start_date=days_ago(1))
    env = in_environment({"api_key": config.pop("api_key"), "source": "env", "page_size": 7})
    run = run_tap(config={**config, "source": "file"}, env=env)
    assert run.status == 0
    queries = {(seen.query["source"], seen.query["limit"]) for seen in box.requests}
    assert queries == {("file", "7")}


@pytest.mark.parametrize("source", ["file", "environment"])
def test_settings_have_their_effect(source: str) -> None:
    with serving({"teams": page("teams", "<Id>a</Id>", "<Id>b</Id>")}) as box:
        config = config_for(
            box, start_date=days_ago(20), source="my app", page_size=5, window_days=3
        )
        run = run_with(config, source)
        assert run.status == 0
        assert {seen.query["source"] for seen in box.requests} == {"my app"}
        assert {seen.query["limit"] for seen in box.requests} == {"5"}
        assert 3 in {(seen.to - seen.since).days for seen in box.requests if seen.to and seen.since}
    assert len(run.records("teams")) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_plain_http_is_for_loopback(host: str, box: Sandbox) -> None:
    url = box.url.replace("127.0.0.1", host)
    run = run_tap(config=config_for(box, start_date=days_ago(1), api_url=url + "/"))
    assert run.status == 0


def test_an_unknown_setting_is_named_and_ignored(box: Sandbox) -> None:
    env = in_environment({"pagesize": 5, "loglevel": "info", "_select": "[]"})
    config = config_for(box, start_date=days_ago(1), windowdays=10)
    run = run_tap(config=config, env=env, catalog=catalog_of("teams"))
    assert run.status == 0
    assert sorted(line[line.index("did you mean") :] for line in run.warnings) == [
        "did you mean page_size?",
        "did you mean window_days?",
    ]


def test_a_setting_that_is_missing_may_have_been_given_by_another_name(box: Sandbox) -> None:
    config = config_for(box)
    config["apikey"] = config.pop("api_key")
    run = run_tap(config=config)
    check_refusal(run, "api_key", box.api_key)
    [hint] = run.warnings
    assert "api_key?" in hint
