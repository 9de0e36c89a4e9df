"""Origins of browsers (RFC 6454, the Fetch standard): which pages of other addresses may use the API.

An origin is listed exactly as a browser sends it: scheme and host in small letters, a port only where it is not the
scheme's own, no path. Pure.
"""

import re
from urllib.parse import urlsplit

_SHAPE = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::([1-9][0-9]{0,4}))?")
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_LAST_PORT = 65_535
_USUAL_PORT = {"https": "443", "http": "80"}


def fault_of(origin: str) -> str | None:
    """Return what is wrong with an origin, as the end of a sentence; None when a browser could send it."""
    if "*" in origin:
        return "names no origin; list each one, because a wildcard would let any page use the API"
    found = _SHAPE.fullmatch(origin)
    if found is None:
        return f"is not an origin; write it as a browser sends it{_proposal(origin)}"
    scheme, host, port = found.groups()
    if port == _USUAL_PORT[scheme]:
        return f"names the usual port, which no browser sends; write {scheme}://{host}"
    if port is not None and int(port) > _LAST_PORT:
        return "has no possible port"
    if scheme == "http" and host not in _LOOPBACK:
        return "is not encrypted; only https, or http on this machine (localhost, 127.0.0.1, [::1])"
    return None


def _proposal(origin: str) -> str:
    """Return what was probably meant: the address without its path, in small letters."""
    try:
        parts = urlsplit(origin.strip().lower())
    except ValueError:
        return ", like https://phone.example.org"
    meant = f"{parts.scheme}://{parts.netloc}"
    return f": {meant}" if _SHAPE.fullmatch(meant) and meant != origin else ", like https://phone.example.org"
