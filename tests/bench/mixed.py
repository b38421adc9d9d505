# SPDX-License-Identifier: Apache-2.0
"""Rule files of a chosen size, of which none concerns the events that are measured.

plain: equality, beginnings, ends and directories. mixed: those, and sets of 1,000 members, 1,000
directories in one rule, globs and regular expressions.
"""
import json

MEMBERS = 1000
LISTS = 4  # of each kind: as in life, many rules ask for the same sets

PLAIN = ("file.path = '/nowhere/{i}/secret'", "file.path startswith '/nowhere/{i}/'",
         "file.path endswith '.secret-{i}'", "file.path under '/private/{i}'")

MIXED = ("file.path = '/srv/app{i}/config.json'", "file.path in $paths{k} and file.write",
         "file.path under $places{k} and not caller.module = 'tool{i}'", "file.path glob '/home/*/.config/tool{i}/*'",
         "file.path matches 'id_(rsa|dsa)_{i}(\\\\.old)?$'", "file.path startswith '/usr/share/tool{i}/'",
         "file.path endswith '.secret{i}'", "file.path contains 'credential{i}'",
         "file.name = 'token{i}'", "file.path glob '/var/lib/*/key{i}.pem'")


def lists():
    found = {}
    for k in range(LISTS):
        found["paths%d" % k] = ["/etc/service%d/secret%d" % (k, n) for n in range(MEMBERS)]
        found["places%d" % k] = ["/var/lib/tenant%d/%d/private" % (k, n) for n in range(MEMBERS)]
    return found


def rules(n, kind):
    conditions = MIXED if kind == "mixed" else PLAIN
    return [{"id": "rule-%d" % i, "title": "Rule", "on": ["open"], "action": "alert",
             "when": [conditions[i % len(conditions)].format(i=i, k=i % LISTS)]} for i in range(n)]


def rule_file(n, kind="plain", more=()):
    content = {"version": 1, "rules": list(more) + rules(n, kind)}
    if kind == "mixed" and n > 0:
        content["lists"] = lists()
    return json.dumps(content)
