# SPDX-License-Identifier: BSD-3-Clause
"""The rows on real Xen in an emulated machine: dom0's CPU time for a Linux guest's packets, TCP and reads, against Linux's own back ends in the same dom0.
The scenario cpu_time of tests/system/xen measures them; they stand among those that are not measured when it cannot."""
import os
import sys

import lab
import programs
import report

sys.path.insert(0, os.path.join(lab.ROOT, "tests", "system", "xen"))
import images  # noqa: E402  (found through the path above)
import packages  # noqa: E402
import rig  # noqa: E402
from scenarios import cpu  # noqa: E402

NAME, GUEST = "emulated Xen", "Linux on Xen 4.17"
BOOT_S, MEASURE_S = 90, 90  # a machine and its guest; beyond MEASURE_S no further round begins. On a quiet machine less of both
# what cpu.measure calls it, the row's name, the goal
ROWS = [("packet", "dom0's CPU time for a 64 B packet of a Linux guest to a NIC", 0.5), ("MiB of TCP", "dom0's CPU time for a MiB of TCP of a Linux guest to a NIC", 0.5),
        ("read", "dom0's CPU time for a 4 KiB read of a Linux guest, QD32", 0.8),
        ("packet, veth", "dom0's CPU time for a 64 B packet of a Linux guest to a veth, ours by af_packet", 0.5),
        ("MiB of TCP, veth", "dom0's CPU time for a MiB of TCP of a Linux guest to a veth, ours by af_packet", 0.5)]
WHY_NOT = "SLUICE_PERF_NO_XEN"  # set for the inner copy of scripts/perf, where there is no network to fetch with


def fetch():
    """Xen and Linux, below build/xen; a line that says why not, or None."""
    try:
        packages.fetch()
    except packages.Missing as why:
        return f"{why}"
    return None


def measured(rounds, step):
    """What cpu.measure gives, on a machine of its own. LabError with the reason when it gives nothing."""
    def perf(machine):
        return cpu.measure(machine, rounds, MEASURE_S, lambda text: step(f"{NAME}, {text}"))

    perf.limit_s, perf.options, perf.outside = BOOT_S * 3 + MEASURE_S * 3, cpu.OPTIONS, cpu.OUTSIDE
    step(f"{NAME}: boots")
    try:
        passed, told = rig.run_one(perf, images.build())
    except (packages.Missing, OSError) as why:
        raise lab.LabError(f"{why}") from None
    if not passed:
        raise lab.LabError(told)
    return told


def make_rows(done, why, idle):
    """(rows, not_measured) of what cpu.measure gave."""
    made, missing = [], []
    for load, name, goal in ROWS:
        if done.get(load):
            told = [{**one, "idle_percent": idle} for one in done[load]]
            made.append(report.make_row(name, "us CPU", GUEST, "mean", goal, told, [why] if why else [], less=True))
        else:
            missing.append({"name": name, "guest": GUEST, "why": why})
    return made, missing


def rows(rounds, seconds, step):
    """(rows, not_measured) as in build/perf.json. seconds: how many are left."""
    idle = programs.idle_percent()
    try:
        if os.environ.get(WHY_NOT):
            raise lab.LabError(os.environ[WHY_NOT])
        if seconds < BOOT_S + MEASURE_S:
            raise lab.LabError(f"it takes up to {BOOT_S + MEASURE_S} s, and there are {seconds:.0f}")
        return make_rows(*measured(rounds, step), idle)
    except lab.LabError as error:
        return make_rows({}, f"{error}", idle)
