"""Attachments over HTTP (附件): announce, send in pieces, look up, give up, get a link; and the contents themselves.

The pieces follow draft-ietf-httpbis-resumable-upload-09: HEAD tells the offset, PATCH appends at it, DELETE gives up.
Only the announcement is the house's own: JSON with an id of the client's making, so that it can be sent again.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from server import clock, deadlines, http, preconditions, problems, replies
from server.access import Role, Who
from server.attachments import links, queries, rules, service, storage
from server.attachments.incoming import Elsewhere
from server.attachments.models import Attachment
from server.attachments.rules import AttachmentState, MediaType
from server.attachments.schemas import AttachmentIn, AttachmentLinkOut, AttachmentOut
from server.attachments.service import Stores
from server.attachments.storage import StorageFault
from server.auth.keys import KeySet
from server.documented import refusals, sent
from server.gate import Configured, Db, Gate, OpenDb, requires
from server.problems import Problem
from server.settings import Settings

router = APIRouter(prefix="/v1/attachments", tags=["attachments"])
files = APIRouter(prefix="/v1/attachment-files", tags=["attachments"])
ROLES = (Role.CADRE, Role.CLERK, Role.TOWN, Role.INSPECTOR, Role.DISTRICT)
Uploader = Annotated[Who, Depends(requires(*ROLES))]
PIECE_TYPE = "application/partial-upload"
_PARTIAL = {"Upload-Complete": "?0"}
_NOBODYS = (problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST)


def body_limits(settings: Settings) -> dict[str, int]:
    """Return how large bodies may be: a whole file in one piece."""
    return {"/v1/attachments/": settings.attachment_mb * service.MIB}


async def stores_of(request: Request) -> Stores:
    """Return where attachments lie."""
    stores: Stores = request.app.state.attachments
    return stores


Kept = Annotated[Stores, Depends(stores_of)]


@router.post(
    "",
    operation_id="attachments-announce",
    status_code=201,
    responses={
        200: {
            "description": "同一编号、同一内容的重发 / a resend of the same content",
            "model": AttachmentOut,
        },
        201: sent("Location"),
        **refusals(
            problems.FORBIDDEN, problems.ID_REUSED, problems.ATTACHMENT_QUOTA, problems.INVALID_REQUEST
        ),
    },
)
def announce(
    given: AttachmentIn, who: Uploader, db: Db, settings: Configured, response: Response
) -> AttachmentOut:
    """Announce a photo or document (登记附件): its size, SHA-256 and type. Then send it to `/v1/attachments/{id}/upload`.

    What is never finished or attached to nothing is swept after some days. Photos are stored anew without their EXIF.
    """
    with db.write() as session:
        row, created = service.announce(session, who, given, settings)
        answer = service.shown(row)
    replies.made(response, created=created, address=f"{router.prefix}/{row.id}")
    return answer


@router.get("/{attachment_id}", operation_id="attachments-show", responses=refusals(*_NOBODYS))
def show(attachment_id: UUID, who: Uploader, db: Db) -> AttachmentOut:
    """Show one's own attachment (附件详情): how far it has come, and what was stored."""
    with db.read() as session:
        return service.shown(queries.access_own(session, who, attachment_id))


@router.get(
    "/{attachment_id}/upload",
    operation_id="attachments-offset",
    status_code=204,
    response_class=Response,
    responses={
        204: sent("Upload-Offset", "Upload-Complete", "Upload-Length"),
        **refusals(*_NOBODYS, problems.UPLOAD_OVER, problems.ATTACHMENT_REFUSED),
    },
)
def offset(attachment_id: UUID, who: Uploader, db: Db, stores: Kept) -> Response:
    """Tell how much of an upload has arrived (续传位置): HEAD, after a link broke; go on from `Upload-Offset`."""
    with db.read() as session:
        row = queries.access_own(session, who, attachment_id)
    service.refuse_refused(row)
    done = row.state == AttachmentState.READY
    try:
        at = row.size if done else stores.incoming.offset(row.id)
    except StorageFault:
        raise storage.unavailable() from None
    return Response(
        status_code=204,
        headers={
            "Upload-Offset": str(at),
            "Upload-Complete": "?1" if done else "?0",
            "Upload-Length": str(row.size),
        },
    )


