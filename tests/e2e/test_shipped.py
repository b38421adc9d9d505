# SPDX-License-Identifier: Apache-2.0
"""Each shipped rule fires when a real interpreter does what it is for. (That they are quiet otherwise:
test_programs.py.) Nothing here changes the host: paths outside of the test's own do not exist."""
import json
import subprocess
import textwrap

from conftest import CTL, ROOT, rules_of

# Rule to what sets it off; each is a function's body. T is a directory to write in.
ACTS = {
    "reverse-shell": "os.system(\"bash -c 'sh -i >& /dev/tcp/127.0.0.1/9 0>&1'\")",
    "pty-shell": "in_child(lambda: pty.spawn(['/bin/sh', '-c', 'true']))",
    "interactive-shell": "subprocess.run(['/bin/sh', '-i'], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
    "shell-from-web-request": """
        from wsgiref.handlers import SimpleHandler
        def app(environ, start_response):
            os.system('true')
            start_response('200 OK', [])
            return [b'']
        SimpleHandler(io.BytesIO(), io.BytesIO(), io.StringIO(), {'SERVER_PROTOCOL': 'HTTP/1.1'}).run(app)""",
    "download-into-shell": "os.system('true curl http://127.0.0.1:9/x | sh')",
    "installer-downloads": """
        open(T + '/setup.py', 'w').write("import os; os.system('curl --version >/dev/null 2>&1')")
        subprocess.run([sys.executable, T + '/setup.py'])""",
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
    "proc-mem-write": "os.open('/proc/self/mem', os.O_RDWR)",
    "native-injection": "ctypes.CDLL(None).ptrace",
    "native-exec": "ctypes.CDLL(None).execve",
    "interpreter-internals": "ctypes.pythonapi._PyRuntime",
    "program-from-memory": "subprocess.run(['/proc/self/fd/99'])",
    "program-from-shared-memory": "subprocess.run(['/dev/shm/no-such-program'])",
    "sqlite-extension": "sqlite3.connect(':memory:').enable_load_extension(True)",
    "loader-environment": "os.putenv('LD_PRELOAD', '/nowhere/x.so')",
    "loader-file-written": "open('/etc/ld.so.preload/no-such-directory/x', 'w')",
    "container-control": """
        with socket.socket(socket.AF_UNIX) as s:
            s.connect('/run/docker.sock')""",
    "remote-code": "sys.remote_exec(os.getpid(), '/no/such/script')",
    "audit-hook-added": "sys.addaudithook(lambda *args: None)",
    "open-code-hook": None,  # only by the C API
    "monitor-files-changed": "open('/etc/pyaudit/rules.d/no-such-directory/x', 'w')",
    "traces-removed": "os.remove(T + '/.bash_history')",
}
BLOCKED = {"reverse-shell", "unpickle-command", "proc-mem-write", "program-from-memory"}

PROGRAM = """\
import ctypes, io, os, pickle, pty, socket, sqlite3, subprocess, sys, tempfile
T = tempfile.mkdtemp()

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
    fired = {name for event in result.events for name in rules_of(event)}
    assert fired == expected, str(result)
    for name in sorted(expected):
        denied = "PermissionError [Errno 1] pyauditd: rule '%s' denied" % name
        assert said[name].startswith(denied) == (name in BLOCKED), (name, said[name])
    assert {e["rule"] for e in result.kind("alert", action="block")} == BLOCKED, str(result)
