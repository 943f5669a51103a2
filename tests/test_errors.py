"""Errors that help: each ends the run with one line that says what happened and what to do."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from errors import ERRORS, PROVOKED_ELSEWHERE, Case
from strange import StrangeSandbox as Sandbox
from support import command_with_minute, config_for, run_process, run_tap

import tap_litmos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Run

    from tap_litmos.sandbox import Organisation

BY_THE_SDK = "Config validation failed"
"""What the SDK logs behind the settings that are not valid."""


def check(case: Case, run: Run) -> None:
    assert run.status == 1
    assert "Traceback" not in run.log
    line, *last = run.errors[-2:] if BY_THE_SDK in run.log else run.lines("CRITICAL")
    assert [line, *last][-1] == run.log.rstrip().splitlines()[-1]
    assert [BY_THE_SDK in text for text in last] == [True] * len(last)
    assert case.what in line
    assert case.next in line
    assert len(line) < 600


def provoke(case: Case, org: Organisation, *, in_process: bool = False) -> Run:
    with Sandbox(org, on_request=case.hook) as box:
        config = case.config
        if not isinstance(config, str):
            config = {n: v for n, v in config_for(box, **config).items() if v is not None}
        files: dict[str, Any] = {"config": config, "state": case.state, "catalog": case.catalog}
        if in_process:
            return run_process(*case.arguments, **files, command=command_with_minute(0.01))
        return run_tap(
            *case.arguments,
            **files,
            env=case.env,
            messages=case.messages,
            stdout_error=case.stdout_error,
            minute=0.01,
        )


def test_each_error_is_one_line_and_every_error_of_the_source_is_listed(
    org: Organisation, subtests: pytest.Subtests
) -> None:
    logs = []
    for name, case in ERRORS.items():
        with subtests.test(name):
            run = provoke(case, org)
            logs.append(run.log)
            check(case, run)
    said = "".join([*logs, *PROVOKED_ELSEWHERE])
    assert not [text for text in texts_of_errors() if text not in said]


def texts_of_errors() -> Iterator[str]:
    """Yield the longest text without a variable of each message that the tap's source raises."""
    for path in Path(tap_litmos.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error"):
                parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                yield max((part for part in parts if isinstance(part, str)), key=len, default="")


@pytest.mark.parametrize("name", ["a setting is missing", "401", "500 for five minutes"])
def test_a_process_ends_with_the_same_line(name: str, org: Organisation) -> None:
    check(ERRORS[name], provoke(ERRORS[name], org, in_process=True))
