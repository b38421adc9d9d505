# SPDX-License-Identifier: Apache-2.0
"""Loss is exact and loud: received and reported lost make what was raised, to the event; a denial in the
middle of a flood is delivered."""
import json
import shutil

import pytest

from conftest import BUILD, MARK, MARKS, NO_EXEC, SANITIZED, SYSTEM, rules_of, wait_for

FLOOD = """
import os, sys
n = int(sys.argv[1])
audit = sys.audit
for i in range(n // 2):
    audit('%(mark)s', 'https://example.org/')
try:
    os.system('id')
except PermissionError:
    print('refused')
for i in range(n - n // 2):
    audit('%(mark)s', 'https://example.org/')
""" % {"mark": MARK}


def count(path):
    received = lost = 0
    denials = []
    with open(str(path), encoding="utf-8") as file:
        for line in file:
            # Two million lines: the common ones are told by their text.
            if '"kind":"event"' in line.replace(" ", "")[:400] and MARK in line:
                event = json.loads(line) if received < 1000 else None
                assert event is None or event["kind"] == "event"
                received += 1
                continue
            event = json.loads(line)
            if event["kind"] == "loss":
                assert isinstance(event["lost"], int) and event["lost"] > 0 and event["cause"], event
                lost += event["lost"]
            elif event["kind"] == "alert":
                denials.append(event)
    return received, lost, denials


def flood(ctl_run, folder, python, n):
    events = folder / "flood.ndjson"
    result = ctl_run([python, "-I", "-c", FLOOD, n], NO_EXEC, MARKS, json_events=False, timeout=150,
                     options=["--json", str(events), "--record", "unpickle"])
    assert result.returncode == 0, str(result)
    assert result.stdout == "refused\n", str(result)
    received, lost, denials = count(events)
    events.unlink()
    print("%d received, %d reported lost, %.1f s" % (received, lost, result.seconds))
    assert received + lost == n, (received, lost)
    assert received > 0
    assert [rules_of(d) for d in denials if d["action"] == "block"] == [["no-exec"]], denials


def test_two_million_events(ctl_run, tmp_path):
    folders = [f for f in (tmp_path, BUILD / "tests") if shutil.disk_usage(str(f)).free > 2 << 30]
    if not folders:
        pytest.skip("less than 2 GB free for the event file")
    flood(ctl_run, folders[0], SYSTEM, 300000 if SANITIZED else 2000000)


def test_flood(ctl_run, tmp_path, python):
    flood(ctl_run, tmp_path, python, 100000)


def test_threads_flood(daemon, python):
    """Several producers in one ring, counted by the daemon."""
    server = daemon(MARKS)
    n, threads = (20000 if SANITIZED else 150000), 4
    code = ("import sys, threading\n"
            "def flood():\n"
            "    for i in range(%d): sys.audit('%s', 'x')\n"
            "threads = [threading.Thread(target=flood) for _ in range(%d)]\n"
            "[t.start() for t in threads]\n"
            "[t.join() for t in threads]\n" % (n, MARK, threads))
    before = server.status()
    done = server.run([python, "-I", "-c", code], timeout=120)
    assert done.returncode == 0, done

    def arrived():
        status = server.drain()
        total = status["events"] - before["events"] + status["lost"] - before["lost"]
        return status if total >= n * threads else None

    status = wait_for(arrived, "every event to be counted", 30)
    assert status["events"] - before["events"] + status["lost"] - before["lost"] == n * threads


def test_events_beyond_size_are_cut_and_say_so(ctl_run, python):
    result = ctl_run([python, "-I", "-c", "import sys; sys.audit('%s', 'x' * 100000)" % MARK], MARKS)
    event = result.kind("event", event=MARK)[0]
    kept = json.dumps(event["args"][0])
    assert 1000 < len(kept) < 20000, len(kept)
    assert "100000" in json.dumps(event), "the length it had is not told"
