# SPDX-License-Identifier: BSD-3-Clause
"""Disks: our back end and Linux's, our front end and Linux's."""
import re

from machine import Failure

from .common import ask_sluice, boot_linux, create, guest_wait, load, scenario, sha256, start_backend, tell_sluice, wait_sluice

MIB = 1 << 20
SECTORS_A_MIB = 2048


def image(machine, name, mib):
    """A new, empty disk in dom0's memory; its path."""
    path = f"/tmp/{name}"
    machine.run(f"truncate -s {mib}M {path}")
    return path


def disk(path, vdev="xvda", access="rw"):
    """A disk's line in xl's syntax, ours."""
    return f"format=raw,vdev={vdev},access={access},script=block-sluice,target={path}"


def blocks_kib(machine, path):
    """What an image takes up."""
    return int(machine.run(f"stat -c %b {path}")) // 2


def attach(machine, name, line):
    machine.run(f"xl block-attach {name} {line}", 40)


def wait_disk(machine, name, dev):
    guest_wait(machine, name, f"[ -b /dev/{dev} ]")


def sectors(machine, name, dev):
    return int(machine.guest(name, f"cat /sys/block/{dev}/size"))


# ---- the steps of a_blk ----

def files_arrive(machine, path):
    """mkfs, files, sync, read back from the disk; the same files through dom0's own ext4."""
    # not lazily: the kernel would zero tables and journal later, and the image grow while discard_frees looks at it
    machine.guest("l1", "mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/xvda && mount -t ext4 /dev/xvda /mnt", 60)
    machine.guest("l1", "dd if=/dev/urandom of=/mnt/big bs=1M count=8 2>/dev/null; mkdir /mnt/d; for i in 1 2 3 4 5; do echo file $i >/mnt/d/$i; done; sync", 60)
    machine.guest("l1", "umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount -t ext4 /dev/xvda /mnt", 40)
    theirs = sha256(machine.guest("l1", "cd /mnt; cat big d/* | sha256sum", 40))
    machine.guest("l1", "umount /mnt", 30)
    machine.run(f"mount -t ext4 -o ro,loop {path} /mnt", 30)
    ours = sha256(machine.run("cd /mnt; cat big d/* | sha256sum", 30))
    machine.run("umount /mnt")
    if ours != theirs:
        raise Failure("what the guest wrote into its file system is not what dom0 reads from the image")


def discard_frees(machine, path):
    """What the guest trims is a hole in the image."""
    machine.guest("l1", "mount -t ext4 /dev/xvda /mnt", 30)
    before = blocks_kib(machine, path)
    machine.guest("l1", "rm /mnt/big; sync; fstrim /mnt; sync", 40)
    after = blocks_kib(machine, path)
    machine.guest("l1", "umount /mnt", 30)
    if before - after < 8 * 1024:
        raise Failure(f"8 MiB trimmed, the image had {before} KiB and has {after}")


def resize_is_seen(machine, path, mib):
    old = sectors(machine, "l1", "xvda")
    machine.run(f"truncate -s {mib}M {path}")
    guest_wait(machine, "l1", f"[ $(cat /sys/block/xvda/size) = {mib * SECTORS_A_MIB} ]")
    machine.guest("l1", f"dd if=/dev/urandom of=/tmp/end bs=64k count=1 2>/dev/null; dd if=/tmp/end of=/dev/xvda bs=64k seek={mib * 16 - 1} conv=fsync 2>/dev/null")
    theirs = sha256(machine.guest("l1", "sha256sum /tmp/end"))
    if sha256(machine.run(f"dd if={path} bs=64k skip={mib * 16 - 1} 2>/dev/null | sha256sum")) != theirs:
        raise Failure(f"the end of the disk, {old} sectors before and {mib} MiB now, does not hold what was written")


def readonly_refuses(machine):
    path = image(machine, "ro.img", 8)
    machine.run(f"dd if=/dev/urandom of={path} bs=1M count=8 conv=notrunc 2>/dev/null")
    before = sha256(machine.run(f"sha256sum {path}"))
    attach(machine, "l1", disk(path, "xvdb", "ro"))
    wait_disk(machine, "l1", "xvdb")
    if sha256(machine.guest("l1", "sha256sum /dev/xvdb", 30)) != before:
        raise Failure("the read-only disk reads wrong")
    machine.guest("l1", "[ $(cat /sys/block/xvdb/ro) = 1 ]; ! dd if=/dev/zero of=/dev/xvdb bs=4k count=1 conv=fsync")
    if sha256(machine.run(f"sha256sum {path}")) != before:
        raise Failure("the read-only disk was written to")
    machine.run("xl block-detach l1 xvdb", 40)
    guest_wait(machine, "l1", "! [ -b /dev/xvdb ]")


def detach_under_io(machine):
    """Twice: writes run, the disk is taken away, they end with an error; attached again, it holds what was written."""
    write = "(while dd if=/dev/urandom bs=128k count=4 conv=fsync; do :; done) >/dev/xvdb 2>/tmp/io.log; echo >/tmp/end"
    for number in range(2):
        path = image(machine, f"io{number}.img", 512)
        attach(machine, "l1", disk(path, "xvdb"))
        wait_disk(machine, "l1", "xvdb")
        machine.guest("l1", f"rm -f /tmp/end; ({write}) & sleep 1")
        machine.wait("writes that run", f"[ $(stat -c %b {path}) -gt 0 ]", 20)
        machine.run("xl block-detach l1 xvdb", 60)
        guest_wait(machine, "l1", "[ -e /tmp/end ] && ! [ -b /dev/xvdb ]")
        machine.guest("l1", "tail -n 3 /tmp/io.log; ! dmesg | grep -E 'Oops|BUG|blocked for'")
        machine.run("! xenstore-exists /local/domain/0/backend/vbd/$(xl domid l1)/51728")
        attach(machine, "l1", disk(path, "xvdb"))
        wait_disk(machine, "l1", "xvdb")
        head = "dd bs=64k count=8 2>/dev/null | sha256sum"
        if sha256(machine.guest("l1", f"cat /dev/xvdb | {head}")) != sha256(machine.run(f"cat {path} | {head}")):
            raise Failure("the disk that was attached again reads wrong")
        machine.run(f"xl block-detach l1 xvdb && rm {path}", 60)


