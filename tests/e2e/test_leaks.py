# SPDX-License-Identifier: Apache-2.0
"""What the agent takes it gives back: descriptors, mappings and memory of a program stay flat over events, forks and
daemons that come and go, and so do the daemon's. PYAUDIT_LEAKS=full: a million events, 100,000 forks, 1,000 daemons, and
valgrind over a debug interpreter."""
import os
import shutil
import signal
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import AGENT, MARK, MARKS, SANITIZED, SYSTEM, hear, rule, say, wait_for

FULL = os.environ.get("PYAUDIT_LEAKS") == "full"
EVENTS = 1000000 if FULL else 60000
FORKS = 100000 if FULL else 600
DAEMONS = 1000 if FULL else 12
POLICIES = 8  # as many may stay mapped: AGENT_POLICIES
KIB_FLAT = 512  # allocators and page tables breathe; one leaked word in each fork would be more

# Reports itself and does as it is told. "NUMBER" raises that many events, "fork NUMBER" forks.
PROGRAM = r"""
import os, sys
audit = sys.audit
def facts():
    with open('/proc/self/status') as status:
        anon = [int(line.split()[1]) for line in status if line.startswith('RssAnon')][0]
    with open('/proc/self/maps') as maps:
        n_maps = sum(1 for line in maps)
    return '%%d %%d %%d' %% (anon, len(os.listdir('/proc/self/fd')), n_maps)
def forks(n):
    for i in range(n):
        pid = os.fork()
        if pid == 0:
            audit('%s', i)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
while True:
    words = sys.stdin.readline().split()
    if not words:
        break
    if words[0] == 'fork':
        forks(int(words[1]))
    else:
        for i in range(int(words[0])):
            audit('%s', i)
    print(facts(), flush=True)
""" % (MARK, MARK)


def ask(program, line, seconds=60):
    say(program, line)
    return [int(n) for n in hear(program, seconds=seconds).split()]


def facts_of(pid):
    with open("/proc/%d/status" % pid) as status:
        kib = [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]
    return kib, len(os.listdir("/proc/%d/fd" % pid))


def assert_flat(before, after, what):
    assert after[1:] == before[1:], "%s: descriptors, mappings %r, then %r" % (what, before[1:], after[1:])
    if not SANITIZED:
        assert after[0] - before[0] < KIB_FLAT, "%s: %d KiB, then %d KiB" % (what, before[0], after[0])


def settle(server):
    """The daemon's facts once it has read and let go of everything but the program."""
    server.drain()
    wait_for(lambda: len(server.status()["processes"]) == 1, "the children to be gone", 30)
    return facts_of(server.process.pid)


@pytest.mark.parametrize("work", ["events", "forks"])
def test_flat(daemon, system_python, work):
    server = daemon(MARKS)
    program = server.spawn([system_python, "-I", "-c", PROGRAM])
    n, line = (EVENTS, "%d") if work == "events" else (FORKS, "fork %d")
    ask(program, line % (n // 10), 600)
    at_daemon, before = settle(server), ask(program, line % 1)
    for _ in range(10):
        ask(program, line % (n // 10), 600)
    assert_flat(before, ask(program, line % 1), "the program")
    # What it keeps of processes that are gone is bounded, but not at once full: daemon/recent.c.
    wait_for(lambda: settle(server)[1] == at_daemon[1], "the daemon's descriptors to be closed")


def test_daemons_come_and_go(daemon, system_python):
    server = daemon(MARKS)
    program = server.spawn([system_python, "-I", "-c", PROGRAM])
    ask(program, "1")
    before = None
    for n in range(POLICIES + DAEMONS):
        server.signal(signal.SIGKILL)
        server.start()
        wait_for(lambda: ask(program, "300") and server.status()["processes"], "the agent to be back")
        if n == POLICIES:
            before = ask(program, "1")
    assert_flat(before, ask(program, "1"), "the program")


DEBUG = """
import os, subprocess, sys, threading
def work():
    for i in range(200): sys.audit('%s', i, 'text', b'bytes', [1, 'two'])
threads = [threading.Thread(target=work) for _ in range(3)]
for t in threads: t.start()
for t in threads: t.join()
for act in (lambda: os.system('id'), lambda: subprocess.run(['id']), lambda: open('/nowhere')):
    try: act()
    except OSError: pass
if os.fork() == 0:
    work()
    os._exit(0)
os.wait()
""" % MARK


def test_valgrind_on_the_debug_interpreter(daemon, tmp_path):
    """Nothing that valgrind finds has the agent in its stack."""
    if not FULL:
        pytest.skip("takes a minute: PYAUDIT_LEAKS=full")
    debug = SYSTEM.path + "-dbg"
    if not (shutil.which("valgrind") and os.path.exists(debug)):
        pytest.skip("valgrind or %s is missing" % debug)
    server = daemon(rule("all", "@all", action="record"), rule("no-id", "@exec", "exec.name = 'id'"))
    found = tmp_path / "found.xml"
    done = server.run(["valgrind", "--trace-children=no", "--leak-check=full", "--show-leak-kinds=definite,indirect", "--xml=yes",
                       "--xml-file=%s.%%p" % found, "--child-silent-after-fork=yes", debug, "-I", "-c", DEBUG],
                      env=server.env(PYTHONMALLOC="malloc"), timeout=900)
    assert done.returncode == 0, done
    events = server.events()
    assert len([e for e in events if e.get("event") == MARK]) == 4 * 200
    (report,) = tmp_path.glob("found.xml.*")
    errors = list(ElementTree.parse(str(report)).getroot().iter("error"))
    ours = [e for e in errors if any(AGENT.name in (o.text or "") for o in e.iter("obj"))]
    assert ours == [], b"\n".join(ElementTree.tostring(e) for e in ours).decode()
