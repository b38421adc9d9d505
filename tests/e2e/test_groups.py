# SPDX-License-Identifier: Apache-2.0
"""Who may ask the daemon for what: clients of other users and groups, as the kernel tells of them. Needs root, for there
have to be other users."""
import json
import os
import socket
import subprocess

import pytest

from conftest import CTL, MARKS, NO_EXEC, PATIENCE, clean_env, wait_for

CONTROL, TAIL, OTHER = 54321, 54322, 54323
CONFIG = "control_group = %d\ntail_group = %d\nmax_clients = 32" % (CONTROL, TAIL)
LOOKS = ("status", "config", "metrics", "rules", "tail", "capture")
CHANGES = ({"request": "reload"}, {"request": "pause"}, {"request": "resume"}, {"request": "drain"}, {"request": "stop"},
           {"request": "mode", "mode": "observe", "host": True})

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other users and groups are wanted: run as root")

# In the runtime directory, for the way there may be closed to this user.
CLIENT = """
import json, os, socket, sys
uid, gid, *groups = map(int, sys.argv[1].split(','))
os.setgroups(groups); os.setgid(gid); os.setuid(uid)
for line in sys.stdin:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect('control.sock')
    s.sendall(line.encode())
    sys.stdout.buffer.write(s.makefile('rb').readline())
    s.close()
"""
HOLDER = """
import os, socket, sys
uid, gid, *groups = map(int, sys.argv[1].split(','))
os.setgroups(groups); os.setgid(gid); os.setuid(uid)
held = []
for i in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect('control.sock')
    held.append(s)
print(len(held), flush=True)
sys.stdin.read()
"""


def ask(server, who, *requests):
    """The daemon's answers to someone of these ids: user, group, further groups."""
    lines = "".join(json.dumps(r if isinstance(r, dict) else {"request": r}) + "\n" for r in requests)
    done = subprocess.run(["/usr/bin/python3", "-I", "-S", "-c", CLIENT, ",".join(map(str, who))], input=lines.encode(),
                          cwd=str(server.dir), stdout=subprocess.PIPE, timeout=60 * PATIENCE)
    assert done.returncode == 0
    answers = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    assert len(answers) == len(requests)
    return answers


def hold(server, who, count):
    holder = server.spawn(["/usr/bin/python3", "-I", "-S", "-c", HOLDER, ",".join(map(str, who)), str(count)],
                          env=clean_env(), cwd=str(server.dir))
    assert holder.stdout.readline() == b"%d\n" % count
    return holder


@pytest.mark.parametrize("who", [(OTHER, TAIL), (OTHER, OTHER, TAIL), (OTHER, OTHER) + tuple(range(70000, 70200)) + (TAIL,)],
                         ids=["group", "supplementary", "last-of-many"])
def test_who_may_look_may_not_change(daemon, who):
    server = daemon(NO_EXEC, MARKS, config=CONFIG)
    generation = server.status()["generation"]
    assert [a["ok"] for a in ask(server, who, *LOOKS)] == [True] * len(LOOKS)
    for answer in ask(server, who, *CHANGES):
        assert answer["ok"] is False and "members of the group '%d' (control_group)" % CONTROL in answer["error"]
        assert "user %d" % OTHER in answer["error"]
    status = server.status()
    assert status["generation"] == generation and status["paused"] is None and status["observe"] is False


@pytest.mark.parametrize("who", [(OTHER, CONTROL), (OTHER, OTHER, TAIL, CONTROL), (0, OTHER)],
                         ids=["group", "supplementary", "root"])
def test_who_may_change(daemon, who):
    server = daemon(NO_EXEC, config=CONFIG)
    generation = server.status()["generation"]
    assert [a["ok"] for a in ask(server, who, *LOOKS)] == [True] * len(LOOKS)
    answers = ask(server, who, *[c for c in CHANGES if c["request"] != "stop"])
    assert [a["ok"] for a in answers] == [True] * len(answers)
    assert server.status()["generation"] > generation
    assert ask(server, who, "stop")[0]["ok"] is True
    assert server.process.wait(timeout=20 * PATIENCE) == 0


def test_a_stranger_is_told_what_would_help(daemon):
    server = daemon(NO_EXEC, config=CONFIG)
    who = (OTHER, OTHER, 70000)
    for answer in ask(server, who, *(LOOKS + CHANGES + ({"what": "ever"},))):
        assert answer == dict(answer, kind="status", ok=False)
        assert "'%d' (tail_group) and '%d' (control_group)" % (TAIL, CONTROL) in answer["error"]
        assert set(answer) == {"schema_version", "kind", "time", "ok", "error"}
    # The same by pyauditctl, which such a user may not even find.
    program = os.open(str(CTL), os.O_RDONLY)
    done = subprocess.run(["/usr/bin/python3", "-I", "-S", "-c", "import os, sys\n"
                           "os.setgroups([]); os.setgid(%d); os.setuid(%d)\n" % (OTHER, OTHER) +
                           "os.execve(%d, ['pyauditctl', 'status', '--dir', '.'], dict(os.environ))" % program],
                          pass_fds=[program], cwd=str(server.dir), env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60 * PATIENCE)
    os.close(program)
    assert done.returncode == 1 and done.stdout == b"" and b"(tail_group)" in done.stderr


def test_names_are_those_of_etc_group_and_a_reload_reads_them(daemon):
    import grp
    games = grp.getgrnam("games").gr_gid
    server = daemon(NO_EXEC, config="control_group = nobody-has-this\ntail_group = games")
    assert "there is no group 'nobody-has-this' (control_group)" in server.log()
    assert ask(server, (OTHER, games), "status")[0]["ok"] is True
    refused = ask(server, (OTHER, games), "reload")[0]
    assert "'nobody-has-this' (control_group), which this host does not have" in refused["error"]
    server.config_path.write_text(server.config_path.read_text().replace("nobody-has-this", "games").replace("tail_group", "#"))
    assert server.request("reload")["ok"]
    assert ask(server, (OTHER, games), "reload")[0]["ok"] is True


def test_nobody_takes_the_places_of_others(daemon):
    """Strangers, and one who may look, hold as many connections as they can get."""
    server = daemon(NO_EXEC, config=CONFIG)
    held = hold(server, (OTHER + 1, OTHER), 200)
    assert ask(server, (OTHER, TAIL), "status")[0]["ok"] is True
    held.kill()
    held = hold(server, (OTHER + 2, TAIL), 200)
    assert ask(server, (OTHER, TAIL), "status")[0]["ok"] is True
    more = [hold(server, (OTHER + 3 + i, TAIL), 16) for i in range(3)]
    assert server.status()["ok"] is True, "places are left for who may control"
    log = wait_for(lambda: [line for line in server.log().splitlines() if "is turned away" in line], "a line in the log")
    assert any("too many without rights" in line for line in log)
    for one in [held] + more:
        one.kill()
    wait_for(lambda: ask(server, (OTHER, TAIL), "status")[0]["ok"], "places to be free again")


def test_rights_are_those_of_who_connected(daemon):
    """Not of who holds the descriptor later."""
    server = daemon(NO_EXEC, config=CONFIG)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20 * PATIENCE)
        child = os.fork()
        if child == 0:
            try:
                os.chdir(str(server.dir))
                os.setgroups([TAIL])
                os.setgid(OTHER)
                os.setuid(OTHER)
                connection.connect("control.sock")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        connection.sendall(b'{"request":"reload"}\n')
        answer = json.loads(connection.makefile().readline())
        assert answer["ok"] is False and "(control_group)" in answer["error"]
