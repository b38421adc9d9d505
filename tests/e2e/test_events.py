# SPDX-License-Identifier: Apache-2.0
"""The catalogue of events against what interpreters really raise: names, versions and numbers of arguments."""
import json
import subprocess

from conftest import CTL, PATIENCE, clean_env

# Counts the events of many acts, by a hook of its own. Each act may fail; what it raised counts.
WORKLOAD = r"""
import json, sys
seen = {}
def hook(name, args):
    seen.setdefault(name, set()).add(len(args))
sys.addaudithook(hook)
import array, asyncio, code, ctypes, fcntl, ftplib, gc, glob, http.client, imaplib, marshal, mmap, os, pathlib, pickle
import poplib, pty, resource, shutil, signal, smtplib, socket, sqlite3, subprocess, syslog, tempfile, threading, time
import urllib.request, webbrowser
folder = tempfile.mkdtemp()
os.chdir(folder)
fd, name = tempfile.mkstemp(dir=folder)
def tried(act):
    try:
        act()
    except BaseException:
        pass
def in_child(act):
    pid = os.fork()
    if pid == 0:
        tried(act)
        os._exit(0)
    os.waitpid(pid, 0)
sys.breakpointhook = lambda *a, **k: None
acts = [
    lambda: open(name).close(), lambda: os.open(name, os.O_RDONLY), lambda: os.listdir("."), lambda: list(os.scandir(".")),
    lambda: list(os.walk(".")), lambda: list(os.fwalk(".")), lambda: os.mkdir("d"), lambda: os.chmod("d", 0o755),
    lambda: os.chown("d", -1, -1), lambda: os.rename("d", "e"), lambda: os.rmdir("e"), lambda: os.symlink("x", "y"),
    lambda: os.link(name, "z"), lambda: os.utime("z"), lambda: os.truncate("z", 0), lambda: os.remove("z"),
    lambda: os.getxattr(name, "user.x"), lambda: os.setxattr(name, "user.x", b"1"), lambda: os.listxattr(name),
    lambda: os.removexattr(name, "user.x"), lambda: os.putenv("A", "b"), lambda: os.unsetenv("A"),
    lambda: os.system("true"), lambda: subprocess.call(["true"]), lambda: os.posix_spawn("/bin/true", ["true"], {}),
    lambda: in_child(lambda: os.execv("/bin/true", ["true"])), lambda: os.kill(os.getpid(), 0),
    lambda: os.killpg(os.getpgrp(), 0), lambda: os.lockf(fd, os.F_ULOCK, 0), lambda: fcntl.flock(fd, fcntl.LOCK_UN),
    lambda: fcntl.fcntl(fd, fcntl.F_GETFD), lambda: fcntl.ioctl(fd, 0x5401, b"0" * 64), lambda: fcntl.lockf(fd, fcntl.LOCK_UN),
    lambda: glob.glob("*"), lambda: list(pathlib.Path(".").glob("*")), lambda: list(pathlib.Path(".").rglob("*")),
    lambda: list(pathlib.Path(".").walk()), lambda: shutil.copyfile(name, "c"), lambda: shutil.copymode(name, "c"),
    lambda: shutil.copystat(name, "c"), lambda: shutil.move("c", "m"), lambda: shutil.copytree(".", folder + "2"),
    lambda: shutil.make_archive(folder + "3", "tar", "."), lambda: shutil.unpack_archive(folder + "3.tar", folder + "4"),
    lambda: shutil.chown(name, user=os.getuid()), lambda: shutil.rmtree(folder + "2"), lambda: shutil.rmtree(folder + "4"),
    lambda: compile("1", "<x>", "eval"), lambda: exec("1"), lambda: (lambda: 0).__code__.replace(co_name="f"),
    lambda: type(tried)(tried.__code__, {}), lambda: marshal.loads(marshal.dumps(1)),
    lambda: pickle.loads(pickle.dumps(OSError)), lambda: mmap.mmap(-1, 4096), lambda: array.array("i"), lambda: id(1),
    lambda: gc.get_objects(), lambda: gc.get_referrers(1), lambda: gc.get_referents(1), lambda: sys._getframe(),
    lambda: sys._current_frames(), lambda: sys._current_exceptions(), lambda: sys.settrace(None), lambda: sys.setprofile(None),
    lambda: sys._getframemodulename(), lambda: sys.addaudithook(lambda *a: None), lambda: breakpoint(),
    lambda: threading.Thread(target=int).start(), lambda: signal.pthread_kill(threading.get_ident(), 0),
    lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)), lambda: resource.prlimit(0, resource.RLIMIT_CORE, (0, 0)),
    lambda: socket.socket().bind(("127.0.0.1", 0)), lambda: socket.socket().connect(("127.0.0.1", 1)),
    lambda: socket.getaddrinfo("127.0.0.1", 1), lambda: socket.gethostbyname("127.0.0.1"), lambda: socket.gethostname(),
    lambda: socket.gethostbyaddr("127.0.0.1"), lambda: socket.getnameinfo(("127.0.0.1", 1), 3),
    lambda: socket.getservbyname("http"), lambda: socket.getservbyport(80),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b""], [], 0, ("127.0.0.1", 9)),
    lambda: sqlite3.connect(":memory:").enable_load_extension(True), lambda: ctypes.CDLL(None).getpid(),
    lambda: ctypes.string_at(b"x"), lambda: ctypes.create_string_buffer(1), lambda: ctypes.addressof(ctypes.c_int()),
    lambda: ctypes.c_int.from_buffer(bytearray(8)), lambda: ctypes.c_int.from_address(ctypes.addressof(ctypes.c_int())),
    lambda: ctypes.get_errno(), lambda: ctypes.set_errno(0), lambda: ctypes.create_unicode_buffer(1),
    lambda: ftplib.FTP().connect("127.0.0.1", 1), lambda: http.client.HTTPConnection("127.0.0.1", 1).connect(),
    lambda: imaplib.IMAP4("127.0.0.1", 1), lambda: poplib.POP3("127.0.0.1", 1), lambda: smtplib.SMTP("127.0.0.1", 1),
    lambda: urllib.request.urlopen("http://127.0.0.1:1/"), lambda: webbrowser.open("http://127.0.0.1:1/", 0),
    lambda: syslog.openlog("x"), lambda: syslog.setlogmask(255), lambda: syslog.closelog(), lambda: time.sleep(0),
    lambda: in_child(lambda: pty.spawn("/bin/true")),
]
for act in acts:
    tried(act)
os.chdir("/")
shutil.rmtree(folder, True)
print("\n" + json.dumps({n: sorted(c) for n, c in seen.items()}))
"""


