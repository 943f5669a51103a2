"""Settings: what is said of them, and what happens when one breaks its rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from errors import ERRORS
from support import (
    Run,
    catalog_of,
    config_for,
    days_ago,
    in_environment,
    page,
    run_process,
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

BROKEN = [
    ("api_key", ""),
    ("api_key", "   "),
    ("api_key", "two\nlines"),
    ("api_key", "schlüssel"),
    ("start_date", ""),
    ("start_date", "yesterday"),
    ("start_date", "2026-02-30"),
    ("start_date", "31.12.2025"),
    ("start_date", days_ago(-2)),
    ("start_date", "9999-12-31"),
    ("start_date", "0001-01-01"),
    ("end_date", ""),
    ("end_date", "never"),
    ("end_date", "2000-01-01"),
    ("region", ""),
    ("region", "mars"),
    ("region", "US"),
    ("api_url", ""),
    ("api_url", "api.litmos.com"),
    ("api_url", "http://api.litmos.com/v1.svc"),
    ("api_url", "http://127.0.0.1.example.com/v1.svc"),
    ("api_url", "ftp://127.0.0.1/v1.svc"),
    ("api_url", "https://user:word@api.litmos.com/v1.svc"),
    ("api_url", "https://api.litmos.com/v1.svc?apikey=1"),
    ("api_url", "https://[::1"),
    ("api_url", "https://host:port/"),
    ("source", ""),
    ("source", "s" * 51),
    ("page_size", 1),
    ("page_size", 1001),
    ("page_size", -5),
    ("page_size", "many"),
    ("page_size", 2.5),
    ("window_days", 0),
    ("window_days", 8),
    ("lookback_hours", -1),
    ("lookback_hours", 721),
    ("requests_per_minute", 0),
    ("request_timeout", 3601),
    ("rate_limit_file", ""),
    ("max_concurrent_requests", 0),
    ("max_concurrent_requests", 33),
    ("request_timeout", 0),
    ("detect_deletes", "perhaps"),
]

WRONG_TYPES = [
    ("api_key", 5),
    ("start_date", 20260101),
    ("end_date", True),
    ("region", ["us"]),
    ("api_url", {}),
    ("source", 1),
    ("page_size", "10"),
    ("window_days", True),
    ("lookback_hours", [24]),
]
"""What JSON can hold and the environment cannot."""

VALID = [
    ("start_date", days_ago(0)),
    ("start_date", f"{days_ago(1)}T10:00:00+02:00"),
    ("end_date", days_ago(0)),
    ("region", "eu"),
    ("source", "s"),
    ("source", "s" * 50),
    ("page_size", 2),
    ("page_size", 1000),
    ("window_days", 1),
    ("window_days", 7),
    ("lookback_hours", 0),
    ("lookback_hours", 720),
    ("requests_per_minute", 17),
    ("max_concurrent_requests", 1),
    ("max_concurrent_requests", 32),
    ("request_timeout", 1),
    ("detect_deletes", True),
    ("detect_deletes", False),
]


def run_with(config: dict[str, Any], source: str) -> Run:
    if source == "file":
        return run_tap(config=config)
    return run_tap(env=in_environment(config))


def test_a_path_must_not_be_empty() -> None:
    run = run_tap(config={"api_key": "k", "start_date": days_ago(2), "rate_limit_file": ""})
    assert "Setting 'rate_limit_file' is '', but must be a non-empty string" in run.errors[-1]


def check_refusal(run: Run, name: str, key: str) -> None:
    """Check that a run ended with one clear line about a setting."""
    assert run.status == 1
    assert not run.output
    [line] = run.errors
    assert f"'{name}'" in line
    assert "Traceback" not in run.log
    assert key not in run.log


def test_a_whole_number_may_be_written_with_a_fraction_of_zero(box: Sandbox) -> None:
    numbers = {"page_size": 20.0, "max_concurrent_requests": 2.0, "window_days": 7.0}
    run = run_tap(config=config_for(box, start_date=days_ago(1), **numbers))
    assert run.status == 0
    assert {seen.query["limit"] for seen in box.requests} == {"20"}


# What is said of them


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_tap("--about", "--format", "json").output)
    return found


def test_there_are_these_settings(about: dict[str, Any]) -> None:
    properties = about["settings"]["properties"]
    builtin = {"stream_maps", "stream_map_config", "faker_config", "batch_config"}
    own = {
        name: each.get("default")
        for name, each in properties.items()
        if name not in builtin and not name.startswith("flattening")
    }
    assert own == SETTINGS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_has_a_title_and_a_description(name: str, about: dict[str, Any]) -> None:
    setting = about["settings"]["properties"][name]
    assert setting["title"].strip()
    assert len(setting["description"]) > 10
    assert setting["title"] != setting["description"]


def test_the_key_is_secret_and_only_two_settings_are_required(about: dict[str, Any]) -> None:
    settings = about["settings"]
    assert settings["required"] == ["api_key", "start_date"]
    secret = {name for name, each in settings["properties"].items() if each.get("secret")}
    assert secret & SETTINGS.keys() == {"api_key"}


# Rules


@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_rule_ends_the_run_before_any_request(
    name: str, value: Any, source: str, box: Sandbox
) -> None:
    before = len(box.requests)
    config = config_for(box, start_date=days_ago(1))
    check_refusal(run_with({**config, name: value}, source), name, box.api_key)
    assert len(box.requests) == before


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_refused(name: str, value: Any, box: Sandbox) -> None:
    before = len(box.requests)
    config = config_for(box, start_date=days_ago(1))
    check_refusal(run_tap(config={**config, name: value}), name, box.api_key)
    assert len(box.requests) == before


@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize("name", ["api_key", "start_date"])
def test_what_is_required_must_be_there(name: str, source: str, box: Sandbox) -> None:
    before = len(box.requests)
    config = config_for(box)
    del config[name]
    run = run_with(config, source)
    check_refusal(run, name, box.api_key)
    assert f"TAP_LITMOS_{name.upper()}" in run.errors[0]
    assert len(box.requests) == before


def test_null_is_no_value_for_what_is_required(box: Sandbox) -> None:
    check_refusal(run_tap(config={**config_for(box), "api_key": None}), "api_key", box.api_key)


def test_null_stands_for_the_default(box: Sandbox) -> None:
    config = config_for(box, start_date=days_ago(1), **dict.fromkeys(("source", "page_size")))
    before = len(box.requests)
    assert run_tap(config=config).status == 0
    assert {seen.query["source"] for seen in box.requests[before:]} == {"tap-litmos"}
    assert {seen.query["limit"] for seen in box.requests[before:]} == {"1000"}


def test_end_date_must_be_after_start_date(box: Sandbox) -> None:
    for end in (days_ago(5), days_ago(6), f"{days_ago(5)}T00:00:00Z"):
        run = run_tap(config=config_for(box, start_date=days_ago(5), end_date=end))
        check_refusal(run, "end_date", box.api_key)


def test_several_broken_rules_have_a_line_each(box: Sandbox) -> None:
    run = run_tap(config=config_for(box, page_size=0, window_days=9))
    assert run.status == 1
    assert ["page_size" in line for line in run.errors] == [True, False]
    assert ["window_days" in line for line in run.errors] == [False, True]


def test_a_process_ends_with_status_1_too(box: Sandbox) -> None:
    config = config_for(box, page_size=0)
    check_refusal(run_process(config=config), "page_size", box.api_key)
    check_refusal(run_process(env=in_environment(config)), "page_size", box.api_key)


@pytest.mark.parametrize("key", ["hush-1\nhush-2", "hush-ü", ["hush-3"]])
def test_a_key_that_is_refused_is_not_shown(key: Any, box: Sandbox) -> None:
    run = run_tap(config={**config_for(box), "api_key": key})
    assert run.status == 1
    assert "hush" not in run.log


@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize(("name", "value"), VALID)
def test_what_keeps_its_rule_is_accepted(name: str, value: Any, source: str, box: Sandbox) -> None:
    start = days_ago(1)
    before = len(box.requests)
    run = run_with({**config_for(box, start_date=start), name: value}, source)
    assert run.status == 0
    assert not run.errors
    assert len(box.requests) >= before + (0 if name == "end_date" else 17)


@pytest.mark.parametrize("source", ["file", "environment"])
def test_settings_have_their_effect(source: str) -> None:
    with serving({"teams": page("teams", "<Id>a</Id>", "<Id>b</Id>", "<Id>c</Id>")}) as box:
        config = config_for(
            box, start_date=days_ago(20), source="my-app", page_size=5, window_days=3
        )
        run = run_with(config, source)
        assert run.status == 0
        assert {seen.query["source"] for seen in box.requests} == {"my-app"}
        assert {seen.query["limit"] for seen in box.requests} == {"5"}
        spans = {(seen.to - seen.since).days for seen in box.requests if seen.to and seen.since}
        assert 3 in spans
    assert len(run.records("teams")) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_plain_http_is_for_loopback(host: str, box: Sandbox) -> None:
    url = box.url.replace("127.0.0.1", host)
    run = run_tap(config=config_for(box, start_date=days_ago(1), api_url=url + "/"))
    assert run.status == 0


def test_an_unknown_setting_is_named_and_ignored(box: Sandbox) -> None:
    run = run_tap(config=config_for(box, start_date=days_ago(1), pagesize=10))
    assert run.status == 0
    [warning] = run.warnings
    assert "Unknown setting 'pagesize' ignored; did you mean 'page_size'?" in warning


def test_an_unknown_setting_in_the_environment_is_told_of(box: Sandbox) -> None:
    environment = in_environment({**config_for(box, start_date=days_ago(1)), "pagesize": 5})
    environment |= {"TAP_LITMOS_LOGLEVEL": "info", "TAP_LITMOS__SELECT": "[]"}
    run = run_tap(env=environment, catalog=catalog_of("teams"))
    assert run.status == 0
    [warning] = run.warnings
    assert "Unknown setting 'pagesize' ignored; did you mean 'page_size'?" in warning


def test_an_empty_state_is_told_to_be_a_first_run(box: Sandbox) -> None:
    run = run_tap(
        config=config_for(box, start_date=days_ago(1)), catalog=catalog_of("teams"), state=""
    )
    assert run.status == 0
    [warning] = run.warnings
    assert "is empty: this is a first run" in warning


def test_a_setting_that_is_missing_may_have_been_given_by_another_name(box: Sandbox) -> None:
    config = config_for(box)
    config["apikey"] = config.pop("api_key")
    run = run_tap(config=config)
    assert run.status == 1
    hint, missing = run.errors
    assert "Unknown setting 'apikey' ignored; did you mean 'api_key'?" in hint
    assert ERRORS["a setting is missing"].what in missing
    assert box.api_key not in run.log
