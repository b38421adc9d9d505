# SPDX-License-Identifier: Apache-2.0
"""Limits of rules: a burst of alerts is told, the rest is counted to the alert, and every act stays refused."""
import json

import pytest

from conftest import CTL, clean_env, lost_of, of_kind, rule, wait_for, write_rules

LIMITED = rule("no-exec", "os.system", limit={"per": ["proc.pid", "exec.cmdline"], "burst": 5, "every": "1h"})
# In batches, so that the lane for alerts never fills: the counts are to be exact.
REPEAT = """
import os, sys, time
refused = 0
for i in range(int(sys.argv[1])):
    try:
        os.system(sys.argv[2] if len(sys.argv) > 2 else 'id')
    except PermissionError:
        refused += 1
    if i % 25 == 24:
        time.sleep(0.02)
print(refused)
"""


def summaries(events, **wanted):
    return of_kind(events, "summary", **wanted)


def test_ten_thousand_repeats_are_a_burst_and_one_exact_summary(daemon, python_few):
    server = daemon(LIMITED)
    done = server.run([python_few, "-I", "-c", REPEAT, 10000])
    assert int(done.stdout) == 10000, "the limit let an act pass: %r" % done
    events = wait_for(lambda: (lambda e: e if of_kind(e, "process", event="process.exit") else None)(server.events()),
                      "the end of the process")
    alerts, sums = of_kind(events, "alert"), summaries(events)
    told = len(alerts) + sum(s["suppressed"] for s in sums)
    assert told + lost_of(events) == 10000
    assert len(alerts) == 5 and len(sums) == 1, sums
    assert sums[0]["rule"] == "no-exec" and sums[0]["action"] == "block"
    assert sums[0]["denials"] == sums[0]["suppressed"] == 9995 - lost_of(events)
    assert sums[0]["per"]["exec.cmdline"] == "id" and sums[0]["pid"] == alerts[0]["pid"]
    status = server.status()
    assert status["denials"] == 10000 - lost_of(events) and status["suppressed"] == sums[0]["suppressed"]


def test_what_is_held_back_is_told_when_its_time_is_over(daemon):
    server = daemon(rule("no-exec", "os.system", limit={"burst": 2, "every": "500ms"}))
    program = server.spawn(["/usr/bin/python3", "-I", "-c", REPEAT + "\ninput()", "10"])
    program.stdout.readline()
    # No drain, no exit: time alone.
    tail = server.tail("kind = summary")
    assert tail.line()["suppressed"] >= 1
    tail.close()
    program.communicate(b"\n")


def test_the_end_of_the_daemon_tells_it(daemon):
    server = daemon(rule("no-exec", "os.system", limit={"burst": 1, "every": "1h"}))
    program = server.spawn(["/usr/bin/python3", "-I", "-c", REPEAT + "\ninput()", "10"])
    program.stdout.readline()
    server.process.terminate()
    assert server.process.wait(20) == 0
    events = [json.loads(line) for line in server.events_path.read_text().splitlines()]
    assert [s["suppressed"] for s in summaries(events)] == [9]
    assert summaries(events)[0]["per"] == {} and summaries(events)[0]["pid"] is None
    program.communicate(b"\n")


def test_other_values_have_a_burst_of_their_own(daemon):
    server = daemon(LIMITED)
    for command in ("one", "two"):
        server.run(["/usr/bin/python3", "-I", "-c", REPEAT, "8", command])
    events = server.events()
    assert len(of_kind(events, "alert")) == 10
    assert sorted(s["per"]["exec.cmdline"] for s in summaries(events)) == ["one", "two"]


def test_a_rule_without_a_limit_that_matches_too_has_its_alerts(daemon):
    server = daemon(LIMITED, rule("told", "os.system", action="alert"))
    server.run(["/usr/bin/python3", "-I", "-c", REPEAT, "20"])
    events = server.events()
    assert len(of_kind(events, "alert")) == 20 and not summaries(events)


def test_on_a_terminal_a_summary_is_a_sentence(tmp_path):
    path = write_rules(tmp_path / "r.json", rule("no-exec", "os.system", limit={"burst": 1, "every": "1h"}))
    import subprocess
    done = subprocess.run([str(CTL), "run", "--no-default-rules", "--rules", str(path), "--", "/usr/bin/python3", "-I", "-c",
                           REPEAT, "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=clean_env())
    assert b"LIMIT 3 more alerts of rule no-exec" in done.stderr, done.stderr.decode()
