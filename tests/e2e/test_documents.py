# SPDX-License-Identifier: Apache-2.0
"""The commands of INSTALL, OPERATIONS and UPGRADING. Those that change nothing but a daemon are run here, as they stand;
each other one has its place in a test that boots systems. No command is in neither."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, Daemon, PATIENCE, ROOT, clean_env

DOCUMENTS = ("INSTALL.md", "OPERATIONS.md", "UPGRADING.md")
HERE = re.compile(r"pyauditctl (status|ps|report|config show|rules|mode|pause|resume|reload)\b|pyauditd --check-config")
# A command, and the test that runs it: its file, and what has to stand there.
BOOTED = {
    "sh packaging/deb.sh": ("tests/packages.sh", "sh packaging/deb.sh"),
    "apt-get install ./build/deb/pyauditd_*.deb ./build/deb/libpyaudit-agent_*.deb": ("tests/packages.py", '"apt-get", "-qq", "install", "-y", "/root/old/'),
    "systemctl enable --now pyauditd": ("tests/packages.py", '"systemctl", "enable", "--now", "pyauditd"'),
    "pyauditctl enable --restart myapp.service": ("tests/packages.py", '"pyauditctl", "enable", "--restart", UNIT'),
    "journalctl -u myapp.service": ("tests/packages.py", 'self.journal("-u", UNIT'),
    "journalctl -t pyauditd -x": ("tests/packages.py", '"journalctl", "-x"'),
    "cmake --preset release -DPYAUDIT_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr": (
        "tests/container.sh", "cmake --preset release -DPYAUDIT_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr"),
    "cmake --build build/release": ("tests/container.sh", "cmake --build build/release"),
    "cmake --install build/release": ("tests/container.sh", "cmake --install build/release"),
    "systemd-sysusers && systemd-tmpfiles --create && journalctl --update-catalog": ("tests/container.sh", "journalctl --update-catalog"),
    "systemctl daemon-reload && systemctl enable --now pyauditd": ("tests/journal.py", '"systemctl", "daemon-reload"'),
    "systemctl stop pyauditd.socket pyauditd-control.socket": (
        "tests/packages.py", '"systemctl", "stop", "pyauditd.socket", "pyauditd-control.socket"'),
    "systemctl start pyauditd": ("tests/packages.py", '"systemctl", "start", "pyauditd"'),
    "apt-get purge pyauditd libpyaudit-agent": ("tests/packages.py", '"purge", "-y", "--autoremove", "pyauditd", "libpyaudit-agent"'),
    "apt-get install ./pyauditd_*.deb ./libpyaudit-agent_*.deb": ("tests/packages.py", '"/root/new/pyauditd.deb", "/root/new/libpyaudit-agent.deb"'),
}
# rpmbuild is not everywhere, and builds for minutes.
BY_HAND = {"sh packaging/rpm.sh"}


def commands(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"(^|\s+)# .*$", "", line.strip())
            if line:
                yield line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_command_is_without_a_test(name):
    for command in commands(name):
        if HERE.match(command) or command in BY_HAND:
            continue
        file, text = BOOTED[command]
        assert text in (ROOT / file).read_text(encoding="utf-8"), (command, file)
    fences = re.findall(r"^```(\S*)$", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.M)
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