def back_end_killed(machine, path):
    """Linux gives a disk up when its back end dies and another comes; detached and attached, it serves again."""
    machine.run("kill -9 $(cat /tmp/backend.pid); mv /tmp/backend.log /tmp/backend.log.old")
    start_backend(machine)
    machine.wait("closed disk", "[ $(xenstore-read /local/domain/$(xl domid l1)/device/vbd/51712/state) = 6 ]")
    machine.guest("l1", "! dd if=/dev/zero of=/dev/xvda bs=4k count=1 seek=100 conv=fsync")
    machine.run("xl block-detach l1 xvda", 60)
    guest_wait(machine, "l1", "! [ -b /dev/xvda ]")
    attach(machine, "l1", disk(path))
    wait_disk(machine, "l1", "xvda")
    head = "dd bs=64k count=8 2>/dev/null | sha256sum"
    if sha256(machine.guest("l1", f"cat /dev/xvda | {head}")) != sha256(machine.run(f"cat {path} | {head}")):
        raise Failure("the disk reads wrong after the back end was killed")


def negotiated(machine, name, number=51712):
    """What Linux's blkfront wrote into its node, and uses."""
    keys = machine.run(f"xenstore-ls /local/domain/$(xl domid {name})/device/vbd/{number}")
    found = re.findall(r'((?:feature|multi|ring-page)[-\w]+) = "([1-9]\d*)"', keys)
    segments = machine.guest(name, "cat /sys/block/xvda/queue/max_segments").strip()
    return " ".join(f"{key}={value}" for key, value in found) + f", {segments} segments a request"


@scenario(900)
def a_blk(machine):
    """Linux's xen-blkfront with our back end: ext4, discard, resize, read-only, detached under io; xen-blkback is not loaded."""
    load(machine, "ext4")
    load(machine, "crc32c-generic")
    start_backend(machine)
    path = image(machine, "a.img", 64)
    boot_linux(machine, "l1", disks=[disk(path)])
    wait_disk(machine, "l1", "xvda")
    told = negotiated(machine, "l1")
    files_arrive(machine, path)
    discard_frees(machine, path)
    resize_is_seen(machine, path, 96)
    readonly_refuses(machine)
    detach_under_io(machine)
    back_end_killed(machine, path)
    machine.run("! grep -q xen_blkback /proc/modules")
    return "blkfront uses " + told


# ---- our kernel ----

COUNT = 16384  # sectors: 8 MiB


def boot_sluice(machine, line):
    machine.run("echo 1 >/tmp/said")
    create(machine, "s1", "/guest/sluice-guest.elf", [], "", 64, disks=[line])
    return wait_sluice(machine, "s1", "vbd51712: connected")


def blk(machine, words, seconds=40):
    """A job of our kernel's; Failure when it did not end well."""
    said = ask_sluice(machine, "s1", f"blk {words}", f"blk: (error )?{words.split()[0]}", seconds)
    if f"blk: {words.split()[0]} ok" not in said:
        raise Failure(f"blk {words}: {said}")


def writes_verified(machine, path):
    """Our kernel writes, flushes, reads back and compares; so does dom0, a sector."""
    blk(machine, f"write start=0 count={COUNT} seed=77")
    blk(machine, "flush")
    blk(machine, f"verify start=0 count={COUNT} seed=77")
    words = machine.run(f"dd if={path} bs=512 skip=4711 count=1 2>/dev/null | od -A n -t d8 -N 16").split()
    if words != ["4711", "77"]:
        raise Failure(f"sector 4711 of the image begins with {words}, not with its number and the seed")


@scenario(600)
def c_blk(machine):
    """Our minimal kernel with Linux's xen-blkback; our back end runs beside it and leaves that device alone."""
    start_backend(machine)
    load(machine, "xen-blkback")
    path = image(machine, "c.img", 32)
    machine.run(f"losetup /dev/loop0 {path}")
    told = boot_sluice(machine, "format=raw,vdev=xvda,access=rw,script=block-linux,target=/dev/loop0")
    machine.run("sync")
    writes_verified(machine, "/dev/loop0")
    machine.run("! grep vbd1 /tmp/backend.log")
    return f"not touched by our back end; {ask_sluice(machine, 's1', 'blk info', 'blk: info')}; {told}"


@scenario(600)
def d_blk(machine):
    """Our minimal kernel with our back end, which is killed and started again while it writes."""
    start_backend(machine)
    path = image(machine, "d.img", 32)
    boot_sluice(machine, disk(path))
    writes_verified(machine, path)
    tell_sluice(machine, "s1", f"blk write start=0 count={COUNT * 4} seed=78 size=4096")
    machine.run("kill -9 $(cat /tmp/backend.pid); mv /tmp/backend.log /tmp/backend.log.old")
    start_backend(machine)
    said = wait_sluice(machine, "s1", "blk: (error )?write", 120)
    if "write ok" not in said:
        raise Failure(f"the write that the back end's death fell into: {said}")
    blk(machine, f"verify start=0 count={COUNT * 4} seed=78")
    told = ask_sluice(machine, "s1", "blk info", "blk: info")
    if "connections=2" not in told:
        raise Failure(f"the disk connected once, twice was expected: {told}")
    return told
