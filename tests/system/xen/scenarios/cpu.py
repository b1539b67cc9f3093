# SPDX-License-Identifier: BSD-3-Clause
"""dom0's CPU time for the same work of the same Linux guest, by our back end and by Linux's, in turn. make perf makes rows of it (perf/compare/xen.py)."""
import json
import shlex
import time

from machine import Failure

from .blk import disk, wait_disk
from .common import boot_linux, load, ping_from_guest, scenario, start_backend, wait_connected

GUEST, PORT = "l1", 5001
PACKETS, TCP_MIB, READS, DEPTH, DISK_MIB = 40000, 8, 4000, 32, 16
NOBODY = "00:16:3e:00:00:7f"  # behind the wire: both bridges send it there, and dom0 drops it as soon as it has come, as a NIC would take it off
WIRES = {"ours": ("wire0", "10.9.0"), "linux": ("wire1", "10.8.0")}
DISKS = {"ours": "xvda", "linux": "xvdb"}
WHOLE, CUT = "xen-netback", "xen-netback, frames of 1514 B on the wire"

# A wire like that of dom0-init (nic0, wire0), but for Linux's bridge.
LINUX_BRIDGE = ("/sbin/ip link add nic1 type veth peer name wire1; /sbin/ip link add br1 type bridge; "
                "for i in nic1 wire1 br1; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done; "
                "/sbin/ip link set dev wire1 gso_max_segs 1; /sbin/ip link set dev nic1 master br1; ip addr add 10.8.0.1/24 dev wire1; "
                "for i in br1 nic1 wire1; do ip link set $i up; done")
# The same bytes in both RAM disks, so that each block is really there.
FILL = f"dd if=/dev/urandom of=/tmp/fill bs=1M count={DISK_MIB}; cat /tmp/fill >/dev/ram0; cat /tmp/fill >/dev/ram1; rm /tmp/fill; sync"

# The machine's clock counts its instructions, 1 ns each, and goes on at once when there is none: dom0's CPU time is the instructions that Xen and dom0 took, with a
# scheduler's 10 ms and a poller's 20 us in proportion to them. It is the same whatever else the host does: two rounds differ by 2 % at most. Timed by the host's clock, they
# differed by a factor of three.
COUNTED = ("-icount", "shift=0,sleep=off")


# ---- one guest with both ----

def probing(machine, on):
    """Whether Linux's back ends look at devices that are new; at those that were there before, they never do."""
    machine.run(f"echo {int(on)} >/sys/bus/xen-backend/drivers_autoprobe")


def prepare(machine):
    """A guest with a vif and a disk of either kind. Linux's back ends would take ours, too, if they saw them come."""
    machine.run(f"insmod /mod/brd.ko rd_nr=2 rd_size={DISK_MIB << 10} && {FILL}", 60)
    load(machine, "bridge")
    machine.run(LINUX_BRIDGE)
    start_backend(machine)
    boot_linux(machine, GUEST, ["mac=00:16:3e:00:00:71,script=vif-sluice"], [disk("/dev/ram0", DISKS["ours"])])
    probing(machine, False)
    load(machine, "xen-netback")
    load(machine, "xen-blkback")
    probing(machine, True)
    machine.run(f"xl network-attach {GUEST} mac=00:16:3e:00:00:72 script=vif-bridged", 60)
    machine.run(f"xl block-attach {GUEST} format=raw,vdev={DISKS['linux']},access=rw,script=block-linux,target=/dev/ram1", 60)
    for number, (_, net) in enumerate(WIRES.values()):
        machine.guest(GUEST, f"ip addr add {net}.2/24 dev eth{number} && ip link set eth{number} up && arp -s {net}.99 {NOBODY}")
        wait_connected(machine, GUEST, number)
        ping_from_guest(machine, GUEST, f"{net}.1", 1)
    for name in DISKS.values():
        wait_disk(machine, GUEST, name)
    machine.run("[ -e /sys/class/net/vif1.1 ] && ! [ -e /sys/class/net/vif1.0 ] && ! grep -E 'vif1/1|vbd1/51728' /tmp/backend.log")
    machine.run(f"(load sink {PORT} >/tmp/sink.log 2>&1 &)")


# ---- one load ----

