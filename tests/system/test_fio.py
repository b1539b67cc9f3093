#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ordinary tools on a disk of a hosted domain, through the nbdkit plugin: fio writes, trims and verifies, images are copied in and compared.

Every byte goes tool → nbdkit → our blkfront → ring → blkback → storage. Each storage gets the same: a file, memory, an NBD server.
"""
import os

import disk_image
import tap
from tap import check, lab

MIB = 1 << 20
DISK_MIB = 256
JOBS, JOB_MIB, TRIM_MIB, TRIMWRITE_MIB = 4, 40, 48, 48
SIZES = ["--bsrange=512-1m", "--bs_unaligned=0", "--randrepeat=0", "--thread", "--group_reporting", "--output-format=json"]
VERIFY = ["--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"]


def _jobs(uri):
    """Four jobs that write, flush and verify; beside them one that trims, and one that trims each place before it writes it: in turn, since
    nothing orders a trim and a write of one place that are both under way. Its place is the beginning: fio 3.33 does not write behind an offset then."""
    disk = ["--ioengine=nbd", f"--uri={uri}"]
    return [*SIZES,
            "--name=writes", *disk, *VERIFY, "--rw=randwrite", "--iodepth=32", f"--numjobs={JOBS}", f"--size={JOB_MIB}m",
            f"--offset={TRIMWRITE_MIB}m", f"--offset_increment={JOB_MIB}m", "--fsync=64",
            "--name=trims", "--new_group", *disk, "--rw=randtrim", "--iodepth=32", f"--size={TRIM_MIB}m", f"--offset={TRIMWRITE_MIB + JOBS * JOB_MIB}m",
            "--name=trimwrites", "--new_group", *disk, *VERIFY, "--rw=randtrimwrite", "--iodepth=1", f"--size={TRIMWRITE_MIB}m"]


def _export(host, spec):
    """The disk as an NBD URI, by a domain that is a process."""
    host.lay_wire()
    host.start_sluiced()
    host.start_backend(uplink=False)
    _server, uri = host.serve_nbd("--threads=64", host.program("nbdkit-sluice-plugin.so"), "name=export", "vbd=xvda", f"run-dir={host.run_dir}",
                                  name="export")
    lab.wait_for("the domain 'export'", 10, lambda: '"export"' in host.sluice("list", "--json"))
    host.sluice("block-attach", "export", spec)
    return uri


def _fio(host, uri):
    """The jobs must end without an error and must have done what they were to do."""
    done = lab.command("fio", *_jobs(uri), check=False, cwd=host.scratch, timeout=200)
    check(done.returncode == 0, f"fio ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    groups = {job["jobname"]: job for job in lab.json.loads(done.stdout[done.stdout.index("{"):])["jobs"]}
    for name, kind, mib in (("writes", "write", JOBS * JOB_MIB), ("writes", "read", JOBS * JOB_MIB), ("trims", "trim", TRIM_MIB),
                            ("trimwrites", "trim", TRIMWRITE_MIB), ("trimwrites", "write", TRIMWRITE_MIB), ("trimwrites", "read", TRIMWRITE_MIB)):
        moved = groups[name][kind]["io_bytes"]
        check(groups[name]["error"] == 0, f"fio: {name}: error {groups[name]['error']}")
        check(moved >= mib * MIB * 9 // 10, f"fio: {name}: only {moved} bytes of {kind}, expected {mib} MiB")
    check(groups["writes"]["sync"]["total_ios"] > 0, "no flushes")


def _copy_in_and_compare(host, uri):
    image, back = os.path.join(host.scratch, "in.img"), os.path.join(host.scratch, "out.img")
    with open(image, "wb") as file:
        for turn in range(DISK_MIB // 16):  # data, then a hole
            file.write(os.urandom(5 * MIB + 512 * turn))
            file.seek(16 * MIB * (turn + 1))
        file.truncate(DISK_MIB * MIB)
    lab.command("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri, timeout=60)
    told = lab.command("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri, timeout=60)
    check("identical" in told, f"qemu-img compare: {told}")
    lab.command("nbdcopy", uri, back, timeout=60)
    check(disk_image.digest(back) == disk_image.digest(image), "nbdcopy read another content")
    with open(image, "r+b") as file:  # that it can tell
        file.seek(77 * MIB)
        file.write(b"changed")
    done = lab.command("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri, check=False, timeout=60)
    check(done.returncode == 1, f"qemu-img compare did not see a change: {done.stdout}{done.stderr}")
    return back


def _everything(host, spec):
    uri = _export(host, spec)
    _fio(host, uri)
    copy = _copy_in_and_compare(host, uri)
    rows = lab.json.loads(host.sluice("block-list", "--json", "export"))
    check(rows[0]["state"] == rows[0]["backend-state"] == 4, f"the vbd is not connected any more: {rows}")
    return copy


def _new_file(host, name):
    path = os.path.join(host.scratch, name)
    with open(path, "wb") as file:
        file.truncate(DISK_MIB * MIB)
    return path


def on_a_file(host):
    image = _new_file(host, "disk.img")
    copy = _everything(host, f"{image},raw,xvda,rw")
    check(disk_image.digest(image) == disk_image.digest(copy), "the file holds something else than what was copied in")


def on_memory(host):
    _everything(host, f"memory:{DISK_MIB}M,raw,xvda,rw")


def on_an_nbd_server(host):
    image = _new_file(host, "remote.img")
    _server, uri = host.serve_nbd("file", image, name="remote")
    copy = _everything(host, f"vdev=xvda,target={uri}")
    check(disk_image.digest(image) == disk_image.digest(copy), "the server's file holds something else than what was copied in")


if __name__ == "__main__":
    tap.main(on_a_file, on_memory, on_an_nbd_server)
