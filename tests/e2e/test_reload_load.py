# SPDX-License-Identifier: Apache-2.0
"""Reloads under load, half of them broken: no event is lost, no policy is torn, every verdict is of the generation it
names. PYAUDIT_RELOADS says how many (1000 for the acceptance run)."""
import os
import threading

from conftest import PATIENCE, lines_of, lost_of, of_kind, rule, write_rules

RELOADS = int(os.environ.get("PYAUDIT_RELOADS", "200"))
# Generation k has rule gen-k, which names k in its condition: a torn policy would match none or two.
LOAD = """
import os, select, sys
n = denied = 0
while not select.select([sys.stdin], [], [], 0.0005)[0]:
    try:
        os.chdir('/nonexistent')
    except PermissionError:
        denied += 1
    except OSError:
        pass
    n += 1
print(n, denied, flush=True)
"""


def rules_of_round(number):
    return [rule("gen-%d" % number, "os.chdir", "file.path = '/nonexistent'", severity="error"),
            rule("seen", "os.chdir", action="record")]


def test_reloads_under_load_lose_nothing(daemon):
    server = daemon(*rules_of_round(0))
    programs = [server.spawn(["/usr/bin/python3", "-I", "-c", LOAD]) for _ in range(2)]
    generations, refused = {server.status()["generation"]: 0}, 0
    for number in range(1, RELOADS + 1):
        if number % 2:
            server.rules_file.write_text('{"version": 1, "rules": [{"id": "torn"')
            answer = server.request("reload")
            assert answer["ok"] is False and answer["mistakes"], answer
            assert server.status()["generation"] in generations, "a broken file changed the policy"
            refused += 1
        else:
            write_rules(server.rules_file, *rules_of_round(number))
            answer = server.request("reload")
            assert answer["ok"] is True and answer["generation"] not in generations
            generations[answer["generation"]] = number
    counts = []
    for program in programs:
        out, _ = program.communicate(b"\n", timeout=60 * PATIENCE)
        counts.append([int(word) for word in out.split()])
    events = server.events()
    alerts = of_kind(events, "alert", event="os.chdir")
    assert sum(n for n, _ in counts) == sum(d for _, d in counts) > 0, "an act passed: no policy, or a torn one"
    assert lost_of(events) == 0
    assert len(alerts) == sum(d for _, d in counts)
    for alert in alerts:
        assert alert["rules"] == ["gen-%d" % generations[alert["generation"]], "seen"], alert
    assert len({a["generation"] for a in alerts}) > 1, "programs never took a newer policy"
    told = of_kind(events, "status")
    assert len([e for e in told if e["event"] == "daemon.reload"]) == RELOADS // 2
    assert len([e for e in told if e["event"] == "daemon.reload-failed"]) == refused
    print("%d reloads, %d broken; %d acts, all denied and told; %d generations told of, 0 events lost" % (
        RELOADS, refused, len(alerts), len({a["generation"] for a in alerts})))
