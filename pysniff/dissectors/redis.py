"""Redis: commands and replies in RESP2 and RESP3, pipelined, with pushes, without heads.

Replies come in the order of the commands. What the server sends unasked (published messages, RESP3
pushes, MONITOR) stands alone.
"""

from __future__ import annotations

import base64
import codecs
import math
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

from pysniff.dissector import Dissector, Malformed, Match, Output, Undecoded
from pysniff.dissectors.resp import Found, Reader, Value
from pysniff.limits import DEFAULT, Limits
from pysniff.message import CLIENT, Fault, Message, Role, Side

# Commands of Redis 8; those of modules have a dot in their name (JSON.GET).
COMMANDS = frozenset(
    b"""
    ACL APPEND ASKING AUTH BGREWRITEAOF BGSAVE BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS BLMOVE BLMPOP BLPOP
    BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLIENT CLUSTER COMMAND CONFIG COPY DBSIZE DEBUG DECR DECRBY DEL
    DISCARD DUMP ECHO EVAL EVALSHA EVALSHA_RO EVAL_RO EXEC EXISTS EXPIRE EXPIREAT EXPIRETIME FAILOVER FCALL
    FCALL_RO FLUSHALL FLUSHDB FUNCTION GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER
    GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL
    HELLO HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN
    HMGET HMSET HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN
    HTTL HVALS INCR INCRBY INCRBYFLOAT INFO KEYS LASTSAVE LATENCY LCS LINDEX LINSERT LLEN LMOVE LMPOP LOLWUT
    LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MEMORY MGET MIGRATE MODULE MONITOR MOVE MSET MSETEX MSETNX
    MULTI OBJECT PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PFCOUNT PFDEBUG PFMERGE PFSELFTEST PING PSETEX
    PSUBSCRIBE PSYNC PTTL PUBLISH PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY READWRITE RENAME RENAMENX
    REPLCONF REPLICAOF RESET RESTORE RESTORE-ASKING ROLE RPOP RPOPLPUSH RPUSH RPUSHX SADD SAVE SCAN SCARD
    SCRIPT SDIFF SDIFFSTORE SELECT SET SETBIT SETEX SETNX SETRANGE SHUTDOWN SINTER SINTERCARD SINTERSTORE
    SISMEMBER SLAVEOF SLOWLOG SMEMBERS SMISMEMBER SMOVE SORT SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN
    SSUBSCRIBE STRLEN SUBSCRIBE SUBSTR SUNION SUNIONSTORE SUNSUBSCRIBE SWAPDB SYNC TIME TOUCH TTL TYPE UNLINK
    UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XINFO XLEN XPENDING XRANGE
    XREAD XREADGROUP XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD
    ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE
    ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX
    ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE
    """.split()
)
# Confirmations name the command, one for each channel.
_SUBSCRIBE = (b"subscribe", b"psubscribe", b"ssubscribe")
_CONFIRMED = (*_SUBSCRIBE, b"unsubscribe", b"punsubscribe", b"sunsubscribe")
_PUBLISHED = {b"message": 3, b"pmessage": 4, b"smessage": 3}
_MONITOR_LINE = re.compile(rb"\d+\.\d{6} \[\d+ ")
_GUESS = Fault("inferred", "the first bytes after a loss that look like a reply; they may be part of a longer one")
_SUMMARY = 80  # characters of a summary


class RedisCommand(Message):
    """A command; `args` as sent."""

    __slots__ = ("_value",)
    protocol: ClassVar[str] = "redis"
    role: ClassVar[Role] = Role.REQUEST

    def __init__(self, found: Found, side: Side) -> None:
        super().__init__(side, found.first, found.last, found.position, found.size, _faults(found))
        self._value = found.value

    @property
    def command(self) -> str:
        """Its name in upper case."""
        items = self._value.items
        return items[0].text.decode("utf-8", "backslashreplace").upper() if items else ""

    @property
    def args(self) -> tuple[bytes, ...]:
        return tuple(item.text for item in self._value.items[1:])

    @property
    def summary(self) -> str:
        words = [_printable(item.text) for item in self._value.items[:8]]
        line = " ".join([words[0].upper(), *words[1:]]) if words else ""
        if len(line) > _SUMMARY or self._value.size > 8:
            line = line[:_SUMMARY] + "..."
        return line

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        plain = _Plain(body_limit)
        args = [plain.of(item) for item in self._value.items[1:] if plain.room()]
        cut = plain.cut or len(args) < self._value.size - 1 or _is_cut(self)
        return {"command": self.command, "args": args, "size": self.size, "truncated": cut}


