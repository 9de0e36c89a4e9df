"""Building the world of the matrix: rows written directly into an empty, migrated database."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from factories_auth import add_grant, make_account
from factories_checkins import grounds
from factories_places import make_region, make_version, make_zone
from factories_roster import make_person, make_place, make_posting
from geoalchemy2.shape import from_shape
from shapely import MultiPolygon
from sqlalchemy import orm

from authz.world import (
    DISTRICT,
    FOREIGN_TOWN,
    HOME,
    LONG_AGO,
    MERGED_ON,
    NOW,
    OTHER_DISTRICT,
    OTHER_TOWN,
    PASSWORD,
    PERSONAL,
    ROLES,
    SUCCESSORS,
    TOWN,
    VILLAGES,
    Caller,
    Target,
    World,
)
from geo.faults import Severity
from geo.zones import ZoneKind, circle
from server import audit, clock, ids, state
from server.access import Role
from server.attachments.models import Attachment
from server.attachments.rules import AttachmentState, MediaType
from server.auth import codes, sessions, tokens
from server.auth.doorkeeper import Doorkeeper
from server.auth.models import Account, DeviceEvent, DeviceKey, GrantRevocation, LoginSession
from server.auth.passwords import Hasher
from server.checkins.models import (
    Attempt,
    CheckInPosition,
    CheckInRow,
    PersonHead,
    ReceiptEpoch,
    ReceiptKey,
)
from server.checkins.rules import EpochCause
from server.corrections.models import Appeal, Correction
from server.corrections.rules import AppealKind, AppealState, Claim, Halves, State
from server.db import Database
from server.looks import Look, What
from server.month import outages
from server.month.models import PersonMonth, PolicyRow, Provenance
from server.places import publishing
from server.places.models import BoundaryFeature, BoundaryImport, BoundaryReport, RegionSuccessor
from server.places.rules import ImportState, Source
from server.privacy.models import LegalHold
from server.rejudgings.models import Rejudging, RejudgingChange
from server.rejudgings.rules import DayState, digest
from server.review.models import Assessment, ReviewItem
from server.roster.models import Person, Unit
from server.roster.rules import EndReason
from server.settings import Settings

_NOWHERE = UUID("00000000-0000-7000-8000-00000000dead")
_MAKER = "制定人丑"
_LOOK = {"code": "look", "severity": Severity.NEEDS_HUMAN.value, "zh": "请看", "en": "look", "features": [1]}
"""A finding that a person must accept, at the second feature of every import; the first one can be published."""


class Builder:
    """Writes the world into an empty, migrated database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.door = Doorkeeper(settings)
        self.door.keys.ensure()
        self.hasher = Hasher(settings)
        self.hash = self.hasher.hash(PASSWORD)
        self.settings = settings
        self.numbers = count(31)
        self.units: dict[str, Unit] = {}
        self.elsewhere = ""

    def build(self) -> World:
        """Build it all. The clock must stand at NOW."""
        with self.database.write() as session:
            self._ground(session)
            targets = {name: self._target(session, name, village) for name, village in VILLAGES.items()}
            targets["nowhere"] = self._nowhere(targets["team"])
            targets["other_district"].secrets["elsewhere"] = [self.elsewhere]
            targets["town"].secrets["maker"] = [_MAKER]
        callers = {kind: self._caller(kind, roles) for kind, roles in ROLES.items()}
        return World(callers, targets, self._refused())

    def _ground(self, session: orm.Session) -> None:
        for code, name in (
            (f"{DISTRICT}000000", "江津区"),
            (f"{OTHER_DISTRICT}000000", "合川区"),
            (f"{TOWN}000", "白沙镇"),
            (f"{OTHER_TOWN}000", "朱杨镇"),
            ("500116109000", "旧塘镇"),
            (f"{FOREIGN_TOWN}000", "钱塘镇"),
            *((f"{town}299", "备用村") for town in (TOWN, OTHER_TOWN, FOREIGN_TOWN, "500116109")),
        ):
            make_region(session, code, name)
        for place, code in enumerate(sorted(set(VILLAGES.values()))):
            make_region(session, code, f"村{code[6:]}")
            zone = make_zone(session, code, name=f"村{code[6:]}")
            make_version(session, zone, circle(lon=107.0 + place / 100, lat=29.0, radius_m=300))
        for old, new in SUCCESSORS.items():
            session.add(RegionSuccessor(from_code=old, to_code=new, from_day=MERGED_ON))
        for district in (DISTRICT, OTHER_DISTRICT):
            session.add(_policy(district, published=True))
        self.units = {
            name: Unit(id=ids.new_id(), number=f"U-{name}", name=f"派出单位{name}", version=1)
            for name in ("own", "other")
        }
        session.add_all(self.units.values())
        session.flush()
        state.bump(session, "policies")

    def _person(
        self, session: orm.Session, target: Target, *, unit: str = "other", region: str | None = None
    ) -> Person:
        mark = next(self.numbers)
        person = make_person(
            session,
            f"甲名{mark}乙",
            number=f"NR{mark}X",
            phone=f"139{mark:08d}",
            unit=self.units[unit],
            kept_by=target.district if region is None else region,
        )
        target.ids |= {
            "person": str(person.id),
            "number": person.number,
            "name": person.name,
            "phone": str(person.phone),
            "unit": str(person.unit_id),
        }
        target.secrets |= {"name": [person.name], "number": [person.number], "phone": [str(person.phone)]}
        self._privacy(session, target, person.id, mark)
        return person

    def _privacy(self, session: orm.Session, target: Target, person: UUID, mark: int) -> None:
        """Keep the person's data for a case, and let the command line look at it."""
        why, purpose = f"保留{mark}辛", f"用途{mark}癸"
        hold = LegalHold(
            id=ids.new_id(),
            person_id=person,
            reason=why,
            ends_on=date(2099, 1, 1),
            placed_at=NOW,
            placed_by=ids.new_id(),
        )
        look = Look(at=NOW, person_id=person, role="operator", region="", what=What.MONTH, purpose=purpose)
        session.add_all([hold, look])
        target.ids["hold"] = str(hold.id)
        target.secrets |= {"hold": [why], "look": [purpose]}

    def _rejudging(self, session: orm.Session, target: Target, person: UUID) -> None:
        """Ask, for somebody else, to judge the village again: on days without a check-in, so nothing would change."""
        why = f"重判{next(self.numbers)}子"
        asked = Rejudging(
            id=ids.new_id(), region=target.village, first_day=LONG_AGO.date(), last_day=LONG_AGO.date(),
            reason=why, asked_at=NOW, asked_by=ids.new_id(), judged=0, faded=0, check_ins=0, people=0, days=0,
            digest=digest(()),
        )  # fmt: skip
        session.add(asked)
        session.flush()
        session.add(
            RejudgingChange(
                rejudging_id=asked.id, number=1, person_id=person, checkin_id=ids.new_id(), day=LONG_AGO.date(),
                village_code=target.village, before="outside", after="inside", day_before=DayState.OUTSIDE,
                day_after=DayState.COUNTED,
            )
        )  # fmt: skip
        target.ids["rejudging"] = str(asked.id)
        target.secrets["rejudging"] = [why]

    def _target(self, session: orm.Session, relation: str, village: str) -> Target:
        target = Target(relation, village)
        person = self._person(
            session,
            target,
            unit="own" if relation == "own_unit" else "other",
            region=OTHER_DISTRICT if relation == "void" else None,
        )
        self._post(session, target, person)
        self._fresh(session, target)
        account = self._cadre_account(session, target, person)
        self._account(session, target, account)
        codes.make(session, None, account)
        self._beside(session, target)
        self._boundary(session, target)
        self._check_in(session, target, person.id)
        self._outage(session, target)
        self._rejudging(session, target, person.id)
        if relation != "void":  # Nobody was posted, so nobody could ask.
            self._requests(session, target, person.id)
        draft = _policy(village, f"draft-{next(self.numbers)}", published=False)
        session.add(draft)
        session.flush()
        target.ids["policy"] = str(draft.id)
        target.secrets["policy"] = [draft.reason]
        return target

    def _cadre_account(self, session: orm.Session, target: Target, person: Person) -> Account:
        """Add the account of a posted person, with what is odd about it in this relation."""
        relation, assignment = target.relation, f"任务{next(self.numbers)}壬"
        account = make_account(
            session,
            role=None,
            region=target.district,
            person=person.id,
            login=f"login-{relation.replace('_', '-')}",
        )
        home = OTHER_DISTRICT if relation == "void" else target.district  # Granted elsewhere: nobody's here.
        grant = add_grant(
            session, account, Role.CADRE, region=home, valid_from=LONG_AGO, assignment=assignment
        )
        if relation == "other_district":  # Without any grant that holds, as new accounts are.
            session.add(GrantRevocation(grant_id=grant.id, revoked_at=NOW, revoked_by=None))
        if relation == "own_unit":  # Once mightier than the district, no more.
            above = add_grant(session, account, Role.ADMIN, valid_from=LONG_AGO)
            session.add(GrantRevocation(grant_id=above.id, revoked_at=NOW, revoked_by=None))
        target.ids["grant"] = str(grant.id)
        target.secrets |= {"assignment": [assignment]}
        return account

    def _beside(self, session: orm.Session, target: Target) -> None:
        """Add an account without a person; beside the ended posting, one that is mightier than a town's cadre."""
        extra = make_account(session, role=Role.CADRE, region=target.town, valid_from=LONG_AGO)
        if target.relation == "ended":
            person = make_person(session, "癸", number="NM1X", unit=self.units["other"])
            make_posting(session, person, HOME, date(2025, 1, 1))
            extra = make_account(session, role=Role.TOWN, region=TOWN, person=person.id, valid_from=LONG_AGO)
            add_grant(session, extra, Role.CADRE, region=TOWN, valid_from=LONG_AGO)
        extra.display_name = f"户名{next(self.numbers)}子"
        if target.relation not in {"void", "departed"}:
            target.secrets["account"].append(extra.display_name)

    def _post(self, session: orm.Session, target: Target, person: Person) -> None:
        until, reason = {
            "ended": (date(2025, 12, 31), EndReason.TERM_OVER),
            "void": (date(2024, 12, 31), EndReason.ENTERED_IN_ERROR),
        }.get(target.relation, (None, None))
        posting = make_posting(session, person, target.village, date(2025, 1, 1), until, end_reason=reason)
        if "zone" not in target.ids:
            self._zone(session, target)
        place = make_place(session, posting, UUID(target.zone), date(2026, 1, 1))
        target.ids |= {"posting": str(posting.id), "place": str(place.id)}
        if target.relation == "town":
            self._once_elsewhere(session, person)

    def _once_elsewhere(self, session: orm.Session, person: Person) -> None:
        """Let the person of the same town have been posted in the other district, which is not for this one to see."""
        village, ended = VILLAGES["other_district"], EndReason.TERM_OVER
        once = make_posting(session, person, village, date(2024, 1, 1), date(2024, 12, 31), end_reason=ended)
        self.elsewhere = str(once.id)

    def _zone(self, session: orm.Session, target: Target) -> None:
        mark = next(self.numbers)
        zone = make_zone(session, target.village, kind=ZoneKind.DUTY_PLACE, name=f"点{mark}")
        version = make_version(session, zone, circle(lon=106.0 + mark / 100, lat=29.0, radius_m=300))
        target.ids |= {"zone": str(zone.id), "version": str(version.id)}

    def _fresh(self, session: orm.Session, target: Target) -> None:
        """Add somebody without an account, for those who make accounts."""
        mark = next(self.numbers)
        person = make_person(
            session, f"丙名{mark}丁", number=f"NF{mark}X", unit=self.units["other"], kept_by=target.district
        )
        if target.relation not in {"void", "ended"}:
            make_posting(session, person, target.village, date(2025, 1, 1))
        target.ids |= {"fresh_person": str(person.id), "fresh_number": person.number}

    def _account(self, session: orm.Session, target: Target, account: Account) -> None:
        account.display_name = f"户名{next(self.numbers)}戊"
        session.flush()
        opened = sessions.start(
            session, self.door, account, client=f"手机{account.login}", address="127.0.0.1"
        )
        grant = session.execute(
            sa.text("SELECT id, assignment FROM grants WHERE account_id = :a ORDER BY id"), {"a": account.id}
        ).first()
        audit.record(session, None, "test:event", ("account", account.id), mark=f"记录{account.login}")
        device = DeviceKey(
            id=ids.new_id(), account_id=account.id, jkt=str(next(self.numbers)).rjust(43, "A"), algorithm="ES256",
            public_jwk={}, protection="unknown", client=f"机型{account.login}", address="127.0.0.1", enrolled_at=NOW,
        )  # fmt: skip
        session.add(device)
        session.flush()
        session.add(
            DeviceEvent(
                device_id=device.id, kind="enrolled", cause="login", at=NOW, by_account=account.id,
                in_session=opened.session_id, reason="",
            )
        )  # fmt: skip
        self._attachments(session, target, account)
        target.ids |= {
            "account": str(account.id),
            "login": account.login,
            "session": str(opened.session_id),
            "device": str(device.id),
            "grant": target.grant or (str(grant.id) if grant else str(ids.new_id())),
        }
        target.secrets |= {
            "account": [account.display_name],
            "session": [f"手机{account.login}"],
            "device": [f"机型{account.login}"],
            "event": [f"记录{account.login}"],
        }

    def _attachments(self, session: orm.Session, target: Target, account: Account) -> None:
        """Add an upload on its way, and one that is there."""
        mark = f"附件{next(self.numbers)}巳"
        for name, stage in (("attachment", AttachmentState.OPEN), ("uploaded", AttachmentState.READY)):
            ready = stage is AttachmentState.READY
            row = Attachment(
                id=ids.new_id(), account_id=account.id, made_at=NOW, name=mark, declared_type=MediaType.JPEG, size=100,
                sha256=bytes(32), keep_position=ready, state=stage, content="0" * 64 if ready else None,
                media_type=MediaType.JPEG if ready else None, bytes=90 if ready else None,
                finished_at=NOW if ready else None,
            )  # fmt: skip
            session.add(row)
            target.ids[name] = str(row.id)
        session.flush()
        target.secrets["attachment"] = [mark]

    def _check_in(self, session: orm.Session, target: Target, person: UUID) -> None:
        """Add a check-in of today with a note and a position, its month, and a refused attempt."""
        mark = next(self.numbers)
        key, note = ids.new_id(NOW), f"备注{mark}己"
        moment = NOW - timedelta(minutes=1)
        lon, lat = 1_061_000_000 + mark * 1111, 290_000_000 + mark * 1111
        other = ids.new_id(NOW)  # An id that others will try to use as theirs.
        rows = [
            CheckInRow(
                person_id=person, id=id_, received_at=moment, event_at=moment, sent_at=moment, day=moment.date(),
                utc_offset_min=480, kind="day", verdict="inside", reason="in-village", standing="counted",
                outside_work=False, note=note, grounds=grounds(session, target.village), content_hash=b"",
                accuracy_m=10.0,
            )
            for id_ in (key, other)
        ]  # fmt: skip
        rows[0].chain_seq, rows[0].epoch, rows[0].signature = 1, 1, bytes(64)
        rows[0].receipt_key = self._receipts(session)
        session.add_all(rows)
        session.flush()
        session.add(PersonHead(person_id=person, seq=1, was=0, epoch=1, hash=bytes(32)))
        session.add(CheckInPosition(seq=rows[0].seq, salt=b"s" * 16, lon_e7=lon, lat_e7=lat))
        bits = 3 << (2 * (moment.day - 1))
        masks = dict.fromkeys(("unsure", "unfenced", "outside", "claimed"), 0)
        session.add(PersonMonth(person_id=person, month=date(2026, 6, 1), sure=bits, **masks))
        attempt = f"尝试{mark}庚"
        session.add(
            Attempt(
                at=moment, person_id=person, account_id=UUID(target.account), checkin_id=attempt,
                code="invalid-request", status=422, body=b"",
            )
        )  # fmt: skip
        session.flush()
        target.ids |= {"checkin": str(key), "other_checkin": str(other), "attempt": attempt}
        if target.relation not in {
            "void",
            "ended",
        }:  # What was made there without a posting waits for nobody.
            self._review(session, target, rows[0])
        places = [f"{lon / 1e7:.7f}".rstrip("0"), f"{lat / 1e7:.7f}".rstrip("0"), str(lon), str(lat)]
        target.secrets |= {"position": places, "note": [note], "attempt": [attempt]}

    def _receipts(self, session: orm.Session) -> int:
        """Return the number of the key of receipts, made with the first epoch when they are not there."""
        found = session.scalars(sa.select(ReceiptKey)).first()
        if found is not None:
            return found.id
        key = ReceiptKey(kid="made up", x="made up", since=NOW)
        epoch = ReceiptEpoch(
            number=1, id=ids.new_id(), issuer="500116", began_at=NOW, cause=EpochCause.FIRST, resend_from=None
        )
        session.add_all([key, epoch])
        session.flush()
        return key.id

    def _review(self, session: orm.Session, target: Target, made: CheckInRow) -> None:
        """Let the check-in wait for a review, in the village that its own is today."""
        session.add(
            Assessment(
                seq=made.seq, revision=0, at=NOW, policy=1, score=60, drawn=False, band="review",
                signals=[{"code": "mocked", "points": 60, "figures": {}, "check_ins": [str(made.id)]}],
            )
        )  # fmt: skip
        item = ReviewItem(
            id=ids.new_id(NOW), subject="check-in", person_id=made.person_id, checkin_id=made.id, month=None, day=made.day,
            region_code=SUCCESSORS.get(target.village, target.village), cause="signals", opened_at=NOW,
            state="open", revision=1, assigned_to=None,
        )  # fmt: skip
        session.add(item)
        session.flush()
        target.ids["review"] = str(item.id)

    def _outage(self, session: orm.Session, target: Target) -> None:
        """Add an outage of the target's village, before anybody was posted there."""
        day, mark = date(2024, 2, 1), next(self.numbers)
        row = outages.record(
            session, outage_id=ids.new_id(), region_prefix=target.village, first=day, last=day,
            reason=f"故障{mark}丑", by=None,
        )  # fmt: skip
        target.ids["outage"] = str(row.id)
        target.secrets["outage"] = [row.reason]

    def _requests(self, session: orm.Session, target: Target, person: UUID) -> None:
        """Add a correction that waits, a refused one, and one with an appeal that waits."""
        village = SUCCESSORS.get(target.village, target.village)
        asked, refused, appealed = (
            self._correction(session, target, person, village, day, state)
            for day, state in ((8, State.OPEN), (9, State.REFUSED), (10, State.REFUSED))
        )
        appeal = Appeal(
            id=ids.new_id(), kind=AppealKind.CORRECTION, subject_id=appealed.id, person_id=person,
            village_code=village, text=f"申诉{next(self.numbers)}卯", provenance=Provenance.OWN,
            entered_by=UUID(target.account), entered_at=NOW, deciders=[], state=AppealState.OPEN, version=1,
        )  # fmt: skip
        session.add(appeal)
        session.flush()
        target.ids |= {"correction": str(asked.id), "refused": str(refused.id), "appeal": str(appeal.id)}
        target.secrets |= {"request": [asked.text, refused.text], "appeal": [appeal.text]}

    def _correction(
        self, session: orm.Session, target: Target, person: UUID, village: str, day: int, state: State
    ) -> Correction:
        decided = None if state is State.OPEN else NOW
        row = Correction(
            id=ids.new_id(), person_id=person, village_code=village, day=date(2026, 6, day), halves=Halves.DAY,
            claim=Claim.PRESENT, reason="forgot", text=f"补签{next(self.numbers)}辰", check_ins=[],
            provenance=Provenance.OWN, entered_by=UUID(target.account), entered_at=NOW, over_quota=False,
            late=False, state=state, version=1, decided_at=decided, decision_reason="无据" if decided else None,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row

    def _boundary(self, session: orm.Session, target: Target) -> None:
        """Add an open boundary import of the target's town, brought in by nobody who asks."""
        mark = next(self.numbers)
        area = publishing.digest(None)
        row = BoundaryImport(
            id=ids.new_id(), source=Source.CIRCLE, filename=f"界{mark}辛", sha256=area, size_bytes=0,
            kind=ZoneKind.DUTY_PLACE, region=target.town, accuracy_m=5.0, valid_from=LONG_AGO, valid_until=None,
            options={}, state=ImportState.OPEN, version=1, imported_at=NOW, imported_by=ids.new_id(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(
            BoundaryReport(
                import_id=row.id, report={"findings": [_LOOK]}, text_zh=row.filename, text_en="", svg=""
            )
        )
        session.add_all(
            BoundaryFeature(
                import_id=row.id, index=index, reference=f"新点{mark}-{index}", name=f"新点{mark}-{index}",
                kind=ZoneKind.DUTY_PLACE, region_code=target.village, shape=_circle(mark + index), repaired=None,
            )
            for index in (0, 1)
        )  # fmt: skip
        session.flush()
        target.ids["import"] = str(row.id)
        target.secrets["import"] = [row.filename]

    def _nowhere(self, like: Target) -> Target:
        """Return a target of which nothing exists."""
        absent = {name: str(_NOWHERE) for name in like.ids}
        absent |= {"number": "NR00X", "fresh_number": "NF00X", "name": "无此人", "login": "nobody"}
        absent["other_checkin"] = str(UUID(int=_NOWHERE.int + 1))
        return Target("nowhere", "999999999999", absent)

    def _caller(self, kind: str, roles: tuple[Role, ...]) -> Caller:
        own = Target("own", HOME)
        with self.database.write() as session:
            person = None
            if kind in PERSONAL:
                person = self._person(session, own)
                posting = make_posting(
                    session, person, HOME, date(2025, 1, 1),
                    date(2026, 5, 31) if kind == "former_cadre" else None,
                    end_reason=EndReason.RETIRED if kind == "former_cadre" else None,
                )  # fmt: skip
                own.ids |= {"posting": str(posting.id)}
            account = make_account(
                session, role=None, region=DISTRICT, person=person.id if person else None,
                login=f"caller-{kind.replace('_', '-')}", password_hash=self.hash,
            )  # fmt: skip
            for role in roles:
                self._grant(session, account, role, kind)
            self._account(session, own, account)
            if person:
                self._check_in(session, own, person.id)
                self._requests(session, own, person.id)
        with self.database.write() as session:
            opened = sessions.start(
                session, self.door, session.get_one(Account, account.id), client="test", address="127.0.0.1"
            )
        return Caller(kind, opened.access_token, account.login, own)

    def _grant(self, session: orm.Session, account: Account, role: Role, kind: str) -> None:
        region = {Role.CADRE: DISTRICT, Role.CLERK: HOME, Role.TOWN: TOWN, Role.INSPECTOR: TOWN}
        times = {
            "not_yet": (NOW + timedelta(minutes=5), None),
            "no_longer": (LONG_AGO, NOW - timedelta(seconds=1)),
        }
        begins, ends = times.get(
            kind, (LONG_AGO, NOW + timedelta(days=90) if role is Role.INSPECTOR else None)
        )
        add_grant(
            session, account, role, region=region.get(role, DISTRICT), valid_from=begins, valid_until=ends,
            unit=self.units["own"].id if role is Role.UNIT else None,
        )  # fmt: skip

    def _refused(self) -> dict[str, tuple[str | None, str]]:
        """Make the tokens that no operation may accept."""
        made = {}
        for name in ("ended", "disabled", "regranted", "aged"):
            with self.database.write() as session:
                person = make_person(session, "寅", number=f"NT-{name}", unit=self.units["other"])
                account = make_account(session, role=None, region=DISTRICT, person=person.id)
                for role in Role:
                    self._grant(session, account, role, "all of them")
            with self.database.write() as session:
                stored = session.get_one(Account, account.id)
                if name == "aged":
                    clock.use(lambda: NOW - timedelta(minutes=11))
                opened = sessions.start(session, self.door, stored, client="", address="127.0.0.1")
                clock.use(lambda: NOW)
                who = self.door.read(opened.access_token) if name != "aged" else None
                if name == "ended":
                    session.get_one(LoginSession, opened.session_id).revoked_at = NOW
                if name == "disabled":
                    stored.disabled_at = NOW
                if name == "regranted":
                    stored.version += 1
                    strange = replace(who, version=1) if who else None
            made[name] = (opened.access_token, "token-expired" if name == "aged" else "token-stale")
        other = Doorkeeper(replace(self.settings, keys=self.settings.var / "other-keys"))
        other.keys.ensure()
        if strange is None:
            raise RuntimeError("nobody to forge a token for")
        return {
            **made,
            "missing": (None, "token-missing"),
            "garbage": ("not.a.token", "token-invalid"),
            "foreign_key": (tokens.sign(other.keys, self.settings.issuer, strange)[0], "token-invalid"),
            "foreign_issuer": (tokens.sign(self.door.keys, "elsewhere", strange)[0], "token-invalid"),
        }


def _policy(region: str, code: str = "two-thirds", *, published: bool) -> PolicyRow:
    return PolicyRow(
        id=ids.new_id(),
        region_prefix=region,
        code=code,
        version=1,
        valid_from=date(2020, 1, 1) if published else date(2026, 7, 1),
        document={"code": code, "basis": "calendar", "duty_counts_in_village": True},
        reason="" if published else f"理由{code}",
        created_at=LONG_AGO,
        created_by=_MAKER if published else "somebody-else",
        published_at=LONG_AGO if published else None,
        published_by="another" if published else None,
    )


def _circle(mark: int) -> Any:
    return from_shape(MultiPolygon([circle(lon=106.0 + mark / 100, lat=29.5, radius_m=200)]), srid=4326)


def settings_of(url: str, var: Path) -> Settings:
    """Return the settings of the matrix's server: cheap passwords, no quotas, everything else as shipped."""
    return Settings(
        database_url=url, var=var, argon2_memory_kib=19_456, quota_read=0, quota_write=0, quota_heavy=0
    )
