"""Singer messages on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter, serialize_jsonl
from singer_sdk.singerlib import RecordMessage, StateMessage
from typing_extensions import override

from tap_litmos.errors import RunFailedError

if TYPE_CHECKING:
    from singer_sdk.singerlib.encoding.simple import Message

_BUFFER = 1 << 16
"""Bytes of records that are written together."""


class Writer(MsgSpecWriter):
    """Buffers RECORD messages; any other message, or a full buffer, flushes them."""

    def __init__(self) -> None:
        """Make a writer."""
        super().__init__()
        self._waiting = bytearray()

    @override
    def serialize_message(self, message: Message) -> bytearray:
        if isinstance(message, StateMessage):  # its `to_dict` copies all bookmarks deeply
            return serialize_jsonl({"type": "STATE", "value": message.value})
        return super().serialize_message(message)

    @override
    def write_message(self, message: Message) -> None:
        self._waiting += self.format_message(message)
        if not isinstance(message, RecordMessage) or len(self._waiting) >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            RunFailedError: If stdout does not take it.
        """
        waiting, self._waiting = self._waiting, bytearray()
        try:
            sys.stdout.buffer.write(waiting)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise RunFailedError(
                "The target closed the pipe (see its log). The next sync resumes from the last "
                "state that the target saved"
            ) from None
        except (OSError, ValueError) as error:
            raise RunFailedError(f"Cannot write to stdout: {error}") from None
