# SPDX-License-Identifier: Apache-2.0
"""File, line, function and module of an event are those of the code that raised it."""
import random

from conftest import rule


def program(seed, n_functions=150):
    """Functions with gaps, loops, exceptions and lambdas between the lines that raise events; each event
    carries the line that Python itself gives for its frame."""
    pick = random.Random(seed)
    lines = []
    for i in range(n_functions):
        lines.append("def f%d(x, *more, key=None):" % i)
        lines.extend([""] * pick.choice([0, 1, 2, 7, 40, 300]))
        for _ in range(pick.randint(1, 6)):
            lines.extend(pick.choice([
                ["    audit('line.mark', line())"],
                ["    y = [audit('line.mark', line()) for _ in range(2)]"],
                ["    y = (1,", "", "  2)", "    audit('line.mark', line())"],
                ["    try:", "        audit('line.mark', line()); raise ValueError", "    except ValueError:",
                 "        audit('line.mark', line())"],
                ["    for _ in range(2):", "        z = lambda: audit('line.mark', line())", "        z()"],
                ["    x = " + " + ".join(["x"] * pick.randint(1, 60)), "    audit('line.mark', line())"],
            ]))
    lines.extend("f%d(1)" % i for i in range(n_functions))
    return "\n".join(lines) + "\n"


def test_lines_are_those_of_python(ctl_run, python, tmp_path):
    path = tmp_path / "generated.py"
    path.write_text("import sys\naudit = sys.audit\nline = lambda: sys._getframe(1).f_lineno\n" + program(1))
    result = ctl_run([python, "-I", str(path)], options=["--record", "all"])
    assert result.returncode == 0, str(result)[:2000]
    marks = [e for e in result.events if e.get("event") == "line.mark"]
    assert len(marks) > 300
    wrong = [(e["caller"], e["args"]) for e in marks if e["caller"]["line"] != e["args"][0]]
    assert not wrong, wrong[:5]
    assert {e["caller"]["file"] for e in marks} == {str(path)}
    assert {e["caller"]["module"] for e in marks} == {"__main__"}


MADE_AGAIN = """
import sys, time
names = {"audit": sys.audit}
for turn in range(150):
    time.sleep(0.002)
    names["n"] = n = 1 + turn * 7919 % 13 * (1 + turn % 3 * 30)
    # Alike but for the place of the call: by the first line, or by the table of lines.
    for source in "\\n" * (n - 1) + "audit('line.mark', n)", "audit;" + "\\n" * (n - 1) + "audit('line.mark', n)":
        code = compile(source, "made.py", "exec")
        for _ in range(3):
            exec(code, names)
        del code
"""


def test_code_in_the_place_of_other_code_has_its_own_lines(ctl_run, python):
    """Lines are remembered; code that comes to lie where other code was is not taken for it."""
    result = ctl_run([python, "-I", "-c", MADE_AGAIN], options=["--record", "all"])
    assert result.returncode == 0, str(result)[:2000]
    marks = [e for e in result.events if e.get("event") == "line.mark"]
    assert len(marks) == 900
    wrong = [(e["caller"], e["args"]) for e in marks if e["caller"]["line"] != e["args"][0]]
    assert not wrong, wrong[:5]


def test_the_caller_is_the_programs_line_and_the_stack_is_whole(ctl_run, python, tmp_path):
    path = tmp_path / "app.py"
    path.write_text("import subprocess\n"
                    "def handler():\n"
                    "    subprocess.run(['true'])\n"
                    "handler()\n")
    result = ctl_run([python, "-I", str(path)], rule("told", ["subprocess.Popen"], action="alert"))
    alert = result.kind("alert")[0]
    assert (alert["caller"]["file"], alert["caller"]["line"], alert["caller"]["function"]) == (str(path), 3, "handler")
    functions = [frame["function"] for frame in alert["stack"]]
    assert "__init__" in functions[:2] and functions[-2:] == ["handler", "<module>"], functions
