#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the daemon costs by the number of processes it watches: tests/bench/scale.py [--build DIR] [--markdown]

For each number of processes a fresh daemon, and as many agents of swarm.c (as root, for descriptors): attached and idle;
raising events at a steady rate; raising as many as there is room for. docs/SCALE.md has the method.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from servers import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]


def cpu_clock(pid):
    """Of all threads of a process, to the nanosecond: clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid):
    """Megabytes, by what they are. `Private` is what the daemon alone has; shared memory is the agents' rings, whose pages
    the agents have as well: Pss counts each page of these half."""
    text = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
    kib = {key: int(n) for key, n in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    tables = int(re.search(r"VmPTE:\s+(\d+)", status).group(1))
    return {"rss": kib["Rss"] / 1024, "pss": kib["Pss"] / 1024, "page_tables": tables / 1024,
            "private": (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024}


class Swarm:
    def __init__(self, options, server, n, *words):
        command = [str(options.build / "tests/swarm"), "-n", str(n), *map(str, words), str(server.dir)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.attached = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("swarm ended")
        return json.loads(line)

    def say(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def load(options, server, n, *words):
    """A swarm under way for some seconds, and what the daemon made of it."""
    swarm = Swarm(options, server, n, "-p", options.probes, "-t", *words)
    latency = subprocess.Popen([str(options.build / "tests/latency"), str(server.dir)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    time.sleep(.5)
    before, cpu = server.status(), cpu_clock(server.process.pid)
    swarm.say()
    time.sleep(options.seconds)
    swarm.say()
    done = swarm.read()
    cpu = cpu_clock(server.process.pid) - cpu
    done["memory"] = memory(server.process.pid)
    after = server.status()
    latency.stdin.close()
    done["latency"] = json.loads(latency.stdout.readline())
    latency.wait()
    swarm.stop()
    done["received"] = after["events"] - before["events"]
    done["reported_lost"] = after["lost"] - before["lost"]
    done["per_second"] = done["received"] / done["until_empty"]
    done["ns_per_event"] = cpu / max(done["received"], 1) * 1e9
    done["core"] = cpu / done["until_empty"]
    done["capacity"] = done["received"] / cpu
    return done


def idle(options, server, n):
    swarm = Swarm(options, server, n)
    time.sleep(2)  # what attaching left to do
    begun, cpu = time.monotonic(), cpu_clock(server.process.pid)
    time.sleep(options.seconds)
    cpu = (cpu_clock(server.process.pid) - cpu) / (time.monotonic() - begun)
    found = {"attach_s": swarm.attached["seconds"], "core": cpu, "memory": memory(server.process.pid)}
    swarm.stop()
    return found


def measure(options, folder, n):
    name = "n%d" % n
    server = Server(options, folder, name, rules=options.rules, record="all", more=options.conf)
    try:
        base = memory(server.process.pid)
        found = {"processes": n, "base": base, "idle": idle(options, server, n)}
        if options.rate * n <= options.most:
            found["steady"] = load(options, server, n, "-r", options.rate)
        found["max"] = load(options, server, n, "-r", "max", "-b", options.burst)
        return found
    finally:
        server.stop()


def show(found):
    print("%(processes)d processes" % found)
    print("  idle: %.3f %% of a core, memory %s, attached in %.2f s" % (
        found["idle"]["core"] * 100, ", ".join("%s %.1f" % item for item in found["idle"]["memory"].items()),
        found["idle"]["attach_s"]))
    for case in ("steady", "max"):
        if case in found:
            one = found[case]
            print("  %s: %.0f events/s, %d of %d received, %d lost, %d reported lost, %d wakes; daemon %.1f %% of a core, %.0f ns an "
                  "event, %.2f M/s of one core; private memory %.1f MB" % (
                      case, one["per_second"], one["received"], one["raised"], one["lost"], one["reported_lost"], one["wakes"],
                      one["core"] * 100, one["ns_per_event"], one["capacity"] / 1e6, one["memory"]["private"]))
            print("    to tail: %(probes)d probes, p50 %(p50_ms).2f ms, p99 %(p99_ms).2f, p99.9 %(p999_ms).2f, most %(max_ms).2f" %
                  one["latency"])
    sys.stdout.flush()


def table(all_found):
    yield "| processes | idle: of a core | idle: memory | most events/s | ns of CPU an event | to `tail`: p50, p99, p99.9 (ms) |"
    yield "|---|---|---|---|---|---|"
    for found in all_found:
        one = found.get("steady", found["max"])
        yield "| %d | %.2f %% | %.1f MB | %.2f M | %.0f | %s |" % (
            found["processes"], found["idle"]["core"] * 100, found["idle"]["memory"]["private"], found["max"]["per_second"] / 1e6,
            found["max"]["ns_per_event"], ", ".join("%.1f" % one["latency"][q] for q in ("p50_ms", "p99_ms", "p999_ms")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="build tree (build/release)")
    parser.add_argument("--processes", type=int, action="append", help="number; may be given again (1, 100, 1000, 10000)")
    parser.add_argument("--seconds", type=float, default=10, help="of each part (10)")
    parser.add_argument("--rate", type=int, default=100, help="events of each process in a second, where it is steady (100)")
    parser.add_argument("--most", type=int, default=1000000, help="steady events in a second that are tried (1000000)")
    parser.add_argument("--burst", type=int, default=16, help="events that a process raises at once, at most pace (16)")
    parser.add_argument("--probes", type=int, default=200, help="events in a second whose way to tail is timed (200)")
    parser.add_argument("--ndjson", action="store_true", help="write every event to a file")
    parser.add_argument("--rules", type=pathlib.Path, help="a file of rules")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/SCALE.md as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.agent, options.shipped = None, None
    options.rules = options.rules.read_text() if options.rules else ""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pyaudit-scale."))
    options.conf = "max_agents = 65536\n" + ("ndjson = %s\n" % (folder / "events") if options.ndjson else "")
    every = []
    try:
        for n in options.processes or (1, 100, 1000, 10000):
            every.append(measure(options, folder, n))
            if not options.json:
                show(every[-1])
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)
    if options.markdown:
        print("\n".join(table(every)))
    if options.json:
        json.dump(every, sys.stdout, indent=2)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
