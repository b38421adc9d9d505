# SPDX-License-Identifier: Apache-2.0
"""Each shipped rule fires when a real interpreter does what it is for. (That they are quiet otherwise:
test_programs.py.) Nothing here changes the host: paths outside of the test's own do not exist."""
import json
import subprocess
import textwrap

from conftest import CTL, ROOT

# Rule to what sets it off; each is a function's body. T is a directory to write in.
ACTS = {
    "reverse-shell": "os.system(\"bash -c 'sh -i >& /dev/tcp/127.0.0.1/9 0>&1'\")",
    "pty-shell": "in_child(lambda: pty.spawn(['/bin/sh', '-c', 'true']))",
    "interactive-shell": "subprocess.run(['/bin/sh', '-i'], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
    "shell-from-web-request": "in_request(lambda: os.system('true'))",
    "download-into-shell": "os.system('true curl http://127.0.0.1:9/x | sh')",
    "installer-downloads": """
        open(T + '/setup.py', 'w').write("import os; os.system('curl --version >/dev/null 2>&1')")
        subprocess.run([sys.executable, T + '/setup.py'])""",
    "download-from-web-request": "in_request(lambda: os.system('curl --version >/dev/null 2>&1'))",
    "privileges-from-web-request": "in_request(lambda: os.system('sudo --no-such-option >/dev/null 2>&1'))",
    "code-from-web-request": "in_request(lambda: eval(\"__import__('os').getpid()\"))",
    "secrets-from-web-request": "in_request(lambda: open('/etc/passwd').close())",
    "unpickle-command": """
        class Command:
            def __reduce__(self):
                return os.system, ('true',)
        pickle.loads(pickle.dumps(Command()))""",
    "decoded-code": "exec(\"exec(__import__('base64').b64decode('cGFzcw=='))\")",
    "password-file-read": "open('/etc/shadow').close()",
    "cloud-credentials-read": """
        os.makedirs(T + '/.aws')
        open(T + '/.aws/credentials', 'w').close()
        open(T + '/.aws/credentials').close()""",
    "ssh-key-read": """
        os.makedirs(T + '/.ssh')
        open(T + '/.ssh/id_ed25519', 'w').close()
        open(T + '/.ssh/id_ed25519').close()""",
    "browser-data-read": """
        os.makedirs(T + '/.mozilla/firefox/x')
        sqlite3.connect(T + '/.mozilla/firefox/x/cookies.sqlite').close()""",
    "wallet-read": """
        os.makedirs(T + '/.ethereum/keystore')
        open(T + '/.ethereum/keystore/key', 'w').close()""",
    "history-read": """
        open(T + '/.zsh_history', 'w').close()
        open(T + '/.zsh_history').close()""",
    "environment-of-others": "open('/proc/%d/environ' % os.getppid()).close()",
    "drop-site": "look_up('webhook.site')",
    "hidden-service": "look_up('nobody.onion')",
    "mining-pool": "look_up('pool.minexmr.com')",
    "data-in-host-name": "look_up('0' * 50 + '.t.example.org')",
    "password-in-clear-url": "urllib.request.OpenerDirector().open('http://joe:x@192.0.2.1/')",
    "telnet": "subprocess.run(['telnet', '--no-such-option'], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
    "clear-login": "sys.audit('ftplib.sendcmd', None, 'PASS x')",
    "packet-socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).close()",
    "metadata-address": """
        with socket.socket() as s:
            s.setblocking(False)
            s.connect(('169.254.169.254', 80))""",
    "python-startup-hook": """
        os.makedirs(T + '/lib/site-packages')
        open(T + '/lib/site-packages/x.pth', 'w').close()""",
    "cron-written": "open('/etc/cron.d/no-such-directory/x', 'w')",
    "unit-file-written": "open('/etc/systemd/system/no-such-directory/x', 'w')",
    "login-file-written": "open('/etc/sudoers.d/no-such-directory/x', 'w')",
    "accounts-changed": "open('/etc/passwd/no-such-directory/x', 'w')",
    "names-redirected": "open('/etc/hosts/no-such-directory/x', 'w')",
    "installer-connects": """
        open(T + '/setup.py', 'w').write("import socket; s = socket.socket(); s.settimeout(0); s.connect_ex(('192.0.2.1', 80))")
        subprocess.run([sys.executable, T + '/setup.py'])""",
    "installer-starts-program": "pass",  # installer-downloads does
    "site-packages-changed": """
        os.makedirs(T + '/lib/site-packages', exist_ok=True)
        open(T + '/lib/site-packages/x.py', 'w').close()""",
    "data-library-acts": """
        os.makedirs(T + '/dist-packages/toml-1.0.dist-info')
        open(T + '/dist-packages/toml.py', 'w').write("import os\\ndef loads(text): os.system(text)")
        open(T + '/dist-packages/toml-1.0.dist-info/RECORD', 'w').write('toml.py,,')
        sys.path.insert(0, T + '/dist-packages')
        import toml
        toml.loads('true')""",
    "pipeline-changed": """
        os.makedirs(T + '/.git/hooks')
        open(T + '/.git/hooks/pre-commit', 'w').close()""",
    "archive-escape": """
        with tarfile.open(T + '/a.tar', 'w') as tar:
            tar.addfile(tarfile.TarInfo('../escaped'))
        os.mkdir(T + '/unpacked')
        with tarfile.open(T + '/a.tar') as tar:
            tar.extractall(T + '/unpacked', **({'filter': 'fully_trusted'} if hasattr(tarfile, 'data_filter') else {}))""",
    "proc-mem-write": "os.open('/proc/self/mem', os.O_RDWR)",
    "native-injection": "ctypes.CDLL(None).ptrace",
    "native-exec": "ctypes.CDLL(None).execve",
    "interpreter-internals": "ctypes.pythonapi._PyRuntime",
    "program-from-memory": "subprocess.run(['/proc/self/fd/99'])",
    "program-from-shared-memory": "subprocess.run(['/dev/shm/no-such-directory/program'])",
    "program-from-open-directory": "subprocess.run(['/tmp/no-such-program'])",
    "setuid-bit": """
        open(T + '/x', 'w').close()
        os.chmod(T + '/x', 0o4755)""",
    "kernel-module": "subprocess.run(['insmod', '/nowhere/x.ko'], stderr=subprocess.DEVNULL)",
    "sqlite-extension": "sqlite3.connect(':memory:').enable_load_extension(True)",
    "loader-environment": "os.putenv('LD_PRELOAD', '/nowhere/x.so')",
    "loader-file-written": "open('/etc/ld.so.preload/no-such-directory/x', 'w')",
    "container-control": """
        with socket.socket(socket.AF_UNIX) as s:
            s.connect('/run/docker.sock')""",
    "remote-code": "sys.remote_exec(os.getpid(), '/no/such/script')",
    "audit-hook-added": "sys.addaudithook(lambda *args: None)",
    "open-code-hook": None,  # only by the C API
    "agent-kept-out": "os.putenv('PYAUDIT_DISABLE', '1')",
    "monitor-files-changed": "open('/etc/pyaudit/rules.d/no-such-directory/x', 'w')",
    "kernel-settings-written": "open('/proc/sys/kernel/no-such-file', 'w')",
    "left-the-watch": "subprocess.run(['/bin/sh', '-c', 'true'], env={'PYAUDIT_DISABLE': '1'})",
    "other-process-traced": "ctypes.CDLL(None).ptrace(16, 999999999, None, None)",
    "other-process-written": """
        if ctypes.CDLL(None, use_errno=True).process_vm_writev(os.getpid(), None, 0, None, 0, 0) < 0:
            raise PermissionError("[Errno %d]" % ctypes.get_errno())""",
    "executable-memory": "mmap.mmap(-1, 4096, prot=7)",
    "native-connection": """
        address = b'\\2\\0\\0\\x09\\x7f\\0\\0\\1' + bytes(8)
        ctypes.CDLL(None).connect(-1, address, 16)""",
    "program-dropped": """
        with open(T + '/dropped', 'w') as file:
            file.write('#!/bin/sh\\n')
        os.chmod(T + '/dropped', 0o755)
        subprocess.run([T + '/dropped'])""",
    "files-renamed-as-encrypted": """
        open(T + '/x', 'w').close()
        for i in range(30):
            os.rename(T + '/x', T + '/x.locked')
            os.rename(T + '/x.locked', T + '/x')""",
    "first-address-of-script": None,  # its first day is for learning; test_memory.py
    "hook-removed": None,  # test_tamper.py
    "hook-refused": None,  # test_ways_in.py
    "unwatched": None,  # test_ps.py
    "traces-removed": "os.remove(T + '/.bash_history')",
}
BLOCKED_BY_LIBC = {"other-process-written"}  # a failing call, and no exception of Python's own
BLOCKED = {"reverse-shell", "unpickle-command", "proc-mem-write", "program-from-memory", "program-from-open-directory"}

