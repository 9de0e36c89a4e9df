"""The key set in a backup: as the files are, or sealed with a passphrase; and how it is put back.

Whoever holds the keys can sign tokens. Sealed means AES-256-GCM (NIST SP 800-38D) under a key that scrypt (RFC 7914)
makes from the passphrase; salt and nonce stand before the ciphertext, the backup's name for the part is bound to it.
"""

import base64
import hashlib
import io
import json
import os
import secrets
from datetime import UTC
from pathlib import Path, PurePosixPath

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server import clock
from server.auth.keys import Purpose
from server.backup.archive import KEYS, SEALED, BackupFault, Reader, Writer

_SALT, _NONCE = 16, 12
_COST = {"n": 1 << 16, "r": 8, "p": 1, "maxmem": 128 << 20}  # About 64 MiB and a fifth of a second.
SHORTEST_PASSPHRASE = 12
_RECEIPT = f"{Purpose.RECEIPT}-"


def kind(*, with_keys: bool, passphrase: bytes | None) -> str:
    """Return the manifest's word for how the keys are kept."""
    if not with_keys:
        return "left out"
    return "plain" if passphrase is None else "sealed"


def passphrase_of(file: Path) -> bytes:
    """Return the first line of a file. Raises BackupFault when it is too short or cannot be read."""
    try:
        line = file.read_bytes().split(b"\n", 1)[0].strip()
    except OSError as fault:
        raise BackupFault(f"{file} cannot be read: {fault}.", f"无法读取 {file}: {fault}。") from fault
    if len(line) < SHORTEST_PASSPHRASE:
        raise BackupFault(
            f"The passphrase in {file} needs {SHORTEST_PASSPHRASE} bytes at least.",
            f"{file} 中的口令至少需要 {SHORTEST_PASSPHRASE} 个字节。",
        )
    return line


def add(writer: Writer, folder: Path, passphrase: bytes | None) -> None:
    """Add every key of the folder. Raises BackupFault when there is none: then the folder is not the right one."""
    try:
        found = {path.name: path.read_bytes() for path in sorted(folder.glob("*-*.jwk"))}
    except OSError as fault:
        raise BackupFault(
            f"The keys in {folder} cannot be read: {fault}.", f"无法读取 {folder} 中的密钥: {fault}。"
        ) from fault
    if not found:
        raise BackupFault(
            f"There are no keys in {folder}. Name the folder with ZAICUN_KEYS, or say --without-keys.",
            f"{folder} 中没有密钥。请用 ZAICUN_KEYS 指明目录, 或使用 --without-keys。",
        )
    if passphrase is None:
        for name, content in found.items():
            writer.add(KEYS + name, io.BytesIO(content))
    else:
        writer.add(SEALED, io.BytesIO(_seal(found, passphrase)))


def _seal(files: dict[str, bytes], passphrase: bytes) -> bytes:
    plain = json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}).encode()
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    return salt + nonce + AESGCM(_derived(passphrase, salt)).encrypt(nonce, plain, SEALED.encode())


def _derived(passphrase: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase, salt=salt, dklen=32, **_COST)


def read(reader: Reader, passphrase: bytes | None) -> dict[str, bytes]:
    """Return the key files of a backup by name; none when they were left out. Raises BackupFault."""
    if not reader.names(SEALED):
        found = {}
        for name in reader.names(KEYS):
            with reader.open(name) as member:
                found[_plain_name(name.removeprefix(KEYS))] = member.read()
        return found
    if passphrase is None:
        raise BackupFault(
            "The keys in this backup are sealed: name the file with the passphrase (--passphrase-file).",
            "该备份中的密钥已加密, 请用 --passphrase-file 指明口令文件。",
        )
    with reader.open(SEALED) as member:
        sealed = member.read()
    salt, nonce, rest = sealed[:_SALT], sealed[_SALT : _SALT + _NONCE], sealed[_SALT + _NONCE :]
    try:
        plain = AESGCM(_derived(passphrase, salt)).decrypt(nonce, rest, SEALED.encode())
    except InvalidTag:
        raise BackupFault("The passphrase is not the one of this backup.", "口令与该备份不符。") from None
    return {_plain_name(name): base64.b64decode(content) for name, content in json.loads(plain).items()}


def _plain_name(name: str) -> str:
    """Refuse a name that would lead out of the folder."""
    if PurePosixPath(name).name != name or not name.endswith(".jwk") or name.startswith("."):
        raise BackupFault(
            f"The backup holds a key with the odd name {name!r}.", f"备份中有名称异常的密钥 {name!r}。"
        )
    return name


def _free_name(taken: set[str]) -> str:
    numbers = [
        int(name.removeprefix(_RECEIPT).removesuffix(".jwk")) for name in taken if name.startswith(_RECEIPT)
    ]
    return f"{_RECEIPT}{max(numbers) + 1:06d}.jwk"


def put_back(files: dict[str, bytes], folder: Path) -> Path | None:
    """Write the keys into the folder; other keys that are in it are set aside, never deleted.

    Keys of receipts stay, under another number where the backup has theirs: phones hold receipts from after the backup,
    by which check-ins come back (ruling 24). Returns the folder into which the others were set aside, None when there
    were none. Run by root, the keys get the folder's owner.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = folder.stat()
    others = [p for p in sorted(folder.glob("*.jwk")) if files.get(p.name) != p.read_bytes()]
    for kept in [p for p in others if p.name.startswith(_RECEIPT)]:
        others.remove(kept)
        if kept.name in files:
            kept.rename(folder / _free_name({*files, *(p.name for p in folder.glob("*.jwk"))}))
    aside = folder / f"replaced-{clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}" if others else None
    if aside is not None:
        aside.mkdir(mode=0o700)
        os.chown(aside, owner.st_uid, owner.st_gid, follow_symlinks=False)
        for path in others:
            path.rename(aside / path.name)
    for name, content in files.items():
        target = folder / name
        if target.exists():
            continue
        draft = folder / f".{secrets.token_hex(8)}.new"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchown(handle, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(handle)
        draft.rename(target)
    return aside
