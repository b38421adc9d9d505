# SPDX-License-Identifier: Apache-2.0
"""`ack` of a rule: the act waits, bounded, until its alert is written."""
import signal
import subprocess

from conftest import CTL, clean_env, of_kind, rule, wait_for

TOLD_FIRST = rule("told-first", "os.system", action="alert", ack="10s")

# Each act looks for itself in the file of events.
LOOK = """
import os, sys
found = 0
for i in range(20):
    found += os.system('grep -q "look-%02d" ' % i + sys.argv[1]) == 0
print(found)
"""

TIMED = """
import os, time
begun = time.monotonic()
os.system(':')
print(round(time.monotonic() - begun, 3), flush=True)
"""


def test_the_alert_is_written_before_the_act(daemon, python_few):
    server = daemon(TOLD_FIRST)
    done = server.run([python_few, "-I", "-c", LOOK, server.events_path])
    assert int(done.stdout) == 20, done
    assert [p["ack_late"] for p in server.status()["processes"]] in ([], [0])


def test_the_longest_of_the_rules_that_hold_counts(daemon, python_few):
    server = daemon(TOLD_FIRST, rule("told", "os.system", action="block", mode="observe"))
    assert int(server.run([python_few, "-I", "-c", LOOK, server.events_path]).stdout) == 20


def test_it_is_over_in_time_and_told(daemon):
    server = daemon(rule("told-first", "os.system", action="alert", ack="300ms"))
    program = server.spawn(["/usr/bin/python3", "-I", "-c", "input()\n" + TIMED + "input()"])
    wait_for(lambda: server.status()["agents"] == 1, "the agent")
    server.process.send_signal(signal.SIGSTOP)
    program.stdin.write(b"\n")
    program.stdin.flush()
    waited = float(program.stdout.readline())
    server.process.send_signal(signal.SIGCONT)
    assert 0.3 <= waited, "the act did not wait"
    late = wait_for(lambda: of_kind(server.events(), "status", event="daemon.ack-late"), "what was late to be told")
    assert len(late) == 1 and late[0]["message"].startswith("1 acts of process %d " % program.pid)
    assert len(of_kind(server.events(), "alert")) == 1 and server.status()["processes"][0]["ack_late"] == 1
    program.communicate(b"\n")


def test_a_killed_process_has_told_why(daemon, python_few):
    server = daemon(rule("no-exec", "os.system", action="kill", ack="10s"))
    done = server.run([python_few, "-I", "-c", "import os; os.system('id')"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert '"no-exec"' in server.events_path.read_text()


def test_the_libc_layer_waits_as_well(daemon):
    server = daemon(rule("told-first", "libc.system", action="alert", ack="10s"))
    code = "import ctypes, sys; print(ctypes.CDLL(None).system(('grep -q look-libc ' + sys.argv[1]).encode()))"
    done = server.run(["/usr/bin/python3", "-I", "-c", code, server.events_path])
    assert int(done.stdout) == 0, done


def test_without_a_file_of_events(ctl_run, tmp_path):
    """A daemon that writes nowhere has nothing to wait for."""
    done = ctl_run(["/usr/bin/python3", "-I", "-c", TIMED], TOLD_FIRST)
    assert float(done.stdout.split()[0]) < 8


def test_it_is_shown(daemon, tmp_path):
    server = daemon(TOLD_FIRST)
    said = subprocess.run([str(CTL), "rules", "show", "told-first", str(server.rules_dir)], stdout=subprocess.PIPE,
                          env=clean_env(), check=True).stdout.decode()
    assert "ack         the act waits up to 10000 ms for its alert\n" in said
