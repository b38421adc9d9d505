# SPDX-License-Identifier: Apache-2.0
"""The daemon killed, stopped, gone or replaced: the program neither waits nor fails, denials hold, and
what the hook recorded is there when a daemon looks again."""
import os
import pathlib
import signal
import time

import pytest

from conftest import (CTL, MARK, MARKS, NO_EXEC, PATIENCE, clean_env, hear, lost_of, of_kind, say, wait_for,
                      write_rules)

# Obeys lines on stdin: an act for each, and a line when it is done.
PUPPET = """
import os, sys
def audit(n, first):
    for i in range(first, first + n):
        sys.audit('%(mark)s', 'mark:%%d' %% i)
def deny():
    try:
        os.system('id')
    except PermissionError as error:
        return str(error)
    return 'not denied'
print('ready', flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
""" % {"mark": MARK}
DENIED = "[Errno 1] pyauditd: rule 'no-exec' denied os.system"


def marks(events):
    return [int(e["args"][0].split(":")[1]) for e in of_kind(events, "event", event=MARK)]


def puppet(daemon, python):
    program = daemon.spawn([python, "-I", "-c", PUPPET])
    hear(program, "ready")
    return program


def finish(program):
    out, err = program.communicate(timeout=30 * PATIENCE)
    assert program.returncode == 0, err.decode()
    return out.decode()


def test_daemon_killed(daemon, python):
    server = daemon(NO_EXEC, MARKS)
    program = puppet(server, python)
    say(program, "deny()")
    hear(program, DENIED)
    server.signal(signal.SIGKILL)
    say(program, "deny()")
    hear(program, DENIED)
    say(program, "audit(20000, 0)")
    hear(program, "None")
    say(program, "open('/proc/self/cmdline').read(3) and 'read'")
    hear(program, "read")
    assert finish(program) == ""


