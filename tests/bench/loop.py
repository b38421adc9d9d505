# SPDX-License-Identifier: Apache-2.0
"""The loop that is measured: loop.py BURSTS SIZE PAUSE_MS [deny | distinct | frameless LIBRARY]

Raises bursts of `open` events with about 150 bytes of arguments and rests between them, so that a ring is
empty when a burst begins: what is measured is what a program feels, not what a full ring costs. Prints the
nanoseconds per call of each burst, the empty loop taken off, and the times of denials. With `distinct` each
event of a burst has a path of its own, of the same length, and so cannot be known from before; with `frameless`
the events come from a thread that has no frame of Python (frameless.c).
"""
import itertools
import sys
import time

bursts, size, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1e3
clock, audit, rest, repeat = time.perf_counter_ns, sys.audit, time.sleep, itertools.repeat
distinct = "distinct" in sys.argv[4:]
PATH = "/srv/application/releases/2026-11-22/site-packages/package/subpackage/templates/emails/confirmation/" \
       "a-rather-long-file-name.en_GB.html"


if "frameless" in sys.argv[4:]:
    import ctypes
    raise_events = ctypes.CDLL(sys.argv[5]).bench_frameless
    raise_events.argtypes = [ctypes.c_int] * 3 + [ctypes.py_object] * 2
    sys.exit(raise_events(bursts, size, int(pause * 1e6), PATH, "r"))


PATHS = ["%s%06d%s" % (PATH[:-16], i, PATH[-10:]) if distinct else PATH for i in range(size)]


def empty():
    begun = clock()
    for _ in PATHS:
        pass
    return clock() - begun


def events():
    begun = clock()
    for path in PATHS:
        audit("open", path, "r", 524288)
    return clock() - begun


def denials():
    begun = clock()
    for _ in repeat(None, size):
        try:
            audit("os.system", b"id")
        except PermissionError:
            pass
    return clock() - begun


def failing():
    error = PermissionError(1, "denied")
    begun = clock()
    for _ in repeat(None, size):
        try:
            raise PermissionError(1, "denied")
        except PermissionError:
            pass
    return clock() - begun


act = denials if "deny" in sys.argv[4:] else events
act()
base = min(empty() for _ in range(20))
if act is denials:
    base = min(failing() for _ in range(20))
times = []
for _ in range(bursts):
    rest(pause)
    times.append((act() - base) / size)
print(*("%.2f" % t for t in times))
if act is denials:
    print("%.2f" % (base / size))
