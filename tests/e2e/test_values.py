# SPDX-License-Identifier: Apache-2.0
"""What the values of events mean, as the interpreter raises them: the table in pyaudit-rules(5), VALUES. Where paths lead
is tried part by part in tests/unit/test_real.c, and what is made of arguments in tests/unit/test_fields.c."""
import pytest

from conftest import rule

TRY = """
import os, shutil, subprocess, sys
from pathlib import Path
def tried(name, act):
    try:
        made = act()
    except PermissionError as error:
        print(name, "refused" if "pyauditd" in str(error) else "failed: %r" % error)
    except Exception as error:
        print(name, "failed: %r" % error)
    else:
        print(name, "passed")
        if isinstance(made, int) and made > 2: os.close(made)
"""


def said_of(ctl_run, python, code, *rules, **more):
    result = ctl_run([python, "-I", "-c", TRY + code], *rules, **more)
    assert result.returncode == 0, str(result)[:2000]
    return dict(line.split(" ", 1) for line in result.stdout.splitlines()), result


# Where paths lead

LEADS = """
os.chdir(%r)
secret = os.path.realpath("etc") + "/secret"
etc, file = os.open("etc", os.O_RDONLY), os.open("srv/file", os.O_RDWR)
"""
KEPT = {
    "plain": "open(secret)",
    "relative": "open('etc/secret')",
    "link": "open('srv/secret')",
    "directory": "open('srv/conf/secret', 'rb')",
    "spelling": "open('srv//conf/.//../etc/sub/../secret')",
    "bytes": "open(b'srv/conf/secret')",
    "os.PathLike": "open(Path('srv/secret'))",
    "surrogate": "open('\\udcff/../etc/secret')",
    "os.open": "os.open('srv/secret', os.O_RDONLY)",
    "root": "open('/proc/self/root' + secret)",
    "cwd": "open('/proc/self/cwd/srv/secret')",
    "magic": "open('/proc/self/fd/%d/secret' % etc)",
    "dir_fd": "os.chmod('secret', 0o600, dir_fd=etc)",
    "dir_fd-link": "os.mkdir('sub/../new', dir_fd=etc)",
    "descriptor": "os.truncate(file, 0)",
    "truncate": "os.truncate('srv/secret', 0)",
    "new": "open('srv/conf/made', 'w')",
    "dangling": "open('srv/dangling', 'w')",
    "remove": "os.remove('srv/conf/secret')",
    "rename": "os.rename('srv/other', 'srv/conf/other')",
    "move": "shutil.move('srv/other', 'srv/conf/other')",
    "symlink": "os.symlink('x', 'there', dir_fd=etc)",
    "copy": "shutil.copyfile('srv/other', 'srv/dangling')",
}
# What looks like it and leads elsewhere, or is about the link itself.
FREE = {
    "file": "open('srv/file')",
    "same-name": "open('srv/etc/secret')",
    "text": "os.symlink('../etc/secret', 'srv/away')",
    "link-itself": "os.remove('srv/secret')",
    "renamed-link": "os.rename('srv/conf', 'srv/renamed')",
}


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "place"
    for name in ("etc/sub", "srv/etc"):
        (place / name).mkdir(parents=True)
    for name in ("etc/secret", "srv/file", "srv/other", "srv/etc/secret"):
        (place / name).write_text("text\n")
    (place / "srv/secret").symlink_to("conf/secret")
    (place / "srv/conf").symlink_to("../etc")
    (place / "srv/dangling").symlink_to("conf/made")
    return place.resolve()


def test_however_a_path_is_written_it_leads_to_one_file(ctl_run, python, place):
    code = LEADS % str(place) + "".join("tried(%r, lambda: %s)\n" % case for case in {**KEPT, **FREE}.items())
    below = "startswith '%s/etc/'" % place
    said, result = said_of(ctl_run, python, code,
                           rule("kept", "@file", "file.real %s or file.real_target %s" % (below, below),
                                message="to {file.real}"),
                           rule("descriptor", "os.truncate", ["exists file.fd", "file.real = '%s/srv/file'" % place]))
    assert said == dict(dict.fromkeys(KEPT, "refused"), **dict.fromkeys(FREE, "passed")), result.stderr
    assert sorted(p.name for p in (place / "etc").iterdir()) == ["secret", "sub"]
    alerts = [e for e in result.kind("alert") if e["action"] == "block"]
    assert len(alerts) >= len(KEPT)
    for alert in alerts:
        leads = alert.get("file_real", ""), alert.get("file_real_target", "")
        assert alert["rule"] == "descriptor" or any(path.startswith("%s/etc/" % place) for path in leads), alert
    assert any(alert["message"] == "to %s/etc/secret" % place for alert in alerts)


def test_what_nobody_asks_for_is_not_said(ctl_run, python, place):
    said, result = said_of(ctl_run, python, LEADS % str(place) + "tried('link', lambda: open('srv/secret'))",
                           rule("by-text", "open", "file.path = 'srv/secret'", action="alert"))
    assert said == {"link": "passed"}
    (alert,) = result.kind("alert")
    assert "file_real" not in alert
