#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""GRUB's own PV kernel, as Debian ships it, on our hypervisor with a disk: its xenstore, console, memory and disk code judge ours.

Fails when GRUB cannot read the file system behind our back end, prints anything else than the file on it holds, or does not end as told.
"""
import os
import re
import secrets

import disk_image
import tap
from tap import check
import lab

GRUB = "/usr/lib/grub-xen/grub-x86_64-xen.bin"
SECONDS = 20
START = r"^(?: +\[ .* \])*"  # of a line: GRUB shows how far it has read a file, in the corner of the screen


def _image(host, script, files):
    tree = os.path.join(host.scratch, "tree")
    for name, content in {"boot/grub/grub.cfg": script, **files}.items():
        path = os.path.join(tree, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    return disk_image.partitioned(os.path.join(host.scratch, "disk.img"), tree)


def _boot(host, disks, **keys):
    """The paused domain's console, and the domain running."""
    host.up()
    host.sluice("create", "-p", host.configure("grub", GRUB, memory=64, disk=list(disks), **keys))
    console = host.console("grub")
    host.sluice("unpause", "grub")
    return console


def _log_says(host, pattern):
    return re.search(pattern, open(host.log_path, errors="replace").read())


def _guests(host):
    return [d["name"] for d in lab.json.loads(host.sluice("list", "--json")) if d["domid"]]


def reads_its_disk_and_halts(host):
    """grub.cfg off ext4 in a GPT partition; a file of that disk on the console; ls; halt is a power-off."""
    secret = secrets.token_hex(16)
    script = "echo line: begins\ncat /hello.txt\necho line: ends\nls\nls -l (xen/xvda,gpt1)/\nhalt\n"
    image = _image(host, script, {"hello.txt": f"the disk says {secret}\n", "boot/large": os.urandom(3 << 20)})
    before = disk_image.digest(image)
    console = _boot(host, [f"{image},raw,xvda,rw"], on_poweroff="preserve")
    told = console.see(rf"{START}line: begins\n{START}(.*)\n\nline: ends$", SECONDS)
    check(told[1] == f"the disk says {secret}", f"the file reads {told[1]!r}")
    with open(os.path.join(host.run_dir, "console-grub.log"), errors="replace") as log:
        check(f"the disk says {secret}" in log.read(), "the line is not in the console's log")
    console.see(r"\(xen/xvda\).*\(xen/xvda,gpt1\)", SECONDS)
    console.see(r"hello\.txt", SECONDS)
    lab.wait_for("the power-off in sluiced's log", SECONDS, lambda: _log_says(host, r"\(grub\) powered off: preserved"))
    state = lab.json.loads(host.sluice("list", "--json", "grub"))
    check("s" in str(state), f"not shut down: {state}")
    host.sluice("destroy", "grub")
    check(disk_image.digest(image) == before, "GRUB only reads, but the image changed")


def reboots_when_told(host):
    """A reboot is not a power-off; read-only cdrom as a second disk, and a third with no partition table."""
    script = "echo first: $root\nls\ncat (xen/hdc)/note\nreboot\n"
    image = _image(host, script, {"x": "x"})
    medium = disk_image.file_system(os.path.join(host.scratch, "cd.img"), {"note": "medium in the drive\n"})
    console = _boot(host, [f"{image},raw,xvda,rw", f"{medium},raw,hdc,ro,cdrom", "memory:1M,raw,xvdb,rw"], on_reboot="destroy")
    console.see(r"\(xen/xvdb\)", SECONDS)
    console.see(START + r"medium in the drive$", SECONDS)
    lab.wait_for("the reboot in sluiced's log", SECONDS, lambda: _log_says(host, r"\(grub\) asked for a reboot: destroyed"))
    check(not _guests(host), f"still there: {_guests(host)}")


def answers_by_hand(host):
    """No grub.cfg: commands typed at its prompt, and what it answers; then it halts."""
    secret = secrets.token_hex(8)
    image = _image(host, "", {"deep/er/file": f"{secret}\n"})
    console = _boot(host, [f"{image},raw,xvda,rw"])
    console.see(r"grub> ", SECONDS)

    def ask(command, pattern):
        start = len(console.text())
        console.type(command)
        return console.see(pattern, SECONDS, start)

    ask("cat (xen/xvda,gpt1)/deep/er/file", rf"{START}{secret}$")
    ask("ls (xen/xvda,gpt1)/deep/", r"er/")
    ask("search --file /deep/er/file", r"\n ?xen/xvda,gpt1")
    ask("cat (xen/xvda,gpt1)/missing", r"error: file `/missing' not found")
    ask("hexdump (xen/xvda)0+1 -s 510 -n 2", r"55 aa")
    console.type("halt")
    lab.wait_for("the power-off in sluiced's log", SECONDS, lambda: _log_says(host, r"\(grub\) powered off: destroyed"))


def what_is_no_disk_is_told_at_create(host):
    """The disk's file is not there: one line at create, no domain. The same for a file that is no disk."""
    host.up()
    missing = os.path.join(host.scratch, "missing.img")
    done = host.sluice("create", host.configure("grub", GRUB, memory=64, disk=[f"{missing},raw,xvda,rw"]), check=False)
    check(done.returncode == 1 and done.stderr.count("\n") == 1 and missing in done.stderr, f"told: {done.stderr!r}")
    check(not _guests(host), f"left: {_guests(host)}")
    odd = os.path.join(host.scratch, "odd.img")
    with open(odd, "wb") as file:
        file.write(b"x" * 700)
    done = host.sluice("create", host.configure("grub", GRUB, memory=64, disk=[f"{odd},raw,xvda,rw"]), check=False)
    check(done.returncode == 1 and done.stderr.count("\n") == 1 and odd in done.stderr and "512" in done.stderr, f"told: {done.stderr!r}")
    check(not _guests(host), f"left: {_guests(host)}")


if __name__ == "__main__":
    tap.main(reads_its_disk_and_halts, reboots_when_told, answers_by_hand, what_is_no_disk_is_told_at_create)
