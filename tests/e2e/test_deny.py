# SPDX-License-Identifier: Apache-2.0
"""A rule that denies programs denies them by every road, before they start, and names the code."""
import re
import subprocess

import pytest

from conftest import CTL, NO_EXEC, PATIENCE, SANITIZED, clean_env, need, rule, rules_of, write_rules

# One line each, so that the caller is line 1 of <string>.
ACTS = {
    "os.system": 'import os; os.system("id")',
    "subprocess.run": 'import subprocess; subprocess.run(["id"])',
    "subprocess.shell": 'import subprocess; subprocess.run("id", shell=True)',
    "os.popen": 'import os; os.popen("id").read()',
    "os.execv": 'import os; os.execv("/usr/bin/id", ["id"])',
    "os.posix_spawn": 'import os; os.posix_spawn("/usr/bin/id", ["id"], dict(os.environ))',
    "pty.spawn": 'import pty; pty.spawn(["id"])',
    "asyncio.exec": 'import asyncio; asyncio.run(asyncio.create_subprocess_exec("id"))',
    "asyncio.shell": 'import asyncio; asyncio.run(asyncio.create_subprocess_shell("id"))',
}


@pytest.mark.parametrize("act", ACTS)
def test_denied_with_rule_and_caller_named(ctl_run, python, act):
    result = ctl_run([python, "-I", "-c", ACTS[act]], NO_EXEC)
    assert result.returncode == 1, str(result)
    last = result.stderr.strip().splitlines()[-1]
    assert re.match(r"PermissionError: \[Errno 1\] pyauditd: rule 'no-exec' denied [\w.]+", last), str(result)
    assert "uid=" not in result.stdout, str(result)

    alerts = result.kind("alert", action="block")
    assert alerts, str(result)
    first = alerts[0]
    assert rules_of(first) == ["no-exec"]
    assert first["severity"] == "critical"
    assert first["event"] in last
    assert first["caller"]["file"] == "<string>", first
    assert first["caller"]["line"] == 1, first
    assert first["caller"]["function"] == "<module>", first


def strace_works(strace, tmp_path):
    done = subprocess.run([strace, "-f", "-o", str(tmp_path / "probe"), "true"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode == 0


@pytest.mark.parametrize("act", ACTS)
def test_nothing_is_executed(ctl_run, python, act, tmp_path):
    strace = need("strace")
    if not strace_works(strace, tmp_path):
        pytest.skip("strace may not trace here")
    trace = tmp_path / "trace"
    env = clean_env()
    if SANITIZED:
        # The leak checker cannot look at a process that is traced.
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    result = ctl_run([python, "-I", "-c", ACTS[act]], NO_EXEC, env=env, timeout=90,
                     prefix=[strace, "-f", "-qq", "-o", str(trace), "-e", "trace=execve,execveat"])
    assert result.returncode == 1, str(result)
    executed = re.findall(r'execve(?:at)?\((?:AT_FDCWD, )?"([^"]*)"', trace.read_text())
    assert any("python" in path for path in executed), executed
    assert any("pyauditd" in path for path in executed), executed
    for path in executed:
        assert path.rsplit("/", 1)[-1] not in ("id", "sh", "dash", "bash"), executed


def test_a_caught_denial_lets_the_program_go_on(ctl_run, python):
    code = ("import os\n"
            "try:\n"
            "    os.system('id')\n"
            "except PermissionError as error:\n"
            "    print(error.errno, error)\n"
            "print('on')\n")
    result = ctl_run([python, "-I", "-c", code], NO_EXEC)
    assert result.returncode == 0, str(result)
    assert result.stdout == "1 [Errno 1] pyauditd: rule 'no-exec' denied os.system\non\n"
    assert result.kind("alert")[0]["caller"]["line"] == 3


def test_observe_only_says_what_it_would_have_done(ctl_run, python, tmp_path):
    rules = write_rules(tmp_path / "observed.json", NO_EXEC)
    result = ctl_run([python, "-I", "-c", 'import os; os.system("echo ran")'], NO_EXEC,
                     options=["--observe"])
    assert result.returncode == 0, str(result)
    assert result.stdout == "ran\n"
    alerts = result.kind("alert")
    assert alerts and alerts[0]["action"] == "alert", str(result)
    assert alerts[0]["observed"] is True, alerts[0]
    done = subprocess.run([str(CTL), "run", "--no-default-rules", "--observe", "--rules", str(rules), "--", str(python), "-I",
                           "-c", 'import os; os.system("echo ran")'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=clean_env(), timeout=30 * PATIENCE)
    assert b"would have" in done.stderr, done.stderr.decode()


def test_rules_apply_to_children_and_their_children(ctl_run, python):
    code = ("import subprocess, sys\n"
            "inner = 'import subprocess, sys; subprocess.run([sys.executable, \"-c\", \"import os; os.rmdir(chr(47))\"])'\n"
            "subprocess.run([sys.executable, '-c', inner])\n")
    result = ctl_run([python, "-I", "-c", code],
                     rule("no-rmdir", "os.rmdir", "file.path = '/'"))
    alerts = result.kind("alert", action="block")
    assert len(alerts) == 1, str(result)
    assert "rule 'no-rmdir' denied os.rmdir" in result.stderr, str(result)


def test_conditions_decide(ctl_run, python):
    code = ("import os\n"
            "os.system('echo fine')\n"
            "try:\n"
            "    os.system('curl http://example.org | sh')\n"
            "except PermissionError:\n"
            "    print('refused')\n")
    result = ctl_run([python, "-I", "-c", code],
                     rule("no-curl", "@exec", ["exec.cmdline contains 'curl '", "exec.shell"]))
    assert result.stdout == "fine\nrefused\n", str(result)


@pytest.mark.parametrize("status", [0, 1, 42])
def test_exit_status_is_the_commands(ctl_run, python, status):
    result = ctl_run([python, "-I", "-c", "raise SystemExit(%d)" % status], NO_EXEC)
    assert result.returncode == status
    result = ctl_run([python, "-I", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"])
    assert result.returncode == 128 + 15
