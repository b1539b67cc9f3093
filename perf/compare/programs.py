# SPDX-License-Identifier: BSD-3-Clause
"""Starting and ending what scripts/perf measures with: one command to its JSON, one process to its end, and what the machine is like."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from lab import LabError

HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB"
HUGE_ENOUGH = 512  # for two peers and the back end


def last_line(text):
    return (text.strip() or "no output").splitlines()[-1]


def json_of(*words, seconds):
    """The JSON that a command prints; it is killed after so many seconds."""
    name = os.path.basename(str(words[0]))
    try:
        done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise LabError(f"{name} did not end within {seconds:.0f} s") from None
    if done.returncode or "{" not in done.stdout:
        raise LabError(f"{name}: {last_line(done.stderr or done.stdout)}")
    return json.loads(done.stdout[done.stdout.index("{"):])


def end(process):
    """SIGTERM, then SIGKILL; nothing when it has ended."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def value(told, key):
    if not told[key] > 0:
        raise LabError(f"{told.get('tool', 'the run')} measured nothing: the other core was taken from it")
    return told[key]


def huge_pages(which="free"):
    """2 MiB pages: "free", or all that are reserved ("nr")."""
    try:
        with open(f"{HUGE}/{which}_hugepages") as file:
            return int(file.read())
    except OSError:
        return 0


@contextlib.contextmanager
def reserved_huge_pages():
    """Enough 2 MiB pages for a while, as whoever uses DPDK reserves them, or none: part of them would be for some programs and not for others. Those that were not there before go back."""
    before, missing = huge_pages("nr"), HUGE_ENOUGH - huge_pages()
    try:
        if missing > 0:
            set_huge_pages(before + missing)
            if huge_pages() < HUGE_ENOUGH:
                set_huge_pages(before)
                print(f"perf: {HUGE_ENOUGH} pages of 2 MiB cannot be reserved: all programs get along with 4 KiB pages, the peers less well", file=sys.stderr)
        yield
    finally:
        if missing > 0:
            set_huge_pages(before)


def set_huge_pages(number):
    with contextlib.suppress(OSError):
        with open(f"{HUGE}/nr_hugepages", "w") as file:
            file.write(str(number))


def idle_percent(seconds=0.2):
    """Of all cores: how quiet the machine is."""
    def ticks():
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
        return fields[3], sum(fields)

    idle, total = ticks()
    time.sleep(seconds)
    idle2, total2 = ticks()
    return round(100 * (idle2 - idle) / max(1, total2 - total))
