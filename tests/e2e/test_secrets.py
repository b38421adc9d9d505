# SPDX-License-Identifier: Apache-2.0
"""No credential that a program uses reaches its ring, or what the daemon keeps and shows; rules judge it all the
same. Every form of tests/fixtures/secrets/forms.py goes every way into an event."""
import importlib.util
import json
import os
import signal
import subprocess

from conftest import CTL, ROOT, clean_env, hear, of_kind, rule, rules_of, say, wait_for, write_rules

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
# Of the site's own, beside those that are known.
OWN = [{"kind": "acme-token", "prefix": "acme_", "of": "alnum", "min": 24},
       {"kind": "corp-key", "prefix": "CORP-", "of": "upper", "min": 20}]
FORMS.FORMS.update({"own token": ("tool --with {}", "acme_" + FORMS.some(30), "acme-token"),
                    "own key": ("{}", "CORP-" + FORMS.upper(20), "corp-key")})


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
               rule("key", "@exec", "secret.kind = 'aws-key'", action="alert"),
               rule("own", "@exec", "secret.kind = 'acme-token'", action="alert"), redact=OWN)
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
    assert [e for e in events if e["kind"] == "alert" and rules_of(e) == ["own"]], "of the site's own as well"
    assert any("plain" in json.dumps(e) for e in events if e.get("event") == "os.putenv")
    assert "--password" in json.dumps([e.get("argv") for e in events])


def test_look_alikes_are_told(ctl_run, python):
    code = "import json, sys\nfor t in %r:\n    try:\n        open('/nonexistent/' + t)\n    except OSError:\n        pass\n"
    result = ctl_run([python, "-c", code % FORMS.LOOK_ALIKES],
                     rule("open", "open", "file.path startswith '/nonexistent/'", action="record"))
    paths = [e["args"][0] for e in result.events if e.get("event") == "open"]
    assert paths == ["/nonexistent/" + t for t in FORMS.LOOK_ALIKES], result


def test_forms_come_and_go_with_the_rules(daemon, system_python):
    """A reload brings a form to programs that run; one with a mistake leaves all as it was."""
    secret = "acme_" + FORMS.some(30)
    d = daemon(rule("marks", "webbrowser.open", action="record"))
    program = d.spawn([system_python, "-c", "import sys, webbrowser\nfor line in sys.stdin:\n"
                       "    sys.audit('webbrowser.open', line.strip())\n    print('said', flush=True)\n"])

    def said():
        generation = d.status()["generation"]
        wait_for(lambda: d.status()["agents"] == 1, "the program")
        say(program, secret)
        hear(program, "said")
        d.drain()
        return [e["args"][0] for e in d.events() if e.get("event") == "webbrowser.open"][-1], generation

    assert said()[0] == secret
    write_rules(d.rules_file, rule("marks", "webbrowser.open", action="record"), redact=OWN)
    assert d.request("reload")["ok"]
    assert said()[0] == "<redacted:acme-token>"
    write_rules(d.rules_file, rule("marks", "webbrowser.open", action="record"),
                redact=[{"kind": "Acme", "prefix": "a", "of": "any", "min": 3}])
    assert not d.request("reload")["ok"]
    assert said()[0] == "<redacted:acme-token>"
    program.communicate(b"")


def test_mistakes_in_forms_name_their_place(tmp_path):
    path = tmp_path / "10.rules"
    path.write_text('{"version": 1, "rules": [],\n "redact": [\n'
                    '  {"kind": "Acme", "prefix": "a/b", "of": "alnun", "min": 20},\n'
                    '  {"kind": "acme", "prefix": "acme_", "min": 8},\n'
                    '  {"kind": "acme", "prefix": "acme_", "min": 20, "max": 3}, 7]}\n')
    done = subprocess.run([str(CTL), "rules", "check", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.decode()
    assert done.returncode == 1, said
    for place, what in (("3:12", "a kind is 1 to 20"), ("3:30", "a prefix is 3 to 32"), ("3:43", "unknown set of characters 'alnun', did you mean 'alnum'"),
                        ("4:46", "the shortest is 13 characters"), ("5:", "'max'"), ("5:61", "a form is an object")):
        assert any("10.rules:%s" % place in line and what in line for line in said.splitlines()), (place, what, said)


def test_own_kinds_are_known_without_a_daemon(tmp_path):
    secret = "acme_" + FORMS.some(30)
    path = write_rules(tmp_path / "10.rules", dict(
        rule("own", "open", "secret.kind = 'acme-token'", action="alert"),
        tests=[{"event": "open", "args": ["/srv/" + secret, "r", 0], "expect": "alert"},
               {"event": "open", "args": ["/srv/" + secret[:20], "r", 0], "expect": "none"}]), redact=OWN)
    done = subprocess.run([str(CTL), "rules", "test", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
