# SPDX-License-Identifier: Apache-2.0
"""Run by test_stall.py in a mount name space of its own, where /run is fresh and a journald of its own runs: a
workload before, while and after something stands still, and what became of its alerts.

stall.py WORK CASE SECONDS       CASE: frozen, journald, full, socket"""
import atexit
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

import conftest
from conftest import AGENT, DAEMON, JOURNALD, MARK, PATIENCE, Control, clean_env, rule, write_rules

ID = "0123456789abcdef0123456789abcdef"
RUN = pathlib.Path("/run/pyaudit")
IS_LONG = float(sys.argv[3]) >= 10
SMALL = "6g" if IS_LONG else "512m"

# Works for so many seconds when told to, at some ten thousand events a second, or four for long: the small disk holds
# what there will be; an alert for every 200 of them. It takes no memory to speak of, for whose speed others see. How fast
# the processor is at the time is told by the same work without events, in turn with it, millisecond by millisecond: the
# host of a virtual machine makes that differ by 3 % from one minute to the next.
WORKLOAD = """
import os, sys, time
audit, clock, n_alerts, work = sys.audit, time.perf_counter, 0, range(int(sys.argv[1]))
print('ready', flush=True)
for line in sys.stdin:
    n, plain, watched, cpu, begun = 0, 0, 0, time.process_time(), clock()
    while clock() < begun + float(line):
        for i in range(50):
            start = clock()
            for k in range(4):
                sum(work)
                audit('%(mark)s', 'x')
            middle = clock()
            sum(work)
            plain, watched = plain + 4 * (clock() - middle), watched + middle - start
        start = clock()
        audit('%(mark)s', 'alert-%%d.' %% n_alerts)
        n, n_alerts, watched = n + 200, n_alerts + 1, watched + clock() - start
    share = (time.process_time() - cpu) / (clock() - begun)
    print(n / (clock() - begun), share * plain / watched, n_alerts, flush=True)
""" % {"mark": MARK}
ALERT = re.compile(r'alert-(\d+)\.')


def mount(*arguments):
    subprocess.run(["mount"] + list(arguments), check=True)


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited in vain for " + what)
        time.sleep(0.05)


class Host:
    """A /run, a journal and a small disk of our own; journald and the daemon."""

    def __init__(self, work):
        self.work = work
        mount("--make-rprivate", "/")
        mount("-t", "tmpfs", "tmpfs", "/run")
        if os.path.isdir("/var/log/journal"):
            mount("-t", "tmpfs", "tmpfs", "/var/log/journal")
        for name in ("/run/systemd/journal", "/run/systemd/journald.conf.d", "/run/log/journal/" + ID, str(RUN)):
            os.makedirs(name)
        pathlib.Path("/run/systemd/journald.conf.d/test.conf").write_text("[Journal]\nRateLimitIntervalSec=0\n")
        (work / "machine-id").write_text(ID + "\n")
        if not os.path.exists("/etc/machine-id"):
            pathlib.Path("/etc/machine-id").touch()
        mount("--bind", str(work / "machine-id"), "/etc/machine-id")
        self.small, self.state = work / "small", work / "state"
        self.small.mkdir()
        self.state.mkdir()
        mount("-t", "tmpfs", "-o", "size=" + SMALL, "tmpfs", str(self.small))
        self.journald = subprocess.Popen([JOURNALD], stdout=subprocess.DEVNULL, stderr=open(str(work / "journald.log"), "w"))
        try:
            wait_for(lambda: os.path.exists("/run/systemd/journal/socket"), "journald")
        except SystemExit:
            sys.exit(77)
        write_rules(work / "10.rules", rule("alerts", MARK, "arg[0] startswith 'alert-'", action="alert"),
                    rule("marks", MARK, "arg[0] = 'x'", action="record"))
        (work / "pyauditd.conf").write_text(
            "dir = %s\nrules = %s\ndefault_rules = no\njournal = yes\nndjson = %s\nstate = %s\nspool = 256M\n" % (
                RUN, work / "10.rules", self.small / "events.ndjson", self.state))
        self.daemon = subprocess.Popen([str(DAEMON), "--config", str(work / "pyauditd.conf")],
                                       stdout=subprocess.DEVNULL, stderr=open(str(work / "daemon.log"), "w"))
        wait_for(lambda: os.path.exists("/run/pyaudit/agent.sock"), "the daemon")

    def ask(self, request):
        control = Control(RUN / "control.sock")
        try:
            return control.ask(request=request)
        finally:
            control.close()

    def settle(self):
        wait_for(lambda: self.ask("drain").get("ok"), "everything to be written", 60)

    def kill(self):
        """What a test that failed has left."""
        for process in (self.daemon, self.journald):
            if process.poll() is None:
                process.kill()

    def end(self):
        for process in (self.daemon, self.journald):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        code = self.daemon.wait(timeout=30 * PATIENCE)
        self.journald.wait(timeout=30 * PATIENCE)
        if code != 0:
            sys.exit("the daemon ended with %d: %s" % (code, (self.work / "daemon.log").read_text()))


