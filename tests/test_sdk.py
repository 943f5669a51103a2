"""The SDK: its standard suite for taps, against a sandbox, and what is private in it."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Stream
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from strange import StrangeSandbox as Sandbox
from support import DECLARATION, DEFAULT_STREAMS, UNLIMITED, catalog_of
from tap_litmos.cli import Command, CommandLineTap

import tap_litmos
from tap_litmos.bookmark import Bookmark
from tap_litmos.client import DeclaredStream, ListingStream, LitmosStream
from tap_litmos.errors import RunFailedError, StreamFailedError
from tap_litmos.output import Writer
from tap_litmos.sandbox import Organisation
from tap_litmos.sync_log import SyncLog
from tap_litmos.tap import TapLitmos

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


# What never changed has no date of its change, which the suite takes for missing records.
@pytest.mark.filterwarnings("ignore:No records were available to test:UserWarning")
class TestStandard(Standard):  # type: ignore[misc]
    """The standard suite, with all streams selected."""


def test_the_standard_suite_has_tests_for_every_stream() -> None:
    streams = {each.id for each in Standard.params["test_tap_stream_returns_record"]}
    assert set(DEFAULT_STREAMS) <= streams


def test_a_program_that_syncs_learns_of_a_stream_that_failed() -> None:
    organisation = Organisation(users=2, years=0.1, live=False)
    with Sandbox(organisation, refuse={"/org/users/details": 403}) as box:
        tap = TapLitmos(config=CONFIG | box.config())
        with pytest.raises(StreamFailedError, match=r"GET /org/users/details returned 403"):
            tap.sync_all()


def test_a_program_that_syncs_learns_of_rows_that_were_skipped() -> None:
    with Sandbox(Organisation(users=20, years=0.1, live=False), keyless=0.5) as box:
        tap = TapLitmos(config=CONFIG | box.config())
        with pytest.raises(RunFailedError, match="without primary key"):
            tap.sync_all()


def test_a_tap_syncs_once() -> None:
    with Sandbox(Organisation(users=2, years=0.1, live=False)) as box:
        tap = TapLitmos(config=CONFIG | box.config())
        tap.sync_all()
        with pytest.raises(RuntimeError, match="make another one"):
            tap.sync_all()


def test_a_program_that_syncs_into_batches_learns_what_failed(tmp_path: Path) -> None:
    batches = {"encoding": {"format": "jsonl"}, "storage": {"root": tmp_path.as_uri()}}
    organisation = Organisation(users=2, years=0.1, live=False)
    with Sandbox(organisation, refuse={"/org/users/details": 403}) as box:
        tap = TapLitmos(config=CONFIG | box.config() | {"batch_config": batches})
        with pytest.raises(StreamFailedError, match=r"GET /org/users/details returned 403"):
            tap.sync_all()


# What is private

PRIVATE = {
    "StreamStateManager": "so that bookmarks are windows' ends; nothing public replaces it",
    "_generate_record_messages": "so that rows tell when they were read, and a stream map that "
    "fails sinks its stream alone",
    "_singer_catalog_entry": "so that listings are selected by a setting, not by the catalog",
    "_write_activate_version_message": "so that a version is announced after its rows",
    "_write_batch_message": "so that the sync log goes into files where all rows do",
    "_write_record_message": "so that the sync log is written while other streams are read",
    "_write_schema_message": "so that the sync log has its SCHEMA before its first row",
    "_write_state_message": "so that STATE follows each window, not each so many rows",
}
"""The private names of the SDK that the tap uses, and what for."""

CLASSES = (
    DeclaredStream,
    LitmosStream,
    ListingStream,
    SyncLog,
    Bookmark,
    TapLitmos,
    CommandLineTap,
    Writer,
    Command,
)
"""The classes of the tap that derive from the SDK's."""


def private_in(classes: Iterable[type]) -> set[str]:
    """Return the private attributes and methods that classes define, set or use."""
    code = "".join(map(inspect.getsource, classes))
    return set(re.findall(r"(?:\bself\.|\bcls\.|\bdef )(_[a-z]\w*)", code))


def used_by(ours: type) -> set[str]:
    """Return the private attributes and methods of the SDK that a class uses or overrides."""
    theirs = [each for each in ours.__mro__ if each.__module__.startswith("singer_sdk")]
    return private_in([ours]) & private_in(theirs)


@pytest.mark.parametrize("name", PRIVATE)
def test_the_sdk_still_has_what_the_tap_uses_although_it_is_private(name: str) -> None:
    state = importlib.import_module("singer_sdk.streams._state")
    assert hasattr(Stream, name) or hasattr(state, name), (
        f"This release of singer-sdk has no {name}, which the tap needs {PRIVATE[name]}"
    )


def test_nothing_else_of_the_sdk_that_is_private_is_used() -> None:
    assert set().union(*map(used_by, CLASSES)) | {"StreamStateManager"} == set(PRIVATE)


def test_nothing_else_is_imported_from_a_private_module_of_the_sdk() -> None:
    code = "".join(
        path.read_text("utf-8") for path in Path(tap_litmos.__file__).parent.glob("*.py")
    )
    imported = re.findall(r"(?:from|import) (singer_sdk[\w.]*\._\w+.*)", code)
    assert imported == ["singer_sdk.streams._state import StreamStateManager"]
