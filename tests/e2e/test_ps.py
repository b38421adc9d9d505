# SPDX-License-Identifier: Apache-2.0
"""ps, and Python processes that should be watched and are not. The control groups are files of the test's own; a booted
systemd has the real ones."""
import json
import os
import subprocess
import time

import pytest

from conftest import CTL, MARKS, NO_EXEC, PATIENCE, clean_env, of_kind, wait_for

EMPTY = {"EMPTY": "1"}  # as good as
WAIT = "import sys; print('here', flush=True); sys.stdin.read()"


def ps(server, *words, code=0):
    done = subprocess.run([str(CTL), "ps", "--dir", str(server.dir)] + list(words), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(), timeout=60 * PATIENCE)
    assert done.returncode == code, done
    return done.stdout.decode()


def rows(server, code=0):
    return {row["pid"]: row for row in map(json.loads, ps(server, "--json", code=code).splitlines())}


def waiting(server, command, env):
    program = server.spawn(command, env=env)
    assert program.stdout.readline() == b"here\n"
    return program


class Groups:
    """A tree of control groups and drop-ins, and the settings that lead a daemon there."""

    def __init__(self, folder):
        self.root = folder / "cgroup"
        self.dropins = folder / "units"
        self.root.mkdir()
        self.dropins.mkdir()
        self.config = "cgroups = %s\ndropins = %s\nwatch_ms = 200\n" % (self.root, self.dropins)

    def enable(self, unit, age=3600):
        path = self.dropins / (unit + ".d") / "50-pyaudit.conf"
        path.parent.mkdir()
        path.touch()
        os.utime(str(path), (time.time() - age,) * 2)

    def put(self, group, *pids):
        path = self.root / group
        path.mkdir(parents=True, exist_ok=True)
        (path / "cgroup.procs").write_text("".join("%d\n" % pid for pid in pids))


@pytest.fixture
def groups(tmp_path):
    return Groups(tmp_path)


def unwatched(server):
    return {e["pid"]: e for e in of_kind(server.events(), "alert", event="pyaudit.unwatched")}


def test_ps_says_what_is_watched_and_why_not(daemon, python):
    server = daemon(NO_EXEC, MARKS)
    watched = waiting(server, [python, "-c", WAIT], server.env())
    observing = waiting(server, [python, "-c", WAIT], server.env(PYAUDIT_MODE="observe"))
    bare = waiting(server, [python, "-I", "-S", "-c", WAIT], EMPTY)
    disabled = waiting(server, [python, "-c", WAIT], server.env(PYAUDIT_DISABLE="1"))
    elsewhere = waiting(server, [python, "-c", WAIT], server.env(PYAUDIT_DIR="/nonexistent"))
    other = waiting(server, ["/bin/sh", "-c", "echo here; read x"], server.env())
    found = rows(server)
    row = found[watched.pid]
    assert row["watched"] is True and row["route"] == "preload" and row["mode"] == "enforce" and row["generation"] > 0
    assert row["agent"] and row["python"].startswith("%d.%d" % python.version[:2]) and row["since"].endswith("Z")
    assert found[observing.pid]["mode"] == "observe"
    assert [(found[p.pid]["watched"], found[p.pid]["why"]) for p in (bare, disabled, elsewhere)] == [
        (False, "without-agent"), (False, "disabled"), (False, "other-daemon")]
    assert "/nonexistent" in found[elsewhere.pid]["reason"]
    assert other.pid not in found
    lines = [line for line in ps(server).splitlines() if line.split()[:1] == [str(bare.pid)]]
    assert len(lines) == 1 and "NOT" in lines[0] and "started without the agent" in lines[0]


def test_ps_knows_a_silent_child(daemon, python):
    """A forked child says hello at its first event; until then its parent's agent is in it."""
    server = daemon(NO_EXEC, MARKS)
    code = "import os, sys\nif os.fork() == 0: sys.stdin.read(); os._exit(0)\n" + WAIT
    parent = waiting(server, [python, "-c", code], server.env())
    children = open("/proc/%d/task/%d/children" % (parent.pid, parent.pid)).read().split()
    row = rows(server)[int(children[0])]
    assert row["watched"] is True and row.get("why") in (None, "forked")


