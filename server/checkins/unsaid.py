"""Check-ins of apps so old that they say no datum or no age of their position (edge 140).

v1 asks for both: nothing in two numbers tells whether they are WGS-84 or GCJ-02, which lies up to 731 m away. Until the
day that the district sets (``ZAICUN_DATUM_REQUIRED_FROM``) such check-ins are taken from clients that it tells to update
(``ZAICUN_MINIMUM_CLIENTS``), judged as never better than unsure (geo.verdict), and answered with what announces the end.

The day is that of the tap. So a queue that lay in a valley, a resend and what comes back by its receipt after a restore are
judged by the rule of their time; whoever sets a phone's clock back gains no more than the policy's claimed time.
"""

from datetime import UTC, date, datetime, time

from fastapi.exceptions import RequestValidationError

from server import clients
from server.checkins.judging import Incoming
from server.deprecations import Deprecation
from server.places.rules import BEIJING
from server.settings import Settings

ANNOUNCED = datetime(2026, 11, 23, tzinfo=BEIJING).astimezone(UTC)
"""Since when mobile_api_docs/CHANGES.md says so."""


def allowed(incoming: Incoming, client: str | None, settings: Settings) -> Deprecation:
    """Return what is to be told with the answer to a check-in that leaves something unsaid.

    `client` is the request's ``Zaicun-Client``. Raises RequestValidationError, which names what is missing, where the
    client is not outdated or was tapped on that day or later.
    """
    ends = ends_at(settings)
    least = clients.minimums(settings.minimum_clients)
    names = (incoming.given.client, client)
    outdated = any(name is not None and clients.outdated(name, least) is not None for name in names)
    if ends is None or not outdated or incoming.timing.event_at >= ends:
        raise _missing(incoming)
    return Deprecation(ANNOUNCED, ends)


def ends_at(settings: Settings) -> datetime | None:
    """Return the instant from which on nothing may be left unsaid; None where nothing ever may."""
    if not settings.datum_required_from:
        return None
    day = date.fromisoformat(settings.datum_required_from)
    ends = datetime.combine(day, time(), BEIJING).astimezone(UTC)
    return ends if ends > ANNOUNCED else None


def _missing(incoming: Incoming) -> RequestValidationError:
    """Return what a required field that is missing is refused with, as pydantic writes it."""
    position = incoming.given.position
    return RequestValidationError(
        [
            {"type": "missing", "loc": ("body", "position", name), "msg": "Field required", "input": None}
            for name in (() if position is None else position.unsaid)
        ]
    )
