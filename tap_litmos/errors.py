"""What can go wrong, and what each error ends.

```
Exception
├── TransientError            ends one try: the request is sent again
│   ├── NoAnswerError         … since no HTTP answer came, not even a refusal
│   └── BadBodyError          … since the body is not the page that was asked for
├── HostileBodyError          ends a request, and so the stream: no further try would help
├── RowsNotProvedError        ends a window: the stream fails, and names the window
├── StreamFailedError         ends a stream: the others are synced, the exit status is 1
└── TransportClosedError      ends a thread: the run is over, nobody waits for the page
BaseException
├── RunFailedError            ends the run: the exit status is 1
└── SystemExit
    └── StoppedError          ends the run: a signal came, the exit status is 128 + its number
```

The messages of `StreamFailedError` and `RunFailedError` are for the user: one line that says
what happened, where, and what to do.
"""

from __future__ import annotations


class TransientError(Exception):
    """A failure that may pass.

    Attributes:
        status: The HTTP status, or 0 where none came.
        retry_after: Seconds that the server asks to wait, or None.
    """

    def __init__(self, what: str, status: int = 0, retry_after: float | None = None) -> None:
        """Take what happened, in a few words."""
        super().__init__(what)
        self.status = status
        self.retry_after = retry_after


class NoAnswerError(TransientError):
    """A request to which no HTTP answer came.

    Attributes:
        before_sending: Whether it failed before anything was sent: the name was not found, the
            connection refused, TLS not accepted.
    """

    def __init__(self, what: str, *, before_sending: bool) -> None:
        """Take what happened, in a few words."""
        super().__init__(what)
        self.before_sending = before_sending


class BadBodyError(TransientError):
    """A body that is not the page which was asked for; another try may bring it."""


class HostileBodyError(Exception):
    """A body that no try can make acceptable."""


class RowsNotProvedError(Exception):
    """Not every row of a window came, or it cannot be told whether it did."""


class StreamFailedError(Exception):
    """A stream cannot be synced; its bookmark stays where it is.

    Attributes:
        status: The HTTP status of the refusal, or 0 where none came.
    """

    def __init__(self, what: str, status: int = 0) -> None:
        """Take what to tell the user."""
        super().__init__(what)
        self.status = status


class RunFailedError(BaseException):
    """Nothing can be synced.

    It is not an `Exception`: the SDK would log that before it reached the command line.
    """


class StoppedError(SystemExit):
    """A signal ended the run.

    Attributes:
        message: What to tell the user.
    """

    def __init__(self, number: int, hint: str) -> None:
        """Take the signal's number, and what to say of the next run."""
        super().__init__(128 + number)
        self.message = f"Interrupted{hint}"


class TransportClosedError(Exception):
    """The transport was closed meanwhile."""
