# SPDX-License-Identifier: Apache-2.0
"""The agent as a guest: it runs none of the program's code, says nothing on its descriptors, and changes
nothing that the program could notice."""
import os
import platform
import re
import shutil
import subprocess

import pytest

from conftest import MARK, MARKS, NO_EXEC, PATIENCE, clean_env, lost_of, of_kind, rule, rules_of, wait_for

# Every way in which looking at an object could run its code says so and spoils the exit status.
HOSTILE = r"""
import os, sys
calls = []
def trap(name):
    def method(self, *arguments, **named):
        calls.append(name)
        raise RuntimeError('the hook ran ' + name)
    return method
NAMES = '''__str__ __repr__ __fspath__ __eq__ __ne__ __lt__ __hash__ __bytes__ __format__ __len__ __iter__ __next__
    __getitem__ __contains__ __bool__ __int__ __index__ __float__ __getattr__ __getattribute__ __call__ __del__
    __buffer__ __instancecheck__ __subclasscheck__ __class_getitem__ __get__ __reduce__ __sizeof__ __dir__ __enter__
    __add__ __radd__ __mod__ __set_name__ __length_hint__ __missing__ __reversed__ __complex__ __round__'''.split()
BODY = {name: trap(name) for name in NAMES}
quiet = {k: v for k, v in BODY.items() if k not in ('__del__', '__set_name__')}
class Meta(type):
    __repr__ = __str__ = __getattr__ = trap('metaclass')
    __instancecheck__ = __subclasscheck__ = trap('metaclass check')
Str = type('Str', (str,), quiet)
Bytes = type('Bytes', (bytes,), quiet)
Int = type('Int', (int,), quiet)
Float = type('Float', (float,), quiet)
Tuple = type('Tuple', (tuple,), quiet)
List = type('List', (list,), quiet)
Dict = type('Dict', (dict,), quiet)
Plain = Meta('Plain', (), dict(quiet))
class Liar(str):
    __class__ = property(lambda self: calls.append('__class__') or int)
    def __str__(self): calls.append('__str__'); return '/etc/innocent'
values = [Str('/etc/shadow'), Bytes(b'/etc/shadow'), Int(7), Float(1.5), Tuple(('a', Str('b'))), List([Str('c'), Plain()]),
          Dict(), Plain(), Liar('/etc/shadow'), [Plain(), [Str('deep')]], (Plain(),) * 3, Plain]
for value in values:
    sys.audit('MARK', value)
    for event in ('open', 'subprocess.Popen', 'os.system', 'socket.connect', 'import', 'exec', 'compile',
                  'os.exec', 'pickle.find_class', 'ctypes.dlopen', 'urllib.Request', 'shutil.copyfile'):
        try:
            sys.audit(event, value, value, value, value)
        except PermissionError:
            pass
sys.audit('MARK', *values)
sys.audit(Str('os.mkdir') if False else 'os.mkdir', values[0], values[1], values[2])
# A list that changes while it stands in an event, and one that holds itself.
loop = []
loop.append(loop)
sys.audit('MARK', loop, [loop, loop])
print(calls)
""".replace("MARK", MARK)
ALL = ("@exec", "@file", "@network", "@import", "@native", "@code", "@unpickle", "@startup", "@tamper")
LOOKS = rule("looks", ["@exec", "@file", "@network"], [
    "file.path contains 'no such thing' or exec.cmdline contains 'no such thing' or net.host = 'no such thing' or "
    "arg[0] contains 'no such thing' or arg[1] glob 'no*such' or caller.file = 'no' or exec.argv contains 'nothing'"])


def test_no_code_of_the_program_runs(ctl_run, python):
    result = ctl_run([python, "-I", "-c", HOSTILE], LOOKS, rule("shadow", "os.mkdir", "file.path = '/etc/shadow'",
                                                                action="alert"), options=["--record", "all"])
    assert result.returncode == 0, str(result)
    assert result.stdout == "[]\n", str(result)
    # A subclass of str is read from its storage: it can neither hide nor lie.
    assert [a for a in result.kind("alert") if a["event"] == "os.mkdir"], str(result)
    marks = [e["args"][0] for e in result.kind("event", event=MARK) if len(e["args"]) == 1]
    assert marks[0] == "/etc/shadow" and marks[8] == "/etc/shadow", marks


