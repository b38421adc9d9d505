# SPDX-License-Identifier: Apache-2.0
"""Daemons to measure against, and what the measured programs get for an environment."""
import json
import os
import pathlib
import socket
import subprocess
import sys
import time


class Server:
    """A daemon with its own rules; alive as long as the benchmark, asleep when nobody is measured."""

    def __init__(self, options, folder, name, rules="", record=None, shipped=False, more=""):
        self.agent = options.agent
        self.dir = folder / name
        self.dir.mkdir()
        rules_dir = folder / (name + ".d")
        rules_dir.mkdir()
        if rules:
            (rules_dir / "10.rules").write_text(rules)
        config = folder / (name + ".conf")
        config.write_text("dir = %s\nrules = %s\ndefault_rules = no\njournal = no\n%s%s" % (
            self.dir, options.shipped if shipped else rules_dir, "record = %s\n" % record if record else "", more))
        self.log = open(str(folder / (name + ".log")), "w+")
        self.process = subprocess.Popen([str(options.build / "sbin/pyauditd"), "--config", str(config)],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=dict(os.environ, PYAUDIT_DIR=str(self.dir)))
        deadline = time.monotonic() + 60
        while True:
            try:
                self.status()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.log.seek(0)
                    sys.exit("pyauditd did not start:\n" + self.log.read())
                time.sleep(0.02)

    def request(self, name):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(30)
            control.connect(str(self.dir / "control.sock"))
            control.sendall(json.dumps({"request": name}).encode() + b"\n")
            return json.loads(control.makefile().readline())

    def status(self):
        return self.request("status")

    def cpu_seconds(self):
        fields = pathlib.Path("/proc/%d/stat" % self.process.pid).read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def env(self):
        return {"LD_PRELOAD": str(self.agent), "PYAUDIT_DIR": str(self.dir)}

    def stop(self):
        self.process.terminate()
        self.process.wait()


def base_env(more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYAUDIT", "LD_PRELOAD"))}
    env.update(more)
    return env
