"""The command `tap-litmos-sandbox`."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from . import ALL_FAULT_KINDS, API_KEY, Habits, Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MANY = 1_000_000
# For tests only; or offered in a form of their own.
_NOT_OFFERED = {"minute", "retry_after", "timeout_hold", "inclusive", "overfull", "refuse"}
_BOUNDS = {"faults": (0, 1), "keyless": (0, 1), "zone": (-14, 14), "clock_skew": (-1e9, 1e9)}
_AT_LEAST_ONE = {"requests_per_minute", "page_cap"}


def _within(kind: type[int | float], least: float, most: float) -> Callable[[str], float]:
    """Return a parser for a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
        return value

    return parse


def _refusal(text: str) -> tuple[str, int]:
    """Parse PATH=STATUS."""
    path, _, status = text.partition("=")
    if not path.startswith("/") or not status.isdecimal() or not 400 <= int(status) <= 599:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is not like /org/teams=403")
    return path, int(status)


def _option(name: str, kind: Any) -> dict[str, Any]:
    """Return how the command offers a habit of a type."""
    if kind is bool:
        return {"action": "store_true"}
    if name == "fault_kinds":
        return {"nargs": "+", "choices": ALL_FAULT_KINDS, "metavar": "KIND"}
    if name == "charset":
        return {"choices": ("utf-8", "windows-1252", "iso-8859-1")}
    if str in map(type, get_args(kind)):
        return {"choices": get_args(kind)}
    least, most = _BOUNDS.get(name, (name in _AT_LEAST_ONE, _MANY))
    return {"type": _within(float if kind is float else int, least, most), "metavar": "N"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap-litmos-sandbox",
        description="Serves a simulated Litmos organisation on this computer.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    port = _within(int, 0, 65535)
    add("--port", type=port, default=8321, help="port on 127.0.0.1, 0: any free one (8321)")
    add("--config", type=Path, help="write the config here instead of printing it")
    people = _within(int, 1, _MANY)
    add("--users", type=people, default=500, help="people in the organisation (500)")
    years = _within(float, 0.1, 20)
    add("--years", type=years, default=1, help="how far its past reaches back (1)")
    add("--seed", type=int, default=1, help="another one makes another organisation (1)")
    add("--api-key", default=API_KEY, help="the key to demand (default: %(default)s)")
    add(
        "--refuse",
        metavar="PATH=STATUS",
        type=_refusal,
        action="append",
        default=[],
        help="always refuse a path, such as /org/teams=403; may be repeated",
    )
    described = re.findall(
        r"^ +(\w+): ((?:.+\n)(?: {12}.+\n)*)", Habits.__doc__ or "", re.MULTILINE
    )
    habits = parser.add_argument_group("habits")
    types = get_type_hints(Habits)
    for name, text in described:
        if name not in _NOT_OFFERED:
            option = {"help": " ".join(text.split()), "default": getattr(Habits, name)}
            option |= _option(name, types[name])
            habits.add_argument(f"--{name.replace('_', '-')}", **option)
    return parser


def _announce(box: Sandbox, file: Path | None) -> None:
    """Print the config, or write it to a file, which is there as a whole or not at all.

    It is fast unless the sandbox limits the rate: then the tap keeps to its own.
    """
    config: dict[str, Any] = box.config()
    if box.requests_per_minute is None:
        config["requests_per_minute"] = _MANY
    text = json.dumps(config, indent=2)
    if file is None:
        print(text, flush=True)  # noqa: T201
    else:
        new = file.with_name(f".{file.name}.{os.getpid()}")
        new.write_text(f"{text}\n", "utf-8")
        new.replace(file)
    print(f"The sandbox listens on {box.url}", file=sys.stderr, flush=True)  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return the exit code."""
    options = vars(_parser().parse_args(arguments))
    done = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    org = Organisation(**{name: options.pop(name) for name in ("users", "years", "seed")})
    file, refuse = options.pop("config"), dict(options.pop("refuse"))
    try:
        with Sandbox(org, refuse=refuse, **options) as box:
            _announce(box, file)
            done.wait()
    except OSError as error:
        where = error.filename or f"port {options['port']}"
        print(f"cannot use {where}: {os.strerror(error.errno or 0)}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
