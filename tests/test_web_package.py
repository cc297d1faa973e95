"""The page comes with the package: built where npm is found, carried by wheels and source archives, never needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import build_page
from cluster_programs import Programs

ROOT = Path(__file__).parent.parent
WEB = "pysniff/web"
HOOK = "import sys, setuptools.build_meta as it; print(getattr(it, sys.argv[1])(sys.argv[2]))"
HOW = "cd pysniff/web && npm ci && npm run build"


class Tree:
    """A checkout of what git has, and what it would take; without a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if listed.returncode:
            pytest.skip("not a git checkout")
        for name in listed.stdout.splitlines():
            if name.startswith(("pysniff/", "setup", "pyproject", "MANIFEST", "README", "LICENSE")):
                source, target = ROOT / name, folder / name
                if source.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, target)

    @property
    def page(self) -> Path:
        return self.folder / WEB / "static" / "index.html"

    def take_modules(self) -> None:
        """What `npm ci` would fetch. It is not called: it would begin by removing what the link points to."""
        if not (ROOT / WEB / "node_modules").is_dir():
            pytest.skip("the checkout has a page, and no node_modules")
        os.utime(self.folder / WEB / "package-lock.json", (0, 0))
        (self.folder / WEB / "node_modules").symlink_to(ROOT / WEB / "node_modules")

    def programs(self, **scripts: str) -> dict[str, str]:
        """An environment that has these programs and no others."""
        folder = self.folder.parent / "bin"
        folder.mkdir()
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return {**os.environ, "PATH": str(folder)}

    def make(self, what: str, environment: dict[str, str] | None = None) -> tuple[Path, str]:
        """A wheel, sdist or editable, as pip and build make it; and what was said."""
        made = self.folder.parent / what
        words = [sys.executable, "-c", HOOK, f"build_{what}", str(made)]
        environment = {**(os.environ if environment is None else environment), "PYSNIFF_COMPILE": "0"}
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return made / done.stdout.split()[-1], done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


@pytest.fixture
def with_npm(tree: Tree) -> Tree:
    build_page()  # skips where npm is not found
    tree.take_modules()
    return tree


def of_the_page(path: Path) -> set[str]:
    """The names below pysniff/web in an archive."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
    else:
        with tarfile.open(path) as archive:
            names = [name.partition("/")[2] for name in archive.getnames() if not name.endswith("/static")]
    return {name.removeprefix(WEB + "/") for name in names if name.startswith(WEB + "/")}


def is_page(names: set[str]) -> bool:
    """One of each kind, and what scripts load later."""
    kinds = sorted(re.sub(r"-[A-Z0-9]{8}", "", name) for name in names if "/chunk-" not in name)
    return kinds == ["static/icon.svg", "static/index.html", "static/page.css", "static/page.js"]


def test_a_wheel_carries_the_page_and_not_its_sources(with_npm: Tree) -> None:
    wheel, _ = with_npm.make("wheel")
    assert is_page(of_the_page(wheel)), of_the_page(wheel)


def test_a_wheel_carries_no_file_of_an_earlier_page(with_npm: Tree) -> None:
    with_npm.make("wheel")
    style = with_npm.folder / WEB / "src" / "style.css"
    style.write_text(style.read_text() + "\n.new { color: red }\n")
    assert is_page(of_the_page(with_npm.make("wheel")[0]))


def test_a_source_archive_carries_both_and_needs_no_npm(with_npm: Tree, tmp_path: Path) -> None:
    archive, _ = with_npm.make("sdist")
    names = of_the_page(archive)
    assert names >= {
        "package.json",
        "package-lock.json",
        "build.mjs",
        "tsconfig.json",
        "src/page.tsx",
        "src/index.html",
    }
    assert is_page({name for name in names if name.startswith("static/")})
    assert not [name for name in names if name.startswith(("node_modules", ".static"))]

    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    (folder / WEB / "src" / "page.tsx").touch()  # unpacked in any order
    unpacked = Tree.__new__(Tree)
    unpacked.folder = folder
    wheel, said = unpacked.make("wheel", with_npm.programs(npm="echo npm was called >&2; exit 1"))
    assert is_page(of_the_page(wheel))
    assert "npm" not in said


def test_without_npm_the_package_is_made_and_says_once_how_to_build_the_page(tree: Tree) -> None:
    wheel, said = tree.make("wheel", tree.programs())
    assert of_the_page(wheel) == set()
    assert said.count(HOW) == 1
    archive, _ = tree.make("sdist", {**os.environ, "PATH": str(tree.folder.parent / "bin")})
    assert "src/page.tsx" in of_the_page(archive)


def test_what_npm_cannot_do_fails_no_install(tree: Tree) -> None:
    """Without a network, say: it is told, in npm's words."""
    environment = tree.programs(npm='echo "npm $*" >&2; echo getaddrinfo EAI_AGAIN >&2; exit 1')
    wheel, said = tree.make("wheel", environment)
    assert of_the_page(wheel) == set()
    assert "npm ci --ignore-scripts --no-audit --no-fund" in said
    assert "EAI_AGAIN" in said
    assert said.count(HOW) == 1


