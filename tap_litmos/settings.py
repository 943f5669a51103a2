"""The settings: what they are, and the rules for them."""

from __future__ import annotations

import ipaddress
import json
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pendulum
from singer_sdk import typing as th

from tap_litmos.errors import RunFailedError
from tap_litmos.windows import EARLIEST, LONGEST_DAYS, parse_moment
from tap_litmos.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jsonschema import ValidationError
    from pendulum import DateTime

REGIONS = {
    "us": "https://api.litmos.com/v1.svc",
    "eu": "https://api.litmoseu.com/v1.svc",
    "au": "https://api.litmos.com.au/v1.svc",
}

SETTINGS = th.PropertiesList(
    th.Property(
        "api_key",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="API key",
        description="The key of an Account Owner: in Litmos, My profile & settings",
    ),
    th.Property(
        "start_date",
        th.StringType,
        required=True,
        title="Start date",
        description="ISO date or date-time (UTC unless it names a zone) from which to read; "
        "not in the future",
    ),
    th.Property(
        "end_date",
        th.StringType,
        title="End date",
        description="ISO date or date-time at which to stop, for a bounded backfill; "
        "without it, a sync reads up to now",
    ),
    th.Property(
        "region",
        th.StringType(allowed_values=list(REGIONS)),
        default="us",
        title="Region",
        description="Where the account lives: us, eu or au",
    ),
    th.Property(
        "api_url",
        th.StringType,
        title="API URL",
        description="Base URL of the API, instead of the region's; https, except on loopback",
    ),
    th.Property(
        "source",
        th.StringType(min_length=1, max_length=50),
        default="tap-litmos",
        title="Source",
        description="Name of the calling application, which Litmos demands; 1 to 50 characters",
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=2, maximum=1000),  # pages of one row could not overlap
        default=1000,
        title="Page size",
        description="Rows in a request, 2 to 1000; pages overlap, so that none is skipped",
    ),
    th.Property(
        "window_days",
        th.IntegerType(minimum=1, maximum=LONGEST_DAYS),
        default=7,
        title="Window days",
        description="Days in a closed window, 1 to 7",
    ),
    th.Property(
        "lookback_hours",
        th.IntegerType(minimum=0, maximum=720),
        default=24,
        title="Lookback hours",
        description="Hours before the bookmark from which a sync reads again, 0 to 720",
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=1, maximum=1_000_000),
        default=90,
        title="Requests per minute",
        description="The most requests in any 60 seconds; Litmos allows 100 for a key, which "
        "other programs may share",
    ),
    th.Property(
        "rate_limit_file",
        th.StringType(min_length=1),
        title="Rate limit file",
        description="Path of a file, made if need be, in which all runs on this machine count "
        "their requests, so that together they keep the rate",
    ),
    th.Property(
        "max_concurrent_requests",
        th.IntegerType(minimum=1, maximum=32),
        default=5,
        title="Concurrent requests",
        description="The most requests in flight at once, 1 to 32; 1 is one after another",
    ),
    th.Property(
        "detect_deletes",
        th.BooleanType,
        default=False,
        title="Detect deletes",
        description="Also list the ids of all users, courses, learning paths and teams that "
        "exist, since no delta shows what was deleted for good",
    ),
    th.Property(
        "include_login_key",
        th.BooleanType,
        default=False,
        title="Include LoginKey",
        description="Also read LoginKey, a link with which anybody can log in as the user",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1, maximum=3600),
        default=300,
        title="Request timeout",
        description="Seconds in which an answer must be complete, 1 to 3600",
    ),
).to_dict()

_PREFIX = "TAP_LITMOS_"
_LOG_LEVEL = "TAP_LITMOS_LOGLEVEL"  # read by the SDK
_FLAGS = {"true": True, "1": True, "yes": True, "on": True}
_FLAGS |= {"false": False, "0": False, "no": False, "off": False}
_Validator = th.extend_validator_with_defaults(th.DEFAULT_JSONSCHEMA_VALIDATOR)

_SECRETS = {name for name, rule in SETTINGS["properties"].items() if rule.get("secret")}


def base_url(config: Mapping[str, Any]) -> str:
    """Return the API's base URL for a valid config."""
    return str(config.get("api_url") or REGIONS[config["region"]])


