#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tests/fleet.sh does with two booted Debians: fleet.py A B. Host A is a host with pyauditd and a service, host B
the one that collects. They are set up by the files of docs/fleet, with other names and ports in them. All that must
hold is looked up in their file systems, from outside."""
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

from packages import Failed, Host, check, free_port, wait

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "docs/fleet"
N_ALERTS = 1000
WHILE_DOWN = range(300, 700)
RULE = {"id": "fleet-no-true", "title": "A thousand of these", "on": ["os.system"], "when": ["exec.cmdline startswith 'true '"],
        "action": "block", "severity": "error", "attack": ["T1059"], "message": "{exec.cmdline}"}
PROGRAM = """
import os, pathlib, time
done = 0
while True:
    if done < int(pathlib.Path("/srv/maker/wanted").read_text() or 0):
        try:
            os.system("true %d" % done)
            pathlib.Path("/srv/maker/ran").touch()
        except PermissionError:
            done += 1
    time.sleep(0.005)
"""
SERVICE = """
[Unit]
Description=Makes alerts
[Service]
ExecStart=/usr/bin/python3 /srv/maker/maker.py
User=www-data
[Install]
WantedBy=multi-user.target
"""
# Of what journald itself says of the writer, this much has to arrive as it was; clocks and boots are the sender's, too.
SAME = re.compile(r"(PYAUDIT_|OBJECT_).*|MESSAGE|MESSAGE_ID|PRIORITY|SYSLOG_IDENTIFIER|_MACHINE_ID|_BOOT_ID|_UID|_SYSTEMD_UNIT|__REALTIME_TIMESTAMP")


def certificates(folder):
    """A CA, and what it signed for both hosts."""
    def openssl(*words):
        subprocess.run(("openssl",) + words, check=True, cwd=str(folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
    folder.mkdir()
    key = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=a CA of a test", "-keyout", "ca-key.pem", "-out", "ca.pem")
    for name, alternative in (("host", "a.example.com"), ("logs", "localhost")):
        (folder / "extensions").write_text("subjectAltName=DNS:%s\n" % alternative)
        openssl("req", *key, "-subj", "/CN=" + alternative, "-keyout", name + "-key.pem", "-out", "request.pem")
        openssl("x509", "-req", "-days", "2", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
                "-extfile", "extensions", "-out", name + ".pem")
    return folder


class Fleet:
    def __init__(self, a, b):
        self.a, self.b = Host(a), Host(b)
        self.ports = {"19532": free_port(), "6514": free_port()}
        self.tls = certificates(self.a.root.parent / "tls")

    def example(self, name):
        text = (EXAMPLES / name).read_text().replace("logs.example.com", "localhost")
        for documented, port in self.ports.items():
            text = re.sub(r"\b%s\b" % documented, str(port), text)
        return text

    def put(self, host, path, text):
        host.path(path).parent.mkdir(parents=True, exist_ok=True)
        host.path(path).write_text(text)

    def common(self, host, name, machine):
        for path in ("/var/log/journal", "/etc/pyaudit/tls"):
            host.path(path).mkdir(parents=True, exist_ok=True)
        host.path("/etc/machine-id").write_text(machine * 32 + "\n")
        for file in ("ca.pem", name + ".pem", name + "-key.pem"):
            target = host.path("/etc/pyaudit/tls/" + file)
            target.write_bytes((self.tls / file).read_bytes())
            target.chmod(0o640 if "-key" in file else 0o644)
            groups = dict(line.split(":")[0:3:2] for line in host.path("/etc/group").read_text().splitlines())
            os.chown(str(target), 0, int(groups["systemd-journal" if name == "host" else "systemd-journal-remote"]))

    def prepare_a(self):
        host = self.a
        self.common(host, "host", "a")
        self.put(host, "/etc/systemd/journal-upload.conf.d/pyaudit.conf", self.example("journal-upload.conf"))
        self.put(host, "/etc/systemd/system/systemd-journal-upload.service.d/pyaudit.conf", self.example("journal-upload.service.conf"))
        self.put(host, "/etc/rsyslog.d/60-pyaudit.conf", self.example("rsyslog-sender.conf"))
        self.put(host, "/etc/pyaudit/rules.d/50-fleet.json", json.dumps({"version": 1, "rules": [RULE]}))
        self.put(host, "/etc/systemd/system/maker.service", SERVICE)
        self.put(host, "/srv/maker/maker.py", PROGRAM)
        self.put(host, "/srv/maker/wanted", "0")

    def prepare_b(self):
        host = self.b
        self.common(host, "logs", "b")
        self.put(host, "/etc/systemd/journal-remote.conf.d/pyaudit.conf", self.example("journal-remote.conf"))
        self.put(host, "/etc/systemd/system/systemd-journal-remote.socket.d/port.conf",
                 "[Socket]\nListenStream=\nListenStream=%d\n" % self.ports["19532"])
        self.put(host, "/etc/rsyslog.d/60-pyaudit.conf", self.example("rsyslog-central.conf"))

    # What is where

    def made(self):
        return self.entries(self.a.path("/var/log/journal"))

    def collected(self):
        return self.entries(self.b.path("/var/log/journal/remote"))

    @staticmethod
    def entries(directory):
        done = subprocess.run(["journalctl", "-D", str(directory), "-o", "json", "--no-pager", "-q", "PYAUDIT_RULE=" + RULE["id"]],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True, timeout=120)
        return {int(e["MESSAGE"].split()[-1]): e for e in map(json.loads, done.stdout.splitlines())}

    def lines(self):
        """What rsyslog of host B has written, by number; and how many lines that were."""
        found, n = {}, 0
        for path in self.b.path("/var/log/pyaudit-hosts").glob("*.ndjson"):
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if entry.get("PYAUDIT_RULE") == RULE["id"]:
                    n += 1
                    found[int(entry["MESSAGE"].split()[-1])] = entry
        return found, n

    def make(self, end):
        self.a.path("/srv/maker/wanted").write_text(str(end))
        wait(lambda: len(self.made()) == end, "%d alerts in the journal of host A" % end, 120)


def certificates_are_looked_at(fleet):
    """The sender sends nothing to a host that its CA does not know; the receiver takes nothing from a host without a
    certificate, where it was built with GnuTLS. Debian's was not, and says so in its journal."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=another CA", "-keyout",
                    "/dev/null", "-out", str(fleet.a.path("/root/other.pem"))], check=True, stderr=subprocess.DEVNULL)
    # Its settings cannot be overridden by options: the CA's file is another one for this run alone.
    upload = fleet.a.run("unshare", "-m", "sh", "-c", "mount --bind /root/other.pem /etc/pyaudit/tls/ca.pem && "
                         "exec timeout 60 /usr/lib/systemd/systemd-journal-upload --save-state=/root/state", check=False)
    check(upload.returncode != 0 and "certificate" in upload.stdout,
          "the sender sends nothing to a host that its CA does not know: %s" % upload.stdout.strip().splitlines()[-1:])
    with socket.create_connection(("127.0.0.1", fleet.ports["19532"])) as plain:
        context = ssl.create_default_context(cafile=str(fleet.tls / "ca.pem"))
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                wrapped.settimeout(20)
                wrapped.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/vnd.fdo.journal\r\n"
                                b"Content-Length: 0\r\n\r\n")
                answer = wrapped.recv(4096)
        except (OSError, ssl.SSLError):
            answer = b""
    takes_all = "Certificate checking disabled" in fleet.b.run("journalctl", "-u", "systemd-journal-remote", "--no-pager").stdout
    check(answer.startswith(b"HTTP/1.1 2") == takes_all, "systemd-journal-remote %s" % (
        "was built without GnuTLS: it takes from everybody who connects, and says so" if takes_all else
        "takes nothing from a host without a certificate"))


