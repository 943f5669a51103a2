"""The command `tap-litmos`, which `python -m tap_litmos` is too."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING

from singer_sdk.exceptions import ConfigValidationError

from tap_litmos.errors import RunFailedError
from tap_litmos.tap import TapLitmos

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, tap: type[TapLitmos] = TapLitmos) -> None:
    """Run the SDK's command line; whatever ends it is logged in one line.

    Args:
        arguments: The arguments; by default those of the process.
        tap: The tap.
    """
    if sys.stdout is None:
        sys.exit("stdout is closed; pipe the tap into a target")
    logger: logging.Logger = tap.logger
    try:
        tap.cli(arguments)
    except ConfigValidationError as error:
        for text in error.errors:
            logger.critical("Invalid setting: %s", text)
    except RunFailedError as error:
        logger.critical("%s", error)
    except SystemExit as stop:
        if isinstance(stop.code, int) and stop.code > 128:  # noqa: PLR2004 - a signal
            logger.warning("Interrupted. The next sync resumes from the last saved state")
            _silence_stdout()
        raise
    except Exception as error:
        is_debug = logger.isEnabledFor(logging.DEBUG)
        logger.critical("%s: %s", type(error).__name__, error, exc_info=is_debug)
    _silence_stdout()
    sys.exit(1)


def _silence_stdout() -> None:
    """Let stdout lead nowhere, so that Python's flush at exit can neither fail nor wait."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
