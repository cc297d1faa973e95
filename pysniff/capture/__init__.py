"""Where packets come from and go to: interfaces, files, pipes.

Every source is an iterable of Blocks; one that waits also says how far time has come, with Idle.
Nothing here looks further into a packet than its length.
"""

from __future__ import annotations

from typing import NamedTuple


class Idle(NamedTuple):
    """Nothing is waiting: packets that come later are not expected to be older than `time_ns`.

    It is the newest packet's time where the source cannot know (a recording, a slow pipe); 0 before any packet.
    """

    time_ns: int


class LiveCounts(NamedTuple):
    """What the kernel says of a live capture, in packets, over all its interfaces.

    Once the iteration has ended: received_by_kernel = delivered + dropped_by_kernel, exactly.
    Before, packets in the kernel's buffer are received and not yet delivered.
    `dropped_by_interface` were lost before the kernel counted them as received.
    """

    received_by_kernel: int
    dropped_by_kernel: int
    dropped_by_interface: int
