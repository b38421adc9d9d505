# SPDX-License-Identifier: Apache-2.0
"""Rules with memory, in the real daemon: what they are made of is not shown, what they find is an alert."""
import json
import subprocess

from conftest import CTL, clean_env, of_kind, rule, wait_for, write_rules

PYTHON = "/usr/bin/python3"
BURST = rule("burst", "os.remove", action="alert", threshold={"count": 20, "within": "10s"},
             message="{file.path} is the twentieth")
DROPPER = rule("dropper", "open", action="alert")
del DROPPER["on"]
DROPPER["sequence"] = {"within": "60s", "in": "tree", "steps": [
    {"on": "open", "when": "file.write", "by": "file.path"}, {"on": "os.chmod", "by": "file.path"},
    {"on": "@exec", "by": "exec.path"}]}
NEW_HOST = rule("new-host", "webbrowser.open", action="record", first_seen={"per": ["arg[0]"]})
REMOVE = "import os, sys\nfor i in range(int(sys.argv[1])):\n    try: os.remove('/nonexistent/%d' % i)\n    except OSError: pass\n"


def fired(server, id):
    return [e for e in server.events() if e.get("rule") == id]


def test_a_threshold_alerts_once_for_each_count_and_shows_nothing_else(daemon, python_few):
    server = daemon(BURST)
    server.run([python_few, "-I", "-c", REMOVE, 19])
    server.run([python_few, "-I", "-c", REMOVE, 65])
    events = server.events()
    assert [e["rule"] for e in of_kind(events, "alert")] == ["burst"] * 3, "19 of one process and 65 of another"
    assert of_kind(events, "event") == [], "what a memory counts is not what somebody asked for"
    assert of_kind(events, "alert")[0]["message"] == "/nonexistent/19 is the twentieth"
    assert of_kind(events, "alert")[0]["memory"] == "threshold"
    assert server.status()["memory"]["alerts"] == 3


def test_what_is_recorded_for_other_reasons_is_shown_once(daemon):
    server = daemon(BURST, rule("all", "os.remove", action="record"))
    server.run([PYTHON, "-I", "-c", REMOVE, 20])
    events = server.events()
    assert len(of_kind(events, "event", event="os.remove")) == 20
    assert all(e["rules"] == ["all"] for e in of_kind(events, "event", event="os.remove"))
    assert [e["rule"] for e in of_kind(events, "alert")] == ["burst"]


SCRIPT = """
import os, subprocess, sys
path = sys.argv[1]
with open(path, 'w') as file:
    file.write('#!/bin/sh\\nexit 0\\n')
if sys.argv[2] == 'other':  # the rest is done by a program that this one starts
    subprocess.run([sys.executable, '-I', '-c', 'import os, subprocess, sys; os.chmod(sys.argv[1], 0o755); '
                    'subprocess.run([sys.argv[1]])', os.path.join(os.path.dirname(path), '.', os.path.basename(path))])
else:
    if sys.argv[2] == 'all':
        os.chmod(path, 0o755)
    subprocess.run(['/bin/sh', path] if sys.argv[2] == 'some' else [path])
"""


def test_a_sequence_is_found_across_a_tree_of_processes(daemon, python_few, tmp_path):
    server = daemon(DROPPER)
    for how in ("all", "other"):
        server.run([python_few, "-I", "-c", SCRIPT, tmp_path / how, how])
        alerts = wait_for(lambda: fired(server, "dropper"), "the sequence: " + how)
        assert len(alerts) == (1 if how == "all" else 2)
    server.run([python_few, "-I", "-c", SCRIPT, tmp_path / "c", "some"])
    assert len(fired(server, "dropper")) == 2
    assert of_kind(server.events(), "event") == []


