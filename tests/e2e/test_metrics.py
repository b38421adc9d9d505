# SPDX-License-Identifier: Apache-2.0
"""`pyauditctl metrics` and the file of the setting `metrics`: OpenMetrics as a parser of Prometheus' own reads it, and
numbers that are those of the events."""
import os
import re
import resource
import socket
import stat
import subprocess

import pytest
from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from conftest import CTL, MARKS, NO_EXEC, PATIENCE, ROOT, SYSTEM, clean_env, hear, rule, say, wait_for
from test_resilience import DENIED, puppet

WITH_MEMORY = dict(rule("thrice", "open", "file.path startswith '/nowhere/'", action="alert"),
                   threshold={"count": 3, "within": "10s", "per": ["proc.pid"]})


def ask(server, *options):
    done = subprocess.run([str(CTL), "metrics", "--dir", str(server.dir)] + list(options), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=clean_env(), timeout=30 * PATIENCE)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode("utf-8")


def read(text):
    """{name: {label values: value}}, as OpenMetrics; the older parser has to find the same samples."""
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    # What the node exporter's parser knows: it would take no other type.
    assert set(re.findall(r"^# TYPE \S+ (\S+)$", text, re.M)) == {"counter", "gauge"}
    found, older = {}, {}
    for parse, into in ((openmetrics_parser.text_string_to_metric_families, found),
                        (text_parser.text_string_to_metric_families, older)):
        for family in parse(text):
            for sample in family.samples:
                assert parse is not openmetrics_parser.text_string_to_metric_families or family.documentation.endswith(".")
                samples, labels = into.setdefault(sample.name, {}), tuple(sorted(sample.labels.values()))
                assert labels not in samples, "a series twice"
                samples[labels] = sample.value
    assert found == older
    assert all(name.startswith("pyaudit_") for name in found)
    return found


def one(found, name, *labels):
    return found[name][tuple(sorted(labels))]


def test_numbers_are_those_of_the_events(daemon):
    server = daemon(NO_EXEC, MARKS, WITH_MEMORY)
    program = puppet(server, SYSTEM.path)
    before = read(ask(server))
    assert one(before, "pyaudit_rule_hits_total", "marks") == 0, "a rule that never matched is there"
    say(program, "audit(7, 0)")
    hear(program, "None")
    for _ in range(2):
        say(program, "deny()")
        hear(program, DENIED)
    opened = server.run([SYSTEM.path, "-I", "-c", "for i in range(4):\n try: open('/nowhere/%d' % i)\n except OSError: pass"])
    assert opened.returncode == 0
    server.drain()
    found = read(ask(server))
    status = server.status()
    assert one(found, "pyaudit_rule_hits_total", "marks") == 7 and one(found, "pyaudit_rule_hits_total", "no-exec") == 2
    assert one(found, "pyaudit_rule_hits_total", "thrice") == 1 and one(found, "pyaudit_rule_hits_total", "(other)") == 0
    assert one(found, "pyaudit_events_total", "exec") == 2 == one(found, "pyaudit_denials_total")
    assert sum(found["pyaudit_events_total"].values()) == status["events"]
    assert one(found, "pyaudit_alerts_total", "critical") == 2
    assert sum(found["pyaudit_alerts_total"].values()) == status["alerts"] == 3
    assert sum(found["pyaudit_lost_events_total"].values()) == status["lost"] == 0
    assert one(found, "pyaudit_lost_events_total", "ring-full") == 0
    assert one(found, "pyaudit_agents", status["version"]) == 1 == status["agents"]
    assert one(found, "pyaudit_build_info", status["version"]) == 1 and one(found, "pyaudit_rules") == 3
    assert one(found, "pyaudit_sink_failing", "ndjson") == 0 and one(found, "pyaudit_policy_generation") == status["generation"]
    assert 0 < sum(found["pyaudit_daemon_cpu_seconds_total"].values()) < 60
    assert one(found, "pyaudit_daemon_resident_memory_bytes") > resource.getpagesize() * 100
    # A reload forgets nothing; a rule that is gone is no series any more.
    server.rules_file.write_text(server.rules_file.read_text().replace('"no-exec"', '"no-exec-any-more"'))
    assert server.request("reload")["ok"]
    found = read(ask(server))
    assert one(found, "pyaudit_rule_hits_total", "marks") == 7 and ("no-exec",) not in found["pyaudit_rule_hits_total"]
    assert one(found, "pyaudit_rule_hits_total", "no-exec-any-more") == 0
    for name, samples in before.items():
        for labels, value in samples.items() if name.endswith("_total") else ():
            if labels == ("no-exec",):
                continue
            assert found[name][labels] >= value, "a counter that goes back: " + name
    program.stdin.close()
    program.wait(timeout=20 * PATIENCE)


