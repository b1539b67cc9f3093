# SPDX-License-Identifier: BSD-3-Clause
"""dom0's CPU time for the same work of the same Linux guest, by our back end and by Linux's, in turn. make perf makes rows of it (perf/compare/xen.py)."""
import json
import os
import shlex
import time

from machine import Failure
from packages import XEN

from .blk import disk, wait_disk
from .common import boot_linux, load, ping_from_guest, scenario, start_backend_on, wait_connected
from .nic import NIC, give_nic_to_user_space

GUEST, PORT = "l1", 5001
PACKETS, READS, DEPTH, DISK_MIB = 40000, 4000, 32, 16
NIC_MIB, VETH_MIB = 48, 8  # by TCP: what a quiet dom0 takes meanwhile is taken off, and is to be little beside it
NOBODY = "00:16:3e:00:00:7f"  # behind the wire: both bridges send it there, and it is dropped as soon as it has come out
NETS = {"ours": "10.9.0", "linux": "10.8.0"}  # the guest is .2 in each, on its eth0 and eth1; .1 is the wire's far end
TAPS, VETHS = {"ours": "tap0", "linux": "tap1"}, {"ours": "wire0", "linux": "wire1"}
DISKS = {"ours": "xvda", "linux": "xvdb"}
WHOLE, CUT = "xen-netback", "xen-netback, frames of 1514 B on the wire"
SINK = os.path.join(XEN, "sink.log")

# Two NICs of one kind, which take packets of 64 KiB with blank checksums. Their far ends are two interfaces of another namespace of the host, with a receiver for TCP.
OUTSIDE = f"""
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 || : # then a few packets more come
ip link set lo up
for end in tap0,{NETS['ours']} tap1,{NETS['linux']}; do
	ip tuntap add ${{end%,*}} mode tap vnet_hdr
	ip addr add ${{end#*,}}.1/24 dev ${{end%,*}}
	ip link set ${{end%,*}} up
done
setpriv --pdeathsig KILL {XEN}/load sink {PORT} >{SINK} 2>&1 &
"""


def virtio(tap, slot):
    """What is in the ring is sent 20 us of the machine's clock after it was told of: without tx=timer, whenever QEMU's other thread gets to run on the host."""
    return ("-netdev", f"tap,id={tap},ifname={tap},script=no,downscript=no,vnet_hdr=on,sndbuf=0", "-device",
            f"virtio-net-pci,netdev={tap},addr={slot},mac=00:16:3e:00:01:0{slot},disable-legacy=on,rx_queue_size=1024,tx=timer,x-txtimer=20000")


# The machine's clock counts its instructions, 1 ns each: dom0's CPU time is the instructions that Xen and dom0 took, with a scheduler's 10 ms and a poller's 20 us in proportion
# to them. Timed by the host's clock, rounds differed by a factor of three. Idle it goes on with the host's clock (sleep=on): the far end of TCP is in the host, and would be far too late.
OPTIONS = ("-icount", "shift=0,sleep=on", *virtio("tap0", 5), *virtio("tap1", 6))

LINUX_BRIDGE = ("/sbin/ip link add br1 type bridge; for i in eth0 br1; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done; "
                "/sbin/ip link set dev eth0 master br1; for i in br1 eth0; do ip link set $i up; done")
# Instead of its NIC, a wire like that of dom0-init (nic0, wire0).
LINUX_VETH = ("/sbin/ip link add nic1 type veth peer name wire1; for i in nic1 wire1; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done; "
              f"/sbin/ip link set dev wire1 gso_max_segs 1; ip addr add {NETS['linux']}.1/24 dev wire1; "
              "/sbin/ip link set dev eth0 nomaster; /sbin/ip link set dev nic1 master br1; for i in nic1 wire1; do ip link set $i up; done")
# The same bytes in both RAM disks, so that each block is really there.
FILL = f"dd if=/dev/urandom of=/tmp/fill bs=1M count={DISK_MIB}; cat /tmp/fill >/dev/ram0; cat /tmp/fill >/dev/ram1; rm /tmp/fill; sync"


# ---- one guest with both ----

