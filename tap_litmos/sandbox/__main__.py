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
from typing import TYPE_CHECKING

from . import Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_UNLIMITED = 1_000_000


# Option, type, least, most, default, help
_NUMBERS: tuple[tuple[str, type[float], float, float, float | None, str], ...] = (
    ("port", int, 0, 65535, 8321, "port on 127.0.0.1; 0: any free one"),
    ("users", int, 1, _UNLIMITED, 500, "people who join the organisation"),
    ("years", float, 0.1, 20, 1, "years of history"),
    ("seed", int, 0, _UNLIMITED, 1, "each number makes another organisation"),
    ("requests-per-minute", int, 1, _UNLIMITED, None, "answer 503 above this rate"),
    ("latency", float, 0, _UNLIMITED, 0.0, "seconds before each answer"),
    ("faults", float, 0, 1, 0.0, "share of requests that fail"),
)


def _refusal(text: str) -> tuple[str, int]:
    """Parse PATH=STATUS."""
    match = re.fullmatch(r"(/.*)=([45]\d\d)", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not like /org/teams=403")
    return match[1], int(match[2])


def _number(kind: type[float], least: float, most: float) -> Callable[[str], float]:
    """Return a parser of numbers within bounds."""

    def number(text: str) -> float:
        if not least <= (value := kind(text)) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:,} and {most:,}")
        return value

    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap-litmos-sandbox",
        description="Serves a simulated Litmos organisation on this computer.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", type=Path, help="write the config to this file instead of printing it")
    for name, kind, least, most, default, text in _NUMBERS:
        said = f"{text} (default: {'no limit' if default is None else default})"
        parse = _number(kind, least, most)
        add(f"--{name}", type=parse, default=default, metavar="N", help=said)
    refused = "always refuse a path, such as /org/teams=403; may be repeated"
    add("--refuse", metavar="PATH=STATUS", type=_refusal, action="append", help=refused)
    return parser


def _announce(box: Sandbox, file: Path | None) -> None:
    """Print the config, or write it to a file, which appears only once it is complete."""
    config = box.config()
    if box.requests_per_minute is None:
        config["requests_per_minute"] = _UNLIMITED
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
    options = vars(_parser().parse_args(arguments))
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
