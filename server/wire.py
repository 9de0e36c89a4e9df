"""HTTP on the wire: uvicorn's protocol, with an end to what a request's head may take, and problems instead of plain text.

The parser keeps the head of a request in memory until it is whole, without a limit of its own: a caller who never ends
the head could fill the memory of a worker. What arrives whole is measured exactly by the envelope; here is the end of
what does not. These refusals come before there is a request, so both languages stand in them and nothing chooses.
"""

from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server import ids, problems
from server.envelope import LARGEST_HEADERS, LONGEST_URL, headers_too_large
from server.problems import Problem

LARGEST_HEAD = 2 * (LARGEST_HEADERS + LONGEST_URL)
"""Bytes that may arrive before the head of a request is whole. Twice what is allowed, so that whoever is a little over
it still gets the envelope's answer, in their language and readable to a browser."""


class _Unread(Exception):
    """Stops the parser at a request to change the protocol that has content.

    The parser skips that content, so it would be lost, and what comes of it later be read as the next request: behind
    a proxy that shares its connections, somebody else's.
    """


class Wire(HttpToolsProtocol):
    """One connection."""

    _apart = 0  # Bytes since the request began, or since content last came: head, trailers, framing.
    _in_request = False
    _moved = False

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
        self._apart, self._in_request = 0, True

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
        self.headers = []  # For trailers, which are never taken for headers (RFC 9110 section 6.5.1).

    def on_body(self, body: bytes) -> None:
        """Count anew: content has a limit of its own."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop counting."""
        self._in_request = False
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

    def _refuse(self, problem: Problem) -> None:
        self._in_request = False
        if self.transport.is_closing():
            return
        under_way = (
            getattr(self.cycle, "response_complete", True) is False
        )  # There is no cycle before a request.
        if not under_way:
            self.transport.write(written(problem))
        self.transport.close()


def _says_content(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")


def written(problem: Problem) -> bytes:
    """Return the whole answer to what is no request yet, ready to send; the connection ends with it."""
    request_id = str(ids.new_id())
    body = orjson.dumps({**problem.body(), "request_id": request_id})
    status = HTTPStatus(problem.kind.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\ncontent-language: zh\r\n"
        "cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
        f"x-request-id: {request_id}\r\nconnection: close\r\n"
        + "".join(f"{name.lower()}: {value}\r\n" for name, value in problem.headers.items())
        + "\r\n"
    )
    return head.encode("ascii") + body
