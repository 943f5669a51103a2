"""Connections that can be cut off: each response by its deadline, all when a run ends."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
import weakref
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Sockets:
    """The sockets of all connections, to be shut down at once."""

    def __init__(self) -> None:
        """Start without any."""
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._shut = False

    def add(self, opened: socket.socket | None) -> None:
        """Add a socket; if all were shut down, shut it down too."""
        if opened is not None:
            with self._lock:
                # Behind a proxy that speaks https, it is wrapped in an object of urllib3.
                self._open.add(getattr(opened, "socket", opened))
                shut = self._shut
            if shut:
                self.shut_down()

    def shut_down(self) -> None:
        """Shut all sockets down, so that no thread waits for an answer any longer."""
        with self._lock:
            self._shut = True
            for opened in list(self._open):
                # Not `opened.shutdown`: that of TLS first takes the encryption away, and what
                # another thread sends in that moment, the key too, would go out in plain text.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(opened, socket.SHUT_RDWR)


class _Deadline(io.RawIOBase):
    """Reads a response from a socket whose time-out bounds all reads together.

    The time-out of a socket alone starts anew with each byte that comes.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._socket = sock
        self._timeout = sock.gettimeout()
        self._ends_at = time.monotonic() + (self._timeout or 0.0)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Buffer) -> int | None:
        if self._timeout is not None:
            left = self._ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            # The connection may serve another request.
            with contextlib.suppress(OSError):
                self._socket.settimeout(self._timeout)
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that ends by the time-out of its connection, headers included."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        # Replaces the buffered reader, through which all comes, by one with a deadline.
        self.fp = io.BufferedReader(_Deadline(self.fp.detach(), sock))

    def _read_status(self) -> tuple[str, int, str]:
        """Return the status line, with 100 in the place of 102 to 199: the answer follows.

        `http.client` skips 100 alone, and would take what follows others for the next answer.
        """
        version, status, reason = super()._read_status()  # type: ignore[misc]
        if HTTPStatus.SWITCHING_PROTOCOLS < status < HTTPStatus.OK:
            status = HTTPStatus.CONTINUE
        return version, status, reason


class Session(requests.Session):
    """A session that does not look where a redirect leads, as none is followed.

    requests would read the whole body, and fail where `Location` is malformed.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: there is no target."""


class Adapter(HTTPAdapter):
    """Makes connections whose responses have a deadline, and tells `Sockets` of each."""

    def __init__(self, sockets: Sockets, connections: int) -> None:
        """Prepare; no connection is made yet.

        Args:
            sockets: Where to add the socket of each connection.
            connections: How many connections to keep open.
        """
        self._sockets = sockets
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let the pools make connections of our own classes."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes()

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Do the same for connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pool_classes()
        return manager

    def _pool_classes(self) -> dict[str, type[urllib3.HTTPConnectionPool]]:
        sockets = self._sockets

        class Plain(HTTPConnection):
            response_class = _Response

            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class Secure(Plain, HTTPSConnection):
            pass

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}
