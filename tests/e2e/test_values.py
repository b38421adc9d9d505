# SPDX-License-Identifier: Apache-2.0
"""What the values of events mean, as the interpreter raises them: the table in pyaudit-rules(5), VALUES. Where paths lead
is tried part by part in tests/unit/test_real.c, and what is made of arguments in tests/unit/test_fields.c."""
import pytest

from conftest import rule

TRY = """
import os, shutil, subprocess, sys
from pathlib import Path
def tried(name, act):
    try:
        made = act()
    except PermissionError as error:
        print(name, "refused" if "pyauditd" in str(error) else "failed: %r" % error, sep="\\t")
    except Exception as error:
        print(name, "failed: %r" % error, sep="\\t")
    else:
        print(name, "passed", sep="\\t")
        if isinstance(made, int) and made > 2: os.close(made)
"""


def said_of(ctl_run, python, code, *rules, **more):
    result = ctl_run([python, "-I", "-c", TRY + code], *rules, **more)
    assert result.returncode == 0, str(result)[:2000]
    return dict(line.split("\t", 1) for line in result.stdout.splitlines()), result


# Where paths lead

LEADS = """
os.chdir(%r)
secret = os.path.realpath("etc") + "/secret"
etc, file = os.open("etc", os.O_RDONLY), os.open("srv/file", os.O_RDWR)
"""
KEPT = {
    "plain": "open(secret)",
    "relative": "open('etc/secret')",
    "link": "open('srv/secret')",
    "directory": "open('srv/conf/secret', 'rb')",
    "spelling": "open('srv//conf/.//../etc/sub/../secret')",
    "bytes": "open(b'srv/conf/secret')",
    "os.PathLike": "open(Path('srv/secret'))",
    "surrogate": "open('\\udcff/../etc/secret')",
    "os.open": "os.open('srv/secret', os.O_RDONLY)",
    "root": "open('/proc/self/root' + secret)",
    "cwd": "open('/proc/self/cwd/srv/secret')",
    "magic": "open('/proc/self/fd/%d/secret' % etc)",
    "dir_fd": "os.chmod('secret', 0o600, dir_fd=etc)",
    "dir_fd-link": "os.mkdir('sub/../new', dir_fd=etc)",
    "descriptor": "os.truncate(file, 0)",
    "truncate": "os.truncate('srv/secret', 0)",
    "new": "open('srv/conf/made', 'w')",
    "dangling": "open('srv/dangling', 'w')",
    "remove": "os.remove('srv/conf/secret')",
    "rename": "os.rename('srv/other', 'srv/conf/other')",
    "move": "shutil.move('srv/other', 'srv/conf/other')",
    "symlink": "os.symlink('x', 'there', dir_fd=etc)",
    "copy": "shutil.copyfile('srv/other', 'srv/dangling')",
}
# What looks like it and leads elsewhere, or is about the link itself.
FREE = {
    "file": "open('srv/file')",
    "same-name": "open('srv/etc/secret')",
    "text": "os.symlink('../etc/secret', 'srv/away')",
    "link-itself": "os.remove('srv/secret')",
    "renamed-link": "os.rename('srv/conf', 'srv/renamed')",
}


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "place"
    for name in ("etc/sub", "srv/etc"):
        (place / name).mkdir(parents=True)
    for name in ("etc/secret", "srv/file", "srv/other", "srv/etc/secret"):
        (place / name).write_text("text\n")
    (place / "srv/secret").symlink_to("conf/secret")
    (place / "srv/conf").symlink_to("../etc")
    (place / "srv/dangling").symlink_to("conf/made")
    return place.resolve()


def test_however_a_path_is_written_it_leads_to_one_file(ctl_run, python, place):
    code = LEADS % str(place) + "".join("tried(%r, lambda: %s)\n" % case for case in {**KEPT, **FREE}.items())
    below = "startswith '%s/etc/'" % place
    said, result = said_of(ctl_run, python, code,
                           rule("kept", "@file", "file.real %s or file.real_target %s" % (below, below),
                                message="to {file.real}"),
                           rule("descriptor", "os.truncate", ["exists file.fd", "file.real = '%s/srv/file'" % place]))
    assert said == dict(dict.fromkeys(KEPT, "refused"), **dict.fromkeys(FREE, "passed")), result.stderr
    assert sorted(p.name for p in (place / "etc").iterdir()) == ["secret", "sub"]
    alerts = [e for e in result.kind("alert") if e["action"] == "block"]
    assert len(alerts) >= len(KEPT)
    for alert in alerts:
        leads = alert.get("file_real", ""), alert.get("file_real_target", "")
        assert alert["rule"] == "descriptor" or any(path.startswith("%s/etc/" % place) for path in leads), alert
    assert any(alert["message"] == "to %s/etc/secret" % place for alert in alerts)


