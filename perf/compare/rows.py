# SPDX-License-Identifier: BSD-3-Clause
"""The comparison itself: groups of measurements that are taken one after the other in each round, and the rows that are made of them."""
import os
from dataclasses import dataclass, field

import lab
from ours import NULL_SINK, NULL_SOURCE
from peers import BURST, VARIANTS
from programs import value

LONG_BURST = 64  # of our back end, and of a guest that sends to it
BURSTS = (BURST, LONG_BURST)  # the peers are tried with both
VHOST = [f"vhost-user {variant}" for variant in VARIANTS]
PATCH = [f"plain patch {variant}" for variant in VARIANTS]
OVS = [f"OVS-DPDK {variant}" for variant in VARIANTS]
DISK_MIB = 256
YIELD = {"kernel"}  # measurements of minimal kernels: one with nothing to do yields its core
HOSTED, KERNEL = "hosted", "minimal kernel, process engine"


@dataclass
class Row:
    """ours against the best of peers; names of measurements. statistic: which of a measurement's figures."""
    name: str
    ours: str
    peers: list
    goal: float
    unit: str = "Mpps"
    statistic: str = "p90"
    less: bool = False
    guest: str = HOSTED

    def figures(self, told, peers):
        """(ours, {peer: value}) of one round. LabError or KeyError when one of them is missing."""
        return value(told[self.ours], self.statistic), {peer: value(told[peer], self.statistic) for peer in peers}


@dataclass
class Group:
    """measurements: {name: a function without arguments that gives figures}, in the order in which they are taken."""
    name: str
    measurements: dict
    rows: list = field(default_factory=list)


def with_burst(name, burst):
    return name if burst == BURST else f"{name}, bursts of {burst}"


def any_burst(names):
    return [with_burst(name, burst) for burst in BURSTS for name in names]


def vhost(peers, names, modes, size, touch=False, bursts=BURSTS):
    return {with_burst(name, burst): lambda variant=variant, burst=burst: peers.vhost(variant, modes, size, touch, burst)
            for burst in bursts for name, variant in zip(names, VARIANTS)}


def ovs(peers, size):
    return {name: lambda variant=variant: peers.ovs(variant, size) for name, variant in zip(OVS, VARIANTS)}


ANY_VHOST, ANY_PATCH = any_burst(VHOST), any_burst(PATCH)


def one_way(ours, peers):
    def tx(*options, **uplink):
        return lambda: ours.net("tx", 64, "--burst", LONG_BURST, *options, **uplink)

    def rx(*options):
        return lambda: ours.net("rx", 64, *options, uplink=NULL_SOURCE)

    sink = Group("guest to back end, 64 B", {
        "ours": tx("--drop"), "copy": tx("--drop", "--copy"), "kernel": lambda: ours.kernel_tx(64), "uplink": tx(uplink=NULL_SINK),
        **vhost(peers, VHOST, ("sink", "tx"), 64)}, [
        Row("guest to back end, 64 B, static grants", "ours", ANY_VHOST, 2.0), Row("guest to back end, 64 B, copy grants", "copy", ANY_VHOST, 1.3),
        Row("guest to back end, 64 B, static grants", "kernel", ANY_VHOST, 2.0, statistic="mean", guest=KERNEL),
        Row("guest to back end and on to DPDK's null driver, 64 B, static grants", "uplink", ANY_VHOST, 2.0)])
    source = Group("back end to guest, 64 B", {
        "ours": rx(), "copy": rx("--copy"), "kernel": lambda: ours.kernel_rx(), **vhost(peers, VHOST, ("source", "rx"), 64)}, [
        Row("back end to guest, 64 B, static grants", "ours", ANY_VHOST, 2.5), Row("back end to guest, 64 B, copy grants", "copy", ANY_VHOST, 1.3),
        Row("back end to guest, 64 B, static grants", "kernel", ANY_VHOST, 2.5, statistic="mean", guest=KERNEL)])
    return [sink, source]


