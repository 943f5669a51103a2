"""What all tests share."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
import time_machine
from hypothesis import settings
from strange import StrangeSandbox as Sandbox
from support import AFTERNOON

from tap_litmos.sandbox import Organisation

if TYPE_CHECKING:
    from collections.abc import Iterator

# All servers of the tests are on this machine: no proxy of the environment is meant for them.
for each in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[each]

# dbt reports its runs to nobody, and writes neither a log nor artifacts, which takes a third of
# its time.
os.environ |= dict.fromkeys(("DBT_SEND_ANONYMOUS_USAGE_STATS", "DBT_WRITE_JSON"), "false")
os.environ["DBT_LOG_LEVEL_FILE"] = "none"

pytest.register_assert_rewrite("destinations")
settings.register_profile("tap", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("thorough", settings.get_profile("tap"), max_examples=1_000)
settings.load_profile("tap")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what only the weekly tests need."""
    parser.addoption(
        "--all-targets",
        action="store_true",
        help="load into every target that the documentation lists, not only the usual ones, and "
        "run dbt's unit tests in PostgreSQL too",
    )


LONGEST = ("test_dbt", "test_meltano", "test_demo", "test_destinations")
"""Modules that take minutes, mostly in one test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with one of the longest modules.

    With `--dist worksteal` each worker is first given its share of the tests, in their order.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    starts = {name: [item for item in items if item.path.stem == name] for name in LONGEST}
    others = [item for item in items if item.path.stem not in LONGEST]
    ordered: list[pytest.Item] = []
    for number, name in enumerate(LONGEST):
        share = (len(items) - len(ordered)) // max(workers - number, 1) - len(starts[name])
        ordered += [*starts[name], *others[:share]]
        others = others[share:]
    items[:] = [*ordered, *others]


def pytest_collection_finish() -> None:
    """Keep the garbage collector off imported modules: it took a quarter of a short run."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `-n auto` starts: some tests wait, but each worker takes seconds."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="module")
def org() -> Organisation:
    """Return a small organisation in which nothing happens by itself."""
    return Organisation(users=12, years=0.06, live=False)


@pytest.fixture
def box(org: Organisation) -> Iterator[Sandbox]:
    """Yield a sandbox of it that listens."""
    with Sandbox(org) as opened:
        yield opened


@pytest.fixture(scope="module")
def long_org() -> Organisation:
    """Return an organisation with more people and a longer past: 10 weeks."""
    return Organisation(users=20, years=0.2, live=False)


@pytest.fixture
def long_box(long_org: Organisation) -> Iterator[Sandbox]:
    """Yield a sandbox of it that listens."""
    with Sandbox(long_org) as opened:
        yield opened


@pytest.fixture(scope="module")
def afternoon() -> Iterator[None]:
    """Let it be the same afternoon in all tests of a module, its organisation included."""
    with time_machine.travel(AFTERNOON):
        yield
