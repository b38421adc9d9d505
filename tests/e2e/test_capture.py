# SPDX-License-Identifier: Apache-2.0
"""Captures: what was judged live is judged the same from the file, byte for byte."""
import json
import os
import signal
import stat
import subprocess
import time

from conftest import CTL, PATIENCE, clean_env, hear, of_kind, rule, say, wait_for, write_rules

# Acts of many kinds, some refused, in a program and a forked child.
TRAFFIC = r"""
import json, os, socket, subprocess, sys, threading
def refused(act):
    try:
        act()
    except OSError:
        pass
for name in ("/etc/passwd", "/etc/hostname", b"/etc/hosts"):
    open(name).close()
refused(lambda: os.system("id; echo \u00e9"))
subprocess.run(["/bin/true", "a" * 5000])
refused(lambda: subprocess.run(["/bin/sh", "-c", "true"]))
s = socket.socket()
refused(lambda: s.connect(("127.0.0.1", 9)))
try:
    s.connect(("127.0.0.1", 1))
except OSError:
    pass
sys.audit("shop.order", 7, None, 2.5, ["a", ("b",)], 1 << 80)
eval(compile("1 + 1", "<text>", "eval"))
thread = threading.Thread(target=lambda: refused(lambda: os.system("thread")))
thread.start(); thread.join()
if os.fork() == 0:
    refused(lambda: os.system("child"))
    os._exit(0)
os.wait()
"""

RULES = [
    rule("no-shell", "@exec", ["exec.shell", "not caller.function = 'allowed'"], severity="critical",
         message="{exec.cmdline} by {stack.function} of {proc.script}"),
    rule("no-discard", "socket.connect", "net.port = 9", action="block", mode="observe"),
    rule("etc", "open", "file.path under '/etc'", action="alert"),
    rule("not-hosts", "open", "file.name = 'hosts'", action="allow", over=["etc"]),
    rule("orders", "custom:shop.order", action="record"),
    rule("code", "compile", "code.filename startswith '<'", action="record"),
]
CLASSES = ["--record", "exec,network,code"]


def replay(*arguments, code=0):
    done = subprocess.run([str(CTL), "replay"] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * PATIENCE, env=clean_env())
    assert done.returncode == code, done
    return done.stdout.decode(), done.stderr.decode()


def as_told(text):
    """Event lines without the numbers of their delivery: among the daemon's lines, and in the ring."""
    lines = [json.loads(line) for line in text.splitlines()]
    lines = [line for line in lines if line["kind"] in ("event", "alert")]
    for line in lines:
        del line["seq"]
        line.pop("number", None)
    return [json.dumps(line) for line in lines]


def test_the_same_rules_say_the_same_byte_for_byte(ctl_run, python_few, tmp_path):
    file, rules = tmp_path / "c.capture", write_rules(tmp_path / "same.json", *RULES)
    done = ctl_run([python_few, "-I", "-c", TRAFFIC], *RULES, options=CLASSES + ["--capture", str(file)])
    assert done.returncode == 0, done
    assert {"no-shell", "no-discard", "etc"} <= {e["rule"] for e in done.kind("alert")}, done
    live = as_told((tmp_path / "events1.ndjson").read_text())
    assert len(live) > 10
    again, _ = replay("--no-default-rules", "--rules", rules, "--json", "--check", file)
    assert sorted(as_told(again)) == sorted(live)
    assert stat.S_IMODE(os.stat(str(file)).st_mode) == 0o600


def test_other_rules_say_what_they_would_have(ctl_run, python_few, tmp_path):
    file = tmp_path / "c.capture"
    ctl_run([python_few, "-I", "-c", TRAFFIC], *RULES, options=CLASSES + ["--capture", str(file)])
    other = write_rules(tmp_path / "other.json", rule("no-true", "@exec", "exec.name = 'true'"),
                        rule("orders", "custom:shop.order", "arg[0] = 7", action="alert"))
    lines = [json.loads(line) for line in
             replay("--no-default-rules", "--rules", other, "--json", file)[0].splitlines()]
    assert {(e["rule"], e["action"]) for e in of_kind(lines, "alert")} == \
        {("no-true", "block"), ("orders", "alert")}
    # What was recorded by the class alone stays recorded; what only a rule asked for is gone.
    assert not [e for e in lines if e["event"] == "open"]
    assert [e for e in lines if e["event"] == "socket.connect" and e["action"] == "record"]
    shown, said = replay("--no-default-rules", "--rules", other, file)
    assert "it was block by no-shell; now it is record" in shown
    assert "0 verdicts differ" not in said
    replay("--no-default-rules", "--rules", other, "--check", file, code=1)
    replay("--no-default-rules", "--rules", tmp_path / "not-there.json", file, code=2)


