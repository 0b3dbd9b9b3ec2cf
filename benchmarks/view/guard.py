"""Who may read what a view shows: the rules, as functions of a request's headers.

A page of any other origin that is open in the same browser can reach a server on the loopback
address, and so can every user of the machine. Hence three conditions, all of them for the page
and for its websocket:

- the request names a host that this server is (a name that others made point here is refused);
- where it names an origin, that is this server's own; a websocket has to name it;
- it brings the key, a random one that the printed address holds, in the address or, from then
  on, in a cookie that goes to this server alone.

Source
------
RFC 6454 (the Origin header), RFC 6455 section 10.2 (websocket servers have to check it).
"""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_ALL_ADDRESSES = ("0.0.0.0", "::")

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline' "
    "'wasm-unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Sent with every answer: the page may load nothing from elsewhere, nor be framed."""


class Headers(Protocol):
    """A request's headers, as `websockets` gives them."""

    def get_all(self, key: str) -> Sequence[str]:
        """Return every value of a header."""
        ...


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The conditions of one server."""

    host: str
    """Address that it is bound to."""
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def refusal(self, path: str, headers: Headers, *, port: int) -> str | None:
        """Return why a request is refused, a sentence; None where it is let in."""
        hosts = headers.get_all("Host")
        if len(hosts) != 1 or not self._is_ours(hosts[0], port):
            return "the request names another host"
        origins = headers.get_all("Origin")
        is_websocket = any(v.lower() == "websocket" for v in headers.get_all("Upgrade"))
        if is_websocket and len(origins) != 1:
            return "a websocket has to name its origin"
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return "the request comes from a page of another origin"
        if not self._has_key(path, headers, port):
            return "the key is missing: open the address that facekit view has printed"
        return None

    def cookie(self, port: int) -> str:
        """Return the value of `Set-Cookie` that keeps the key for this browser session."""
        return f"{_cookie_name(port)}={self.key}; Path=/; HttpOnly; SameSite=Strict"

    def brings_key(self, path: str) -> bool:
        """Tell whether the address holds the key."""
        given = parse_qs(urlsplit(path).query).get("key", [])
        return len(given) == 1 and _equal(given[0], self.key)

    def _is_ours(self, host: str, port: int) -> bool:
        name, _, number = host.lower().rpartition(":")
        if number != str(port):
            return False
        own = self.host.lower().strip("[]")
        if is_loopback(self.host):
            return name in (*_LOOPBACK_NAMES, own, f"[{own}]")
        if own in _ALL_ADDRESSES:  # a name in the DNS may lead here for anybody's sake, no number
            machine = socket.gethostname().lower()
            return is_address(name) or name in ("localhost", machine, machine.partition(".")[0])
        return name in (own, f"[{own}]")

    def _has_key(self, path: str, headers: Headers, port: int) -> bool:
        wanted = _cookie_name(port)
        cookies = [c.strip() for line in headers.get_all("Cookie") for c in line.split(";")]
        given = [c.partition("=")[2] for c in cookies if c.partition("=")[0] == wanted]
        return self.brings_key(path) or any(_equal(one, self.key) for one in given)


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback


def is_address(host: str) -> bool:
    """Tell whether a host is named by its number, with or without brackets."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _cookie_name(port: int) -> str:
    return f"facekit-view-{port}"  # cookies do not tell ports apart


def _equal(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode(), key.encode())