def dom0_us(machine, command, seconds=60):
    """dom0's CPU time in us for a command of the guest, less what a quiet dom0 takes in the same time; and that, as a share of a CPU."""
    tty = f"$(xenstore-read /local/domain/$(xl domid {GUEST})/console/tty)"
    told = json.loads(machine.run(f"dom0cpu {tty} /var/log/xen/console/guest-{GUEST}.log {seconds} {shlex.quote(command)}", seconds + 10))
    idle = told["idle_ns"] / told["idle_wall_ns"]
    return (told["cpu_ns"] - idle * told["wall_ns"]) / 1000, idle


def arrived(machine, wire, what):
    return int(machine.run(f"cat /sys/class/net/{wire}/statistics/{what}"))


def packets(machine, whose):
    """us a packet that came out of the wire."""
    wire, net = WIRES[whose]
    before = arrived(machine, wire, "rx_packets")
    us, idle = dom0_us(machine, f"load udp {net}.99 9 {PACKETS}")
    came = arrived(machine, wire, "rx_packets") - before
    if came < PACKETS * 0.9:
        raise Failure(f"{came} of {PACKETS} packets came out of {wire}")
    return us / came, idle


def tcp(machine, whose):
    """us a MiB; `load tcp` ends when the other side has had all."""
    us, idle = dom0_us(machine, f"load tcp {WIRES[whose][1]}.1 {PORT} {TCP_MIB}")
    came = machine.run("tail -n 1 /tmp/sink.log").strip()
    if came != str(TCP_MIB << 20):
        raise Failure(f"'{came}' bytes of {TCP_MIB} MiB came out of {WIRES[whose][0]}")
    return us / TCP_MIB, idle


def tcp_cut(machine, whose):
    """The same where the wire takes frames of 1514 bytes with their checksums, as an af_packet uplink of ours is one that does: Linux cuts and sums, too."""
    machine.run("ethtool -K nic1 tx off sg off tso off gso off")
    try:
        return tcp(machine, whose)
    finally:
        machine.run("ethtool -K nic1 tx on sg on tso on gso on")


def reads(machine, whose):
    """us a read. Each of them has ended well, or `load` says so."""
    us, idle = dom0_us(machine, f"load read /dev/{DISKS[whose]} {DISK_MIB} {READS} {DEPTH}")
    return us / READS, idle


# What is done: ours, and each of the peers by its name.
LOADS = {"packet": (packets, {WHOLE: packets}), "MiB of TCP": (tcp, {WHOLE: tcp, CUT: tcp_cut}), "read": (reads, {"xen-blkback": reads})}


def one_round(machine, name):
    """Ours, then the peers, as report.make_row wants a round."""
    own, peers = LOADS[name]
    ours, idle = own(machine, "ours")
    told = {peer: measure(machine, "linux") for peer, measure in peers.items()}
    shares = [idle] + [share for _, share in told.values()]
    return {"ours": ours, "peers": {peer: us for peer, (us, _) in told.items()}, "dom0_idle": [round(share, 4) for share in shares]}


def measure(machine, rounds, seconds, step):
    """({load: rounds}, why it ended early or None): so many rounds, as far as so many seconds reach. step: is told what is done."""
    step("two back ends, one Linux guest")
    prepare(machine)
    done, began = {name: [] for name in LOADS}, time.monotonic()
    for turn in range(rounds):
        if turn and (time.monotonic() - began) * (turn + 1) / turn > seconds:
            break
        for name in LOADS:
            step(f"round {turn + 1} of {rounds}, {name}")
            try:
                done[name].append(one_round(machine, name))
            except Failure as failure:
                return done, f"round {turn + 1}, {name}: {failure}"
    return done, None


@scenario(400, COUNTED)
def cpu_time(machine):
    """dom0's CPU time for packets, TCP and reads of a Linux guest, by our back end and by Linux's."""
    done, why = measure(machine, 2, 300, machine.note)
    if why:
        raise Failure(why)
    return "us of dom0 " + "; ".join(f"a {name}: " + ", ".join(f"{one['ours']:.1f} ({' '.join(f'{us:.1f}' for us in one['peers'].values())})" for one in rounds)
                                     for name, rounds in done.items())
