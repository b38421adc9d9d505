# SPDX-License-Identifier: Apache-2.0
"""pause and resume: within a second in every live agent, in those that come meanwhile, over a restart of the daemon, and
over by itself in time, also where no daemon is left."""
import os
import signal
import subprocess
import time

import pytest

from conftest import CTL, MARK, MARKS, NO_EXEC, PATIENCE, clean_env, hear, of_kind, say, wait_for

# For each line: an act that is refused, and a mark.
LOOP = """
import os, sys
for line in sys.stdin:
    try:
        os.system('true')
        answer = 'passed'
    except PermissionError:
        answer = 'denied'
    sys.audit('%s', line.strip())
    print(answer, flush=True)
""" % MARK


def ctl(server, *words, code=0):
    done = subprocess.run([str(CTL)] + list(words) + ["--dir", str(server.dir)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(), timeout=60 * PATIENCE)
    assert done.returncode == code, done
    return done.stdout.decode() + done.stderr.decode()


def act(program, word="x"):
    say(program, word)
    return hear(program)


def marks(server):
    return [e["args"][0] for e in of_kind(server.events(), "event", event=MARK)]


def test_pause_and_resume(daemon, python):
    server = daemon(NO_EXEC, MARKS)
    old = server.spawn([python, "-c", LOOP])
    assert act(old, "before") == "denied"
    assert "paused: 1 agents" in ctl(server, "pause")
    begun = time.monotonic()
    assert act(old, "during") == "passed"
    assert time.monotonic() - begun < 1 * PATIENCE
    new = server.spawn([python, "-c", LOOP])  # one that comes meanwhile
    wait_for(lambda: server.status()["agents"] == 2, "the second agent")
    assert act(new, "during") == "passed"
    status = server.status()
    assert status["paused"]["uid"] == os.getuid() and status["paused"]["until"] is None
    assert "PAUSED" in ctl(server, "status")

    assert "resumed" in ctl(server, "resume")
    assert act(old, "after") == "denied" and act(new, "after") == "denied"
    assert marks(server) == ["before", "after", "after"]
    assert server.status()["paused"] is None
    assert "there is no pause" in ctl(server, "resume", code=1)
    told = [(e["event"], e["message"]) for e in of_kind(server.events(), "status") if e["event"] in ("daemon.pause", "daemon.resume")]
    assert [event for event, _ in told] == ["daemon.pause", "daemon.resume"]
    assert all("by user %d (process " % os.getuid() in message for _, message in told), told
    severity = {e["event"]: e.get("severity") for e in of_kind(server.events(), "status")}
    assert severity.get("daemon.pause") in (None, "warning")


def test_a_pause_ends_by_itself(daemon, system_python):
    server = daemon(NO_EXEC, MARKS)
    program = server.spawn([system_python, "-c", LOOP])
    assert act(program) == "denied"
    ctl(server, "pause", "--for", "2s")
    assert act(program) == "passed"
    wait_for(lambda: server.status()["paused"] is None, "its end", 6)
    assert act(program) == "denied"
    assert [e["event"] for e in of_kind(server.events(), "status")][-1] == "daemon.resume"


def test_it_ends_without_a_daemon(daemon, system_python):
    server = daemon(NO_EXEC, MARKS)
    program = server.spawn([system_python, "-c", LOOP])
    assert act(program) == "denied"
    ctl(server, "pause", "--for", "2s")
    server.signal(signal.SIGKILL)
    assert act(program) == "passed"
    wait_for(lambda: act(program) == "denied", "its end", 6)


def test_the_next_daemon_goes_on_with_it(daemon, system_python):
    server = daemon(NO_EXEC, MARKS)
    old = server.spawn([system_python, "-c", LOOP])
    assert act(old) == "denied"
    ctl(server, "pause")
    server.signal(signal.SIGKILL)
    server.start()
    assert server.status()["paused"]["uid"] == os.getuid()
    new = server.spawn([system_python, "-c", LOOP])
    wait_for(lambda: server.status()["agents"] >= 1, "the new agent")
    assert act(old) == "passed" and act(new) == "passed"
    ctl(server, "resume")
    assert act(new) == "denied"
    # The old one records nothing, but looks for a daemon all the same.
    wait_for(lambda: act(old) == "denied", "the old one to hear of the new daemon", 8)
    assert not (server.dir / "paused").exists()


@pytest.mark.parametrize("span", ["0s", "10", "5x", "31d", "-1s", "99999999999999999999s", ""])
def test_spans(daemon, span):
    done = subprocess.run([str(CTL), "pause", "--for", span], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    assert done.returncode == 2 and b"no span" in done.stderr


@pytest.mark.parametrize("request_", [{"for_s": 0}, {"for_s": 1.5}, {"for_s": "10"}, {"for_s": 1e9}, {"for": 1}])
def test_malformed_requests(daemon, request_):
    server = daemon(MARKS)
    answer = server.request("pause", **request_)
    assert answer["ok"] is False and ("for_s" in answer["error"] or "unknown field" in answer["error"])
    assert server.status()["paused"] is None
