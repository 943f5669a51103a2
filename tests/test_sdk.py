"""The SDK: its standard suite for taps, against a sandbox, and what is private in it."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from strange import StrangeSandbox as Sandbox
from support import DECLARATION, DEFAULT_STREAMS, UNLIMITED, batch_config, catalog_of

import tap_litmos
from tap_litmos.errors import RunFailedError
from tap_litmos.sandbox import Organisation
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
    with Sandbox(Organisation(users=25, years=0.1, live=False)) as box:
        CONFIG.update(box.config())
        yield


# What never changed has no date of its change, which the suite takes for missing records.
@pytest.mark.filterwarnings("ignore:No records were available to test:UserWarning")
class TestStandard(Standard):  # type: ignore[misc]
    """The standard suite, with all streams selected."""


def test_the_standard_suite_has_tests_for_every_stream() -> None:
    streams = {param.id for param in Standard.params["test_tap_stream_returns_record"]}
    assert set(DEFAULT_STREAMS) <= streams


@pytest.mark.parametrize("in_batches", [False, True])
def test_a_program_that_syncs_learns_of_a_stream_that_failed(
    tmp_path: Path, *, in_batches: bool
) -> None:
    organisation = Organisation(users=2, years=0.1, live=False)
    with Sandbox(organisation, refuse={"/org/users/details": 403}) as box:
        config = CONFIG | box.config()
        if in_batches:
            config["batch_config"] = batch_config(tmp_path)
        with pytest.raises(RunFailedError, match="users failed"):
            TapLitmos(config=config).sync_all()


# What is private

PRIVATE = {
    "StreamStateManager": "so that bookmarks are windows' ends; nothing public replaces it",
    "_generate_record_messages": "so that rows tell when they were read, typed as they are",
    "_handle_termination": "so that no STATE is written in the middle of a message",
}
"""The private names of the SDK that the tap uses, and what for."""

FOLDER = Path(tap_litmos.__file__).parent
MODULES = [importlib.import_module(f"tap_litmos.{path.stem}") for path in FOLDER.glob("*.py")]
OURS = {
    found
    for module in MODULES
    for found in vars(module).values()
    if inspect.isclass(found) and found.__module__ == module.__name__
}


def private_names(classes: Iterable[type]) -> set[str]:
    """Return the private attributes and methods that classes define, set or use."""
    code = "".join(map(inspect.getsource, classes))
    return set(re.findall(r"(?:\bself\.|\bcls\.|\bdef )(_[a-z]\w*)", code))


def used_by(ours: type) -> set[str]:
    """Return the private attributes and methods of the SDK that a class uses or overrides."""
    theirs = [base for base in ours.__mro__ if base.__module__.startswith("singer_sdk")]
    return private_names([ours]) & private_names(theirs)


def test_of_what_is_private_in_the_sdk_only_this_is_used() -> None:
    code = "".join(map(inspect.getsource, MODULES))
    imported = re.findall(r"^from singer_sdk[\w.]*\._\w+ import (\w+)", code, re.MULTILINE)
    assert set().union(imported, *map(used_by, OURS)) == set(PRIVATE)


def test_one_final_method_is_overridden() -> None:
    """The SDK has no hook around a sync."""
    found = re.findall(
        r"override  # type: ignore\[misc\].*\n +def (\w+)", "".join(map(inspect.getsource, MODULES))
    )
    assert found == ["sync_all"]