def test_daemon_killed_under_run(tmp_path, python):
    """`pyauditctl run` whose daemon dies: the act is refused all the same, the program ends as it would."""
    import subprocess
    rules = write_rules(tmp_path / "rules.json", NO_EXEC)
    program = subprocess.Popen(
        [str(CTL), "run", "--quiet", "--no-default-rules", "--rules", str(rules), "--", str(python), "-I", "-c",
         PUPPET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    try:
        hear(program, "ready")

        def daemon_of():
            for entry in pathlib.Path("/proc").glob("[0-9]*"):
                try:
                    name = os.path.basename(os.readlink(str(entry / "exe")))
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except (OSError, IndexError):
                    continue
                if name == "pyauditd" and parent == program.pid:
                    return int(entry.name)
            return None

        os.kill(wait_for(daemon_of, "the private daemon"), signal.SIGKILL)
        say(program, "deny()")
        hear(program, DENIED)
        say(program, "sys.exit(7)")
        program.stdin.close()
        program.stdout.read()
        errors = program.stderr.read().decode()
        assert program.wait(timeout=30 * PATIENCE) == 7, errors
    finally:
        program.kill()
        program.wait()


def test_daemon_stopped(daemon, python):
    """A daemon that does not run (SIGSTOP) costs the program no time."""
    server = daemon(NO_EXEC, MARKS)
    program = puppet(server, python)
    say(program, "audit(200000, 0)")
    begun = time.monotonic()
    hear(program, "None")
    normal = time.monotonic() - begun
    server.signal(signal.SIGSTOP)
    say(program, "audit(200000, 200000)")
    begun = time.monotonic()
    hear(program, "None")
    stopped = time.monotonic() - begun
    say(program, "deny()")
    hear(program, DENIED)
    assert stopped < 5 * normal + 1, (normal, stopped)
    server.signal(signal.SIGCONT)
    events = server.events()
    assert len(marks(events)) + lost_of(events) == 400000
    assert len(set(marks(events))) == len(marks(events)), "an event came twice"
    assert [e for e in of_kind(events, "alert") if e["action"] == "block"], "the denial did not arrive"
    finish(program)


def test_program_starts_while_the_daemon_is_stopped(daemon, python):
    server = daemon(NO_EXEC, MARKS)
    server.signal(signal.SIGSTOP)
    done = server.run([python, "-I", "-c", "import os, sys\n"
                       "for i in range(100): sys.audit('%s', 'mark:%%d' %% i)\n"
                       "os.system('id')" % MARK], timeout=30)
    server.signal(signal.SIGCONT)
    assert done.returncode == 1
    assert DENIED in done.stderr.decode()

    def arrived():
        events = server.events()
        return events if of_kind(events, "alert") and len(marks(events)) == 100 else None

    wait_for(arrived, "the events of a program that came and went")


def test_no_daemon_but_its_policy(daemon, python):
    """Socket and daemon are gone, the policy file stands: a new program is judged by it."""
    server = daemon(NO_EXEC)
    assert (server.dir / "policy").exists()
    server.signal(signal.SIGKILL)
    (server.dir / "agent.sock").unlink()
    done = server.run([python, "-I", "-c", "import os; os.system('id')"])
    assert done.returncode == 1
    assert DENIED in done.stderr.decode()


def test_no_daemon_no_policy(tmp_path, daemon, python):
    server = daemon()
    env = server.env(PYAUDIT_DIR=tmp_path / "nowhere")
    done = server.run([python, "-I", "-c", "import os; os.system('echo ran')"], env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ran\n", b"")


def test_socket_deleted(daemon, python):
    server = daemon(NO_EXEC, MARKS)
    program = puppet(server, python)
    (server.dir / "agent.sock").unlink()
    say(program, "audit(1000, 0)")
    hear(program, "None")
    say(program, "deny()")
    hear(program, DENIED)
    events = server.events()
    assert sorted(marks(events)) == list(range(1000)) and lost_of(events) == 0
    finish(program)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_daemon_restarted_and_nothing_lost(daemon, python, how):
    server = daemon(NO_EXEC, MARKS)
    program = puppet(server, python)
    say(program, "audit(500, 0)")
    hear(program, "None")
    assert sorted(marks(server.events())) == list(range(500))

    server.process.send_signal(how)
    server.process.wait(timeout=20 * PATIENCE)
    say(program, "audit(500, 500)")  # while nobody listens
    hear(program, "None")
    server.start()

    def attached():
        say(program, "audit(1, 1000)")  # what makes the agent look
        hear(program, "None")
        return server.status()["agents"] >= 1

    wait_for(attached, "the agent to attach again")
    say(program, "audit(500, 2000)")
    hear(program, "None")

    def all_there():
        seen = marks(server.events())
        return seen if set(range(2000, 2500)) <= set(seen) else None

    wait_for(all_there, "the events after the restart")
    events = server.events()
    assert lost_of(events) == 0
    seen = marks(events)
    missing = (set(range(1000)) | set(range(2000, 2500))) - set(seen)
    assert not missing, "%d lost, first %s" % (len(missing), sorted(missing)[:5])
    told = [(m, e["number"]) for m, e in zip(seen, of_kind(events, "event", event=MARK)) if m != 1000]
    assert len(set(told)) == 1500, "one event under two numbers"
    # What a killed daemon had written and not yet given back is told again, under its number.
    again = {event[0] for event in told if told.count(event) > 1}
    assert not again or (how == signal.SIGKILL and again <= set(range(500))), "an event came twice"
    finish(program)


def test_fork_storm(daemon, python):
    server = daemon(MARKS)
    children, each = (60, 25) if PATIENCE > 1 else (200, 25)
    code = ("import os, sys\n"
            "pids = []\n"
            "for child in range(%d):\n"
            "    pid = os.fork()\n"
            "    if pid == 0:\n"
            "        for i in range(%d): sys.audit('%s', 'mark:%%d' %% (child * 1000 + i))\n"
            "        os._exit(0)\n"
            "    pids.append(pid)\n"
            "print(sum(os.waitpid(pid, 0)[1] for pid in pids))\n" % (children, each, MARK))
    done = server.run([python, "-I", "-c", code])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n", b"")

    def arrived():
        events = server.events()
        return events if len(marks(events)) + lost_of(events) >= children * each else None

    events = wait_for(arrived, "%d events" % (children * each), 20)
    assert len(marks(events)) + lost_of(events) == children * each
    assert len(set(marks(events))) == len(marks(events)), "an event came twice"
    wait_for(lambda: server.status()["agents"] == 0, "the daemon to see them all end")


def test_fork_of_a_threaded_program(daemon, python):
    """Forks while other threads are inside the hook: no child hangs, every event is accounted for."""
    server = daemon(MARKS)
    forks = 10 if PATIENCE > 1 else 25
    code = ("import os, sys, threading\n"
            "stop = False\n"
            "count = [0, 0, 0]\n"
            "def busy(k):\n"
            "    while not stop:\n"
            "        sys.audit('%(mark)s', 'mark:%%d' %% (k * 10**9 + count[k]))\n"
            "        count[k] += 1\n"
            "threads = [threading.Thread(target=busy, args=(k,)) for k in (1, 2)]\n"
            "[t.start() for t in threads]\n"
            "bad = 0\n"
            "for n in range(%(forks)d):\n"
            "    pid = os.fork()\n"
            "    if pid == 0:\n"
            "        sys.audit('%(mark)s', 'mark:%%d' %% n)\n"
            "        os._exit(0)\n"
            "    bad += os.waitpid(pid, 0)[1]\n"
            "stop = True\n"
            "[t.join() for t in threads]\n"
            "print(bad, sum(count) + %(forks)d)\n" % {"mark": MARK, "forks": forks})
    done = server.run([python, "-I", "-W", "ignore", "-c", code])
    assert done.returncode == 0, done
    bad, raised = map(int, done.stdout.split())
    assert bad == 0

    def arrived():
        status = server.drain()
        events = server.events()
        return events if len(marks(events)) + lost_of(events) >= raised else None if status else None

    events = wait_for(arrived, "%d events" % raised, 20)
    assert len(marks(events)) + lost_of(events) == raised
    assert len(set(marks(events))) == len(marks(events)), "an event came twice"


@pytest.mark.parametrize("daemon_runs", [True, False], ids=["daemon runs", "daemon stopped"])
def test_program_killed_with_data_in_the_ring(daemon, python, daemon_runs):
    server = daemon(NO_EXEC, MARKS)
    program = puppet(server, python)
    if not daemon_runs:
        server.signal(signal.SIGSTOP)
    say(program, "(audit(2000, 0), deny(), os.kill(os.getpid(), 9))")
    assert program.wait(timeout=30 * PATIENCE) == -signal.SIGKILL
    if not daemon_runs:
        server.signal(signal.SIGCONT)

    def arrived():
        events = server.events()
        return events if len(marks(events)) >= 2000 and of_kind(events, "alert") else None

    events = wait_for(arrived, "the events of a killed program")
    assert sorted(marks(events)) == list(range(2000))
    assert lost_of(events) == 0


def test_killed_at_any_moment(daemon, python):
    """SIGKILL in the middle of a flood: the ring ends with at most one torn record, the daemon goes on."""
    server = daemon(MARKS)
    for _ in range(10):
        program = server.spawn([python, "-I", "-c", "import sys\nprint('ready', flush=True)\ni = 0\n"
                                "while True:\n    sys.audit('%s', 'mark:%%d' %% i); i += 1" % MARK])
        hear(program, "ready")
        program.kill()
        program.wait()
    wait_for(lambda: server.status()["agents"] == 0, "the daemon to see them all end")
    done = server.run([python, "-I", "-c", "import sys; sys.audit('%s', 'mark:77777777')" % MARK])
    assert done.returncode == 0
    wait_for(lambda: 77777777 in marks(server.events()), "an event after the killed ones")


def test_event_file_on_a_full_disk(daemon, python):
    """A sink that fails stops neither the daemon nor the program."""
    server = daemon(NO_EXEC, MARKS, config="")
    program = puppet(server, python)
    os.unlink(str(server.events_path)) if server.events_path.exists() else None
    say(program, "audit(100, 0)")
    hear(program, "None")
    say(program, "deny()")
    hear(program, DENIED)
    assert server.status()["ok"] is True
    finish(program)
