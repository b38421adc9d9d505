# SPDX-License-Identifier: Apache-2.0
"""The libc layer: what raises no audit event, or hides its strings in objects, is judged as well; one act
is told once."""
import subprocess

import pytest

from conftest import lost_of, rule, rules_of

NO_ID = rule("no-id", ["@exec"], ["exec.name = 'id' or exec.cmdline startswith 'id'"], severity="critical")
LIBC = "ctypes.CDLL(None, use_errno=True)"
WORDS = "(ctypes.c_char_p * 2)(b'id', None)"

# What each prints: the call's own result, or the name of its exception.
ROUTES = {
    "path object": "subprocess.run([pathlib.Path('/usr/bin/id')])",
    "path object as executable": "subprocess.run(['x'], executable=pathlib.Path('/usr/bin/id'))",
    "fork_exec": "os.waitpid(util.spawnv_passfds(b'/usr/bin/id', [b'id'], ()), 0)[1]",
    "descriptor": "os.execve(os.open('/usr/bin/id', os.O_RDONLY), ['x'], {})",
    "ctypes system": LIBC + ".system(b'id')",
    "ctypes popen": LIBC + ".popen(b'id', b'r') or -1",
    "ctypes execv": LIBC + ".execv(b'/usr/bin/id', %s)" % WORDS,
    "ctypes execve": LIBC + ".execve(b'/usr/bin/id', %s, None)" % WORDS,
    "ctypes execvp": LIBC + ".execvp(b'id', %s)" % WORDS,
    "ctypes execl": LIBC + ".execl(b'/usr/bin/id', b'id', None)",
    "ctypes execlp": LIBC + ".execlp(b'id', b'id', None)",
    "ctypes posix_spawn": LIBC + ".posix_spawn(None, b'/usr/bin/id', None, None, %s, None)" % WORDS,
    "ctypes posix_spawnp": LIBC + ".posix_spawnp(None, b'id', None, None, %s, None)" % WORDS,
}
PROGRAM = ("import ctypes, os, pathlib, subprocess\n"
           "from multiprocessing import util\n"
           "try:\n"
           "    print('result', %s)\n"
           "except PermissionError as error:\n"
           "    print('refused', error)\n")


@pytest.mark.parametrize("route", ROUTES)
def test_denied_and_told_once(ctl_run, python, route):
    result = ctl_run([python, "-I", "-c", PROGRAM % ROUTES[route]], NO_ID)
    assert result.returncode == 0, str(result)
    assert "uid=" not in result.stdout, str(result)
    assert result.stdout.startswith(("refused", "result -1", "result 1", "result None", "result 65280")), str(result)
    alerts = result.kind("alert", action="block")
    assert [rules_of(a) for a in alerts] == [["no-id"]], alerts


# Acts that both layers see.
TOLD = {
    "os.system": "os.system('true')",
    "subprocess.run": "subprocess.run(['true'], close_fds=True, cwd='/')",
    "subprocess.shell": "subprocess.run('true', shell=True, cwd='/')",
    "os.spawnv": "os.waitpid(os.spawnv(os.P_NOWAIT, '/bin/true', ['true']), 0)",
}


@pytest.mark.parametrize("act", TOLD)
def test_what_the_audit_layer_told_is_not_told_again(ctl_run, python, act):
    code = "import os, subprocess\n" + TOLD[act]
    result = ctl_run([python, "-I", "-c", code], options=["--record", "exec"])
    assert result.returncode == 0, str(result)
    layers = [e["layer"] for e in result.kind("event")]
    assert layers and set(layers) == {"audit"}, result.kind("event")


