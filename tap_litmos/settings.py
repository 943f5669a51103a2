"""The settings: what they are, and the rules for them."""

from __future__ import annotations

import difflib
import json
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pendulum
from singer_sdk import typing as th

from tap_litmos.windows import EARLIEST, LONGEST_DAYS, parse_moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pendulum import DateTime

REGIONS = {
    "us": "https://api.litmos.com/v1.svc",
    "eu": "https://api.litmoseu.com/v1.svc",
    "au": "https://api.litmos.com.au/v1.svc",
}


def _text(name: str, description: str, **more: Any) -> th.Property[Any]:
    return th.Property(name, th.StringType(min_length=1), description=description, **more)


def _number(name: str, default: int, limits: tuple[int, int], what: str) -> th.Property[Any]:
    low, high = limits
    kind = th.IntegerType(minimum=low, maximum=high)
    return th.Property(name, kind, default=default, description=f"{what}, {low} to {high}")


def _flag(name: str, description: str) -> th.Property[Any]:
    return th.Property(name, th.BooleanType, default=False, description=description)


SETTINGS = th.PropertiesList(
    _text("api_key", "Key of an Account Owner (My profile & settings)", required=True, secret=True),
    _text(
        "start_date",
        "Read rows that changed since this ISO date or date-time (UTC unless it names a zone)",
        required=True,
    ),
    _text(
        "end_date",
        "Stop at this ISO date or date-time, for a bounded backfill; omit it to read up to now",
    ),
    th.Property(
        "region",
        th.StringType(allowed_values=list(REGIONS)),
        default="us",
        description="Region of the account: us, eu or au",
    ),
    _text("api_url", "Base URL of the API, if it is not the region's; https, except on loopback"),
    th.Property(
        "source",
        th.StringType(min_length=1, max_length=50),
        default="tap-litmos",
        description="Name of the calling application, which Litmos requires; 1 to 50 characters",
    ),
    _number("page_size", 1000, (2, 1000), "Rows per request"),  # 2, so that pages can overlap
    _number("window_days", 7, (1, LONGEST_DAYS), "Days in a closed window"),
    _number("lookback_hours", 24, (0, 720), "How many hours before the bookmark each sync starts"),
    _number(
        "requests_per_minute",
        90,
        (1, 1_000_000),
        "Maximum requests in any 60 seconds; Litmos allows 100 per key, shared with other programs",
    ),
    _text(
        "rate_limit_file",
        "Path of a file in which all runs on this machine count their requests, so that together "
        "they keep the rate; created if missing",
    ),
    _number("max_concurrent_requests", 5, (1, 32), "Maximum requests in flight"),
    _flag(
        "detect_deletes",
        "Also list the ids of all existing users, courses, learning paths and teams, as no delta "
        "shows what was deleted for good",
    ),
    _flag("include_login_key", "Also read LoginKey, a link that logs anybody in as the user"),
    _number("request_timeout", 300, (1, 3600), "Time limit for a complete response in seconds"),
).to_dict()

_PREFIX = "TAP_LITMOS_"
_URL = re.compile(
    r"(https://(?:[\w.-]+|\[[\da-f:]+\])|http://(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]))"
    r"(?::\d{1,5})?(?:/[\w.~/-]*)?",
    re.ASCII | re.IGNORECASE,
)
_OF_THE_SDK = {"loglevel"}


def base_url(config: Mapping[str, Any]) -> str:
    """Return the API's base URL for a valid config."""
    return str(config.get("api_url") or REGIONS[config["region"]]).rstrip("/")


def from_environment(environment: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in the environment; empty variables count as unset.

    What is not valid for its setting stays text, and fails validation.

    Args:
        environment: All variables.
        schema: The schema of all settings.
    """
    found = {
        variable.removeprefix(_PREFIX).lower(): text
        for variable, text in environment.items()
        if variable.startswith(_PREFIX) and text.strip()
    }
    return {
        name: _typed(text, schema["properties"].get(name, {}).get("type", "string"))
        for name, text in found.items()
        # Meltano's own variables have a second underscore.
        if name not in _OF_THE_SDK and not name.startswith("_")
    }


def _typed(text: str, types: str | Collection[str]) -> Any:
    if "string" in types:
        return text
    try:
        return json.loads(text.lower() if "boolean" in types else text)
    except (ValueError, RecursionError):
        return text


def warnings(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each setting that has no effect.

    Args:
        config: The settings as they were given.
        schema: The schema of all settings.
    """
    known = schema["properties"]
    for name in config:
        if name not in known:
            hint = [
                f"; did you mean {n}?" for n in difflib.get_close_matches(name.lower(), known, 1)
            ]
            yield f"Unknown setting {name:.50} ignored{''.join(hint)}"
    if "api_url" in config and config.get("region", "us") != "us":  # Meltano passes defaults
        yield "Setting region ignored, as api_url is set"


def broken_rules(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each rule that a config of the right types breaks.

    Args:
        config: The config, with defaults.
    """
    key = config["api_key"]
    if not key.strip() or not key.isprintable() or not key.isascii():
        yield "'api_key' is blank or contains characters that no key has; copy it again"
    if config.get("rate_limit_file") == ":memory:":
        yield "'rate_limit_file' must be the path of a file"
    yield from _broken_by_dates(config)
    if config.get("batch_config"):
        yield from _broken_by_batches(config)
    if config.get("faker_config") and find_spec("faker") is None:
        yield "'faker_config' needs an extra: install tap-litmos[faker]"
    if not _URL.fullmatch(config.get("api_url", REGIONS["us"])):
        yield (
            "'api_url' must be an https URL such as https://api.litmos.com/v1.svc, without user, "
            "password, query or fragment. (http is for loopback only, as it would show the key)"
        )


def _broken_by_batches(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the SDK's batches would ignore, or do differently."""
    for name in ("stream_maps", "flattening_enabled"):
        if config.get(name):
            yield f"'batch_config' and '{name}' cannot be combined: batches hold rows as they were"
    if config["batch_config"].get("encoding", {}).get("format") == "parquet":
        yield "'batch_config.encoding.format' must be jsonl: parquet files would differ in types"


def _broken_by_dates(config: Mapping[str, Any]) -> Iterator[str]:
    moments: dict[str, DateTime] = {}
    for name in ("start_date", "end_date"):
        if name in config:
            try:
                moments[name] = parse_moment(config[name])
            except ValueError:
                yield (
                    f"'{name}' is {config[name]!r}, but must be an ISO date or date-time such "
                    "as 2026-01-31"
                )
    start, end = moments.get("start_date"), moments.get("end_date")
    if start and not EARLIEST <= start <= pendulum.now("UTC"):
        yield f"'start_date' is {config['start_date']!r}, but must be between {EARLIEST:%Y} and now"
    if start and end and end <= start:
        yield f"'end_date' is {config['end_date']!r}, but must be after start_date"