class RedisUnanswered(RedisCommand):
    """A command after which the server says nothing: CLIENT REPLY OFF or SKIP."""

    __slots__ = ()
    role: ClassVar[Role] = Role.ALONE


class RedisReply(Message):
    """A reply; `type` is RESP's, `attributes` what RESP3 says about it."""

    __slots__ = ("_value", "_attributes")
    protocol: ClassVar[str] = "redis"
    role: ClassVar[Role] = Role.RESPONSE

    def __init__(self, found: Found, side: Side) -> None:
        super().__init__(side, found.first, found.last, found.position, found.size, _faults(found))
        self._value = found.value
        self._attributes = found.attributes

    @property
    def type(self) -> str:
        return self._value.kind

    @property
    def value(self) -> Any:
        """As in the JSON record: text, or {"base64": ...} where it is binary."""
        return _Plain(self.size + 1).of(self._value)

    @property
    def ok(self) -> bool:
        return self._value.kind not in ("error", "bulk_error")

    @property
    def status_text(self) -> str:
        """The first word of an error, or of a status such as OK, PONG, QUEUED; OK for any other value."""
        word = _printable(self._value.text[:_SUMMARY].partition(b" ")[0]) if self._value.kind != "bulk_string" else ""
        if not self.ok:
            return word
        return word if self._value.kind == "simple_string" and word.isupper() else "OK"

    @property
    def summary(self) -> str:
        value = self._value
        if value.items:
            return " ".join(_printable(item.text) for item in value.items[:2] if item.text)[:_SUMMARY]
        return _printable(value.text[:_SUMMARY])

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        plain = _Plain(body_limit)
        record = {"type": self.type, "value": plain.of(self._value), "size": self.size}
        record["truncated"] = plain.cut or _is_cut(self)
        if self._attributes is not None:
            record["attributes"] = plain.of(self._attributes)
        return record


class RedisPush(RedisReply):
    """What the server sends unasked."""

    __slots__ = ()
    role: ClassVar[Role] = Role.ALONE


def _faults(found: Found) -> tuple[Fault, ...]:
    faults: tuple[Fault, ...] = ()
    if found.lost:
        faults = (Fault("gap", f"{found.lost} bytes lost", found.lost),)
    if found.cut:
        faults += (Fault("truncated", "more was sent than is kept"),)
    return faults


def _is_cut(message: Message) -> bool:
    return any(fault.kind == "truncated" for fault in message.faults)


def _printable(content: bytes) -> str:
    """Text without control characters, for a line that people read."""
    text = content[:_SUMMARY].decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


class _Plain:
    """Writes values as JSON has them, within a number of bytes.

    Strings are text, or {"base64": ...} where they are not UTF-8; a map is a list of pairs, as its keys
    may be anything; an error inside of an aggregate is {"error": ...}; a big number is text.
    """

    def __init__(self, limit: int) -> None:
        self._left = max(limit, 0)
        self.cut = False

    def room(self) -> bool:
        """Whether another item may be written; an empty one costs a byte too."""
        self._left -= 1
        if self._left < 0:
            self.cut = True
        return self._left >= 0

    def of(self, value: Value) -> Any:
        kind, content = value.kind, value.value
        if isinstance(content, tuple):
            # Not deeper than resp.DEPTH.
            items = [_item(self.of(each), each.kind) for each in content if self.room()]
            if kind in ("map", "attribute"):
                return [items[at : at + 2] for at in range(0, len(items) - 1, 2)]
            return items
        if isinstance(content, bytes):
            return self._number(content) if kind == "double" else self._string(content, value.size)
        return content

    def _number(self, content: bytes) -> float | str:
        text = content[:64].decode("ascii", "backslashreplace")
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text  # JSON has no infinity

    def _string(self, content: bytes, size: int) -> Any:
        kept = content[: max(self._left, 0)]
        self._left -= len(kept)
        cut = len(kept) < len(content)
        self.cut |= cut
        try:
            # Of one that was cut, by us or by the reader, the last character may be incomplete.
            return codecs.getincrementaldecoder("utf-8")().decode(kept, not cut and len(content) >= size)
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(kept).decode("ascii")}


