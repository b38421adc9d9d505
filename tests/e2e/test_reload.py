# SPDX-License-Identifier: Apache-2.0
"""Reloads: good ones reach running programs, ones with mistakes change nothing and name every mistake."""
import pathlib
import re
import signal
import subprocess

import pytest

from conftest import CTL, NO_EXEC, PATIENCE, ROOT, clean_env, hear, rule, say, wait_for, write_rules

PUPPET = """
import os, sys
def act(call, *arguments):
    try:
        call(*arguments)
    except PermissionError as error:
        return 'denied' if 'pyauditd' in str(error) else 'permission'
    except OSError:
        return 'allowed'
    return 'allowed'
print('ready', flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""
NO_CHDIR = rule("no-chdir", "os.chdir", "file.path = '/'")

# What stands in the file, and a word that the mistake must say. The line and column are where MARK stood.
MISTAKES = [
    ('{"version": 1, "rules": [@{"id" "a"}]}', None),
    ('{"version": @2, "rules": []}', "version"),
    ('{"version": 1, @"rule": []}', "rule"),
    ('{"version": 1, "rules": [@{"title": "A", "on": ["open"], "action": "alert"}]}', "id"),
    ('{"version": 1, "rules": [{"id": "a", "title": "A", "on": [@"opne"], "action": "alert"}]}', "open"),
    ('{"version": 1, "rules": [{"id": "a", "title": "A", "on": [@"@exce"], "action": "alert"}]}', "@exec"),
    ('{"version": 1, "rules": [{"id": "a", "title": "A", "on": ["open"], "action": @"blok"}]}', "block"),
    ('{"version": 1, "rules": [{"id": "a", "title": "A", "on": ["open"], "action": "alert", "severity": @"hgih"}]}', "severity"),
]


def puppet(server, python):
    program = server.spawn([python, "-I", "-c", PUPPET])
    hear(program, "ready")
    return program


def asks(program, act):
    say(program, act)
    return hear(program)


def reload_by_signal(server, generation):
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.status()["generation"] != generation, "a newer generation")


def reload_by_request(server, generation):
    answer = server.request("reload")
    assert answer["ok"] is True, answer
    assert answer["generation"] != generation


@pytest.mark.parametrize("reload", [reload_by_signal, reload_by_request], ids=["SIGHUP", "request"])
def test_a_good_reload_reaches_running_programs(daemon, python, reload):
    server = daemon(NO_EXEC)
    program = puppet(server, python)
    assert asks(program, "act(os.system, 'true')") == "denied"
    assert asks(program, "act(os.chdir, '/')") == "allowed"
    generation = server.status()["generation"]

    write_rules(server.rules_file, NO_CHDIR)
    reload(server, generation)
    wait_for(lambda: asks(program, "act(os.chdir, '/')") == "denied", "the new rule in the running program", 5)
    assert asks(program, "act(os.system, 'true')") == "allowed"
    program.communicate()

    again = puppet(server, python)
    assert asks(again, "act(os.chdir, '/')") == "denied", "a program that starts after the reload"
    again.communicate()


def test_many_reloads_under_load(daemon, python):
    """Policies change under a program that raises events all the time; each is taken whole."""
    server = daemon(NO_EXEC)
    program = puppet(server, python)
    worker = server.spawn([python, "-I", "-c", "import os, sys\nprint('ready', flush=True)\nwhile True:\n"
                           "    try: os.chdir('/')\n    except PermissionError: pass\n"
                           "    sys.audit('os.mkdir', 'x', 0, 0)"])
    hear(worker, "ready")
    for turn in range(20):
        wanted = NO_CHDIR if turn % 2 == 0 else NO_EXEC
        more = [rule("more-%d" % i, "open", "file.path = '/nowhere/%d'" % i) for i in range(turn * 10)]
        write_rules(server.rules_file, wanted, *more)
        assert server.request("reload")["ok"] is True
        act = "act(os.chdir, '/')" if wanted is NO_CHDIR else "act(os.system, 'true')"
        wait_for(lambda: asks(program, act) == "denied", "generation %d" % turn, 5)
    assert worker.poll() is None
    program.communicate()


def place(marked):
    """The text without its mark, and line:col of where the mark stood."""
    # '@' before a quote or bracket marks; the other '@' are class names.
    found = re.search(r'@(?=[{"0-9])', marked)
    before = marked[:found.start()]
    return (marked[:found.start()] + marked[found.end():],
            before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes_leave_the_policy_as_it_was(daemon, number):
    import conftest
    python = conftest.SYSTEM
    server = daemon(NO_EXEC)
    program = puppet(server, python)
    before = server.status()
    text, line, column = place(MISTAKES[number][0])
    server.rules_file.write_text(text + "\n")

    answer = server.request("reload")
    assert answer["ok"] is False, answer
    named = [m for m in answer["mistakes"] if m.startswith("%s:%d:" % (server.rules_file, line))
             or m.startswith("%s:%d:" % (server.rules_file.name, line))]
    assert named, answer
    if MISTAKES[number][1]:
        assert any(":%d:%d: " % (line, column) in m and MISTAKES[number][1] in m for m in named), (column, named)

    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.rules_file.name + ":" in server.log(), "the mistakes in the log")
    after = server.status()
    assert after["generation"] == before["generation"]
    assert after["rules"] == before["rules"]
    assert asks(program, "act(os.system, 'true')") == "denied"
    program.communicate()


def test_a_folder_of_mistakes(daemon):
    """The fixtures with every kind of mistake: the daemon names each place that the list names, `rules
    check` the same, and the policy stays."""
    server = daemon(NO_EXEC)
    before = server.status()
    fixtures = ROOT / "tests/fixtures/rules"
    wanted = [line for line in (fixtures / "mistakes.txt").read_text().splitlines() if line.strip()]
    assert len(wanted) >= 20
    for path in sorted((fixtures / "mistakes").iterdir()):
        (server.rules_dir / path.name).write_bytes(path.read_bytes())

    answer = server.request("reload")
    assert answer["ok"] is False
    named = "\n".join(answer["mistakes"])
    for mistake in answer["mistakes"]:
        assert re.search(r":\d+:\d+: \S", mistake), mistake
    named = named.replace(str(server.rules_dir), "@")
    missing = [line for line in wanted if "warning:" not in line and line not in named]
    assert not missing, missing[:5]
    done = subprocess.run([str(CTL), "rules", "check", str(server.rules_dir)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=clean_env(), timeout=20 * PATIENCE)
    assert done.returncode == 1, done.stdout.decode()
    for mistake in answer["mistakes"]:
        assert mistake in done.stdout.decode(), mistake
    after = server.status()
    assert (after["generation"], after["rules"]) == (before["generation"], before["rules"])
    done = server.run(["/usr/bin/python3", "-I", "-c", "import os; os.system('id')"])
    assert b"rule 'no-exec' denied" in done.stderr


def test_several_files_and_all_mistakes_at_once(daemon):
    server = daemon(NO_EXEC)
    (server.rules_dir / "20-a.rules").write_text('{"version": 1, "rules": [{"id": "x", "title": "X", "on": ["opne"], "action": "alert"}]}')
    (server.rules_dir / "30-b.rules").write_text('{"version": 1, "rules": [{"id": "y", "title": "Y", "on": ["open"], "action": "blok"}]}')
    answer = server.request("reload")
    assert answer["ok"] is False
    assert any("20-a.rules:1:" in m for m in answer["mistakes"]), answer
    assert any("30-b.rules:1:" in m for m in answer["mistakes"]), answer


def test_reload_by_the_command(daemon):
    server = daemon(NO_EXEC)
    generation = server.status()["generation"]
    write_rules(server.rules_file, NO_CHDIR)

    def reload():
        return subprocess.run([str(CTL), "reload"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=clean_env(PYAUDIT_DIR=server.dir), timeout=20 * PATIENCE)

    done = reload()
    assert done.returncode == 0, done.stdout.decode()
    assert server.status()["generation"] != generation
    server.rules_file.write_text("{")
    done = reload()
    assert done.returncode == 1 and b"10-test.rules:" in done.stdout, done.stdout.decode()


def test_does_not_start_with_mistakes(tmp_path, daemon):
    from conftest import DAEMON
    server = daemon()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "10.rules").write_text('{"version": 1, "rules": [{"id": "x", "title": "X", "on": ["opne"], "action": "alert"}]}')
    config = tmp_path / "broken.conf"
    config.write_text(server.config_path.read_text().replace(str(server.rules_dir), str(broken))
                      .replace(str(server.dir), str(tmp_path / "run2")))
    (tmp_path / "run2").mkdir()
    done = subprocess.run([str(DAEMON), "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=clean_env(PYAUDIT_DIR=tmp_path / "run2"), timeout=20 * PATIENCE)
    assert done.returncode not in (0, -6, -11), done.stdout.decode()
    assert b"10.rules:1:" in done.stdout, done.stdout.decode()
