"""Reads secrets and plain text out of running programs, by eBPF loaded from plain Python.

Nothing is left in the kernel: every map, program and probe ends with the descriptor that holds it, so with the process.
"""
