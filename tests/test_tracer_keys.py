"""Keys out of the kernel are those that programs write into their own key logs, of every connection."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracer_bed import (
    CFFI_CLIENT,
    CLIENTS,
    NODE_CLIENT,
    TLS_1_3,
    VERSIONS,
    Bed,
    are_all,
    finish,
    labels,
    logged,
    own_library,
    seen,
    until,
)

from pysniff.errors import OptionError
from pysniff.secrets import Secrets
from pysniff.tracer import uprobe
from pysniff.tracer.kernel_secrets import KernelSecrets
from pysniff.tracer.limits import Limits, cgroup_id

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


@VERSIONS
def test_keys_of_curl_are_those_of_its_key_log(bed: Bed, kernel: KernelSecrets, version: str) -> None:
    keys = bed.key_log()
    bed.run("curl", "-sSk", "--tls-max", version[-3:].replace("_", "."), bed.url, keys=keys)
    expected = logged(keys)
    assert are_all(expected, version)
    assert seen(kernel, expected) == expected


@VERSIONS
def test_keys_of_python_are_those_of_its_key_log(bed: Bed, kernel: KernelSecrets, version: str) -> None:
    keys = bed.key_log()
    bed.connect(version, 1, keys)
    expected = logged(keys)
    assert are_all(expected, version)
    assert seen(kernel, expected) == expected


@pytest.mark.needs("node")
@VERSIONS
def test_keys_of_node_with_openssl_inside_are_those_of_its_key_log(
    bed: Bed, kernel: KernelSecrets, version: str
) -> None:
    keys = bed.key_log()
    most = f"--tls-max-v{version[-3:].replace('_', '.')}"
    bed.run("node", most, f"--tls-keylog={keys}", "-e", NODE_CLIENT, str(bed.port))
    expected = logged(keys)
    assert are_all(expected, version)
    assert seen(kernel, expected) == expected


def test_keys_of_boringssl_in_an_extension_module_are_those_of_its_key_log(bed: Bed, kernel: KernelSecrets) -> None:
    module = pytest.importorskip("curl_cffi", reason="needs curl_cffi").__path__[0]
    (library,) = Path(module).glob("_wrapper*.so")
    kernel.attachments.meet_path(str(library))
    keys = bed.key_log()
    assert bed.run(sys.executable, "-c", CFFI_CLIENT, bed.url, keys=keys).strip() == "fine"
    expected = logged(keys)
    assert are_all(expected, "TLSv1_3")
    assert seen(kernel, expected) == expected


@VERSIONS
def test_keys_of_a_server_are_those_of_its_clients(bed: Bed, version: str) -> None:
    keys = bed.key_log()
    with KernelSecrets(Limits(names=frozenset({"nginx"}))) as kernel:
        bed.connect(version, 1, keys)
        expected = logged(keys)
        assert seen(kernel, expected) == expected


@VERSIONS
def test_not_one_of_many_connections_lacks_a_key(bed: Bed, kernel: KernelSecrets, version: str) -> None:
    keys = bed.key_log()
    bed.connect(version, 200, keys)
    expected = logged(keys)
    assert len({secret.random for secret in expected}) == 200
    assert seen(kernel, expected) == expected
    assert kernel.report().dropped == 0


def test_the_first_connection_of_a_program_that_starts_has_its_keys(bed: Bed, kernel: KernelSecrets) -> None:
    keys = bed.key_log()
    for _ in range(20):
        bed.run("curl", "-sSk", bed.url, keys=keys)
    expected = logged(keys)
    assert Counter(labels({one}).pop() for one in expected)["CLIENT_TRAFFIC_SECRET_0"] == 20
    assert seen(kernel, expected) == expected


def test_a_program_need_not_write_a_key_log(bed: Bed, kernel: KernelSecrets) -> None:
    kernel.take()
    client = bed.python("TLSv1_3", 1, "")
    finish(client)
    kernel.take()
    counted = {traced.pid: traced for traced in kernel.report().processes}
    assert counted[client.pid].keys >= len(TLS_1_3)
    assert not counted[client.pid].running


def test_a_library_that_nobody_had_mapped_is_probed_as_soon_as_a_program_loads_it(
    bed: Bed, kernel: KernelSecrets, tmp_path: Path
) -> None:
    environment = own_library(tmp_path)
    keys = bed.key_log()
    client = bed.python("TLSv1_3", 1, keys, environment=environment)
    until(lambda: [one for one in kernel.report().processes if one.pid == client.pid and one.attached], "it is probed")
    finish(client)
    expected = logged(keys)
    assert are_all(expected, "TLSv1_3")
    assert seen(kernel, expected) == expected


@VERSIONS
def test_an_older_kernel_reveals_the_same(bed: Bed, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Before 6.6 probes are perf events, and before 6.0 programs cannot wait for memory."""
    monkeypatch.setattr(uprobe, "links_work", lambda: False)
    monkeypatch.setattr("pysniff.tracer.key_program.sleepable_works", lambda: False)
    keys = bed.key_log()
    with KernelSecrets(Limits(names=CLIENTS)) as kernel:
        bed.connect(version, 20, keys)
        expected = logged(keys)
        assert seen(kernel, expected) == expected
        assert kernel.report().unlabelled == 0


