# SPDX-License-Identifier: Apache-2.0
"""pyauditctl as a command: usage errors, exit codes, signals, terminals, what it shows. Its daemon is one
that says what a test wants, so that this is about pyauditctl alone."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time

import pytest

from conftest import AGENT, BUILD, CTL, PATIENCE, clean_env, wait_for

PYTHON = "/usr/bin/python3"

# In the place of sbin/pyauditd. The file that FAKE_PLAN names says what it does.
FAKE = """#!/usr/bin/python3 -IS
import json, os, signal, socket, sys, threading, time
argv, plan = sys.argv[1:], json.load(open(os.environ["FAKE_PLAN"]))
if "report" in plan:
    with open(plan["report"], "w") as report:
        json.dump({"argv": argv, "pid": os.getpid(), "session": os.getsid(0), "env": dict(os.environ),
                   "fds": sorted(os.listdir("/proc/self/fd"), key=int), "mask": [
                       l.split()[1] for l in open("/proc/self/status") if l.startswith("SigBlk")][0],
                   "links": [os.readlink("/proc/self/fd/%d" % fd) for fd in (0, 1)]}, report)
sys.stderr.write(plan.get("say", ""))
sys.stderr.flush()
if "exit" in plan:
    sys.exit(plan["exit"])
if plan.get("hang"):
    time.sleep(3600)
option = lambda name: argv[argv.index(name) + 1]
directory = option("--dir")
listener = socket.socket(socket.AF_UNIX)
listener.bind(directory + "/control.sock")
listener.listen(10)
os.write(int(option("--ready-fd")), b"READY\\n")
def parent():
    os.read(int(option("--parent-fd")), 1)
    if "gone" in plan:
        open(plan["gone"], "w").close()
    os._exit(plan.get("last", 0))
threading.Thread(target=parent, daemon=True).start()
tails, asked, shown = [], threading.Event(), threading.Event()
def send(connection, *lines):
    for line in lines:
        text = line if isinstance(line, str) else json.dumps(line, separators=(",", ":"))
        connection.sendall(text.encode("utf-8", "surrogateescape") + b"\\n")
def serve(connection):
    request = json.loads(connection.makefile("rb").readline())
    status = {"kind": "status", "ok": True}
    if request["request"] == "tail":
        asked.set()
        tails.append(connection)
        try:
            send(connection, status, *plan.get("events", []))
        except OSError:
            tails.remove(connection)
        shown.set()
        if "die" in plan:
            time.sleep(plan["die"])
            os.kill(os.getpid(), signal.SIGKILL)
        return
    if plan.get("deaf"):
        tails.append(connection)
        return
    if asked.is_set():
        shown.wait()
    for tail in tails:
        send(tail, *plan.get("late", []))
        tail.shutdown(socket.SHUT_RDWR)
    send(connection, dict(status, **plan.get("status", {})))
    os._exit(plan.get("last", 0))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
STATUS = {"events": 37, "alerts": 1, "denials": 1, "lost": 0}
SUMMARY = "pyaudit: 37 events, 1 alert, 1 denied, 0 lost, 2 processes\n"
START = {"schema_version": 1, "kind": "process", "time": "2026-11-22T14:02:10.000000000Z", "seq": 1, "event": "process.start",
         "pid": 4711, "exe": "/usr/bin/python3", "script": "/srv/app.py", "argv": ["python3", "/srv/app.py\n"],
         "message": "process.start 4711 python3 /srv/app.py"}
EVENT = {"schema_version": 1, "kind": "event", "time": "2026-11-22T14:02:11.123456789Z", "seq": 1, "event": "os.listdir",
         "layer": "audit", "args": ["/tmp", 3, None, True, {"object": "PosixPath"}], "pid": 4711, "script": "/srv/app.py",
         "exe": "/usr/bin/python3", "caller": {"file": "/srv/app.py", "line": 12, "function": "main", "module": "__main__"}}
ALERT = dict(EVENT, kind="alert", event="os.system", args=["id"], action="block", rule="no-shell", rules=["no-shell"],
             severity="critical", message="a worker started id")