def catalogue():
    done = subprocess.run([str(CTL), "events", "--json"], stdout=subprocess.PIPE, timeout=20 * PATIENCE)
    assert done.returncode == 0
    return {e["event"]: e for e in json.loads(done.stdout.decode())}


def as_number(version):
    return tuple(int(part) for part in version.split(".")[:2])


def test_catalogue_agrees_with_the_interpreter(python, tmp_path):
    done = subprocess.run([str(python), "-I", "-c", WORKLOAD], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60 * PATIENCE, env=clean_env(BROWSER="true"), cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    raised = json.loads(done.stdout.decode().strip().splitlines()[-1])
    version = as_number(subprocess.run(
        [str(python), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        stdout=subprocess.PIPE, timeout=20 * PATIENCE).stdout.decode())
    known = catalogue()
    assert len(raised) > 70, sorted(raised)
    wrong = []
    for name, counts in sorted(raised.items()):
        if name not in known:
            wrong.append("%s is raised and not in the catalogue" % name)
            continue
        event = known[name]
        n_args = sum(as_number(since) <= version for since in event["args_since"])
        if counts != [n_args]:
            wrong.append("%s has %s arguments, the catalogue says %d" % (name, counts, n_args))
        if not as_number(event["first_version"]) <= version <= as_number(event["last_version"]):
            wrong.append("%s is raised by %d.%d" % ((name,) + version))
    assert wrong == []


def ask(*arguments):
    done = subprocess.run([str(CTL), "events"] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=20 * PATIENCE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_one_event_is_told_in_full():
    code, out, _ = ask("os.rename")
    assert code == 0
    for part in ("3.8 to 3.15", "@file", "arg[1]", "src_dir_fd", "file.target", "not seen"):
        assert part in out, out
    code, out, _ = ask("--json", "socket.connect")
    event = json.loads(out)
    assert code == 0 and event["args"] == ["self", "address"] and event["classes"] == ["network"]
    assert {"net.ip", "net.port", "net.path"} <= set(event["fields"]) and event["not_seen"]


def test_classes_and_mistakes():
    code, out, _ = ask("@exec")
    assert code == 0 and "os.system" in out and "libc.exec" in out and "socket.connect" not in out
    code, _, said = ask("os.sytem")
    assert code == 2 and "did you mean 'os.system'?" in said
    assert ask("@nothing")[0] == 2 and ask("a", "b")[0] == 2
    code, _, said = ask("shop.order")
    assert code == 2 and "custom:shop.order" in said
