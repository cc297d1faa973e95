"""What options mean: sizes, ports to protocols, capture filters; errors say what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pysniff.errors import OptionError
from pysniff.sizes import bytes_of

if TYPE_CHECKING:
    from pysniff.kfl.filter import Filter

    IntType = click.ParamType[int]
    FloatType = click.ParamType[float]
else:  # generic since click 8.4
    IntType = FloatType = click.ParamType

STORAGE_LIMIT = 200_000_000  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """What only `pysniff query` has: times in nanoseconds, or None."""

    start: int | None
    end: int | None
    newest_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Where --web serves, None for where it does unless told, and whether a browser is opened."""

    listen: str | None
    browser: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SniffOptions:
    """Everything `pysniff sniff` was asked for."""

    interfaces: tuple[str, ...]
    files: tuple[str, ...]
    follow: bool
    bpf: str
    filter: Filter | None
    write: str | None
    outputs: tuple[tuple[str, str], ...]
    json: bool
    verbosity: int
    quiet: bool
    count: int | None
    duration: float | None
    decode_as: dict[tuple[str, int], str]
    proto: tuple[str, ...]
    body_limit: int
    strict: bool
    store: str | None = None
    storage_limit: int = STORAGE_LIMIT
    store_all: bool = False
    report_to: int | None = None
    query: QueryOptions | None = None
    names: str | None = None
    netns: tuple[str, ...] = ()
    web: Web | None = None
    keylog: tuple[str, ...] = ()
    write_secrets: bool = False
    tls: str = ""  # how programs are read: keys or plaintext
    tls_only: tuple[str, ...] = ()
    store_secrets: bool = False
    keys_to: int | None = None  # a descriptor: memory where secrets go for the one that shows

    @property
    def shows(self) -> bool:
        """Whether anybody wants the entries: -q into a store only records."""
        return not (self.quiet and self.store is not None and not self.outputs and not self.strict)

    @property
    def live(self) -> bool:
        """Whether packets come as they happen, so that what they say is shown at once."""
        if self.query is not None:
            return self.follow
        return not self.files or self.follow or "-" in self.files


def room_for(options: SniffOptions) -> int:
    """Bytes of a store that holds what is read; of what has no end, the usual."""
    sizes = [Path(name).stat().st_size for name in options.files if Path(name).is_file()]
    return max(options.storage_limit, 64 * sum(sizes))  # files may be compressed


def check(options: SniffOptions) -> None:
    """Raise OptionError where options contradict each other."""
    if options.interfaces and options.files:
        raise OptionError("-i and -r exclude each other", hint="capture live, or read files")
    if options.netns and options.files:
        raise OptionError("--netns and -r exclude each other", hint="capture live, or read files")
    if options.follow and not options.files:
        raise OptionError("--follow needs a file", hint="name one with -r; live capture goes on anyway")
    if options.follow and len(options.files) > 1:
        raise OptionError("--follow reads one file", hint="several cannot be merged while they grow")
    if options.files.count("-") > 1:
        raise OptionError("standard input can be read once", hint="give -r - once")
    if options.write == "-" and options.json:
        raise OptionError("-w - and --json both write to standard output", hint="write the packets to a file")
    if options.store is None and options.web is None and (options.store_all or options.storage_limit != STORAGE_LIMIT):
        option = "--store-all" if options.store_all else "--storage-limit"
        raise OptionError(f"{option} needs a store", hint="name its directory with --store")
    if options.store is None and options.store_secrets:
        raise OptionError("--store-secrets needs a store", hint="name its directory with --store")
    if options.tls == "keys" and not (options.shows or options.store_secrets or options.keys_to is not None):
        raise OptionError("-q --store --tls: nothing is decrypted, nor kept for later", hint="add --store-secrets")
    if options.store is not None and options.write == "-" and not options.files:
        raise OptionError("-w - and --store: one of them is enough", hint="read the store with pysniff query")
    if options.write and any(_one_file(options.write, path) for path in options.files):
        raise OptionError(f"-w {options.write} would overwrite what -r reads", hint="write to another file")
    if options.tls and options.files:
        raise OptionError(
            "--tls reads programs that run now, and -r what was captured then",
            hint="--keylog FILE takes what a program wrote to SSLKEYLOGFILE",
        )
    if options.tls_only and not options.tls:
        raise OptionError("--tls-only needs --tls", hint="add --tls")
    if options.write_secrets:
        _check_secrets(options)


