"""Asking a request for the proof of a phone's key, and what it hears when the proof is not good (RFC 9449 section 7)."""

from collections.abc import Sequence

from fastapi import Request

from server import metrics, problems
from server.auth import proofs
from server.auth.jws import PublicKey, Unfit
from server.auth.nonces import Nonces
from server.auth.proofs import Asked, Proof
from server.problems import Kind, Problem

HEADER = "DPoP"
NONCE = "dpop-nonce"
_ALGS = 'algs="ES256 EdDSA Ed25519"'


def required(
    request: Request, nonces: Nonces, *, behind_proxy: bool, token: str | None = None, jkt: str | None = None
) -> PublicKey:
    """Return the key that the request's proof is of, and leave the next nonce for its answer.

    `token` is the access token that the proof must name, `jkt` the key that it must be of, where there is one.

    Raises Problem: 401 proof-refused without a proof or with one that is not right, 401 use-dpop-nonce when its nonce is
    missing or old or it was sent before (the answer brings another nonce), 503 busy when no more can be remembered.
    """
    asked = Asked(request.method, address(request, behind_proxy=behind_proxy), token)
    try:
        proof = _read(request.headers.getlist(HEADER), asked, jkt)
    except Unfit as unfit:
        raise refused(unfit.cause, nonces) from None
    _spend(proof, nonces)
    request.scope["state"][NONCE] = nonces.current().encode()
    return proof.key


def offered(request: Request, nonces: Nonces, *, behind_proxy: bool) -> PublicKey | None:
    """Return the key of a request that may do without a token; None when it brings no proof. Raises as `required`."""
    if HEADER not in request.headers:
        return None
    return required(request, nonces, behind_proxy=behind_proxy)


def address(request: Request, *, behind_proxy: bool) -> str:
    """Return the address that this request came to, as its sender wrote it but for the query."""
    scheme = "https" if behind_proxy else request.url.scheme
    path = request.scope.get("raw_path") or request.url.path.encode()
    return f"{scheme}://{request.headers.get('host', '')}{path.decode('latin-1')}"


def refused(cause: str, nonces: Nonces) -> Problem:
    """Return the 401 of a proof that is not right, and count why. Its text tells what every sender may know."""
    metrics.proof_refused(cause)
    return _problem(problems.PROOF_REFUSED, "invalid_dpop_proof", nonces)


def _read(given: Sequence[str], asked: Asked, jkt: str | None) -> Proof:
    if len(given) != 1:
        raise Unfit("several" if given else "missing")
    proof = proofs.read(given[0], asked)
    if jkt is not None and proof.key.jkt != jkt:
        raise Unfit("key")
    return proof


def _spend(proof: Proof, nonces: Nonces) -> None:
    """Take a proof, once. Sent again it is no worse than stale: some phones' systems send a request again unasked."""
    window = nonces.window_of(proof.nonce) if proof.nonce is not None else None
    if window is None or not nonces.use(proof.key.jkt, proof.jti, window):
        metrics.proof_refused("nonce" if window is None else "replay")
        raise _problem(problems.USE_DPOP_NONCE, "use_dpop_nonce", nonces)


def _problem(kind: Kind, error: str, nonces: Nonces) -> Problem:
    headers = {"WWW-Authenticate": f'DPoP error="{error}", {_ALGS}', "DPoP-Nonce": nonces.current()}
    return Problem(kind, headers=headers)