def test_a_file_that_is_no_capture_is_refused(tmp_path):
    file = tmp_path / "x.capture"
    file.write_bytes(b"PYAUDCAP\x01\x00\x00\x00" + bytes(12) + b"\xff\xff\xff\xff\x03\x00\x00\x00")
    assert "x.capture: at byte 24: a block of 4294967295 bytes" in replay(file, code=1)[1]
    assert "cannot read" in replay(tmp_path / "none", code=1)[1]


def test_a_running_daemon_is_captured(daemon, python_few, tmp_path):
    one = daemon(*RULES)
    file = tmp_path / "c.capture"
    file.write_text("what was there before")
    file.chmod(0o644)
    program = one.spawn([python_few, "-I", "-c",
                         "import sys, os\nprint('ready', flush=True)\nfor line in sys.stdin:\n"
                         "    sys.audit('shop.order', line.strip()); print('done', flush=True)"])
    hear(program, "ready")
    capture = subprocess.Popen([str(CTL), "capture", "--filter", "event = 'shop.order'", str(file)],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_env(PYAUDIT_DIR=one.dir))
    wait_for(lambda: one.status()["clients"] == 1, "the capture to begin")
    for word in ("before", "after"):
        say(program, word)
        hear(program, "done")
        one.drain()
        # A reload between two events: a second policy in the same file.
        write_rules(one.rules_file, rule("orders-too", "custom:shop.order", action="alert"))
        assert one.request("reload")["ok"]
    wait_for(lambda: file.stat().st_size > 800, "the events to be written")
    capture.send_signal(signal.SIGINT)
    said = capture.communicate(timeout=20 * PATIENCE)[1].decode()
    assert capture.returncode == 0 and "2 events captured, 0 lost" in said, said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown, _ = replay("--no-default-rules", "--all", file)
    assert "it was record by orders; now it is none" in shown
    assert "it was alert by orders-too; now it is none" in shown


def test_for_and_since_bound_a_capture(daemon, python_few, tmp_path):
    one = daemon(*RULES)
    one.run([python_few, "-I", "-c", "import sys; sys.audit('shop.order', 1)"])
    one.drain()
    begun = time.monotonic()
    subprocess.run([str(CTL), "capture", "--for", "200ms", "--since", "5m", "--quiet",
                    "--filter", "event = 'shop.order'", str(tmp_path / "c")],
                   check=True, timeout=30 * PATIENCE, env=clean_env(PYAUDIT_DIR=one.dir))
    assert 0.15 < time.monotonic() - begun
    rules = write_rules(tmp_path / "same.json", *RULES)
    said = replay("--no-default-rules", "--rules", rules, "--check", tmp_path / "c")[1]
    assert "1 events, 0 alerts" in said
    done = subprocess.run([str(CTL), "capture", "--filter", "no such", str(tmp_path / "d")],
                          stderr=subprocess.PIPE, timeout=30 * PATIENCE, env=clean_env(PYAUDIT_DIR=one.dir))
    assert done.returncode == 2 and not (tmp_path / "d").exists()


def test_a_daemon_that_goes_leaves_a_whole_file(daemon, python_few, tmp_path):
    one = daemon(*RULES)
    file = tmp_path / "c.capture"
    capture = subprocess.Popen([str(CTL), "capture", str(file)], stdin=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=clean_env(PYAUDIT_DIR=one.dir))
    wait_for(lambda: one.status()["clients"] == 1, "the capture to begin")
    one.run([python_few, "-I", "-c", "import sys; sys.audit('shop.order', 1)"])
    one.request("stop")
    said = capture.communicate(timeout=20 * PATIENCE)[1].decode()
    assert capture.returncode == 1 and "the daemon has gone" in said
    assert "no end" not in replay(file)[1]