class Tree:
    """An installation with a daemon of ours."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("bin", "sbin", "share/pyaudit/rules.d", "tmp"):
            (folder / name).mkdir(parents=True)
        self.ctl = folder / "bin/pyauditctl"
        shutil.copy(str(CTL), str(self.ctl))
        tree = pathlib.Path(os.environ.get("PYAUDIT_AGENT_FROM") or BUILD).resolve()
        self.agent = folder / AGENT.relative_to(tree)
        self.agent.parent.mkdir(parents=True)
        shutil.copy(str(AGENT), str(self.agent))
        (folder / "sbin/pyauditd").write_text(FAKE)
        (folder / "sbin/pyauditd").chmod(0o755)

    def env(self, plan=None, **more):
        env = clean_env(**more)
        env.pop("PYAUDIT_AGENT", None)
        env.pop("XDG_RUNTIME_DIR", None)
        env["TMPDIR"] = more.get("TMPDIR") or str(self.folder / "tmp")
        env["FAKE_PLAN"] = str(self.folder / "plan")
        (self.folder / "plan").write_text(
            json.dumps(dict({"status": STATUS, "report": str(self.folder / "report")}, **(plan or {}))))
        if "LD_PRELOAD" in more:
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return env

    def report(self):
        return json.loads((self.folder / "report").read_text())

    def start(self, *arguments, plan=None, env=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen([str(self.ctl)] + [str(a) for a in arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.env(plan, **(env or {})), **options)

    def run(self, *arguments, **options):
        return outcome(self.start(*arguments, **options))

    def left(self):
        return os.listdir(str(self.folder / "tmp"))


class Outcome:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return "exit status %d\n--- stdout\n%s\n--- stderr\n%s" % (self.code, self.out, self.err)


def outcome(process, seconds=30):
    try:
        out, err = process.communicate(timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail("pyauditctl hangs: %r %r" % (out, err))
    done = Outcome(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    assert "Sanitizer" not in done.err and "runtime error" not in done.err, done
    return done


@pytest.fixture
def tree(tmp_path):
    made = Tree(tmp_path / "installed")
    yield made
    assert made.left() == [], "a runtime directory was left behind"


def ctl(*arguments, **env):
    return outcome(subprocess.Popen([str(CTL)] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(**env)))


# Usage

@pytest.mark.parametrize("arguments, said", [
    ((), "Usage: pyauditctl"),
    (("rnu",), "unknown command 'rnu', did you mean 'run'?"),
    (("stauts",), "did you mean 'status'?"),
    (("xyzzy",), "pyauditctl: unknown command 'xyzzy'\n"),
    (("help", "tial"), "did you mean 'tail'?"),
    (("--bogus",), "unknown option '--bogus'"),
    (("run",), "pyauditctl run: no command given\nTry 'pyauditctl run --help'.\n"),
    (("run", "--"), "no command given"),
    (("run", "--bogus", "true"), "unknown option '--bogus'"),
    (("run", "--rules"), "option '--rules' needs a value"),
    (("run", "--record", "exec,netwrok", "true"), "unknown class 'netwrok', did you mean 'network'?"),
    (("run", "--record", "", "true"), "unknown class ''"),
    (("tail", "severity", ">=", "warning"), "quote the filter"),
    (("tail", "--since", "yesterday"), "'yesterday' is no time"),
    (("tail", "--since", "99999999999999999999s"), "is no time"),
    (("status", "extra"), "unexpected argument 'extra'"),
    (("status", "--dir"), "option '--dir' needs a value"),
    (("reload", "--json"), "unknown option '--json'"),
])
def test_usage_errors_end_with_2(arguments, said):
    done = ctl(*arguments)
    assert done.code == 2 and said in done.err and done.out == "", done


@pytest.mark.parametrize("command", ["run", "tail", "status", "reload", "rules", "rules check", "rules test", "rules list",
                                     "rules show", "rules explain", "rules schema", "capture", "replay", "learn"])
def test_help_has_examples(command):
    done = ctl(*command.split() + ["--help"])
    assert done.code == 0 and done.err == "" and done.out.startswith("Usage: pyauditctl " + command), done
    assert max(map(len, done.out.splitlines())) <= 100
    if command != "rules":  # its commands have their own
        assert "Examples:" in done.out and "Exit status:" in done.out, done
    if " " not in command:
        assert ctl("help", command).out == done.out


def test_help_and_version():
    done = ctl("--help")
    assert done.code == 0 and done.out.startswith("Usage: pyauditctl "), done
    for command in ("run", "tail", "status", "reload", "rules"):
        assert re.search(r"^  %s +\S" % command, done.out, re.M), done
    assert re.fullmatch(r"pyauditctl \d+\.\d+\.\d+\n", ctl("--version").out)


def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(CTL), "--help"], stdout=full, stderr=subprocess.PIPE, env=clean_env())
    assert done.returncode == 1 and b"No space left" in done.stderr


# run: the command is as without us

def test_status_output_and_input_are_the_commands(tree):
    done = outcome_of_input(tree, b"abc", "run", "--quiet", "--", PYTHON, "-c",
                            "import sys; print(sys.stdin.read()); sys.stderr.write('err'); sys.exit(7)")
    assert (done.code, done.out, done.err) == (7, "abc\n", "err"), done


def outcome_of_input(tree, text, *arguments):
    process = tree.start(*arguments, stdin=subprocess.PIPE)
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    return outcome(process)


def test_daemon_gets_the_options_and_nothing_of_ours(tree, tmp_path):
    out = tmp_path / "a file.ndjson"
    out.write_text("old")
    rules = tmp_path / "a b.json"
    rules.touch()
    done = tree.run("run", "--rules", rules, "--rules", "/dev", "--no-default-rules", "--observe", "--record",
                    "exec,file", "--json", out, "true", "--rules", env={"NOTIFY_SOCKET": "/run/notify"})
    assert done.code == 0, done
    report = tree.report()
    directory = report["argv"][3]
    assert report["argv"] == ["--config", "/dev/null", "--dir", directory, "--rules", str(rules), "--rules", "/dev",
                              "--no-default-rules", "--observe", "--record", "exec,file", "--no-journal", "--log-level", "warning", "--ndjson", str(out),
                              "--ready-fd", "3", "--parent-fd", "4"]
    assert directory.startswith(str(tree.folder / "tmp/pyaudit-"))
    assert report["session"] == report["pid"]
    assert report["links"] == ["/dev/null", "/dev/null"]
    assert [int(fd) for fd in report["fds"] if int(fd) < 6] == [0, 1, 2, 3, 4, 5]  # 5 reads the list
    assert "NOTIFY_SOCKET" not in report["env"] and int(report["mask"], 16) == 0
    assert out.read_text() == "" and out.stat().st_mode & 0o777 == 0o644, "emptied, not replaced"


def test_private_directory_and_new_event_file(tree, tmp_path):
    out = tmp_path / "events"
    done = tree.run("run", "--json", out, "--", "sh", "-c", 'stat -c %a "$PYAUDIT_DIR"')
    assert done.out == "700\n", done
    assert out.stat().st_mode & 0o777 == 0o600


def test_environment_of_the_command(tree):
    code = "import os; print(os.environ['LD_PRELOAD'], os.environ['PYAUDIT_DIR'], 'PYAUDIT_DISABLE' in os.environ)"
    done = tree.run("run", "--quiet", PYTHON, "-c", code, env={"PYAUDIT_DISABLE": "1", "PYAUDIT_DIR": "/elsewhere",
                    "LD_PRELOAD": "%s:libm.so.6 libdl.so.2" % tree.agent})
    preload, directory, disabled = done.out.split()
    assert preload == "%s:libm.so.6:libdl.so.2" % tree.agent
    assert directory == tree.report()["argv"][3] and disabled == "False"


def test_descriptors_mask_and_dispositions_are_handed_on(tree):
    code = ("import os\nfds = []\nfor fd in range(100):\n    try: os.fstat(fd); fds.append(fd)\n    except OSError: pass\n"
            "lines = dict(l.split(':\\t') for l in open('/proc/self/status') if l.startswith('Sig'))\n"
            "print(fds, lines['SigBlk'].strip(), lines['SigIgn'].strip())")
    read, write = os.pipe()

    def prepare():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGUSR1])
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def seen(words):
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=tree.env(), pass_fds=[read, write], preexec_fn=prepare)
        return outcome(process).out

    plain = seen([PYTHON, "-I", "-S", "-c", code])
    assert str(write) in plain
    assert seen([str(tree.ctl), "run", "--quiet", PYTHON, "-I", "-S", "-c", code]) == plain


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_closed_standard_descriptors(tree, closed):
    code = ("import os, sys\nopen_ = []\nfor fd in (0, 1, 2):\n    try: os.fstat(fd); open_.append(fd)\n"
            "    except OSError: pass\nopen(sys.argv[1], 'w').write(repr(open_))")
    seen = tree.folder / "seen"
    shell = " ".join("%d>&-" % fd for fd in closed)
    done = subprocess.run(["sh", "-c", 'exec "$@" ' + shell, "sh", str(tree.ctl), "run", "--", PYTHON, "-I", "-S", "-c",
                           code, str(seen)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=tree.env({"events": [EVENT]}), timeout=30 * PATIENCE)
    assert done.returncode == 0, done
    assert json.loads(seen.read_text()) == [fd for fd in (0, 1, 2) if fd not in closed]


def test_paths_with_blanks(tmp_path):
    tree = Tree(tmp_path / "an install: with $ORIGIN")
    done = tree.run("run", "--quiet", PYTHON, "-c", "import os; print(os.environ['LD_PRELOAD'])")
    assert done.code == 0 and done.err == "", done
    assert re.fullmatch(r"/tmp/pyaudit-\w{6}/libpyaudit-agent.so\n", done.out), done
    assert not os.path.exists(os.path.dirname(done.out.strip()))


def test_long_temporary_directory(tree):
    long = tree.folder / ("x" * 100)
    long.mkdir()
    done = tree.run("run", "--quiet", "true", env={"TMPDIR": str(long)})
    assert done.code == 0 and os.listdir(str(long)) == [], done


# run: exit codes

def test_command_not_found(tree):
    done = tree.run("run", "no-such-command-here")
    assert done.code == 127 and done.err == "pyauditctl: no-such-command-here: command not found\n", done
    closed = tree.folder / "closed"  # a folder in PATH that may not be searched is no reason
    closed.mkdir(mode=0)
    done = tree.run("run", "no-such-command-here", env={"PATH": "%s:/usr/bin:/bin" % closed})
    assert done.code == 127, done
    done = tree.run("run", "./no-such-file")
    assert done.code == 127 and done.err == "pyauditctl: ./no-such-file: no such file\n", done


def test_command_not_executable(tree, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    done = tree.run("run", plain)
    assert done.code == 126 and "cannot execute: Permission denied" in done.err, done
    done = tree.run("run", tmp_path)
    assert done.code == 126, done
    plain.write_text("#!/no/such/interpreter\n")
    plain.chmod(0o755)
    done = tree.run("run", plain)
    assert done.code == 127 and "its interpreter is not there" in done.err, done


def test_mistakes_in_rules(tree, tmp_path):
    say = "bad.json:3:9: unknown field 'prot', did you mean 'proto'?\nbad.json:4:1: \x1b]0;\x07\n"
    ran = tmp_path / "ran"
    done = tree.run("run", "--rules", "/dev/null", "touch", ran, plan={"say": say, "exit": 1})
    assert done.code == 2 and not ran.exists(), done
    assert done.err == say.replace("\x1b", "\\x1b").replace("\x07", "\\x07") + "pyauditctl: the command was not run\n"


def test_rules_that_cannot_be_read(tree, tmp_path):
    ran = tmp_path / "ran"
    done = tree.run("run", "--rules", "/dev/null", "--rules", "no-such.json", "touch", ran)
    assert done.code == 2 and not ran.exists(), done
    assert done.err == "pyauditctl: cannot read the rules 'no-such.json': No such file or directory\n", done


def test_monitor_that_does_not_start(tree, tmp_path):
    ran = tmp_path / "ran"
    done = tree.run("run", "touch", ran, plan={"say": "out of luck\n", "exit": 2})
    assert done.code == 125 and done.err.startswith("out of luck\n") and not ran.exists(), done
    (tree.folder / "sbin/pyauditd").unlink()
    done = tree.run("run", "touch", ran)
    assert done.code == 125 and "cannot run " + str(tree.folder / "sbin/pyauditd") in done.err and not ran.exists(), done
    tree.agent.unlink()
    done = tree.run("run", "touch", ran)
    assert done.code == 125 and "cannot read the agent" in done.err and not ran.exists(), done


def test_json_that_cannot_be_written(tree, tmp_path):
    ran = tmp_path / "ran"
    done = tree.run("run", "--json", "/no/such/folder/x", "touch", ran)
    assert done.code == 125 and "cannot write to '/no/such/folder/x': No such file" in done.err and not ran.exists(), done
    done = tree.run("run", "--json", tmp_path, "touch", ran)
    assert done.code == 125 and not ran.exists(), done
    process = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", str(tree.ctl), "run", "--json", "-", "touch", str(ran)],
                             stderr=subprocess.PIPE, env=tree.env(), timeout=30 * PATIENCE)
    assert process.returncode == 125 and b"standard output is closed" in process.stderr and not ran.exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGABRT", "SIGINT"])
def test_signal_that_ends_the_command(tree, name):
    number = getattr(signal, name)
    done = tree.run("run", "--quiet", "sh", "-c", "kill -%d $$" % number)
    assert done.code == 128 + number and done.err == "", done


# run: signals

LISTENER = """
import os, signal, sys, time
got = []
def note(number, frame):
    print(signal.Signals(number).name, flush=True)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), note)
