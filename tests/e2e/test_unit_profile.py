# SPDX-License-Identifier: Apache-2.0
"""A profile for a unit: what enable and disable write, and by which rules programs in the unit and beside it are
judged, with a daemon and without. Units here are control groups of the test's own."""
import json
import os
import pathlib
import subprocess
import time

import pytest

from conftest import CTL, DAEMON, Daemon, PATIENCE, clean_env, hear, wait_for
from test_enable import ctl, dropin, image, tree, unit  # noqa: F401 (a fixture)
from test_reload import PUPPET, asks, puppet

SETTINGS = "etc/pyaudit/pyauditd.conf.d/50-unit-%s.conf"
EXEC = "act(os.system, 'true')"


def settings(root, *words, code=0):
    done = subprocess.run([str(CTL), "config", "show", "--json", "--config", str(root / "etc/pyaudit/pyauditd.conf")] + list(words),
                          stdout=subprocess.PIPE, timeout=60 * PATIENCE, env=clean_env())
    assert done.returncode == code
    return [s for s in map(json.loads, done.stdout.splitlines()) if s["key"] == "unit_profile" and s["value"]]


def test_a_unit_gets_a_profile_and_loses_it(image):
    for name in ("notebook.service", "worker@.service", r"a\x2db.service"):
        unit(image, name, "ExecStart=/usr/bin/python3 -m app")
    before = tree(image)
    said = ctl("enable", "--root", image, "--profile", "agent", "--dry-run", "notebook")
    assert "would write" in said and "unit_profile = agent notebook.service" in said and tree(image) == before
    said = ctl("enable", "--root", image, "--profile", "agent", "notebook", "worker@", r"a\x2db.service")
    assert "notebook.service: profile agent, wrote" in said
    path = image / (SETTINGS % "notebook.service")
    assert path.read_text().splitlines()[-1] == "unit_profile = agent notebook.service" and dropin(image, "notebook.service").exists()
    assert [(s["value"], s["file"], s["line"]) for s in settings(image)] == [
        (r"agent a\\x2db.service", str(image / (SETTINGS % r"a\x2db.service")), 2),
        ("agent notebook.service", str(path), 2),
        ("agent worker@*.service", str(image / (SETTINGS % "worker@.service")), 2)]
    assert "is enabled already" in ctl("enable", "--root", image, "--profile", "agent", "notebook")
    ctl("enable", "--root", image, "--profile", "build", "notebook")
    assert "build notebook.service" in [s["value"] for s in settings(image)]
    said = ctl("enable", "--root", image, "notebook")
    assert "the host's profile, removed" in said and not path.exists() and dropin(image, "notebook.service").exists()
    ctl("enable", "--root", image, "--profile", "audit", "notebook")
    dropin(image, "notebook.service").unlink()
    said = ctl("disable", "--root", image, "--all")
    assert said.count("removed") == 5
    os.rmdir(str(path.parent)), os.rmdir(str(path.parent.parent))
    (dropin(image, "notebook.service").parent).rmdir()
    assert tree(image) == before


def test_all_or_nothing(image):
    unit(image, "notebook.service", "ExecStart=/usr/bin/python3 -m app")
    before = tree(image)
    assert "there is no such unit" in ctl("enable", "--root", image, "--profile", "agent", "notebook", "other", code=1)
    assert tree(image) == before
    conf = image / "etc/pyaudit/pyauditd.conf"
    conf.parent.mkdir()
    for text, word in (("default_rules = no\n", "default_rules = no in pyauditd.conf leaves them out"),
                       ("profil = agent\n", "pyauditd.conf:1:1: unknown key 'profil'")):
        conf.write_text(text)
        before = tree(image)
        assert word in ctl("enable", "--root", image, "--profile", "agent", "notebook", code=1)
        assert tree(image) == before
    conf.write_text("")
    others = image / (SETTINGS % "notebook.service")
    others.parent.mkdir()
    others.write_text("unit_profile = build notebook.service\n")
    before = tree(image)
    assert "did not make this file" in ctl("enable", "--root", image, "--profile", "agent", "notebook", code=1)
    assert tree(image) == before
    # The second file cannot be written: the first goes away again.
    others.unlink()
    (image / "etc/systemd/system/notebook.service.d").write_text("in the way\n")
    before = tree(image)
    ctl("enable", "--root", image, "--profile", "agent", "notebook", code=1)
    assert tree(image) == before