def _item(plain: Any, kind: str) -> Any:
    return {"error": plain} if kind in ("error", "bulk_error") else plain


class _Awaited:
    """A command that is answered otherwise than by one reply. `left`: confirmations still to come."""

    __slots__ = ("word", "left", "answered")

    def __init__(self, word: bytes, left: int) -> None:
        self.word = word
        self.left = left
        self.answered = False


class Redis(Dissector):
    """Both halves of a connection to a Redis server.

    After a gap that swallows the end of a message, the next chunk that begins like one is where reading
    goes on; the core decides what still can be paired.
    """

    protocol: ClassVar[str] = "redis"

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self._readers = (Reader(limits, True), Reader(limits, False))
        self._astray = [False, False]
        self._open = 0  # commands without their reply, as far as seen
        self._awaited: deque[_Awaited] = deque()
        self._subscribed = False
        self._monitoring = False
        self._silent = False
        self._skip = 0
        self._replica = False
        self._guess = False  # the replies that follow may be items of an array whose beginning was lost

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        return _match(client, server)

    def feed(self, side: Side, data: bytes, at: int) -> Iterator[Output]:
        reader = self._readers[side]
        if self._astray[side] and data:
            if not _begins(side, data):
                reader.skip(len(data))
                yield Undecoded(side, len(data), "after a gap")
                return
            self._astray[side] = False
            self._guess = self._guess or side is not CLIENT
        for found in reader.feed(data, at):
            yield self._command(found, side) if side is CLIENT else self._reply(found, side)
            if self._replica and side is not CLIENT:
                raise Malformed("a replication stream follows")

    def gap(self, side: Side, size: int, at: int) -> Iterator[Output]:
        reader = self._readers[side]
        if not self._astray[side] and reader.gap(size):
            return
        self._astray[side] = True
        self._open = 0
        self._awaited.clear()
        yield from self._drop(side, "gap")

    def close(self, side: Side, at: int) -> Iterator[Output]:
        yield from self._drop(side, "cut off")

    def _drop(self, side: Side, reason: str) -> Iterator[Output]:
        size = self._readers[side].drop()
        if size:
            yield Undecoded(side, size, reason)

    def pending(self, side: Side) -> int:
        return self._readers[side].pending()

    def _command(self, found: Found, side: Side) -> RedisCommand:
        items = found.value.items
        # A client that waits for one answer before it sends on: the server's next byte begins a reply.
        self._guess = self._guess and self._readers[1].pending() > 0
        word = items[0].text.lower() if items else b""
        if word == b"client" and len(items) > 2 and items[1].text.lower() == b"reply":
            mode = items[2].text.lower()
            self._silent = mode == b"off"
            self._skip = 2 if mode == b"skip" else 0
        if self._silent or self._skip:
            self._skip = max(self._skip - 1, 0)
            return RedisUnanswered(found, side)
        if word in _CONFIRMED:
            self._subscribed |= word in _SUBSCRIBE
            self._awaited.append(_Awaited(word, max(found.value.size - 1, 1)))
            if len(self._awaited) > self.limits.pipeline:
                self._awaited.popleft()
        self._monitoring |= word == b"monitor"
        self._replica |= word in (b"psync", b"sync")
        self._open += 1
        return RedisCommand(found, side)

    def _reply(self, found: Found, side: Side) -> RedisReply:
        answer = self._is_answer(found.value)
        if answer:
            self._open = max(self._open - 1, 0)
        reply = RedisReply(found, side) if answer else RedisPush(found, side)
        if self._guess:
            reply.faults += (_GUESS,)
        return reply

    def _is_answer(self, value: Value) -> bool:
        kind, items = value.kind, value.items
        if kind == "simple_string":
            asked = self._open and not self._monitoring
            return bool(asked) or not _MONITOR_LINE.match(value.text)
        if kind not in ("push", "array"):
            return True
        word = items[0].text if items else b""
        if word in _CONFIRMED and len(items) == 3 and items[2].kind == "integer":
            answers = self._confirms(word)
            if answers is not None:
                return answers
        if kind == "push":
            return False
        # RESP2 has no type for what was published: it looks like any array.
        published = _PUBLISHED.get(word) == len(items) and (self._subscribed or not self._open)
        return not published

    def _confirms(self, word: bytes) -> bool | None:
        """Whether this is the first confirmation of a command; later ones stand alone. None: of no command."""
        awaited = self._awaited
        while awaited and awaited[0].answered and awaited[0].word != word:
            awaited.popleft()
        if not awaited or awaited[0].word != word:
            return False if self._subscribed or not self._open else None
        first = not awaited[0].answered
        awaited[0].answered = True
        awaited[0].left -= 1
        if awaited[0].left <= 0:
            awaited.popleft()
        return first