def guest_to_guest(ours, peers):
    def loop(size, *options):
        return lambda: ours.net("loop", size, *options)

    small = Group("guest to guest, 64 B", {
        "ours": loop(64), "kernel": lambda: ours.kernel_pair(64), **vhost(peers, PATCH, ("patch", "loop"), 64), **ovs(peers, 64)}, [
        Row("guest to guest, 64 B", "ours", ANY_PATCH, 2.0), Row("guest to guest, 64 B, against OVS-DPDK", "ours", OVS, 3.5),
        Row("guest to guest, 64 B", "kernel", ANY_PATCH, 2.0, statistic="mean", guest=KERNEL)])
    headers = Group("guest to guest, 1500 B, headers written", {
        "ours": loop(1500), "kernel": lambda: ours.kernel_pair(1500), **vhost(peers, PATCH, ("patch", "loop"), 1500)}, [
        Row("guest to guest, 1500 B, headers written", "ours", ANY_PATCH, 3.0),
        Row("guest to guest, 1500 B, headers written", "kernel", ANY_PATCH, 3.0, statistic="mean", guest=KERNEL)])
    touched = Group("guest to guest, 1500 B, every byte written and read", {"ours": loop(1500, "--touch"), **vhost(peers, PATCH, ("patch", "loop"), 1500, True)}, [
        Row("guest to guest, 1500 B, every byte written and read", "ours", ANY_PATCH, 1.1)])
    return [small, headers, touched]


def large(ours):
    def gso():
        told = ours.net("loop", 65535, "--touch", "--burst", "4")
        return {**told, "p90": told["gbps_p90"]}

    def limit():
        return {"tool": "machine", "p90": ours.machine("--copy")["one_copy_gbps"]}
    return Group("guest to guest, 64 KiB GSO packets, touched", {"ours": gso, "one copy": limit}, [
        Row("guest to guest, 64 KiB GSO packets, touched", "ours", ["one copy"], 0.8, "Gbit/s")])


def round_trip(ours, peers):
    return Group("round trip 64 B", {"ours": lambda: ours.net("ping", 64), **vhost(peers, VHOST, ("echo", "ping"), 64, bursts=(BURST,))}, [
        Row("round trip 64 B", "ours", VHOST, 0.6, "us", "p50", True)])


def many_vifs(ours):
    def tx(*options):
        return lambda: ours.net("tx", 64, "--drop", *options)
    return Group("64 vifs", {"1 vif": tx(), "64": tx("--vifs", "64"), "idle": tx("--idle", "63")}, [
        Row("64 vifs sharing the load against 1 vif", "64", ["1 vif"], 0.8),
        Row("a busy vif beside 63 idle ones against alone", "idle", ["1 vif"], 0.97)])


def lcores(ours):
    return Group("two lcores", {"two lcores": lambda: ours.lcores(ours.back, ours.guest), "one lcore": lambda: ours.lcores(ours.back)}, [
        Row("uplink to uplink by two lcores against one, 64 B", "two lcores", ["one lcore"], 1.5, statistic="mean", guest="none")])


def disks(ours, peers, scratch):
    memory, disk = os.path.join(scratch, "memory", "disk.img"), os.path.join(lab.ROOT, "build", "perf.img")
    null = Group("block null, 4 KiB, QD32", {
        "ours": lambda: ours.blk("null:1G"), "kernel": lambda: ours.kernel_blk("null:1G"), "storage daemon": lambda: peers.storage_null()}, [
        Row("block null, 4 KiB, QD32", "ours", ["storage daemon"], 1.5, "IOPS", "mean"),
        Row("block null, 4 KiB, QD32", "kernel", ["storage daemon"], 1.5, "IOPS", "mean", guest=KERNEL)])
    aios = {f"storage daemon {aio}": lambda aio=aio: peers.storage_file(memory, aio) for aio in ("io_uring", "threads")}
    tmpfs = Group("block memory-backed file, 4 KiB, QD32", {"ours": lambda: ours.blk(memory), **aios}, [
        Row("block memory-backed file (tmpfs), 4 KiB, QD32", "ours", list(aios), 1.2, "IOPS", "mean")])
    bare = Group("block disk, O_DIRECT, 4 KiB, QD32", {"ours": lambda: ours.blk(disk, "--poll"), "fio io_uring": lambda: peers.fio(disk, DISK_MIB)}, [
        Row("block disk, O_DIRECT, 4 KiB, QD32", "ours", ["fio io_uring"], 0.95, "IOPS", "mean")])
    return [null, tmpfs, bare]


def prepare(scratch):
    """The files that disks() reads: one in a tmpfs that goes with the mount namespace, one on the disk, which the caller must remove."""
    memory = os.path.join(scratch, "memory")
    os.makedirs(memory, exist_ok=True)
    lab.command("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB + 16}m", "tmpfs", memory)
    paths = [os.path.join(memory, "disk.img"), os.path.join(lab.ROOT, "build", "perf.img")]
    for path in paths:
        with open(path, "wb") as file:
            for _ in range(DISK_MIB):
                file.write(os.urandom(1 << 20))
            os.fsync(file.fileno())
    return paths[1]


def groups(ours, peers, scratch):
    return [*one_way(ours, peers), *guest_to_guest(ours, peers), large(ours), round_trip(ours, peers), many_vifs(ours), lcores(ours), *disks(ours, peers, scratch)]
