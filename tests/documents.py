#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the commands that a document of docs/ tells people to run, as they stand in it, a line each:
documents.py FILE [HEADING]. Those who run them ask here, so that nobody runs anything else than is said."""
import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"


def sections(name):
    """(heading, text) of each part of a document."""
    found, fenced = [], False
    for line in (DOCS / name).read_text(encoding="utf-8").splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            found.append((line.strip("# \n"), ""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def commands(name, heading=None):
    """The lines of a document's, or of one section's, blocks of sh, without what is said beside them."""
    found = []
    for title, text in sections(name):
        if heading not in (None, title):
            continue
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"(^|\s+)# .*$", "", line.strip())
                if line:
                    found.append(line)
    return found


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    print("\n".join(commands(*sys.argv[1:])))