MEMORIES = [
    rule("burst", "os.remove", action="alert", threshold={"count": 5, "within": "10s"},
         message="{file.path} is the fifth", exceptions=[{"when": "file.name = 'spared'", "owner": "us", "reason": "ours"}]),
    dict(rule("dropper", "open", action="alert"), on=None,
         sequence={"within": "60s", "in": "tree", "steps": [
             {"on": "open", "when": "file.write", "by": "file.path"}, {"on": "os.chmod", "by": "file.path"},
             {"on": "@exec", "by": "exec.path"}]}),
    rule("new-host", "webbrowser.open", action="record", first_seen={"per": ["arg[0]"]}),
    rule("left", "os.rename", action="alert", absence={"on": "os.remove", "within": "300ms"}),
    rule("orders", "custom:shop.order", action="record"),
]
del MEMORIES[1]["on"]
REMEMBERED = r"""
import os, subprocess, sys, time
def tried(act, *args):
    try:
        act(*args)
    except OSError:
        pass
tried(os.rename, "/nonexistent/a", "/nonexistent/b")
for i in range(13):
    tried(os.remove, "/nonexistent/%s" % ("spared" if i % 4 == 3 else i))
for host in "a", "b", "a":
    sys.audit("webbrowser.open", host)
sys.audit("shop.order", 7)
with open(sys.argv[1], "w") as file:
    file.write("#!/bin/sh\nexit 0\n")
subprocess.run([sys.executable, "-I", "-c", "import os, subprocess, sys; os.chmod(sys.argv[1], 0o755); "
                "subprocess.run([sys.argv[1]])", sys.argv[1]])
tried(os.rename, "/nonexistent/a", "/nonexistent/b")
time.sleep(3.2)  # its time, what records may take to arrive, and the daemon's look once a second
sys.audit("shop.order", 8)
"""


def test_rules_with_memory_say_the_same_byte_for_byte(ctl_run, python_few, tmp_path):
    file, rules = tmp_path / "c.capture", write_rules(tmp_path / "same.json", *MEMORIES)
    done = ctl_run([python_few, "-I", "-c", REMEMBERED, str(tmp_path / "dropped")], *MEMORIES,
                   options=["--capture", str(file)])
    assert done.returncode == 0, done
    live = as_told((tmp_path / "events1.ndjson").read_text())
    fired = [json.loads(line)["rule"] for line in live if "memory" in json.loads(line)]
    assert sorted(fired) == ["burst", "burst", "dropper", "left", "new-host", "new-host"], fired
    again, _ = replay("--no-default-rules", "--rules", rules, "--json", "--check", file)
    assert as_told(again) == live
    # Of each event in which a memory found something, `explain` says so, and of no other.
    numbers = {json.loads(line)["seq"]: json.loads(line)["rule"] for line in again.splitlines() if '"memory"' in line}
    for number in sorted(numbers) + [1]:
        told = subprocess.run([str(CTL), "rules", "explain", "--no-default-rules", "--rules", str(rules), "--capture",
                               str(file), "--event", str(number), "--json"], stdout=subprocess.PIPE, check=True, timeout=60)
        alerts = [r["id"] for r in json.loads(told.stdout)["rules"] if r["memory"] and r["memory"]["alerts"]]
        # An absence alerts by the clock, in the name of what it waited for.
        assert alerts == ([numbers[number]] if numbers.get(number, "left") != "left" else []), (number, numbers)
    fifth = min(n for n in numbers if numbers[n] == "burst")
    shown = subprocess.run([str(CTL), "rules", "explain", "--no-default-rules", "--rules", str(rules), "--capture", str(file),
                            "--event", str(fifth)], stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
    assert "from memory alert burst" in shown and "this is number 5: it alerts" in shown, shown
    # Other numbers remember otherwise, and that is a difference in both directions.
    other = write_rules(tmp_path / "other.json", dict(MEMORIES[0], threshold={"count": 10, "within": "10s"}),
                        rule("brief", "os.remove", action="alert", threshold={"count": 2, "within": "10s"}), *MEMORIES[2:])
    shown, said = replay("--no-default-rules", "--rules", other, "--check", file, code=1)
    assert shown.count("rule burst alerted from memory; now it does not") == 1, "the tenth is both"
    assert shown.count("rule burst did not alert from memory; now it does") == 0
    assert shown.count("rule brief did not alert from memory; now it does") == 6
    assert shown.count("rule dropper alerted from memory; now it does not") == 1
    assert "rule new-host" not in shown and "rule left" not in shown


def test_what_a_filter_left_out_is_not_missed(daemon, tmp_path):
    one = daemon(*MEMORIES)
    file = tmp_path / "c.capture"
    capture = subprocess.Popen([str(CTL), "capture", "--filter", "event = 'os.remove'", str(file)],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_env(PYAUDIT_DIR=one.dir))
    wait_for(lambda: one.status()["clients"] == 1, "the capture to begin")
    one.run(["/usr/bin/python3", "-I", "-c", REMEMBERED.split("sys.audit", 1)[0].rsplit("for", 1)[0]])
    one.drain()
    capture.send_signal(signal.SIGINT)
    assert b"13 events captured" in capture.communicate(timeout=20 * PATIENCE)[1]
    rules = write_rules(tmp_path / "same.json", *MEMORIES[1:])
    assert "os.remove" in replay("--no-default-rules", "--rules", rules, file)[0]  # ordinary verdicts do differ
    assert "from memory" not in replay("--no-default-rules", "--rules", rules, file)[0]
