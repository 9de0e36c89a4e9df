"""Sending a photo or document over a bad link (guide, section 33): in pieces, and on from where the service says.

Keep the id with the file until `upload` returned: the same call after a restart goes on with what has arrived.
"""

import hashlib
import uuid
from pathlib import Path
from typing import Any

import httpx
from zaicun_phone import Phone, Refused, backoff

PIECE = 256 << 10
"""Bytes of one piece: some seconds on a bad link. What arrived of a piece before the link broke counts too."""


def upload(
    phone: Phone, file: Path, media_type: str, one: uuid.UUID, *, name: str = "", attempts: int = 20
) -> dict[str, Any]:
    """Send a file and return what the service stored of it. Raises zaicun_phone.Refused for what it does not take."""
    told = {
        "id": str(one),
        "size": file.stat().st_size,
        "sha256": _sha256(file),
        "media_type": media_type,
        "name": name,
    }
    path, at, failed = f"/v1/attachments/{one}/upload", None, 0
    announced = False
    while failed < attempts:
        try:
            if not announced:
                _taken(phone.call("POST", "/v1/attachments", told))
                announced = True
            if at is None:
                at = int(_taken(phone.call("HEAD", path)).headers["Upload-Offset"])
            answer = _sent(phone, path, file, at)
        except httpx.TransportError:
            at, failed = None, failed + 1  # Whatever arrived is kept; ask how much.
            phone.pause(backoff(failed))
            continue
        if answer.status_code == httpx.codes.OK:
            found: dict[str, Any] = answer.json()
            return found
        if answer.status_code == httpx.codes.NO_CONTENT:
            at, failed = int(answer.headers["Upload-Offset"]), 0
        elif answer.status_code == httpx.codes.CONFLICT and "offset" in answer.json():
            at, failed = int(answer.json()["offset"]), failed + 1
        elif answer.status_code in {429, 503}:
            at, failed = None, failed + 1
            phone.pause(backoff(failed, answer.headers.get("Retry-After")))
        else:
            _taken(answer)
    raise TimeoutError("the link is too bad; call upload again later with the same id")


def _sent(phone: Phone, path: str, file: Path, at: int) -> httpx.Response:
    with file.open("rb") as content:
        content.seek(at)
        piece = content.read(PIECE)
        last = not content.read(1)
    headers = {
        "Content-Type": "application/partial-upload",
        "Upload-Offset": str(at),
        "Upload-Complete": "?1" if last else "?0",
    }
    return phone.call("PATCH", path, content=piece, headers=headers)


def _taken(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise Refused(
            answer.status_code, answer.json() if answer.content else {"code": str(answer.status_code)}
        )
    return answer


def _sha256(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            found.update(piece)
    return found.hexdigest()
