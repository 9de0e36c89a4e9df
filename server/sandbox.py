"""The mark on everything that leaves a sandbox: nothing of it may be taken for a real record when it travels alone.

Besides the header ``Sandbox: true`` (the envelope's) the content is marked: a JSON object ends with ``"sandbox": true``,
a text begins with a line, a page and a picture show a banner. It is done to the finished answer and by its type
alone, so no route can forget it, and the same stored row answers with the same bytes in every resend.

Only a sandbox has this layer; in a live installation it costs nothing because it is not there.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BANNER = "演练环境，数据均为虚构 · SANDBOX, nothing here is real"
"""What texts, pages and pictures say."""
UNMARKED = ("/openapi.json", "/docs", "/problems", "/metrics", "/livez", "/readyz", "/v1/time")
"""Documents and signs of life: no data of anybody. The time says itself whether this is a sandbox."""
_MEMBER = b'"sandbox":true}'
_PICTURE = (
    '<text x="50%" y="50%" text-anchor="middle" font-size="24" fill="#b00020" fill-opacity="0.6">'
    f"{BANNER}</text></svg>"
).encode()


class Marked:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI), and send its answer when it is whole and marked."""
        if scope["type"] != "http" or scope["path"].startswith(UNMARKED):
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def gathered(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    await _send(start, bytes(body), send)
            else:
                await send(message)

        await self.app(scope, receive, gathered)


async def _send(start: Message, body: bytes, send: Send) -> None:
    headers = start.get("headers", [])
    media = next((value for name, value in headers if name == b"content-type"), b"")
    content = marked(body, media.partition(b";")[0].strip().decode("latin-1")) if body else body
    if len(content) != len(body):
        kept = [(name, value) for name, value in headers if name != b"content-length"]
        start["headers"] = [*kept, (b"content-length", str(len(content)).encode())]
    await send(start)
    await send({"type": "http.response.body", "body": content})


def marked(body: bytes, media: str) -> bytes:
    """Return a content with its mark, by its media type. Lists and binary files have no place for one."""
    if media.endswith("json"):
        if not body.endswith(b"}"):
            return body
        return body[:-1] + (b"," if body != b"{}" else b"") + _MEMBER
    if media in {"text/plain", "text/csv"}:
        lead = b"\xef\xbb\xbf" if body.startswith(b"\xef\xbb\xbf") else b""
        return lead + f"{BANNER}\n".encode() + body.removeprefix(lead)
    if media == "text/html":
        head, found, rest = body.partition(b"<body>")
        return head + found + f"<p><strong>{BANNER}</strong></p>".encode() + rest if found else body
    if media == "image/svg+xml":
        head, found, rest = body.rpartition(b"</svg>")
        return head + _PICTURE + rest if found else body
    return body
