"""The commands `zaicun verify-receipt` and `zaicun receipts`."""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import httpx
from sqlalchemy import orm

from server import audit, terminal
from server import settings as settings_module
from server.auth.jws import PublicKey
from server.auth.keys import KeySet
from server.checkins import receipt_files, receipt_queries, receipt_routes, service, verifying
from server.checkins.auditing import Audit
from server.checkins.receipt_files import Unreadable
from server.checkins.receipts import Receipt
from server.checkins.verifying import Finding
from server.places.rules import BEIJING
from server.settings import SettingsFault

MOST_SHOWN = 100
PROVEN, UNCHECKED = 1, 2
"""Exit codes: something is proven to be wrong; something could not be verified. 0: everything is as it says."""
Compare = Callable[[Receipt], list[Finding]]


@click.command("verify-receipt")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--keys", "keys_file", type=click.Path(path_type=Path, dir_okay=False),
    help="The answer of GET /v1/receipt-keys, kept in a file. Default: this installation's own keys.",
)  # fmt: skip
@click.option(
    "--complete",
    is_flag=True,
    help="The files hold all of a person's receipts: what is not there is a fault.",
)
@click.option(
    "--database", is_flag=True, help="Also compare with the records in this installation's database."
)
@click.option(
    "--server", help="Also compare with what the server at this address answers its owner (--token-file)."
)
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), help="File with an access token of the owner."
)  # fmt: skip
def verify_receipt(
    files: tuple[Path, ...],
    *,
    keys_file: Path | None,
    complete: bool,
    database: bool,
    server: str | None,
    token_file: Path | None,
) -> None:
    """Verify receipts (核验回执): signature, content and chain, without a server; with --database or --server also the record.

    FILES hold a receipt a line, answers of the API, or what a phone keeps. Exit code 0: all of it is good; 1: a receipt
    is forged, a chain is broken, a record was deleted or altered; 2: something could not be verified.
    """
    try:
        keys, stolen = receipt_files.keys_in(keys_file) if keys_file else _own_keys(database=database)
        kept = [one for file in files for one in receipt_files.kept_in(file)]
    except Unreadable as fault:
        click.echo(f"✗ {fault}", err=True)
        raise SystemExit(UNCHECKED) from None
    good, found = verifying.each(kept, keys, stolen)
    found += verifying.chained(good)
    # One that came back is compared through the receipt that it got then.
    newest = [receipt for receipt in good if receipt.digest not in {other.restores for other in good}]
    if database:
        with terminal.opened() as (opened, _), opened.read(long=True) as session:
            found += _compared(newest, lambda receipt: _in_database(session, receipt))
    if server is not None:
        if token_file is None:
            raise click.UsageError("--server needs --token-file")
        with httpx.Client(base_url=server, timeout=30) as client:
            client.headers["Authorization"] = f"Bearer {token_file.read_text('utf-8').strip()}"
            found += _over_http(client, newest)
    _tell(good, found, complete=complete)


def _own_keys(*, database: bool) -> tuple[dict[str, PublicKey], frozenset[str]]:
    """Return the keys of this installation: those of the folder, with `database` those it signed with before as well."""
    try:
        folder = KeySet(settings_module.load().keys_dir)
        listed = receipt_routes.shown(folder, {})
        if database:
            with terminal.opened() as (opened, _):
                listed = receipt_routes.published(opened, folder).keys
    except SettingsFault as fault:
        raise Unreadable(str(fault)) from None
    if not listed:
        raise Unreadable(
            f"{folder.folder}: 没有回执公钥，请用 --keys 指明 / no keys of receipts here; name a file with --keys"
        )
    return receipt_files.of_listed([key.model_dump() for key in listed])


def _compared(newest: Iterable[Receipt], compare: Compare) -> list[Finding]:
    return [finding for receipt in newest for finding in compare(receipt)]


