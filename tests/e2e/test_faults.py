# SPDX-License-Identifier: Apache-2.0
"""What the daemon is given by the kernel and by malloc fails once, here and there, in a short life: it starts, a program
is refused an act and goes on, settings are read again, it ends. Whatever fails: it ends with a message or goes on; it never
crashes; it does not lose the alert without a word; and the program is as it would be.

PYAUDIT_FAULTS  all: every system call and every allocation, five minutes and more (default: a selection)
"""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUILD, DAEMON, MARKS, SANITIZED, Daemon, clean_env, rule

EVERY = os.environ.get("PYAUDIT_FAULTS") == "all"
RULES = [rule("no-exec", "os.system"), MARKS]
CONFIG = "max_agents = 1000"  # without a word on descriptors
MALLOC = BUILD / "tests/libfail-malloc.so"

# What a call fails with. Not here: those that cannot fail in a way that is of use (exit, munmap, brk), and those of
# locks, which end a process of any kind.
ERRORS = {
    "accept4": "EMFILE", "bind": "EADDRINUSE", "chmod": "EPERM", "clone3": "EAGAIN", "close": "EIO", "connect": "ECONNREFUSED",
    "epoll_create1": "EMFILE", "epoll_ctl": "ENOMEM", "epoll_wait": "EINTR", "eventfd2": "EMFILE", "fchmod": "EPERM",
    "fcntl": "EINVAL", "flock": "EWOULDBLOCK", "fstat": "EIO", "fsync": "EIO", "ftruncate": "ENOSPC", "getdents64": "EIO",
    "getrandom": "EAGAIN", "getsockopt": "ENOBUFS", "kill": "ESRCH", "link": "EEXIST", "listen": "EADDRINUSE", "lseek": "EIO",
    "memfd_create": "EMFILE", "mkdir": "EACCES", "mmap": "ENOMEM", "mprotect": "ENOMEM", "newfstatat": "EACCES", "openat": "EMFILE",
    "pidfd_open": "EMFILE", "pread64": "EIO", "process_vm_readv": "EPERM", "read": "EIO", "readlink": "EACCES",
    "recvmsg": "ENOBUFS", "rename": "EACCES", "renameat": "EACCES", "sendmsg": "ENOBUFS", "sendto": "ENOBUFS",
    "setsockopt": "ENOMEM", "socket": "EMFILE", "socketpair": "EMFILE", "statfs": "EIO", "statx": "EIO", "uname": "EFAULT",
    "unlink": "EACCES", "unlinkat": "EACCES", "write": "ENOSPC", "writev": "ENOSPC",
}

PROGRAM = """
import os, sys, time
for i in range(20):
    sys.audit('webbrowser.open', 'mark-%d' % i)
try:
    os.system('true')
    print('done')
except PermissionError:
    print('refused')
sys.stdout.flush()
time.sleep(float(sys.argv[1]))
"""


