"""HTTP on the wire: uvicorn's protocol, with an end to what a request's head may take, and problems instead of plain text.

The parser keeps the head of a request in memory until it is whole, without a limit of its own: a caller who never ends
the head could fill the memory of a worker. What arrives whole is measured exactly by the envelope; here is the end of
what does not. These refusals come before there is a request, so both languages stand in them and nothing chooses.
"""

import asyncio
import contextlib
import socket
import struct
import time
from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server import deadlines, ids, problems, sandbox
from server.envelope import LARGEST_HEADERS, LONGEST_URL, Carried, headers_too_large
from server.problems import Problem
from server.settings import Settings

LARGEST_HEAD = 2 * (LARGEST_HEADERS + LONGEST_URL)
"""Bytes that may arrive before the head of a request is whole. Twice what is allowed, so that whoever is a little over
it still gets the envelope's answer, in their language and readable to a browser."""


CARRIED = "carried"
"""Under this name the application tells its server, when it starts, what its answers carry (lifespan state of ASGI)."""
_UNTOLD = Carried(Settings())


_LAST_DATA_RECV = 52
"""Where tcp_info of Linux says how many milliseconds ago data last came (tcpi_last_data_recv, linux/tcp.h)."""


class _Unread(Exception):
    """Stops the parser at a request to change the protocol that has content.

    The parser skips that content, so it would be lost, and what comes of it later be read as the next request: behind
    a proxy that shares its connections, somebody else's.
    """


class Wire(HttpToolsProtocol):
    """One connection."""

    _apart = 0  # Bytes since the request began, or since content last came: head, trailers, framing.
    _in_request = False
    _headed = False  # The head of the request that is being read is whole, so the application answers it.
    _moved = False
    _socket: socket.socket | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn's own.
        """Keep the socket of a TCP connection, which knows when data came."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
            self._socket = connection

    def data_received(self, data: bytes) -> None:
        """Take what arrived; give up on a head, or on trailers behind a body, that do not end."""
        self._moved = False
        super().data_received(data)
        if not self._in_request:
            return
        self._apart = 0 if self._moved else self._apart + len(data)
        if self._apart > LARGEST_HEAD:
            too_long = len(self.url) > LONGEST_URL
            self._refuse(Problem(problems.URL_TOO_LONG) if too_long else headers_too_large())

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._apart, self._in_request, self._headed = 0, True, False

    def on_headers_complete(self) -> None:
        """Go on with the content: the envelope measures a head that is whole.

        Raises _Unread for content that the parser would leave unread.
        """
        self._moved = True
        if self.parser.should_upgrade() and any(_says_content(*header) for header in self.headers):
            self._refuse(
                Problem(
                    problems.MALFORMED_REQUEST,
                    zh="带正文的请求不能同时要求更换协议（Upgrade）。",
                    en="A request with a body must not ask for another protocol (Upgrade).",
                )
            )
            raise _Unread
        super().on_headers_complete()
        self._headed = True
        self.headers = []  # For trailers, which are never taken for headers (RFC 9110 section 6.5.1).

    def on_body(self, body: bytes) -> None:
        """Count anew: content has a limit of its own."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop counting, and note since when the request has been waiting.

        In a rush it lies in the kernel until the loop has time for it, a second and more: to whoever sent it that is
        waiting too. One that is sent before the answer to the last (pipelining) waits for that, and is not measured.
        """
        self._in_request = self._headed = False
        if self._socket is not None and not self.pipeline:
            with contextlib.suppress(OSError):  # The connection is gone, or this is not Linux.
                told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV + 4)
                (ago_ms,) = struct.unpack_from("=I", told, _LAST_DATA_RECV)
                self.scope["state"][deadlines.ARRIVED] = time.monotonic() - ago_ms / 1000
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  Uvicorn's signature; its text is English only.
        """Answer what is no HTTP, and close."""
        self._refuse(
            Problem(
                problems.MALFORMED_REQUEST,
                zh="请求行或请求头不符合 HTTP/1.1。",
                en="The request line or a header field is not HTTP/1.1.",
            )
        )

    def written(self, problem: Problem) -> bytes:
        """Return the whole answer to what is no request yet, ready to send; the connection ends with it."""
        carried: Carried = self.app_state.get(CARRIED, _UNTOLD)
        request_id = str(ids.new_id())
        body = orjson.dumps({**problem.body(), "request_id": request_id})
        if carried.sandbox:
            body = sandbox.marked(body, problems.MEDIA_TYPE)
        status = HTTPStatus(problem.kind.status)
        headers = {
            "content-type": problems.MEDIA_TYPE,
            "content-length": str(len(body)),
            "content-language": "zh",
            "cache-control": "no-store",
            "x-request-id": request_id,
            "connection": "close",
            **{name.lower(): value for name, value in problem.headers.items()},
        }
        lines = [f"{name}: {value}".encode("ascii") for name, value in headers.items()]
        lines += [b"%s: %s" % both for both in (*carried.always, *carried.origins.get(self._origin(), ()))]
        first = f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")
        return b"\r\n".join([first, *lines, b"", body])

    def _origin(self) -> bytes:
        """Return the page that asks, as far as was read: never that of an earlier request on the same line."""
        if not self._in_request:
            return b""
        return next((value for name, value in self.scope["headers"] if name == b"origin"), b"")

    def _refuse(self, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        under_way = (
            getattr(self.cycle, "response_complete", True) is False
        )  # There is no cycle before a request.
        if not under_way and not self._headed:
            self.transport.write(self.written(problem))
        self._in_request = False
        self.transport.close()


def _says_content(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
