"""The command `tap-litmos-sandbox`."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from math import inf
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, get_args

from . import API_KEY, Organisation, Sandbox
from .server import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_UNLIMITED = 1_000_000


def _number(
    kind: type[float], least: float = 0, most: float = _UNLIMITED
) -> Callable[[str], float]:
    """Return a parser of numbers within bounds."""

    def parse(text: str) -> float:
        if not least <= (number := kind(text)) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:,} and {most:,}")
        return number

    parse.__name__ = "number"  # for argparse's message about other text
    return parse


def _refusal(text: str) -> tuple[str, int]:
    """Parse PATH=STATUS."""
    match = re.fullmatch(r"(/.*)=([45]\d\d)", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not like /org/teams=403")
    return match[1], int(match[2])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap-litmos-sandbox",
        description="Serves a simulated Litmos organisation on this computer.",
        allow_abbrev=False,
    )
    add = parser.add_argument

    def add_number(option: str, parse: Callable[[str], float], text: str, **more: Any) -> None:
        add(option, metavar="N", type=parse, help=text, **more)

    port = "port on 127.0.0.1; 0: any free one (%(default)s)"
    add_number("--port", _number(int, most=65535), port, default=8321)
    add("--config", type=Path, help="write the config to this file instead of printing it")
    add("--api-key", default=API_KEY, help="the valid API key (%(default)s)")
    hired = "people who join the organisation (%(default)s)"
    add_number("--users", _number(int, 1), hired, default=500)
    add_number("--years", _number(float, 0.1, 20), "years of history (%(default)s)", default=1)
    other = "each number makes another organisation (%(default)s)"
    add_number("--seed", _number(int, -inf, inf), other, default=1)
    rate = "answer 503 to requests above this rate, as Litmos does with 100 (no limit)"
    add_number("--requests-per-minute", _number(int, 1), rate)
    add_number("--latency", _number(float), "seconds before each answer", default=0.0)
    faults = "share of requests that fail, such as 0.2; a page fails three times at most"
    add_number("--faults", _number(float, 0, 1), faults, default=0.0)
    moving = "how many rows of earlier pages change before each further page"
    add_number("--moving", _number(int), moving, default=0)
    add_number("--page-cap", _number(int, 1), "rows in a page at most, whatever its limit")
    add("--order", choices=get_args(Order), default="id", help="order of the rows (id)")
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