class Failing(Daemon):
    """A daemon that is started by other words, or with more in its environment."""
    words, more = (), {}

    def start(self):
        with open(str(self.log_path), "wb") as log:
            self.process = subprocess.Popen(list(self.words) + [str(DAEMON), "--config", str(self.config_path)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=clean_env(PYAUDIT_DIR=self.dir, **self.more))
        return self

    def is_up(self):
        """Whether it came to answer; else it has ended."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            try:
                with self.control(seconds=5) as control:
                    if control.ask(request="status"):
                        return True
            except (OSError, ValueError):
                assert time.monotonic() < deadline, "it neither answers nor ends: " + self.log()
                time.sleep(0.01)
        return False

    def end(self):
        for _ in range(2):  # libevent's handler writes to a socket, and a write that fails is a signal that did not come
            if self.process.poll() is None:
                self.process.terminate()
            try:
                return self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        return None


def told(server):
    """The alert, or what was lost, or why: from the file of events and the log."""
    events = server.events_path.read_text(errors="replace") if server.events_path.exists() else ""
    return '"no-exec"' in events or '"loss"' in events or re.search(r"(?m)^pyauditd: (error|warning|notice): .*", server.log())


def live(server):
    """One life. Returns what was wrong with it, or None."""
    server.start()
    up = server.is_up()
    policy = (server.dir / "policy").exists()
    program = server.run(["/usr/bin/python3", "-I", "-c", PROGRAM, "0.05" if up else "0"])
    said = program.stdout.decode().strip()
    if program.returncode != 0 or program.stderr or said not in ("refused", "done"):
        return "the program: %r" % program
    if up and policy and said != "refused":
        return "the act was not refused"
    if up and server.process.poll() is None:
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 5
        while not told(server) and server.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    asked = server.process.poll() is None
    code = server.end()
    if code is None:
        return "did not end within 20 s of SIGTERM"
    if code < 0:
        return "ended by signal %d" % -code
    if (code > 0 or not asked) and not server.log().strip():
        return "ended with %d and no word" % code
    if not asked and code == 0:
        return "ended by itself as if all were well"
    if up and not told(server):
        return "the alert is not told, and nothing is said of it"
    return None


def wrong_with(folder, words=(), **more):
    """What was wrong with the life of a daemon that is started so, and the end of its log; or None. Nothing stays."""
    folder.mkdir()
    server = Failing(folder, *RULES, config=CONFIG)
    server.words, server.more = words, more
    try:
        found = live(server)
    finally:
        server.process.kill()
        server.process.wait()
    log = server.log()[-500:]
    shutil.rmtree(str(folder))
    return "%s\n%s" % (found, log) if found else None


def calls_of(log):
    """Names of the calls a life makes, and how many of each come before our own code reads its settings."""
    before, counts, ours = {}, {}, False
    for line in log.splitlines():
        match = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if not match:
            continue
        ours = ours or (match.group(1) == "openat" and "pyauditd.conf" in line)
        counts[match.group(1)] = counts.get(match.group(1), 0) + 1
        if not ours:
            before[match.group(1)] = counts[match.group(1)]
    return {name: (before.get(name, 0), counts[name]) for name in counts if counts[name] > before.get(name, 0)}


def strace(log, *options):
    # Its tracer is a grandchild, so that the daemon is ours to wait for.
    return ["strace", "-D", "-f", "-qq", "-s", "200", "-o", str(log), *options]


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("calls")
    server = Failing(folder, *RULES, config=CONFIG)
    server.words = strace(folder / "log")
    assert live(server) is None, server.log()
    found = calls_of((folder / "log").read_text(errors="replace"))
    assert {"openat", "accept4", "recvmsg", "epoll_wait", "memfd_create", "writev"} <= set(found), found
    return found


@pytest.mark.skipif(bool(SANITIZED), reason="a tracer keeps the leak sanitizer from its work")
def test_a_system_call_fails(calls, tmp_path):
    wrong = []
    n = 0
    for name, (before, count) in sorted(calls.items()):
        if name not in ERRORS:
            continue
        ours = range(before + 1, count + 1)
        # The first, the last, and one between; all of them if there is time.
        for at in ours if EVERY else sorted({ours[0], ours[-1], ours[len(ours) // 2]}):
            n += 1
            found = wrong_with(tmp_path / ("%s-%d" % (name, at)), strace(
                "/dev/null", "-e", "trace=" + name, "-e", "inject=%s:error=%s:when=%d" % (name, ERRORS[name], at)))
            if found:
                wrong.append("%s, number %d of %d (%s): %s" % (name, at, count, ERRORS[name], found))
    print("%d calls of %d kinds failed" % (n, len(set(calls) & set(ERRORS))))
    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif(bool(SANITIZED), reason="sanitizers have an allocator of their own")
def test_an_allocation_fails(tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    server = Failing(folder, *RULES, config=CONFIG)
    server.more = {"LD_PRELOAD": str(MALLOC), "FAIL_MALLOC_COUNT": str(folder / "count")}
    assert live(server) is None, server.log()
    count = int((folder / "count").read_text())
    assert count > 500
    wrong = []
    for at in range(1, count + 1, 1 if EVERY else count // 40):
        found = wrong_with(tmp_path / str(at), LD_PRELOAD=str(MALLOC), FAIL_MALLOC_AT=str(at))
        if found:
            wrong.append("allocation %d of %d: %s" % (at, count, found))
    assert not wrong, "\n".join(wrong)
