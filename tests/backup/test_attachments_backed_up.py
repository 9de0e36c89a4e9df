"""The contents of attachments go with a backup and come back; what is missing is told (M22)."""

import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import Clone, Cloned, running_service
from factories_attachments import jpeg, link, stored, upload
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO

from server.access import Role
from server.auth.models import Account
from server.cli import main

pytestmark = pytest.mark.slow


def zaicun(cloned: Cloned, var: Path, *words: object) -> Result:
    given = {
        "ZAICUN_DATABASE_URL": cloned.app_url,
        "ZAICUN_OWNER_DATABASE_URL": cloned.owner_url,
        "ZAICUN_VAR": str(var),
    }
    return CliRunner(env=given).invoke(main, [str(word) for word in words])


def test_contents_go_with_the_backup_and_come_back(clone: Clone, tmp_path: Path) -> None:
    old, new = clone(), clone()
    with running_service(old, tmp_path / "old") as service:
        with service.database.write() as session:
            account = make_account(session, role=Role.CADRE, region="500116101200", valid_from=LONG_AGO)
        with service.as_(token_for(service, account)) as phone:
            one, other = (upload(phone, jpeg(seed=seed))["id"] for seed in (1, 2))
            before = service.client.get(link(phone, one)).content
            phone.delete(f"/v1/attachments/{other}/upload").raise_for_status()
    file = tmp_path / "one.backup"
    made = zaicun(old, tmp_path / "old", "backup", file)
    assert made.exit_code == 0, made.output
    contents = stored(tmp_path / "old" / "attachments" / "content")
    with zipfile.ZipFile(file) as archive:  # What was given up is in no backup, though not swept yet.
        assert sum(name.startswith("attachments/") for name in archive.namelist()) == 1 < len(contents)
    back = zaicun(new, tmp_path / "new", "restore", file)
    assert back.exit_code == 0, back.output
    with running_service(new, tmp_path / "new") as service:
        with service.database.read() as session:
            again = session.get_one(Account, account.id)
        with service.as_(token_for(service, again)) as phone:
            assert service.client.get(link(phone, one)).content == before
    assert stored(tmp_path / "new" / "attachments" / "incoming") == []
    checked = zaicun(new, tmp_path / "new", "check")
    assert "1 contents" in checked.output


def test_a_backup_without_attachments_and_one_of_lost_ones_say_so(clone: Clone, tmp_path: Path) -> None:
    cloned = clone()
    with running_service(cloned, tmp_path / "var") as service:
        with service.database.write() as session:
            account = make_account(session, role=Role.CADRE, region="500116101200", valid_from=LONG_AGO)
        with service.as_(token_for(service, account)) as phone:
            upload(phone, jpeg())
    bare = zaicun(cloned, tmp_path / "var", "backup", tmp_path / "bare.backup", "--without-attachments")
    assert "0 个附件" in bare.output
    (lost,) = stored(tmp_path / "var" / "attachments" / "content")
    lost.unlink()
    told = zaicun(cloned, tmp_path / "var", "backup", tmp_path / "lost.backup")
    assert told.exit_code == 0
    assert "1 个附件的内容不在目录中" in told.output + told.stderr