def _check_secrets(options: SniffOptions) -> None:
    from pysniff.capture.embedding import why_not_embeddable

    if options.write is None:
        # What -o pcapng writes lacks the handshakes, without which secrets open nothing.
        raise OptionError("--write-secrets is for -w", hint="-w FILE.pcapng writes whole connections")
    if why := why_not_embeddable(options.write):
        raise OptionError(f"--write-secrets and -w {options.write}: {why}", hint="name a file that ends in .pcapng")
    if not options.shows:
        raise OptionError("--write-secrets and -q --store: nothing is decrypted then", hint="leave out -q or --store")


def _one_file(one: str, other: str) -> bool:
    try:
        return Path(one).is_file() and Path(one).samefile(other)
    except (OSError, ValueError):  # one that does not exist yet is another
        return False


class Size(IntType):
    """Bytes: 0, 65536, 64k, 1MiB, 1MB (k, M, G and KiB, MiB, GiB are powers of 1024; kB, MB, GB of 1000)."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return bytes_of(value)
        except OptionError as error:
            self.fail(f"{error.message}: {error.hint}", param, ctx)


class Seconds(FloatType):
    """A time: 10, 0.5, 500ms, 10s, 5m, 1h."""

    name = "seconds"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|)", value.strip(), re.ASCII)
        seconds = float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}[match[2]] if match else 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is not a time: give seconds above 0, or 500ms, 5m, 1h", param, ctx)
        return seconds


def decode_as(rules: Iterable[str], protocols: Sequence[tuple[str, str]]) -> dict[tuple[str, int], str]:
    """`tcp.port==9000,redis` as {("tcp", 9000): "redis"}; `protocols` are the known (transport, name) pairs."""
    table: dict[tuple[str, int], str] = {}
    for rule in rules:
        match = re.fullmatch(r"\s*(tcp|udp)\.port\s*==\s*(\d{1,5})\s*,\s*([\w.-]+)\s*", rule, re.ASCII | re.IGNORECASE)
        if match is None or not 0 < int(match[2]) < 65536:
            raise OptionError(f"-d {rule}: not a rule", hint="write it as -d tcp.port==9000,redis")
        transport, name = match[1].lower(), match[3].lower()
        if (transport, name) not in protocols:
            raise OptionError(
                f"-d {rule}: {_unknown(transport, name, protocols)}", hint=_nearest(transport, name, protocols)
            )
        table[transport, int(match[2])] = name
    return table


def protocols() -> list[tuple[str, str]]:
    """Known (transport, name) pairs, plugins included."""
    from pysniff import dissectors

    return [(transport, dissector.protocol) for transport, known in dissectors.known().items() for dissector in known]


def _unknown(transport: str, name: str, protocols: Sequence[tuple[str, str]]) -> str:
    if any(known == name for _, known in protocols):
        return f"{name} does not run over {transport}"
    return f"no protocol {name}"


def _nearest(transport: str, name: str, protocols: Sequence[tuple[str, str]]) -> str:
    names = sorted({known for over, known in protocols if over == transport})
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"over {transport} there is {', '.join(names) or 'none'}"


def capture_filter(option: str | None, words: Sequence[str]) -> str:
    """The BPF expression, given with -f or as the words that are left."""
    if option is not None and words:
        raise OptionError("a capture filter both with -f and as words", hint="give it once")
    return option.strip() if option is not None else " ".join(words).strip()
