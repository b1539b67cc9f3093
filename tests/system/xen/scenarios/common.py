# SPDX-License-Identifier: BSD-3-Clause
"""What the scenarios of the Xen rig share: how one is marked, guests, pings, transfers."""
import re

from machine import Failure

OUTSIDE = "10.9.0.1"  # wire0, the far end of the bridge's uplink


def scenario(limit_s, options=(), outside=""):
    """options, outside: the machine's."""
    def mark(function):
        function.limit_s, function.options, function.outside = limit_s, options, outside
        return function
    return mark


# ---- what they share ----

def start_backend(machine, *words):
    start_backend_on(machine, "net_af_packet0,iface=nic0", *words)


def start_backend_on(machine, uplink, *words):
    """Its pid goes to /tmp/backend.pid, its words to /tmp/backend.log."""
    machine.run(f"sluice-backend --uplink {uplink} {' '.join(words)} >>/tmp/backend.log 2>&1 & echo $! >/tmp/backend.pid; exit 0")
    machine.wait("back end", "grep -q serving /tmp/backend.log", 60)


def load(machine, module):
    """Of those that dom0 has but does not load at boot."""
    machine.run(f"for m in $(cat /mod/{module}); do insmod /mod/$m 2>/dev/null; done; grep {module.replace('-', '_')} /proc/modules")


def create(machine, name, kernel, vifs=(), extra="", memory=128, ramdisk=None, disks=(), vcpus=1, more=()):
    """more: lines of xl's configuration as they are."""
    lines = [f'name="{name}"', 'type="pv"', f"memory={memory}", f"vcpus={vcpus}", f'kernel="{kernel}"', f'extra="{extra}"',
             "vif=[" + ",".join(f"'{vif}'" for vif in vifs) + "]", "disk=[" + ",".join(f"'{disk}'" for disk in disks) + "]", 'on_poweroff="destroy"', 'on_crash="preserve"', *more]
    if ramdisk:
        lines.append(f'ramdisk="{ramdisk}"')
    machine.run("printf '%s\\n' " + " ".join("'" + line.replace("'", "'\\''") + "'" for line in lines) + f" >/guest/{name}.cfg")
    machine.run(f"xl create /guest/{name}.cfg", 120)


def boot_linux(machine, name, vifs=(), disks=(), vcpus=1, memory=192, ramdisk="/guest/initrd", more=(), extra=""):
    """A Debian Linux with its own front ends, ready for commands (machine.guest). extra: words for its kernel."""
    create(machine, name, "/guest/vmlinuz", vifs, f"console=hvc0 loglevel=4 {extra}", memory, ramdisk, disks, vcpus, more)
    machine.run(f"guest {name} 150 ready", 160)


def create_linux(machine, name, mac, ip, script="vif-sluice", vif="", **boot):
    """The same with a vif, up and with its address. vif: more of its line in xl's configuration; boot: for boot_linux."""
    boot_linux(machine, name, [f"mac={mac},script={script}{vif}"], **boot)
    machine.guest(name, "i=0; until [ -d /sys/class/net/eth0 ] || [ $i -gt 100 ]; do usleep 100000; i=$((i+1)); done; "
                        f"ip addr add {ip}/24 dev eth0 && ip link set eth0 up")
    wait_connected(machine, name)


def create_sluice(machine, name, mac, ip, script="vif-sluice", app="echo"):
    """Our minimal kernel."""
    create(machine, name, "/guest/sluice-guest.elf", [f"mac={mac},script={script}"], f"ip={ip}/24 app={app}", 64)
    wait_connected(machine, name)


def guest_wait(machine, name, condition, seconds=30):
    """Until it holds in the guest."""
    machine.guest(name, f"i=0; until {condition}; do sleep 0.2; i=$((i+1)); [ $i -lt {seconds * 5} ] || exit 1; done", seconds * 2 + 10)


def tell_sluice(machine, name, command):
    """Types a command on our kernel's console."""
    machine.run(f"wc -c </var/log/xen/console/guest-{name}.log >/tmp/said; echo '{command}' >$(xenstore-read /local/domain/$(xl domid {name})/console/tty)")


def wait_sluice(machine, name, pattern, seconds=60):
    """The line that our kernel says, beyond what it had said before the last tell_sluice."""
    look = f"tail -c +$(cat /tmp/said) /var/log/xen/console/guest-{name}.log | tr -d '\\r' | grep -E '{pattern}'"
    said = machine.run(f"i=0; until {look}; do i=$((i+1)); [ $i -lt {seconds * 10} ] || exit 1; usleep 100000; done", seconds * 3)
    return said.strip().splitlines()[-1]


def ask_sluice(machine, name, command, pattern, seconds=60):
    tell_sluice(machine, name, command)
    return wait_sluice(machine, name, pattern, seconds)


