"""The demonstration from beginning to end: a district is set up, a past month is lived, and the month is told."""

import itertools
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from zaicun_phone import Phone

from server import cluster
from server.cluster import APP_ROLE
from server.demo.district import DISTRICT, District
from server.demo.lives import Life, Tap, lives
from server.demo.office import Json, Office
from server.demo.ready import BEIJING, DATABASE, HANDS, Prepared, morning_before, prepare
from server.demo.stage import Stage, raised
from server.settings import Settings

WORKERS = 2
PART = 240
"""Minutes of a part of the day."""


@dataclass
class Outcome:
    """What the phones were answered."""

    verdicts: Counter[str] = field(default_factory=Counter)
    sendings: int = 0
    replays: int = 0
    refused: int = 0


@dataclass
class Player:
    """One virtual phone and the life it is carried through."""

    life: Life
    phone: Phone
    stage: Stage
    waiting_since: date | None = None
    reached: bool = (
        False  # "No more taps are needed this month": this phone was told so, and its owner stops.
    )

    def live(self, day: date, part: int, outcome: Outcome) -> None:
        """Do what this person's phone does in this part of this day."""
        for tap in self.life.taps:
            if tap.day == day and tap.minute // PART == part and not self.reached:
                self.phone.tap(tap.position, no_position=tap.no_position)
                self.waiting_since = self.waiting_since or day
                if (day - self.waiting_since).days + 1 >= self.life.sync_every:
                    self.send(tap, outcome)

    def send(self, tap: Tap | None, outcome: Outcome) -> None:
        """Send what waits; some phones send everything several times."""
        waiting = [entry for entry in self.phone.queue if entry["answer"] is None]
        for answer in self.phone.flush():
            outcome.sendings += 1
            outcome.refused += not answer.stored
            outcome.verdicts[str(answer.body.get("verdict") or answer.body.get("code"))] += 1
            self.reached = self.reached or (answer.body.get("month") or {}).get("tier") == "reached"
        self.waiting_since = None
        for _ in range((tap.times_sent if tap else 1) - 1):
            for entry in waiting:
                entry["answer"] = None
            again = self.phone.flush()
            outcome.sendings += len(again)
            outcome.replays += sum(answer.replayed for answer in again)


def play(settings: Settings, month: date, people: int, console: Console, *, once: bool) -> None:
    """Run the demonstration; without `once` it keeps serving until interrupted."""
    begun = time.monotonic()
    last = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    district = District(people=people, month=month)

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/dim]  {line}", highlight=False)

    say(
        f"[bold]在村演示[/bold]：江津区 {len(district.people)} 名驻村干部（虚构），{month:%Y 年 %-m 月}；边界为合成示意，非真实村界"
    )
    # Passwords of people who do not exist are hashed with the least memory that OWASP's list allows.
    cheap = replace(settings, var=settings.var / "demo", argon2_memory_kib=19_456, workers=WORKERS)
    with cluster.ensure(cheap.var, say=say) as running:
        prepared = prepare(cheap, running, district, month, say)
        given = replace(cheap, database_url=running.dsn(APP_ROLE, DATABASE))
        with raised(given) as stage:
            _play(stage, prepared, district, month=month, last=last, console=console, say=say)
            say(f"[bold]完成[/bold]，用时 {time.monotonic() - begun:.0f} 秒")
            _logins(stage, prepared, district, console)
            if not once:
                console.print("正在服务，按 Ctrl+C 结束 / serving, press Ctrl+C to stop")
                while True:
                    time.sleep(3600)


def _play(
    stage: Stage,
    prepared: Prepared,
    district: District,
    *,
    month: date,
    last: date,
    console: Console,
    say: Callable[[str], None],
) -> None:
    stage.set(morning_before(month))
    players = _players(stage, prepared, district, month, last)
    outcome = _live(players, stage, last, console)
    say(f"共发送 {outcome.sendings} 次，其中重复 {outcome.replays} 次（只计一次），被拒 {outcome.refused} 次")
    say(f"{sum(p.reached for p in players)} 部手机被告知“本月无需再签到”，此后不再签到")
    say("判定：" + "，".join(f"{name} {number}" for name, number in outcome.verdicts.most_common()))
    stage.set(datetime.combine(last + timedelta(days=1), datetime.min.time(), BEIJING).replace(hour=9))
    _tell(Office(stage.url, *prepared.offices["甲"]), players, month, console)
    stage.real_time()


def _players(stage: Stage, prepared: Prepared, district: District, month: date, last: date) -> list[Player]:
    lines = itertools.cycle([httpx.Client(base_url=stage.url, timeout=60) for _ in range(HANDS)])
    players = []
    for life in lives(district, month, last):
        tokens = prepared.phones.get(life.person.number)
        if tokens is None or not life.taps:
            continue
        phone = Phone(
            stage.url,
            clock=lambda off=life.clock_off: stage.now() + off,  # type: ignore[misc]  # A default is no parameter here.
            client=next(lines),
            label="zaicun-phone/1.0 (demo)",
            access=tokens[0],
            refresh=tokens[1],
        )
        players.append(Player(life, phone, stage))
    return players