def _in_database(session: orm.Session, receipt: Receipt) -> list[Finding]:
    record = receipt_queries.stored(session, receipt.person_id, receipt.checkin_id)
    head = receipt_queries.head_of(session, receipt.person_id)
    return verifying.against(receipt, record, None if head is None else (head.epoch, head.seq))


def _over_http(client: httpx.Client, newest: Iterable[Receipt]) -> list[Finding]:
    """Compare with what the server answers; raises click.ClickException when it does not."""
    try:
        now = _asked(client, "/v1/me/sync")["receipts"] or {"epoch": 0, "seq": 0}
        head = (now["epoch"], now["seq"])
        return _compared(
            newest,
            lambda receipt: verifying.told(
                receipt, _asked(client, f"/v1/check-ins/{receipt.checkin_id}"), head
            ),
        )
    except (httpx.HTTPError, ValueError, KeyError) as fault:
        raise click.ClickException(f"服务器没有答复 / the server did not answer: {fault}") from None


def _asked(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return {}
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _tell(good: list[Receipt], found: list[Finding], *, complete: bool) -> None:
    spoken = {finding.subject for finding in found}
    for receipt in sorted(good, key=lambda receipt: (receipt.person_id, receipt.epoch, receipt.seq)):
        if verifying.named(receipt) not in spoken:
            click.echo(f"✓ {verifying.named(receipt)}: {receipt.verdict} {receipt.standing}")
    for finding in found:
        click.echo(finding.text)
    faults = [finding for finding in found if finding.fault or (complete and finding.code in {"gap", "cut"})]
    click.echo(
        f"{len(good)} 份回执的签名正确，{len(faults)} 处有问题 / receipts have good signatures; faults: {len(faults)}"
    )
    if faults:
        raise SystemExit(PROVEN)
    if any(finding.code == "key" for finding in found):
        raise SystemExit(UNCHECKED)


@click.group("receipts")
def receipts_group() -> None:
    """回执: the chains of receipts."""


@receipts_group.command("check")
def check() -> None:
    """Look through every person's chain in the database (核对全部回执链): what was altered, deleted, put in or cut off.

    Exit code 1 when something is wrong. A chain that was cut and whose head was moved back as well is whole here: only
    the receipts on the phones show it (zaicun verify-receipt --database).
    """
    looked = Audit()
    faults = 0
    with terminal.opened() as (database, _), database.read(long=True) as session:
        for finding in looked.run(session):
            faults += 1
            if faults <= MOST_SHOWN:
                click.echo(finding.text)
    click.echo(
        f"{looked.people} 人的 {looked.receipts} 份回执已核对，{faults} 处有问题；{looked.unsealed} 次签到早于回执；"
        f"{looked.restored} 次凭回执找回 / receipts of {looked.people} people checked, faults: {faults}; "
        f"stored before there were receipts: {looked.unsealed}; come back by their receipts: {looked.restored}"
    )
    if faults:
        raise SystemExit(PROVEN)


@receipts_group.command("keys")
def keys() -> None:
    """Print the public keys and the epochs as GET /v1/receipt-keys answers them: for verify-receipt --keys."""
    with terminal.opened() as (database, settings):
        told = receipt_routes.published(database, KeySet(settings.keys_dir))
    click.echo(told.model_dump_json(indent=1))


@receipts_group.command("new-epoch")
@click.option(
    "--resend-from", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), required=True,
    help="From when records are missing, Beijing time: phones send again what was received since.",
)  # fmt: skip
@click.option("--reason", required=True, help="Why; recorded.")
def new_epoch(resend_from: datetime, reason: str) -> None:
    """Begin a new epoch of the chains after the database was brought back in another way than by `zaicun restore`."""
    since = resend_from.replace(tzinfo=BEIJING)
    with terminal.opened() as (database, settings), database.write() as session:
        number = service.begin_epoch(session, settings.district_code, since)
        audit.record(
            session,
            None,
            "receipts:new-epoch",
            ("epoch", number),
            resend_from=since.isoformat(),
            reason=reason,
        )
    click.echo(f"第 {number} 期 / epoch {number}")