UNTOLD = """
os.chdir(%r)
os.makedirs("there/etc", exist_ok=True)
above = os.open(os.getcwd(), os.O_RDONLY)
os.chdir("there")
tried("above", lambda: os.open("etc/secret", os.O_RDONLY, dir_fd=above))
tried("directory", lambda: os.open("../etc", os.O_RDONLY))
tried("changed", lambda: os.chmod("etc/secret", 0o600, dir_fd=above))
tried("absolute", lambda: os.open("/dev/null", os.O_RDONLY))
"""


def test_os_open_does_not_tell_its_dir_fd(ctl_run, python, place):
    """What a rule sees of it, and what holds all the same: docs/THREAT_MODEL.md."""
    said, result = said_of(ctl_run, python, UNTOLD % str(place), rule("kept", "@file", "file.real under '%s/etc'" % place),
                           rule("seen", "open", "file.path = 'etc/secret'", action="alert"))
    assert said == {"above": "passed", "directory": "refused", "changed": "refused", "absolute": "passed"}, str(result)
    (seen,) = result.kind("alert", rule="seen")
    assert seen["args"][:2] == ["etc/secret", None] and seen["file_real"] == "%s/there/etc/secret" % place
    # os.open alone has no mode.
    said, result = said_of(ctl_run, python, UNTOLD % str(place),
                           rule("relative", "open", ["not exists arg[1]", "not file.path startswith '/'"]))
    assert said == {"above": "refused", "directory": "refused", "changed": "passed", "absolute": "passed"}, str(result)


def test_what_nobody_asks_for_is_not_said(ctl_run, python, place):
    said, result = said_of(ctl_run, python, LEADS % str(place) + "tried('link', lambda: open('srv/secret'))",
                           rule("by-text", "open", "file.path = 'srv/secret'", action="alert"))
    assert said == {"link": "passed"}
    (alert,) = result.kind("alert")
    assert "file_real" not in alert


# What arguments are

PATHS = {
    "str": "open('/etc/hosts')",
    "subclass": "open(type('S', (str,), {'__str__': lambda s: 'x'})('/etc/hosts'))",
    "bytes": "open(b'/etc/hosts')",
    "PathLike": "open(Path('/etc/hosts'))",
    "PathLike of bytes": "open(type('P', (), {'__fspath__': lambda s: b'/etc/hosts'})())",
    "os.open": "os.open(Path('/etc/hosts'), os.O_RDONLY)",
    "slashes": "open('//etc///hosts')",
    "dots": "open('/etc/./../etc/hosts')",
    "os.stat's PathLike": "os.listdir(Path('/etc/hosts'))",
    "trailing": "os.listdir('/etc/hosts/')",
    "removed": "os.remove(Path('/etc/hosts'))",
}


def test_paths_are_text_whatever_holds_them(ctl_run, python):
    said, result = said_of(ctl_run, python, "".join("tried(%r, lambda: %s)\n" % case for case in PATHS.items()),
                           rule("r", "@file", "file.path under '/etc/hosts'"))
    assert said == dict.fromkeys(PATHS, "refused"), str(result)


def test_surrogate_escapes_are_the_bytes_they_stand_for(ctl_run, python, tmp_path):
    code = "tried('escaped', lambda: open('/tmp/\\udcff\\udc80'))\ntried('bytes', lambda: open(b'/tmp/\\xff\\x80'))\n" \
           "tried('latin', lambda: open('/dev/null'))\n"
    said, _ = said_of(ctl_run, python, code, rule("r", "open", r"file.path = '/tmp/\xff\x80'"))
    assert said == {"escaped": "refused", "bytes": "refused", "latin": "passed"}


def test_a_number_in_place_of_a_path_is_a_descriptor(ctl_run, python):
    code = "fd = os.open('/', os.O_RDONLY)\ntried('listdir', lambda: os.listdir(fd))\ntried('path', lambda: os.listdir('/'))\n" \
           "tried('none', lambda: os.listdir())\n"
    said, _ = said_of(ctl_run, python, code, rule("r", "os.listdir", ["exists file.fd", "not exists file.path"]))
    assert said == {"listdir": "refused", "path": "passed", "none": "passed"}


