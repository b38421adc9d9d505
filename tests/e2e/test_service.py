# SPDX-License-Identifier: Apache-2.0
"""At home on a host: what the service manager is told, the helper that writes to the journal as user 0, fish."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import BUILD, CTL, DAEMON, PATIENCE, ROOT, clean_env

HELPER = BUILD / "libexec/pyaudit/pyaudit-journal"


def test_the_service_manager_is_told(tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20 * PATIENCE)
    environment = clean_env(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2500000")
    daemon = subprocess.Popen([DAEMON, "--dir", str(tmp_path / "run"), "--no-default-rules", "--no-journal"],
                              env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def told(line):
        """The next message that is not the watchdog's, unless that is what is waited for."""
        while True:
            lines = manager.recv(4096).decode().splitlines()
            if lines != ["WATCHDOG=1"] or line == "WATCHDOG=1":
                break
        assert line in lines
        return lines

    try:
        told("READY=1")
        told("WATCHDOG=1")
        told("WATCHDOG=1")
        daemon.send_signal(signal.SIGHUP)
        assert any(line.startswith("MONOTONIC_USEC=") for line in told("RELOADING=1"))
        told("READY=1")
        daemon.send_signal(signal.SIGSTOP)
        manager.settimeout(0.1)
        with pytest.raises(socket.timeout):
            while True:
                manager.recv(4096)
        manager.settimeout(3)
        with pytest.raises(socket.timeout):
            manager.recv(4096)  # frozen: the watchdog gets nothing
        manager.settimeout(20 * PATIENCE)
        daemon.send_signal(signal.SIGCONT)
        daemon.send_signal(signal.SIGTERM)
        told("STOPPING=1")
        assert daemon.wait(20 * PATIENCE) == 0
    finally:
        daemon.kill()
        daemon.wait()


def test_asked_again_while_it_ends(daemon):
    """What a second SIGTERM meets is a daemon that writes its last lines: it ends as it would have."""
    for _ in range(5):
        server = daemon()
        server.request("stop")
        while server.process.poll() is None:
            server.process.terminate()
        assert server.process.returncode == 0


def test_only_our_entries_reach_the_journal():
    if not HELPER.exists():
        pytest.skip("built without libsystemd")
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]
    if not shutil.which("unshare") or subprocess.run(unshare + ["mount", "-t", "tmpfs", "tmpfs", "/run"],
                                                     stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mount name spaces may not be made here (not root, and no user name spaces)")
    done = subprocess.run(unshare + ["sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh", "/usr/bin/python3", "-B",
                                     str(pathlib.Path(__file__).with_name("relay.py")), str(HELPER)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_env(), timeout=60 * PATIENCE)
    assert done.returncode == 0, done.stdout.decode()


def test_without_its_socket_it_says_who_starts_it():
    if not HELPER.exists():
        pytest.skip("built without libsystemd")
    done = subprocess.run([HELPER], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_env(), timeout=20 * PATIENCE)
    assert done.returncode == 2
    assert b"pyaudit-journal.socket starts this program" in done.stderr


@pytest.mark.parametrize("typed, expected", [
    ("pyauditctl en", "enable"), ("pyauditctl dea", "deactivate"), ("pyauditctl enable --mo", "--mode"), ("pyauditctl tail --si", "--since"),
    ("pyauditctl rules che", "check"),
])
def test_completion_for_fish(typed, expected, tmp_path):
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("fish is not installed")
    environment = clean_env(PATH="%s:/usr/bin:/bin" % CTL.parent, HOME=str(tmp_path))
    done = subprocess.run([fish, "-c", "source %s; complete -C '%s'" % (ROOT / "packaging/completion/pyauditctl.fish", typed)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=str(tmp_path))
    assert [line.split("\t")[0] for line in done.stdout.decode().splitlines()] == [expected], done.stderr.decode()
