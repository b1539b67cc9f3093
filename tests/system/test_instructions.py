#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The data path's instructions per packet, guest to guest in one thread (perf/ring_bench.c), counted by callgrind: no clock, so a busy machine does not matter.

A change that makes a packet dearer by more than ROOM fails here. When that is what you want, or when packets have become cheaper, write the new count into LIMITS
with the reason in the commit. The count is of the release build by Debian 12's gcc; it covers netfront, netback, bridge and what hv_fake does for them."""
import os
import re
import shutil
import subprocess
import tempfile

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release")
BENCH = os.path.join(BUILD, "perf", "ring_bench")
BURSTS, PACKETS = 200, 32
ROOM = 1.05
# arguments of ring_bench: instructions a packet
LIMITS = {"64": 470, "1500": 754, "64 copy": 761}


def count(bytes_, *words):
    """Instructions a packet."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=measured", f"--callgrind-out-file={folder}/out", BENCH, bytes_, str(BURSTS), *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90, check=False)
    found = re.search(r"Collected : (\d+)", done.stdout)
    if done.returncode or not found or not int(found[1]):
        raise RuntimeError(f"ring_bench ended with {done.returncode}: {done.stdout.strip()[-300:]}")
    return int(found[1]) / (BURSTS * PACKETS)


def judge(name, limit):
    counted = count(*name.split())
    return counted <= limit * ROOM, f"{name} B: {counted:.1f} instructions a packet, {limit} on record, at most {limit * ROOM:.0f}"


def main():
    print(f"1..{len(LIMITS)}", flush=True)
    failures = 0
    for number, (name, limit) in enumerate(LIMITS.items(), 1):
        if not shutil.which("valgrind") or not os.path.exists(BENCH):
            print(f"ok {number} - {name} # SKIP valgrind or build/release/perf/ring_bench is not there: scripts/setup, make tests-bin", flush=True)
            continue
        try:
            good, told = judge(name, limit)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            good, told = False, str(error)
        failures += not good
        print(f"{'ok' if good else 'not ok'} {number} - {told}", flush=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
