"""Programs in containers have their keys, seen from outside and from within, and once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tracer_bed import CLIENTS, PATIENCE, PYTHON_CLIENT, Bed, are_all, finish, logged, own_library, seen, until

from pysniff.tracer.kernel_secrets import KernelSecrets
from pysniff.tracer.limits import Limits
from pysniff.tracer.traced import TracedProcess

pytestmark = [
    *(pytest.mark.needs_ebpf, pytest.mark.needs_root),
    pytest.mark.needs("nginx", "openssl", "curl", "unshare", "mount"),
]

# A tracer within a PID namespace: what it says of a client that it starts.
INSIDE = """
import json, subprocess, sys
from pysniff.tracer.kernel_secrets import KernelSecrets

with KernelSecrets() as kernel:
    client = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE)
    client.communicate(b"go\\n")
    labels = sorted({secret.label for secret in kernel.take()})
    (told,) = [one for one in kernel.report().processes if one.pid == client.pid]
print(json.dumps([told.comm, told.keys, labels]))
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Bed(tmp_path_factory.mktemp("tracer")) as bed:
        yield bed


def test_a_container_with_files_of_its_own_is_probed_from_outside(bed: Bed, tmp_path: Path) -> None:
    """Its library is on a file system that only it has mounted."""
    environment, keys = own_library(tmp_path), bed.key_log()
    script = 'mount -t tmpfs none "$1" && cp "$2"/libssl* "$1" && shift 2 && exec "$@"'
    (mounted := tmp_path / "mounted").mkdir()
    client = [sys.executable, "-c", PYTHON_CLIENT, str(bed.port), "TLSv1_3", "1", str(keys)]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = [*namespaces, "sh", "-c", script, "sh", str(mounted), environment["LD_LIBRARY_PATH"], *client]
    with KernelSecrets(Limits(names=CLIENTS)) as kernel:
        started = subprocess.Popen(
            command,
            env={**os.environ, "LD_LIBRARY_PATH": str(mounted)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert started.stdout is not None
        assert "ready" in started.stdout.readline()

        def of_it() -> list[TracedProcess]:
            return [one for one in kernel.report().processes if one.path.startswith(str(mounted))]

        until(lambda: any(one.attached for one in of_it()), "it is probed")
        finish(started)
        expected = logged(keys)
        assert are_all(expected, "TLSv1_3")
        assert seen(kernel, expected) == expected
        (told,) = of_it()
        assert (told.comm, told.attached, told.keys) == (Path(sys.executable).name, True, len(expected))


def test_a_tracer_in_a_container_calls_processes_as_they_are_called_there(bed: Bed) -> None:
    client = ["-c", PYTHON_CLIENT, str(bed.port), "TLSv1_2", "1", ""]
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", INSIDE, *client]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=PATIENCE, check=True
    )
    comm, keys, labels = json.loads(done.stdout.splitlines()[-1])
    assert (comm, keys) == (Path(sys.executable).name, 1)
    assert "CLIENT_RANDOM" in labels


def test_containers_of_one_image_have_one_probe(bed: Bed, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    own_library(image)
    with ExitStack() as mounts, KernelSecrets(Limits(names=CLIENTS)) as kernel:
        roots = [_overlay(image, tmp_path / name, mounts) for name in ("first", "second")]
        numbers = set()
        for root in roots:
            (library,) = root.glob("libssl*")
            file = kernel.attachments.meet_path(str(library))
            assert file
            numbers.add(file.number)
            keys = bed.key_log()
            finish(bed.python("TLSv1_3", 1, keys, environment={"LD_LIBRARY_PATH": str(root)}))
            expected = logged(keys)
            got = [secret for secret in kernel.take() if secret in expected]
            assert len(got) == len(expected) > 0
        assert len(numbers) == 1


def _overlay(image: Path, folder: Path, mounts: ExitStack) -> Path:
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    options = f"lowerdir={image},upperdir={folder}/upper,workdir={folder}/work"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, folder / "root"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no overlay here: {done.stderr.strip()}")
    mounts.callback(lambda: subprocess.run(["umount", "--lazy", folder / "root"], check=True))
    return folder / "root"
