#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Scenarios on real Xen 4.17 with Debian's Linux, in a machine that QEMU emulates: `make test-xen`.

    tests/system/xen/rig.py [NAME...]      all scenarios, or these; --list names them, and those that run only when they are named

Each scenario has a fresh machine, a time limit, a log (build/xen/<name>.log, dom0's console beside it) and a row in build/xen.json.
Exit status 1 when one failed, 77 with one line when the machine lacks what the rig needs.
"""
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import images  # noqa: E402  (found through the path above)
import packages  # noqa: E402
import scenarios  # noqa: E402
from machine import Failure, Machine  # noqa: E402

RESULTS = os.path.join(packages.ROOT, "build", "xen.json")


def too_late(_signal, _frame):
    raise Failure("over its time limit")


def run_one(scenario, dom0):
    """(passed, what it tells) of one scenario on a machine of its own."""
    log = os.path.join(packages.XEN, f"{scenario.__name__}.log")
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(scenario.limit_s)
    try:
        with Machine(dom0, log, scenario.options, scenario.outside) as machine:
            return True, scenario(machine)
    except Failure as failure:
        return False, f"{failure}; see {os.path.relpath(log, packages.ROOT)}"
    finally:
        signal.alarm(0)


def record(rows):
    with open(RESULTS, "w") as out:
        json.dump(rows, out, indent=1)
        out.write("\n")


def chosen(names):
    known = {scenario.__name__: scenario for scenario in scenarios.ALL + scenarios.ASKED_FOR}
    for name in names:
        if name not in known:
            sys.exit(f"rig.py: no scenario '{name}'; there are: {' '.join(known)}")
    return [known[name] for name in names] or scenarios.ALL


def run(wanted):
    """Rows of build/xen.json, one for each scenario. Raises packages.Missing."""
    packages.fetch()
    dom0 = images.build()
    rows = []
    for scenario in wanted:
        began = time.monotonic()
        passed, told = run_one(scenario, dom0)
        rows.append({"name": scenario.__name__, "passed": passed, "seconds": round(time.monotonic() - began, 1), "told": told or ""})
        record(rows)
        print(f"{'ok  ' if passed else 'FAIL'} {scenario.__name__} ({rows[-1]['seconds']} s){': ' + told if told else ''}", flush=True)
    return rows


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{scenario.__name__}: {scenario.__doc__.splitlines()[0]}" for scenario in scenarios.ALL + scenarios.ASKED_FOR))
        return
    try:
        rows = run(chosen(sys.argv[1:]))
    except packages.Missing as why:
        print(f"rig.py: cannot run: {why}")
        sys.exit(77)
    print(f"{sum(row['passed'] for row in rows)} passed, {sum(not row['passed'] for row in rows)} failed")
    sys.exit(any(not row["passed"] for row in rows))


if __name__ == "__main__":
    main()
