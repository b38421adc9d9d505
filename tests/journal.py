#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Acceptance in a booted system, run by tests/container.sh as root: pyauditd as its unit starts it, a
program that it refuses something, and the alert in the real journal. It is built and installed as docs/INSTALL.md says."""
import glob
import json
import os
import pathlib
import subprocess
import sys
import time

from documents import commands

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = pathlib.Path("/etc/pyaudit/rules.d")
RULE = {"version": 1, "rules": [{"id": "no-shell-here", "title": "A shell", "on": ["@exec"], "action": "block", "severity": "critical",
                                 "when": ["exec.shell"], "message": "{exec.cmdline} from {caller.file}:{caller.line}"}]}
PROGRAM = "import os\nos.system('id')\n"
WANTED = ("MESSAGE", "MESSAGE_ID", "PRIORITY", "PYAUDIT_RULE", "PYAUDIT_EVENT", "PYAUDIT_ACTION", "PYAUDIT_SEVERITY",
          "PYAUDIT_CALLER_FILE", "PYAUDIT_CALLER_LINE", "PYAUDIT_PID", "OBJECT_PID")


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def check(holds, what):
    print("%s: %s" % ("ok" if holds else "NOT OK", what), flush=True)
    if not holds:
        print(run("systemctl", "status", "pyauditd", "--no-pager", "-l").stdout.decode())
        print(run("journalctl", "-u", "pyauditd", "--no-pager", "-n", "40").stdout.decode())
        sys.exit(1)


def wait(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = condition()
        if got:
            return got
        time.sleep(0.1)
    return check(False, what)


def journal(*matches):
    done = run("journalctl", "-o", "json", "--no-pager", *matches)
    return [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]


def main():
    RULES.mkdir(parents=True, exist_ok=True)
    (RULES / "50-acceptance.rules").write_text(json.dumps(RULE))
    for command in commands("INSTALL.md", "The build itself"):
        done = run("sh", "-ec", command, cwd=str(ROOT), stdin=subprocess.DEVNULL)
        check(done.returncode == 0, command if done.returncode == 0 else command + ":\n" + done.stdout.decode()[-3000:])
    check(run("systemctl", "is-active", "pyauditd").stdout == b"active\n", "the unit is active (Type=notify)")
    wait(lambda: os.path.exists("/run/pyaudit/agent.sock"), "the agents' socket")

    agent = sorted(glob.glob("/usr/lib*/**/libpyaudit-agent.so", recursive=True))[0]
    script = pathlib.Path("/root/victim.py")
    script.write_text(PROGRAM)
    done = run("/usr/bin/python3", str(script), env=dict(os.environ, LD_PRELOAD=agent))
    check(done.returncode == 1 and b"rule 'no-shell-here' denied os.system" in done.stdout,
          "the program is refused: " + done.stdout.decode().strip().splitlines()[-1])

    entry = wait(lambda: journal("PYAUDIT_RULE=no-shell-here"), "journalctl PYAUDIT_RULE=no-shell-here -o json")[0]
    for field in WANTED:
        check(field in entry, "%s=%s" % (field, entry.get(field)))
    check(entry["_UID"] == "0", "written as user 0, so that `journalctl -u` shows it")
    check(run("systemctl", "show", "-P", "User", "pyauditd").stdout == b"pyaudit\n", "and the daemon has a user of its own")
    check(entry["PYAUDIT_EVENT"] == "os.system", "the event")
    check(entry["PYAUDIT_CALLER_FILE"] == str(script), "the caller's file")
    check(entry["PYAUDIT_CALLER_LINE"] == "2", "the caller's line")
    check(entry["PYAUDIT_ACTION"] == "block", "the action")
    check(len(journal("PYAUDIT_ACTION=block")) >= 1, "journalctl PYAUDIT_ACTION=block")
    explained = run("journalctl", "-x", "--no-pager", "PYAUDIT_RULE=no-shell-here").stdout.decode()
    check("was denied an act" in explained, "the catalog explains its MESSAGE_ID")

    (RULES / "50-acceptance.rules").write_text("{")
    done = run("systemctl", "reload", "pyauditd")
    time.sleep(0.5)
    done = run("/usr/bin/python3", str(script), env=dict(os.environ, LD_PRELOAD=agent))
    check(done.returncode == 1, "a reload with mistakes keeps the policy")
    done = run("systemctl", "stop", "pyauditd")
    check(done.returncode == 0, "systemctl stop pyauditd")
    check(run("systemctl", "show", "-P", "Result", "pyauditd").stdout == b"success\n", "it ended well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