def test_a_liar_is_denied(ctl_run, python):
    code = ("import os\n"
            "class Liar(str):\n"
            "    def __str__(self): return '/tmp'\n"
            "    def __eq__(self, other): return False\n"
            "    __hash__ = str.__hash__\n"
            "    def __fspath__(self): return '/tmp'\n"
            "open(Liar('/etc/passwd'))\n")
    result = ctl_run([python, "-I", "-c", code], rule("no-passwd", "open", "file.path = '/etc/passwd'"))
    assert "rule 'no-passwd' denied open" in result.stderr, str(result)


# The program's view of itself must be the same with and without the agent.

def same(daemon, python, code, options=("-I",), rules=(MARKS,), env=None, status=0):
    server = daemon(*rules)
    plain = dict(clean_env(**(env or {})))
    command = [str(python)] + list(options) + ["-c", code]
    without = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=plain,
                             timeout=60 * PATIENCE)
    with_it = server.run(command, env=server.env(**(env or {})))
    assert without.returncode == status, without
    assert with_it.returncode == without.returncode, with_it
    assert with_it.stdout == without.stdout
    assert with_it.stderr == without.stderr
    return server


def test_errno_is_kept(daemon, python):
    code = ("import ctypes, sys\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "ctypes.set_errno(11)\n"
            "for i in range(1000):\n"
            "    sys.audit('%s', i)\n"
            "assert ctypes.get_errno() == 11\n"
            "import os\n"
            "for path in ('/nonexistent', '/etc/passwd/x', '/' + 'x' * 5000):\n"
            "    try: os.open(path, 0)\n"
            "    except OSError as e: print(e.errno, e.strerror)\n" % MARK)
    same(daemon, python, code)


def test_silent_on_the_programs_descriptors(daemon, python):
    same(daemon, python, "import os\nos.chdir('/')\nos.listdir('.')\nprint('out')")


