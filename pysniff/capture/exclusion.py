"""Capture filters that leave out the traffic of given endpoints, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address, ip_address

# IP address as text, TCP port.
Endpoint = tuple[str, int]

# A filter that names more is too long for the kernel: the rest is captured, and a notice says so.
MOST = 256


def addresses_of(endpoints: Iterable[Endpoint], local: Callable[[], Iterable[str]]) -> list[Endpoint]:
    """With all `local` addresses in place of an unspecified one, in order; what is no endpoint is left out."""
    found: set[Endpoint] = set()
    for address, port in endpoints:
        try:
            ip = ip_address(address.split("%", 1)[0])
        except ValueError:
            continue
        if not 0 < port < 65536:
            continue
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if ip.is_unspecified:
            found.update((str(ip_address(one)), port) for one in local())
        else:
            found.add((str(ip), port))
    return sorted(found, key=lambda one: (one[1], ip_address(one[0]).version, int(ip_address(one[0]))))


def without(bpf: str, endpoints: Iterable[Endpoint]) -> str:
    """The capture filter, and not TCP from or to these endpoints; an address and a port must be of the same end.

    Behind a VLAN tag or in other tunnels than VXLAN it is captured: pcap-filter(7) does not look there.
    """
    by_port: defaultdict[int, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for address, port in endpoints:
        by_port[port]["ip6" if ":" in address else "ip"].append(address)
    own = [
        f"({family} {way} host ({' or '.join(addresses)}) and tcp {way} port {port})"
        for port, families in by_port.items()
        for family, addresses in families.items()
        for way in ("src", "dst")
    ]
    own += _in_vxlan(by_port)
    if not own:
        return bpf
    rest = f"not ({' or '.join(own)})"
    return f"({bpf}) and {rest}" if bpf.strip() else rest


# Where things stand behind a UDP header in a VXLAN packet (RFC 7348 §5) with TCP over IPv4 without options in it.
_VXLAN = "(udp dst port 4789 or udp dst port 8472) and udp[4:2] >= 70 and udp[28:2] = 0x0800 and udp[30] = 0x45"
_VXLAN += " and udp[39] = 6"
_ADDRESSES, _PORTS = (42, 46), (50, 52)


def _in_vxlan(by_port: Mapping[int, Mapping[str, Iterable[str]]]) -> list[str]:
    """The same, as the overlay of a cluster carries it from node to node. 8472: what Linux takes for the port."""
    own = [
        f"(udp[{port_at}:2] = {port} and ({' or '.join(f'udp[{at}:4] = {int(ip_address(one))}' for one in addresses)}))"
        for port, families in by_port.items()
        for family, addresses in families.items()
        if family == "ip"
        for at, port_at in zip(_ADDRESSES, _PORTS, strict=True)
    ]
    return [f"({_VXLAN} and ({' or '.join(own)}))"] if own else []
