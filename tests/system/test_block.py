#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Disks of a whole guest: what it wrote is on the storage; sizes, modes, and what goes wrong with storage is one vbd's trouble and is told."""
import os
import re
import signal

import disk_image
import tap
from block_guest import SECTOR, XVDA, XVDB, Guest, sectors_in
from tap import check, lab

MIB = 1 << 20
CONNECTED, CLOSING = 4, 5


def _file(host, name, mib):
    path = os.path.join(host.scratch, name)
    with open(path, "wb") as file:
        file.truncate(int(mib * MIB))
    return path


def _log(host):
    return open(host.log_path, errors="replace").read()


def _told(host, pattern, seconds=10):
    """The line of the log that pattern finds; it may still be on its way."""
    return lab.wait_for(f"'{pattern}' in the log", seconds, lambda: re.search(rf"^.*{pattern}.*$", _log(host), re.M))[0]


def written_is_read(host):
    """A file, memory and an NBD server, each written and read back in sizes from a sector to 1 MiB; the file and the server's file hold it."""
    host.up()
    image, remote = _file(host, "a.img", 32), _file(host, "remote.img", 32)
    _server, uri = host.serve_nbd("file", remote)
    guest = Guest(host, [f"{image},raw,xvda,rw", "memory:32M,raw,xvdb,rw", f"vdev=xvdc,target={uri}"])
    for dev in range(3):
        at = 0
        for turn, (size, count) in enumerate(((512, 64), (4096, 256), (65536, 4096), (1 << 20, 16384), (5 * 512, 1000))):
            guest.write(dev, at, count, 100 + turn, f"size={size} depth=4")
            at += count
        at = 0
        for turn, count in enumerate((64, 256, 4096, 16384, 1000)):
            guest.verify(dev, at, count, 100 + turn, "size=12800")
            at += count
        guest.blk(f"flush dev={dev}")
        check("is wrong" in guest.refused(f"verify dev={dev} start=64 count=256 seed=1"), "another pattern passed for it")
        guest.refused(f"write dev={dev} start={32 * MIB // SECTOR - 1} count=2 seed=1")
        check(guest.info(dev)["sectors"] == 32 * MIB // SECTOR, f"size of disk {dev}")
    for path in (image, remote):
        sectors_in(path, 64, 256, 101)
        sectors_in(path, 64 + 256 + 4096, 16384, 103)


def resize_is_seen(host):
    """A file grows and shrinks under a guest that runs: it sees both, and can use what came."""
    host.up()
    image = _file(host, "a.img", 8)
    guest = Guest(host, [f"{image},raw,xvda,rw", "memory:8M,raw,xvdb,rw"])
    guest.write(0, 0, 64, 1)
    os.truncate(image, 24 * MIB)
    guest.console.expect(rf"vbd{XVDA}: resized sectors={24 * MIB // SECTOR}", 10)
    guest.write(0, 20 * MIB // SECTOR, 2048, 2)
    sectors_in(image, 20 * MIB // SECTOR, 2048, 2)
    check(int(host.store("read", f"/local/domain/0/backend/vbd/{guest.domid}/{XVDA}/sectors")) == 24 * MIB // SECTOR, "sectors in XenStore")
    os.truncate(image, 4 * MIB)
    guest.console.expect(rf"vbd{XVDA}: resized sectors={4 * MIB // SECTOR}", 10)
    guest.refused(f"write dev=0 start={8 * MIB // SECTOR} count=8 seed=3")
    guest.verify(0, 0, 64, 1)
    check(os.path.getsize(image) == 4 * MIB, "the file grew by a write behind its end")
    check(guest.state(XVDA) == guest.state(XVDB) == (CONNECTED, CONNECTED), "a vbd is not connected")


def read_only_is_read_only(host):
    """Disks with ro and a CD-ROM say so to the guest, and not a byte of them changes."""
    host.up()
    image, medium = _file(host, "a.img", 4), _file(host, "cd.iso", 4)
    before = disk_image.digest(image)
    guest = Guest(host, [f"{image},raw,xvda,ro", f"{medium},raw,xvdb,ro,cdrom", "memory:1M,raw,xvdc,ro"])
    for dev in range(3):
        info = guest.info(dev)
        check(info["readonly"] == 1 and info["cdrom"] == (dev == 1), f"told {info}")
        guest.refused(f"write dev={dev} start=0 count=8 seed=1")
        guest.refused(f"discard dev={dev} start=0 count=8")
    check(disk_image.digest(image) == before == disk_image.digest(medium), "a read-only disk was written")


def attached_and_detached_while_it_runs(host):
    """block-attach, -list, -detach; what cannot be attached leaves nothing; the disk that was there goes on."""
    host.up()
    image = _file(host, "b.img", 4)
    guest = Guest(host, ["memory:4M,raw,xvda,rw"])
    guest.write(0, 0, 64, 1)
    host.sluice("block-attach", "disks", f"{image},raw,xvdb,rw")
    guest.console.expect(rf"vbd{XVDB}: connected sectors={4 * MIB // SECTOR}", 10)
    guest.write(1, 0, 64, 2)
    rows = lab.json.loads(host.sluice("block-list", "--json", "disks"))
    check([(row["dev"], row["state"], row["backend-state"]) for row in rows] == [("xvda", 4, 4), ("xvdb", 4, 4)], f"block-list: {rows}")
    odd = os.path.join(host.scratch, "odd.img")
    with open(odd, "wb") as file:
        file.write(b"x" * 700)
    for spec, word in ((f"{image},raw,xvdb,rw", "already"), (f"{odd},raw,xvdc,rw", "512"), ("/nonexistent,raw,xvdc,rw", "/nonexistent"),
                       (f"{host.scratch},raw,xvdc,rw", "directory"), ("vdev=xvdc,target=nbd+unix:///?socket=/nonexistent", "/nonexistent")):
        done = host.sluice("block-attach", "disks", spec, check=False)
        check(done.returncode == 1 and done.stderr.count("\n") == 1 and word in done.stderr, f"{spec}: told {done.stderr!r}")
    host.sluice("block-detach", "disks", "xvdb")
    check("51728" not in host.store("ls", f"/local/domain/0/backend/vbd/{guest.domid}"), "the vbd is still in XenStore")
    for _ in range(20):  # the back end tells of the refusal while the toolstack takes the node away
        host.sluice("block-attach", "disks", f"{odd},raw,xvdc,rw", check=False)
        rows = lab.json.loads(host.sluice("block-list", "--json", "disks"))
        check([row["dev"] for row in rows] == ["xvda"], f"block-list after it: {rows}")
    guest.verify(0, 0, 64, 1)
    sectors_in(image, 0, 64, 2)


def nbd_server_goes_and_returns(host):
    """Killed under writes and started again: no error reaches the guest, nothing is lost; meanwhile another disk works."""
    host.up()
    remote = _file(host, "remote.img", 64)
    server, uri = host.serve_nbd("--filter=delay", "file", remote, "delay-write=2ms")
    guest = Guest(host, [f"vdev=xvda,target={uri}", "memory:4M,raw,xvdb,rw"])
    guest.write(0, 0, 1024, 1)
    start = len(guest.console.lines)
    guest.console.type(f"blk write dev=0 start=0 count={64 * MIB // SECTOR} seed=2 size=4096")
    lab.wait_for("writes at the server", 10, lambda: disk_image.allocated(remote) > 2 * MIB)
    server.send_signal(signal.SIGKILL)
    server.wait()
    lost = _told(host, "nbd")
    check(uri in lost or "socket" in lost or "server" in lost, f"says little: {lost}")
    check(guest.state(XVDA) == guest.state(XVDB) == (CONNECTED, CONNECTED), "a vbd is not connected")
    check(not any(" write " in line for line in guest.console.lines[start:]), "the writes were over before")
    host.serve_nbd("file", remote)
    told = guest.console.expect(r"^blk: (?:error )?write.*", 60, start)[0]
    check("write ok" in told, told)
    guest.verify(0, 0, 64 * MIB // SECTOR, 2)
    sectors_in(remote, 0, 64 * MIB // SECTOR, 2)
    guest.write(1, 0, 64, 3)
    guest.verify(1, 0, 64, 3)


def full_disk(host):
    """The file system below the image has no room: writes fail and are told, what is there is read, another disk goes on, and room cures it."""
    host.up()
    tiny = os.path.join(host.scratch, "tiny")
    os.mkdir(tiny)
    lab.command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tiny)
    try:
        with open(os.path.join(tiny, "a.img"), "wb") as file:
            file.truncate(8 * MIB)
        guest = Guest(host, [f"{tiny}/a.img,raw,xvda,rw", "memory:4M,raw,xvdb,rw"])
        guest.write(0, 0, 1024, 1)
        guest.refused(f"write dev=0 start=0 count={8 * MIB // SECTOR} seed=2")
        _told(host, "No space left")
        check(_log(host).count("\n") < 60, "the log is flooded")
        check(guest.state(XVDA) == guest.state(XVDB) == (CONNECTED, CONNECTED), "a vbd is not connected")
        guest.write(1, 0, 1024, 3)
        guest.verify(1, 0, 1024, 3)
        guest.verify(0, 0, 64, 2)
        lab.command("mount", "-o", "remount,size=32m", tiny)
        guest.write(0, 0, 8 * MIB // SECTOR, 4)
        guest.verify(0, 0, 8 * MIB // SECTOR, 4)
        host.sluice("destroy", "disks")
        host.kill_backend()
    finally:
        lab.command("umount", "--lazy", tiny)


def file_that_vanished(host):
    """Gone when the back end starts anew: its line is in the log and in XenStore, the vbd is closed, the other one connects again."""
    host.up()
    image, other = _file(host, "a.img", 4), _file(host, "b.img", 4)
    guest = Guest(host, [f"{image},raw,xvda,rw", f"{other},raw,xvdb,rw"])
    guest.write(1, 0, 64, 1)
    host.kill_backend()
    os.rename(image, image + ".gone")
    host.start_backend()
    guest.console.expect(rf"vbd{XVDB}: connected", 10, start=next(i for i, line in enumerate(guest.console.lines) if "write ok" in line))
    _told(host, re.escape(image))
    guest.verify(1, 0, 64, 1)
    check(guest.state(XVDB) == (CONNECTED, CONNECTED), "the other vbd is not connected")
    check(guest.state(XVDA)[0] >= CLOSING, f"the vbd without a file is in state {guest.state(XVDA)}")
    why = host.store("read", f"/local/domain/0/error/backend/vbd/{guest.domid}/{XVDA}/error")
    check(image in why, f"XenStore says {why!r}")
    host.sluice("block-detach", "disks", "xvda")
    check("51712" not in host.store("ls", f"/local/domain/0/backend/vbd/{guest.domid}"), "it cannot be detached")
    guest.verify(1, 0, 64, 1)


if __name__ == "__main__":
    tap.main(written_is_read, resize_is_seen, read_only_is_read_only, attached_and_detached_while_it_runs, nbd_server_goes_and_returns,
             full_disk, file_that_vanished)
