"""Fuzzes the reader of access tokens; see fuzzing.py.

The first byte chooses: a token's text as it is; or header and claims, which are then signed with the real key, so that
what lies behind the signature is reached too. A token whose signed part was not signed here must never be accepted.
"""

import base64
import json
import sys
import tempfile
from pathlib import Path
from uuid import UUID

import atheris
import fuzzing
import parts

sys.path.insert(0, str(fuzzing.ROOT))
with atheris.instrument_imports(include=["server.auth", "server.access", "jwt"]):
    import jwt

    from server.access import Grant, Role, Who
    from server.auth import tokens
    from server.auth.keys import KeySet, Purpose
    from server.problems import Problem

ISSUER = "zaicun"
WHO = Who(
    UUID(int=1),
    UUID(int=2),
    3,
    UUID(int=4),
    (
        Grant(Role.TOWN, "500116101"),
        Grant(Role.UNIT, unit_id=UUID(int=5)),
        Grant(Role.INSPECTOR, "500116", assignment="1"),
    ),
)
TEXT, SIGNED = range(2)


class Desk:
    """A key set of its own, and the tokens that were signed here."""

    def __init__(self) -> None:
        self.keys = KeySet(Path(tempfile.mkdtemp(prefix="zaicun-fuzz-")))
        self.keys.ensure()
        self.key = self.keys.current(Purpose.ACCESS)
        self.good = tokens.sign(self.keys, ISSUER, WHO)[0]

    def signed(self, header: bytes, claims: bytes) -> str:
        """Return a token with this header and these claims, whatever they are, and a true signature."""
        body = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, claims))
        if self.key.private is None:
            raise RuntimeError("no private key")
        signature = jwt.algorithms.get_default_algorithms()["ES256"].sign(body.encode(), self.key.private)
        return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    def one(self, data: bytes) -> None:
        """Read one token; the only exception is the 401."""
        if not data:
            return
        kind, content = data[0] % 2, data[1:]
        if kind == SIGNED:
            header, claims = parts.divided(content.replace(b"KID", self.key.kid.encode()), 2)
            token = self.signed(header, claims)
        else:
            token = content.decode("utf-8", "surrogateescape").replace("GOOD", self.good)
        try:
            claimed = tokens.verify(self.keys, ISSUER, token)
        except Problem as problem:
            if problem.kind.status != 401:
                raise
            return
        assert kind == SIGNED or token.rpartition(".")[0] == self.good.rpartition(".")[0], (
            "a forged token was accepted"
        )
        assert claimed.ends > claimed.starts or claimed.who.grants is not None
        claimed.who.regions(*Role)


def seeds() -> list[bytes]:
    """Return where to begin: a good token, and the parts of one."""
    desk = Desk()
    header, claims = (base64.urlsafe_b64decode(part + "==") for part in desk.good.split(".")[:2])
    header = json.dumps({**json.loads(header), "kid": "KID"}).encode()
    cadre = json.loads(claims)
    bare = json.dumps({**{k: v for k, v in cadre.items() if k != "pid"}, "grants": []}).encode()
    return [b"\x00GOOD", b"\x01" + parts.joined([header, claims]), b"\x01" + parts.joined([header, bare])]


if __name__ == "__main__":
    fuzzing.fuzz(Desk().one)
