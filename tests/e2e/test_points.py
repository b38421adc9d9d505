# SPDX-License-Identifier: Apache-2.0
"""A program killed with SIGKILL at any step of recording: what was committed is delivered, what was begun is
counted as torn, and nobody else is held up.

PYAUDIT_TRANSPORT=full: 1,000 kills and more."""
import signal

import pytest

from conftest import BUILD, MARK, MARKS, SANITIZED, SYSTEM, hear, say, wait_for
from test_transport import FULL, Count

AGENT = BUILD / "tests/libpyaudit-agent-points.so"

# Where a push dies, and whether its record is committed by then.
PUSH = {"numbered": 0, "claim": 0, "claimed": 0, "head moved": 0, "written": 0, "committed": 1, "pushed": 1}
# Before the child's first event, while it attaches.
ATTACH = ("attach", "ring made", "hello", "greeted")

# Forks a child for each line POINT:N, which raises events until it dies; says its pid. Its own events are the
# bystander's.
PARENT = """
import os, signal, sys, time
audit, n = sys.audit, 0
print('ready', flush=True)
for line in sys.stdin:
    point, pause = line.strip().rsplit(' ', 1)
    if point == 'end':
        break
    os.environ['PYAUDIT_TEST_POINT'] = '%%s:%%d' %% (point, os.getpid())
    pid = os.fork()
    if pid == 0:
        for i in range(20000):
            time.sleep(float(pause)) if pause != '0' else None
            audit('%(mark)s', 'x')
        os._exit(3)
    audit('%(mark)s', 'x')
    n += 1
    status = os.waitpid(pid, 0)[1]
    print(pid, os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1, flush=True)
print(n, flush=True)
sys.stdin.readline()
""" % {"mark": MARK}


def kill_at(parent, point, n, pause=0):
    say(parent, "%s:%d %s" % (point, n, pause))
    pid, number = hear(parent).split()
    assert int(number) == signal.SIGKILL, "%s:%d was not passed" % (point, n)
    return int(pid)


def end(server, parent):
    """The bystander's events; then all is read."""
    say(parent, "end 0")
    n = int(hear(parent))
    wait_for(lambda: server.status()["agents"] == 1, "the dead to be buried", 20)
    server.drain()
    count = Count(server.events_path)
    assert count.received(parent.pid) == n and count.reported(parent.pid) == 0
    assert count.again == 0 and count.broken == 0
    return count


@pytest.fixture
def parent(daemon):
    server = daemon(MARKS)
    program = server.spawn([SYSTEM, "-I", "-c", PARENT], env=server.env(LD_PRELOAD=AGENT))
    hear(program, "ready")
    program.server = server
    return program


def torn(count, pid):
    return count.lost.get((pid, b"ordinary", "torn"), 0)


def test_killed_in_a_push(parent):
    rounds = 150 if FULL else 3 if SANITIZED else 10
    expected = {}
    for i in range(rounds):
        for point, committed in PUSH.items():
            n = 1 + i * 37 % 300
            expected[kill_at(parent, point, n)] = (point, n, n - 1 + committed, 1 - committed)
    count = end(parent.server, parent)
    for pid, (point, n, n_whole, n_torn) in expected.items():
        got = (count.received(pid) + count.lost.get((pid, b"ordinary", "full"), 0), torn(count, pid))
        assert got == (n_whole, n_torn), (point, n, got)
    print("%d kills, lost %s" % (len(expected), count.causes()))


def test_killed_while_it_attaches_or_wakes(parent):
    rounds = 20 if FULL else 2
    for _ in range(rounds):
        for point in ATTACH:
            kill_at(parent, point, 1)
    woke = [(kill_at(parent, "wake", n, 0.1), n) for n in (1, 2, 3) * (rounds // 2)]
    count = end(parent.server, parent)
    for pid, n in woke:
        assert count.received(pid) >= n and torn(count, pid) == 0, n
    # An event each, in order, from the first to the last that was committed.
    for pid, _ in woke:
        seen = count.seen[pid]
        assert sum(seen) == len(bytes(seen).rstrip(b"\0"))


def test_killed_when_its_ring_is_full(parent):
    """The daemon stands still, and gets rings of programs that are gone."""
    server = parent.server
    server.signal(signal.SIGSTOP)
    pids = {kill_at(parent, "full", n): n for n in range(1, 16 if FULL else 4)}
    server.signal(signal.SIGCONT)
    count = end(server, parent)
    for pid, n in pids.items():
        assert count.lost.get((pid, b"ordinary", "full"), 0) == n - 1
        assert torn(count, pid) == 1
        assert count.received(pid) == len(bytes(count.seen[pid]).rstrip(b"\0")) > 1000
