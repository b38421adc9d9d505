# SPDX-License-Identifier: Apache-2.0
"""The numbers to reach: what is measured, how much it may be, and where it stands in the documents.

docs/PERFORMANCE.md has one row for each; `lint.py performance` compares the two.
"""
import collections

# `least`: the value has to be at least the limit. `scale`: how it is printed.
Row = collections.namedtuple("Row", "key what limit unit least")


def at_most(key, what, limit, unit):
    return Row(key, what, limit, unit, False)


def at_least(key, what, limit, unit):
    return Row(key, what, limit, unit, True)


ROWS = (
    at_most("unasked", "event no rule asks for, to an empty C hook", 1.15, "x"),
    at_most("judged", "event checked against 1,000 rules, none matching, over an empty C hook", 40, "ns"),
    at_most("judged_mixed", "the same, rules of mixed kinds", 40, "ns"),
    at_most("distinct", "the same, rules of plain kinds, each event with another path", 40, "ns"),
    at_most("distinct_mixed", "the same, rules of mixed kinds, each event with another path", 40, "ns"),
    at_most("growth", "1,000 rules of plain kinds to 10, each event with another path", 1.2, "x"),
    at_most("growth_mixed", "1,000 rules of mixed kinds to 10, each event with another path", 1.2, "x"),
    at_most("recorded_bare", "event recorded, ~150 bytes of arguments, over an empty C hook", 60, "ns"),
    at_most("recorded", "the same with file, line and function of the caller", 120, "ns"),
    at_least("to_send", "one `send` per event, in added cost to recorded", 15, "x"),
    at_least("to_json", "a Python hook that writes JSON to a socket, in added cost to recorded", 50, "x"),
    at_most("denial", "denial, call to exception, with 1,000 rules", 2000, "ns"),
    at_most("startup", "interpreter start-up, to without", 1.03, "x"),
    at_most("imports", "an import-heavy program, to without", 1.02, "x"),
    at_most("subprocesses", "a loop of subprocesses, to without", 1.03, "x"),
    at_most("true", "`/bin/true` preloaded, instructions to without", 1.05, "x"),
    at_least("drained", "events drained per second and core", 5e6, "/s"),
    at_least("drained_memory", "the same with rules that have memory", 1e6, "/s"),
    at_most("idle_memory", "10,000 processes attached, idle: memory of the daemon", 100, "MB"),
    at_most("idle_cpu", "10,000 processes attached, idle: of one core", 1, "%"),
    at_most("flood", "flood of 10 x capacity: events, denials and losses not accounted for", 0, ""),
)


def number(value, unit):
    if unit == "/s":
        return "%.1f M/s" % (value / 1e6)
    if unit == "ns" and value >= 1000:
        return "%.2f us" % (value / 1e3)
    return "%s%s%s" % ("%.2f" % value if unit in ("x", "%") else "%.0f" % value,
                       " " if unit not in ("x", "") else "", unit if unit != "x" else "x")


def limit(row):
    return ("at least " if row.least else "at most ") + number(row.limit, row.unit)


def reached(row, value):
    return value >= row.limit if row.least else value <= row.limit
