"""Fail unless the last line of a training log, ``test accuracy: 98.76 %``, reaches a percentage.

Usage: at_least.py PERCENT LOGFILE
"""

import re
import sys

percent, path = float(sys.argv[1]), sys.argv[2]
with open(path, encoding="utf-8") as file:
    last = file.read().splitlines()[-1]
found = re.fullmatch(r"test accuracy: (\d+\.\d+) %", last)
if found is None:
    sys.exit(f"{path}: the last line is not a test accuracy: {last!r}")
if float(found[1]) < percent:
    sys.exit(f"{path}: test accuracy {found[1]} %, expected at least {percent} %")