def probing(machine, on):
    """Whether Linux's back ends look at devices that are new; at those that were there before, they never do."""
    machine.run(f"echo {int(on)} >/sys/bus/xen-backend/drivers_autoprobe")


def prepare_nics(machine):
    """One for DPDK, the other for Linux and its bridge."""
    give_nic_to_user_space(machine)
    for module in ("virtio-pci", "virtio-net", "bridge"):
        load(machine, module)
    machine.wait("second NIC", "[ -d /sys/class/net/eth0 ]")
    machine.run(LINUX_BRIDGE)


def reach(machine):
    """The far ends of both wires answer the guest."""
    for net in NETS.values():
        machine.guest(GUEST, f"ip neigh flush all; arp -s {net}.99 {NOBODY}")
        ping_from_guest(machine, GUEST, f"{net}.1", 1)


def prepare(machine):
    """A guest with a vif and a disk of either kind. Linux's back ends would take ours, too, if they saw them come."""
    machine.run(f"insmod /mod/brd.ko rd_nr=2 rd_size={DISK_MIB << 10} && {FILL}", 60)
    prepare_nics(machine)
    start_backend_on(machine, NIC)
    boot_linux(machine, GUEST, ["mac=00:16:3e:00:00:71,script=vif-sluice"], [disk("/dev/ram0", DISKS["ours"])])
    probing(machine, False)
    load(machine, "xen-netback")
    load(machine, "xen-blkback")
    probing(machine, True)
    machine.run(f"xl network-attach {GUEST} mac=00:16:3e:00:00:72 script=vif-bridged", 60)
    machine.run(f"xl block-attach {GUEST} format=raw,vdev={DISKS['linux']},access=rw,script=block-linux,target=/dev/ram1", 60)
    for number, net in enumerate(NETS.values()):
        machine.guest(GUEST, f"ip addr add {net}.2/24 dev eth{number} && ip link set eth{number} up")
        wait_connected(machine, GUEST, number)
    reach(machine)
    for name in DISKS.values():
        wait_disk(machine, GUEST, name)
    machine.run("[ -e /sys/class/net/vif1.1 ] && ! [ -e /sys/class/net/vif1.0 ] && ! grep -E 'vif1/1|vbd1/51728' /tmp/backend.log")


def change_to_veths(machine):
    """The same guest, but packets go to one end of a veth pair each, and come out of its other end in dom0. The back end's successor takes over the vif."""
    machine.run("kill -KILL $(cat /tmp/backend.pid); sleep 1; mv /tmp/backend.log /tmp/backend.log.nic")
    start_backend_on(machine, "net_af_packet0,iface=nic0")
    machine.run(LINUX_VETH)
    reach(machine)
    machine.run(f"(load sink {PORT} >/tmp/sink.log 2>&1 &)")


# ---- one load ----

def dom0_us(machine, command, seconds=60):
    """dom0's CPU time in us for a command of the guest, less what a quiet dom0 takes in the same time; and that, as a share of a CPU."""
    tty = f"$(xenstore-read /local/domain/$(xl domid {GUEST})/console/tty)"
    told = json.loads(machine.run(f"dom0cpu {tty} /var/log/xen/console/guest-{GUEST}.log {seconds} {shlex.quote(command)}", seconds + 10))
    idle = told["idle_ns"] / told["idle_wall_ns"]
    return (told["cpu_ns"] - idle * told["wall_ns"]) / 1000, idle


def from_nic(machine, whose):
    """Packets that came out of a NIC, the last count of bytes of the receiver behind it."""
    return machine.came_out(TAPS[whose]), open(SINK).read()


def from_veth(machine, whose):
    return int(machine.run(f"cat /sys/class/net/{VETHS[whose]}/statistics/rx_packets")), machine.run("cat /tmp/sink.log")


def packets(machine, whose, arrived=from_nic):
    """us a packet that came out of the wire."""
    before, _ = arrived(machine, whose)
    us, idle = dom0_us(machine, f"load udp {NETS[whose]}.99 9 {PACKETS}")
    came = arrived(machine, whose)[0] - before
    if came < PACKETS * 0.9:
        raise Failure(f"{came} of {PACKETS} packets of {whose} came out")
    return us / came, idle


