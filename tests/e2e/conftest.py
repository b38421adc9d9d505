# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: the build under test, the interpreters, rule files, `pyauditctl run`, a
daemon of one's own, waits with a deadline, and the record of what ran.

PYAUDIT_BUILD         build tree (default: build/release)
PYAUDIT_AGENT_FROM    another build tree, whose agent is used in place of that tree's own
PYAUDIT_INTERPRETERS  paths joined by ':', or all (default), few (oldest, newest, the system's), one
PYAUDIT_EVERY         set: what takes long runs under each interpreter as well, not under few
PYAUDIT_SANITIZE      sanitizers the programs were built with; time limits grow
"""
import collections
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PYAUDIT_BUILD") or ROOT / "build/release").resolve()
CTL = BUILD / "bin/pyauditctl"
DAEMON = BUILD / "sbin/pyauditd"
SANITIZED = os.environ.get("PYAUDIT_SANITIZE", "")
PATIENCE = 5 if SANITIZED else 1

# A shell's background job has them ignored, and so would what it starts: programs that wait for their KeyboardInterrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def find_agent():
    tree = pathlib.Path(os.environ.get("PYAUDIT_AGENT_FROM") or BUILD)
    for found in sorted(tree.glob("lib*/**/libpyaudit-agent.so")):
        return found
    return tree / "lib/pyaudit/libpyaudit-agent.so"


AGENT = find_agent()


# Interpreters

class Interpreter(collections.namedtuple("Interpreter", "path version tag")):
    def __str__(self):
        return self.path


def is_script(path):
    """A version manager's shim: slow to run, and what it leads to is found where the manager keeps it."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def find_interpreters():
    asked = os.environ.get("PYAUDIT_INTERPRETERS") or "all"
    paths = ["/usr/bin/python3"]
    if asked not in ("all", "few", "one"):
        paths = asked.split(":")
    elif asked != "one":
        for folder in os.environ.get("PATH", "").split(":"):
            paths += sorted(p for p in glob.glob(folder + "/python3.*")
                            if re.search(r"/python3\.\d+t?$", p) and not is_script(p))
        for kept in (".pyenv/versions/3.*", ".asdf/installs/python/3.*", ".local/share/uv/python/cpython-3.*",
                     ".local/share/mise/installs/python/3.*"):
            paths += sorted(glob.glob(os.path.expanduser("~/%s/bin/python3" % kept)))
    found, seen = [], set()
    for path in paths:
        try:
            done = subprocess.run(
                [path, "-I", "-c", "import os, sys; print(sys.implementation.name, "
                 "'%d.%d.%d' % sys.version_info[:3], os.path.realpath(sys.executable), "
                 "getattr(sys, 'abiflags', ''), sep='|')"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20 * PATIENCE)
            name, version, real, flags = done.stdout.decode().strip().split("|")
        except (OSError, ValueError, subprocess.TimeoutExpired):
            continue
        number = tuple(map(int, version.split(".")))
        if name != "cpython" or number < (3, 8) or real in seen:
            continue
        seen.add(real)
        tag = version + ("t" if "t" in flags else "")
        if tag in [other.tag for other in found]:
            tag += "@" + real
        found.append(Interpreter(path if path == "/usr/bin/python3" else real, number, tag))
    return few_of(found) if asked == "few" else found


def few_of(found):
    """The system's, the oldest and the newest."""
    if len(found) <= 3:
        return found
    by_age = sorted(found, key=lambda i: i.version)
    return [found[0]] + [i for i in (by_age[0], by_age[-1]) if i != found[0]]


INTERPRETERS = find_interpreters()
FEW = INTERPRETERS if os.environ.get("PYAUDIT_EVERY") else few_of(INTERPRETERS)
SYSTEM = INTERPRETERS[0] if INTERPRETERS else None
# Files that would take minutes of CI under each interpreter.
LONG = ("test_native", "test_processes", "test_programs", "test_resilience", "test_tamper", "test_values")


def pytest_generate_tests(metafunc):
    if "python_few" in metafunc.fixturenames:  # for what takes long
        metafunc.parametrize("python_few", FEW, ids=lambda i: i.tag)
    if "python" in metafunc.fixturenames:
        found = FEW if metafunc.module.__name__ in LONG else INTERPRETERS
        metafunc.parametrize("python", found, ids=lambda i: i.tag)


@pytest.fixture
def system_python():
    """One interpreter, for what is not about interpreters."""
    return SYSTEM


# A journal of the test's own

JOURNALD = "/lib/systemd/systemd-journald"


def mounts_for_journald():
    """The command that gives a program mounts of its own, where a journald can be had for itself; or skips."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]
    for program in ("unshare", "journalctl", "mount"):
        if not shutil.which(program):
            pytest.skip("%s is not installed" % program)
    if not os.path.exists(JOURNALD):
        pytest.skip("systemd-journald is not installed")
    if subprocess.run(unshare + ["mount", "-t", "tmpfs", "tmpfs", "/mnt"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mount name spaces may not be made here (not root, and no user name spaces)")
    return unshare


# What happened, for the summary of tests/run.sh and the table at the end

OUTCOMES = {}


def pytest_sessionstart(session):
    missing = [str(p) for p in (CTL, DAEMON, AGENT) if not p.exists()]
    if missing:
        raise pytest.UsageError("not built: " + ", ".join(missing) + " (PYAUDIT_BUILD=%s)" % BUILD)


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        reason = getattr(report, "wasxfail", "").replace("reason: ", "")
        if not reason and report.outcome == "skipped" and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2]
            if reason.startswith("Skipped: "):
                reason = reason[len("Skipped: "):]
        before = OUTCOMES.get(report.nodeid)
        if before is None or before[0] != "failed":
            OUTCOMES[report.nodeid] = (report.outcome, reason)


def pytest_sessionfinish(session):
    # One file of results for each file of tests that was collected whole by CTest.
    names = sorted({node.split("::")[0] for node in OUTCOMES})
    folder = BUILD / "tests/report"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            stem = re.sub(r"^test_|\.py$", "", os.path.basename(name))
            with open(str(folder / (stem + ".tsv")), "w", encoding="utf-8") as file:
                for node, (outcome, reason) in OUTCOMES.items():
                    if node.startswith(name):
                        file.write("%s\t%s\t%s\n" % (outcome, node.split("::", 1)[1],
                                                     " ".join(reason.split())))
    except OSError as error:
        print("no report: %s" % error, file=sys.stderr)


def pytest_terminal_summary(terminalreporter):
    """Interpreter by group: how many of each passed, failed and were skipped."""
    table = {}
    for node, (outcome, _) in OUTCOMES.items():
        function, _, parameters = node.split("::", 1)[1].partition("[")
        for interpreter in INTERPRETERS:
            if interpreter.tag in parameters.rstrip("]").split("-"):
                cell = table.setdefault(function, {}).setdefault(interpreter.tag, [0, 0, 0])
                cell[("passed", "failed", "skipped").index(outcome)] += 1
    if not table:
        return
    tags = [i.tag for i in INTERPRETERS]
    width = max(map(len, table))
    terminalreporter.write_line("")
    terminalreporter.write_line(" ".join([" " * width] + ["%9s" % tag[:9] for tag in tags]))
    for group in sorted(table):
        cells = []
        for tag in tags:
            passed, failed, skipped = table[group].get(tag, (0, 0, 0))
            cells.append("FAIL %d" % failed if failed else "ok %d" % passed if passed
                         else "skip %d" % skipped if skipped else "-")
        terminalreporter.write_line(" ".join([group.ljust(width)] + ["%9s" % c for c in cells]))


# Waiting

def wait_for(condition, what, seconds=10, log=None):
    """Polls until the condition gives something true, which is returned; fails at the deadline, with what the log says."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            pytest.fail("waited %d s for %s%s" % (seconds * PATIENCE, what, "\n" + log.read_text() if log else ""))
        time.sleep(0.01)


# Rules

def rule(id, on, when=(), action="block", **more):
    made = {"id": id, "title": "Test rule " + id, "on": [on] if isinstance(on, str) else list(on)}
    if when:
        made["when"] = [when] if isinstance(when, str) else list(when)
    return dict(made, action=action, **more)


NO_EXEC = rule("no-exec", "@exec", severity="critical", message="{exec.cmdline}")
# A cheap event of CPython's that no test program raises unless it means to.
MARK = "webbrowser.open"
MARKS = rule("marks", MARK, action="record")


def write_rules(path, *rules, **more):
    path.write_text(json.dumps(dict({"version": 1, "rules": list(rules)}, **more), indent=2) + "\n")
    return path


# Events

def lines_of(path, growing=False, killed=False):
    """JSON lines of a file; the last one must be whole, unless the file is being written. A daemon that was killed
    may have left the beginning of a line, which the next one ended and told again."""
    content = pathlib.Path(path).read_bytes()
    if growing:
        content = content[:content.rfind(b"\n") + 1]
    content = content.decode("utf-8")
    assert content == "" or content.endswith("\n"), "the last line is cut: %r" % content[-200:]
    return [json.loads(line) for line in content.splitlines() if not (killed and is_broken_off(line))]


def is_broken_off(line):
    try:
        return not json.loads(line)
    except ValueError:
        return line.startswith("{")


def of_kind(events, kind, **wanted):
    return [e for e in events if e.get("kind") == kind
            and all(e.get(k) == v for k, v in wanted.items())]


def rules_of(event):
    named = event.get("rule")
    return [] if named is None else [named] if isinstance(named, str) else list(named)


def lost_of(events):
    return sum(e["lost"] for e in of_kind(events, "loss"))


# Programs

def clean_env(**more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("PYAUDIT_", "PYTHON", "LD_PRELOAD", "VIRTUAL_ENV"))}
    env.update(PYTHONDONTWRITEBYTECODE="1")
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    if os.environ.get("PYAUDIT_AGENT_FROM"):
        env["PYAUDIT_AGENT"] = str(AGENT)
    env.update({k: str(v) for k, v in more.items() if v is not None})
    return env


class Result:
    def __init__(self, done, events, seconds):
        self.returncode, self.seconds, self.events = done.returncode, seconds, events
        self.stdout = done.stdout.decode("utf-8", "replace")
        self.stderr = done.stderr.decode("utf-8", "replace")

    def kind(self, kind, **wanted):
        return of_kind(self.events, kind, **wanted)

    def __repr__(self):
        return "exit status %d\n--- stdout\n%s\n--- stderr\n%s\n--- events\n%s" % (
            self.returncode, self.stdout[-3000:], self.stderr[-3000:],
            "\n".join(json.dumps(e) for e in self.events[-10:]))


@pytest.fixture
def ctl_run(tmp_path):
    """ctl_run([python, ...], rule, ...): the command under `pyauditctl run`, its output and events."""
    count = [0]

    def run(command, *rules, options=(), default_rules=False, prefix=(), input=b"", timeout=60,
            env=None, cwd=None, json_events=True):
        count[0] += 1
        arguments = list(prefix) + [str(CTL), "run", "--quiet"]
        if not default_rules:
            arguments.append("--no-default-rules")
        if rules:
            path = write_rules(tmp_path / ("rules%d.json" % count[0]), *rules)
            arguments += ["--rules", str(path)]
        events = tmp_path / ("events%d.ndjson" % count[0])
        if json_events:
            arguments += ["--json", str(events)]
        arguments += list(options) + ["--"] + [str(word) for word in command]
        begun = time.monotonic()
        done = subprocess.run(arguments, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout * PATIENCE, env=env or clean_env(), cwd=cwd)
        seconds = time.monotonic() - begun
        result = Result(done, lines_of(events) if events.exists() else [], seconds)
        if "Sanitizer" in result.stderr or "runtime error:" in result.stderr:
            pytest.fail("a sanitizer spoke up: %r" % result)
        return result

    return run


class Control:
    """A connection to the daemon's control socket."""

    def __init__(self, path, receive_buffer=None, seconds=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds * PATIENCE)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def ask(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self.line()

    def line(self):
        line = self.file.readline()
        return json.loads(line.decode("utf-8")) if line else None

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Daemon:
    """pyauditd with a runtime directory, rules and an event file of its own."""

    killed = False  # by the test, in the midst of a line, too

    def __init__(self, folder, *rules, config="", begin=None, **more):
        self.begin = begin  # what its process does first
        self.dir = folder / "run"
        self.dir.mkdir(mode=0o755)
        self.rules_dir = folder / "rules.d"
        self.rules_dir.mkdir()
        self.rules_file = self.rules_dir / "10-test.rules"
        write_rules(self.rules_file, *rules, **more)
        self.events_path = folder / "events.ndjson"
        self.log_path = folder / "daemon.log"
        self.config_path = folder / "pyauditd.conf"
        self.config_path.write_text(
            "dir = %s\nrules = %s\ndefault_rules = no\njournal = no\nndjson = %s\n%s\n" % (
                self.dir, self.rules_dir, self.events_path, config))
        self.process = None
        self.programs = []

    def start(self):
        with open(str(self.log_path), "ab") as log:
            self.process = subprocess.Popen(
                [str(DAEMON), "--config", str(self.config_path)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=clean_env(PYAUDIT_DIR=self.dir), preexec_fn=self.begin)
        wait_for(self.answers, "the daemon to answer\n" + self.log())
        return self

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def answers(self):
        if self.process.poll() is not None:
            pytest.fail("pyauditd ended with %d:\n%s" % (self.process.returncode, self.log()))
        try:
            return self.status()
        except (OSError, ValueError):
            return None

    def control(self, **options):
        return Control(self.dir / "control.sock", **options)

    def request(self, name, **more):
        with self.control() as control:
            return control.ask(request=name, **more)

    def status(self):
        return self.request("status")

    def drain(self):
        return self.request("drain")

    def events(self):
        """All events up to now: every ring read, every sink flushed."""
        self.drain()
        return lines_of(self.events_path, True, self.killed) if self.events_path.exists() else []

    def tail(self, filter=None, receive_buffer=None):
        control = self.control(receive_buffer=receive_buffer)
        request = {"request": "tail"}
        if filter:
            request["filter"] = filter
        answer = control.ask(**request)
        assert answer.get("ok") is True, answer
        return control

    def env(self, **more):
        return clean_env(**dict({"LD_PRELOAD": AGENT, "PYAUDIT_DIR": self.dir}, **more))

    def spawn(self, command, **options):
        """A program under the agent, its stdin and stdout piped."""
        env = options.pop("env", None) or self.env()
        program = subprocess.Popen([str(w) for w in command], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, **options)
        self.programs.append(program)
        return program

    def run(self, command, timeout=60, **options):
        env = options.pop("env", None) or self.env()
        return subprocess.run([str(w) for w in command], stdin=subprocess.DEVNULL, timeout=timeout * PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, **options)

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def stop(self):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
            program.wait()
            for pipe in (program.stdin, program.stdout, program.stderr):
                if pipe and not pipe.closed:
                    try:
                        pipe.close()
                    except OSError:
                        pass
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(timeout=10 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail("pyauditd did not end within 10 s of SIGTERM:\n" + self.log())
        log = self.log()
        if "Sanitizer" in log or "runtime error:" in log:
            pytest.fail("a sanitizer spoke up:\n" + log[-8000:])
        assert self.process.returncode in (0, -signal.SIGKILL), log


@pytest.fixture
def daemon(tmp_path):
    """daemon(rule, ...): a started daemon; all are stopped at the end."""
    made = []

    def make(*rules, **options):
        folder = tmp_path / ("daemon%d" % len(made))
        folder.mkdir()
        made.append(Daemon(folder, *rules, **options))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


def say(program, line):
    program.stdin.write(line.encode() + b"\n")
    program.stdin.flush()


def hear(program, expected=None, seconds=20):
    """The program's next line; a program that says nothing in time is killed."""
    import threading
    timer = threading.Timer(seconds * PATIENCE, program.kill)
    timer.start()
    try:
        line = program.stdout.readline().decode().rstrip("\n")
    finally:
        timer.cancel()
    if expected is not None and line != expected:
        program.kill()
        _, errors = program.communicate()
        pytest.fail("the program said %r, not %r\n%s" % (line, expected, errors.decode()))
    return line


def need(program):
    found = shutil.which(program)
    if not found:
        pytest.skip("%s is not installed" % program)
    return found