def test_first_seen_remembers_across_restarts_and_refuses_a_damaged_file(daemon, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    server = daemon(NEW_HOST, config="state = %s" % state)
    look = [PYTHON, "-I", "-c", "import sys\nfor x in sys.argv[1:]: sys.audit('webbrowser.open', x)"]
    server.run(look + ["a", "b", "a"])
    assert [e["args"] for e in fired(server, "new-host")] == [["a"], ["b"]]
    server.process.terminate()
    server.process.wait(20)
    kept = (state / "first-seen").read_bytes()
    assert kept.startswith(b"PYASEEN1") and (state / "first-seen").stat().st_mode & 0o777 == 0o600
    server.start()
    server.run(look + ["a", "b", "c"])
    assert [e["args"] for e in fired(server, "new-host")] == [["a"], ["b"], ["c"]]
    server.process.terminate()
    server.process.wait(20)
    damaged = bytearray((state / "first-seen").read_bytes())
    damaged[60] ^= 1
    (state / "first-seen").write_bytes(bytes(damaged))
    server.start()
    assert "first-seen is damaged" in server.log()
    server.run(look + ["a"])
    assert fired(server, "new-host")[-1]["args"] == ["a"] and len(fired(server, "new-host")) == 4


def test_an_absence_is_told_when_its_time_is_over(daemon):
    server = daemon(rule("left", "os.rename", action="alert", absence={"on": "os.remove", "within": "500ms"}))
    begin = "import os\ntry: os.rename('/nonexistent/a', '/nonexistent/b')\nexcept OSError: pass\n"
    server.run([PYTHON, "-I", "-c", begin + "try: os.remove('/nonexistent/b')\nexcept OSError: pass\n"])
    server.run([PYTHON, "-I", "-c", begin])
    alerts = wait_for(lambda: fired(server, "left"), "the absence", 10)
    assert len(alerts) == 1 and alerts[0]["event"] == "os.rename" and alerts[0]["memory"] == "absence"


def test_exceptions_are_counted_and_survive_a_reload(daemon):
    server = daemon(rule("no-exec", "os.system", exceptions=[
        {"when": "exec.cmdline = 'true'", "owner": "us", "reason": "harmless"},
        {"when": "exec.cmdline = 'never'", "owner": "us", "reason": "nobody does"},
        {"when": "exec.cmdline = 'false'", "owner": "us", "reason": "was needed", "expires": "2020-01-01"}]))
    run = [PYTHON, "-I", "-c", "import os\nfor c in 'true', 'true', 'id', 'false':\n"
           "    try: os.system(c)\n    except PermissionError: pass\n"]
    server.run(run)
    assert len(fired(server, "no-exec")) == 2
    server.request("reload")
    server.run(run)
    server.drain()
    exceptions = server.status()["exceptions"]
    assert [e["hits"] for e in exceptions] == [4, 0, 0]
    assert [e["expired"] for e in exceptions] == [False, False, True]
    assert exceptions[0]["last"] and exceptions[1]["last"] is None
    assert of_kind(server.events(), "event") == [], "what an exception lets pass is counted, not shown"
    text = subprocess.run([str(CTL), "status", "--dir", str(server.dir)], stdout=subprocess.PIPE, timeout=20).stdout.decode()
    assert "1 never hit" in text and "1 expired" in text, text


def listed(*arguments, code=0):
    done = subprocess.run([str(CTL), "rules", "list"] + [str(a) for a in arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=20, env=clean_env())
    assert done.returncode == code, done
    return done.stdout.decode()


def test_rules_and_exceptions_are_listed_with_their_hits(daemon):
    server = daemon(
        rule("no-exec", "os.system", exceptions=[
            {"when": "exec.cmdline = 'true'", "owner": "web team", "reason": "harmless"},
            {"when": "exec.cmdline = 'never'", "owner": "us", "reason": "nobody does"},
            {"when": "exec.cmdline = 'false'", "owner": "us", "reason": "was needed", "expires": "2020-01-01"}]),
        rule("quiet", "os.remove", action="alert"), BURST)
    server.run([PYTHON, "-I", "-c", REMOVE + "for c in 'true', 'true', 'id':\n    try: os.system(c)\n"
                "    except PermissionError: pass\n", 20])
    server.run([PYTHON, "-I", "-c", "import os\ntry: os.system('id')\nexcept PermissionError: pass\n"])
    server.request("reload")
    server.drain()
    rules = {r["id"]: r for r in json.loads(listed("--json", "--dir", server.dir, server.rules_file))}
    assert [rules[r]["hits"] for r in ("no-exec", "quiet", "burst")] == [2, 20, 1]
    assert rules["no-exec"]["last"].endswith("Z")
    assert [e["hits"] for e in rules["no-exec"]["exceptions"]] == [2, 0, 0]
    text = listed("--dir", server.dir, server.rules_file)
    assert "exception of us from no-exec: never hit since 20" in text, text
    assert "exception of us from no-exec: expired on 2020-01-01" in text and "web team" not in text
    assert [line.split()[3] for line in text.splitlines()[:3]] == ["2", "20", "1"]
    # Without a daemon nobody counts; one that was asked for by name has to be there.
    alone = json.loads(listed("--json", server.rules_file))
    assert alone[0]["hits"] is None and alone[0]["exceptions"][1]["hits"] is None
    assert "never hit" not in listed(server.rules_file) and "expired on" in listed(server.rules_file)
    listed("--dir", "/nonexistent", server.rules_file, code=1)
    # A rule that the daemon does not have in force.
    write_rules(server.rules_file, rule("other", "os.remove", action="alert"))
    assert listed("--dir", server.dir, server.rules_file).split()[3] == "-"


def test_mistakes_in_memories_name_their_place(tmp_path):
    cases = [
        ({"threshold": {"count": 1, "within": "10s"}}, "'count' is a whole number from 2"),
        ({"threshold": {"count": 3}}, "'within' is missing"),
        ({"threshold": {"count": 3, "within": "10s", "per": ["proc.pdi"]}}, "did you mean 'proc.pid'?"),
        ({"threshold": {"count": 3, "within": "10s", "in": "tee"}}, "did you mean 'tree'?"),
        ({"first_seen": {}}, "'per' is missing"),
        ({"threshold": {"count": 3, "within": "10s"}, "action": "block"}, "a rule with memory cannot block"),
        ({"threshold": {"count": 3, "within": "10s"}, "absence": {"on": "open", "within": "1s"}}, "one memory"),
        ({"sequence": {"within": "1s", "steps": [{"on": "open"}, {"on": "open"}]}}, "a sequence has 'on' in each of its steps"),
        ({"sequence": {"within": "1s", "steps": [{"on": "open"}]}}, "two steps or more"),
        ({"threshold": {"count": 3, "within": "10s"}, "tests": [{"event": "open", "expect": "alert"}]}, "tested by"),
    ]
    for more, wanted in cases:
        path = write_rules(tmp_path / "r.json", dict(rule("a", "open", action="alert"), **more))
        done = subprocess.run([str(CTL), "rules", "check", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=20, env=clean_env())
        assert done.returncode == 1 and wanted in done.stdout.decode(), (more, done.stdout.decode())
