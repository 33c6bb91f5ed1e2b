"""Fail unless a coverage report (``coverage json``) says that at least so many percent of the branches were taken.

Usage: branches.py PERCENT REPORT
"""

import json
import sys

percent, path = float(sys.argv[1]), sys.argv[2]
with open(path, encoding="utf-8") as file:
    report = json.load(file)
taken, count = (report["totals"][key] for key in ("covered_branches", "num_branches"))
print(f"{taken} of {count} branches, {100 * taken / count:.1f} %")
if not count or 100 * taken < percent * count:
    for name, found in report["files"].items():
        if found["missing_branches"]:
            print(f"{name}: not taken, from line to line: {found['missing_branches']}")
    sys.exit(f"expected at least {percent} %")
