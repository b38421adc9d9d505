# SPDX-License-Identifier: Apache-2.0
"""What the transport promises when things die or run full: received and reported lost make what was raised,
to the event.

PYAUDIT_TRANSPORT=full runs what takes minutes: the daemon killed 100 times under 200,000 events a second
of 20 processes (PYAUDIT_TRANSPORT_RATE: another number), and the flood of 50 processes once more, while it is read. The same
kills in a booted systemd: tests/container.sh store; there with rings of 4M each (PYAUDIT_TRANSPORT_RING), and nothing may
be lost."""
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import time

import pytest

from conftest import MARK, MARKS, NO_EXEC, PATIENCE, SANITIZED, SYSTEM, Daemon, hear, say, wait_for, write_rules
from test_store import manager  # noqa: F401 (a fixture)

FULL = os.environ.get("PYAUDIT_TRANSPORT") == "full"
RING = os.environ.get("PYAUDIT_TRANSPORT_RING") or "4M"
RATE = int(os.environ.get("PYAUDIT_TRANSPORT_RATE") or 200000)

STEADY = """
import select, sys, time
burst, audit, n = int(sys.argv[1]), sys.audit, 0
print('ready', flush=True)
sys.stdin.readline()
due = time.monotonic()
while not select.select([sys.stdin], [], [], 0)[0]:
    for i in range(burst):
        audit('%(mark)s', 'x')
    n += burst
    due += .01
    wait = due - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    elif wait < -.1:
        due = time.monotonic()
sys.stdin.readline()
print(n, flush=True)
sys.stdin.readline()
""" % {"mark": MARK}

FLOOD = """
import os, sys
n, audit = int(sys.argv[1]), sys.audit
print('ready', flush=True)
sys.stdin.readline()
for i in range(n):
    audit('%(mark)s', 'x')
    if i == n // 2:
        try:
            os.system('id')
        except PermissionError:
            print('refused', flush=True)
print(n, flush=True)
sys.stdin.readline()
""" % {"mark": MARK}

LANE, RECORD = 512 << 10, 104  # bytes of a ring for ordinary events, and of one of these there
CAPACITY = LANE // RECORD

EVENT = re.compile(rb'"kind":"event".*?"pid":(\d+),.*?"number":(\d+)')
LOSS = re.compile(rb'"kind":"loss".*?"lost":(\d+),"cause":"([a-z-]+)"(?:,"total":(\d+))?(?:,"lane":"([a-z]+)")?'
                  rb'.*?"pid":(\d+)')
FILLED = ("ring-full", "urgent-full", "daemon-down")  # one counter


class Count:
    """What the event file says of each process. Lines a killed daemon had written may come again."""

    def __init__(self, path):
        self.seen, self.again, self.broken = {}, 0, 0
        self.alerts, self.lost, self.more = set(), {}, {}
        with open(str(path), "rb") as file:
            for line in file:
                self.take(line)

    def take(self, line):
        found = EVENT.search(line)
        if found:
            pid, number = int(found.group(1)), int(found.group(2))
            seen = self.seen.setdefault(pid, bytearray())
            if number >= len(seen):
                seen.extend(bytes(number + 4096 - len(seen)))
            self.again += seen[number]
            seen[number] = 1
            return
        found = LOSS.search(line)
        if found:
            lost, cause, total = int(found.group(1)), found.group(2).decode(), int(found.group(3) or 0)
            key = (int(found.group(5)), found.group(4), "full" if cause in FILLED else cause)
            if total and cause != "daemon-killed":
                self.lost[key] = max(self.lost.get(key, 0), total)
            else:
                self.more[key] = self.more.get(key, 0) + lost
        elif b'"kind":"alert"' in line and b'"action":"block"' in line:
            self.alerts.add(int(re.search(rb'"pid":(\d+)', line).group(1)))
        elif not line.endswith(b"}\n"):
            self.broken += 1

    def received(self, pid):
        return sum(self.seen.get(pid, b""))

    def reported(self, pid, lane=b"ordinary"):
        return sum(n for lost in (self.lost, self.more) for key, n in lost.items() if key[:2] == (pid, lane))

    def causes(self):
        out = {}
        for lost in (self.lost, self.more):
            for (_, lane, cause), n in lost.items():
                out[cause] = out.get(cause, 0) + n
        return out


def start(server, code, n, argument):
    """@code by way of a file: arguments stand in each line of the event file."""
    path = server.events_path.parent / "program.py"
    path.write_text(code)
    programs = [server.spawn([SYSTEM, "-I", "-c", "exec(open('%s').read())" % path, argument]) for _ in range(n)]
    for program in programs:
        hear(program, "ready")
    return programs