def wait_connected(machine, name, devid=0, backend="0"):
    """backend: the domain of its back end, as the shell says it."""
    machine.wait(f"connected vif of {name}", f'[ "$(xenstore-read /local/domain/$(xl domid {name})/device/vif/{devid}/state)" = 4 ] && '
                 f'[ "$(xenstore-read /local/domain/{backend}/backend/vif/$(xl domid {name})/{devid}/state)" = 4 ]', 60)


def udp_echo(machine, ip, words=("sluice", "echo" * 200)):
    """What dom0 sends to UDP port 7 comes back."""
    for word in words:
        said = machine.run(f"bash -c 'exec 3<>/dev/udp/{ip}/7; echo {word} >&3; timeout 10 dd bs=4096 count=1 <&3 2>/dev/null'", 15)
        if said.strip() != word:
            raise Failure(f"UDP echo of {ip}: sent {len(word)} bytes, got {len(said.strip())} back")


def received(text):
    found = re.search(r"(\d+) packets received", text)
    return int(found[1]) if found else 0


def ping_from_outside(machine, ip, count=3, size=56):
    got = received(machine.try_run(f"ping -c {count} -s {size} -W 10 {ip}", count * 10 + 30)[1])
    if got != count:
        raise Failure(f"ping of {ip} from outside, {size} bytes: {got} of {count} answered")


def ping_from_guest(machine, name, ip, count=3, size=56):
    got = received(machine.try_run(f"guest {name} {count * 10 + 30} 'ping -c {count} -s {size} -W 10 {ip}'", count * 10 + 60)[1])
    if got != count:
        raise Failure(f"ping of {ip} from {name}, {size} bytes: {got} of {count} answered")


def sha256(text):
    found = re.search(r"\b[0-9a-f]{64}\b", text)
    if not found:
        raise Failure(f"no checksum in '{text.strip()[-100:]}'")
    return found[0]


def listen(port):
    """Shell text: 8 MiB from a port to /tmp/rx, and its checksum when they are there or have not come. nc closes the connection when its own input ends: it gets one
    that does not."""
    return (f": >/tmp/rx; (sleep 300 | nc -l -p {port} >/tmp/rx) & i=0; until [ $(stat -c %s /tmp/rx) -ge 8388608 ] || [ $i -gt 900 ]; "
            "do usleep 100000; i=$((i+1)); done; sha256sum /tmp/rx")


def tcp_both_ways(machine, name, ip):
    """8 MiB each way between the outside and a Linux guest, compared by sha256."""
    machine.guest(name, "dd if=/dev/urandom of=/tmp/tx bs=1M count=8 2>/dev/null", 30)
    machine.run("dd if=/dev/urandom of=/tmp/tx bs=1M count=8 2>/dev/null", 30)
    machine.run(f"({listen(5001)}) >/tmp/rx.sum 2>&1 & usleep 300000")
    theirs = sha256(machine.guest(name, f"sha256sum /tmp/tx; nc {OUTSIDE} 5001 </tmp/tx", 180))
    machine.wait("end of the transfer out", "grep -q /tmp/rx /tmp/rx.sum", 90)
    if sha256(machine.run("cat /tmp/rx.sum")) != theirs:
        raise Failure("8 MiB from the guest arrived damaged")
    ours = sha256(machine.run("sha256sum /tmp/tx"))
    listen_in_guest(machine, name)
    machine.run(f"(nc {ip} 5002 </tmp/tx) >/dev/null 2>&1 & exit 0")
    if received_in_guest(machine, name) != ours:
        raise Failure("8 MiB to the guest arrived damaged")


def listen_in_guest(machine, name):
    machine.guest(name, f"({listen(5002)}) >/tmp/rx.sum 2>&1 & usleep 300000")


def received_in_guest(machine, name):
    """Checksum of the 8 MiB that listen_in_guest waits for."""
    machine.guest(name, "i=0; until grep -q /tmp/rx /tmp/rx.sum || [ $i -gt 900 ]; do usleep 100000; i=$((i+1)); done", 180)
    return sha256(machine.guest(name, "cat /tmp/rx.sum"))


def tcp_between(machine, sender, receiver, ip):
    """8 MiB from one Linux guest to another, compared by sha256."""
    machine.guest(sender, "dd if=/dev/urandom of=/tmp/tx bs=1M count=8 2>/dev/null")
    listen_in_guest(machine, receiver)
    theirs = sha256(machine.guest(sender, f"sha256sum /tmp/tx; (nc {ip} 5002 </tmp/tx) >/dev/null 2>&1 &"))
    if received_in_guest(machine, receiver) != theirs:
        raise Failure(f"8 MiB from {sender} to {receiver} arrived damaged")