print('ready', os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""


def listen(tree, *names, **options):
    process = tree.start("run", "--quiet", PYTHON, "-u", "-c", LISTENER, *names, **options)
    ready, pid = process.stdout.readline().split()
    assert ready == b"ready"
    return process, int(pid)


def test_signals_are_passed_on(tree):
    names = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGQUIT", "SIGWINCH", "SIGCONT", "SIGTTIN", "SIGTTOU"]
    process, _ = listen(tree, *names)
    for name in names:
        process.send_signal(getattr(signal, name))
        assert process.stdout.readline().decode().strip() == name
    os.kill(_, signal.SIGKILL)
    assert outcome(process).code == 128 + 9


def test_sigterm_ends_the_command_and_all_is_cleaned_up(tree):
    process, _ = listen(tree)
    process.send_signal(signal.SIGTERM)
    assert outcome(process).code == 128 + 15


def test_killed_without_a_chance(tree, tmp_path):
    gone = tmp_path / "gone"
    process, pid = listen(tree, plan={"gone": str(gone)})
    process.kill()
    wait_for(gone.exists, "the daemon to notice")
    assert process.wait() == -9
    os.kill(pid, signal.SIGKILL)
    process.communicate()
    for name in tree.left():  # nobody was left to do it
        shutil.rmtree(str(tree.folder / "tmp" / name))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted_before_the_command_runs(tree, tmp_path, name):
    ran = tmp_path / "ran"
    process = tree.start("run", "touch", ran, plan={"hang": True})
    wait_for((tree.folder / "report").exists, "the daemon to start")
    process.send_signal(getattr(signal, name))
    assert outcome(process).code == 128 + getattr(signal, name) and not ran.exists()


def test_no_daemon_is_left(tree):
    tree.run("run", "true")
    with pytest.raises(ProcessLookupError):
        os.kill(tree.report()["pid"], 0)


def test_children_that_live_on_are_not_waited_for(tree):
    begun = time.monotonic()
    done = tree.run("run", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!", plan={"events": [EVENT]})
    assert done.code == 0 and time.monotonic() - begun < 20
    os.kill(int(done.out), signal.SIGKILL)


def test_timeout_costs_no_events(no_exec):
    """timeout(1) signals us and then our whole group: the second one comes while the monitor ends."""
    timeout = shutil.which("timeout")
    if timeout is None:
        pytest.skip("timeout is not installed")
    for _ in range(3):
        process = subprocess.Popen([timeout, str(0.5 * PATIENCE), str(CTL), "run", "--rules", no_exec, PYTHON, "-I", "-c",
                                    "import time; time.sleep(60)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=clean_env())
        done = outcome(process)
        assert done.code == 124 and done.err.endswith("1 process\n"), done


# run: terminals

class Terminal:
    """A session of its own with a terminal that a test looks at."""

    def __init__(self, words, env, size=(24, 80)):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, size[0].to_bytes(2, sys.byteorder) + size[1].to_bytes(2, sys.byteorder)
                        + bytes(4))
            os.execve(words[0], words, env)
        self.text = ""

    def read(self, seconds=0.1):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                got = os.read(self.fd, 65536)
            except OSError:
                return False
            if not got:
                return False
            self.text += got.decode("utf-8", "replace")
        return True

    def wait(self, text):
        def there():
            self.read(0.05)
            return text in self.text
        wait_for(there, "%r on the terminal" % text, 20)

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        while self.read():
            pass
        os.close(self.fd)
        return os.waitpid(self.pid, 0)[1]


def test_interrupt_from_the_terminal_reaches_the_command_once(tree):
    terminal = Terminal([str(tree.ctl), "run", "--quiet", PYTHON, "-u", "-c", LISTENER, "SIGINT", "SIGQUIT"], tree.env())
    terminal.wait("ready")
    terminal.type("\x03")
    terminal.wait("SIGINT")
    terminal.type("\x1c")
    terminal.wait("SIGQUIT")
    terminal.read(0.3)
    assert terminal.text.count("SIGINT") == 1 and terminal.text.count("SIGQUIT") == 1, terminal.text
    os.kill(int(re.search(r"ready (\d+)", terminal.text).group(1)), signal.SIGKILL)
    assert os.WEXITSTATUS(terminal.end()) == 128 + 9


def test_stop_and_go_on_under_a_shell(tree):
    """^Z, `fg`, and a command that stops itself."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    env = tree.env(None, PS1="$ ", TERM="dumb")
    terminal = Terminal([bash, "--norc", "--noprofile", "-i"], env)
    terminal.wait("$ ")
    terminal.type("'%s' run --quiet %s -u -c \"import time\nfor i in range(1000): print('tick', i); time.sleep(.05)\"\n"
                  % (tree.ctl, PYTHON))
    terminal.wait("tick 3")
    terminal.type("\x1a")
    terminal.wait("Stopped")
    terminal.type("echo re''sumed; fg\n")
    terminal.wait("resumed")
    terminal.text = terminal.text[terminal.text.index("resumed"):]
    terminal.wait("tick")
    terminal.type("\x03")
    terminal.wait("KeyboardInterrupt")
    terminal.text = ""
    terminal.type("'%s' run --quiet sh -c 'kill -STOP $$; echo went on'; echo st''atus $?\n" % tree.ctl)
    terminal.wait("Stopped")
    terminal.type("fg; echo st''atus $?\n")
    terminal.wait("went on")
    terminal.wait("status 0")
    terminal.type("exit\n")
    terminal.end()


def test_colours_and_width_on_a_terminal_only(tree):
    long = dict(EVENT, args=["x" * 300])
    deep = dict(EVENT, caller={"file": "/usr/lib/python3/dist-packages/very/deep/down/module.py", "line": 3, "function": "f"})
    plan = {"events": [long, deep, dict(ALERT, args=["y" * 300])]}
    words = [str(tree.ctl), "run", "--", "sleep", "0.3"]
    terminal = Terminal(words, tree.env(plan, TERM="xterm", TZ="UTC"), (24, 100))
    terminal.end()
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in terminal.text.splitlines()]
    assert "\x1b[31m" in terminal.text, terminal.text
    assert [line for line in lines if line.startswith("14:02:11.123 event os.listdir(\"xxx") and "..." in line
            and line.endswith("at /srv/app.py:12 main [app.py 4711]") and len(line) <= 100], lines
    assert [line for line in lines if line.endswith("at .../very/deep/down/module.py:3 f [app.py 4711]")], lines
    assert "y" * 300 in terminal.text, "an alert is not cut"
    terminal = Terminal(words, tree.env(plan, TERM="xterm", NO_COLOR="1"))
    terminal.end()
    assert "\x1b" not in terminal.text
    assert "x" * 300 in tree.run(*words[1:], plan=plan).err


def test_line_ends_in_raw_mode(tree):
    words = [str(tree.ctl), "run", "--", PYTHON, "-c", "import tty; tty.setraw(0)"]
    terminal = Terminal(words, tree.env({"late": [EVENT]}))
    terminal.end()
    assert "event os.listdir" in terminal.text and re.search(r"main \[app.py 4711\]\r\n", terminal.text), terminal.text


# run: what is shown

def test_events_and_summary(tree):
    done = tree.run("run", "sh", "-c", "sleep 0.2; echo out", env={"TZ": "UTC"},
                    plan={"events": [START, EVENT, ALERT, dict(START, event="process.exit"), dict(START, pid=7, argv=[]),
                                     dict(START, event="process.start")],
                          "late": [{"schema_version": 1, "kind": "status", "event": "daemon.stop", "message": "stopped"},
                                   dict(EVENT, time="2026-11-22T14:02:12.000000000Z")]})
    act = 'os.listdir("/tmp", 3, None, True, <PosixPath>) at /srv/app.py:12 main [app.py 4711]\n'
    assert done.out == "out\n"
    start = "14:02:10.000 start python3 /srv/app.py\\n [app.py 4711]\n"
    assert done.err == (
        start + "14:02:11.123 event " + act +
        '14:02:11.123 BLOCK critical no-shell os.system("id") at /srv/app.py:12 main [app.py 4711]: a worker started id\n'
        "14:02:10.000 start process.start 4711 python3 /srv/app.py [app.py 7]\n" + start +
        "14:02:12.000 event " + act + SUMMARY), done


def test_quiet_shows_nothing(tree):
    done = tree.run("run", "--quiet", "sh", "-c", "echo out; echo err >&2", plan={"events": [EVENT, ALERT]})
    assert (done.code, done.out, done.err) == (0, "out\n", "err\n"), done


def test_json_on_standard_output(tree):
    lines = [json.dumps(EVENT), json.dumps(ALERT, separators=(",", ":")), '{"kind":"status","x":"\\u0000"}']
    done = tree.run("run", "--json", "-", "true", plan={"events": lines[:2], "late": ["nonsense", lines[2]]})
    assert done.out == "".join(line + "\n" for line in lines), done
    assert done.err.startswith("pyaudit: 37 events") and "no Python program was seen" in done.err, done


def test_json_into_a_pipe(tree, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(str(pipe))
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    done = tree.run("run", "--json", pipe, "true", plan={"events": [EVENT]})
    reader.join(20 * PATIENCE)
    assert [json.loads(text) for text in got] == [EVENT] and "--ndjson" not in tree.report()["argv"], done


def test_reader_of_json_goes_away(tree):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen([str(tree.ctl), "run", "--quiet", "--json", "-", "sh", "-c", "sleep 0.3; exit 5"],
                               stdout=write, stderr=subprocess.PIPE, env=tree.env({"events": [EVENT] * 1000}))
    os.close(write)
    _, err = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 5 and err == b"", err


def test_monitor_dies(tree):
    done = tree.run("run", "sh", "-c", "sleep 0.6; exit 3", plan={"events": [EVENT], "die": 0.1})
    assert done.code == 3 and "event os.listdir" in done.err, done
    assert re.search(r"^pyaudit: the monitor died of signal 9 \(Killed\); policy stayed in force; "
                     r"events after \d\d:\d\d:\d\d\.\d\d\d are missing\n\Z", done.err, re.M), done


def test_monitor_that_ends_badly_says_why(tree):
    done = tree.run("run", "sh", "-c", "exit 3", plan={"say": "disk full\n", "last": 1})
    assert done.code == 3 and "disk full\n" in done.err and "ended badly; events may be missing" in done.err, done


def test_impatient_end(tree):
    process = tree.start("run", "echo", "done", plan={"deaf": True})
    assert process.stdout.readline() == b"done\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    done = outcome(process)
    assert done.code == 0 and done.err == "pyaudit: interrupted; events may be missing\n", done


# What the monitored say

HOSTILE = {
    "\x1b[2J": "\\x1b[2J", "\x07": "\\x07", "\x7f": "\\x7f", "\x9b31m": "\\u009b31m", "a\nb": "a\\nb", "a\r\tb": "a\\r\\tb",
    "\u202eabc\u2066\u2069\u2028": "\\u202eabc\\u2066\\u2069\\u2028", "\u200b\ufeff\u00ad": "\\u200b\\ufeff\\u00ad",
    "back\\slash": "back\\\\slash", "a\x00b": "a\u2400b", "caf\u00e9 \u65e5\u672c \U0001f40d": "caf\u00e9 \u65e5\u672c \U0001f40d",
    "\U000e0041": "\\U000e0041", "\ufffe": "\\ufffe",
}


def test_hostile_text_is_escaped_everywhere(tree):
    for hostile, shown in HOSTILE.items():
        event = dict(ALERT, time=hostile, event=hostile, args=[hostile, [hostile], {"object": hostile}, {"code": hostile}],
                     rule=hostile, rules=[hostile], severity=hostile, message=hostile, script=hostile,
                     caller={"file": hostile, "line": 1, "function": hostile})
        process = dict(kind="process", time=hostile, event="process.start", pid=1, exe=hostile, argv=[hostile, hostile])
        loss = dict(kind="loss", time=hostile, message=hostile)
        done = tree.run("run", "true", plan={"events": [event, dict(event, kind="event"), process, loss]})
        assert len(done.err.splitlines()) == 5, done
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", done.err), done
        assert done.err.count(shown) >= 20, (shown, done)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x9b1m",
                                 b"\xf0\x80\x80\x80"])
def test_invalid_utf8_is_escaped_by_the_byte(tree, raw):
    line = '{"kind":"event","event":"x","args":["a%sz"]}' % raw.decode("utf-8", "surrogateescape")
    done = tree.run("run", "true", plan={"events": [line]})
    shown = "".join("\\x%02x" % byte if byte > 127 else chr(byte) for byte in raw)
    assert '"a%sz"' % shown in done.err, done


@pytest.mark.parametrize("event, shown", [
    (dict(ALERT, action="alert", message=""), " ALERT critical no-shell os.system("),
    (dict(ALERT, action="alert", observed=True), " (observed only: would have been blocked): a worker"),
    (dict(ALERT, rules=["no-shell", "b", "c"]), " critical no-shell,b,c os.system"),
    (dict(ALERT, message="os.system denied by rule no-shell at x:1"), "[app.py 4711]\n"),
    (dict(ALERT, layer="libc", event="execve"), " libc:execve("),
    (dict(EVENT, args=['a"b', {"text": "abc", "length": 9000}, {"code": "<string>"}, [1, "x"], -5, 1.5, 1e300]),
     '("a\\"b", "abc"... of 9000 bytes, <code <string>>, [1, "x"], -5, 1.5, 1.0000000000000001e+300)'),
    (dict(EVENT, script="-c"), " [python3 4711]\n"),
    (dict(EVENT, script="-m pip"), " [python3 -m pip 4711]\n"),
    (dict(EVENT, caller=None, pid=None), "<PosixPath>)\n"),
    ({"kind": "loss", "lost": 12, "cause": "ring-full", "message": "12 events of process 7 lost: its ring was full"},
     " LOST  12 events of process 7 lost: its ring was full\n"),
    ({"kind": "loss", "lost": 12}, " LOST  12 events are missing here\n"),
    ({"kind": "event", "time": 7, "event": [], "args": "x", "caller": [], "rule": {}}, " event ?()\n"),
])
def test_rendering(tree, event, shown):
    done = tree.run("run", "true", plan={"events": [event]})
    assert shown in done.err, done


def test_deep_and_long_lines(tree):
    deep = '{"kind":"event","event":"x","args":%s}' % ("[" * 900 + "]" * 900)
    big = dict(EVENT, args=["x" * 2000000])
    done = tree.run("run", "true", plan={"events": [deep, "{", "[]", '"kind"', big]})
    assert done.code == 0 and len(done.err.splitlines()) == 4 and "x" * 2000000 in done.err


# tail, status, reload: a control server

class Server:
    """Answers each connection by what `answers` gives for its request: lines, then it closes (or waits)."""

    def __init__(self, folder, answers):
        self.dir, self.answers, self.requests, self.connections = folder, answers, [], []
        self.open()

    def open(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.dir / "control.sock"))
        self.listener.listen(5)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            line = connection.makefile("rb").readline()
            if not line:
                continue
            self.requests.append(json.loads(line.decode()))
            stay = True
            for answer in self.answers(self.requests[-1]):
                stay = answer is not None
                if stay:
                    connection.sendall((answer if isinstance(answer, str) else json.dumps(answer)).encode() + b"\n")
            if not stay:
                connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        os.unlink(str(self.dir / "control.sock"))
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections = []


@pytest.fixture
def server(tmp_path):
    made = []

    def make(*lines, answers=None):
        made.append(Server(tmp_path, answers or (lambda request: lines)))
        return made[-1]

    yield make
    for one in made:
        if os.path.exists(str(one.dir / "control.sock")):
            one.close()


OK = {"kind": "status", "ok": True}


def test_no_daemon(tmp_path):
    for command in ("tail", "status", "reload"):
        done = ctl(command, "--dir", tmp_path)
        assert done.code == 1 and done.out == "", done
        assert done.err == "pyauditctl: no daemon at %s/control.sock: is pyauditd running?\n" % tmp_path, done
    done = ctl("status", "--dir", "/" + "x" * 200)
    assert done.code == 1 and "too long" in done.err


def test_no_permission(tmp_path, server):
    if os.geteuid() == 0:
        pytest.skip("root may connect to everything")
    server(OK)
    (tmp_path / "control.sock").chmod(0)
    done = ctl("status", "--dir", tmp_path)
    assert done.code == 1 and "may not use" in done.err and "sudo" in done.err, done


@pytest.mark.parametrize("answer", [["nonsense", None], ["[]", None], ["{}", None], [None]])
def test_what_is_no_daemon(tmp_path, server, answer):
    server(*answer)
    done = ctl("status", PYAUDIT_DIR=tmp_path)
    assert done.code == 1 and re.search("does not speak|hung up", done.err), done


def test_status(tmp_path, server):
    status = dict(OK, version="0.1.0", pid=7, uptime_s=3700, generation=3, rules=14, observe=False, agents=2, events=1000,
                  alerts=5, denials=2, lost=1, clients=1, rules_files=["/etc/pyaudit/rules.d/10\x1b.rules"], processes=[
                      {"pid": 4711, "uid": 33, "exe": "/usr/bin/python3", "script": "/srv/app.py", "unit": "app.service",
                       "generation": 3, "events": 900, "denials": 2, "lost": 0, "since": "2026-11-22T14:00:00.000000000Z"},
                      {"pid": 4712, "uid": 0, "exe": "/usr/bin/python3\n", "script": None, "unit": None,
                       "generation": 3, "events": 100, "denials": 0, "lost": 1, "since": "2026-11-22T14:00:00.000000000Z"}])
    one = server(status, None)
    done = ctl("status", PYAUDIT_DIR=tmp_path, TZ="UTC")
    assert done.code == 0 and one.requests == [{"request": "status"}], done
    assert "pyauditd 0.1.0, process 7, up 1h 1min\n" in done.out
    assert "rules      14, generation 3\n" in done.out and "/etc/pyaudit/rules.d/10\\x1b.rules\n" in done.out
    assert "events     1000, 5 alerts, 2 denied, 1 lost\n" in done.out
    assert "   4711    33  14:00:00.000      900        2        0  app.service  /srv/app.py\n" in done.out, done
    assert "             /usr/bin/python3\\n\n" in done.out, done
    assert json.loads(ctl("status", "--json", "--dir", tmp_path).out) == status


def test_reload(tmp_path, server):
    one = server(dict(OK, generation=4), None)
    done = ctl("reload", "--dir", tmp_path)
    assert (done.code, done.out) == (0, "rules of generation 4 are in force\n"), done
    one.answers = lambda request: [dict(OK, ok=False, error="those in force stay", mistakes=["a.json:1:2: x\x1b", "b.json:3:4: y"]),
                                   None]
    done = ctl("reload", "--dir", tmp_path)
    assert done.code == 1 and done.err == ("a.json:1:2: x\\x1b\nb.json:3:4: y\n"
                                           "pyauditctl: the daemon says: those in force stay\n"), done


def test_tail(tmp_path, server):
    one = server(OK, EVENT, ALERT, None)
    done = ctl("tail", "--no-reconnect", "severity >= warning", PYAUDIT_DIR=tmp_path, TZ="UTC")
    assert one.requests == [{"request": "tail", "filter": "severity >= warning"}]
    assert done.code == 0 and done.out.startswith('14:02:11.123 event os.listdir("/tmp", 3'), done
    assert len(done.out.splitlines()) == 2 and done.err == ""
    done = ctl("tail", "--no-reconnect", "--json", PYAUDIT_DIR=tmp_path)
    assert done.out == json.dumps(EVENT) + "\n" + json.dumps(ALERT) + "\n"


@pytest.mark.parametrize("since, sent", [
    ("2026-11-22T14:00:00Z", "2026-11-22T14:00:00.000000000Z"),
    ("2026-11-22T14:00:00.25Z", "2026-11-22T14:00:00.250000000Z"),
    ("2026-11-22 14:00", "2026-11-22T12:00:00.000000000Z"),
    ("2026-11-22T14:00:30", "2026-11-22T12:00:30.000000000Z"),
    ("2026-11-22", "2026-11-21T22:00:00.000000000Z"),
    ("00:00", None), ("12:30:15", None), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400),
])
def test_tail_since(tmp_path, server, since, sent):
    one = server(OK, None)
    begun = time.time()
    done = ctl("tail", "--no-reconnect", "--since", since, PYAUDIT_DIR=tmp_path, TZ="UTC-2")
    assert done.code == 0, done
    asked = one.requests[0]["since"]
    if isinstance(sent, str):
        assert asked == sent
    else:
        import calendar
        seconds = calendar.timegm(time.strptime(asked[:19], "%Y-%m-%dT%H:%M:%S"))
        if sent is not None:
            assert abs(begun - sent - seconds) < 5
        else:
            assert time.strftime("%H:%M:%S", time.gmtime(seconds + 7200)).startswith(since)
            assert abs(begun - seconds) < 2 * 86400


def test_tail_with_a_wrong_filter(tmp_path, server):
    said = "unknown field 'severty', did you mean 'severity'?"
    server(dict(OK, ok=False, error=said, mistakes=["filter:1:1: " + said]), None)
    done = ctl("tail", "severty >= warning", PYAUDIT_DIR=tmp_path)
    assert done.code == 2 and done.err == "filter:1:1: " + said + "\n", done


def start_tail(tmp_path, *arguments, **options):
    return subprocess.Popen([str(CTL), "tail", "--json"] + list(arguments), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(PYAUDIT_DIR=tmp_path), **options)


def test_tail_comes_back(tmp_path, server):
    one = server(OK, EVENT)
    process = start_tail(tmp_path)
    assert json.loads(process.stdout.readline().decode()) == EVENT
    begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    one.close()
    assert process.stderr.readline() == b"pyauditctl: the daemon has gone; waiting for it to come back\n"
    one.open()
    assert process.stderr.readline() == b"pyauditctl: connected again\n"
    assert json.loads(process.stdout.readline().decode()) == EVENT
    assert one.requests[0] == {"request": "tail"} and begun <= one.requests[1]["since"] < begun[:11] + "99"
    process.send_signal(signal.SIGINT)
    assert process.wait(10 * PATIENCE) == -signal.SIGINT
    process.communicate()


def test_tail_ends_with_its_reader(tmp_path, server):
    server(OK)  # and no event that would show it the broken pipe
    process = start_tail(tmp_path)
    process.stdout.close()
    process.stdout = None
    assert process.wait(10 * PATIENCE) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


# run with the real daemon

# pyauditctl under an agent, when it is built with a sanitizer that wants to be loaded first.
INSIDE = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

NO_EXEC = {"version": 1, "rules": [{"id": "no-exec", "title": "No programs", "on": ["@exec"], "action": "block",
                                    "severity": "critical"}]}


@pytest.fixture
def no_exec(tmp_path):
    path = tmp_path / "no-exec.json"
    path.write_text(json.dumps(NO_EXEC))
    return str(path)


def test_run_shows_what_happens(no_exec, tmp_path):
    done = ctl("run", "--rules", no_exec, PYTHON, "-I", "-c", "import os; os.system('id')", TMPDIR=tmp_path)
    assert done.code == 1 and done.out == "" and "PermissionError: [Errno 1] pyauditd: rule 'no-exec' denied" in done.err, done
    assert re.search(r"^\S+ start /usr/bin/python3 -I -c import os; os.system\('id'\) \[python\S+ \d+\]$", done.err, re.M), done
    assert re.search(r'^\S+ BLOCK critical no-exec os.system\("id"\) at <string>:1 <module> \[python\S+ \d+\]$', done.err, re.M)
    # From 3.14 on, showing a traceback is events of its own.
    n_events = "1 event" if sys.version_info < (3, 14) else r"\d+ events"
    assert re.search("pyaudit: %s, 1 alert, 1 denied, 0 lost, 1 process\n$" % n_events, done.err), done
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith("pyaudit-")]


def test_observe_says_so(no_exec):
    done = ctl("run", "--observe", "--rules", no_exec, PYTHON, "-I", "-c", "import os; os.system('echo ran')")
    assert (done.code, done.out) == (0, "ran\n") and "(observed only: would have been blocked)" in done.err, done
    assert "1 alert, 0 denied" in done.err, done


def test_nested(no_exec):
    code = "import os\ntry: os.system('echo ran')\nexcept PermissionError: print('denied')"
    inner = [CTL, "run", "--quiet", "--no-default-rules", "--rules", no_exec, PYTHON, "-I", "-c", code]
    done = ctl("run", "--no-default-rules", PYTHON, "-I", "-c", "import subprocess, sys; sys.exit(subprocess.call(%r))"
               % [str(word) for word in inner], **INSIDE)
    assert (done.code, done.out) == (0, "denied\n") and "subprocess.Popen(" in done.err, done


def test_commands_inside_find_the_private_daemon(no_exec):
    script = '"$0" status && "$0" reload && exec %s -I -c "import os; print(os.environ[\'PYAUDIT_DIR\'])"' % PYTHON
    done = ctl("run", "--quiet", "--rules", no_exec, "sh", "-c", script, CTL, **INSIDE)
    assert done.code == 0 and done.err == "", done
    assert "no-exec.json\n" in done.out and "are in force\n" in done.out, done


def test_settings_of_private_daemons_are_their_own(no_exec):
    """Two at a time, each with its own rules."""
    code = "import os, time\ntime.sleep(0.5)\ntry: print(os.system('true'))\nexcept PermissionError: print('denied')"
    both = [subprocess.Popen([str(CTL), "run", "--quiet", "--no-default-rules"] + rules + [PYTHON, "-I", "-c", code],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
            for rules in ([], ["--rules", no_exec])]
    assert [outcome(one).out for one in both] == ["0\n", "denied\n"]


def test_mistakes_in_real_rules(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"version": 1, "rules": [\n {"id": "x", "title": "x", "on": ["@exce"], "action": "blok"}\n]}')
    done = ctl("run", "--rules", bad, "touch", tmp_path / "ran")
    assert done.code == 2 and not (tmp_path / "ran").exists(), done
    assert "bad.json:2:" in done.err and "@exec" in done.err and "block" in done.err, done


# Completion

@pytest.mark.parametrize("words, expected", [
    ("r", "reload replay report resume rules run"), ("run --re", "--record"), ("run --record exec,fi", "exec,file"), ("run --rules con", "conftest.py"),
    ("run --quiet -- dirnam", "dirname"), ("run --json x conftest.py test_cl", "test_cli.py"), ("tail --si", "--since"),
    ("rules ch", "check"), ("rules check --j", "--json"), ("status --dir ", None), ("help re", "reload replay report resume"), ("report --by tech", "technique"), ("rules ex", "explain"), ("rules test --c", "--coverage"),
    ("ena", "enable"), ("enable --mo", "--mode"), ("enable --mode o", "observe"), ("disable --a", "--all"), ("activate --d", "--dry-run"),
])
def test_completion_for_bash(words, expected):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    here = pathlib.Path(__file__).resolve().parent
    script = ('compopt() { :; }; . "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pyauditctl;'
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run([bash, "--norc", "-c", script, "bash", str(here.parents[1] / "packaging/completion/pyauditctl.bash"),
                           "pyauditctl"] + words.split(" "), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=str(here),
                          env=clean_env())
    assert done.stderr == b""
    if expected is not None:
        assert sorted(set(done.stdout.decode().split())) == expected.split()
