"""The SDK's standard suite for taps, against a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from support import DECLARATION, DEFAULT_STREAMS, UNLIMITED, catalog_of

from tap_litmos.sandbox import Organisation, Sandbox
from tap_litmos.tap import TapLitmos

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG: dict[str, Any] = {
    "api_key": "set when the sandbox is open",
    "start_date": "2026-01-01",
    "requests_per_minute": UNLIMITED,
}

Standard: Any = get_tap_test_class(
    TapLitmos,
    config=CONFIG,
    parse_env_config=False,
    suite_config=SuiteConfig(max_records_limit=None),
    catalog=catalog_of(*DECLARATION),
)


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> Iterator[None]:
    with Sandbox(Organisation(users=40, years=0.2, live=False)) as box:
        CONFIG.update(box.config())
        yield


class TestStandard(Standard):  # type: ignore[misc]
    """The standard suite, with all streams selected."""


def test_the_standard_suite_has_tests_for_every_stream() -> None:
    streams = {each.id for each in Standard.params["test_tap_stream_returns_record"]}
    assert set(DEFAULT_STREAMS) <= streams
