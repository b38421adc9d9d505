# SPDX-License-Identifier: Apache-2.0
"""A program in a rootless container (bubblewrap: namespaces of its own for users, processes, mounts, network) that has the
agent's library, the host's /run/pyaudit, and nothing else of pyauditd: INSTALL, Containers."""
import os
import shutil
import subprocess

import pytest

from conftest import AGENT, NO_EXEC, PATIENCE, SYSTEM, hear, of_kind, say, wait_for

PROGRAM = """
import os, sys
print('ready %d %d' % (os.getpid(), os.getuid()), flush=True)
for line in sys.stdin:
    try:
        print(os.system('true'), flush=True)
    except PermissionError as error:
        print(error, flush=True)
"""
LIBRARY = "/opt/libpyaudit-agent.so"


def container(server, *command):
    links = [part for name in ("lib", "lib64", "lib32", "bin", "sbin") if os.path.islink("/" + name)
             for part in ("--symlink", "usr/" + name, "/" + name)]
    binds = [part for name in ("lib", "lib64", "bin") if os.path.isdir("/" + name) and not os.path.islink("/" + name)
             for part in ("--ro-bind", "/" + name, "/" + name)]
    return ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--uid", "1000", "--gid", "1000",
            "--ro-bind", "/usr", "/usr", *links, *binds, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
            "--ro-bind", AGENT, LIBRARY, "--ro-bind", str(server.dir), "/run/pyaudit",
            "--clearenv", "--setenv", "LD_PRELOAD", LIBRARY, *command]


@pytest.fixture
def server(daemon):
    server = daemon(NO_EXEC)
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap is not installed")
    done = subprocess.run(container(server, "/usr/bin/true"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        pytest.skip("no container here: " + done.stdout.decode(errors="replace").strip()[-200:])
    return server


def test_watched_and_refused(server):
    program = server.spawn(container(server, SYSTEM, "-I", "-c", PROGRAM), env=dict(os.environ))
    _, inner_pid, inner_uid = hear(program, seconds=30 * PATIENCE).split()
    assert inner_uid == "1000"
    say(program, "act")
    assert "pyauditd: rule 'no-exec' denied os.system" in hear(program)
    alert = wait_for(lambda: of_kind(server.events(), "alert", event="os.system"), "the alert")[0]
    assert alert["rule"] == "no-exec" and alert["action"] == "block"
    assert alert["exe"] == os.path.realpath(SYSTEM.path)
    # The host's number of it, by which an operator finds it.
    with open("/proc/%d/status" % alert["pid"]) as status:
        numbers = [line.split()[1:] for line in status if line.startswith("NSpid:")][0]
    assert numbers[0] == str(alert["pid"]) and numbers[-1] == inner_pid and len(numbers) > 1
    assert alert["uid"] == os.getuid()
    assert [p["pid"] for p in server.status()["processes"] if p["hook"] != "removed"].count(alert["pid"]) == 1
    program.stdin.close()
    assert program.wait(timeout=30 * PATIENCE) == 0
    wait_for(lambda: server.status()["agents"] == 0, "its end to be seen")


def test_without_a_daemon_its_policy_holds(server):
    server.stop()
    code = "import os\nos.system('true')"
    done = subprocess.run(container(server, SYSTEM.path, "-I", "-c", code), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * PATIENCE)
    assert done.returncode == 1 and b"rule 'no-exec' denied os.system" in done.stderr, done.stderr