def test_only_high_descriptors(daemon, python):
    code = ("import os, sys\n"
            "sys.audit('%s', 1)\n"
            "print(sorted(int(f) for f in os.listdir('/proc/self/fd')))\n"
            "low = os.open('/dev/null', 0); print(low)\n"
            "inherit = [f for f in range(3, 4096) if os.path.exists('/proc/self/fd/%%d' %% f) and os.get_inheritable(f)]\n"
            "print(inherit)" % MARK)
    server = daemon(MARKS)
    before = subprocess.run([str(python), "-I", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            env=clean_env()).stdout.decode().splitlines()
    after = server.run([python, "-I", "-c", code]).stdout.decode().splitlines()
    ours = set(eval(after[0])) - set(eval(before[0]))
    assert set(eval(before[0])) <= set(eval(after[0]))
    assert ours and min(ours) > 100, after[0]
    assert len(ours) <= 3, after[0]
    assert after[1] == before[1], "the program's next descriptor is another"
    assert after[2] == before[2], "ours survive an exec"


def test_closerange(daemon, python):
    """Every descriptor closed, and reused by the program: denials hold, nothing of the program's is touched."""
    code = ("import os, resource, sys\n"
            "def denied():\n"
            "    try: os.system('id')\n"
            "    except PermissionError as e: return 'pyauditd' in str(e)\n"
            "    return False\n"
            "print(denied())\n"
            "highest = max(int(f) for f in os.listdir('/proc/self/fd'))\n"
            "os.closerange(3, highest + 10)\n"
            "mine = os.open('/dev/null', os.O_RDWR)\n"
            "for fd in range(mine + 1, highest + 10): os.dup2(mine, fd)\n"
            "for i in range(2000): sys.audit('%s', 'mark:%%d' %% i)\n"
            "print(denied())\n"
            "links = {os.readlink('/proc/self/fd/%%d' %% fd) for fd in range(mine, highest + 10)}\n"
            "print(links)\n" % MARK)
    server = daemon(NO_EXEC, MARKS)
    done = server.run([python, "-I", "-c", code])
    assert done.returncode == 0, done
    assert done.stdout.decode().splitlines() == ["True", "True", "{'/dev/null'}"], done
    events = wait_for(lambda: (lambda seen: seen if len(of_kind(seen, "event", event=MARK)) >= 2000 else None)(
        server.events()), "the events of a program that closed its descriptors")
    assert len(of_kind(events, "event", event=MARK)) == 2000
    assert len(of_kind(events, "alert", action="block")) == 2


@pytest.mark.parametrize("setting", ["-X dev", "PYTHONMALLOC=debug", "PYTHONMALLOC=malloc", "PYTHONMALLOC=pymalloc_debug",
                                     "-X tracemalloc", "-X importtime", "-X faulthandler", "-O -O", "-S -E", "-u",
                                     "-X utf8", "PYTHONHASHSEED=1", "LC_ALL=C"])
def test_interpreter_settings(daemon, python, setting):
    if python.tag.endswith("t") and setting in ("PYTHONMALLOC=malloc", "PYTHONMALLOC=pymalloc_debug"):
        pytest.skip("not there without a GIL")
    code = ("import sys, json, os\n"
            "for i in range(50): sys.audit('%s', i, 'x' * i)\n"
            "try: os.system('id')\n"
            "except PermissionError as e: print(e)\n"
            "print('done')" % MARK)
    options, env = ("-I",), {}
    if setting.startswith("-"):
        options = tuple(setting.split())
    else:
        env = dict([setting.split("=")])
        options = ()
    server = daemon(NO_EXEC, MARKS)
    done = server.run([python] + list(options) + ["-c", code], env=server.env(**env))
    assert done.returncode == 0, done
    assert done.stdout.decode() == "[Errno 1] pyauditd: rule 'no-exec' denied os.system\ndone\n", done
    if "importtime" not in setting:
        assert done.stderr == b"", done


def test_daemonising(daemon, python, tmp_path):
    out = tmp_path / "out"
    code = ("import os, sys\n"
            "if os.fork(): os._exit(0)\n"
            "os.setsid()\n"
            "if os.fork(): os._exit(0)\n"
            "os.chdir('/'); os.umask(0)\n"
            "os.closerange(0, 4096)\n"
            "fd = os.open(os.devnull, os.O_RDWR); os.dup2(fd, 1); os.dup2(fd, 2)\n"
            "for i in range(100): sys.audit('%s', 'daemon:%%d' %% i)\n"
            "try: os.system('id')\n"
            "except PermissionError as e: text = str(e)\n"
            "f = os.open(%r, os.O_CREAT | os.O_WRONLY, 0o644); os.write(f, text.encode()); os.close(f)\n"
            % (MARK, str(out)))
    server = daemon(NO_EXEC, MARKS)
    done = server.run([python, "-I", "-c", code])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    wait_for(lambda: out.exists() and out.read_text(), "the double-forked child")
    assert "no-exec" in out.read_text()
    wait_for(lambda: len(of_kind(server.events(), "event", event=MARK)) == 100, "its events")


def test_threads(daemon, python):
    code = ("import sys, threading\n"
            "def work(k):\n"
            "    for i in range(500): sys.audit('%s', k * 1000 + i)\n"
            "threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]\n"
            "[t.start() for t in threads]; [t.join() for t in threads]\n"
            "print('joined')" % MARK)
    server = same(daemon, python, code)
    events = of_kind(wait_for(lambda: (lambda s: s if len(of_kind(s, "event", event=MARK)) >= 4000 else None)(
        server.events()), "4000 events"), "event", event=MARK)
    assert sorted(e["args"][0] for e in events) == sorted(k * 1000 + i for k in range(8) for i in range(500))
    assert len({e["tid"] for e in events}) == 8
    for tid in {e["tid"] for e in events}:
        own = [e["args"][0] for e in events if e["tid"] == tid]
        assert own == sorted(own), "the events of one thread out of order"


def test_subinterpreters(daemon, python):
    modules = ("_interpreters", "_xxsubinterpreters")
    code = ("import importlib, os\n"
            "for name in %r:\n"
            "    try: module = importlib.import_module(name); break\n"
            "    except ImportError: module = None\n"
            "if module is None: raise SystemExit(77)\n"
            "one = module.create()\n"
            "got = module.run_string(one, '''\n"
            "import os, sys\n"
            "try: os.system('id')\n"
            "except PermissionError as e: print(e, flush=True)\n"
            "sys.audit('%s', 'inside')\n"
            "''')\n"
            "assert got is None, got\n"
            "module.destroy(one)\n"
            "print('done')" % (modules, MARK))
    server = daemon(NO_EXEC, MARKS)
    done = server.run([python, "-I", "-W", "ignore", "-c", code])
    if done.returncode == 77:
        pytest.skip("%s has no module for subinterpreters" % python.tag)
    assert done.returncode == 0, done
    assert done.stdout.decode() == "[Errno 1] pyauditd: rule 'no-exec' denied os.system\ndone\n", done
    wait_for(lambda: [e["args"] for e in of_kind(server.events(), "event", event=MARK)] == [["inside"]], "its event")


ALONE = """
static void call(long number, long a, long b, long c) { %s }
void _start(void) { call(%s, 1, (long)"alone\\n", 6); call(%s, 0, 0, 0); }
"""
CALLS = {  # a system call, write, exit
    "x86_64": ('__asm__ volatile("syscall" : : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");', 1, 60),
    "aarch64": ('register long n __asm__("x8") = number, x __asm__("x0") = a, y __asm__("x1") = b, z __asm__("x2") = c; '
                '__asm__ volatile("svc 0" : "+r"(x) : "r"(n), "r"(y), "r"(z) : "memory");', 64, 93),
}


def test_a_program_without_libc(daemon, tmp_path):
    """Go makes such: the loader brings the preload, and nothing else."""
    if not shutil.which("cc") or platform.machine() not in CALLS:
        pytest.skip("no compiler, or no such program for %s" % platform.machine())
    (tmp_path / "alone.c").write_text(ALONE % CALLS[platform.machine()])
    subprocess.run(["cc", "-O1", "-nostdlib", "-fPIE", "-pie", "-o", str(tmp_path / "alone"), str(tmp_path / "alone.c")], check=True)
    done = daemon(MARKS).run([tmp_path / "alone"])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"alone\n", b"")


