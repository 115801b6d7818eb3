"""A wire with a length: carries Ethernet frames between two TAP devices, each after the same delay.

A race between a FIN and a request needs flight time. netem would give it too, but not every kernel has netem, and
a TAP device also hands over frames as they would travel: segmented to the MTU, with their checksums.

    delay_line.py DEVICE DEVICE ONE_WAY_MS

On SIGUSR1 it becomes narrow, as a tunnel is, and on the next one wide again: while it is, large frames are lost without a
word. On SIGUSR2 it breaks, and on the next one it is whole again: while it is broken, all frames are lost.
"""

import collections
import fcntl
import os
import select
import signal
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
FRAME_LIMIT_BYTES = 65536
# An IP packet of 1000 octets in an Ethernet frame.
NARROW_FRAME_BYTES = 1014


def open_tap(name):
    """Makes the TAP device `name` and returns the descriptor that reads and writes its frames."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI)
    fcntl.ioctl(descriptor, TUNSETIFF, request)
    return descriptor


class Width:
    """The largest frame that passes."""

    def __init__(self):
        self.limit_bytes = FRAME_LIMIT_BYTES
        signal.signal(signal.SIGUSR1, lambda *_: self.change(NARROW_FRAME_BYTES))
        signal.signal(signal.SIGUSR2, lambda *_: self.change(0))

    def change(self, limit_bytes):
        """Makes it narrow or breaks it, or makes it wide again."""
        self.limit_bytes = limit_bytes if self.limit_bytes == FRAME_LIMIT_BYTES else FRAME_LIMIT_BYTES


def carry(near, far, delay_s):
    """Moves frames between two descriptors for ever."""
    width = Width()
    other_end = {near: far, far: near}
    # One queue serves both directions: the delay is constant, so what came first is due first.
    in_flight = collections.deque()
    while True:
        wait = max(0.0, in_flight[0][0] - time.monotonic()) if in_flight else None
        readable, _, _ = select.select([near, far], [], [], wait)
        for end in readable:
            frame = os.read(end, FRAME_LIMIT_BYTES)
            if len(frame) <= width.limit_bytes:
                in_flight.append((time.monotonic() + delay_s, other_end[end], frame))
        while in_flight and in_flight[0][0] <= time.monotonic():
            _, end, frame = in_flight.popleft()
            deliver(end, frame)


def deliver(end, frame):
    """Writes a frame; one for a device that is not up is lost, as on any wire."""
    try:
        os.write(end, frame)
    except OSError:
        pass


def main():
    """Opens both ends and carries frames until killed."""
    near, far, one_way_ms = sys.argv[1:]
    carry(open_tap(near), open_tap(far), float(one_way_ms) / 1000)


if __name__ == "__main__":
    main()
