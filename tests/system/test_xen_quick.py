#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two scenarios of the Xen rig (tests/system/xen), which boot real Xen in an emulated machine; `make test-xen` runs all of them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "xen"))
sys.dont_write_bytecode = True
import packages  # noqa: E402  (found through the path above)
import images  # noqa: E402
import rig  # noqa: E402
import scenarios  # noqa: E402

QUICK = [scenarios.d_net, scenarios.c_net]


def main():
    print(f"1..{len(QUICK)}", flush=True)
    try:
        packages.fetch()
    except packages.Missing as why:
        for number, scenario in enumerate(QUICK, 1):
            print(f"ok {number} - {scenario.__name__} # SKIP {why}")
        return 0
    dom0, failures = images.build(), 0
    for number, scenario in enumerate(QUICK, 1):
        passed, told = rig.run_one(scenario, dom0)
        failures += not passed
        print(f"{'ok' if passed else 'not ok'} {number} - {scenario.__name__}{': ' + told if told else ''}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
