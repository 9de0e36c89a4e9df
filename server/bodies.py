"""Request bodies that are files: streamed to a temporary file, their declared type not trusted."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from server import http

LARGEST_FILE = 64 << 20
LARGEST_TABLE = 4 << 20
_IN_MEMORY = 1 << 20


def refuse_wrapped(request: Request) -> None:
    """Raise Problem (415) for a file inside a form or a packing: the body is the file itself, nothing around it."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if media.startswith("multipart/") or coding != "identity":
        raise http.unsupported(
            "application/octet-stream",
            "请直接以文件内容作为正文，不要用表单（multipart）或压缩传输。",
            "Send the file itself as the body, not a form (multipart) and not compressed.",
        )


async def table(request: Request) -> bytes:
    """Return the whole body of a small table; its limit is the envelope's."""
    refuse_wrapped(request)
    return await request.body()


async def spooled(request: Request) -> AsyncIterator[Path]:
    """Write the body to a file of its own as it comes, and remove the file after the answer."""
    refuse_wrapped(request)
    with tempfile.TemporaryDirectory(prefix="zaicun-upload-") as folder:
        path = Path(folder) / "upload"
        waiting = bytearray()
        with path.open("wb") as file:
            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= _IN_MEMORY:
                    await run_in_threadpool(file.write, bytes(waiting))
                    waiting.clear()
            await run_in_threadpool(file.write, bytes(waiting))
        yield path


Table = Annotated[bytes, Depends(table)]
Spooled = Annotated[Path, Depends(spooled)]
