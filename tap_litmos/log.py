"""The log as a person reads it, unless they ask for the SDK's.

The SDK sets logging up: a console handler, then the file in `SINGER_SDK_LOG_CONFIG`, with the
level in `TAP_LITMOS_LOGLEVEL` or `LOGLEVEL`. Meltano always passes such a file.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import singer_sdk
from singer_sdk.logging import ConsoleFormatter
from singer_sdk.metrics import METRICS_LOGGER_NAME
from typing_extensions import override

_SDK = f"{Path(singer_sdk.__file__).parent}{os.sep}"


class Plain(logging.Formatter):
    """Formats lines as `2026-01-31 06:00:00 WARNING: text`, and those at INFO without level."""

    def __init__(self) -> None:
        """Make the formatter."""
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.levelno != logging.INFO:
            record.message = f"{record.levelname}: {record.message}"
        return super().formatMessage(record)


class DropSdkChatter(logging.Filter):
    """Drops what the SDK says of itself: metrics, deselected streams, and the like."""

    def __init__(self, *, metrics: bool) -> None:
        """Take whether metrics are to be kept."""
        super().__init__()
        self._metrics = metrics

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.INFO or not record.pathname.startswith(_SDK):
            return True
        return self._metrics and record.name == METRICS_LOGGER_NAME


def simplify() -> None:
    """Keep to what the tap says, in short lines.

    Whoever sets a log level gets the SDK's log as it is. A logging configuration that names
    the logger `singer_sdk.metrics` gets the metrics.
    """
    # It logs malformed headers with a traceback, and reads on.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
    root = logging.getLogger()
    level_is_set = os.environ.get("TAP_LITMOS_LOGLEVEL") or os.environ.get("LOGLEVEL")
    if level_is_set or root.level < logging.INFO:
        return
    # The SDK gives this logger its level later, when the tap is made.
    configured = logging.getLogger(METRICS_LOGGER_NAME).level != logging.NOTSET
    for handler in root.handlers:
        handler.addFilter(DropSdkChatter(metrics=configured))
        if isinstance(handler.formatter, ConsoleFormatter):
            handler.setFormatter(Plain())