def same_fields(made, found):
    for number, entry in made.items():
        for name, value in entry.items():
            if SAME.fullmatch(name) and found[number].get(name) != value:
                raise Failed("alert %d: %s is %r on host A and %r on host B" % (number, name, value, found[number].get(name)))
    fields = {name for entry in made.values() for name in entry if SAME.fullmatch(name)}
    check({"PYAUDIT_RULE", "PYAUDIT_ACTION", "PYAUDIT_CALLER_FILE", "PYAUDIT_CALLER_LINE", "PYAUDIT_UNIT", "PYAUDIT_PID",
           "OBJECT_PID", "OBJECT_SYSTEMD_UNIT", "MESSAGE_ID", "PRIORITY"} <= fields, "each of the %d fields is as it was" % len(fields))


def story(fleet):
    a, b = fleet.a, fleet.b
    fleet.prepare_b()
    b.boot()
    b.run("systemctl", "enable", "--now", "systemd-journal-remote.socket")
    fleet.prepare_a()
    a.boot()
    a.run("apt-get", "-qq", "install", "-y", "-o", "Dpkg::Options::=--force-confold",
          *["/root/" + p.name for p in a.path("/root").glob("*.deb")])
    a.run("systemctl", "enable", "--now", "pyauditd", "systemd-journal-upload.service", "maker.service")
    a.run("pyauditctl", "enable", "--restart", "maker.service")
    started = time.monotonic()
    fleet.make(WHILE_DOWN.start)
    wait(lambda: len(fleet.collected()) == WHILE_DOWN.start and len(fleet.lines()[0]) == WHILE_DOWN.start, "the first alerts on host B", 60)
    check(True, "%d alerts of host A are on host B" % WHILE_DOWN.start)
    certificates_are_looked_at(fleet)

    b.run("systemctl", "poweroff", check=False)
    wait(lambda: b.process.poll() is not None, "host B ends", 60)
    fleet.make(WHILE_DOWN.stop)
    check(len(fleet.collected()) == WHILE_DOWN.start, "host B is down, and %d alerts are made meanwhile" % len(WHILE_DOWN))
    b.boot()
    fleet.make(N_ALERTS)
    check(not a.path("/srv/maker/ran").exists(), "each of the %d acts was refused" % N_ALERTS)
    made = fleet.made()
    wait(lambda: len(fleet.collected()) == N_ALERTS, "all alerts on host B", 180)
    check(sorted(fleet.collected()) == sorted(made) == list(range(N_ALERTS)),
          "journalctl -D on host B finds all %d, %.0f s after the first was made" % (N_ALERTS, time.monotonic() - started))
    same_fields(made, fleet.collected())
    by_rsyslog(fleet, made)