OWN_GIL = """
import sys, threading
if sys.version_info < (3, 12): raise SystemExit(77)
try: import _interpreters as module
except ImportError: import _xxsubinterpreters as module
WORK = '''
import os, sys
denied = 0
for i in range(100):
    sys.audit('%(mark)s', %%d * 1000 + i, 'text', ['a', b'b'])
    if i %% 20 == 0:
        try: os.system('id')
        except PermissionError: denied += 1
sys.audit('%(mark)s', %%d * 1000 + 100 + denied)
'''
results = []
def work(k):
    one = module.create()  # isolated, which means a GIL of its own
    if hasattr(module, 'get_config'): assert module.get_config(one).gil == 'own'
    results.append(module.run_string(one, WORK.replace('%%d', str(k))))
    module.destroy(one)
for first in (1, 5):
    threads = [threading.Thread(target=work, args=(k,)) for k in range(first, first + 4)]
    for t in threads: t.start()
    for i in range(100): sys.audit('%(mark)s', first * 100000 + i)
    for t in threads: t.join()
print(results == [None] * 8)
""" % {"mark": MARK}


def test_interpreters_with_a_gil_of_their_own(daemon, python):
    """Four at a time, and the main one: nothing is lost or comes twice, each denial holds and is told."""
    server = daemon(NO_EXEC, MARKS)
    done = server.run([python, "-I", "-W", "ignore", "-c", OWN_GIL])
    if done.returncode == 77:
        pytest.skip("%s has one GIL for all" % python.tag)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"True\n", b"")
    said = [k * 1000 + i for k in range(1, 9) for i in list(range(100)) + [105]]
    said += [first * 100000 + i for first in (1, 5) for i in range(100)]

    def arrived():
        events = server.events()
        alerts = [e for e in of_kind(events, "alert") if rules_of(e) == ["no-exec"]]
        told = of_kind(events, "event", event=MARK)
        return (told, alerts, lost_of(events)) if len(told) + len(alerts) + lost_of(events) >= len(said) + 40 else None

    told, alerts, lost = wait_for(arrived, "%d events and 40 alerts" % len(said), 30)
    assert (len(alerts), lost) == (40, 0)  # all of them have room in the ring
    assert sorted(e["args"][0] for e in told) == sorted(said)


def test_run_as_a_module(daemon, python):
    same(daemon, python, "import runpy; runpy.run_module('this')")


def test_events_of_the_last_moment(ctl_run, python):
    """atexit, __del__ at finalisation and after the interpreter's modules are gone."""
    code = ("import atexit, sys, os\n"
            "audit = sys.audit\n"
            "class Late:\n"
            "    def __del__(self, audit=audit): audit('%(mark)s', 'del')\n"
            "late = Late()\n"
            "sys.late = Late()\n"
            "atexit.register(audit, '%(mark)s', 'atexit')\n" % {"mark": MARK})
    result = ctl_run([python, "-I", "-c", code], MARKS)
    assert result.returncode == 0 and result.stderr == "", str(result)
    said = [e["args"][0] for e in result.kind("event", event=MARK)]
    assert said[0] == "atexit" and said.count("del") >= 1, said


