# SPDX-License-Identifier: Apache-2.0
"""top: counts that add up, for scripts; on a terminal a screen that fits it, and that is given back."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import CTL, MARK, MARKS, NO_EXEC, PATIENCE, clean_env, wait_for

BUSY = """
import os, sys, time
print('here', flush=True)
sys.stdin.readline()
for i in range(100):
    sys.audit('%s', 'x')
for i in range(3):
    try: os.system('true')
    except PermissionError: pass
print('done', flush=True)
sys.stdin.read()
""" % MARK


def ctl(*words, code=0):
    done = subprocess.run([str(CTL), "top"] + [str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=clean_env(), timeout=60 * PATIENCE)
    assert done.returncode == code, done
    return done.stdout.decode() + done.stderr.decode()


def busy(server, python, script):
    script.write_text(BUSY)
    program = server.spawn([python, script])
    assert program.stdout.readline() == b"here\n"
    return program


def go(program):
    program.stdin.write(b"go\n")
    program.stdin.flush()
    assert program.stdout.readline() == b"done\n"


def test_json_adds_up(daemon, system_python, tmp_path):
    server = daemon(NO_EXEC, MARKS)
    program = busy(server, system_python, tmp_path / "busy.py")
    top = subprocess.Popen([str(CTL), "top", "--json", "--interval", "200ms", "--dir", str(server.dir)], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    first = json.loads(top.stdout.readline().decode())
    assert (first["events"], first["by_process"]) == (0, [])
    go(program)
    lines = []
    while sum(line["events"] for line in lines) < 103 and len(lines) < 50 * PATIENCE:
        lines.append(json.loads(top.stdout.readline().decode()))
    top.terminate()
    top.communicate()
    assert sum(line["events"] for line in lines) == 103
    assert sum(line["alerts"] for line in lines) == sum(line["denied"] for line in lines) == 3
    last = [line for line in lines if line["events"]][-1]
    totals = {}
    for line in lines:
        for key in ("by_process", "by_event", "by_rule"):
            for row in line[key]:
                totals[key, row["name"]] = row["total"]
    assert totals == {("by_process", str(tmp_path / "busy.py")): 103, ("by_event", MARK): 100, ("by_event", "os.system"): 3,
                      ("by_rule", "marks"): 100, ("by_rule", "no-exec"): 3}
    assert last["by_process"][0]["pid"] == program.pid and 0.1 < last["seconds"] < 5 * PATIENCE


def test_once_as_text_with_a_filter(daemon, system_python, tmp_path):
    server = daemon(NO_EXEC, MARKS)
    program = busy(server, system_python, tmp_path / "busy\x1b[31m.py")
    top = subprocess.Popen([str(CTL), "top", "--once", "--interval", "1500ms", "--dir", str(server.dir), "action = block"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    wait_for(lambda: server.status()["clients"] == 1, "top to follow")
    go(program)
    out, errors = top.communicate(timeout=30 * PATIENCE)
    text = out.decode()
    assert (top.returncode, errors) == (0, b"") and "\x1b" not in text
    assert re.search(r"^ +\d+\.\d +\d+\.\d +3  %d .*busy\\x1b\[31m\.py$" % program.pid, text, re.M), text
    assert re.search(r"^ .* 3  no-exec$", text, re.M) and MARK not in text


@pytest.mark.parametrize("words,why", [
    ((), "this is no terminal"), (("--once", "--interval", "50ms"), "not between"), (("--once", "--interval", "2h"), "not between"),
    (("--once", "a", "b"), "quote the filter"), (("--wrong",), "unknown option"),
])
def test_usage(words, why):
    assert why in ctl(*words, code=2)


def test_mistakes_in_the_filter_and_no_daemon(daemon, tmp_path):
    server = daemon(MARKS)
    assert "nonsense" in ctl("--once", "--dir", server.dir, "nonsense = 1", code=2)
    assert "no daemon" in ctl("--once", "--dir", tmp_path, code=1)


def test_it_ends_with_the_daemon(daemon):
    server = daemon(MARKS)
    top = subprocess.Popen([str(CTL), "top", "--json", "--dir", str(server.dir)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env=clean_env())
    top.stdout.readline()
    server.request("stop")
    _, errors = top.communicate(timeout=20 * PATIENCE)
    assert top.returncode == 1 and b"the daemon has gone" in errors


class Terminal:
    def __init__(self, words, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([str(w) for w in words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env=clean_env(TERM="xterm"))
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, condition, what, seconds=10):
        deadline = time.monotonic() + seconds * PATIENCE
        while not condition(self.seen):
            if time.monotonic() > deadline:
                pytest.fail("waited for %s: %r" % (what, self.seen[-2000:]))
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    made = []

    def make(*words, **options):
        made.append(Terminal(words, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def frames(seen):
    """The lines of each screen, without what colours them."""
    return [[re.sub(r"\x1b\[[0-9;]*[mKJ]", "", line) for line in frame.split("\r\n")]
            for frame in seen.decode("utf-8", "replace").split("\x1b[H")[1:]]


def test_on_a_terminal(daemon, system_python, tmp_path, terminal):
    server = daemon(NO_EXEC, MARKS)
    program = busy(server, system_python, tmp_path / ("busy%s.py" % ("x" * 100)))
    screen = terminal(CTL, "top", "--interval", "200ms", "--dir", server.dir, rows=20, columns=70)
    screen.until(lambda seen: b"\x1b[?1049h" in seen and b"RULE" in seen, "the first screen")
    go(program)
    screen.until(lambda seen: b"no-exec" in seen and MARK.encode() in seen, "the counts")
    for frame in frames(screen.seen)[:-1]:
        assert len(frame) <= 20 and all(len(line) <= 70 for line in frame), frame
    # Made larger, the next screen fits the new size.
    screen.resize(40, 150)
    os.kill(screen.process.pid, signal.SIGWINCH)
    screen.until(lambda seen: [f for f in frames(seen) if any(len(line) > 70 for line in f)], "a wider screen")
    os.write(screen.master, b"q")
    screen.until(lambda seen: seen.endswith(b"\x1b[?25h\x1b[?1049l"), "its screen back")
    assert screen.process.wait(timeout=10 * PATIENCE) == 0
    assert termios.tcgetattr(screen.slave) == screen.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_give_the_terminal_back(daemon, terminal, number):
    server = daemon(MARKS)
    screen = terminal(CTL, "top", "--dir", server.dir)
    screen.until(lambda seen: b"RULE" in seen, "the screen")
    os.kill(screen.process.pid, number)
    screen.until(lambda seen: seen.endswith(b"\x1b[?25h\x1b[?1049l"), "its screen back")
    assert screen.process.wait(timeout=10 * PATIENCE) == 0
    assert termios.tcgetattr(screen.slave) == screen.before
