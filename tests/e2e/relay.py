# SPDX-License-Identifier: Apache-2.0
"""Run by test_service.py where /run is its own: pyaudit-journal between a socket and a journald of our making."""
import atexit
import fcntl
import os
import pathlib
import socket
import subprocess
import sys
import time

IN, JOURNAL = "/run/in", "/run/systemd/journal/socket"
NAMED = b"SYSLOG_IDENTIFIER=pyauditd\n"


def datagram_at(path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(path)
    listening.settimeout(20)
    return listening


def start(program, listening):
    """As the service manager starts it: the socket is descriptor 3."""
    def hand_over():
        os.dup2(os.dup(listening.fileno()), 3)
    helper = subprocess.Popen(["/bin/sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"', program], close_fds=False,
                              preexec_fn=hand_over, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    atexit.register(helper.kill)
    return helper


def sealed(content, seals):
    fd = os.memfd_create("entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, 1033, seals)  # F_ADD_SEALS
    return fd


def converse(sender, listening, helper):
    first = NAMED + b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"
    sender.send(first)
    time.sleep(0.5)  # it has met no journald by now
    journal = datagram_at(JOURNAL)
    assert journal.recv(65536) == first, "an entry waits for journald"
    journal.close()
    os.unlink(JOURNAL)
    sender.send(first)
    time.sleep(0.3)
    helper.terminate()
    said = helper.communicate(timeout=20)[1].decode()
    assert helper.returncode == 0 and said.count("cannot reach journald") == 2 and "there again" in said, said
    journal = datagram_at(JOURNAL)
    helper = start(sys.argv[1], listening)
    assert journal.recv(65536) == first, "and for the helper, told to end while journald is away"

    for foreign in (NAMED + b"COREDUMP_UNIT=x\n", b"SYSLOG_IDENTIFIER=sshd\nMESSAGE=x\n", b"\0" * 100):
        sender.send(foreign)
    large = NAMED + b"".join(b"PYAUDIT_%d=" % i + b"x" * 40000 + b"\n" for i in range(30))
    for content, seals in ((large, 0), (large + b"UNIT=x\n", 15), (large, 15)):
        fd = sealed(content, seals)
        socket.send_fds(sender, [b""], [fd])
        os.close(fd)
    got, fds, _, _ = socket.recv_fds(journal, 65536, 1)
    assert got == b"" and os.pread(fds[0], len(large) + 1, 0) == large, "a large one by its file, and nothing before it"
    sender.send(NAMED)
    assert journal.recv(65536) == NAMED
    helper.terminate()
    return helper.communicate(timeout=20)[1].decode()


def main():
    listening = datagram_at(IN)
    helper = start(sys.argv[1], listening)
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.connect(IN)
    said = converse(sender, listening, helper)
    assert said.count("was refused") == 5, said


main()
