# SPDX-License-Identifier: Apache-2.0
"""The daemon's sockets: handed over by a service manager, made by itself, removed under it."""
import os
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from conftest import DAEMON, MARKS, NO_EXEC, PATIENCE, SYSTEM, Daemon, clean_env, hear, lost_of, of_kind, say, wait_for
from test_resilience import DENIED, MARK, marks, puppet
from test_store import Manager


def one_mark(number):
    return [SYSTEM.path, "-I", "-c", "import sys; sys.audit('%s', 'mark:%d')" % (MARK, number)]


class Activator(Manager):
    """A service manager that holds sockets as well as what it is given to keep."""

    def __init__(self, folder, *rules, **options):
        super().__init__(folder, *rules, **options)
        self.held = []
        for name, kind in (("agent.sock", socket.SOCK_SEQPACKET), ("control.sock", socket.SOCK_STREAM)):
            held = socket.socket(socket.AF_UNIX, kind)
            held.bind(str(self.dir / name))
            held.listen(100)
            self.held.append(held)
        self.store += [("agents", self.held[0].fileno()), ("control", self.held[1].fileno())]


@pytest.fixture
def activator(tmp_path):
    if b"libsystemd" not in subprocess.run(["ldd", str(DAEMON)], stdout=subprocess.PIPE).stdout:
        pytest.skip("built without libsystemd")
    made = Activator(tmp_path, NO_EXEC, MARKS)
    yield made
    made.stop()


def inodes(server):
    return [os.stat(str(server.dir / name)).st_ino for name in ("agent.sock", "control.sock")]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_sockets_that_are_handed_over(activator, how):
    """They stay when the daemon goes. What came and went meanwhile stood in the queue, and is read by the next one."""
    before = inodes(activator)
    activator.start()
    activator.run(one_mark(1))
    wait_for(lambda: marks(activator.events()) == [1], "an event")
    assert "was gone" not in activator.log() and "handed to us" not in activator.log()
    activator.signal(how)
    activator.process.wait(timeout=20 * PATIENCE)
    assert inodes(activator) == before
    for number in range(2, 12):
        activator.run(one_mark(number))
    activator.start()
    wait_for(lambda: sorted(set(marks(activator.events()))) == list(range(1, 12)), "programs that ended without a daemon")
    assert lost_of(activator.events()) == 0 and inodes(activator) == before


def test_a_socket_of_another_place_is_not_taken(activator):
    elsewhere = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    elsewhere.bind(str(activator.dir / "other.sock"))
    elsewhere.listen(1)
    activator.store[0] = ("agents", elsewhere.fileno())
    before = inodes(activator)
    activator.start()
    assert "a descriptor named 'agents' was handed to us: closed" in activator.log()
    after = inodes(activator)
    assert after[0] != before[0] and after[1] == before[1], "the one that was not handed over is made"
    activator.run(one_mark(1))
    wait_for(lambda: marks(activator.events()) == [1], "events by the socket that was made")


@pytest.mark.parametrize("handed", [False, True], ids=["made", "handed"])
def test_removed_under_the_daemon(tmp_path, activator, handed):
    if handed:
        server = activator.start()
    else:
        (tmp_path / "own").mkdir()
        server = Daemon(tmp_path / "own", NO_EXEC, MARKS).start()
    try:
        program = puppet(server, SYSTEM.path)
        for name in ("agent.sock", "control.sock"):
            (server.dir / name).unlink()
        wait_for(lambda: all((server.dir / name).exists() for name in ("agent.sock", "control.sock")), "both anew")
        wait_for(server.answers, "the new control socket")
        assert [stat.S_IMODE(os.stat(str(server.dir / name)).st_mode) for name in ("agent.sock", "control.sock")] == [0o666, 0o666]
        assert "agent.sock was gone, and is made anew" in server.log()
        server.run(one_mark(1))
        say(program, "audit(1, 2)")
        hear(program, "None")
        say(program, "deny()")
        hear(program, DENIED)
        wait_for(lambda: set(marks(server.events())) == {1, 2}, "the new program and the one that was there")
        assert len(of_kind(server.events(), "alert")) == 1 and lost_of(server.events()) == 0
        program.stdin.close()
        program.wait(timeout=20 * PATIENCE)
    finally:
        server.stop()
    assert not (server.dir / "agent.sock").exists(), "what the daemon made goes with it"


def test_systemd_socket_activate(tmp_path):
    """The real thing: the first program that comes starts the daemon."""
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("systemd-socket-activate is not installed")
    if b"libsystemd" not in subprocess.run(["ldd", str(DAEMON)], stdout=subprocess.PIPE).stdout:
        pytest.skip("built without libsystemd")
    server = Daemon(tmp_path, NO_EXEC, MARKS)
    environment = [word for name, value in clean_env(PYAUDIT_DIR=server.dir).items() for word in ("-E", "%s=%s" % (name, value))
                   if name.endswith("_OPTIONS") or name == "PYAUDIT_DIR"]
    with open(str(server.log_path), "ab") as log:
        server.process = subprocess.Popen(
            [activate, "--seqpacket", "--listen", str(server.dir / "agent.sock"), "--fdname", "agents"] + environment +
            [str(DAEMON), "--config", str(server.config_path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for((server.dir / "agent.sock").exists, "the socket")
        before = os.stat(str(server.dir / "agent.sock")).st_ino
        assert not (server.dir / "control.sock").exists(), "no daemon yet"
        server.run(one_mark(1))
        wait_for((server.dir / "control.sock").exists, "the daemon")
        wait_for(server.answers, "its answer")
        server.run(one_mark(2))
        wait_for(lambda: 2 in marks(server.events()), "the event of a program")
        assert os.stat(str(server.dir / "agent.sock")).st_ino == before
    finally:
        server.stop()
