# SPDX-License-Identifier: Apache-2.0
"""Alerts in a real journal: a systemd-journald of the test's own, in a mount name space where /run and
/var/log belong to it. (tests/container.sh journal does the same in a booted system.)"""
import json
import pathlib
import shlex
import subprocess

import pytest

from conftest import (AGENT, CTL, DAEMON, JOURNALD, NO_EXEC, PATIENCE, SANITIZED, SYSTEM, clean_env,
                      mounts_for_journald, rule, write_rules)

ID = "0123456789abcdef0123456789abcdef"

# Inside: fresh /run and journal, journald, the daemon, the program; then the journal is read.
INSIDE = r"""
set -eu
work=$1
mount --make-rprivate /
mkdir -p "$work/machine"
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal/%(id)s /run/pyaudit
[ ! -d /var/log/journal ] || mount -t tmpfs tmpfs /var/log/journal
echo %(id)s >"$work/machine/id"
[ -e /etc/machine-id ] || : >/etc/machine-id
mount --bind "$work/machine/id" /etc/machine-id
%(journald)s >"$work/journald.log" 2>&1 &
journald=$!
daemon=
trap 'kill $daemon $journald 2>/dev/null || :; wait' EXIT
until_there() {
	n=0
	until "$@"; do
		n=$((n + 1))
		[ $n -lt %(tries)d ] || { echo "waited in vain: $*" >&2; cat "$work"/*.log >&2; exit 3; }
		sleep 0.05
	done
}
until_there test -S /run/systemd/journal/socket || exit 77
%(daemon)s --config "$work/pyauditd.conf" >"$work/daemon.log" 2>&1 &
daemon=$!
until_there test -S /run/pyaudit/agent.sock
LD_PRELOAD=%(agent)s PYAUDIT_DIR=/run/pyaudit /usr/bin/python3 -I %(program)s \
	>"$work/program.log" 2>&1 && exit 4
grep -q "rule 'no-exec' denied" "$work/program.log" || { cat "$work/program.log" >&2; exit 5; }
found() {
	journalctl --directory=/run/log/journal -o json PYAUDIT_RULE=no-exec >"$work/found.json" 2>/dev/null
	test -s "$work/found.json"
}
until_there found
journalctl --directory=/run/log/journal -o export --all >"$work/all.export"
%(ctl)s report --directory=/run/log/journal --json >"$work/report.json"
"""


def in_a_journal(tmp_path, program, *more_rules, **more):
    """What INSIDE does with a program whose last act is refused; @program is python3's arguments for a shell."""
    unshare = mounts_for_journald()
    # /run disappears below: nothing the test needs may live there.
    rules = tmp_path / "rules.d"
    rules.mkdir()
    write_rules(rules / "10.rules", NO_EXEC, *more_rules, **more)
    (tmp_path / "state").mkdir()
    (tmp_path / "pyauditd.conf").write_text(
        "dir = /run/pyaudit\nrules = %s\ndefault_rules = no\njournal = yes\nstate = %s\ncontext = 8\ncontext_all = yes\n" %
        (rules, tmp_path / "state"))
    script = tmp_path / "inside.sh"
    script.write_text(INSIDE % dict(id=ID, journald=JOURNALD, daemon=DAEMON, agent=AGENT, ctl=CTL, program=program,
                                    tries=400 * PATIENCE))
    done = subprocess.run(unshare + ["sh", str(script), str(tmp_path)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_env(), timeout=90 * PATIENCE)
    if done.returncode == 77:
        pytest.skip("systemd-journald does not run here: " + done.stdout.decode()[-200:])
    assert done.returncode == 0, done.stdout.decode()


def test_alert_in_the_journal(tmp_path):
    in_a_journal(tmp_path, "-c 'import os; os.system(\"id\")'")
    entry = json.loads((tmp_path / "found.json").read_text().splitlines()[0])
    assert entry["PYAUDIT_RULE"] == "no-exec"
    assert entry["PYAUDIT_EVENT"] == "os.system"
    assert entry["PYAUDIT_ACTION"] == "block"
    assert entry["PYAUDIT_SEVERITY"] == "critical"
    assert entry["PYAUDIT_CALLER_FILE"] == "<string>"
    assert entry["PYAUDIT_CALLER_LINE"] == "1"
    assert len(entry["MESSAGE_ID"]) == 32
    assert entry["OBJECT_PID"] == entry["PYAUDIT_PID"]
    assert int(entry["PRIORITY"]) <= 4
    assert "id" in entry["MESSAGE"]
    before = pathlib.Path(entry["PYAUDIT_CONTEXT_FILE"])
    assert before.parent == tmp_path / "state/context"
    assert before.stat().st_mode & 0o7777 == 0o600 and before.parent.stat().st_mode & 0o7777 == 0o700
    alert = json.loads(before.read_text())
    assert alert["event"] == "os.system" and 0 < len(alert["context"]) <= 8
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["alerts"], report["denied"], report["lost"]) == (1, 1, 0)
    assert [(row["name"], row["denied"], row["severity"]) for row in report["by"]["rule"]] == [("no-exec", 1, "critical")]
    assert report["by"]["script"][0]["name"].startswith("/usr/bin/python3")  # of -c
    catalogs = list((pathlib.Path(__file__).parents[2] / "packaging").glob("**/*.catalog"))
    assert any(entry["MESSAGE_ID"] in c.read_text() for c in catalogs), "MESSAGE_ID is in no catalog"


TELL = """
import json, os, sys
for text in json.load(open(sys.argv[1])):
    try:
        open("/nonexistent/" + text)
    except OSError:
        pass
os.system("id")
"""


def test_no_secret_reaches_the_journal(tmp_path):
    """Every form, and those of the site's own, in alerts; tests/e2e/test_secrets.py has the other ways out."""
    from test_secrets import FORMS, OWN, leaks_in
    program = tmp_path / "tell.py"
    program.write_text(TELL)
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps([text.format(secret) for text, secret, _ in FORMS.FORMS.values()]))
    in_a_journal(tmp_path, "%s %s" % (shlex.quote(str(program)), shlex.quote(str(texts))),
                 rule("told", "open", "file.path startswith '/nonexistent/'", action="alert", message="{file.path}"),
                 redact=OWN)
    told = (tmp_path / "all.export").read_bytes()
    assert told.count(b"PYAUDIT_RULE=told") == len(FORMS.FORMS) >= 32
    assert leaks_in(told) == []
    kinds = {kind for _, _, kind in FORMS.FORMS.values()}
    assert {kind for kind in kinds if b"<redacted:%s>" % kind.encode() not in told} == set()
    assert all(leaks_in(path.read_bytes()) == [] for path in (tmp_path / "state").glob("**/*") if path.is_file())
