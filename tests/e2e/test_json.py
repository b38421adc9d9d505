# SPDX-License-Identifier: Apache-2.0
"""Real output against the schema in docs/event.schema.json, and a file that is complete at return."""
import json

import pytest

from conftest import CTL, MARK, MARKS, NO_EXEC, PATIENCE, ROOT, SANITIZED, clean_env, lines_of, rule

# Arguments of every shape, and bytes that are no UTF-8.
SHAPES = r"""
import os, socket, sys, pickle, tempfile, threading, subprocess
audit = lambda *values: sys.audit('%s', *values)
audit()
audit(None, True, False, 1, -1, 2**63 - 1, -2**63, 2**64, 1.5, float('inf'), float('nan'), -0.0)
audit('text', 'sur\udc80\udcff', 'lone \ud800', '\x00\x01\x7f\x1b[31m\r\n"\\', '\u20ac \U0001f600', b'bytes \xff\x00')
audit([], ['a', ['b', [b'c', [None]]]], ('x',) * 100, {'d': 1}, object(), int, compile('1', '<c>', 'eval'))
audit(*range(40))
audit('x' * 10000, b'y' * 10000, ['z' * 5000] * 100)
open(os.devnull).close()
try: open(b'/nonexistent/\xff\xfe')
except OSError: pass
socket.socket().close()
s = socket.socket(socket.AF_UNIX)
try: s.connect('/nonexistent')
except OSError: pass
s.close()
pickle.loads(b'cos\nsep\n.')
threading.Thread(target=lambda: audit('thread')).start()
eval('1')
try: os.system('id \xff')
except PermissionError: pass
pid = os.fork()
if pid == 0:
    audit('child')
    os._exit(0)
os.waitpid(pid, 0)
""" % MARK
FIELDS = ("schema_version", "kind", "time", "seq")


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs/event.schema.json").read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def check(validator, events, fields=FIELDS):
    for event in events:
        problems = ["%s: %s" % ("/".join(map(str, e.path)), e.message) for e in validator.iter_errors(event)]
        assert not problems, (event, problems)
        for field in fields:
            assert field in event, event
    return {event["kind"] for event in events}


def test_events_fit_the_schema(ctl_run, python, validator):
    result = ctl_run([python, "-I", "-W", "ignore", "-c", SHAPES], NO_EXEC, options=["--record", "all"])
    assert result.returncode == 0, str(result)
    kinds = check(validator, result.events)
    assert {"event", "alert", "process"} <= kinds, kinds
    alert = result.kind("alert", action="block")[0]
    for field in ("event", "layer", "args", "action", "rule", "severity", "message", "pid", "tid", "ppid", "uid",
                  "exe", "script", "argv", "caller", "generation"):
        assert alert.get(field) is not None, (field, alert)
    assert set(alert["caller"]) >= {"file", "line", "function", "module"}
    assert alert["pid"] == alert["tid"]
    raised = result.kind("event", event=MARK)
    assert len(raised) == 8, [e["args"] for e in raised]
    children = {e["pid"] for e in raised}
    assert len(children) == 2, "parent and forked child"


def test_loss_fits_the_schema(daemon, validator):
    import conftest
    import signal
    server = daemon(MARKS)
    program = server.spawn([conftest.SYSTEM, "-I", "-c", "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
                            "for i in range(50000): sys.audit('%s', 'x' * 300)\nprint('done', flush=True)\n"
                            "sys.stdin.readline()" % MARK])
    conftest.hear(program, "ready")
    server.signal(signal.SIGSTOP)
    conftest.say(program, "")
    conftest.hear(program, "done", 30)
    server.signal(signal.SIGCONT)
    conftest.say(program, "")
    events = conftest.wait_for(lambda: (lambda seen: seen if conftest.lost_of(seen) else None)(server.events()),
                               "a loss")
    assert "loss" in check(validator, events)
    assert len(conftest.of_kind(events, "event", event=MARK)) + conftest.lost_of(events) == 50000


def test_status_fits_the_schema(daemon, validator):
    server = daemon(NO_EXEC)
    check(validator, [server.status()], FIELDS[:2])


def test_dash_is_stdout(ctl_run, python, validator):
    result = ctl_run([python, "-I", "-c", "import sys; sys.audit('%s', 'x'); sys.stderr.write('err')" % MARK], MARKS,
                     options=["--json", "-"], json_events=False)
    assert result.returncode == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    check(validator, events)
    assert [e["args"] for e in events if e.get("event") == MARK] == [["x"]]
    assert result.stderr == "err", str(result)


def test_file_is_complete_at_return(ctl_run, python):
    """Whatever the command raised is in the file when `run` returns, the last events too."""
    n = 2000
    for _ in range(3):
        result = ctl_run([python, "-I", "-c", "import os, sys\nfor i in range(%d): sys.audit('%s', i)\nos._exit(3)"
                          % (n, MARK)], MARKS)
        assert result.returncode == 3
        assert [e["args"][0] for e in result.kind("event", event=MARK)] == list(range(n))


def test_sequence_numbers_have_no_holes(ctl_run, python):
    result = ctl_run([python, "-I", "-c", "import sys\nfor i in range(1000): sys.audit('%s', i)" % MARK], MARKS)
    numbers = [e["seq"] for e in result.events]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)


def test_nothing_of_ours_in_the_commands_output(ctl_run, python):
    result = ctl_run([python, "-I", "-c", "print('out'); import sys; sys.stderr.write('err\\n')"], default_rules=True)
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 0), str(result)


def test_hostile_text_reaches_no_terminal(ctl_run, python, tmp_path):
    """Without --quiet, live events are text: what a program puts into them is escaped."""
    import subprocess
    from conftest import write_rules
    rules = write_rules(tmp_path / "r.json", rule("marks", MARK, action="alert", message="saw {arg[0]}"))
    done = subprocess.run([str(CTL), "run", "--no-default-rules", "--rules", str(rules), "--", str(python), "-I", "-c",
                           "import sys; sys.audit('%s', '\\x1b[2J\\x07\\r\\nforged: line\\u202e')" % MARK],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(),
                          timeout=30 * PATIENCE)
    shown = done.stdout + done.stderr
    assert b"saw" in shown, shown
    for bad in (b"\x1b", b"\x07", b"\r", b"\nforged", "\u202e".encode()):
        assert bad not in shown, shown
