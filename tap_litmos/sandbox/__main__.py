"""The command `tap-litmos-sandbox`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from threading import Event
from typing import TYPE_CHECKING

from . import API_KEY, Organisation, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap-litmos-sandbox",
        description="Serves a simulated Litmos organisation on this computer.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    many = 1_000_000
    add(
        "--port",
        type=_within(int, 0, 65535),
        default=8321,
        help="port on 127.0.0.1, 0: any free one (default: %(default)s)",
    )
    add(
        "--users",
        type=_within(int, 1, many),
        default=500,
        help="people in the organisation (default: %(default)s)",
    )
    add(
        "--years",
        type=_within(float, 0.1, 20),
        default=1,
        help="how far its past reaches back (default: %(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=1,
        help="another number makes another organisation (default: %(default)s)",
    )
    add(
        "--requests-per-minute",
        type=_within(int, 1, many),
        default=100,
        help="more are answered with 503 (default: %(default)s)",
    )
    add(
        "--latency",
        type=_within(float, 0, 3600),
        default=0.0,
        help="seconds before each answer (default: %(default)s)",
    )
    add(
        "--faults",
        metavar="RATE",
        type=_within(float, 0, 1),
        default=0.0,
        help="share of requests that fail, from 0 to 1 (default: %(default)s)",
    )
    add(
        "--moving",
        metavar="N",
        type=_within(int, 0, 1000),
        default=0,
        help="rows that are updated while each further page is read (default: %(default)s)",
    )
    add(
        "--refuse",
        metavar="PATH=STATUS",
        type=_refusal,
        action="append",
        default=[],
        help="always refuse a path, such as /org/teams=403; may be repeated",
    )
    add("--api-key", default=API_KEY, help="the key to demand (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return the exit code."""
    options = _parser().parse_args(arguments)
    done = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    box = Sandbox(
        Organisation(users=options.users, years=options.years, seed=options.seed),
        port=options.port,
        api_key=options.api_key,
        requests_per_minute=options.requests_per_minute,
        latency=options.latency,
        faults=options.faults,
        moving=options.moving,
        refuse=dict(options.refuse),
    )
    try:
        box.open()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        print(f"cannot listen on port {options.port}: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    try:
        print(json.dumps(box.config(), indent=2), flush=True)  # noqa: T201
        done.wait()
    finally:
        box.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
