"""What leaves the tap: Singer messages on stdout, until a signal comes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
from typing import TYPE_CHECKING, Self

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage
from typing_extensions import override

from tap_litmos.errors import RunFailedError, StoppedError

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.singerlib.encoding.simple import Message

_BUFFERED = 1 << 16
"""Bytes of records that wait to be written together."""

_PIPE_TAKES = 4096
"""Bytes that a pipe which is ready takes without blocking (POSIX: 512 at least; Linux and macOS
have a page or more)."""

_RESUMES = (
    ". The next sync resumes from the last state that the target saved, or starts anew if "
    "there is none"
)


class Writer(MsgSpecWriter):
    """Buffers RECORD messages; any other message, or a full buffer, flushes them.

    It writes to a pipe only what the pipe takes at once, so that SIGTERM and Ctrl-C take effect
    even while the target does not read.
    """

    def __init__(self, *, for_sync: bool = False) -> None:
        """Make a writer.

        Args:
            for_sync: Whether it writes a sync, so that errors say that the next one resumes.
        """
        super().__init__()
        self._hint = _RESUMES if for_sync else ""
        self._waiting = bytearray()
        self._is_writing = False
        self._stopped_by: int | None = None

    def __enter__(self) -> Self:
        """Begin to write."""
        # On a signal, Python writes a byte to `_signalled`: then `_wakeup` is readable.
        self._wakeup, self._signalled = os.pipe()
        for end in (self._wakeup, self._signalled):
            os.set_blocking(end, False)
        self._before = signal.set_wakeup_fd(self._signalled, warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the rest; after a signal, no more than stdout takes without waiting."""
        try:
            if kind is None or issubclass(kind, RunFailedError):
                self.flush()
            else:
                self._flush_what_fits()
        finally:
            signal.set_wakeup_fd(self._before)
            os.close(self._wakeup)
            os.close(self._signalled)

    def _flush_what_fits(self) -> None:
        """Write what stdout takes without waiting.

        A record that ends in its middle may make the target fail before it saves its state.
        """
        self._stopped_by = None  # so that `_write_now` does not raise again
        with contextlib.suppress(OSError, ValueError):
            output = sys.stdout.fileno()
            while self._waiting and select.select([], [output], [], 0)[1]:
                self._write_now(output, _PIPE_TAKES)

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End the run; a handler of signals.

        No STATE is written here: each window's was, when it was finished.
        """
        # If what is left to do hangs, on a stderr that nobody reads or a disk that is gone, a
        # second signal ends the process at once: without a handler it does not wait for Python.
        signal.signal(number, signal.SIG_DFL)
        self._stopped_by = number
        if not self._is_writing:
            raise StoppedError(number, self._hint)

    @override
    def write_message(self, message: Message) -> None:
        try:
            self._waiting += self.format_message(message)
        except ValueError as error:
            raise RunFailedError(
                f"A message cannot be written as JSON: {error}. Correct stream_maps"
            ) from None
        if not isinstance(message, RecordMessage) or len(self._waiting) >= _BUFFERED:
            self.flush()

    def write_text(self, text: str) -> None:
        """Write what is no message; the errors are those of `flush`."""
        self._waiting += text.encode()
        self.flush()

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            RunFailedError: If stdout does not take it.
        """
        try:
            while self._waiting:
                self._write()
        except BrokenPipeError:
            raise RunFailedError(
                f"The target closed the pipe (see its log){self._hint}"
            ) from None
        except (OSError, ValueError) as error:
            raise RunFailedError(f"Cannot write to stdout: {error}{self._hint}") from None

    def _write(self) -> None:
        """Write as much as stdout takes."""
        try:
            output = sys.stdout.fileno()
        except OSError:  # not a file of the system
            del self._waiting[: sys.stdout.buffer.write(self._waiting)]
            return
        if not stat.S_ISFIFO(os.fstat(output).st_mode):
            self._write_now(output, len(self._waiting))
            return
        # A signal that comes right before a blocking write would wait for the target. One that
        # comes right before `select` ends it at once, as `_wakeup` is readable by then.
        readable, _, _ = select.select([self._wakeup], [output], [])
        if readable:
            os.read(self._wakeup, 4096)
        else:
            self._write_now(output, _PIPE_TAKES)

    def _write_now(self, output: int, most: int) -> None:
        """Write some bytes and forget them."""
        # A signal between write and delete would write them twice.
        self._is_writing = True
        try:
            del self._waiting[: os.write(output, self._waiting[:most])]
        finally:
            self._is_writing = False
        if self._stopped_by is not None:
            raise StoppedError(self._stopped_by, self._hint)
