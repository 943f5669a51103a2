"""Errors that help: each ends the run with one line that says what happened and what to do."""

from __future__ import annotations

import ast
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from errors import ERRORS, Case
from strange import StrangeSandbox as Sandbox
from support import Run, command_with_minute, config_for, run_process, run_tap

import tap_litmos
from tap_litmos import errors, hashes, transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_litmos.sandbox import Organisation

RAISED = (
    errors.RunFailedError,
    errors.StreamFailedError,
    errors.BadBodyError,
    errors.HostileBodyError,
)
Place = tuple[str, int]


def arguments(case: Case, box: Sandbox) -> dict[str, Any]:
    config: Any = case.config
    if not isinstance(config, str):
        config = {
            name: value
            for name, value in config_for(box, **config).items()
            if name not in case.without
        }
    return {"config": config, "state": case.state, "catalog": case.catalog}


@pytest.fixture(scope="module")
def raised() -> set[Place]:
    """Where in the source errors were made, in all tests of this module so far."""
    return set()


@pytest.fixture
def watched(raised: set[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """Take note of where errors are made."""
    for each in RAISED:

        def note(self: BaseException, *args: Any, own: Any = each.__init__) -> None:
            maker = sys._getframe(1)
            raised.add((Path(maker.f_code.co_filename).name, maker.f_lineno))
            own(self, *args)

        monkeypatch.setattr(each, "__init__", note)


def check(case: Case, run: Run) -> None:
    assert run.status == 1
    assert "Traceback" not in run.log
    [line] = run.lines("CRITICAL")
    assert line == run.log.rstrip().splitlines()[-1]
    assert case.what in line
    assert case.next in line
    assert len(line) < 600


def provoke(case: Case, org: Organisation, monkeypatch: pytest.MonkeyPatch) -> Run:
    with monkeypatch.context() as patch, Sandbox(org, on_request=case.answer) as box:
        if case.memory is not None:
            patch.setattr(transport, "MEMORY", case.memory)
        if case.no_room:
            patch.setattr(tempfile, "TemporaryFile", full_disk)
            patch.setattr(hashes, "IN_MEMORY", 1)
        return run_tap(
            *case.arguments,
            **arguments(case, box),
            messages=case.messages,
            stdout_error=case.stdout_error,
            minute=case.minute,
        )


def full_disk(**_: object) -> NoReturn:
    raise OSError("No space left on device")


@pytest.mark.usefixtures("watched")
def test_each_error_is_one_line_and_every_error_of_the_source_is_listed(
    org: Organisation,
    raised: set[Place],
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    for name, case in ERRORS.items():
        with subtests.test(name):
            check(case, provoke(case, org, monkeypatch))
    missing = [
        f"{place.name}:{call.lineno}"
        for place, call in errors_in_source()
        if not any(
            (place.name, line) in raised
            for line in range(call.lineno, (call.end_lineno or call.lineno) + 1)
        )
    ]
    assert not missing


def errors_in_source() -> Iterator[tuple[Path, ast.Call]]:
    """Yield each place in the tap's source that makes an error for the user."""
    names = {each.__name__ for each in RAISED}
    for path in Path(tap_litmos.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                yield path, node


@pytest.mark.parametrize(
    "name",
    ["a setting is missing", "a state that is none", "401", "500 for five minutes", "no XML"],
)
def test_a_process_ends_with_the_same_line(name: str, org: Organisation) -> None:
    case = ERRORS[name]
    with Sandbox(org, on_request=case.answer) as box:
        run = run_process(
            *case.arguments,
            **arguments(case, box),
            command=command_with_minute(case.minute),
        )
    check(case, run)
