"""Request bodies that are files: streamed to a temporary file, their declared type not trusted."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

LARGEST_FILE = 64 << 20
LARGEST_TABLE = 4 << 20
_IN_MEMORY = 1 << 20


async def table(request: Request) -> bytes:
    """Return the whole body of a small table; its limit is the envelope's."""
    return await request.body()


async def spooled(request: Request) -> AsyncIterator[Path]:
    """Write the body to a file of its own as it comes, and remove the file after the answer."""
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