# Raises events as subprocess does: within a call of the standard library.
AS_SUBPROCESS = """
import os, subprocess, sys
def as_subprocess(*events):
    space = {"sys": sys, "events": events}
    exec(compile("def _execute_child():\\n    for e in events: sys.audit(*e)", subprocess.__file__, "exec"), space)
    space["_execute_child"]()
"""
# One act each, and the audit events it may be: subprocess raises a second one (os.posix_spawn, or from 3.14 on
# _posixsubprocess.fork_exec), and so does the child of pty.spawn (os.exec).
ACTS = dict(TOLD, **{
    "subprocess by posix_spawn": "subprocess.run(['/bin/true', 'x'], close_fds=False)",
    "subprocess by fork_exec": "as_subprocess(('subprocess.Popen', 'true', ['true', 'x'], None, None), "
                               "('_posixsubprocess.fork_exec', [b'/nowhere/true', b'/bin/true'], [b'true', b'x'], None))",
    "pty.spawn": "import pty; pty.spawn(['/bin/true', 'x'])",
    "os.posix_spawn": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
})
ALERTED = rule("a-program", "@exec", action="alert")


@pytest.mark.parametrize("act", ACTS)
def test_one_act_is_one_alert(ctl_run, python, act):
    code = AS_SUBPROCESS + "for i in range(3):\n    " + ACTS[act]
    result = ctl_run([python, "-I", "-c", code], ALERTED)
    assert result.returncode == 0 and len(result.kind("alert")) == 3, result.kind("alert")
    # Counted once as well.
    counts = rule("programs", "@exec", action="alert", threshold={"count": 4, "within": "60s"})
    result = ctl_run([python, "-I", "-c", code], counts)
    assert result.returncode == 0 and not result.kind("alert"), result.kind("alert")


POPEN = "('subprocess.Popen', '/bin/true', ['true'], None, None)"
SPAWN = "('os.posix_spawn', '/bin/true', ['true'], None)"
ITSELF = "os.waitpid(os.posix_spawn('/bin/true', ['/bin/true', 'x'], os.environ), 0)"
CHILDREN = """
for i in range(4):
    if os.fork() == 0:
        os.execv('/bin/true', ['/bin/true', 'x'])
    os.wait()
"""
# Acts that look like the second event of one that was told, with the number of alerts.
OTHERS = {
    "other words": ("as_subprocess(%s, ('os.posix_spawn', '/bin/true', ['true', 'x'], None))" % POPEN, 2),
    "another program": ("as_subprocess(%s, ('os.posix_spawn', '/usr/bin/true', ['true'], None))" % POPEN, 2),
    "a name": ("as_subprocess(('subprocess.Popen', 'true', ['true'], None, None), %s)" % SPAWN, 2),
    "once more": ("as_subprocess(%s, %s, %s, %s)" % (POPEN, SPAWN, SPAWN, SPAWN), 3),
    "not said by Popen": ("as_subprocess(('os.system', 'true'), %s)" % SPAWN, 2),
    "another thread": ("import threading\ndef other(*events):\n"
                       "    t = threading.Thread(target=as_subprocess, args=events); t.start(); t.join()\n"
                       "other(%s)\nother(%s)" % (POPEN, SPAWN), 2),
    "by itself": ("subprocess.run(['/bin/true', 'x'], preexec_fn=lambda: None)\n" + ITSELF, 2),
    "children": ("sys.audit('subprocess.Popen', '/bin/true', ['/bin/true', 'x'], None, None)" + CHILDREN, 5),
    "children after a terminal": ("import pty\npty.spawn(['/bin/true', 'x'])" + CHILDREN, 5),
    "children's searches": ("words = ['/bin/true', 'x']\nsys.audit('os.exec', '/bin/true', words, None)" + CHILDREN.replace("['/bin/true', 'x']", "words").replace("/bin/t", "/bin//t"), 5),
}


@pytest.mark.parametrize("what", OTHERS)
def test_an_act_that_was_not_told_of_is_an_alert(ctl_run, python_few, what):
    code, n = OTHERS[what]
    result = ctl_run([python_few, "-I", "-c", AS_SUBPROCESS + code], ALERTED)
    assert result.returncode == 0 and len(result.kind("alert")) == n, result.kind("alert")