_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_.\-]{1,63}")
_PART_OF_HEAD = re.compile(rb"\*(?:[1-9]\d{0,6}(?:\r(?:\n(?:\$(?:[1-9]\d?(?:\r\n?)?)?)?)?)?)?")
_HEAD = re.compile(rb"\*([1-9]\d{0,6})\r\n\$([1-9]\d?)\r\n")
_ARGUMENT = re.compile(rb"\$(\d{1,10})\r\n")
_ARGUMENTS = 16  # looked at of one command
# These are asked for by other protocols as well (POP3, FTP, SMTP, memcached) and often answered alike.
_SHARED = (b"AUTH", b"QUIT", b"TYPE", b"STAT", b"RENAME", b"MOVE")
_ERRORS = (
    b"WRONGTYPE|NOAUTH|MOVED|ASK|LOADING|BUSY|READONLY|OOM|EXECABORT|NOSCRIPT|WRONGPASS|NOPERM|MISCONF|"
    b"CLUSTERDOWN|TRYAGAIN|CROSSSLOT|MASTERDOWN|NOREPLICAS|BUSYGROUP|BUSYKEY|NOGROUP|UNKILLABLE|NOTBUSY|NOPROTO"
)
_ONE = rb"(?:[+\-][^\r\n]*|:-?\d+|\$-?\d+|[*%~>|]-?\d+|_|#[tf]|,[\-+.\deinfa]+|\([+\-]?\d+|[!=]\d+)\r\n"
_REPLY = re.compile(
    rb"(?:\+(?:PONG|QUEUED)\r\n|-(?:" + _ERRORS + rb") [^\r\n]*\r\n|\$-1\r\n|\*(?:0|-1)\r\n|"
    rb"[*%~>|][1-9]\d*\r\n" + _ONE + rb"|(?:\+[^\r\n]*|-ERR [^\r\n]*|:-?\d+|_|#[tf])\r\n" + _ONE + rb")"
)
_STRING = re.compile(rb"[$!=](\d{1,10})\r\n")
_MAYBE = re.compile(rb"[+\-][ -~\x80-\xff]*\r?\n?|[:$*%~>|!=(]-?\d*\r?\n?|_\r?\n?|#[tf]?\r?\n?|,[\-+.\deinfa]*\r?\n?")
_GREETING = re.compile(rb"\+OK [^\r\n]*|[+\-][^\r\n]{512,}")  # POP3 says more than OK, and says it first


