"""Compiled modules are the same program: entries, account and suite are equal, whoever subclasses and copies."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENTRIES = Path(__file__).parent / "entries_of.py"
SLOWER = "pysniff is installed as pure Python"
# What exercises compiled modules from outside, by subclasses and by what they give.
SUITE = (
    "contract", "conversations", "dissector_page", "dns", "entry", "grpc", "http1", "http2_skim", "http2_state",
    "ledger", "reassembly", "store_capture",
)  # fmt: skip
PYTEST = """
import sys, pytest
from pysniff import packet
assert packet.__file__.endswith(".so")
sys.exit(pytest.main(sys.argv[1:]))
"""
BUILD = "import sys, setuptools.build_meta as it; print(it.build_wheel(sys.argv[1]))"
COPIES = """
import copy, pickle, sys, pysniff
entry = next(iter(pysniff.read(sys.argv[1])))
for twin in (copy.copy(entry), copy.deepcopy(entry), pickle.loads(pickle.dumps(entry))):
    assert twin is not entry and twin.to_dict() == entry.to_dict(), twin
"""


def compiled_modules() -> list[str]:
    """COMPILED of setup.py."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED":
            return [str(ast.literal_eval(name)) for name in node.value.elts] if isinstance(node.value, ast.List) else []
    raise AssertionError("setup.py names no modules")


def wheel(folder: Path, **environment: str) -> tuple[Path, str]:
    """Made from a copy of the sources, and unpacked; and what was said."""
    sources = folder / "sources"
    shutil.copytree(ROOT / "pysniff", sources / "pysniff", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy2(ROOT / name, sources / name)
    (sources / "PKG-INFO").touch()  # as of a source archive: the page is not built
    static = sources / "pysniff" / "web" / "static"
    static.mkdir(exist_ok=True)
    (static / "index.html").touch()
    command = [sys.executable, "-c", BUILD, str(folder)]
    done = subprocess.run(
        command, cwd=sources, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(unpacked)
    return unpacked, done.stdout + done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as `pip install` gives it."""
    if find_spec("mypyc") is None:
        pytest.skip("needs mypy, which compiles")
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    return wheel(tmp_path_factory.mktemp("compiled"), PYSNIFF_COMPILE="1")[0]


def run(tree: Path, words: Sequence[str | Path]) -> str:
    """What Python says with the package found in `tree`."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
    return done.stdout


def test_every_listed_module_is_compiled_and_the_sources_stay_as_they_are(compiled: Path) -> None:
    for name in compiled_modules():
        path = compiled / "pysniff" / name.replace(".", "/")
        assert list(path.parent.glob(f"{path.name}.*.so")), name
    assert not [path for path in (ROOT / "pysniff").rglob("*.so") if "node_modules" not in path.parts]


def test_a_wheel_is_pure_python_where_that_is_asked_for(tmp_path: Path) -> None:
    asked, said = wheel(tmp_path, PYSNIFF_COMPILE="0")
    assert is_pure(asked)
    assert SLOWER not in said


@pytest.mark.parametrize("compiler", ["false", "not-there"])
def test_a_wheel_is_pure_python_where_nothing_compiles_and_says_so_once(tmp_path: Path, compiler: str) -> None:
    if find_spec("mypyc") is None:
        pytest.skip("needs mypy, which compiles")
    environment = {"CC": compiler, "PYSNIFF_COMPILE": ""}
    if compiler == "not-there":
        environment["PATH"] = str(tmp_path)
    made, said = wheel(tmp_path, **environment)
    assert is_pure(made)
    assert said.count(SLOWER) == 1


def is_pure(made: Path) -> bool:
    """Without a compiled module, for every machine, all of it where pip puts it: the page, too."""
    (about,) = made.glob("*.dist-info/WHEEL")
    return (
        "Root-Is-Purelib: true" in about.read_text()
        and not [*made.rglob("*.so")]
        and (made / "pysniff" / "web" / "static" / "index.html").is_file()
    )


def test_compiled_or_not_every_capture_gives_the_same_entries(compiled: Path, corpus: Path) -> None:
    captures = sorted(path for path in (corpus / "public" / "pcap").rglob("*") if path.is_file())
    assert captures
    pure, built = (run(tree, [ENTRIES, *captures]).splitlines() for tree in (ROOT, compiled))
    assert pure[0].endswith(".py") and built[0].endswith(".so")
    assert len(pure) == len(captures) + 1
    assert built[1:] == pure[1:]


@pytest.mark.parametrize("tree", ["compiled", "pure"])
def test_an_entry_can_be_copied_and_pickled(tree: str, request: pytest.FixtureRequest) -> None:
    run(request.getfixturevalue(tree) if tree == "compiled" else ROOT, ["-c", COPIES, ROOT / "examples" / "shop.pcap"])


def test_the_suite_holds_for_what_is_compiled(compiled: Path) -> None:
    tests = [ROOT / "tests" / f"test_{name}.py" for name in SUITE]
    run(compiled, ["-c", PYTEST, "-q", "-n", "0", "-p", "no:cacheprovider", "-c", ROOT / "setup.cfg", *tests])