def test_mistakes_on_the_command_line(image):
    assert "did you mean 'agent'" in ctl("enable", "--profile", "agnet", "notebook", code=2)
    assert "set 'profile = agent' in pyauditd.conf" in ctl("enable", "--profile", "agent", "--host", code=2)
    assert "the system's units" in ctl("enable", "--profile", "agent", "--user", "notebook", code=2)
    for text, word in (("agnet x.service", "expected server, build, agent or audit"), ("agent", "expected units behind the profile")):
        conf = image / "pyauditd.conf"
        conf.write_text("unit_profile = %s\n" % text)
        done = subprocess.run([str(DAEMON), "--check-config", "--config", str(conf)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=clean_env(), timeout=30 * PATIENCE)
        assert done.returncode == 1 and b"pyauditd.conf:1:16: 'unit_profile': " + word.encode() in done.stdout, done


@pytest.fixture
def group():
    """group(name): the path of cgroup.procs of a new control group."""
    made = []
    mounts = [line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"]

    def make(name):
        folder = pathlib.Path(mounts[0] if mounts else "/none") / ("pyaudit-test-%d-%s" % (os.getpid(), name)) / name
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            pytest.skip("no control groups may be made here: %s" % error)
        made.append(folder)
        return folder / "cgroup.procs"

    yield make
    deadline = time.monotonic() + 10 * PATIENCE
    for folder in made:
        while folder.exists() and time.monotonic() < deadline:
            try:
                folder.rmdir(), folder.parent.rmdir()
            except OSError:
                time.sleep(0.05)


def inside(server, procs):
    """A program that is in the group before it becomes Python."""
    program = server.spawn(["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', procs, "/usr/bin/python3", "-I", "-c", PUPPET])
    hear(program, "ready")
    return program


def test_programs_in_the_unit_are_judged_by_its_profile(image, group, tmp_path):
    unit(image, "notebook.service", "ExecStart=/usr/bin/python3 -m app")
    procs = group("notebook.service")
    server = Daemon(tmp_path)
    server.config_path = image / "etc/pyaudit/pyauditd.conf"
    ctl("enable", "--root", image, "--profile", "agent", "notebook")
    server.config_path.write_text("dir = %s\njournal = no\nndjson = %s\n" % (server.dir, server.events_path))
    try:
        server.start()
        within, beside = inside(server, procs), puppet(server, "/usr/bin/python3")
        assert (asks(within, EXEC), asks(beside, EXEC)) == ("denied", "allowed")
        rows = {p["pid"]: p for p in server.status()["processes"]}
        assert (rows[within.pid]["profile"], rows[beside.pid]["profile"]) == ("agent", "server")
        assert rows[within.pid]["unit"] == "notebook.service"
        shown = subprocess.run([str(CTL), "ps", "--json", "--dir", str(server.dir)], stdout=subprocess.PIPE, timeout=60 * PATIENCE).stdout
        assert {r["pid"]: r.get("profile") for r in map(json.loads, shown.splitlines())}[within.pid] == "agent"
        told = [e for e in server.events() if e["kind"] == "alert"]
        assert told and {(e["rule"], e["unit"]) for e in told} == {("agent-program", "notebook.service")}, told

        # Without a daemon, in a program that runs and in one that starts.
        server.signal(9)
        later = inside(server, procs)
        assert (asks(within, EXEC), asks(later, EXEC), asks(beside, EXEC)) == ("denied", "denied", "allowed")

        server.start()
        ctl("enable", "--root", image, "notebook")
        assert server.request("reload")["ok"]
        wait_for(lambda: asks(within, EXEC) == "allowed", "the host's profile in the unit")
        ctl("enable", "--root", image, "--profile", "audit", "notebook")
        assert server.request("reload")["ok"]
        wait_for(lambda: server.status()["processes"] and asks(within, "act(os.listdir, '/')") == "allowed" and
                 [e for e in server.events() if e.get("event") == "os.listdir"], "the profile audit in the unit")
        assert {e["pid"] for e in server.events() if e.get("event") == "os.listdir"} == {within.pid}
        for program in (within, beside, later):
            program.communicate()
    finally:
        server.stop()