INTENTS = {
    "open('x')": False, "open('x', 'rb')": False, "open('x', 'r+')": True, "open('x', 'w')": True, "open('x', 'xb')": True,
    "open('x', 'a')": True, "os.open('x', os.O_RDONLY)": False, "os.open('x', os.O_RDONLY | os.O_NOFOLLOW)": False,
    "os.open('x', os.O_WRONLY)": True, "os.open('x', os.O_RDWR)": True, "os.open('x', os.O_RDONLY | os.O_CREAT)": True,
    "os.open('x', os.O_RDONLY | os.O_TRUNC)": True, "os.open('x', os.O_APPEND)": True, "os.chmod('x', 0o600)": True,
    "os.listdir('.')": False,
}


def test_open_intends_what_mode_or_flags_say(ctl_run, python, tmp_path):
    (tmp_path / "x").write_text("")
    code = "os.chdir(%r)\n" % str(tmp_path) + "".join("tried('%d', lambda: %s)\n" % case for case in enumerate(INTENTS))
    code = code.replace("'x', 'xb'", "'new', 'xb'")
    said, result = said_of(ctl_run, python, code, rule("r", "@file", ["file.write", "file.path in ['x', 'new']"]))
    got = dict(zip(INTENTS, (said[str(i)] == "refused" for i in range(len(INTENTS)))))
    assert got == INTENTS, str(result)


PROGRAMS = {
    "sh": "subprocess.call(['sh', '-c', ':'])",
    "shell=True": "subprocess.call(':', shell=True)",
    "argv[0]": "subprocess.call(['harmless', '-c', ':'], executable='/bin/sh')",
    "execv": "os.execv('/bin/sh', ['harmless', '-c', ':'])",
    "os.system": "os.system(':')",
    "PathLike": "subprocess.call([Path('/bin/sh'), '-c', ':'])",
    "bytes": "subprocess.call([b'/bin/sh', b'-c', b':'])",
    "env": "subprocess.call(['env', 'A=1', 'sh', '-c', ':'])",
    "env -S": "subprocess.call(['/usr/bin/env', '-S', 'sh -c :'])",
    "nohup": "subprocess.call(['nohup', '/bin/sh', '-c', ':'])",
    "nested": "subprocess.call(['nice', '-n', '5', 'timeout', '-k', '1', '5', 'sh', '-c', ':'])",
    "sudo": "subprocess.call(['sudo', '-n', '-u', 'root', 'sh', '-c', ':'])",
    "busybox": "subprocess.call(['busybox', 'sh', '-c', ':'])",
    "posix_spawn": "os.posix_spawn('/usr/bin/env', ['env', 'sh', '-c', ':'], os.environ)",
}
NO_SHELLS = {"true": "subprocess.call(['true'])", "a name": "subprocess.call(['env', 'true', 'sh', '-c'])",
             "argv[0] alone": "subprocess.call(['sh', '-c'], executable='/bin/true')"}


def test_a_shell_is_found_behind_other_programs(ctl_run, python):
    code = "".join("tried(%r, lambda: %s)\n" % case for case in {**PROGRAMS, **NO_SHELLS}.items())
    said, result = said_of(ctl_run, python, code, rule("r", "@exec", "exec.programs in ['sh', 'bash', 'dash']"))
    refused = {name: said[name].startswith(("refused", "failed: PermissionError")) for name in PROGRAMS}
    assert refused == dict.fromkeys(PROGRAMS, True), str(result)
    assert {name: said[name] for name in NO_SHELLS} == dict.fromkeys(NO_SHELLS, "passed"), str(result)
    assert sum(1 for e in result.kind("alert") if e["action"] == "block") >= len(PROGRAMS)


def test_a_shell_that_is_given_a_command_behind_env_is_one(ctl_run, python):
    code = "tried('env', lambda: subprocess.call(['env', 'sh', '-c', ':']))\n" \
           "tried('script', lambda: subprocess.call(['env', 'sh', '/dev/null', '-c']))\n"
    said, _ = said_of(ctl_run, python, code, rule("r", "subprocess.Popen", "exec.shell"))
    assert said == {"env": "refused", "script": "passed"}
