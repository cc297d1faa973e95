"""Whether bytes are Redis: commands decide, and replies that nobody else sends."""

from __future__ import annotations

import re

from pysniff.dissector import Match
from pysniff.message import CLIENT, Side

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


def judge(client: bytes, server: bytes) -> Match:
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
    if not server or (asked is Match.UNSURE and turned is Match.UNSURE):  # two beginnings of arrays
        return Match.UNSURE
    word = client.split(None, 1)[0].upper()
    certain = answered is Match.YES or (not array and server == b"+OK\r\n" and word not in _SHARED)
    certain = certain or (array and server.startswith(b"-ERR "))  # to a command that the server does not know either
    return Match.YES if certain and (array or b"\n" in client) else Match.UNSURE


def begins(side: Side, data: bytes) -> bool:
    """Whether a chunk after a gap begins with a message."""
    if side is CLIENT:
        return _HEAD.match(data) is not None and _commands(data) is not Match.NO
    return b"\r\n" in data and _replies(data) is not Match.NO