def from_environment(
    environment: Mapping[str, str], schema: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings in the environment, typed where they are well-formed.

    Malformed values stay strings and fail validation. Unknown names are kept, so `validated`
    can warn.

    Args:
        environment: All variables.
        schema: The schema of all settings.
    """
    known = schema["properties"]
    return {
        name: _typed(text, known.get(name, {}).get("type", ()))
        for variable, text in environment.items()
        if variable.startswith(_PREFIX)
        and variable != _LOG_LEVEL
        # Meltano's own variables have a second underscore.
        and not (name := variable.removeprefix(_PREFIX).lower()).startswith("_")
    }


def _typed(text: str, types: Iterable[str]) -> Any:
    casts: dict[str, Callable[[str], Any]] = {
        "integer": lambda text: int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text,
        "boolean": lambda text: _FLAGS.get(text.lower(), text),
        "object": _json,
        "array": _json,
    }
    return next((casts[kind](text) for kind in types if kind in casts), text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def validated(
    config: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings with their defaults, and warnings about them.

    Args:
        config: The settings as they were given; null is as if it was not given.
        schema: The schema of all settings.

    Raises:
        RunFailedError: If one breaks a rule; the message has a line for each.
    """
    known = schema["properties"]
    given = {
        name: _whole(value) if "integer" in known.get(name, {}).get("type", ()) else value
        for name, value in config.items()
        if value is not None
    }
    warnings = [
        f"Unknown setting {name[:50]!r} ignored{did_you_mean(name, known)}"
        for name in given
        if name not in known
    ]
    try:
        errors = list(dict.fromkeys(map(_explain, _Validator(schema).iter_errors(given))))
    except AttributeError:
        # The SDK's own schema is broken where it is asked about another value.
        errors = ["Setting 'stream_maps': '__else__' must be null or '__NULL__'"]
    errors = errors or list(broken_rules(given, pendulum.now("UTC")))
    if errors:
        # With the warnings: a missing setting may have been given by another name.
        raise RunFailedError("\n".join(warnings + errors))
    return given, warnings


def _whole(value: Any) -> Any:
    """Return a number such as 5.0, which JSON schema takes for an integer, as one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _explain(error: ValidationError) -> str:
    """Return in one line which setting breaks which rule, without secrets."""
    if error.validator == "required":
        name = error.message.split("'")[1]
        return (
            f"Setting '{name}' is missing: give it in the config file, or as "
            f"{_PREFIX}{name.upper()} in the environment"
        )
    where = ".".join(map(str, error.path))
    if where in _SECRETS:
        return f"Setting '{where}' must be a non-empty string"
    schema = SETTINGS["properties"].get(where)
    if schema is None:
        return f"Setting '{where}': {error.message}"
    rule = _expected(schema)
    return f"Setting '{where}' is {error.instance!r}, but must be {rule}"


def _expected(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "maximum" in schema:
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if "maxLength" in schema:
        return f"a string of {schema['minLength']} to {schema['maxLength']} characters"
    if "minLength" in schema:
        return "a non-empty string"
    return "true or false" if "boolean" in schema.get("type", ()) else "a string"


def broken_rules(config: Mapping[str, Any], now: DateTime) -> Iterator[str]:
    """Yield one line for each rule that a config of the right types breaks.

    Args:
        config: The config.
        now: The current moment.
    """
    yield from _broken_by_key(config["api_key"])
    for name in ("source", "api_url"):
        if not config.get(name, "").isprintable():
            yield f"Setting '{name}' has characters that cannot be printed: take them out"
    yield from _broken_by_dates(config, now)
    if "batch_config" in config:
        yield from _broken_by_batches(config)
    if "api_url" in config and (problem := _problem_of_url(config["api_url"])):
        shown = re.sub(r"//.*@|[?#].*", "…", config["api_url"])  # which may hold the key
        yield f"Setting 'api_url' is {shown!r}, but {problem}"


def _broken_by_key(key: str) -> Iterator[str]:
    if not key.strip() or not key.isprintable():
        yield "Setting 'api_key' must be a non-empty string on one line"
    elif not key.isascii():
        yield "Setting 'api_key' has characters that no API key contains: copy it again"


def _broken_by_dates(config: Mapping[str, Any], now: DateTime) -> Iterator[str]:
    moments: dict[str, DateTime] = {}
    for name in ("start_date", "end_date"):
        if name in config:
            try:
                moments[name] = parse_moment(config[name])
            except ValueError:
                yield (
                    f"Setting '{name}' is {config[name]!r}, but must be an ISO date or "
                    "date-time such as 2026-01-31"
                )
    start, end = moments.get("start_date"), moments.get("end_date")
    if start and not EARLIEST <= start <= now:
        yield (
            f"Setting 'start_date' is {config['start_date']!r}, but must lie between "
            f"{EARLIEST:%Y-%m-%d} and now"
        )
    if start and end and end <= start:
        yield (
            f"Setting 'end_date' is {config['end_date']!r}, but must be after start_date, "
            f"{config['start_date']!r}"
        )


def _broken_by_batches(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the SDK's batches would ignore, or do differently."""
    for name in ("stream_maps", "flattening_enabled"):
        if config.get(name):
            yield (
                f"Settings 'batch_config' and '{name}' cannot be used together: the files of a "
                "batch hold rows as they were read. Leave one of them out"
            )
    batch = config["batch_config"]
    encoding = batch.get("encoding") or {}
    if encoding.get("format") == "jsonl" and encoding.get("compression") == "none":
        yield (
            "Setting 'batch_config.encoding.compression' is 'none', but must be gzip: files of "
            "JSON lines are always compressed"
        )
    if encoding.get("format") == "parquet" and find_spec("pyarrow") is None:
        yield (
            "Setting 'batch_config.encoding.format' is 'parquet', which needs an extra: "
            "install the tap with its extra 'parquet'"
        )
    size = batch.get("batch_size", 1)
    if not isinstance(size, int) or size < 1:
        yield "Setting 'batch_config.batch_size' must be a whole number, 1 or more"


def _problem_of_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "must be a valid URL"
    if parts.scheme not in {"https", "http"} or not host:
        return "must be a URL such as https://api.litmos.com/v1.svc"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must have no user, password, query or fragment"
    if parts.scheme == "http" and not _is_loopback(host):
        return "must be https, as the key would travel in plain text (http is for loopback)"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