def test_ps_without_a_daemon(tmp_path, system_python):
    class Nobody:
        dir = tmp_path
    program = subprocess.Popen([str(system_python), "-c", WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env())
    program.stdout.readline()
    try:
        assert rows(Nobody, code=1)[program.pid]["watched"] is False
    finally:
        program.communicate()


def test_an_unwatched_python_is_told_within_two_seconds(daemon, system_python, groups):
    groups.enable("app.service")
    server = daemon(NO_EXEC, MARKS, config=groups.config)
    watched = waiting(server, [system_python, "-c", WAIT], server.env())
    other = waiting(server, ["/bin/sh", "-c", "echo here; read x"], EMPTY)
    groups.put("system.slice/app.service", watched.pid, other.pid)
    groups.put("system.slice/other.service")
    bare = waiting(server, [system_python, "-I", "-S", "-c", WAIT], EMPTY)
    begun = time.monotonic()
    groups.put("system.slice/app.service", watched.pid, other.pid, bare.pid)
    stranger = waiting(server, [system_python, "-I", "-S", "-c", WAIT], EMPTY)
    groups.put("system.slice/other.service", stranger.pid)
    told = wait_for(lambda: unwatched(server), "the alert", 5)
    assert time.monotonic() - begun < 2 * PATIENCE
    assert set(told) == {bare.pid}
    (alert,) = told.values()
    assert (alert["layer"], alert["severity"], alert["action"]) == ("daemon", "error", "alert")
    assert "started without the agent" in alert["args"][0]
    # Once for each process, however long it stays.
    time.sleep(1)
    assert set(unwatched(server)) == {bare.pid}
    assert len(of_kind(server.events(), "alert", event="pyaudit.unwatched")) == 1


def test_below_slices_and_templates_and_by_pattern(daemon, system_python, groups):
    groups.enable("worker@.service")
    server = daemon(MARKS, config=groups.config + "watch_units = shop*.service, cron.service\n")
    programs = [waiting(server, [system_python, "-I", "-S", "-c", WAIT], EMPTY) for _ in range(4)]
    pids = [program.pid for program in programs]
    groups.put("system.slice/system-worker.slice/worker@7.service", pids[0])
    groups.put("user.slice/user-1000.slice/user@1000.service/app.slice/shop-web.service/sub", pids[1])
    groups.put("system.slice/cron.service", pids[2])
    groups.put("system.slice/worker.service", pids[3])
    wait_for(lambda: set(unwatched(server)) == set(pids[:3]), "three alerts", 5)


def test_a_program_that_becomes_python_later(daemon, system_python, groups):
    groups.enable("app.service")
    server = daemon(MARKS, config=groups.config)
    program = waiting(server, ["/bin/sh", "-c", 'echo here; read x; exec "$0" -I -S -c "import time; time.sleep(60)"', system_python], EMPTY)
    groups.put("system.slice/app.service", program.pid)
    time.sleep(1)
    assert not unwatched(server)
    program.stdin.write(b"go\n")
    program.stdin.flush()
    wait_for(lambda: set(unwatched(server)) == {program.pid}, "the alert", 5)


# Past libc, where nothing follows it. With "hold" the agent's descriptors stay open in it.
BECOMES = """
import ctypes, os, sys
def inherit():
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            os.set_inheritable(fd, True)
        except OSError:
            pass
words = [os.fsencode(sys.executable), b"-I", b"-S", b"-c", WAIT.encode()]
argv = (ctypes.c_char_p * 6)(*words, None)
if sys.argv[1:] == ["fork"] and os.fork() != 0:
    os.wait()
libc = ctypes.CDLL(None)
if sys.argv[1:] == ["hold"]:
    inherit()
libc.syscall({"x86_64": 59, "aarch64": 221}[os.uname().machine], argv[0], argv, (ctypes.c_char_p * 1)(None))
"""


@pytest.mark.parametrize("way", ["same", "fork", "hold"])
def test_a_watched_program_that_becomes_another_one(daemon, system_python, groups, way):
    groups.enable("app.service")
    server = daemon(MARKS, config=groups.config)
    code = "WAIT = %r\n%s" % (WAIT, BECOMES)
    program = waiting(server, [system_python, "-c", code, way], server.env())
    begun = time.monotonic()
    pid = program.pid
    if way == "fork":
        pid = int(open("/proc/%d/task/%d/children" % (pid, pid)).read().split()[0])
    groups.put("system.slice/app.service", program.pid, pid)
    wait_for(lambda: set(unwatched(server)) == {pid}, "the alert", 5)
    assert time.monotonic() - begun < 2 * PATIENCE
    found = rows(server)
    assert found[pid]["watched"] is False and (way != "fork" or found[program.pid]["watched"])
    assert len(of_kind(server.events(), "process", event="process.exit", pid=pid)) == 1


def test_what_ran_before_it_was_enabled_is_no_finding(daemon, system_python, groups):
    server = daemon(MARKS, config=groups.config)
    program = waiting(server, [system_python, "-I", "-S", "-c", WAIT], EMPTY)
    groups.put("system.slice/app.service", program.pid)
    groups.enable("app.service", age=-1)
    time.sleep(1.5)
    assert not unwatched(server)


def test_watched_programs_and_silent_children_are_no_finding(daemon, system_python, groups):
    groups.enable("app.service")
    server = daemon(MARKS, config=groups.config)
    code = "import os, sys\nif os.fork() == 0: sys.stdin.read(); os._exit(0)\n" + WAIT
    parents = [waiting(server, [system_python, "-c", code], server.env()) for _ in range(3)]
    children = [int(open("/proc/%d/task/%d/children" % (p.pid, p.pid)).read().split()[0]) for p in parents]
    groups.put("system.slice/app.service", *([p.pid for p in parents] + children))
    for _ in range(10):  # that start and end all the time
        server.run([system_python, "-c", "pass"])
    time.sleep(1)
    assert not unwatched(server)


def test_it_can_be_switched_off(daemon, system_python, groups):
    groups.enable("app.service")
    server = daemon(MARKS, config=groups.config.replace("watch_ms = 200", "watch_ms = 0"))
    program = waiting(server, [system_python, "-I", "-S", "-c", WAIT], EMPTY)
    groups.put("system.slice/app.service", program.pid)
    time.sleep(1.5)
    assert not unwatched(server)
