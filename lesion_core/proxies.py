"""Which requests go through a proxy: none to this machine itself, the others as the environment says.

The usual variables are ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in either case; on macOS the
system's own settings count where none of them is set (``urllib.request.getproxies``).
"""

import ipaddress
from collections.abc import Mapping
from urllib.request import getproxies, proxy_bypass

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SCHEMES = ("http", "https", "all")


def is_loopback(host: str | None) -> bool:
    """Say whether a host name or address is this machine's loopback: localhost, 127.0.0.0/8 or ::1."""
    name = (host or "").strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def goes_direct(scheme: str, host: str) -> bool:
    """Say whether a request to ``scheme://host`` goes to the host itself and not to a proxy."""
    if is_loopback(host):
        return True
    proxies = getproxies()
    return not (proxies.get(scheme) or proxies.get("all")) or bool(proxy_bypass(host))


def loopback_excepted(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that, added to ``environment``, keep any program's loopback requests from a proxy.

    Both spellings of ``NO_PROXY`` are set, since programs differ in which one they prefer; what either excepts
    already stays. Where the environment names no proxy, the system's own (macOS) are written out as well: with
    ``NO_PROXY`` set, programs no longer look for them.
    """
    added = {}
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        added[name] = _with_loopback(environment.get(name, environment.get(other, "")))
    if not any(
        environment.get(f"{scheme}_proxy".upper()) or environment.get(f"{scheme}_proxy") for scheme in _SCHEMES
    ):
        system = getproxies()
        added |= {f"{scheme}_proxy": system[scheme] for scheme in _SCHEMES if system.get(scheme)}
    return added


def _with_loopback(excepted: str) -> str:
    hosts = [host.strip() for host in excepted.split(",") if host.strip()]
    if "*" in hosts:
        return "*"
    return ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
