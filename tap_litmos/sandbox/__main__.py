"""The command `tap-litmos-sandbox`."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import signal
import sys
from math import inf
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from . import ALL_FAULT_KINDS, API_KEY, Habits, Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

_MANY = 1_000_000
# For tests only; or offered in a form of their own.
_NOT_OFFERED = {"minute", "retry_after", "timeout_hold", "inclusive", "overfull", "refuse"}
# The least and the most of numbers, where they are not from 0 to `_MANY`.
_BOUNDS = {
    "port": (0, 65535),
    "years": (0.1, 20),
    "seed": (-inf, inf),
    "zone": (-14, 14),
    "clock_skew": (-1e9, 1e9),
    **dict.fromkeys(("users", "requests_per_minute", "page_cap"), (1, _MANY)),
    **dict.fromkeys(("faults", "keyless"), (0, 1)),
}


def _refusal(text: str) -> tuple[str, int]:
    """Parse PATH=STATUS."""
    match = re.fullmatch(r"(/.*)=([45]\d\d)", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not like /org/teams=403")
    return match[1], int(match[2])


def _option(name: str, kind: Any) -> dict[str, Any]:
    """Return how the command offers a habit of a type."""
    if kind is bool:
        return {"action": "store_true"}
    if name == "fault_kinds":
        return {"nargs": "+", "choices": ALL_FAULT_KINDS, "metavar": "KIND"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    return {"type": float if kind is float else int, "metavar": "N"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap-litmos-sandbox",
        description="Serves a simulated Litmos organisation on this computer.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=int, default=8321, help="port on 127.0.0.1, 0: any free one (8321)")
    add("--config", type=Path, help="write the config here instead of printing it")
    add("--users", type=int, default=500, help="people in the organisation (500)")
    add("--years", type=float, default=1, help="years of history (1)")
    add("--seed", type=int, default=1, help="each number gives another organisation (1)")
    add("--api-key", default=API_KEY, help="API key to require (%(default)s)")
    refused = "always refuse a path, such as /org/teams=403; may be repeated"
    add("--refuse", metavar="PATH=STATUS", type=_refusal, action="append", help=refused)
    # From Python 3.13 on, docstrings are not indented any more.
    document = inspect.cleandoc(Habits.__doc__ or "")
    described = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", document, re.MULTILINE)
    habits = parser.add_argument_group("habits")
    types = get_type_hints(Habits)
    for name, text in described:
        if name not in _NOT_OFFERED:
            option = {"help": " ".join(text.split()), "default": getattr(Habits, name)}
            option |= _option(name, types[name])
            habits.add_argument(f"--{name.replace('_', '-')}", **option)
    return parser


def _options(arguments: Sequence[str] | None) -> dict[str, Any]:
    """Return all options, whose numbers make sense."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    for name, value in options.items():
        least, most = _BOUNDS.get(name, (0, _MANY))
        if type(value) in {int, float} and not least <= value <= most:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"argument {option}: {value} is not between {least} and {most}")
    return options


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
        try:
            new.write_text(f"{text}\n", "utf-8")
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)  # it holds the key
    print(f"The sandbox listens on {box.url}", file=sys.stderr, flush=True)  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return the exit code."""
    options = _options(arguments)
    done = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    org = Organisation(**{name: options.pop(name) for name in ("users", "years", "seed")})
    file, refuse = options.pop("config"), dict(options.pop("refuse") or ())
    try:
        with Sandbox(org, refuse=refuse, **options) as box:
            _announce(box, file)
            done.wait()
    except OSError as error:
        where = error.filename2 or error.filename or f"port {options['port']}"
        print(f"cannot use {where}: {os.strerror(error.errno or 0)}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
