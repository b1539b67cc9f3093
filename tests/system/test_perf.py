#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""sluice-perf and make perf's row: each runs for a second, and its output has the shape that others read. Speed is not tested."""
import json
import os
import shutil
import subprocess
import sys

import tap
from tap import check, lab

sys.path.insert(0, os.path.join(lab.ROOT, "perf", "compare"))
import report  # noqa: E402  (found through the path above)
import xen  # noqa: E402
from cores import FIRST, TRIES, Cores  # noqa: E402
from ours import Ours  # noqa: E402

PERCENTILES = ("min", "p50", "p90", "p99", "p999", "max")


def up(host, uplink=None):
    lab.command("ip", "link", "set", "lo", "up")
    host.start_sluiced()
    host.start_backend(*(["--uplink", uplink] if uplink else []), uplink=False)


def perf(host, tool, *options):
    words = [host.program("sluice-perf"), tool, "--json", *options]
    if tool != "machine":
        words += ["--run-dir", host.run_dir, "--seconds", "1"]
    done = lab.command(*words, check=False, timeout=60)
    check(done.returncode == 0, f"{' '.join(options)}: status {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def ordered(told, names, what):
    values = [told[name] for name in names]
    check(values == sorted(values), f"{what}: {dict(zip(names, values))}")


def packets(host, mode, *options):
    told = perf(host, "net", "--mode", mode, *options)
    check(told["mode"] == mode and told["unit"] == "Mpps", f"{mode}: {told}")
    ordered(told, ("p50", "p90"), mode)
    check(0 < told["windows"]["clean"] <= told["windows"]["all"] <= 1001 and told["mean"] > 0, f"{mode}: {told}")
    return told


def sends(host):
    """tx: to an uplink that takes everything."""
    up(host, "net_null0,no-rx=1")
    told = packets(host, "tx")
    check(told["lost"] == 0 and told["size"] == 64 and not told["touch"], f"{told}")


def receives(host):
    """rx: from an uplink that always has something."""
    up(host, "net_null0,size=64,copy=1")
    packets(host, "rx")


def between_vifs(host):
    """loop and pair: 64 B and 1500 B touched; the domains are gone afterwards."""
    up(host)
    packets(host, "loop", "--size", "1500", "--touch")
    packets(host, "pair")
    lab.wait_for("the domains to go", 5, lambda: not [d for d in json.loads(host.sluice("list", "--json")) if d["name"].startswith("perf-")])


def several_sizes(host):
    """loop: a run for each size; 64 KiB is a packet of many buffers, for segmentation offload, that crosses whole."""
    up(host)
    told = perf(host, "net", "--mode", "loop", "--size", "60,1514,65535", "--touch", "--burst", "2")
    check(told["tool"] == "net" and [run["size"] for run in told["runs"]] == [60, 1514, 65535], f"{told}")
    for run in told["runs"]:
        check(run["mean"] > 0 and run["lost"] == 0, f"{run}")


def copies(host):
    """--copy: not one page with static grants, and packets all the same."""
    up(host)
    told = packets(host, "loop", "--copy")
    check(told["copy"] and told["static_pages"] == 0, f"{told}")
    check(packets(host, "loop")["static_pages"] > 0, "static grants were not used without --copy")


def many_vifs(host):
    """Vifs that share the load, in one domain and in two, and idle ones beside; flows."""
    host.memory_mib = 768
    up(host)
    for words, vifs, idle in ((("--mode", "tx", "--drop", "--vifs", "40"), 40, 0), (("--mode", "loop", "--vifs", "4", "--flows", "16"), 4, 0),
                              (("--mode", "tx", "--drop", "--idle", "40"), 1, 40)):
        told = perf(host, "net", *words)
        check(told["vifs"] == vifs and told["idle_vifs"] == idle and told["mean"] > 0 and told["lost"] == 0, f"{told}")


def many_queues(host):
    """--queues: flows are spread over the vif's queues, each stays on one; the lcores of the back end serve them; a front end takes no more than there are."""
    lab.command("ip", "link", "set", "lo", "up")
    host.start_sluiced()
    host.start_backend("--cores", "0,1" if os.cpu_count() > 1 else "0", uplink=False)

    def used(told, what):
        check(len(told[what]) == told["queues"], f"{told}")
        return sum(packets > told["mean"] / 1000 for packets in told[what])  # an announcement does not count

    for flows, queues in ((64, 2), (1, 1)):
        told = packets(host, "loop", "--queues", "2", "--flows", str(flows))
        check(told["queues"] == 2 and told["lost"] == 0 and told["static_pages"] == 2 * 2 * 768, f"{told}")
        check(used(told, "queue_tx") == queues and used(told, "queue_rx") == queues, f"{flows} flows: {told['queue_tx']} {told['queue_rx']}")
    told = packets(host, "pair", "--queues", "2", "--copy", "--size", "1500")
    check(used(told, "queue_rx") == 2, f"{told}")
    told = packets(host, "tx", "--drop", "--queues", "16")
    check(told["queues"] == 8 and used(told, "queue_tx") == 8, f"{told}")
    told = packets(host, "loop", "--queues", "2", "--size", "65535", "--burst", "2")
    check(told["lost"] == 0 and used(told, "queue_rx") == 2, f"{told}")


def round_trips(host):
    """ping: percentiles in order."""
    up(host)
    told = perf(host, "net", "--mode", "ping")
    check(told["unit"] == "us" and told["samples"] > 0, f"{told}")
    ordered(told, PERCENTILES, "ping")


def disks(host):
    """blk: each operation on null:, and what a file gets is written to it."""
    up(host)
    for rw in ("read", "randwrite"):
        polls = rw == "read"
        told = perf(host, "blk", "--rw", rw, "--size", "4k", "--depth", "8", *(["--poll"] if polls else []))
        check(told["rw"] == rw and told["size"] == 4096 and told["depth"] == 8 and told["poll"] == polls and told["mean"] > 0, f"{told}")
        ordered(told["latency"], PERCENTILES, rw)
    path = os.path.join(host.scratch, "disk.img")
    with open(path, "wb") as file:
        file.write(b"\xee" * (1 << 20))
    blocks = b"".join(bytes([number]) * 4096 for number in range(256))
    with open(path, "wb") as file:
        file.write(blocks)
    for share in (0, 30):  # with writes, what was read in one place is written to another
        told = perf(host, "blk", "--target", path, "--writes", str(share))
        with open(path, "rb") as file:
            check(told["writes"] == share and (file.read() != blocks) == (share > 0), f"--writes {share}: {told}")
    with open(path, "wb") as file:
        file.write(b"\xee" * (1 << 20))
    perf(host, "blk", "--target", path, "--rw", "write")
    with open(path, "rb") as file:
        check(b"\xee" not in file.read(), "blk --rw write left parts of the file as they were")


def machine(host):
    """machine: a cache line's way."""
    told = perf(host, "machine")
    check(told["ping_pong_ns"] > 0 and told["tsc_ghz"] > 0.1, f"{told}")
    told = perf(host, "machine", "--copy")
    check(told["one_copy_gbps"] > 0, f"{told}")


def lcores(host):
    """lcore_bench: each lcore carries packets by its own queues of both uplinks."""
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))[:2]]
    done = lab.command(host.program(os.path.join("perf", "lcore_bench")), ",".join(cores), "0.3")
    told = json.loads(done[done.index("{"):])
    check(told["lcores"] == len(cores) == len(told["each"]) and all(each > 0 for each in told["each"]), f"{told}")


