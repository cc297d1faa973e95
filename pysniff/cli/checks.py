"""Can this machine capture? Found out by trying; each finding says what to do."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pysniff.cli.errors import FINE, INTERFACE, PRIVILEGE
from pysniff.cli.finding import Check, Verdict
from pysniff.cli.tls_checks import tls_checks
from pysniff.errors import CaptureError, PrivilegeError, PysniffError

if TYPE_CHECKING:
    from pysniff.capture.interfaces import Interface

CAP_NET_RAW = 13  # linux/capability.h
OPTIONAL = (
    ("orjson", "--json costs less than half", "pip install orjson"),
    ("brotli", "decodes br bodies", "pip install brotli"),
    ("backports.zstd", "decodes zstd bodies and files", "pip install backports.zstd"),
)


def examine(watch: float = 0.0) -> tuple[int, list[Check]]:
    """The exit code, and every finding. `watch`: seconds in which keys and connections are counted."""
    findings = [python_check(), system_check(), libpcap_check()]
    code, capture = capture_checks()
    return code, findings + capture + [*package_checks(), *tls_checks(watch)]


def python_check() -> Check:
    text = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    return Check("Python", Verdict.FINE, text)


def system_check() -> Check:
    return Check("system", Verdict.FINE, f"{platform.system()} {platform.release()} {platform.machine()}")


def libpcap_check() -> Check:
    """The libpcap that pcapy-ng is linked with, which need not be the system's."""
    try:
        import pcapy

        lib_version = ctypes.CDLL(pcapy.__file__).pcap_lib_version
        lib_version.restype = ctypes.c_char_p
        return Check("libpcap", Verdict.FINE, f"{lib_version().decode()} (pcapy-ng {package_version('pcapy-ng')})")
    except (ImportError, OSError, AttributeError) as error:
        return Check("libpcap", Verdict.BAD, str(error), "pip install pcapy-ng")


def capture_checks() -> tuple[int, list[Check]]:
    """Interfaces, privileges and a capture that is really opened."""
    try:
        from pysniff.capture.interfaces import list_interfaces

        interfaces = list_interfaces()
    except (ImportError, PysniffError) as error:
        return INTERFACE, [Check("interfaces", Verdict.BAD, str(error), "see libpcap above")]
    up = [interface for interface in interfaces if interface.up]
    if not up:
        remedy = "bring one up: ip link set dev NAME up"
        return INTERFACE, [Check("interfaces", Verdict.BAD, "none is up", remedy)]
    names = Check("interfaces", Verdict.FINE, ", ".join(interface.name for interface in up))
    code, captures = try_capture(up)
    return code, [names, privilege_check(), dumpcap_check(), captures]


def privilege_check() -> Check:
    """What this process holds; whether it is enough is for try_capture() to find out."""
    capabilities = effective_capabilities()
    if capabilities is None:
        return Check("privileges", Verdict.NOTE, "not a Linux kernel: capabilities unknown")
    held = bool(capabilities >> CAP_NET_RAW & 1)
    return Check("privileges", Verdict.FINE if held else Verdict.NOTE, f"CAP_NET_RAW {'held' if held else 'not held'}")


def effective_capabilities() -> int | None:
    """The effective set of capabilities(7) as a bit mask; None where there is no such thing."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except (OSError, ValueError):
        pass
    return None


def dumpcap_check() -> Check:
    """Whether dumpcap may open a capture, which is what the fallback needs."""
    path = shutil.which("dumpcap")
    if path is None:
        return Check("dumpcap", Verdict.NOTE, "not installed; only needed to capture without privileges")
    try:
        # -S -a duration:1 would take a second; listing link types opens the device all the same.
        done = subprocess.run(
            [path, "-L", "-i", "lo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("dumpcap", Verdict.NOTE, f"{path}: {error}")
    if done.returncode == 0:
        return Check("dumpcap", Verdict.FINE, f"{path} may capture")
    reason = done.stderr.strip().splitlines()[:1] or ["exit code " + str(done.returncode)]
    remedy = f"let group wireshark capture: dpkg-reconfigure wireshark-common, or setcap cap_net_raw+ep {path}"
    return Check("dumpcap", Verdict.NOTE, f"{path}: {reason[0]}", remedy)


def try_capture(up: list[Interface]) -> tuple[int, Check]:
    """Open the way `pysniff -i` does, on the loopback interface if there is one: nobody else's traffic is touched."""
    from pysniff.capture.live import open_live

    name = next((interface.name for interface in up if interface.loopback), up[0].name)
    try:
        with open_live([name]) as source:
            way = "through dumpcap" if "umpcap" in type(source).__name__ else "through libpcap"
    except PrivilegeError as error:
        return PRIVILEGE, Check("live capture", Verdict.BAD, error.message, error.hint or privilege_remedy())
    except CaptureError as error:
        return INTERFACE, Check("live capture", Verdict.BAD, error.message, error.hint)
    return FINE, Check("live capture", Verdict.FINE, f"works on {name}, {way}")


def privilege_remedy() -> str:
    return f"run with sudo, or: sudo setcap cap_net_raw+ep {sys.executable}"


def package_checks() -> Iterator[Check]:
    for name, use, remedy in OPTIONAL:
        if name == "backports.zstd" and sys.version_info >= (3, 14):
            continue  # compression.zstd is in the standard library
        found = package_version(name)
        if found:
            yield Check(name, Verdict.FINE, f"{found}: {use}")
        else:
            yield Check(name, Verdict.NOTE, f"missing: {use}", remedy)


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
