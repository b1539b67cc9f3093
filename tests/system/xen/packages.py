# SPDX-License-Identifier: BSD-3-Clause
"""Fetches real Xen and Linux as Debian packages into build/xen and unpacks them there; nothing is installed. Used by rig.py."""
import glob
import lzma
import os
import shutil
import struct
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
XEN = os.path.join(ROOT, "build", "xen")
PACKAGES = ("xen-hypervisor-4.17-amd64", "xen-utils-4.17", "xen-utils-common", "xenstore-utils", "ethtool")  # and a kernel
LINUX_MAGIC, XZ_MAGIC = b"HdrS", b"\xfd7zXZ\0"


class Missing(Exception):
    """What the rig needs and this machine does not have: the reason for which tests are skipped."""


def run(*words, **keys):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **keys)
    if done.returncode:
        raise Missing(f"{' '.join(words[:3])}: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.returncode}")
    return done.stdout


def kernel_package():
    """The package that linux-image-amd64 stands for now."""
    for line in run("apt-cache", "depends", "linux-image-amd64").splitlines():
        if "Depends: linux-image" in line:
            return line.split()[-1]
    raise Missing("linux-image-amd64 is in no package list: run apt-get update")


def unpack_bzimage(path, out):
    """The ELF kernel inside of a bzImage: Xen's dom0 builder of 4.17 takes it much faster than the compressed one under emulation."""
    image = open(path, "rb").read()
    if image[0x202:0x206] != LINUX_MAGIC:
        raise Missing(f"{path} is not a Linux kernel")
    start = (image[0x1f1] + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset:start + offset + length]
    if not payload.startswith(XZ_MAGIC):
        raise Missing(f"{path} is not compressed with xz")
    with open(out, "wb") as elf:
        elf.write(lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload))


def download(folder, packages):
    os.makedirs(folder, exist_ok=True)
    try:
        run("apt-get", "download", *packages, cwd=folder)
    except Missing:
        run("apt-get", "update", "-qq")
        run("apt-get", "download", *packages, cwd=folder)


def fetch():
    """Everything below build/xen, once. Raises Missing."""
    done = os.path.join(XEN, "fetched")
    if os.path.exists(done) and open(done).read() == " ".join(PACKAGES):
        return
    for program in ("apt-get", "dpkg-deb", "qemu-system-x86_64", "cpio", "depmod", "busybox"):
        if not shutil.which(program):
            raise Missing(f"{program} is not installed; run scripts/setup")
    debs = os.path.join(XEN, "debs")
    shutil.rmtree(XEN, ignore_errors=True)
    download(debs, [*PACKAGES, kernel_package()])
    for deb in glob.glob(os.path.join(debs, "*.deb")):
        where = "linux" if os.path.basename(deb).startswith("linux-image") else "root"
        run("dpkg-deb", "-x", deb, os.path.join(XEN, where))
    with open(os.path.join(XEN, "xen"), "wb") as out:
        subprocess.run(["zcat", os.path.join(XEN, "root/boot/xen-4.17-amd64.gz")], stdout=out, check=True)
    vmlinuz = glob.glob(os.path.join(XEN, "linux/boot/vmlinuz-*"))[0]
    shutil.copy(vmlinuz, os.path.join(XEN, "vmlinuz"))
    unpack_bzimage(vmlinuz, os.path.join(XEN, "vmlinux"))
    run("depmod", "-b", os.path.join(XEN, "linux"), os.listdir(os.path.join(XEN, "linux/lib/modules"))[0])
    shutil.rmtree(debs)
    with open(done, "w") as mark:
        mark.write(" ".join(PACKAGES))