def _live(players: list[Player], stage: Stage, last: date, console: Console) -> Outcome:
    """Live the month part by part of each day; in each all the phones act at once."""
    outcome = Outcome()
    due: dict[tuple[date, int], list[Player]] = {}
    for each in players:
        for tap in each.life.taps:
            due.setdefault((tap.day, tap.minute // PART), []).append(each)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ThreadPoolExecutor(HANDS) as pool, Progress(*columns, console=console) as progress:
        task = progress.add_task("签到", total=sum(len(p.life.taps) for p in players))
        for (day, part), acting in sorted(due.items()):
            stage.set(
                datetime.combine(day, datetime.min.time(), BEIJING)
                + timedelta(minutes=part * PART + PART // 2)
            )
            list(pool.map(lambda each, day=day, part=part: each.live(day, part, outcome), acting))
            progress.update(task, advance=len(acting), description=f"签到 {day}")
        stage.set(datetime.combine(last, datetime.min.time(), BEIJING) + timedelta(hours=23, minutes=40))
        list(pool.map(lambda each: each.send(None, outcome), [p for p in players if p.phone.waiting()]))
    return outcome


def _tell(office: Office, players: list[Player], month: date, console: Console) -> None:
    office.log_in()
    rows = office.all_of(f"/v1/months/{month:%Y-%m}", region=DISTRICT)
    below = [row for row in rows if _result(row) == "below"]
    console.print(
        f"\n[bold]{month:%Y 年 %-m 月} 不足三分之二者 {len(below)} 人（按区划和姓名排列，不排名）[/bold]",
        highlight=False,
    )
    for row in below:
        words = row["statement"]["result"]
        console.print(
            f"  {row['village']['code']} {row['village']['name']}  {row['person']['name']}（{row['person']['number']}）  {words['zh']}",
            highlight=False,
        )
    _one_person(below, players, month, console)
    _summary(rows, month, console)


def _result(row: Json) -> str:
    return row["statement"]["result"]["code"] if row["statement"] else "no-policy"


def _one_person(below: list[Json], players: list[Player], month: date, console: Console) -> None:
    """Show what one of those below sees on the phone: each day with its reason."""
    numbers = {row["person"]["number"] for row in below}
    chosen = next(
        (p for p in players if p.life.person.number in numbers and p.life.habit.name == "IN_TOWN"), None
    )
    if chosen is None:
        return
    mine = chosen.phone.month(f"{month:%Y-%m}")
    console.print(
        f"\n[bold]本人看到的（{chosen.life.person.name}，{chosen.life.person.village.name}）[/bold]",
        highlight=False,
    )
    for day in mine["days"][:12]:
        console.print(f"  {day['day']}  {day['zh']}", highlight=False)
    console.print("  …")


def _summary(rows: list[Json], month: date, console: Console) -> None:
    results = Counter(_result(row) for row in rows)
    stated = [row["statement"] for row in rows if row["statement"]]
    words = {
        "met": "达到",
        "below": "不足",
        "too-short": "派驻天数过少，不作判断",
        "not-posted": "未派驻",
        "running": "进行中",
        "no-policy": "无政策",
    }
    console.print(f"\n[bold]一页小结：{month:%Y 年 %-m 月}，江津区（合成示意）[/bold]", highlight=False)
    console.print(
        f"  派驻人数 {len(rows)}；" + "；".join(f"{words[k]} {n}" for k, n in results.most_common()),
        highlight=False,
    )
    console.print(
        f"  全月无记录 {sum(s['no_data'] for s in stated)}（手机或账号可能有问题，不等于缺勤）；"
        f"待核实 {sum(s['needs_review'] for s in stated)}；有申报待证实 {sum(bool(s['claimed_days']) for s in stated)}",
        highlight=False,
    )
    if stated:
        first = stated[0]
        console.print(
            f"  政策：{first['policy']['name_zh']}（{first['policy']['clause']}）；自然日，因公外出计入；须驻村 {first['need_text']} 天起算按派驻天数",
            highlight=False,
        )


def _logins(stage: Stage, prepared: Prepared, district: District, console: Console) -> None:
    console.print(f"\n[bold]地址[/bold] {stage.url}   接口说明 {stage.url}/openapi.json", highlight=False)
    for name, (login, password) in prepared.offices.items():
        console.print(f"  {name:<14} {login:<18} {password}", highlight=False)
    shown = [person for person in district.people if person.number in prepared.phones][:3]
    for person in shown:
        login, password = person.number.lower(), prepared.phones[person.number][2]
        console.print(f"  干部 {person.name:<8} {login:<18} {password}", highlight=False)
    console.print(
        f"  试一试：bin/zaicun phone --server {stage.url} --login {login} --password {password} month {stage.now():%Y-%m}",
        highlight=False,
    )


def past_month(today: date) -> date:
    """Return the first day of the month before."""
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)
