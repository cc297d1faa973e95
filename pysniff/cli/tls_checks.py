"""Can keys be read out of running programs here, and of which? Found out by trying; each finding says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pysniff.cli.finding import Check, Verdict
from pysniff.errors import PysniffError

if TYPE_CHECKING:
    from pysniff.tracer.traced import TracedProcess

# Programs that are named one by one, and processes of each.
MOST = 40
_PIDS = 4


def tls_checks() -> Iterator[Check]:
    """What decrypts, what the kernel allows, and each process that has a TLS library."""
    yield _decryption()
    try:
        from pysniff.tracer.privileges import examine
    except (ImportError, OSError) as error:
        yield Check("kernel keys", Verdict.BAD, f"cannot be tried here: {error}", "key logs work: --keylog FILE")
        return
    findings = examine()
    for finding in findings:
        if not finding.works:
            still = f"; still works: {finding.still_works}" if finding.still_works else ""
            verdict = Verdict.BAD if finding.needed.value == "keys" else Verdict.NOTE
            yield Check(_name(finding.name), verdict, f"{finding.problem}{still}", finding.remedy)
    lacking = [finding for finding in findings if not finding.works and finding.needed.value == "keys"]
    if lacking:
        return
    names = ", ".join(finding.name for finding in findings if finding.works)
    yield Check("kernel keys", Verdict.FINE, f"works: {names}")
    yield from _programs()


def _name(text: str) -> str:
    """For the first column."""
    return text if len(text) <= 14 else f"{text[:13]}."


def _decryption() -> Check:
    try:
        import cryptography
    except ImportError:
        return Check(
            "decryption", Verdict.NOTE, "cryptography is missing: TLS stays closed", "pip install 'pysniff[tls]'"
        )
    return Check("decryption", Verdict.FINE, f"cryptography {cryptography.__version__}")


def _programs() -> Iterator[Check]:
    """Attach for a moment, the way --tls does."""
    from pysniff.tracer.kernel_secrets import KernelSecrets

    try:
        with KernelSecrets() as secrets:
            report = secrets.report()
    except PysniffError as error:
        yield Check("probes", Verdict.BAD, error.message, error.hint)
        return
    for problem in report.problems:
        yield Check("probes", Verdict.NOTE, problem)
    running = [process for process in report.processes if process.running]
    if not running:
        yield Check("programs", Verdict.NOTE, "no program that runs now has a TLS library that is known")
        return
    attached = sum(process.attached for process in running)
    text = f"{attached} of {len(running)} running programs with a TLS library can be read"
    yield Check("programs", Verdict.FINE if attached else Verdict.NOTE, text)
    yield from _grouped(running)


def _grouped(running: Iterable[TracedProcess]) -> Iterator[Check]:
    """Processes of one program, file and verdict in a line; those without a probe first: they are looked for."""
    groups: dict[tuple[bool, str, str, str, str], list[int]] = {}
    for process in running:
        key = (process.attached, process.comm, process.library, process.path, process.problem)
        groups.setdefault(key, []).append(process.pid)
    order = sorted(groups)
    for attached, comm, library, path, problem in order[:MOST]:
        pids = groups[attached, comm, library, path, problem]
        where = f"{comm} ({_pids(pids)}): {library or 'a TLS library'} in {path or 'a file that is gone'}"
        if attached:
            yield Check("", Verdict.FINE, f"{where}: keys can be read{'; ' if problem else ''}{problem}")
        else:
            yield Check("", Verdict.NOTE, f"{where}: {problem or 'no probe'}")
    if len(order) > MOST:
        yield Check("", Verdict.NOTE, f"and {len(order) - MOST} other programs")
    if any(not attached for attached, *_ in order):
        remedy = "SSLKEYLOGFILE, or an option of its own; then --keylog FILE, or start it with pysniff run"
        yield Check("", Verdict.NOTE, "a program without a probe may write a key log by itself", remedy)


def _pids(pids: list[int]) -> str:
    shown = ", ".join(map(str, sorted(pids)[:_PIDS]))
    return f"{shown} and {len(pids) - _PIDS} more" if len(pids) > _PIDS else shown
