# SPDX-License-Identifier: Apache-2.0
"""Children that are given an environment of their own are still watched, and see that environment; those that the
agent cannot come with are told of."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import AGENT, clean_env, of_kind, rule

NO_SYSTEM = rule("no-system", "os.system", severity="critical")
LEAVES = rule("leaves", "pyaudit.leaves", action="record")
SHOW = "import os; print(sorted(os.environ.items())); print(sorted(os.environb)); os.system('true')"
DENIED = "rule 'no-system' denied os.system"

# How a program is started, with the environment `env`.
WAYS = {
    "subprocess": "subprocess.run([program, '-I', '-c', show], env=env)",
    "subprocess cwd": "subprocess.run([program, '-I', '-c', show], env=env, cwd='/')",
    "posix_spawn": "os.waitpid(os.posix_spawn(program, [program, '-I', '-c', show], env), 0)",
    "posix_spawnp": "os.waitpid(os.posix_spawnp(program, [program, '-I', '-c', show], env), 0)",
    "execve": "os.execve(program, [program, '-I', '-c', show], env)",
    "spawnve": "os.spawnve(os.P_WAIT, program, [program, '-I', '-c', show], env)",
    "by descriptor": "os.execve(os.open(program, os.O_RDONLY), [program, '-I', '-c', show], env)",
    "shell": "subprocess.run(['/bin/sh', '-c', 'exec \"$0\" -I -c \"$1\"', program, show], env=env)",
    "shells": "subprocess.run(['/bin/sh', '-c', '/usr/bin/env /bin/sh -c \\'\"$0\" -I -c \"$1\"\\' \"$0\" \"$1\"',"
              " program, show], env=env)",
    "cleared": "os.environ.clear(); os.environ.update(env); subprocess.run([program, '-I', '-c', show])",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("env", ["{}", "{'A': '1', 'LD_PRELOAD': 'libm.so.6', 'Z': ''}"], ids=["empty", "own"])
def test_followed_and_left_alone(daemon, python_few, way, env):
    server = daemon(NO_SYSTEM)
    code = "import os, subprocess, sys\nprogram = %r\nshow = %r\nenv = %s\n%s" % (
        os.path.realpath(str(python_few)), SHOW, env, WAYS[way])
    alone = subprocess.run([str(python_few), "-I", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env=clean_env())
    done = server.run([python_few, "-I", "-c", code])
    assert done.stdout == alone.stdout, (done, alone)
    assert DENIED in done.stderr.decode(), done
    (alert,) = of_kind(server.events(), "alert")
    assert alert["event"] == "os.system"


@pytest.mark.parametrize("first", [["/usr/bin/env", "-i"], ["/bin/sh", "-c", 'exec env -i "$0" "$@"'],
                                   ["/bin/sh", "-c", 'unset LD_PRELOAD; "$0" "$@"']], ids=["env", "shell", "unset"])
def test_from_the_first_program_on(daemon, python_few, first):
    """What systemd starts need not be Python, and may clear the environment before Python comes."""
    server = daemon(NO_SYSTEM)
    command = first + [os.path.realpath(str(python_few)), "-I", "-S", "-c", SHOW]
    done = server.run(command)
    assert DENIED in done.stderr.decode() and b"PRELOAD" not in done.stdout and b"FOLLOW" not in done.stdout, done
    done = server.run(command, env=server.env(PYAUDIT_MODE="observe"))
    assert DENIED not in done.stderr.decode() and done.returncode == 0, done
    assert [a["observed"] for a in of_kind(server.events(), "alert")] == [False, True]
    # Who keeps the agent out of the first keeps it out of what comes after.
    assert DENIED not in server.run(command, env=server.env(PYAUDIT_DISABLE="1")).stderr.decode()


@pytest.mark.parametrize("observes", [True, False])
def test_the_mode_goes_with_them(daemon, python_few, observes):
    """A child is not let off by its environment, nor denied what its parent may do."""
    server = daemon(NO_SYSTEM)
    child_env = "{}" if observes else "dict(os.environ, PYAUDIT_MODE='observe')"
    code = "import os, subprocess, sys; subprocess.run([sys.executable, '-I', '-c', %r], env=%s)" % (SHOW, child_env)
    done = server.run([python_few, "-I", "-c", code], env=server.env(PYAUDIT_MODE="observe" if observes else None))
    assert (DENIED not in done.stderr.decode()) == observes, done


def test_scripts_are_followed_by_their_first_line(daemon, python_few, tmp_path):
    server = daemon(NO_SYSTEM)
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env -S A=b %s -I\n%s\n" % (os.path.realpath(str(python_few)), SHOW))
    script.chmod(0o755)
    code = "import subprocess; subprocess.run([%r], env={})" % str(script)
    done = server.run([python_few, "-I", "-c", code])
    assert DENIED in done.stderr.decode(), done
    assert b"PYAUDIT" not in done.stdout and b"('A', 'b')" in done.stdout, done


def test_a_forged_mark_and_another_directory_do_not_lead_away(daemon, python_few, tmp_path):
    server = daemon(NO_SYSTEM)
    code = ("import subprocess, sys\nsubprocess.run([sys.executable, '-I', '-c', %r], env={"
            "'PYAUDIT_FOLLOW': 'i-:/nowhere', 'PYAUDIT_DIR': '/nowhere', 'LD_PRELOAD': %r})" % (SHOW, str(AGENT)))
    done = server.run([python_few, "-I", "-c", code])
    assert DENIED in done.stderr.decode(), done


def test_what_is_not_wanted_has_its_environment_as_given(daemon, python_few):
    server = daemon(NO_SYSTEM)
    code = "import subprocess; subprocess.run(['/bin/cat', '/proc/self/environ'], env={'A': '1'})"
    assert server.run([python_few, "-I", "-c", code]).stdout == b"A=1\0"


def test_all_are_followed_where_the_setting_says_so(daemon, python_few):
    server = daemon(NO_SYSTEM, config="follow = all")
    code = "import subprocess; subprocess.run(['/bin/cat', '/proc/self/environ'], env={'A': '1'})"
    assert b"PYAUDIT_FOLLOW=a0:" in server.run([python_few, "-I", "-c", code]).stdout


def test_none_are_followed_where_the_setting_says_so(daemon, python_few):
    server = daemon(NO_SYSTEM, LEAVES, config="follow = none")
    code = "import subprocess, sys; print(subprocess.run([sys.executable, '-I', '-c', %r], env={}).returncode)" % SHOW
    done = server.run([python_few, "-I", "-c", code])
    assert done.stdout.endswith(b"\n0\n") and DENIED not in done.stderr.decode(), done
    assert ["environment"] == [e["args"][1] for e in of_kind(server.events(), "event", event="pyaudit.leaves")]


@pytest.fixture(scope="module")
def leavers(tmp_path_factory):
    """Programs that the agent cannot come with, by why."""
    folder = tmp_path_factory.mktemp("leavers")
    source = folder / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    made = {}
    if shutil.which("cc") and subprocess.run(["cc", "-static", "-o", str(folder / "static"), str(source)],
                                             stderr=subprocess.DEVNULL).returncode == 0:
        made["static"] = folder / "static"
    if os.getuid() == 0:
        folder.chmod(0o755)
        shutil.copy("/bin/true", str(folder / "setuid"))
        os.chown(str(folder / "setuid"), 65534, 65534)
        (folder / "setuid").chmod(0o4755)
        made["setuid"] = folder / "setuid"
    if shutil.which("perl"):
        made["interpreter"] = shutil.which("perl")
        script = folder / "script.pl"
        script.write_text("#!/usr/bin/perl\nexit 0;\n")
        script.chmod(0o755)
        made["interpreter by script"] = script
    return made


@pytest.mark.parametrize("why", ["static", "setuid", "interpreter", "interpreter by script", "disabled"])
def test_who_leaves_is_told(daemon, python_few, leavers, why):
    if why != "disabled" and why not in leavers:
        pytest.skip("no %s program can be made or found here" % why)
    server = daemon(LEAVES)
    path = str(leavers.get(why, "/bin/sh"))
    env = ", env={'PYAUDIT_DISABLE': '1'}" if why == "disabled" else ""
    code = "import subprocess; subprocess.run([%r, '-e', '0'], stdin=subprocess.DEVNULL%s)" % (path, env)
    done = server.run([python_few, "-I", "-c", code])
    assert done.returncode == 0, done
    (event,) = of_kind(server.events(), "event", event="pyaudit.leaves")
    assert (event["args"], event["layer"]) == ([path, re.sub(" by script", "", why)], "libc")


def test_who_leaves_can_be_refused(daemon, python_few, leavers):
    if "static" not in leavers:
        pytest.skip("no static program can be made here")
    server = daemon(rule("stay", "pyaudit.leaves", "arg[1] = 'static'"))
    code = "import subprocess; subprocess.run([%r])" % str(leavers["static"])
    done = server.run([python_few, "-I", "-c", code])
    assert b"PermissionError" in done.stderr, done
    assert len(of_kind(server.events(), "alert", action="block")) == 1