@router.patch(
    "/{attachment_id}/upload",
    operation_id="attachments-append",
    response_model=AttachmentOut,
    responses={
        200: {"description": "全部收到并已存放 / all of it arrived and is stored", **sent("Upload-Complete")},
        204: {
            "description": "已收到，未完 / it arrived; there is more to come",
            **sent("Upload-Offset", "Upload-Complete"),
        },
        **refusals(
            *_NOBODYS,
            problems.UPLOAD_OFFSET,
            problems.UPLOAD_OVER,
            problems.UPLOAD_DAMAGED,
            problems.ATTACHMENT_REFUSED,
            problems.STORAGE_UNAVAILABLE,
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {PIECE_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def append(
    *,
    attachment_id: UUID,
    request: Request,
    _who: Uploader,
    db: Db,
    stores: Kept,
    response: Response,
    upload_offset: Annotated[int, Header(ge=0, description="本段从第几字节开始 / where this piece begins")],
    upload_complete: Annotated[Literal["?0", "?1"], Header(description="?1：这是最后一段 / the last piece")],
) -> AttachmentOut | Response:
    """Send the next piece (续传). With `Upload-Complete: ?1` the file is examined and stored, and the answer tells of it.

    What arrived before a link broke is kept. A piece that does not begin at the end is 409 `upload-offset`.
    """
    _refuse_other_bodies(request)
    row = await run_in_threadpool(_arriving, db, attachment_id)
    # A slow sender holds no place of those who need a thread and a connection.
    request.app.state.admission.leave(request.scope["state"])
    last = upload_complete == "?1"
    try:
        at = await _received(request, row, upload_offset, stores)
    except Elsewhere as elsewhere:
        raise _wrong_offset(row, elsewhere.offset) from None
    except StorageFault:
        raise storage.unavailable() from None
    if last and at != row.size:
        raise _wrong_offset(row, at)
    if not last:
        return Response(status_code=204, headers={"Upload-Offset": str(at), **_PARTIAL})
    request.app.state.admission.enter(request.scope["state"])
    response.headers["Upload-Complete"] = "?1"
    return await run_in_threadpool(_finished, db, attachment_id, stores)


def _refuse_other_bodies(request: Request) -> None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if (
        media != PIECE_TYPE
        or request.headers.get("content-encoding", "identity").strip().lower() != "identity"
    ):
        raise http.unsupported(
            PIECE_TYPE,
            f"请以 Content-Type: {PIECE_TYPE} 发送，不压缩。",
            f"Send it with Content-Type: {PIECE_TYPE}, not compressed.",
        )


def _arriving(gate: Gate, attachment_id: UUID) -> Attachment:
    with gate.read() as session:
        row = queries.access_own(session, gate.who, attachment_id)
    service.refuse_refused(row)
    return row


async def _received(request: Request, row: Attachment, at: int, stores: Stores) -> int:
    """Append the body as it comes, and keep what came before the link broke; return the offset."""
    waiting = bytearray()
    if row.state == AttachmentState.READY:  # Told again: there is nothing to append.
        async for chunk in request.stream():
            waiting += chunk[:1]
        if waiting or at != row.size:
            raise Elsewhere(row.size)
        return at

    async def write(*, last: bool) -> None:
        nonlocal at
        data = bytes(waiting)
        waiting.clear()
        at = await run_in_threadpool(stores.incoming.append, row.id, at, data, most=row.size, last=last)

    try:
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= storage.PIECE:
                await write(last=False)
    except Elsewhere:
        raise
    except Exception:
        await write(last=True)
        raise
    await write(last=True)
    return at


def _finished(gate: Gate, attachment_id: UUID, stores: Stores) -> AttachmentOut:
    try:
        with deadlines.within(deadlines.HEAVY_WITHIN_S):
            return service.shown(service.finish(gate, attachment_id, stores))
    except (StorageFault, OSError):
        raise storage.unavailable() from None


def _wrong_offset(row: Attachment, offset: int) -> Problem:
    return Problem(
        problems.UPLOAD_OFFSET,
        zh=f"已收到 {offset} 字节，共 {row.size} 字节；请从第 {offset} 字节继续。",
        en=f"{offset} of {row.size} bytes have arrived; go on from there.",
        offset=offset,
        size=row.size,
    )


@router.delete(
    "/{attachment_id}/upload",
    operation_id="attachments-discard",
    status_code=204,
    response_class=Response,
    responses=refusals(*_NOBODYS, problems.ATTACHMENT_LINKED),
)
def discard(attachment_id: UUID, who: Uploader, db: Db, stores: Kept) -> Response:
    """Give up one's own upload (放弃附件), finished or not, as long as it is attached to nothing."""
    with db.write() as session:
        service.discard(session, who, queries.access_own(session, who, attachment_id, lock=True))
    with suppress(StorageFault):  # The sweep takes it: no row waits for it any more.
        stores.incoming.drop(attachment_id)
    return Response(status_code=204)


@router.post(
    "/{attachment_id}/link",
    operation_id="attachments-link",
    responses=refusals(*_NOBODYS, problems.ATTACHMENT_NOT_READY),
)
def link(
    attachment_id: UUID, request: Request, who: Uploader, db: Db, settings: Configured
) -> AttachmentLinkOut:
    """Get a link to a content (下载链接): one's own, or attached to what one may read. It stands for some minutes.

    For whoever asked alone, and only while their session stands. A look at somebody else's is recorded.
    """
    keys: KeySet = request.app.state.doorkeeper.keys
    with db.look() as session:
        row = service.may_read(session, who, attachment_id)
    until = clock.now().replace(microsecond=0) + timedelta(seconds=settings.attachment_link_s)
    return AttachmentLinkOut(url=f"{files.prefix}/{links.sealed(keys, row.id, who, until)}", until=until)


_CONTENT = {"schema": {"type": "string", "format": "binary"}}
_DOWNLOAD = {
    "content": {each.value: _CONTENT for each in (MediaType.JPEG, MediaType.PNG, MediaType.PDF)},
    **sent("ETag", "Accept-Ranges", "Content-Disposition", "Content-Security-Policy"),
}


@files.get(
    "/{token}",
    operation_id="attachments-file",
    response_class=StreamingResponse,
    responses={
        200: {"description": "全部内容 / the whole content", **_DOWNLOAD},
        206: {
            "description": "所请求的一段 / the range that was asked for",
            "content": _DOWNLOAD["content"],
            **sent(
                "ETag", "Accept-Ranges", "Content-Disposition", "Content-Security-Policy", "Content-Range"
            ),
        },
        **{
            status: said
            for status, said in refusals(
                problems.NOT_FOUND, problems.RANGE_NOT_SATISFIABLE, problems.STORAGE_UNAVAILABLE
            ).items()
            if status != 401  # noqa: PLR2004  A link is its own right to be heard.
        },
    },
)
def file(
    *,
    token: str,
    request: Request,
    database: OpenDb,
    stores: Kept,
    bytes_: Annotated[
        str | None,
        Header(
            alias="Range",
            max_length=100,
            description="所要的字节范围 / the bytes that are asked for (RFC 9110 section 14.2)",
        ),
    ] = None,
    if_range: Annotated[
        str | None,
        Header(max_length=100, description="内容未变才分段 / a range only of this very content (ETag)"),
    ] = None,
) -> StreamingResponse:
    """Download a content by its link (下载附件), whole or a range of it. A link that is over is 404."""
    door = request.app.state.doorkeeper
    ticket = links.opened(door.keys, token, clock.now())
    if ticket is None:
        raise Problem(problems.NOT_FOUND)
    with database.read() as session:
        try:
            door.admit(session, ticket.who)
        except Problem as problem:
            raise Problem(problems.NOT_FOUND) from problem  # The session ended, or its grants changed.
        row = queries.ready(session, ticket.attachment_id)
    etag = preconditions.tag(row.content)
    return _sent(row, stores, bytes_ if if_range in {None, etag} else None, etag)


def _sent(row: Attachment, stores: Stores, asked: str | None, etag: str) -> StreamingResponse:
    size, kind = row.bytes or 0, MediaType(row.media_type or MediaType.PDF)
    try:
        span = rules.span_of(asked, size)
        pieces: Iterator[bytes] = stores.storage.read(
            row.content or "", *((0, size) if span is None else (span.first, span.size))
        )
    except ValueError:
        raise Problem(problems.RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{size}"}) from None
    except StorageFault:
        raise storage.unavailable() from None
    headers = {
        "Content-Length": str(size if span is None else span.size),
        "Content-Disposition": f'attachment; filename="{row.id}.{rules.SUFFIXES[kind]}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Accept-Ranges": "bytes",
        "ETag": etag,
    }
    if span is not None:
        headers["Content-Range"] = f"bytes {span.first}-{span.last}/{size}"
    return StreamingResponse(pieces, 200 if span is None else 206, headers, kind.value)