def test_each_rule_says_what_it_has_to_say(ctl_run, python_few, tmp_path):
    """One that holds for the second event of an act alone, one that is stronger there, one that records, and one that
    holds for the path alone that libc is given."""
    code = "import subprocess\ntry: subprocess.run(['/bin/true', 'x'], close_fds=False)\nexcept PermissionError: pass"
    second = ["os.posix_spawn", "_posixsubprocess.fork_exec"]
    for action in ("alert", "block"):
        result = ctl_run([python_few, "-I", "-c", code], ALERTED, rule("second", second, action=action))
        said = [(a["event"], sorted(a["rules"])) for a in result.kind("alert")]
        assert said == [("subprocess.Popen", ["a-program"]), (said[-1][0], ["a-program", "second"])], said
    result = ctl_run([python_few, "-I", "-c", code], ALERTED, rule("kept", "@exec", action="record"), options=["--record", "tamper"])
    assert [a["event"] for a in result.kind("alert")] == ["subprocess.Popen"], result.events
    assert sum(len(result.kind("event", event=name)) for name in second) == 1, result.events
    (tmp_path / "true").symlink_to("/bin/true")
    found = rule("by-path", "@exec", "exec.path under '%s'" % tmp_path, action="alert")
    code = "import os, subprocess\nos.environ['PATH'] = '/nowhere:%s:' + os.environ['PATH']\nsubprocess.run(['true', 'x'])" % tmp_path
    result = ctl_run([python_few, "-I", "-c", code], ALERTED, found)
    said = [(a["layer"], sorted(a["rules"])) for a in result.kind("alert")]
    assert said == [("audit", ["a-program"]), ("libc", ["a-program", "by-path"])], said


def test_what_it_did_not_tell_is_told_by_libc(ctl_run, python):
    code = ("import os\nfrom multiprocessing import util\n"
            "os.waitpid(util.spawnv_passfds(b'/bin/true', [b'true', b'x'], ()), 0)")
    result = ctl_run([python, "-I", "-c", code], options=["--record", "exec"])
    assert result.returncode == 0, str(result)
    events = [e for e in result.kind("event")]
    if "_posixsubprocess.fork_exec" not in [e["event"] for e in events]:  # 3.14 tells it
        assert [(e["event"], e["layer"], e["args"]) for e in events] == [
            ("libc.exec", "libc", ["/bin/true", ["true", "x"]])], events


def test_every_function_works_as_libc_has_it(ctl_run, python, tmp_path):
    """With nothing to refuse: results, errors, scripts without #!, search of PATH."""
    script = tmp_path / "script"
    script.write_text("echo script $1 $0\n")
    script.chmod(0o755)
    plain = tmp_path / "plain"
    plain.write_text("")
    code = r"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
