"""The tree of docs/design.md holds: ranks, no cycles, and `import pysniff` stays light."""

from __future__ import annotations

import ast
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from frames import ethernet, ipv4, tcp

from pysniff.dissectors import BUILT_IN, PLACES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pysniff"
# What comes with the part that needs it: never with `import pysniff`, nor with a public name.
HEAVY = {
    *("aiohttp", "yaml", "rich", "cryptography", "numpy"),  # of later parts
    *("asyncio", "brotli", "backports.zstd", "click", "compression.zstd", "http", "multiprocessing", "pcapy", "ssl"),
}
# What the core needs, and the bare package does not.
MODERATE = {"dpkt", "email", "hashlib", "importlib.metadata", "json", "logging", "subprocess"}


def module_files() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = module_files()


def ranks(page: str) -> dict[str, int]:
    """Path below pysniff/ (a folder ends with /) to rank, from the tree in docs/design.md."""
    tree = re.search(r"^pysniff/\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert tree, "docs/design.md has no tree"
    return {path: int(rank) for path, rank in re.findall(r"^  (\S+) .* rank (\d)$", tree[1], re.MULTILINE)}


RANKS = ranks((ROOT / "docs" / "design.md").read_text())


def entry_of(module: str) -> str:
    """The tree's line that a module belongs to."""
    path = MODULES[module].relative_to(PACKAGE)
    return path.name if len(path.parts) == 1 else f"{path.parts[0]}/"


def imported(tree: ast.AST) -> Iterator[str]:
    """The package's modules that a module names in imports, wherever they stand in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in inside]
        else:
            continue
        yield from (name for name in names if name in MODULES)


IMPORTS = {module: set(imported(ast.parse(path.read_text()))) for module, path in MODULES.items()}


def test_every_module_stands_in_the_tree_and_the_tree_names_nothing_else() -> None:
    assert {entry_of(module) for module in MODULES} == set(RANKS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_to_equal_or_lower_ranks(module: str) -> None:
    own = RANKS[entry_of(module)]
    higher = {name for name in IMPORTS[module] if RANKS[entry_of(name)] > own}
    assert not higher


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def loaded_by(statement: str) -> set[str]:
    """The modules in a fresh interpreter after a statement, those of its own start apart."""
    script = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_but_itself() -> None:
    loaded = loaded_by("import pysniff")
    assert "pysniff" in loaded
    assert not {name for name in loaded if name.startswith("pysniff.")}
    assert not loaded & (HEAVY | MODERATE)


@pytest.mark.parametrize("name", ["read", "sniff", "Sniffer", "Entry", "Dissector"])
def test_a_public_name_loads_nothing_heavy(name: str) -> None:
    loaded = loaded_by(f"import pysniff; pysniff.{name}")
    assert {module for module in loaded if module.startswith("pysniff.")}
    assert not loaded & HEAVY


def test_the_command_line_imports_only_what_calls_of_http1_need(tmp_path: Path) -> None:
    """Its start is CPU time, of which a short capture is most."""
    frame = ethernet(ipv4(tcp(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")))
    capture = tmp_path / "http1.pcap"
    header = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    capture.write_bytes(header + struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    script = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
    script += "from pysniff.cli import main; main()"
    command = [sys.executable, "-c", script, "-r", str(capture), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert '"url":"/hello"' in done.stdout
    loaded = set(done.stderr.split())
    assert "pysniff.dissectors.http1" in loaded
    others = {"http2", "dns", "redis", "websocket", "grpc_messages"}
    assert not loaded & {f"pysniff.dissectors.{name}" for name in others}
    assert not loaded & {"pysniff.tls.dissector", "pysniff.cli.details", "pysniff.cli.hub", "dpkt", "numpy"}


def test_the_patience_of_a_dissector_is_known_before_it_is_imported() -> None:
    for place, dissector in zip(PLACES, BUILT_IN, strict=True):
        assert (place.patience, place.transport) == (dissector.patience, dissector.transport)


def test_the_modules_of_the_core_do_no_io() -> None:
    """Rank 0 and 1 take packets and give entries: no socket, file, thread or clock among their imports."""
    outside = {"asyncio", "threading", "subprocess", "select", "selectors", "pathlib", "tempfile", "signal"}
    core = [module for module in MODULES if RANKS[entry_of(module)] <= 1]
    for module in core:
        nodes = list(ast.walk(ast.parse(MODULES[module].read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not names & outside, module


def test_only_the_command_line_prints() -> None:
    for module, path in MODULES.items():
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not prints or module.startswith("pysniff.cli"), module
