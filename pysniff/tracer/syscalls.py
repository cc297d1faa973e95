"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_STATFS = 256  # struct statfs has 120 bytes and begins with the type

Argument = int | ctypes.Array[ctypes.c_char]


def call(number: int, *arguments: Argument) -> int:
    """What the system call returned; OSError where it failed. An array is passed by its address."""
    passed = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *passed))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def buffer(content: bytes) -> ctypes.Array[ctypes.c_char]:
    """Memory of exactly these bytes, which the kernel may write to."""
    return ctypes.create_string_buffer(content, len(content))


def filesystem_type(descriptor: int) -> int:
    """The magic number of the file system that a file is on (statfs(2)); OSError."""
    status = ctypes.create_string_buffer(_STATFS)
    if _libc.fstatfs(descriptor, status) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return ctypes.c_long.from_buffer(status).value