def bad_input(host):
    """One line each, status 2 for options, 1 for what is not there."""
    for words, status, said in ((("net", "--size", "59"), 2, "--size 59"), (("net", "--mode", "up"), 2, "--mode up"), (("net", "--size", "64,x"), 2, "--size x"),
                                (("net", "--mode", "loop", "--vifs", "3"), 2, "--vifs 3"), (("net", "--mode", "rx", "--drop"), 2, "--drop"),
                                (("net", "--mode", "tx", "--vifs", "5", "--queues", "8"), 2, "--queues 8"),
                                (("blk", "--rw", "rand"), 2, "--rw rand"),
                                (("blk", "--depth", "x"), 2, "--depth x"), (("disk",), 2, "usage"), (("net", "--run-dir", "/nowhere"), 1, "start sluiced")):
        done = lab.command(host.program("sluice-perf"), *words, check=False)
        check(done.returncode == status and said in done.stderr, f"{words}: status {done.returncode}: {done.stderr}")


def compare(host, *options):
    """What scripts/perf writes."""
    out = os.path.join(host.scratch, "perf.json")
    environment = {name: value for name, value in os.environ.items() if name != "SLUICE_LAB_DIR"}
    done = subprocess.run([os.path.join(lab.ROOT, "scripts", "perf"), "--seconds", "1", "--runs", "1", "--output", out, *options], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    check(done.returncode == 0, done.stdout[-300:])
    with open(out) as file:
        return json.load(file)


def comparison_row(host):
    """scripts/perf: one row with its ratio, where the peer has been built."""
    if not os.path.exists(os.path.join(lab.BUILD, "perf", "peers", "vhost")):
        return "SKIP: the peer is not built (make build/release/perf/peers/vhost)"
    result = compare(host, "--only", "round trip")
    row = result["rows"][0]
    check(result["machine"]["ping_pong_ns"] > 0 and abs(row["ratio"] - row["ours"] / row["peer_value"]) < 1e-9, f"{row}")
    check(row["reached"] == (row["ratio"] <= row["goal"]) and len(row["runs"]) == 1 and report.consistent(row) is None, f"{row}")
    return None


def kernel_rows(host):
    """scripts/perf: the minimal kernel's counters through its console, both ways, to another kernel, and its disk."""
    ours = Ours(os.path.join(host.scratch, "ours"), host.log_path, 1, 0, 1)
    os.mkdir(ours.host.scratch)
    try:
        for what, told in (("tx", ours.kernel_tx(64)), ("rx", ours.kernel_rx()), ("pair", ours.kernel_pair(1500)), ("blk", ours.kernel_blk("null:1G"))):
            check(told["mean"] > 0, f"{what}: {told}")
    finally:
        ours.stop()


def plots(host):
    """sluice-perf-plot: an SVG by size, one of rows; one line for what is no figure, and where there is no gnuplot."""
    script, out = os.path.join(lab.ROOT, "perf", "sluice-perf-plot"), os.path.join(host.scratch, "plot.svg")

    def plot(told, **options):
        path = os.path.join(host.scratch, "told.json")
        with open(path, "w") as file:
            file.write(told)
        return lab.command(sys.executable, script, "--output", out, path, check=False, **options)

    runs = [{"size": size, "unit": "Mpps", "p50": 9.0 - number, "p90": 10.0} for number, size in enumerate((64, 512, 1514))]
    row = report.make_row("a row", "Mpps", "hosted", "p90", 2.0, [{"ours": 3.0, "peers": {"peer": 1.0}}])
    for told, words in (("{", "told.json"), ("{}", "no runs")):
        done = plot(told)
        check(done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1, f"{told}: {done.stderr}")
    done = plot(json.dumps({"runs": runs}), env={"PATH": "/nowhere"})
    check(done.returncode == 1 and "apt-get install gnuplot-nox" in done.stderr, done.stderr)
    if not shutil.which("gnuplot"):
        return "SKIP: gnuplot is not there (apt-get install gnuplot-nox)"
    for told, words in (({"runs": runs}, "bytes of a frame"), ({"rows": [row]}, "a row")):
        done = plot(json.dumps(told))
        check(done.returncode == 0, done.stderr)
        with open(out) as file:
            check(words in file.read(), f"'{words}' is not in the plot")
    return None


def rows_from_rounds(_host):
    """A row's ratio is the median of its rounds against the best peer of each; a row that was touched up is found out."""
    rounds = [{"ours": ours, "peers": {"a": a, "b": b}} for ours, a, b in ((10, 5, 4), (12, 3, 4), (9, 9, 1))]
    row = report.make_row("row", "Mpps", "hosted", "p90", 2.0, rounds)
    check([one["ratio"] for one in row["runs"]] == [2.0, 3.0, 1.0] and row["ratio"] == 2.0 and row["reached"] and row["peer"] == "a", f"{row}")
    check(report.consistent(row) is None, f"{row}")
    for change in ({"ratio": 2.5}, {"ours": 11}, {"reached": False}):
        check(report.consistent({**row, **change}) is not None, f"{change} was not noticed")
    less = report.make_row("row", "us", "hosted", "p50", 0.6, [{"ours": 0.5, "peers": {"a": 1.0, "b": 2.0}}], less=True)
    check(less["ratio"] == 0.5 and less["reached"] and less["peer"] == "a", f"{less}")


def rows_from_steady_rounds(_host):
    """A round in which the cores changed their state counts only when there is no other."""
    steady, other = {"ours": 4, "peers": {"a": 2}, "steady": True}, {"ours": 9, "peers": {"a": 1}, "steady": False}
    row = report.make_row("row", "Mpps", "hosted", "p90", 2.0, [other, steady, other])
    check((row["ratio"], row["ours"], row["peer_value"]) == (2, 4, 2) and len(row["runs"]) == 3 and report.consistent(row) is None, f"{row}")
    check(report.make_row("row", "Mpps", "hosted", "p90", 2.0, [other])["ratio"] == 9, "a lonely round was lost")


def steady_cores(_host):
    """A measurement is taken again when the cores changed their state in it, and begins when they are near."""
    readings, done = [], []

    def measured(*after):
        """What comes of a measurement when the readings after the first ones are these; the last one lasts."""
        readings[:] = [120, *[40] * (FIRST - 1), *after]
        cores = Cores((), lambda: readings.pop(0) if len(readings) > 1 else readings[0], 0)
        cores.settle()
        done.clear()
        return cores.steadily(lambda: done.append(len(readings)) or len(done))

    for after, expected in (((40, 41), (1, True)), ((40, 120, 40, 40), (2, True)), ((120, 119, 50, 40), (1, True)), ((40, 120) * TRIES + (40,), (TRIES, False)), ((40, 20, 40, 41), (2, True))):
        told = measured(*after)
        check(told == expected, f"readings {after}: {told}, not {expected}")
    cores = Cores((), lambda: 120, 0)
    cores.readings.append(40)
    cores.settle()
    cores.left_s = 0
    check(cores.steadily(lambda: 7) == (7, False) and len(cores.readings) == FIRST + 2, "without a budget it is not measured once")
    measured(120, 40, 40)
    check(done == [1], f"it began before the cores were near: {done}")


def spinning_cores(_host):
    """Processes that only take what nobody wants keep the cores awake, but for what they would disturb, and are gone afterwards."""
    def state(process):
        return lab.command("ps", "-o", "state=,cls=", "-p", process.pid, check=False).stdout.split()

    cores = Cores((0, 1), lambda: 40, 0)
    try:
        for process in cores.spinners:
            lab.wait_for("a spinner", 5, lambda process=process: state(process) == ["R", "IDL"])
        with cores.asleep():
            for process in cores.spinners:
                lab.wait_for("a spinner's rest", 5, lambda process=process: state(process)[0] == "T")
        cores.settle()
        cores.steadily(lambda: [lab.wait_for("a spinner's rest beside what yields", 5, lambda process=process: state(process)[0] == "T") for process in cores.spinners], True)
        for process in cores.spinners:
            lab.wait_for("a spinner's return", 5, lambda process=process: state(process)[0] == "R")
    finally:
        cores.end()
    check(all(state(process) == [] for process in cores.spinners), "a spinner goes on")


def rows_on_xen(_host):
    """What the emulated machine measured becomes rows, and what it did not, a reason; so it does when Xen could not be fetched."""
    one = {"ours": 40.0, "peers": {"xen-netback": 20.0, "cut": 80.0}, "dom0_idle": [0.03, 0.03]}
    made, missing = xen.make_rows({"packet": [one, {**one, "ours": 8.0}], "read": []}, "round 2, read: nothing came", 99)
    check(len(made) == 1 and len(missing) == 4 and all("nothing came" in row["why"] for row in missing), f"{made} {missing}")
    check(made[0]["ratio"] == 1.2 and made[0]["peer"] == "xen-netback" and not made[0]["reached"] and report.consistent(made[0]) is None, f"{made}")
    check(made[0]["runs"][0]["idle_percent"] == 99 and "nothing came" in made[0]["rounds_failed"][0], f"{made}")
    told = []
    for why, seconds in (("no network", 500), ("", 30)):
        os.environ[xen.WHY_NOT] = why
        told += xen.rows(3, seconds, told.append)[1]
    check(len(told) == 10 and told[0]["why"] == "no network" and "there are 30" in told[9]["why"], f"{told}")


if __name__ == "__main__":
    tap.main(sends, receives, between_vifs, several_sizes, copies, many_vifs, many_queues, round_trips, disks, machine, lcores, bad_input, plots, rows_from_rounds, rows_from_steady_rounds, steady_cores, spinning_cores,
             rows_on_xen, kernel_rows, comparison_row)
