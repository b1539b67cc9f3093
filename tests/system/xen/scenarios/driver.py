# SPDX-License-Identifier: BSD-3-Clause
"""A driver domain: the back end in a domain that is not domain 0."""
from .common import OUTSIDE, boot_linux, create, ping_from_guest, scenario, wait_connected
from .life import only_dom0

# The Linux guest's image, and behind it an archive of what dom0 has for the back end and for xl.
IMAGE = ("mkdir -p /tmp/d/mod && cp /mod/*.ko /tmp/d/mod && cp /mod/order /tmp/d/mod/backend && cd / && "
         "{ find bin/sluice-backend bin/xl bin/xenstore* sbin lib lib64 usr etc var | cpio -o -H newc; cd /tmp/d && find mod | cpio -o -H newc; } >/tmp/d.cpio 2>/dev/null && "
         "cat /guest/initrd /tmp/d.cpio >/guest/driver && rm -r /tmp/d /tmp/d.cpio")
# Its own wire, as dom0-init lays one: the bridge's uplink is one end, its shell pings through the other.
PREPARE = ("for m in $(cat /mod/backend); do insmod /mod/$m; done; mkdir -p /run/xen; ip link add nic0 type veth; ip link set veth0 name wire0; "
           f"/sbin/ip link set dev wire0 gso_max_segs 1; ip addr add {OUTSIDE}/24 dev wire0; ip link set nic0 up; ip link set wire0 up")
START = ("(sluice-backend --uplink net_af_packet0,iface=nic0 >/tmp/backend.log 2>&1 &); i=0; "
         "until grep -q serving /tmp/backend.log || [ $i -gt 150 ]; do sleep 1; i=$((i+1)); done; cat /tmp/backend.log; grep -q serving /tmp/backend.log")


def pings(machine):
    wait_connected(machine, "s1", backend="$(xl domid driver)")
    ping_from_guest(machine, "driver", "10.9.0.5")
    ping_from_guest(machine, "driver", "10.9.0.5", size=1472)


@scenario(900)
def driver_domain(machine):
    """Our back end in a Linux guest serves our kernel's vif (backend=DOMAIN): ping, detach and attach, SIGKILL and restart; nothing is left of either domain."""
    vif = "mac=00:16:3e:00:00:05{0}script=vif-sluice{0}backend=driver"
    machine.run(IMAGE, 120)
    boot_linux(machine, "driver", ramdisk="/guest/driver", memory=448, more=("driver_domain=1",))
    machine.guest("driver", PREPARE, 120)
    machine.guest("driver", START, 200)
    machine.guest("driver", "(xl devd -F >/tmp/devd.log 2>&1 &)")
    create(machine, "s1", "/guest/sluice-guest.elf", [vif.format(",")], "ip=10.9.0.5/24 app=echo", 64)
    pings(machine)
    machine.run("xl network-detach s1 0", 120)
    machine.run("xl network-attach s1 " + vif.format(" "), 120)
    pings(machine)
    machine.guest("driver", "kill -9 $(pidof sluice-backend); sleep 1")
    machine.guest("driver", START, 200)
    pings(machine)
    machine.run("xl destroy s1", 120)
    machine.wait("end of s1", "[ $(xl list | wc -l) = 3 ]")
    machine.wait("end of its vif", "! xenstore-exists /local/domain/$(xl domid driver)/backend/vif")
    machine.guest("driver", "cat /tmp/backend.log /tmp/devd.log; ! grep error: /tmp/backend.log && [ -z \"$(xenstore-list error)\" ]")
    machine.run("xl destroy driver", 120)
    only_dom0(machine)
