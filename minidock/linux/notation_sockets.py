"""How strace(1) shows calls on sockets.

Of what is sent to the kernel over netlink the header of each message is shown, and for the rest
`…`: the sentence above the call says what it means, and strace needs a page for it.

See: strace(1), socket(2), netlink(7)
"""

from __future__ import annotations

import os
from struct import unpack_from

from minidock.linux import notation_words as show
from minidock.linux.notation_words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    Shown = tuple[str, ...]

_DOMAINS = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK"}
_KINDS = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET"}
_PROTOCOLS = {0: "IPPROTO_IP", 6: "IPPROTO_TCP", 17: "IPPROTO_UDP", 132: "IPPROTO_SCTP"}
_NETLINK = {0: "NETLINK_ROUTE", 12: "NETLINK_NETFILTER"}
_OPTIONS = {
    (1, 2): ("SOL_SOCKET", "SO_REUSEADDR"),
    (41, 26): ("SOL_IPV6", "IPV6_V6ONLY"),
}
_ROUTE_KINDS = {16: "NEWLINK", 17: "DELLINK", 18: "GETLINK", 20: "NEWADDR", 24: "NEWROUTE"}
_TABLE_KINDS = {
    0: "NEWTABLE", 1: "GETTABLE", 3: "NEWCHAIN", 4: "GETCHAIN", 6: "NEWRULE", 7: "GETRULE",
    8: "DELRULE", 9: "NEWSET", 12: "NEWSETELEM", 14: "DELSETELEM",
}  # fmt: skip
_FLOW_KINDS = {1: "GET", 2: "DELETE"}
_FRAME = 20  # bytes of the messages that begin and end a batch; others have attributes


def socket(result: object, domain: int, kind: int, protocol: int = 0) -> Shown:
    cloexec = "|SOCK_CLOEXEC" if kind & os.O_CLOEXEC else ""
    kind &= 0xF
    names = _NETLINK if domain == 16 else _PROTOCOLS
    shown = names.get(protocol, str(protocol))
    return _DOMAINS.get(domain, str(domain)), _KINDS.get(kind, str(kind)) + cloexec, shown


def send(result: object, sockfd: int, data: bytes) -> Shown:
    """sendto(2), as which send(3) is made."""
    return show.number(sockfd), _messages(data), str(len(data)), "0", "NULL", "0"


def _messages(data: bytes) -> str:
    shown = []
    in_batch = False
    while len(data) >= 16:
        length, kind, flags, sequence = unpack_from("=IHHI", data)
        in_batch = in_batch or (length == _FRAME and kind == 16)
        head = (
            f"nlmsg_len={length}",
            f"nlmsg_type={_kind(kind, in_batch)}",
            f"nlmsg_flags={_flags(flags)}",
            f"nlmsg_seq={sequence}",
            "nlmsg_pid=0",
        )
        shown.append(f"[{{{', '.join(head)}}}, …]")
        data = data[length + -length % 4 :]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _kind(kind: int, in_batch: bool) -> str:
    if kind >> 8 == 10:
        return f"NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_{_TABLE_KINDS.get(kind & 255, kind & 255)}"
    if kind >> 8 == 1:
        return f"NFNL_SUBSYS_CTNETLINK<<8|IPCTNL_MSG_CT_{_FLOW_KINDS.get(kind & 255, kind & 255)}"
    if in_batch:
        return "NFNL_MSG_BATCH_BEGIN" if kind == 16 else "NFNL_MSG_BATCH_END"
    return f"RTM_{_ROUTE_KINDS.get(kind, kind)}"


def _flags(flags: int) -> str:
    names = {1: "REQUEST", 4: "ACK", 0x300: "DUMP", 0x200: "EXCL", 0x400: "CREATE", 0x800: "APPEND"}
    found = []
    for value, name in names.items():
        if flags & value == value:
            found.append(f"NLM_F_{name}")
            flags &= ~value
    return "|".join(found) or "0"


def bind(result: object, sockfd: int, family: int, address: str, port: int) -> Shown:
    """Only of the domains AF_INET and AF_INET6."""
    if family == 10:
        ip = f'inet_pton(AF_INET6, "{address}", &sin6_addr)'
        rest = f"sin6_port=htons({port}), sin6_flowinfo=htonl(0), {ip}, sin6_scope_id=0"
        return show.number(sockfd), f"{{sa_family=AF_INET6, {rest}}}", "28"
    rest = f'sin_port=htons({port}), sin_addr=inet_addr("{address}")'
    return show.number(sockfd), f"{{sa_family=AF_INET, {rest}}}", "16"


def setsockopt(result: object, sockfd: int, level: int, option: int, value: int) -> Shown:
    names = _OPTIONS.get((level, option), (str(level), str(option)))
    return show.number(sockfd), *names, f"[{value}]", "4"


def getsockname(result: object, sockfd: int, family: int) -> Shown:
    return show.number(sockfd), "…", "[16]" if family == 2 else "[28]"


def connect(result: object, sockfd: int, path: str) -> Shown:
    """Only of the domain AF_UNIX."""
    address = f"{{sa_family=AF_UNIX, sun_path={quote(path)}}}"
    return show.number(sockfd), address, str(2 + len(os.fsencode(path)) + 1)