def test_an_editable_install_builds_the_page_once(with_npm: Tree) -> None:
    with_npm.make("editable")
    assert with_npm.page.is_file()
    before = with_npm.page.stat().st_mtime_ns
    with_npm.make("editable")
    assert with_npm.page.stat().st_mtime_ns == before
    (with_npm.folder / WEB / "src" / "page.tsx").touch()
    with_npm.make("editable")
    assert with_npm.page.stat().st_mtime_ns > before


def test_a_page_that_npm_cannot_renew_stays(with_npm: Tree) -> None:
    with_npm.make("editable")
    (with_npm.folder / WEB / "src" / "page.tsx").touch()
    wheel, said = with_npm.make("wheel", with_npm.programs())
    assert is_page(of_the_page(wheel))
    assert "the page is as it was, for npm is not found" in said


def test_the_lock_names_every_package_that_some_machine_needs() -> None:
    """npm leaves out what a registry lacks, and `npm ci` then refuses the lock everywhere."""
    locked = json.loads((ROOT / WEB / "package-lock.json").read_text())["packages"]
    named = {
        name
        for one in locked.values()
        for kind in ("dependencies", "optionalDependencies")
        for name in one.get(kind, {})
    }
    assert sorted(name for name in named if f"node_modules/{name}" not in locked) == []
    assert not [one["resolved"] for one in locked.values() if "resolved" in one], (
        "addresses are of one machine's registry"
    )


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    with Programs(tmp_path) as found:
        yield found


def served(wheel: Path, folder: Path, programs: Programs) -> str:
    """What the hub of an installed wheel shows."""
    words = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    subprocess.run(words, check=True, capture_output=True)
    # Not of the folder that the tests run in.
    environment = {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "XDG_STATE_HOME": str(folder / "state")}
    hub = programs.start("hub", [sys.executable, "-m", "pysniff", "hub", "--listen", "127.0.0.1:0"], environment)
    found = re.search(r"http://\S+:\d+/", hub.wait_for("hub at "))
    assert found
    with urllib.request.urlopen(found[0], timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_the_hub_of_an_installed_wheel_serves_the_page(with_npm: Tree, programs: Programs, tmp_path: Path) -> None:
    wheel, _ = with_npm.make("wheel")
    assert '<script type="module" src="/static/page-' in served(wheel, tmp_path / "installed", programs)


def test_a_hub_without_the_page_says_in_one_line_how_to_build_it(
    tree: Tree, programs: Programs, tmp_path: Path
) -> None:
    wheel, _ = tree.make("wheel", tree.programs())
    shown = served(wheel, tmp_path / "installed", programs)
    assert [line for line in shown.splitlines() if HOW in line and "The page is not built" in line]
    assert "/api/entries" in shown
