# SPDX-License-Identifier: Apache-2.0
"""A service manager that keeps descriptors (FDSTORE): the daemon killed and started again goes on with the
agents it had, and reads to their end those that ended meanwhile."""
import array
import os
import select
import signal
import socket
import subprocess
import sys
import threading

import pytest

from conftest import DAEMON, MARKS, NO_EXEC, PATIENCE, SYSTEM, Daemon, clean_env, hear, lost_of, of_kind, say, wait_for
from test_resilience import DENIED, marks, puppet

# Puts its descriptors where sd_listen_fds(3) says, and becomes the daemon.
LAUNCHER = """
import fcntl, os, sys
kept = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 500) for fd in sys.argv[1].split(',') if fd]
for i, fd in enumerate(kept):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ['LISTEN_PID'] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager(Daemon):
    """A daemon under a small service manager."""
    killed = True

    def __init__(self, folder, *rules, **options):
        super().__init__(folder, *rules, **options)
        self.store, self.lock = [], threading.Lock()
        self.seen, self.removed = set(), set()  # names
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            select.select([self.socket], [], [])
            with self.lock:
                self.take()

    def take(self):
        """All that was sent so far. Under the lock."""
        while True:
            try:
                text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(16 * 4), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data[:len(data) - len(data) % 4])
            lines = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            name = lines.get("FDNAME")
            if lines.get("FDSTORE"):
                assert lines.get("FDPOLL") == "0"
                self.store += [(name, fd) for fd in fds]
                self.seen.add(name)
            elif lines.get("FDSTOREREMOVE"):
                self.removed.add(name)
                for held in [held for held in self.store if held[0] == name]:
                    os.close(held[1])
                    self.store.remove(held)

    def names(self):
        with self.lock:
            return {name for name, _ in self.store}

    def start(self):
        with self.lock:
            self.take()  # as systemd does: what a service said counts before its end
            store = list(reversed(self.store))  # the order is nobody's promise
        with open(str(self.log_path), "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, ",".join(str(fd) for _, fd in store), str(DAEMON),
                 "--config", str(self.config_path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[fd for _, fd in store],
                env=clean_env(PYAUDIT_DIR=self.dir, NOTIFY_SOCKET=self.path, LISTEN_FDS=len(store),
                              LISTEN_FDNAMES=":".join(name for name, _ in store)))
        wait_for(self.answers, "the daemon to answer\n" + self.log())
        return self


@pytest.fixture
def manager(tmp_path):
    if b"libsystemd" not in subprocess.run(["ldd", str(DAEMON)], stdout=subprocess.PIPE).stdout:
        pytest.skip("built without libsystemd")
    made = Manager(tmp_path, NO_EXEC, MARKS)
    yield made.start()
    made.stop()


def finish(program):
    program.stdin.close()
    assert program.wait(timeout=30 * PATIENCE) == 0


def test_killed_and_started_again(manager):
    """What ended while no daemon was there, and what goes on without having noticed."""
    stays, ends = puppet(manager, SYSTEM.path), puppet(manager, SYSTEM.path)
    wait_for(lambda: len(manager.names()) == 2, "both to be kept")
    for n in range(5):
        manager.signal(signal.SIGKILL)
        say(stays, "audit(100, %d)" % (n * 100))
        hear(stays, "None")
        if n == 2:
            say(ends, "audit(100, 10000)")
            hear(ends, "None")
            say(ends, "deny()")
            hear(ends, DENIED)
            finish(ends)
        manager.start()
        # Nothing has made the programs look: they are there at once.
        assert stays.pid in [p["pid"] for p in manager.status()["processes"]]
        if n == 2:  # a program that has ended is out of the store as soon as it is read
            manager.drain()
    wait_for(lambda: len(manager.names()) == 1, "the other one to be taken out of the store")
    events = manager.events()
    assert sorted(set(marks(events))) == list(range(500)) + list(range(10000, 10100))
    assert lost_of(events) == 0
    alerts = of_kind(events, "alert", pid=ends.pid)
    # Judged by rules of the daemon before, as it is told by this one.
    assert alerts and alerts[0]["rule"] == "no-exec" and alerts[0]["action"] == "block" and alerts[0]["exe"] == os.path.realpath(SYSTEM.path)
    assert len(of_kind(events, "process", event="process.exit", pid=ends.pid)) == 1
    assert not of_kind(events, "process", event="process.again")
    finish(stays)
    wait_for(lambda: not manager.names(), "nothing to be left in the store")


def test_stopped_and_started_again(manager):
    program = puppet(manager, SYSTEM.path)
    manager.signal(signal.SIGTERM)
    assert manager.process.wait(timeout=20 * PATIENCE) == 0
    assert len(manager.names()) == 1
    say(program, "audit(200, 0)")
    hear(program, "None")
    manager.start()
    assert manager.status()["agents"] == 1
    events = manager.events()
    assert sorted(set(marks(events))) == list(range(200)) and lost_of(events) == 0
    say(program, "audit(50, 200)")
    hear(program, "None")
    wait_for(lambda: set(range(250)) <= set(marks(manager.events())), "what came after")
    finish(program)


def test_a_manager_that_does_not_look(manager):
    """Nobody waits for it, and it is told everything afterwards, in its order."""
    with manager.lock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        other.connect(manager.path)
        with pytest.raises(BlockingIOError):
            while True:
                other.send(b"STATUS=full")
        ends, stays = puppet(manager, SYSTEM.path), puppet(manager, SYSTEM.path)
        say(ends, "audit(100, 0)")
        hear(ends, "None")
        finish(ends)
        wait_for(lambda: of_kind(manager.events(), "process", event="process.exit", pid=ends.pid), "its end to be told")
        assert manager.request("reload")["ok"]
        with pytest.raises(BlockingIOError):
            other.send(b"STATUS=full")
    wait_for(lambda: len(manager.seen) == 2 and len(manager.removed) == 1, "the one that stays to be kept, and no other")
    manager.signal(signal.SIGKILL)
    manager.start()
    assert [p["pid"] for p in manager.status()["processes"]] == [stays.pid]
    finish(stays)


def test_another_minor_version(manager):
    """An agent of another minor version, with more in its hello: it survives the exchange of the daemon."""
    strings = b"3.99\0/usr/bin/other\0/\0\0\0other\0"
    hello = (os.getpid().to_bytes(4, "little") + bytes(12) + bytes(16) + bytes([1, 1]) + (1).to_bytes(2, "little") +
             len(strings).to_bytes(4, "little") + strings + b"9.9\0and more")
    agent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    agent.connect(str(manager.dir / "agent.sock"))
    agent.send(b"PA" + bytes([1, 200]) + (1).to_bytes(2, "little") + bytes(2) + len(hello).to_bytes(4, "little") + hello)
    wait_for(lambda: len(manager.names()) == 1, "it to be kept")
    manager.signal(signal.SIGKILL)
    manager.start()
    assert [p["pid"] for p in manager.status()["processes"]] == [os.getpid()]
    agent.send(b"PA" + bytes([1, 200]) + (4).to_bytes(2, "little") + bytes(2) + (8).to_bytes(4, "little") +
               (7).to_bytes(8, "little"))
    wait_for(lambda: lost_of(manager.events()) == 7, "the loss that it tells")
    agent.close()


def test_what_is_no_session_is_turned_down(manager):
    read, write = os.pipe()
    wrong = os.memfd_create("wrong")
    os.write(wrong, b"PYDS" + bytes(200))
    with manager.lock:
        manager.store += [("agent-7", read), ("agent-7", wrong), ("something", write), ("agent-8", os.dup(write)),
                          ("agent-99999999999999999999", os.dup(wrong))]
    manager.signal(signal.SIGKILL)
    manager.start()
    assert manager.status()["agents"] == 0
    assert "a descriptor named 'something' was handed to us" in manager.log()
    assert "a session of the daemon before is given up" in manager.log()
    wait_for(lambda: not manager.names(), "them to be taken out")
    program = puppet(manager, SYSTEM.path)
    finish(program)
