"""The project's own files agree with each other: README, packaging, tests and CI."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

# What a module is imported as, where the distribution has another name.
DISTRIBUTIONS = {
    "pcapy": "pcapy-ng",
    "backports": "backports.zstd",
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc_tools": "grpcio-tools",
    "re2": "google-re2",
    "cel_expr_python": "cel-expr-python",
    "mypy_extensions": "mypy-extensions",
    "openapi_spec_validator": "openapi-spec-validator",
    "prometheus_client": "prometheus-client",
    "yaml": "pyyaml",
}


def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def required(lines: str) -> set[str]:
    names = [re.match(r"[\w.-]+", line) for line in lines.splitlines()]
    return {name[0] for name in names if name}


def third_party(folder: str, without: tuple[str, ...] = ()) -> set[str]:
    """Distributions that the modules of a folder import; `without` names of modules, or folders."""
    names = set()
    modules = [path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    own = {path.stem for path in modules} | {path.parent.name for path in modules}
    for path in (path for path in modules if not {*path.relative_to(ROOT).parts} & {*without}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    found = names - set(sys.stdlib_module_names) - own - {"pysniff", "benchmarks", "compression"}
    return {DISTRIBUTIONS.get(name, name) for name in found}


def test_the_package_requires_what_it_imports_and_nothing_else() -> None:
    installed = required(setup()["options"]["install_requires"])
    cluster = required(setup()["options.extras_require"]["cluster"])
    tls = required(setup()["options.extras_require"]["tls"])
    # Names in YAML are read where PyYAML is there; everything else beyond the plain install is the cluster's, and TLS'.
    assert third_party("pysniff", without=("cluster", "hosts.py", "openers.py", "tls_checks.py")) == installed
    assert third_party("pysniff", without=("cluster", "hosts.py")) == installed | tls
    assert third_party("pysniff") == installed | cluster | tls


def test_tests_and_examples_import_nothing_that_they_do_not_require() -> None:
    installed = required(setup()["options"]["install_requires"])
    extras = setup()["options.extras_require"]
    extra = required(extras["test"]) | required(extras["cluster"]) | required(extras["tls"])
    # atheris has no wheel for every Python: the fuzzers skip without it.
    assert third_party("tests") <= installed | extra | {"atheris"}
    assert third_party("benchmarks") <= installed | extra
    # What makes the capture talks to real programs; what a reader runs needs PySniff alone.
    assert third_party("examples") <= extra
    assert third_party("examples", without=("make_shop.py", "stock.py")) == set()


def test_ci_runs_the_readmes_test_command() -> None:
    command = "python -m pytest"
    assert f"```sh\n{command}\n```" in README
    assert re.search(rf"^{command}\b", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_the_readme_shows_what_the_command_prints() -> None:
    """The first lines of the shop, as they are; README's sample cannot drift."""
    command = re.search(r"pysniff (-r examples/shop\.pcap)$", README, re.MULTILINE)
    sample = re.search(r"^## What it prints\n```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert command
    assert sample
    done = subprocess.run(
        [sys.executable, "-m", "pysniff", *command[1].split()],
        env={**os.environ, "TZ": "UTC"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout == sample[1]


def test_every_page_that_a_page_links_to_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())]
    missing = [
        f"{page.name}: {link}" for page, link in links if "://" not in link and not (page.parent / link).exists()
    ]
    assert missing == []
