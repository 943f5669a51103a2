"""An HTTP server on this computer, whose answers may break off."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .faults import Answer

HOST = "127.0.0.1"
_PATIENCE = 2.0  # seconds for threads to end
_LINGER = "hh" if os.name == "nt" else "ii"


class Server(ThreadingHTTPServer):
    """A server that knows its connections, so that none stays behind."""

    request_queue_size = 128

    def __init__(self, port: int, respond: Callable[[Handler], None]) -> None:
        """Listen.

        Args:
            port: The port; 0 picks a free one.
            respond: What answers a request, in a thread of the connection's own.

        Raises:
            OSError: If the port is in use.
        """
        self.respond = respond
        self.connections: set[socket.socket] = set()
        super().__init__((HOST, port), Handler)
        self._thread = Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def server_bind(self) -> None:
        """Bind the port, and ask no name server how this computer is called."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection, and handle it in a thread of its own."""
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and forget it."""
        super().shutdown_request(request)
        self.connections.discard(request)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close all connections, and wait a little for their threads to end."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        patience = time.monotonic() + _PATIENCE
        while self.connections and time.monotonic() < patience:
            time.sleep(0.002)


class Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection, which stays open between them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        """Answer until the client, or a fault, closes the connection."""
        with suppress(OSError):
            super().handle()

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Return what answers a request of any method."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._respond

    def _respond(self) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # whatever follows the headers is not read
        self.server.respond(self)

    def send(self, answer: Answer, now: datetime) -> None:
        """Send a whole answer."""
        body = b"" if self.command == "HEAD" else answer.body
        self.wfile.write(self._head(answer, now) + body)

    def send_slowly(
        self, kind: str, answer: Answer, now: datetime, trickle: float, stop: Event
    ) -> None:
        """Send an answer byte by byte, or its headers at once and only the body so.

        Args:
            kind: "slow-headers" or "slow-body".
            answer: The answer.
            now: What the service's clock shows.
            trickle: The seconds between two bytes.
            stop: Ends it before all is sent.
        """
        head = self._head(answer, now)
        at_once, slow = (b"", head) if kind == "slow-headers" else (head, b"")
        self.wfile.write(at_once)
        for byte in slow + answer.body:
            if stop.wait(trickle):
                break
            self.wfile.write(bytes([byte]))

    def break_off(self, kind: str, answer: Answer, now: datetime) -> None:
        """Send a part of an answer or nothing, and close the connection.

        Args:
            kind: "cut" and "cut-chunkless" send half of it, without its length the latter;
                "reset" closes the connection so that the client gets RST; others just close.
            answer: What would have been sent.
            now: What the service's clock shows.
        """
        self.close_connection = True
        if kind == "reset":
            # Closed for good at once, with nothing left to send: the client gets no FIN.
            linger = struct.pack(_LINGER, 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            socket.close(self.connection.detach())
            return
        if kind.startswith("cut"):
            head = self._head(answer, now, without="Content-Length" if kind != "cut" else "")
            self.wfile.write(head + answer.body[: len(answer.body) // 2])
        self.connection.shutdown(socket.SHUT_RDWR)

    def _head(self, answer: Answer, now: datetime, without: str = "") -> bytes:
        headers = answer.head(now)
        headers.pop(without, None)
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        first = f"HTTP/1.1 {answer.status} {answer.reason}\r\n"
        return "".join([first, *lines, "\r\n"]).encode("latin-1")

    def log_message(self, *_: object) -> None:
        """Say nothing."""
