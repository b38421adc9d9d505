# SPDX-License-Identifier: Apache-2.0
"""Arguments that are hostile objects: subclasses of what events carry, whose methods raise, lie, recurse,
allocate, release the GIL and change themselves. The hook runs none of them, the libc layer judges the
real strings, and nothing crashes.

PYAUDIT_HOSTILE  number of random events (default 200; the acceptance run has 10,000)
"""
import json
import os

from conftest import rule

COUNT = int(os.environ.get("PYAUDIT_HOSTILE", "200"))

# Every method of the classes tells that it ran, and does something bad. While `inside` is set, an event is
# being raised by sys.audit, which itself converts nothing: whatever runs then, the hook ran it.
PROGRAM = r"""
import gc, json, os, random, subprocess, sys, threading, time
count, seed = int(sys.argv[1]), int(sys.argv[2])
choose = random.Random(seed)
ran, inside, depth = [], False, 0

def spoil(self, name):
    global depth
    if inside:
        ran.append(name)
    depth += 1
    try:
        what = choose.randrange(6) if depth < 3 else 0
        if what == 1:
            time.sleep(0)
        elif what == 2:
            [bytearray(5000) for _ in range(20)]
        elif what == 3:
            gc.collect(0)
        elif what == 4:
            try:
                if isinstance(self, list):
                    list.clear(self)
                    list.extend(self, ["changed"] * 3)
            except Exception:
                pass
        elif what == 5:
            str(self)
    finally:
        depth -= 1
    raise ValueError(name)

NAMES = ["__str__", "__repr__", "__eq__", "__ne__", "__lt__", "__len__", "__iter__", "__next__", "__getitem__", "__contains__",
         "__bool__", "__int__", "__index__", "__float__", "__bytes__", "__fspath__", "__format__", "__hash__", "__buffer__",
         "__getattribute__", "__getattr__", "__call__", "__sizeof__", "__reduce_ex__", "__class_getitem__",
         "encode", "decode", "startswith", "split", "__add__", "__mul__", "__reversed__", "__length_hint__", "keys", "items"]

def hostile(base, *more):
    def method(name):
        return lambda self, *a, **k: spoil(self, base.__name__ + "." + name)
    space = {name: method(name) for name in NAMES}
    space["__class__"] = property(lambda self: spoil(self, base.__name__ + ".__class__"))
    return type("Hostile_" + base.__name__, (base,) + more, space)

class Path(os.PathLike):
    def __fspath__(self):
        return spoil(self, "Path.__fspath__")
Str, Bytes, List, Int, Tuple, Plain, Float, Array = (
    hostile(b) for b in (str, bytes, list, int, tuple, object, float, bytearray))
Spoiled = hostile(Path)

def text():
    return "".join(choose.choice("ab/-\u00e9\ud800\U0001f600\0 ") for _ in range(choose.choice((0, 1, 7, 60, 5000))))

def thing(level=0):
    k = choose.randrange(15 if level < 3 else 9)
    if k == 0: return Str(text())
    if k == 1: return Bytes(text().encode("utf-8", "surrogatepass"))
    if k == 2: return Int(choose.choice((0, -1, 1 << 63, 1 << 200, -(1 << 63))))
    if k == 3: return Plain()
    if k == 4: return Spoiled()
    if k == 5: return Float(choose.choice((0.5, float("nan"), float("inf"))))
    if k == 6: return Array(b"/bin/sh")
    if k == 7: return choose.choice((text(), None, True, 7, 1.5, b"x"))
    if k == 8: return choose.choice((Str, Spoiled, len, sys, lambda: 0))
    items = [thing(level + 1) for _ in range(choose.choice((0, 1, 3, 70)) if level < 2 else 1)]
    if k == 9: return List(items)
    if k == 10: return Tuple(items)
    if k == 11:
        items.append(items)     # holds itself
        return List(items)
    if k == 12: return tuple(items)
    if k == 13: return {Plain: items}
    return items

EVENTS = ["os.system", "subprocess.Popen", "os.exec", "open", "os.rename", "socket.connect", "compile", "import", "urllib.Request",
          "os.putenv", "pickle.find_class", "ctypes.dlopen", "exec", "os.posix_spawn", "pty.spawn", "code.__new__", "shop.order",
          "mmap.__new__", "sqlite3.connect"]
shared = [List(["/bin/true", "x"]), ["/bin/true"]]
stop = False
def changes():
    while not stop:
        for one in shared:
            list.append(one, Str("y" * 50))
            if list.__len__(one) > 40:
                list.clear(one)
        time.sleep(0.0005)
threading.Thread(target=changes, daemon=True).start()
refused = 0
for n in range(count):
    name = choose.choice(EVENTS)
    arguments = [thing() for _ in range(choose.randrange(6))]
    if choose.randrange(4) == 0:
        arguments.append(choose.choice(shared))
    inside = True
    try:
        sys.audit(name, *arguments)
        inside = False
    except PermissionError:
        inside = False
        refused += 1
stop = True

# The libc layer: objects that lie to the hook change nothing, for it has the strings the kernel gets.
class Lies(os.PathLike):
    # Says one thing so many times, and then the other.
    def __init__(self, first, times, then):
        self.first, self.times, self.then = first, times, then
    def __fspath__(self):
        self.times -= 1
        return self.first if self.times >= 0 else self.then
results = []
for path in (Str("/bin/sh"), Bytes(b"/bin/sh"), Lies("/bin/sh", 1, "/bin/true")):
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(path, ["sh", "-c", "exit 77"])
        except PermissionError:
            os._exit(3)
        except BaseException:
            os._exit(4)
    results.append(os.waitpid(pid, 0)[1] >> 8)
for times in range(6):
    path = Lies("/bin/true", times, "/bin/sh")
    try:
        results.append(subprocess.run([path, "-c", "exit 77"], stdin=subprocess.DEVNULL, close_fds=True, cwd="/").returncode)
    except PermissionError:
        results.append(5)
print(json.dumps({"ran": sorted(set(ran)), "n": count, "results": results}))
"""

RULES = [
    rule("no-sh", "@exec", "exec.name in ['sh', 'bash']"),
    rule("words", "@exec", ["exec.argv contains 'a/b'", "exec.cmdline contains 'b'"], action="alert"),
    rule("secrets", "@all", "secret.kind != 'none'", action="record"),
    rule("files", "@file", ["file.path under '/a'", "file.target contains 'a'", "file.write"], action="alert"),
    rule("net", "@network", "net.host contains 'a' or net.ip cidr '10.0.0.0/8' or net.port > 5", action="alert"),
    rule("urls", "urllib.Request", "url.host = 'a' or url.path contains 'b'", action="alert"),
    rule("code", "@code", "code.source matches 'a+b' or code.filename contains 'a'", action="alert"),
    rule("orders", "custom:shop.order", "arg[0] contains 'a' or arg[1] = '5' or arg[2] = 'b'", action="alert"),
]


def test_hostile_objects_run_nothing_and_change_nothing(daemon, python_few):
    server = daemon(*RULES)
    done = server.run([python_few, "-I", "-c", PROGRAM, str(COUNT), "4"], timeout=600)
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-3000:])
    said = json.loads(done.stdout.decode().strip().splitlines()[-1])
    assert said["ran"] == [] and said["n"] == COUNT, said
    # The shell never ran; where it was what the kernel would have got, the libc layer refused it.
    assert said["results"][:3] == [3, 3, 3] and 77 not in said["results"], said
    assert 5 in said["results"] and 0 in said["results"], said
