"""Can keys be read out of running programs here, and of which? Found out by trying; each finding says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pysniff.cli.finding import Check, Verdict
from pysniff.cli.tls_programs import MOST, Program, programs, unowned_line
from pysniff.errors import PysniffError

if TYPE_CHECKING:
    from pysniff.tracer.traced import TracerReport


def tls_checks(watch: float = 0.0) -> Iterator[Check]:
    """What decrypts, what the kernel allows, and each process that has a TLS library; with `watch` also what keys and
    connections it has in so many seconds."""
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
            yield Check(finding.name, verdict, f"{finding.problem}{still}", finding.remedy)
    lacking = [finding for finding in findings if not finding.works and finding.needed.value == "keys"]
    if lacking:
        return
    names = ", ".join(finding.name for finding in findings if finding.works)
    yield Check("kernel keys", Verdict.FINE, f"works: {names}")
    yield from _programs(watch)


def _decryption() -> Check:
    try:
        import cryptography
    except ImportError:
        return Check(
            "decryption", Verdict.NOTE, "cryptography is missing: TLS stays closed", "pip install 'pysniff[tls]'"
        )
    return Check("decryption", Verdict.FINE, f"cryptography {cryptography.__version__}")


def _programs(watch: float) -> Iterator[Check]:
    """Attach for a moment, the way --tls does, or for the seconds of `watch`."""
    try:
        report = _watched(watch) if watch else _tried()
    except PysniffError as error:
        yield Check("probes", Verdict.BAD, error.message, error.hint)
        return
    for problem in report.problems:
        yield Check("probes", Verdict.NOTE, problem)
    # What has ended is of interest where it said something.
    told = [process for process in report.processes if process.running or watch]
    if not told:
        yield Check("programs", Verdict.NOTE, "no program that runs now has a TLS library that is known")
        return
    running = [process for process in told if process.running and process.path]
    attached = sum(process.attached for process in running)
    text = f"{attached} of {len(running)} running programs with a TLS library can be read"
    yield Check("programs", Verdict.FINE if attached else Verdict.NOTE, text)
    yield from _named(programs(told), with_figures=bool(watch))
    if not watch:
        yield Check("connections", Verdict.NOTE, "were not counted", "pysniff doctor --watch 10 counts for 10 seconds")
    elif report.unowned:
        yield Check("connections", Verdict.NOTE, unowned_line(report.unowned))


def _tried() -> TracerReport:
    from pysniff.tracer.kernel_secrets import KernelSecrets

    with KernelSecrets() as secrets:
        return secrets.report()


def _watched(seconds: float) -> TracerReport:
    """Capture on every interface, and dissect, as `pysniff --tls` does."""
    from pysniff.reading import sniff
    from pysniff.tracing import Tracing

    tracing = Tracing("keys")
    assert tracing.secrets is not None
    with sniff(tls=tracing, duration=seconds) as entries:
        for _ in entries:
            pass
    return tracing.secrets.report()


def _named(every: Sequence[Program], *, with_figures: bool) -> Iterator[Check]:
    for program in every[:MOST]:
        figures = f"; {program.figures}" if with_figures else ""
        yield Check("", Verdict.FINE if program.attached else Verdict.NOTE, f"{program.line}{figures}")
    if len(every) > MOST:
        yield Check("", Verdict.NOTE, f"and {len(every) - MOST} other programs")
    if not all(program.attached for program in every):
        remedy = "SSLKEYLOGFILE, or an option of its own; then --keylog FILE, or start it with pysniff run"
        yield Check("", Verdict.NOTE, "a program without a probe may write a key log by itself", remedy)
