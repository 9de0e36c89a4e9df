"""Logging in and activating through HTTP, and what it cost, for the tests of both."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx
from conftest import Service

from server.auth import codes
from server.auth.models import Account
from server.auth.passwords import Hasher
from server.notices.service import default

PASSWORD = "春天的江边有三棵黄桷树"
WRONG = "秋天的山上有两棵银杏树"


def log_in(service: Service, name: str, password: str, **more: str) -> httpx.Response:
    return service.client.post("/v1/auth/login", json={"login": name, "password": password, **more})


def activate(service: Service, name: str, code: str, password: str = PASSWORD) -> httpx.Response:
    body = {"login": name, "code": code, "password": password, "notice": default().digest}
    return service.client.post("/v1/auth/activate", json=body)


def new_code(service: Service, account: Account) -> str:
    with service.database.write() as session:
        return codes.make(session, None, session.get_one(Account, account.id)).code


@dataclass
class Work:
    """How many hashes the server computed while something was done."""

    hasher: Hasher

    def of(self, deed: Callable[[], object]) -> int:
        before = self.hasher.work
        deed()
        return self.hasher.work - before