PROGRAM = """\
import ctypes, io, mmap, os, pickle, pty, socket, sqlite3, subprocess, sys, tarfile, tempfile, urllib.request
from wsgiref.handlers import SimpleHandler
T = tempfile.mkdtemp()

def in_request(act):
    def app(environ, start_response):
        act()
        start_response('200 OK', [])
        return [b'']
    SimpleHandler(io.BytesIO(), io.BytesIO(), io.StringIO(), {'SERVER_PROTOCOL': 'HTTP/1.1'}).run(app)

def look_up(host):
    socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)

def in_child(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

def perform(name, act):
    try:
        act()
        print(name, "done")
    except BaseException as error:
        print(name, type(error).__name__, error)

"""


def test_every_shipped_rule_has_an_act():
    listed = subprocess.run([str(CTL), "rules", "list", "--json", str(ROOT / "config/rules.d")],
                            stdout=subprocess.PIPE, check=True)
    assert {rule["id"] for rule in json.loads(listed.stdout.decode())} == set(ACTS)


def test_shipped_rules_fire(ctl_run, python, tmp_path):
    program = PROGRAM
    for number, (name, body) in enumerate(ACTS.items()):
        if body is not None:
            program += "def act%d():\n%s\nperform(%r, act%d)\n" % (
                number, textwrap.indent(textwrap.dedent(body).strip("\n"), "    "), name, number)
    script = tmp_path / "acts.py"
    script.write_text(program)
    result = ctl_run([python, str(script)], default_rules=True)
    assert result.returncode == 0, str(result)
    said = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)

    expected = {name for name, body in ACTS.items() if body is not None}
    # What this interpreter has not.
    expected -= {name for name in ("sqlite-extension", "remote-code")
                 if said[name].startswith("AttributeError")}
    fired = {name for event in result.events for name in event.get("rules", [])}
    assert fired == expected, str(result)
    for name in sorted(expected):
        denied = "PermissionError [Errno 1] pyauditd: rule '%s' denied" % name
        assert said[name].startswith(denied) == (name in BLOCKED), (name, said[name])
        assert (said[name] == "PermissionError [Errno 1]") == (name in BLOCKED_BY_LIBC), (name, said[name])
    assert {e["rule"] for e in result.kind("alert", action="block")} == BLOCKED | BLOCKED_BY_LIBC, str(result)


def test_a_logged_traceback_is_no_code_from_a_request(ctl_run, python, tmp_path):
    """From 3.11 on, tracebacks parse the lines they show: the application's own text, which is not run."""
    script = tmp_path / "errors.py"
    script.write_text(PROGRAM + textwrap.dedent("""
        import logging
        def app():
            try:
                return len(os.system) + subprocess.DEVNULL
            except TypeError:
                logging.exception("in a handler")
        in_request(app)
        """))
    result = ctl_run([python, str(script)], default_rules=True)
    assert result.returncode == 0 and "return len(os.system)" in result.stderr, result
    assert not result.kind("alert"), result
