"""Contents in a store that speaks S3, through obstore (Apache Arrow's object_store in Rust). Loaded when configured."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from server.attachments.storage import PIECE, StorageFault, Stored
from server.settings import Settings

_PATIENCE: Final = timedelta(seconds=20)
_PART: Final = 5 << 20
"""Parts of a large object: the least that S3 takes."""


class Bucket:
    """Contents under a prefix of a bucket. An object is there whole or not at all: that is S3's own promise."""

    def __init__(self, settings: Settings) -> None:
        """Take ``s3://bucket/prefix`` and what goes with it from the settings. Nothing is asked of the store yet."""
        told = urlsplit(settings.attachments_s3)
        plain = settings.attachments_s3_endpoint.startswith("http://")
        self.store = S3Store(
            told.netloc,
            prefix=told.path.strip("/") or None,
            endpoint=settings.attachments_s3_endpoint or None,
            region=settings.attachments_s3_region,
            access_key_id=settings.attachments_s3_key,
            secret_access_key=settings.attachments_s3_secret,
            virtual_hosted_style_request=False,
            client_options={
                "timeout": _PATIENCE,
                "connect_timeout": timedelta(seconds=3),
                "allow_http": plain,
            },
            retry_config={"max_retries": 2, "retry_timeout": _PATIENCE},
        )

    def put(self, name: str, source: Path) -> None:
        """Send the file unless an object of its name and size is there."""
        with _told(name):
            try:
                if obstore.head(self.store, name)["size"] == source.stat().st_size:
                    source.unlink()
                    return
            except FileNotFoundError:
                pass
            obstore.put(self.store, name, source, chunk_size=_PART, max_concurrency=2)
            source.unlink()

    def read(self, name: str, first: int, size: int) -> Iterator[bytes]:
        """Ask for the bytes piece by piece, so that a slow reader keeps no connection to the store open."""
        with _told(name):
            obstore.head(self.store, name)

        def pieces() -> Iterator[bytes]:
            at = first
            while at < first + size:
                with _told(name):
                    wanted = min(4 * PIECE, first + size - at)
                    piece = bytes(obstore.get_range(self.store, name, start=at, length=wanted))
                if len(piece) != wanted:
                    raise StorageFault(f"{name[:8]}… is shorter than it was")
                at += wanted
                yield piece

        return pieces()

    def delete(self, name: str) -> None:
        """Delete the object."""
        with _told(name):
            try:
                obstore.delete(self.store, name)
            except FileNotFoundError:
                return

    def listed(self) -> Iterator[Stored]:
        """List the objects under the prefix, a thousand at a time."""
        with _told("the list"):
            for some in obstore.list(self.store, chunk_size=1000):
                for each in some:
                    yield Stored(each["path"], each["size"], each["last_modified"].timestamp())

    def probe(self) -> None:
        """Try it with an object of its own."""
        with _told("a trial"):
            obstore.put(self.store, "zaicun-probe", b"zaicun")
            obstore.delete(self.store, "zaicun-probe")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell what failed by its kind alone: the store's own words may hold addresses and signatures."""
    try:
        yield
    except (BaseError, OSError) as fault:
        raise StorageFault(f"S3: {name[:8]}…: {type(fault).__name__}") from fault
