"""The memory that a process has held at its peak."""

import resource
import sys


def peak():
    """In bytes. On Linux a process inherits the ru_maxrss of the one that started it, so the kernel's own is read."""
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else 1024 * size