def killed_again_and_again(server):
    processes, kills, rate = (20, 100, RATE) if FULL else (4, 4 if SANITIZED else 8, 8000)
    programs = start(server, STEADY, processes, rate // processes // 100)
    for program in programs:
        say(program, "go")
    begun, away = time.monotonic(), []
    for i in range(kills):
        time.sleep(.1 + i % 5 * .05)
        server.signal(signal.SIGKILL)
        killed = time.monotonic()
        time.sleep(i % 3 * .05)
        server.start()
        away.append(time.monotonic() - killed)
    wait_for(lambda: server.status()["agents"] == processes, "all agents to come back", 20)
    seconds = time.monotonic() - begun
    for program in programs:
        say(program, "stop")
    raised = {program.pid: int(hear(program)) for program in programs}
    server.drain()
    count = Count(server.events_path)
    print("%d raised in %.1f s (%d/s), %d received, %d again, lost %s; away %.2f s, at most %.2f" % (
        sum(raised.values()), seconds, sum(raised.values()) / seconds, sum(count.received(pid) for pid in raised),
        count.again, count.causes(), statistics.median(away), max(away)))
    for pid, n in raised.items():
        assert count.received(pid) + count.reported(pid) == n, (pid, n, count.received(pid), count.reported(pid))
        assert count.received(pid) > 0
    return count


def test_daemon_killed_again_and_again(daemon):
    killed_again_and_again(daemon(MARKS))


def test_daemon_killed_with_its_store(manager):
    """What stood in the rings, and what was read and not written, is with the service manager meanwhile."""
    count = killed_again_and_again(manager)
    assert set(count.causes()) <= {"full"}, "only a ring with no room loses anything"
    assert FULL or not count.causes()


class Unit(Daemon):
    """pyauditd.service of a booted system, which is this one's only use."""
    FOLDER = pathlib.Path("/var/log/pyaudit")

    def __init__(self):
        self.dir, self.events_path, self.programs = pathlib.Path("/run/pyaudit"), self.FOLDER / "events.ndjson", []
        settings = pathlib.Path("/etc/pyaudit/pyauditd.conf.d/transport.conf")
        rules = pathlib.Path("/etc/pyaudit/rules.d/10-transport.rules")
        for path in (settings, rules):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_rules(rules, MARKS)
        settings.write_text("default_rules = no\nrules = %s\njournal = no\nndjson = %s\nring = %s\n" % (
            rules, self.events_path, RING))
        subprocess.run(["systemctl", "restart", "pyauditd"], check=True)
        self.start()

    def signal(self, number):
        self.pid = self.status()["pid"]
        os.kill(self.pid, number)

    def start(self):
        """systemd does it. Its socket has who connects meanwhile in its queue: no polling."""
        wait_for(lambda: self.status()["pid"] != getattr(self, "pid", 0), "the daemon", 30)


if os.environ.get("PYAUDIT_TRANSPORT_UNIT"):  # tests/container.sh store
    def test_unit_killed_again_and_again():
        count = killed_again_and_again(Unit())
        assert set(count.causes()) <= {"full"}, "only a ring with no room loses anything"
        assert RING == "512K" or not count.causes()


def test_larger_ring(daemon):
    """The setting `ring`: what a program raises while nobody reads. Alerts have the room that they had."""
    raised = 15000
    server = daemon(NO_EXEC, MARKS, config="ring = 1200K\n")  # 2M, then
    programs = start(server, FLOOD, 2, raised)
    programs += [server.spawn([SYSTEM.path, "-I", "-c", FLOOD, raised],  # may make no file so large
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))]
    hear(programs[2], "ready")
    server.signal(signal.SIGSTOP)
    for program in programs:
        say(program, "go")
        hear(program, "refused", 60)
        assert int(hear(program, seconds=60)) == raised
    server.signal(signal.SIGCONT)
    server.drain()
    count = Count(server.events_path)
    assert count.alerts == {program.pid for program in programs}
    for program in programs[:2]:
        assert count.received(program.pid) == raised and count.reported(program.pid) == 0
    assert 0 < count.received(programs[2].pid) < raised / 2
    assert count.received(programs[2].pid) + count.reported(programs[2].pid) == raised


def flood_from_many(server, times, is_read):
    """Each of 50 processes raises so many times what its ring holds, with one denial in the middle."""
    processes, each = 10 if SANITIZED else 50, CAPACITY * times
    programs = start(server, FLOOD, processes, each)
    if not is_read:
        server.signal(signal.SIGSTOP)
    for program in programs:
        say(program, "go")
    for program in programs:
        hear(program, "refused", 60)
        assert int(hear(program, seconds=300)) == each
    server.signal(signal.SIGCONT)
    status = server.drain()
    count = Count(server.events_path)
    pids = {program.pid for program in programs}
    print("%d raised, %d received, lost %s" % (each * processes, sum(count.received(pid) for pid in pids), count.causes()))
    assert count.alerts == pids
    for pid in pids:
        assert count.received(pid) + count.reported(pid) == each
        assert count.reported(pid, b"urgent") == 0
        assert count.again == 0
    assert status["lost"] == sum(status["losses"].values()) == sum(count.causes().values())
    assert set(status["losses"]) <= {"ring-full"}
    losses = {p["pid"]: p["losses"] for p in status["processes"]}
    for pid in pids:
        assert losses[pid] == ({"ring-full": count.reported(pid)} if count.reported(pid) else {})
    return [count.received(pid) for pid in pids]


def test_flood_from_many(daemon):
    """Nobody reads meanwhile: each ring has what it holds, to the event, and the rest is counted."""
    assert set(flood_from_many(daemon(NO_EXEC, MARKS), 10, False)) == {CAPACITY}


@pytest.mark.skipif(not FULL, reason="PYAUDIT_TRANSPORT=full: gigabytes")
def test_flood_from_many_that_is_read(daemon):
    """Ten times what a ring holds are over before the daemon has read one."""
    received = flood_from_many(daemon(NO_EXEC, MARKS), 40, True)
    assert min(received) >= CAPACITY and sum(received) > len(received) * CAPACITY


def test_room_of_a_sink_is_shared(daemon):
    """Who comes late in a pass does not come short each time. Rings are full all the while, and the event file's
    queue has room for a part of one turn."""
    server = daemon(MARKS, config="sink_queue = 64K\n")
    programs = start(server, STEADY, 6, 20000)  # as fast as they can
    for program in programs:
        say(program, "go")
    time.sleep(2 * PATIENCE)
    so_far = {p["pid"]: p["events"] for p in server.status()["processes"]}
    for program in programs:
        say(program, "stop")
        hear(program)
    assert len(so_far) == 6 and min(so_far.values()) > max(so_far.values()) // 2, so_far
