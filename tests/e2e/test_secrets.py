# SPDX-License-Identifier: Apache-2.0
"""No credential that a program uses reaches its ring, or what the daemon keeps and shows; rules judge it all the
same. Every form of tests/fixtures/secrets/forms.py goes every way into an event."""
import importlib.util
import json
import os
import signal
import subprocess

from conftest import CTL, ROOT, clean_env, hear, of_kind, rule, rules_of, say, wait_for

PROGRAM = r"""
import json, os, shlex, socket, subprocess, sys, urllib.request
def tried(act, *arguments):
    try:
        act(*arguments)
    except (OSError, ValueError, subprocess.SubprocessError):
        pass
print("ready", flush=True)
for text in json.loads(sys.stdin.readline()):
    tried(subprocess.call, ["/bin/true", text])
    if text.split()[0] in ("tool", "mysql", "sshpass", "curl"): # a command: its words one by one
        tried(subprocess.call, shlex.split(text))
        tried(os.posix_spawn, "/nonexistent/program", shlex.split(text), {})
    os.environ["SETTING"] = text
    tried(urllib.request.Request, "https://host.invalid/" + text)
    tried(lambda: socket.socket(socket.AF_UNIX).connect("/nonexistent/" + text))
    tried(open, "/nonexistent/" + text)
    tried(open, os.fsencode("/nonexistent/" + text))
    compile("setting = %r\n" % text, "<setting>", "exec")
print("used", flush=True)
for name, value in json.loads(sys.stdin.readline()).items():
    os.environ[name] = value
print("named", flush=True)
sys.stdin.readline()
"""

# Not all of @code: 3.8 raises an event for each code object it loads, more than a client that waits is kept.
ALL = ["@exec", "@file", "@network", "compile", "@startup", "os.putenv"]


def load_forms():
    spec = importlib.util.spec_from_file_location("forms", str(ROOT / "tests/fixtures/secrets/forms.py"))
    forms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(forms)
    return forms


FORMS = load_forms()


def secret_parts(secret):
    """The secret, or any line of it, as it is and as JSON has it."""
    lines = [line for line in secret.split("\n") if line and not line.startswith("-----")]
    return [line.encode() for line in lines]


def leaks_in(blob):
    return [name for name, (_, secret, _) in FORMS.FORMS.items()
            if any(part in blob for part in secret_parts(secret))]


def ring_of(pid):
    folder = "/proc/%d/fd" % pid
    for fd in os.listdir(folder):
        if os.readlink("%s/%s" % (folder, fd)).startswith("/memfd:pyaudit-ring"):
            with open("%s/%s" % (folder, fd), "rb") as ring:
                return ring.read()
    raise AssertionError("no ring")


def test_no_secret_is_told(daemon, python, tmp_path):
    assert len(FORMS.FORMS) >= 30
    named = {"DB_PASSWORD": "hunter2-" + FORMS.some(12), "API_TOKEN": FORMS.some(20),
             "SETTING": "plain"}
    word = FORMS.some(14)
    texts = [text.format(secret) for text, secret, _ in FORMS.FORMS.values()]
    d = daemon(rule("all", ALL, action="record"),
               rule("known", "os.putenv", "env.value startswith 'hunter2-'", action="alert"),
               rule("key", "@exec", "secret.kind = 'aws-key'", action="alert"))
    capture = tmp_path / "all.capture"
    capturing = subprocess.Popen([str(CTL), "capture", str(capture)], env=clean_env(PYAUDIT_DIR=d.dir),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: d.status()["clients"] == 1, "the capture to begin")
    with d.tail() as tail:
        program = d.spawn([python, "-c", PROGRAM, "--password", word])
        hear(program, "ready", 60)
        d.drain()
        d.signal(signal.SIGSTOP)
        say(program, json.dumps(texts))
        hear(program, "used", 120)
        rings = ring_of(program.pid)
        d.signal(signal.SIGCONT)
        d.drain()
        say(program, json.dumps(named))
        hear(program, "named")
        events = d.events()
        told = b""
        while b"hunter2" not in told and b'"known"' not in told:
            told += tail.file.readline()
    program.communicate(b"\n")
    d.drain()
    capturing.send_signal(signal.SIGINT)
    capturing.communicate()

    assert rings.count(b"<redacted:") > 100
    assert leaks_in(rings) == [], sorted(set(leaks_in(rings)))
    kept = d.events_path.read_bytes()
    assert leaks_in(kept) == [] and leaks_in(told) == [] and leaks_in(capture.read_bytes()) == []
    for value in (word, named["DB_PASSWORD"], named["API_TOKEN"]):
        for place in (rings, kept, told, capture.read_bytes()):
            assert value.encode() not in place
    seen = kept.decode()
    for name, (_, _, kind) in FORMS.FORMS.items():
        assert "<redacted:%s>" % kind in seen, name
    alert, = of_kind(events, "alert", rule=["known"]) or of_kind(events, "alert", rule="known")
    assert alert["args"] == ["DB_PASSWORD", "<redacted:password>"], alert
    assert [e for e in events if e["kind"] == "alert" and rules_of(e) == ["key"]], "presence is a fact for rules"
    assert any("plain" in json.dumps(e) for e in events if e.get("event") == "os.putenv")
    assert "--password" in json.dumps([e.get("argv") for e in events])


def test_look_alikes_are_told(ctl_run, python):
    code = "import json, sys\nfor t in %r:\n    try:\n        open('/nonexistent/' + t)\n    except OSError:\n        pass\n"
    result = ctl_run([python, "-c", code % FORMS.LOOK_ALIKES],
                     rule("open", "open", "file.path startswith '/nonexistent/'", action="record"))
    paths = [e["args"][0] for e in result.events if e.get("event") == "open"]
    assert paths == ["/nonexistent/" + t for t in FORMS.LOOK_ALIKES], result
