# SPDX-License-Identifier: BSD-3-Clause
"""Our side of the comparison: a back end on the first core and, on the second, hosted domains (sluice-perf) or minimal kernels on the process engine."""
import os
import re
import time

import lab
from lab import Lab, LabError
from programs import end, json_of, last_line

MEMORY_MIB = 768
SLACK_S = 30       # what a run may take longer than it measures
NULL_SINK, NULL_SOURCE = "net_null0,no-rx=1", "net_null0,size=64,copy=1"
KERNELS = [("perf1", "10.77.0.11", "00:16:3e:00:01:01"), ("perf2", "10.77.0.12", "00:16:3e:00:01:02")]
PAIR_QUEUES, PAIR_FLOWS = 4, 16  # between kernels: 4 * 256 slots, as the peer's ring has 1024 descriptors
ECHO = ("perf3", "10.77.0.13", "00:16:3e:00:01:03")


class Ours:
    def __init__(self, scratch, log, seconds, back, guest):
        self.host = Lab(scratch, memory_mib=MEMORY_MIB, log=log)
        self.seconds, self.back, self.guest = seconds, back, guest

    def stop(self):
        self.host.stop()

    def up(self, uplink=None):
        """A fresh back end; sluiced too when it has gone."""
        if self.host.sluiced is None or self.host.sluiced.poll() is not None:
            self.host.start_sluiced()
        self.host.start_backend("--core", str(self.back), *(["--uplink", uplink] if uplink else []), uplink=False)

    def down(self):
        end(self.host.backend)

    def machine(self, *options):
        return json_of(self.host.program("sluice-perf"), "machine", "--json", "--cpu", f"{self.back},{self.guest}", *options, seconds=SLACK_S)

    def lcores(self, *cores):
        """From uplink to uplink through the bridge, by an lcore on each of these cores."""
        return json_of(self.host.program(os.path.join("perf", "lcore_bench")), ",".join(map(str, cores)), self.seconds, seconds=self.seconds + SLACK_S)

    def tool(self, tool, *options, uplink=None):
        """sluice-perf against a back end of its own, on a core each."""
        sizes = str(options[options.index("--size") + 1]).count(",") + 1
        self.up(uplink)
        try:
            return json_of(self.host.program("sluice-perf"), tool, "--run-dir", self.host.run_dir, "--json", "--cpu", self.guest, "--seconds", self.seconds,
                           *options, seconds=self.seconds * sizes + SLACK_S)
        finally:
            self.down()

    def net(self, mode, size, *options, uplink=None):
        return self.tool("net", "--mode", mode, "--size", size, *options, uplink=uplink)

    def blk(self, target, *options):
        return self.tool("blk", "--target", target, "--rw", "randread", "--size", 4096, "--depth", 32, *options)

    # ---- the minimal kernel ----

    def boot(self, kernel, disks=(), vif=True, queues=1):
        name, ip, mac = kernel
        if not os.path.exists(lab.GUEST_ELF):
            raise LabError("the minimal kernel is not built: make guest")
        self.host.create(name, ip, mac, disks=disks, vif=vif, extra=f"queues={queues}")
        console = self.host.console(name)
        console.expect("ready", 10)
        return console

    def forget(self, *names):
        """No trace of these guests, whatever happened before."""
        for name in names:
            console = self.host.consoles.pop(name, None)
            if console:
                console.close()
            self.host.sluice("destroy", name, check=False)

    def with_kernels(self, work, kernels, uplink=None, disks=(), queues=1):
        self.up(uplink)
        try:
            return work(*[self.boot(kernel, disks, vif=not disks, queues=queues) for kernel in kernels])
        finally:
            self.forget(*[name for name, _ip, _mac in kernels])
            self.down()

    def send(self, console, ip, size, seconds, flows=1):
        """(packets that the ring took, seconds)"""
        told = console.ask(f"send dst={ip} size={size} seconds={seconds} flows={flows}", r"send: (?:packets=(\d+) bytes=\d+ ns=(\d+)|error.*)", seconds + 15)
        if not told[1]:
            raise LabError(told[0])
        return int(told[1]), int(told[2]) / 1e9

    def kernel_pair(self, size):
        """From one kernel to another: what the second one's own counter says, Mpps."""
        def work(sender, receiver):
            self.send(sender, KERNELS[1][1], size, 1, PAIR_FLOWS)  # addresses are learnt, buffers are warm
            receiver.ask("reset", "reset: ok")
            self.send(sender, KERNELS[1][1], size, self.seconds, PAIR_FLOWS)
            time.sleep(0.2)
            told = receiver.ask("report", r"count: packets=(\d+) bytes=\d+ lost=\d+ first_ns=(\d+) last_ns=(\d+)")
            packets, first, last = map(int, told.groups())
            return {"tool": "minimal kernel", "mean": packets / max(1, last - first) * 1e3}
        return self.with_kernels(work, KERNELS, queues=PAIR_QUEUES)

    def kernel_tx(self, size):
        """From a kernel to nobody: a hosted domain answers for the address, then goes, and the bridge finds no port to flood to."""
        def work(sender):
            name, ip, mac = ECHO
            echo = self.host.start_other(self.host.program("sluice-hosted-echo"), name, ip, self.host.run_dir)
            try:
                lab.wait_for("the hosted domain", 5, lambda: name in self.host.sluice("list"))
                self.host.sluice("network-attach", name, f"mac={mac}")
                self.send(sender, ip, size, 1)
            finally:
                end(echo)
            packets, seconds = self.send(sender, ip, size, self.seconds)
            return {"tool": "minimal kernel", "mean": packets / seconds / 1e6}
        return self.with_kernels(work, KERNELS[:1])

    def kernel_rx(self):
        """From the null uplink to a kernel: its netfront's own counter."""
        def work(receiver):
            def received():
                told = receiver.ask("stats", r"stats: .*rx_packets=(\d+)")
                return int(told[1]), time.monotonic()
            time.sleep(0.5)
            first, began = received()
            time.sleep(self.seconds)
            last, ended = received()
            return {"tool": "minimal kernel", "mean": (last - first) / (ended - began) / 1e6}
        return self.with_kernels(work, KERNELS[:1], NULL_SOURCE)

    def kernel_blk(self, target):
        def work(console):
            console.expect(r"vbd51712: connected", 10)
            told = console.ask(f"blk bench rw=randread size=4096 depth=32 seconds={self.seconds}", r"^blk: (?:error )?bench\b.*", self.seconds + 15)[0]
            iops = re.search(r"iops=(\d+)", told)
            if not iops:
                raise LabError(last_line(told))
            return {"tool": "minimal kernel", "mean": int(iops[1])}
        return self.with_kernels(work, KERNELS[:1], disks=[f"vdev=xvda,access=rw,target={target}"])
