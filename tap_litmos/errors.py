"""What can go wrong, and what each error ends.

```
Exception
├── RetriableAPIError (SDK)   ends a try: the request is sent again
│   └── BadBodyError          … because the body is not the requested page
└── FatalAPIError (SDK)       ends a stream: the others go on, the exit status is 1
    └── HostileBodyError      … because the body is dangerous
BaseException
└── RunFailedError            ends the run: the exit status is 1
```

Every message is one line for the user: what happened, where, and what to do.
"""

from __future__ import annotations

import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from urllib3.exceptions import HTTPError


class BadBodyError(RetriableAPIError):
    """The body is not the requested page; another try may return it."""


class HostileBodyError(FatalAPIError):
    """The body is dangerous; another try would not help."""


class RunFailedError(BaseException):
    """Nothing can be synced.

    It is not an `Exception`, so neither the SDK nor the isolation of streams catches it.
    """


def in_one_line(error: BaseException) -> str:
    """Return what went wrong in one line; for a broken connection, its first cause."""
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):  # amid a body
        return "no complete response within the time limit (request_timeout)"
    is_connection = isinstance(error, requests.RequestException)
    place = "proxy" if isinstance(error, requests.exceptions.ProxyError) else "connection"
    while isinstance(error, requests.RequestException | HTTPError) and (cause := _cause(error)):
        error = cause
    text = " ".join(str(error).split())[:300]
    return f"the {place} failed ({type(error).__name__}: {text})" if is_connection else text


def _cause(error: BaseException) -> BaseException | None:
    # `backoff` gives the last error a context that says nothing, so its arguments come first.
    inner = next((arg for arg in error.args if isinstance(arg, Exception)), None)
    return inner or error.__cause__ or error.__context__
