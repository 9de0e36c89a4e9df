"""Two real workers: a proof that one of them took is refused by the other, and each takes the other's nonces."""

import contextlib
import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from factories_auth import make_account
from factories_devices import Keyed, bound
from processes import Processes

from server.access import Role

pytestmark = pytest.mark.slow


@pytest.fixture
def phone(two_workers: Processes) -> Keyed:
    with two_workers.service.database.write() as session:
        account = make_account(session, role=Role.CADRE)
    made = bound(two_workers.service, account)
    assert made.alive()
    return made


def test_a_proof_sent_to_both_workers_is_taken_once(two_workers: Processes, phone: Keyed) -> None:
    """A hundred proofs, six times each, every one on a connection of its own: the kernel spreads them."""
    url = f"{two_workers.url}/v1/me"
    proofs = [phone.key.proof("GET", url, phone.nonce, token=phone.access) for _ in range(100)]

    def send(proof: str) -> tuple[str, int]:
        line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        with contextlib.closing(line):
            line.request("GET", "/v1/me", headers={"Authorization": f"DPoP {phone.access}", "DPoP": proof})
            return proof, line.getresponse().status

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, proofs * 6))
    taken = Counter(proof for proof, status in answers if status == 200)
    assert taken == dict.fromkeys(proofs, 1)
    assert Counter(status for _, status in answers) == {200: 100, 401: 500}
    served = Counter(line["worker"] for line in two_workers.lines() if line.get("operation") == "auth-me")
    assert set(served) == {0, 1}, "the requests were meant to reach both"