def by_rsyslog(fleet, made):
    try:
        wait(lambda: len(fleet.lines()[0]) == N_ALERTS, "all alerts by rsyslog", 120)
    except Failed:
        found, n = fleet.lines()
        missing = sorted(set(made) - set(found))
        raise Failed("rsyslog: %d of %d alerts are on host B; missing: %s" % (len(found), N_ALERTS, missing[:50]))
    found, n = fleet.lines()
    for number, entry in made.items():
        for name in ("PYAUDIT_RULE", "PYAUDIT_CALLER_LINE", "PYAUDIT_UNIT", "OBJECT_PID", "_UID", "_MACHINE_ID", "MESSAGE"):
            if found[number].get(name) != entry.get(name):
                raise Failed("rsyslog: alert %d: %s is %r, then %r" % (number, name, entry.get(name), found[number].get(name)))
    check(True, "rsyslog: all %d alerts are on host B, with their fields (%d lines)" % (N_ALERTS, n))


def main():
    fleet = Fleet(*sys.argv[1:3])
    try:
        story(fleet)
    except Failed as failure:
        print("NOT OK: %s" % failure)
        for host in (fleet.a, fleet.b):
            for command in (["systemctl", "--failed", "--no-pager"],
                            ["systemctl", "status", "systemd-journal-upload", "systemd-journal-remote", "rsyslog", "pyauditd", "--no-pager", "-l"],
                            ["journalctl", "-n", "60", "--no-pager"]):
                try:
                    print("%s:" % host.root.name, host.run(*command, check=False).stdout)
                except (OSError, TypeError, ValueError, subprocess.SubprocessError):
                    pass
        return 1
    finally:
        fleet.a.end()
        fleet.b.end()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