def test_only_processes_that_are_asked_for_are_read(bed: Bed) -> None:
    first, second = bed.python("TLSv1_3", 1, bed.key_log()), bed.python("TLSv1_3", 1, other := bed.key_log())
    with KernelSecrets(Limits(pids=frozenset({second.pid}))) as kernel:
        finish(first)
        finish(second)
        assert {*kernel.take()} == logged(other)


def test_only_processes_of_a_name_are_read(bed: Bed) -> None:
    with KernelSecrets(Limits(names=frozenset({"curl"}))) as kernel:
        bed.connect("TLSv1_3", 1, keys := bed.key_log())
        assert not seen(kernel, logged(keys))
        bed.run("curl", "-sSk", bed.url, keys=(keys := bed.key_log()))
        assert seen(kernel, logged(keys)) == logged(keys)


def test_only_processes_of_a_control_group_are_read(bed: Bed) -> None:
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines() if " cgroup2 " in line]
    if not mounts:
        pytest.skip("cgroup2 is not mounted")
    group = Path(mounts[0], f"pysniff-test-{bed.port}")
    inner = group / "inner"
    try:
        inner.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        outside, inside = bed.python("TLSv1_3", 1, bed.key_log()), bed.python("TLSv1_3", 1, keys := bed.key_log())
        (inner / "cgroup.procs").write_text(str(inside.pid))
        with KernelSecrets(Limits(cgroups=frozenset({cgroup_id(str(group))}))) as kernel:
            finish(outside)
            finish(inside)
            assert {*kernel.take()} == logged(keys)
    finally:
        inner.rmdir()
        group.rmdir()


def test_secrets_that_are_asked_for_late_are_found(bed: Bed, kernel: KernelSecrets) -> None:
    bed.connect("TLSv1_3", 1, keys := bed.key_log())
    known = Secrets(kernel)
    for secret in logged(keys):
        assert known.find(secret.label, secret.random) == (secret.value, "kernel")


def test_what_does_not_fit_is_counted(bed: Bed) -> None:
    many, one = bed.python("TLSv1_3", 20, keys := bed.key_log()), bed.python("TLSv1_2", 1, other := bed.key_log())
    with KernelSecrets(Limits(pids=frozenset({many.pid, one.pid})), ring=mmap.PAGESIZE) as kernel:
        finish(many)
        expected = logged(keys)
        got = seen(kernel, expected)
        assert got < expected
        assert kernel.report().dropped >= len(expected) - len(got)
        finish(one)
        assert seen(kernel, logged(other)) == logged(other)


def test_after_close_there_is_nothing_to_wait_for(bed: Bed) -> None:
    with KernelSecrets(Limits(names=frozenset({"curl"}))) as kernel:
        before = kernel.complete
        bed.run("curl", "-sSk", bed.url)
    assert (before, kernel.complete) == (False, True)
    assert kernel.take() == []
    kernel.close()


def test_a_report_tells_which_library_a_process_has(bed: Bed, kernel: KernelSecrets) -> None:
    client = bed.python("TLSv1_3", 1, "")
    processes = kernel.report().processes
    finish(client)
    for pid, attached in ((client.pid, True), (bed.worker, False)):
        (one,) = [one for one in processes if one.pid == pid]
        assert (one.attached, one.running) == (attached, True)
        assert one.library.startswith("OpenSSL ")
        assert "libssl" in one.path
        # nginx is not among those that are asked for.
        assert one.problem.startswith("left out") is not attached


def test_whether_a_process_is_asked_for_is_known_by_its_number_its_name_or_its_control_group() -> None:
    groups = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    assert Limits().include(7, "nginx")
    assert Limits(pids=frozenset({7})).include(7, "nginx")
    assert not Limits(pids=frozenset({7})).include(8, "nginx")
    assert Limits(names=frozenset({"a-name-of-more-than-15"})).include(8, "a-name-of-more-")
    assert not Limits(names=frozenset({"nginx"})).include(8, "nginx-debug")
    if groups and not groups[0].endswith("/.."):
        try:
            own = cgroup_id(groups[0][3:])
        except OptionError:
            return  # not mounted
        assert Limits(cgroups=frozenset({own})).include(os.getpid(), "python")
        assert not Limits(cgroups=frozenset({own + 1})).include(os.getpid(), "python")


def test_secrets_are_not_in_what_is_printed(bed: Bed, kernel: KernelSecrets) -> None:
    bed.connect("TLSv1_3", 1, keys := bed.key_log())
    expected = logged(keys)
    assert seen(kernel, expected)
    told = f"{kernel!r} {kernel.report()!r}"
    assert not [one for one in expected if one.value.hex() in told or repr(one.value) in told]


def test_a_file_may_be_anything(kernel: KernelSecrets, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "elf").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)
    assert not [
        name for name in ("empty", "elf", "pipe", "absent") if kernel.attachments.meet_path(str(tmp_path / name))
    ]
