"""The command `tap-litmos`, which `python -m tap_litmos` is too."""

from __future__ import annotations

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
    status = 1
    try:
        tap.cli(arguments)
    except ConfigValidationError as error:
        for text in error.errors:
            logger.critical("%s", text)
    except RunFailedError as error:
        logger.critical("%s", error)
    except SystemExit as stop:
        if not isinstance(stop.code, int) or stop.code <= 128:  # noqa: PLR2004 - no signal
            raise
        logger.warning("Interrupted. The next sync resumes from the last saved state")
        status = stop.code
    except Exception as error:
        is_debug = logger.isEnabledFor(logging.DEBUG)
        logger.critical("%s: %s", type(error).__name__, error, exc_info=is_debug)
    if arguments is None:
        # Python would flush stdout, which may wait for ever, and tear down SQLite under readers.
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    main()