def test_what_agents_claim_becomes_few_labels(daemon):
    """Versions are an agent's word: hostile ones are escaped, and beyond eight they are one."""
    server, agents = daemon(), []
    mine = server.status()["version"]
    names = [b'9"} 1\n', b"\\", b"\xff\x1b[31m", "ä".encode()] + [b"v%d" % i for i in range(8)]
    strings = b"3.99\0/usr/bin/other\0/\0\0\0other\0"
    for count, name in enumerate(names, 1):
        hello = (os.getpid().to_bytes(4, "little") + bytes(12) + bytes(16) + bytes([1, 1]) + (1).to_bytes(2, "little") +
                 len(strings).to_bytes(4, "little") + strings + name + b"\0")
        code = "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); " \
               "s.send(bytes.fromhex(sys.argv[2])); sys.stdin.read()"
        packet = b"PA" + bytes([1, 1]) + (1).to_bytes(2, "little") + bytes(2) + len(hello).to_bytes(4, "little") + hello
        agents.append(subprocess.Popen(["/usr/bin/python3", "-I", "-S", "-c", code, str(server.dir / "agent.sock"), packet.hex()],
                                       stdin=subprocess.PIPE, env=clean_env()))
        wait_for(lambda: server.status()["agents"] == count, "an agent more")
    text = ask(server)
    found = read(text)["pyaudit_agents"]
    assert sum(found.values()) == len(names) and found[(mine,)] == 0 and len(found) == 9
    assert found[("(other)",)] == len(names) - 7
    assert "\x1b" not in text
    for agent in agents:
        agent.stdin.close()
        agent.wait(timeout=20 * PATIENCE)


def test_many_rules_in_several_forms_become_few_labels(daemon):
    """Units with profiles of their own: a rule stands there in more than one form."""
    many = [rule("many-%04d" % i, "glob.glob", "arg[0] = '/nowhere/%d'" % i, action="record") for i in range(1000)]
    server = daemon(MARKS, *many, config="default_rules = yes\nunit_profile = agent shop.service\nunit_profile = build ci.service")
    server.run([SYSTEM.path, "-I", "-c", "import glob\nfor i in range(1000): glob.glob('/nowhere/%d' % i)\nimport sys; sys.audit('webbrowser.open', 'x')"])
    server.drain()
    found = read(ask(server))
    hits = found["pyaudit_rule_hits_total"]
    assert one(found, "pyaudit_rules") > 1024 and len(hits) == 1025
    assert sum(hits.values()) >= 1001 and hits[("(other)",)] > 0 and hits[("many-0500",)] == 1


def test_the_file(daemon, tmp_path):
    path = tmp_path / "pyaudit.prom"
    server = daemon(NO_EXEC, config="metrics = %s\nmetrics_s = 1" % path)
    wait_for(path.exists, "the file")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert one(read(path.read_text()), "pyaudit_denials_total") == 0
    server.run([SYSTEM.path, "-I", "-c", "import os; os.system('id')"])
    wait_for(lambda: one(read(path.read_text()), "pyaudit_denials_total") == 1, "the denial in the file")
    assert sorted(p.name for p in tmp_path.glob("pyaudit.prom*")) == ["pyaudit.prom"]
    # Where it cannot be written the daemon goes on, says so, and writes it when it can.
    path.unlink()
    path.mkdir()
    wait_for(lambda: one(read(ask(server)), "pyaudit_sink_failing", "metrics") == 1, "the failure in the numbers")
    assert "metrics" in server.log()
    path.rmdir()
    wait_for(path.is_file, "the file again")
    wait_for(lambda: one(read(ask(server)), "pyaudit_sink_failing", "metrics") == 0, "the sink to recover")
    server.stop()
    assert not path.exists(), "the file goes with the daemon"


def test_no_file_that_cannot_be(tmp_path, daemon):
    server = daemon(config="metrics = %s/nowhere/pyaudit.prom" % tmp_path)
    wait_for(lambda: one(read(ask(server)), "pyaudit_sink_failing", "metrics") == 1, "the failure in the numbers")


def test_json(daemon):
    import json
    server = daemon()
    answer = json.loads(ask(server, "--json"))
    assert answer["ok"] is True and answer["type"].startswith("application/openmetrics-text; version=1.0.0")
    read(answer["metrics"])


def test_the_table_of_the_manual_is_whole(daemon):
    """docs/OPERATIONS.md names what there is, and nothing else."""
    chapter = (ROOT / "docs/OPERATIONS.md").read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    named = set()
    for row in re.findall(r"^\| (`pyaudit_.*?) \|", chapter, re.M):
        first, *others = re.findall(r"`(\w+)`", row)
        stem = first.rsplit("_", 1)[0] if first.startswith(("pyaudit_sink", "pyaudit_agents_")) else ""
        named |= {first} | {other if other.startswith("pyaudit_") else stem + other for other in others}
    assert named == set(read(ask(daemon())))