words = (ctypes.c_char_p * 4)(b"sh", b"-c", b"echo words; exit 3", None)
env = (ctypes.c_char_p * 2)(b"A=1", None)
def child(call, *args):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        r = call(*args)
        print("returned", r, ctypes.get_errno(), flush=True)
        os._exit(9)
    print(call.__name__, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if hasattr(os, "waitstatus_to_exitcode")
          else os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
child(libc.execve, b"/bin/sh", words, env)
child(libc.execv, b"/bin/sh", words)
child(libc.execvp, b"sh", words)
child(libc.execvpe, b"sh", words, env)
child(libc.execl, b"/bin/sh", b"sh", b"-c", b"echo l $0 $1; exit 4", b"a", b"b", None)
child(libc.execlp, b"sh", b"sh", b"-c", b"echo lp; exit 5", None)
child(libc.execle, b"/bin/sh", b"sh", b"-c", b"echo le $A; exit 6", None, env)
child(libc.execv, b"%(plain)s", words)
child(libc.execvp, b"%(script)s", (ctypes.c_char_p * 3)(b"x", b"one", None))
child(libc.execv, b"/nowhere/at/all", words)
child(libc.execvp, b"no-such-program-anywhere", words)
child(libc.execvp, b"", words)
child(libc.fexecve, os.open("/bin/sh", os.O_RDONLY), words, env)
child(libc.execveat, os.open("/bin", os.O_RDONLY), b"sh", words, env, 0)
print("system", libc.system(b"exit 7") >> 8, libc.system(None) != 0)
pid = ctypes.c_int()
for f, name in ((libc.posix_spawn, b"/bin/sh"), (libc.posix_spawnp, b"sh")):
    print(f.__name__, f(ctypes.byref(pid), name, None, None, words, env), os.waitpid(pid.value, 0)[1] >> 8)
print("missing", libc.posix_spawn(ctypes.byref(pid), b"/nowhere", None, None, words, env))
libc.popen.restype = ctypes.c_void_p
libc.pclose.argtypes = [ctypes.c_void_p]
print("popen", libc.pclose(libc.popen(b"exit 8", b"r")) >> 8)
""" % {"plain": plain, "script": script}
    alone = subprocess.run([str(python), "-I", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, universal_newlines=True)
    result = ctl_run([python, "-I", "-c", code], NO_ID, options=["--record", "exec"])
    assert result.stdout == alone.stdout, str(result)
    assert "execle 6" in alone.stdout and "words" in alone.stdout, alone
    assert not result.kind("alert") and lost_of(result.events) == 0


def test_programs_that_are_not_python_are_left_alone(ctl_run):
    """The preload is inherited: shells and what they start behave as ever."""
    result = ctl_run(["/bin/sh", "-c", "echo a | cat; (exec id -u); env | grep -c LD_PRELOAD; exit 3"], NO_ID)
    assert result.returncode == 3
    assert result.stdout.split()[0] == "a" and result.stdout.split()[1].isdigit(), str(result)
    assert not result.kind("alert")


CALLER = r"""
import asyncio, os, subprocess, sys, threading
def ways():
    yield os.system("true")
    yield subprocess.run(["true"]).returncode
    yield subprocess.run("true", shell=True, cwd="/").returncode
    yield subprocess.run(["true"], preexec_fn=lambda: None).returncode
    yield os.spawnv(os.P_WAIT, "/bin/true", ["true"])
    yield os.waitpid(os.posix_spawnp("true", ["true"], os.environ), 0)[1]
    yield os.popen("true").close()
    async def run():
        return await (await asyncio.create_subprocess_exec("true")).wait()
    yield asyncio.new_event_loop().run_until_complete(run())
def main():
    try:
        print(*[0 if r is None else r for r in ways()])
    except PermissionError as error:
        print("refused", error)
    threads = [threading.Thread(target=lambda: print(subprocess.run(["true"]).returncode, flush=True)) for _ in range(12)]
    for t in threads: t.start()
    for t in threads: t.join()
main()
"""


@pytest.mark.parametrize("module, passes", [("__main__", True), ("elsewhere", False)])
def test_the_code_that_asked_counts_in_both_layers(ctl_run, python, module, passes):
    """An exception for the caller holds also where libc's call is made without the GIL, or in a child."""
    allowed = rule("no-exec", "@exec", exceptions=[
        {"when": "caller.module = '%s' or stack.function = 'nothing'" % module, "owner": "tests", "reason": "this one"}])
    result = ctl_run([python, "-I", "-c", CALLER], allowed)
    if passes:
        assert result.stdout.split() == ["0"] * 20 and not result.kind("alert"), str(result)
    else:
        assert result.stdout.startswith("refused") and "0" not in result.stdout.split(), str(result)


def test_a_refusal_by_libc_names_the_code(ctl_run, python):
    code = "import pathlib, subprocess\ndef start():\n    subprocess.run([pathlib.Path('/usr/bin/id')], cwd='/')\nstart()"
    result = ctl_run([python, "-I", "-c", code], NO_ID)
    (alert,) = result.kind("alert", action="block")
    layer = "libc" if python.version < (3, 14) else "audit"  # from then on fork_exec is an event, and its words are bytes
    assert alert["layer"] == layer and alert["caller"]["file"] == "<string>" and alert["caller"]["function"] == "start", alert
    assert alert["stack"], alert
