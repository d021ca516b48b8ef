"""Which addresses a tool may connect to: those of the public internet, and no other.

A server, a redirect or a name server that answers anew each time must not be able to turn a
tool against this machine, its network or the cloud it runs in. So a host is resolved once,
every address that it has is checked, and the connection goes to a checked address.
"""

import ipaddress
import socket
from typing import Final

from chatbot.errors import ToolError

_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that is given out of IPv6. Outside of it are the sites' own addresses of old, which Python
takes for public, and IPv4 ones in disguise, such as those of NAT64."""

_6TO4: Final = ipaddress.IPv6Network("2002::/16")
"""IPv4 addresses in disguise within it."""

_DOCUMENTATION: Final = ipaddress.IPv6Network("3fff::/20")
"""Reserved for examples, which Python does not know yet."""

_ASSIGNED: Final = ipaddress.IPv4Network("192.0.0.0/24")
"""For protocols between neighbours, which Python took for public until 3.11.10."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    Loopback, private, link-local (cloud metadata is there), unique-local, shared, multicast
    and reserved ones do not, in whichever notation they come.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if ip in _ASSIGNED:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip not in _UNICAST or ip in _6TO4 or ip in _DOCUMENTATION:
            return False
    return ip.is_global and not ip.is_multicast


def public_addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, each checked.

    Raises:
        ToolError: one of them is not public; the host is refused as a whole.
        OSError: it cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(str(error)) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not all(map(is_public, addresses)):
        raise ToolError(f"{host} is an address inside this network, which is not opened.")
    return addresses