def tcp(machine, whose, arrived=from_nic, mib=NIC_MIB):
    """us a MiB; `load tcp` ends when the other side has had all."""
    us, idle = dom0_us(machine, f"load tcp {NETS[whose]}.1 {PORT} {mib}")
    came = arrived(machine, whose)[1].split()[-1:]
    if came != [str(mib << 20)]:
        raise Failure(f"{came} bytes of {mib} MiB of {whose} came out")
    return us / mib, idle


def packets_veth(machine, whose):
    return packets(machine, whose, from_veth)


def tcp_veth(machine, whose):
    return tcp(machine, whose, from_veth, VETH_MIB)


def tcp_veth_cut(machine, whose):
    """The same where the wire takes frames of 1514 bytes with their checksums, as an af_packet uplink of ours is one that does: Linux cuts and sums, too."""
    machine.run("ethtool -K nic1 tx off sg off tso off gso off")
    try:
        return tcp_veth(machine, whose)
    finally:
        machine.run("ethtool -K nic1 tx on sg on tso on gso on")


def reads(machine, whose):
    """us a read. Each of them has ended well, or `load` says so."""
    us, idle = dom0_us(machine, f"load read /dev/{DISKS[whose]} {DISK_MIB} {READS} {DEPTH}")
    return us / READS, idle


# What is done: ours, and each of the peers by its name. First with NICs, then with veths.
NIC_LOADS = {"packet": (packets, {WHOLE: packets}), "MiB of TCP": (tcp, {WHOLE: tcp}), "read": (reads, {"xen-blkback": reads})}
VETH_LOADS = {"packet, veth": (packets_veth, {WHOLE: packets_veth}), "MiB of TCP, veth": (tcp_veth, {WHOLE: tcp_veth, CUT: tcp_veth_cut})}
LOADS = {**NIC_LOADS, **VETH_LOADS}


def one_round(machine, name):
    """Ours, then the peers, as report.make_row wants a round."""
    own, peers = LOADS[name]
    ours, idle = own(machine, "ours")
    told = {peer: measure(machine, "linux") for peer, measure in peers.items()}
    shares = [idle] + [share for _, share in told.values()]
    return {"ours": ours, "peers": {peer: us for peer, (us, _) in told.items()}, "dom0_idle": [round(share, 4) for share in shares]}


def some_rounds(machine, loads, rounds, seconds, step):
    """The same of some loads."""
    done, began = {name: [] for name in loads}, time.monotonic()
    for turn in range(rounds):
        if turn and (time.monotonic() - began) * (turn + 1) / turn > seconds:
            break
        for name in loads:
            step(f"round {turn + 1} of {rounds}, {name}")
            try:
                done[name].append(one_round(machine, name))
            except Failure as failure:
                return done, f"round {turn + 1}, {name}: {failure}"
    return done, None


def measure(machine, rounds, seconds, step):
    """({load: rounds}, why it ended early or None): so many rounds, as far as so many seconds reach. step: is told what is done."""
    step("two back ends, one Linux guest")
    prepare(machine)
    done, why = some_rounds(machine, NIC_LOADS, rounds, seconds * 2 / 3, step)
    if why:
        return done, why
    step("veths instead of NICs")
    try:
        change_to_veths(machine)
    except Failure as failure:
        return done, f"veths instead of NICs: {failure}"
    more, why = some_rounds(machine, VETH_LOADS, rounds, seconds / 3, step)
    return {**done, **more}, why


@scenario(600, OPTIONS, OUTSIDE)
def cpu_time(machine):
    """dom0's CPU time for packets, TCP and reads of a Linux guest, by our back end and by Linux's."""
    done, why = measure(machine, 2, 300, machine.note)
    if why:
        raise Failure(why)
    return "us of dom0 " + "; ".join(f"a {name}: " + ", ".join(f"{one['ours']:.1f} ({' '.join(f'{us:.1f}' for us in one['peers'].values())})" for one in rounds)
                                     for name, rounds in done.items())