@pytest.mark.parametrize("lives", [1, 10])
def test_embedded_interpreter(daemon, python, tmp_path, lives):
    """A program that initialises an interpreter and ends it, and one that does so again."""
    config = os.path.realpath(str(python)) + "-config"
    if not (shutil.which("cc") and os.path.exists(config)):
        pytest.skip("no python3-config beside %s" % python.tag)
    source = tmp_path / "embed.c"
    source.write_text("void Py_Initialize(void); void Py_Finalize(void); int PyRun_SimpleString(const char *);\n"
                      "int PyRun_SimpleStringFlags(const char *, void *);\n"
                      "int main(void) { for (int i = 0; i < %d; i++) { Py_Initialize();\n"
                      "PyRun_SimpleStringFlags(\"import os\\ntry: os.system('id')\\n\"\n"
                      "\"except PermissionError as e: print(e, flush=True)\\n\", 0);\n"
                      "Py_Finalize(); } return 0; }\n" % lives)
    flags = subprocess.run([config, "--embed", "--ldflags"], stdout=subprocess.PIPE).stdout.decode().split()
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(str(python)))), "lib")
    built = subprocess.run(["cc", str(source), "-o", str(tmp_path / "embed")] + flags + ["-rdynamic", "-Wl,-rpath," + folder],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if built.returncode:
        pytest.skip("no library to embed %s: %s" % (python.tag, built.stdout.decode().strip()[-80:]))
    server = daemon(NO_EXEC)
    done = server.run([tmp_path / "embed"])
    assert done.returncode == 0, done
    denied = "[Errno 1] pyauditd: rule 'no-exec' denied os.system\n"
    assert done.stdout.decode() == denied * lives, done


def test_other_programs_are_left_alone(daemon):
    """Where there is no Python the agent does nothing: no socket, no descriptor, no thread."""
    server = daemon(NO_EXEC)
    done = server.run(["ls", "/proc/self/fd"])
    without = subprocess.run(["ls", "/proc/self/fd"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=clean_env())
    assert len(done.stdout.split()) == len(without.stdout.split()), (done.stdout, without.stdout)
    assert done.stderr == b""
    assert server.status()["processes"] == []


def test_disabled_by_the_environment(daemon, python):
    server = daemon(NO_EXEC)
    done = server.run([python, "-I", "-c", "import os; os.system('echo ran')"], env=server.env(PYAUDIT_DISABLE="1"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ran\n", b"")


def test_program_that_sets_its_own_limits(daemon, python):
    """Few descriptors, no new files, a small address space: the agent gives way, denials hold."""
    for limit in ("resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))",
                  "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
                  "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))"):
        server = daemon(NO_EXEC)
        done = server.run([python, "-I", "-c", "import os, resource\n%s\nif os.fork():\n    os.wait()\n"
                           "try: os.system('id')\nexcept PermissionError as e: os.write(1, b'refused ')" % limit])
        assert (done.returncode, done.stdout) == (0, b"refused refused "), (limit, done)


def test_recursion_and_deep_stacks(ctl_run, python):
    code = ("import sys\n"
            "def down(n):\n"
            "    if n == 0: sys.audit('%(mark)s', 'deep')\n"
            "    else: down(n - 1)\n"
            "down(500)\n"
            "def endless(): sys.audit('%(mark)s', 'x'); endless()\n"
            "try: endless()\n"
            "except RecursionError: print('recursion')\n" % {"mark": MARK})
    result = ctl_run([python, "-I", "-c", code],
                     rule("deep", MARK, ["arg[0] = 'deep'", "stack.function = 'down'"], action="alert"))
    assert (result.returncode, result.stdout) == (0, "recursion\n"), str(result)
    alert = result.kind("alert")[0]
    assert alert["caller"]["function"] == "down"
    assert 1 < len(alert["stack"]) <= 32, alert


def test_exception_state_is_the_programs(ctl_run, python):
    code = ("import os, sys\n"
            "try:\n"
            "    1 / 0\n"
            "except ZeroDivisionError as first:\n"
            "    try: os.system('id')\n"
            "    except PermissionError as second:\n"
            "        assert second.__context__ is first\n"
            "        assert sys.exc_info()[1] is second\n"
            "    assert sys.exc_info()[1] is first\n"
            "def generate():\n"
            "    try: yield 1\n"
            "    finally: os.listdir('/')\n"
            "list(generate())\n"
            "print('ok')\n")
    result = ctl_run([python, "-I", "-c", code], NO_EXEC)
    assert (result.returncode, result.stdout) == (0, "ok\n"), str(result)


def test_other_hooks_work_beside_ours(ctl_run, python):
    code = ("import sys, os\n"
            "seen = []\n"
            "sys.addaudithook(lambda event, args: seen.append(event) if event == '%(mark)s' else None)\n"
            "sys.audit('%(mark)s', 1)\n"
            "try: os.system('id')\n"
            "except PermissionError: seen.append('denied')\n"
            "print(seen)" % {"mark": MARK})
    result = ctl_run([python, "-I", "-c", code], NO_EXEC, MARKS)
    assert result.stdout == "['%s', 'denied']\n" % MARK, str(result)