class Stall:
    """What stands still, and how it goes on."""

    def __init__(self, host, case):
        self.host, self.begin, self.end = host, getattr(self, "begin_" + case), getattr(self, "end_" + case)

    def begin_frozen(self):
        self.host.daemon.send_signal(signal.SIGSTOP)

    def end_frozen(self):
        self.host.daemon.send_signal(signal.SIGCONT)

    def begin_journald(self):
        self.host.journald.send_signal(signal.SIGSTOP)

    def end_journald(self):
        self.host.journald.send_signal(signal.SIGCONT)

    def begin_full(self):
        with open(str(self.host.small / "filler"), "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def end_full(self):
        assert os.statvfs(str(self.host.small)).f_bfree == 0, "it was full to the end"
        os.unlink(str(self.host.small / "filler"))

    def begin_socket(self):
        os.unlink(str(RUN / "agent.sock"))

    def end_socket(self):
        wait_for(lambda: (RUN / "agent.sock").exists(), "a new socket")


class Workload:
    def __init__(self):
        self.process = subprocess.Popen(["/usr/bin/python3", "-I", "-c", WORKLOAD, "24000" if IS_LONG else "2400"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=clean_env(LD_PRELOAD=AGENT, PYAUDIT_DIR=RUN))
        assert self.process.stdout.readline() == b"ready\n"
        self.n_alerts = 0

    def run(self, seconds):
        """Events a second; and the same to what the processor could do: the part that it had of it, and how much of that
        the work itself took."""
        self.process.stdin.write(b"%f\n" % seconds)
        self.process.stdin.flush()
        rate, throughput, n_alerts = self.process.stdout.readline().split()
        self.n_alerts = int(n_alerts)
        return float(rate), float(throughput)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def alerts_in(lines):
    return {int(found.group(1)) for found in map(ALERT.search, lines) if found}


def journal():
    done = subprocess.run(["journalctl", "--directory=/run/log/journal", "-o", "cat", "--output-fields=PYAUDIT_ARGS",
                           "PYAUDIT_RULE=alerts"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return alerts_in(done.stdout.decode().splitlines())


def account(host, workload):
    """Alerts in file and journal, and losses of them: a few of millions of lines."""
    with open(str(host.small / "events.ndjson")) as file:
        lines = [line for line in file if '"alerts"' in line or '"loss"' in line]
    losses = conftest.of_kind(map(json.loads, lines), "loss")
    urgent = sum(e["lost"] for e in losses if e.get("lane") == "urgent")
    sinks = sum(e["lost"] for e in losses if e["cause"] == "sink")
    return {"raised": workload.n_alerts, "file": len(alerts_in(line for line in lines if '"alerts"' in line)),
            "journal": len(journal()), "lost_urgent": urgent, "lost_sinks": sinks,
            "lost_ordinary": sum(e["lost"] for e in losses if e.get("lane") == "ordinary"),
            "sinks": host.ask("status")["sinks"]}


def main():
    work, case, seconds = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    host = Host(work)
    atexit.register(host.kill)
    stall, workload = Stall(host, case), Workload()
    workload.run(seconds / 10)
    before = workload.run(seconds)
    stall.begin()
    stalled = workload.run(seconds)
    spooled = 0 if case == "frozen" else sum(sink["spooled"] for sink in host.ask("status")["sinks"])
    stall.end()
    host.settle()
    behind = workload.run(seconds)
    host.settle()
    rate, throughput = (2 * stalled[i] / (before[i] + behind[i]) for i in range(2))
    result = account(host, workload)
    workload.end()
    host.end()
    result.update(case=case, seconds=seconds, spooled=spooled, events_per_second=rate, throughput=throughput)
    print(json.dumps(result))


main()
