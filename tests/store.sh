#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run by tests/container.sh store in a booted system: the build installed as INSTALL says, and its daemon killed.
set -eu
cd "$(dirname "$0")/.."
python3 -B tests/documents.py INSTALL.md "The build itself" >/root/install.sh
sh -e /root/install.sh >/root/install.log 2>&1 || { tail -n 40 /root/install.log; exit 1; }
cd tests/e2e
export PYAUDIT_BUILD=/root/pyaudit/build/release PYAUDIT_INTERPRETERS=one PYAUDIT_TRANSPORT=full PYAUDIT_TRANSPORT_UNIT=1
exec python3 -B -m pytest -p no:cacheprovider -q -s test_transport.py -k unit
