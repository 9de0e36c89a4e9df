"""The server's time: told to everybody, and sealed for a phone that will be without a signal (time anchors)."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from server import clients, clock, problems
from server.auth import anchors
from server.auth.keys import KeySet
from server.checkins.schemas import BootId, RunningMs
from server.documented import refusals
from server.gate import Cadre, Configured, Db
from server.given import In
from server.places.rules import BEIJING
from server.problems import Problem

router = APIRouter(prefix="/v1", tags=["service"])
_ANSWERS = {status: said for status, said in refusals().items() if status != HTTPStatus.UNAUTHORIZED}
Milliseconds = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)$")]


class TimeOut(BaseModel):
    """The server's time, and what it expects of clients."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "utc": "2026-11-05T04:00:02.125Z",
                    "local": "2026-11-05T12:00:02.125+08:00",
                    "zone": "Asia/Shanghai",
                    "unix_ms": 1793851202125,
                    "api_version": "2026-11-22",
                    "minimum_clients": {"zaicun-phone": "1.2.0"},
                    "sandbox": False,
                }
            ]
        }
    )

    utc: Milliseconds = Field(description="服务器时间，UTC / the server's time in UTC, to the millisecond")
    local: Milliseconds = Field(
        description="同一时刻，按政策时区 / the same instant in the zone in which days are counted"
    )
    zone: str = Field(description="政策时区 / the zone in which days are counted (IANA)")
    unix_ms: int = Field(description="自 1970-01-01 UTC 的毫秒数 / milliseconds since 1970-01-01 UTC")
    api_version: str = Field(description="接口日期 / the date of the interface")
    minimum_clients: dict[str, str] = Field(
        description="各应用至少需要的版本，按名称 / the least version of each client, by the name in Zaicun-Client"
    )
    sandbox: bool = Field(description="是否演练环境 / whether this is a sandbox, in which nothing is real")


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@router.get("/time", operation_id="service-time", responses=_ANSWERS)
async def time(request: Request, settings: Configured) -> TimeOut:
    """Tell the server's time (服务器时间), without a token; also which versions are expected, and whether this is a sandbox.

    Halve the round trip: with t0 when the request left and t1 when the answer came, both by the phone's clock, the phone
    is off by `(t0 + t1) / 2 - unix_ms`, exact to half of `t1 - t0`. For telling the person only: never correct
    `captured_at` by it, the server does that itself.
    """
    now = clock.now().astimezone(UTC)
    least = clients.minimums(settings.minimum_clients)
    return TimeOut(
        utc=_written(now),
        local=_written(now.astimezone(BEIJING)),
        zone=BEIJING.key,
        unix_ms=int(now.timestamp() * 1000),
        api_version=request.app.version,
        minimum_clients={name: version.text for name, version in sorted(least.items())},
        sandbox=settings.sandbox,
    )


class AnchorIn(In):
    """What a native app reads off its running clock the moment it asks; nothing of it is kept."""

    boot_id: BootId = Field(
        description="本次开机的标识 / names the boot that the running clock counts from",
        examples=["boot-417"],
    )
    asked_ms: RunningMs = Field(
        description="此刻的开机计时（毫秒，休眠也走） / the running clock now, milliseconds, sleep included",
        examples=[86_400_123],
    )


class AnchorOut(BaseModel):
    """A time anchor. Keep the last one, with the running clock when it came, and give both with every check-in."""

    anchor: str = Field(description="对时凭证，原样保存 / to be kept as it is")
    at: Milliseconds = Field(description="服务器时刻 / the server's instant that it holds, UTC")


@router.post(
    "/time/anchors",
    operation_id="time-anchor",
    responses=refusals(problems.FORBIDDEN, problems.INVALID_REQUEST, problems.MALFORMED_BODY),
)
def anchor(given: AnchorIn, request: Request, who: Cadre, db: Db) -> AnchorOut:
    """Get a time anchor (对时凭证): the server's instant, sealed with the phone's running clock.

    For native apps, whenever they are online: browsers and mini-programs have no running clock that lasts. A check-in made
    without a signal then has a time that does not depend on what the phone's clock was set to.
    """
    if who.person_id is None:
        raise Problem(
            problems.FORBIDDEN,
            zh="此账号没有对应的驻村干部。",
            en="This account is not linked to a person.",
        )
    keys: KeySet = request.app.state.doorkeeper.keys
    with db.read():  # Whoever was logged out gets none.
        now = clock.now().astimezone(UTC)
    sealed = anchors.issue(keys, who.person_id, at=now, boot_id=given.boot_id, asked_ms=given.asked_ms)
    return AnchorOut(anchor=sealed, at=_written(now))
