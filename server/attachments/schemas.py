"""What goes over the wire about attachments."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from server.attachments.rules import AttachmentState, MediaType
from server.given import Id, In, Word


class AttachmentIn(In):
    """Announces a file (附件). Its content follows in pieces."""

    id: Id = Field(description="客户端生成的编号，建议 UUIDv7 / made by the client, UUIDv7 recommended")
    size: int = Field(
        gt=0, le=1 << 40, description="要发送的字节数 / bytes that will be sent", examples=[2_481_733]
    )
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$",
        description="要发送内容的 SHA-256（十六进制） / of what will be sent, in hexadecimal",
    )
    media_type: Word[MediaType] = Field(examples=["image/jpeg"])
    name: str = Field(
        "",
        max_length=1000,
        description="文件名，仅供显示 / the file's name, for showing only",
        examples=["会议通知.pdf"],
    )
    keep_position: bool = Field(
        default=False,
        description="是否另存照片中的拍摄位置（仅本人可见，按政策淡化）；缺省丢弃 / keep the place that the photo tells, for oneself "
        "alone and fading like other positions; thrown away by default",
    )


class RefusalOut(BaseModel):
    """Why a file was not taken."""

    code: str
    zh: str
    en: str


class AttachmentOut(BaseModel):
    """One's own attachment. `media_type`, `bytes`, `width`, `height`, `pages` are of what was stored, not of what was sent."""

    id: UUID
    name: str
    state: AttachmentState = Field(
        description="open 上传中，storing 正在存放，ready 可用，refused 未收，faded 已淡化"
    )
    size: int = Field(description="所发送的字节数 / bytes that are sent")
    made_at: datetime
    refusal: RefusalOut | None = None
    media_type: MediaType | None = None
    bytes: int | None = None
    width: int | None = Field(None, description="像素 / pixels")
    height: int | None = Field(None, description="像素 / pixels")
    pages: int | None = None
    taken_at: datetime | None = Field(
        None, description="照片自称的拍摄时间，仅供参考 / when the photo says it was taken; no proof"
    )
    lon: float | None = Field(
        None, description="照片自称的经度，仅本人可见 / of the photo, shown to oneself alone"
    )
    lat: float | None = Field(
        None, description="照片自称的纬度，仅本人可见 / of the photo, shown to oneself alone"
    )


class AttachmentLinkOut(BaseModel):
    """A link that stands for minutes, for whoever asked."""

    url: str = Field(
        description="无需请求头即可下载；不要转发 / loads without any header; not to be passed on"
    )
    until: datetime


class AttachedOut(BaseModel):
    """An attachment as the readers of what it is attached to see it: no time and no place of the photo."""

    id: UUID
    name: str
    state: AttachmentState
    media_type: MediaType | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    pages: int | None = None
