#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that no compiler makes: lint.py headers|compilers|help|events|journal|symbols|maps|shippers|paths|includes|performance

PYAUDIT_BUILD names the build tree, CC the compiler. Exit status 1 with one line for each finding,
77 where the check cannot be made.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PYAUDIT_BUILD", ROOT / "build/release"))
SKIPPED = 77


def text(path):
    return path.read_text(encoding="utf-8")


def tracked():
    """Files of the project: those of git where there is one, otherwise all but what was built."""
    git = subprocess.run(["git", "-C", ROOT, "-c", "safe.directory=*", "ls-files", "-z", "-c", "-o",
                          "--exclude-standard"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if git.returncode == 0:
        names = git.stdout.decode().split("\0")
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    return [ROOT / n for n in names
            if n and (ROOT / n).is_file() and n.split("/")[0] not in ("build", ".git")]


def lint_headers():
    """Every header compiles alone, twice in a row."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    headers = [h for folder in ("include/pyaudit", "agent", "daemon") for h in (ROOT / folder).rglob("*.h")]
    cflags = subprocess.run(["pkg-config", "--cflags", "libevent_core", "libcjson"],
                            stdout=subprocess.PIPE).stdout.decode().split()
    for header in sorted(headers):
        source = '#include "%s"\n#include "%s"\n' % (header, header)
        done = subprocess.run(
            compiler + ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                        "-I", str(ROOT / "include"), "-I", str(ROOT / "agent"),
                        "-I", str(ROOT / "daemon/lib"), "-I", str(ROOT / "daemon")]
            + cflags + ["-x", "c", "-"],
            input=source.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            yield "%s does not compile alone:\n%s" % (header.relative_to(ROOT), done.stdout.decode())


def lint_compilers():
    """What gcc builds, clang takes as well: the fuzzers are built by it."""
    if shutil.which("clang") is None:
        print("skipped: no clang")
        sys.exit(SKIPPED)
    commands = {entry["file"]: shlex.split(entry["command"]) for entry in json.loads(text(BUILD / "compile_commands.json"))}

    def check(file):
        words = commands[file]
        flags = [w for w in words[1:words.index("-o")] if w != "-DNDEBUG" and w.startswith(("-D", "-I", "-W", "-std")) or w == "-isystem"
                 or words[words.index(w) - 1] == "-isystem"]
        done = subprocess.run(["clang", *flags, "-Werror", "-Wno-unknown-warning-option", "-fsyntax-only", file],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=BUILD)
        return done.stdout.decode() if done.returncode else ""

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(check, sorted(commands)))


def options_of(words):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", words))


def plain(roff):
    """A man page's text as far as options go."""
    return roff.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")


def lint_help():
    """Every option that --help names is in the man page, and every one there is in --help."""
    for program, page, commands in (("sbin/pyauditd", "pyauditd.8", ()),
                                    ("bin/pyauditctl", "pyauditctl.1", None)):
        path, man = BUILD / program, ROOT / "docs/man" / page
        if not man.exists():
            yield "docs/man/%s is missing" % page
            continue
        said = set()
        if commands is None:
            shown = subprocess.run([str(path), "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=20)
            commands = re.findall(r"^  ([a-z]+) +\S", shown.stdout.decode().split("Commands:")[1].split("\n\n")[0], re.M)
        asked = [["--help"]] + [[c, "--help"] for c in commands]
        for arguments in asked:  # grows by the commands of commands
            done = subprocess.run([str(path)] + arguments, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
            if done.returncode:
                yield "%s %s: exit status %d" % (program, " ".join(arguments), done.returncode)
            said |= options_of(done.stdout.decode())
            if len(arguments) == 2 and " %s COMMAND" % arguments[0] in done.stdout.decode().split("\n")[0]:
                asked += [[arguments[0], c, "--help"]
                          for c in re.findall(r"^  ([a-z]+) .*? \S", done.stdout.decode(), re.M)]
        # Examples may show options of other programs.
        written = options_of(re.sub(r"^\.(EX|nf)\b.*?^\.(EE|fi)\b", "", plain(text(man)), flags=re.M | re.S))
        for option in sorted(said - written):
            yield "%s: --help has %s, the man page has not" % (page, option)
        for option in sorted(written - said):
            yield "%s: the man page has %s, --help has not" % (page, option)


def lint_events():
    """Events, classes and fields that documents and shipped rules name exist in the tables, and
    the documents' tables have every row."""
    table = text(ROOT / "include/pyaudit/events.def")
    events = re.findall(r'^PYAUDIT_EVENT\(\w+, "([^"]+)"', table, re.M)
    fields = re.findall(r'^PYAUDIT_FIELD\(\w+, "([^"]+)"', text(ROOT / "include/pyaudit/fields.def"), re.M)
    for names, what in ((events, "event"), (fields, "field")):
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield "%s %s stands in its table twice" % (what, name)
    rules_page = ROOT / "docs/man/pyaudit-rules.5"
    if rules_page.exists():
        page = plain(text(rules_page))
        for field in fields:
            shown = re.sub(r"arg\[\d\]", "arg[", field)
            if shown not in page:
                yield "pyaudit-rules.5 does not name the field %s" % field
        for name in sorted(set(re.findall(r"@[a-z]+", page))):
            if name[1:].upper() not in table:
                yield "pyaudit-rules.5 names the class %s, which is in no table" % name
        yield from lint_rules_page(text(rules_page))
    for page in sorted((ROOT / "docs").glob("*EVENTS*.md")):
        rows = re.findall(r"^\|\s*`([\w./]+)`", text(page), re.M)
        for name in sorted(set(rows) ^ set(events)):
            yield "%s: %s stands on one side only" % (page.name, name)


def section_of(roff, name):
    """The text behind a .SH or .SS of that name, up to the next one."""
    found = re.search(r"^\.(SH|SS) %s\n(.*?)(?=^\.SH|^\.\1|\Z)" % re.escape(name), roff, re.M | re.S)
    return found.group(2) if found else ""


def tagged(roff):
    """What stands in the tags of its paragraphs."""
    words = set()
    for line in re.findall(r"^\.TP\n\.(?:B|BR|BI) (.*)$", roff, re.M):
        words |= set(re.findall(r'[^\s",]+', plain(line)))
    return words


def lint_rules_page(page):
    """pyaudit-rules(5) has every operator, class and profile that there is, each with a tag of its own, and no other."""
    table = re.search(r"operators\[\] = \{(.*?)\n\};", text(ROOT / "daemon/lib/expr.c"), re.S).group(1)
    operators = set(re.findall(r'^\t\{"([^"]+)"', table, re.M)) | {"in", "exists"}
    classes = re.search(r"pyaudit_class_names\[\w*\] = \{(.*?)\}", text(ROOT / "agent/events.c"), re.S).group(1)
    profiles = re.search(r"conf_profiles\[\] = \{(.*?)\}", text(ROOT / "daemon/lib/conf.c"), re.S).group(1)
    for name, there, shown in (
            ("operator", operators, tagged(section_of(page, "Operators")) - {"not", "field"}),
            ("class", {"@" + c for c in re.findall(r'"(\w+)"', classes)} | {"@all"}, tagged(section_of(page, "CLASSES"))),
            ("profile", set(re.findall(r'"(\w+)"', profiles)), tagged(section_of(page, "PROFILES")))):
        for missing in sorted(there - shown):
            yield "pyaudit-rules.5 has no paragraph on the %s %s" % (name, missing)
        for unknown in sorted(shown - there):
            yield "pyaudit-rules.5 has a paragraph on the %s %s, which there is not" % (name, unknown)
    for profile in re.findall(r'"(\w+)"', profiles):
        if not (ROOT / "config/profiles" / (profile + ".json")).exists():
            yield "config/profiles/%s.json is missing" % profile


def lint_journal():
    """pyaudit-journal(7) has every field that the journal sink writes and no other, and the MESSAGE_IDs are the
    same there, in the sink and in the catalog."""
    sink, page = text(ROOT / "daemon/lib/sink_journal.c"), plain(text(ROOT / "docs/man/pyaudit-journal.7"))
    written = set(re.findall(r'field_\w+\([^"\n]*"([A-Z_]+)"', sink))
    described = set(re.findall(r"^\.B ([A-Z_]+)$", page, re.M))
    for name in sorted(written ^ described):
        yield "the field %s is %s, but not %s" % ((name, "written", "in pyaudit-journal(7)") if name in written
                                                  else (name, "in pyaudit-journal(7)", "written"))
    ids = {"sink_journal.c": set(re.findall(r'^#define MESSAGE_ID_\w+ "([0-9a-f]{32})"', sink, re.M)),
           "pyaudit-journal(7)": set(re.findall(r"^\.B ([0-9a-f]{32})$", page, re.M)),
           "the catalog": set(re.findall(r"^-- ([0-9a-f]{32})$", text(ROOT / "packaging/pyaudit.catalog"), re.M))}
    for place, found in ids.items():
        for missing in sorted(set().union(*ids.values()) - found):
            yield "the MESSAGE_ID %s is not in %s" % (missing, place)


def lint_symbols():
    """The agent exports nothing: it is a guest in other programs' name space."""
    found = list(BUILD.glob("lib*/**/libpyaudit-agent.so"))
    if not found:
        yield "no agent below %s" % BUILD
    for agent in found:
        done = subprocess.run(["nm", "-D", "--defined-only", str(agent)], stdout=subprocess.PIPE, check=True)
        for line in done.stdout.decode().splitlines():
            symbol = line.split()[-1]
            if symbol not in INTERPOSED and not line.split()[-2:-1] == ["A"]:
                yield "%s exports %s" % (agent.name, symbol)
        yield from what_it_asks_of_the_loader(agent)


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()


def names_of(listing):
    """Symbols of nm's listing, without their versions."""
    return {line.split()[-1].split("@")[0] for line in listing.splitlines() if line.strip()}


OLDEST_GLIBC = 28  # minor version of the libc in containers that the library is mounted into


def what_it_asks_of_the_loader(agent):
    """Each of these costs every program that inherits the preload: docs/ARCHITECTURE.md, "In other programs"."""
    dynamic = output_of("readelf", "-dW", str(agent))
    for library in re.findall(r"NEEDED.*\[([^]]+)\]", dynamic):
        yield "%s needs %s; it takes libc as it finds it" % (agent.name, library)
    if "VERNEED" in dynamic:
        yield "%s asks for versions of symbols" % agent.name
    relocations = output_of("readelf", "-rW", str(agent)).splitlines()
    relative = [line for line in relocations if "_RELATIVE" in line]
    if len(relative) > 16:
        yield "%s has %d pointers in its data that have to be relocated" % (agent.name, len(relative))
    bound = {line.split()[4].split("@")[0] for line in relocations if re.search(r"_GLOB_DAT", line)}
    for symbol in sorted(bound - {"environ", "PySys_AddAuditHook"}):
        yield "%s has %s looked up at the start of each program" % (agent.name, symbol)
    parts = [line.split() for line in output_of("readelf", "-lW", str(agent)).splitlines() if " LOAD " in line]
    if len(parts) != 2:
        yield "%s has %d parts to map: one to read and run, one to write" % (agent.name, len(parts))
    for part in parts:
        begin, size, page = int(part[2], 16), int(part[5], 16), 4096
        if "W" in part[6] and begin // page != (begin + size - 1) // page:
            yield "%s has more than a page of data of its own" % agent.name
    libc = re.search(r"libc\.so\.\d+ => (\S+)", output_of("ldd", sys.executable)).group(1)
    called = names_of(output_of("nm", "-D", "--undefined-only", str(agent))) - {"PySys_AddAuditHook"}
    defined = output_of("nm", "-D", "--defined-only", libc)
    for symbol in sorted(called - names_of(defined)):
        yield "%s calls %s, which is not in libc" % (agent.name, symbol)
    for symbol, minor in re.findall(r" (\S+)@@GLIBC_2\.(\d+)\b", defined):
        # Those came from libdl, which each Python had before.
        if symbol in called - {"dladdr", "dlclose", "dlopen", "dlsym"} and int(minor) > OLDEST_GLIBC:
            yield "%s calls %s, which libc has since 2.%s only: it goes into containers" % (agent.name, symbol, minor)


# libc functions that the agent stands in for; agent.map names the same.
INTERPOSED = set()
_map = ROOT / "agent/agent.map"
if _map.exists():
    _global = re.search(r"global:(.*?)(local:|\})", text(_map), re.S)
    if _global:
        INTERPOSED = set(re.findall(r"\b([A-Za-z_]\w*);", _global.group(1)))


def event_fields():
    """Names of what an event of kind alert or event has, those of its caller with a dot."""
    schema = json.loads(text(ROOT / "docs/event.schema.json"))
    names = set(schema["properties"]) | set(schema["$defs"]["event"]["properties"]) | set(schema["$defs"]["facts"]["properties"])
    return (names - {"caller"}) | {"caller." + name for name in schema["$defs"]["frame"]["properties"]}


def ocsf_knows(attributes, path):
    """Whether each step of a.b.c is an attribute of the object that the step before leads to."""
    leads = {"finding_info": "finding_info", "analytic": "analytic", "attacks": "attack", "technique": "technique",
             "evidences": "evidences", "process": "process", "parent_process": "process", "user": "user", "file": "file",
             "metadata": "metadata", "product": "product", "container": "container"}
    where = "detection_finding"
    steps = path.split(".")
    for number, step in enumerate(steps):
        if where is None or step not in attributes[where]:
            return False
        where = leads.get(step)
    return True


def lint_maps():
    """The maps to other schemas know every field of an event, and name none that is not there."""
    ours = event_fields()
    severities = json.loads(text(ROOT / "docs/event.schema.json"))["$defs"]["severity"]["enum"]
    published = set(text(ROOT / "tests/fixtures/ecs-fields.txt").split("\n")[1:])
    attributes = {}
    for line in text(ROOT / "tests/fixtures/ocsf-attributes.txt").splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition(": ")
            attributes[name] = set(rest.split())
    known = {"ecs": lambda name: name in published, "ocsf": lambda name: ocsf_knows(attributes, name)}
    for schema, knows in known.items():
        page = ROOT / "docs/fleet" / (schema + ".json")
        made = json.loads(text(page))
        mapped = set(made["fields"]) | set(made.get("labels", ())) | set(made.get("left_out", ())) | set(made.get("unmapped", ()))
        for name in sorted(ours - mapped):
            yield "docs/fleet/%s: the field '%s' of events is forgotten: put it into fields, %s" % (
                page.name, name, "labels or left_out" if schema == "ecs" else "or unmapped")
        for name in sorted(mapped - ours):
            yield "docs/fleet/%s: event.schema.json has no field '%s'" % (page.name, name)
        for name in sorted(list(made["fields"].values()) + list(made["constants"])):
            if not knows(name):
                yield "%s: %s %s has no %s" % (page.name, made["schema"], made["version"], name)
        for name, values in made["values"].items():
            if name not in made["fields"]:
                yield "%s: values of %s, which is not mapped" % (page.name, name)
            if name == "severity" and sorted(values) != sorted(severities):
                yield "%s: severities are %s" % (page.name, ", ".join(severities))


def lint_shippers():
    """The example for rsyslog is one that rsyslog takes."""
    rsyslogd = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin:/sbin")
    if rsyslogd is None:
        print("rsyslogd is not installed")
        sys.exit(SKIPPED)
    example = text(ROOT / "docs/fleet/rsyslog-sender.conf")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rsyslog.conf"
        # The driver for TLS is a package of its own, and the files of keys are the host's.
        path.write_text(re.sub(r"(?s)^global\(.*?^\)\n", "", example, flags=re.M))
        done = subprocess.run([rsyslogd, "-N1", "-f", str(path), "-i", str(path) + ".pid"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = done.stdout.decode()
        if "could not load module" in said:
            print(said)
            sys.exit(SKIPPED)
        if done.returncode != 0:
            yield "rsyslog-sender.conf: " + said


def lint_paths():
    """No file names a place that only one machine has."""
    places = re.compile(r"(?<![\w.])/(?:home|Users|root|work|workspace|mnt|opt)/[A-Za-z0-9_]")
    # Container.sh makes these places itself; tests and rules speak of them as examples.
    allowed = re.compile(r"^(tests/|config/|docs/|README|packaging/example)")
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if name == "tests/lint/lint.py":
            continue
        try:
            content = text(path)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            if re.search(r"(?<![\w.])/work/", line) or \
                    (places.search(line) and not allowed.match(name)):
                yield "%s:%d: names a machine's own place: %s" % (name, number, line.strip()[:80])


def lint_includes():
    """Includes point one way, and no file wants Python.h."""
    rules = ((r"agent/.*\.[ch]$", r'#include "(daemon|lib)/|#include <(event2|cjson|systemd)'),
             (r"include/pyaudit/.*\.h$", r'#include "(?!pyaudit/)|#include <(event2|cjson|systemd)'),
             (r"daemon/lib/.*\.[ch]$", r"#include <event2"),
             (r".*\.[ch]$", r"#include\s+[<\"]Python\.h"))
    for path in tracked():
        name = str(path.relative_to(ROOT))
        for where, unwanted in rules:
            if re.match(where, name):
                for number, line in enumerate(text(path).splitlines(), 1):
                    if re.search(unwanted, line):
                        yield "%s:%d: %s" % (name, number, line.strip())
        if path.suffix in (".c", ".h", ".def") or name.endswith("CMakeLists.txt"):
            if "SPDX-License-Identifier: Apache-2.0" not in text(path)[:200]:
                yield "%s: no SPDX line at its head" % name


def lint_performance():
    """docs/PERFORMANCE.md has every number to reach, with its limit and a value for each interpreter, and says
    something of each part that is not reached."""
    sys.path.insert(0, str(ROOT / "tests/bench"))
    sys.dont_write_bytecode = True
    import design
    page = text(ROOT / "docs/PERFORMANCE.md")
    table = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) > 2:
            table[cells[0]] = cells[1:]
    for row in design.ROWS:
        cells = table.get(row.what)
        if cells is None:
            yield "PERFORMANCE.md has no row '%s'" % row.what
        elif cells[0] != design.limit(row):
            yield "PERFORMANCE.md: '%s' is to reach %s, not %s" % (row.what, design.limit(row), cells[0])
        elif not all(cells[1:]):
            yield "PERFORMANCE.md: '%s' has an empty cell" % row.what
    if "docs/PERFORMANCE.md" not in text(ROOT / "README.md"):
        yield "README.md does not link docs/PERFORMANCE.md"


def main():
    check = globals().get("lint_" + (sys.argv[1] if len(sys.argv) == 2 else ""))
    if check is None:
        print(__doc__)
        return 2
    findings = list(check())
    for finding in findings:
        print(finding)
    print("lint %s: %d findings" % (sys.argv[1], len(findings)))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
