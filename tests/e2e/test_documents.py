# SPDX-License-Identifier: Apache-2.0
"""The commands of INSTALL, OPERATIONS and UPGRADING are run as they stand there: those that change nothing but a daemon
here, the others by tests that boot systems. No command is in neither."""
import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, Daemon, PATIENCE, ROOT, clean_env

sys.path.insert(0, str(ROOT / "tests"))
from documents import DOCS, commands, sections  # noqa: E402

DOCUMENTS = ("INSTALL.md", "OPERATIONS.md", "UPGRADING.md")
HERE = re.compile(r"pyauditctl (status|metrics|ps|report|config show|rules|mode|pause|resume|reload)\b|pyauditd --check-config")
# Who runs the commands of a section, by asking tests/documents.py for them.
BOOTED = {
    ("INSTALL.md", "Debian 12 and 13"): ("packages.sh", "packages.py"),
    ("INSTALL.md", "RPM"): ("packages.sh",),
    ("INSTALL.md", "The build itself"): ("journal.py",),
    ("INSTALL.md", "Removing"): ("packages.py",),
    ("OPERATIONS.md", "The service"): ("packages.py",),
    ("OPERATIONS.md", "Day to day"): ("packages.py",),
    ("OPERATIONS.md", "Tuning"): ("packages.py",),
    ("OPERATIONS.md", "Metrics"): ("packages.py",),
    ("UPGRADING.md", "Upgrading"): ("packages.py",),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_command_is_without_a_test(name):
    for heading, _ in sections(name):
        if not commands(name, heading):
            continue
        for file in BOOTED[name, heading]:
            text = (ROOT / "tests" / file).read_text(encoding="utf-8")
            said = 'commands("%s", "%s")' if file.endswith(".py") else '"$here/tests/documents.py" %s "%s"'
            assert said % (name, heading) in text, (name, heading, file)
    fences = re.findall(r"^```(\S*)$", (DOCS / name).read_text(encoding="utf-8"), re.M)
    assert set(fences) <= {"sh", "ini", ""}, "commands stand in blocks of sh"


@pytest.mark.parametrize("name", ["OPERATIONS.md"])
def test_commands_that_can_run_here_do(name, tmp_path):
    server = Daemon(tmp_path)
    server.config_path.write_text("dir = %s\njournal = no\n" % server.dir)
    path = "%s:%s:%s" % (BUILD / "bin", BUILD / "sbin", os.environ["PATH"])
    ran = 0
    try:
        server.start()
        for command in filter(HERE.match, commands(name)):
            # A host that was installed has these.
            there = command.replace("/etc/pyaudit/rules.d", str(ROOT / "config/rules.d"))
            done = subprocess.run([shutil.which("sh"), "-ec", there], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env=clean_env(PATH=path, PYAUDIT_DIR=server.dir), cwd=str(tmp_path), timeout=60 * PATIENCE)
            assert done.returncode == 0, (command, done.stdout.decode())
            ran += 1
    finally:
        server.stop()
    assert ran > 10