def _commands(data: bytes) -> Match:
    """Whether bytes begin with a command as clients send it; UNSURE also where nobody knows its name."""
    head = _HEAD.match(data)
    if head is None:
        return Match.UNSURE if _PART_OF_HEAD.fullmatch(data) else Match.NO
    count, length = int(head[1]), int(head[2])
    end = head.end() + length
    name = data[head.end() : end]
    if not _NAME.fullmatch(name) and len(name) == length:
        return Match.NO
    if len(data) < end + 2:
        return Match.UNSURE if b"\r\n".startswith(data[end:]) else Match.NO
    at = end
    for _ in range(min(count - 1, _ARGUMENTS)):
        if data[at : at + 2] != b"\r\n"[: len(data) - at]:
            return Match.NO
        argument = _ARGUMENT.match(data, at + 2)
        if argument is None:
            if at + 2 < len(data) and (data[at + 2] != 0x24 or len(data) - at > 16):
                return Match.NO
            break
        at = argument.end() + int(argument[1])
        if at >= len(data):
            break
    if at < len(data) and data[at : at + 2] != b"\r\n"[: len(data) - at]:
        return Match.NO
    return Match.YES if name.upper() in COMMANDS or b"." in name else Match.UNSURE


def _inline(data: bytes) -> Match:
    """Whether bytes begin with an inline command: UNSURE at best, as any line of words might be one."""
    line, newline, _ = data.partition(b"\n")
    words = line[:512].split()
    if not words or line.rstrip()[-9:-3] == b" HTTP/":
        return Match.NO
    if not newline and len(words) == 1:
        return Match.UNSURE if any(name.startswith(words[0].upper()) for name in COMMANDS) else Match.NO
    return Match.UNSURE if words[0].upper() in COMMANDS else Match.NO


def _replies(data: bytes) -> Match:
    """Whether bytes begin with what a server sends. One status or number alone might be anybody's."""
    string = _STRING.match(data)
    if string is not None:
        end = string.end() + int(string[1])
        if len(data) < end + 2:
            return Match.UNSURE if b"\r\n".startswith(data[end:]) else Match.NO
        return Match.YES if data[end : end + 2] == b"\r\n" else Match.NO
    if _GREETING.match(data):
        return Match.NO
    if _REPLY.match(data):
        return Match.YES
    first, end_of_line, rest = data.partition(b"\r\n")
    if not _MAYBE.fullmatch(first + end_of_line):
        return Match.NO
    return Match.UNSURE if not rest or _MAYBE.match(rest) else Match.NO


def _match(client: bytes, server: bytes) -> Match:
    """Commands decide; a server alone needs a reply that nobody else sends."""
    if not client and not server:
        return Match.UNSURE
    answered = _replies(server) if server else Match.UNSURE
    if answered is Match.NO:
        return Match.NO
    turned = _commands(server) if server else Match.NO
    if not client:
        # An array of strings is a command to one who sees only it, unless nobody knows such a command.
        return Match.NO if turned is Match.YES else answered
    array = client[:1] == b"*"
    asked = _commands(client) if array else _inline(client.lstrip(b"\r\n"))
    if asked is Match.NO:
        return Match.NO
    if turned is Match.YES and _replies(client) is not Match.NO:
        # Both halves look like commands. YES may hold one way round only, so the bytes decide.
        return Match.YES if array and asked is Match.YES and client <= server else Match.NO
    if asked is Match.YES:
        return Match.YES
    if not server:
        return Match.UNSURE
    word = client.split(None, 1)[0].upper()
    certain = answered is Match.YES or (not array and server == b"+OK\r\n" and word not in _SHARED)
    return Match.YES if certain and (array or b"\n" in client) else Match.UNSURE


def _begins(side: Side, data: bytes) -> bool:
    """Whether a chunk after a gap begins with a message."""
    if side is CLIENT:
        return _HEAD.match(data) is not None and _commands(data) is not Match.NO
    return b"\r\n" in data and _replies(data) is not Match.NO
