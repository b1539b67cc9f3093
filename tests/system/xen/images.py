# SPDX-License-Identifier: BSD-3-Clause
"""Builds the initramfs images of the rig: dom0 (Xen's tools, our back end, guests to start) and a Linux domU. Used by rig.py."""
import glob
import os
import shutil
import subprocess

from packages import ROOT, XEN, Missing

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD = os.path.join(XEN, "load")  # runs in dom0, in guests and outside of the machine
LIB = "lib/x86_64-linux-gnu"
PMDS = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0"
PMD_NAMES = ("bus_vdev", "bus_pci", "mempool_ring", "net_af_packet", "net_e1000", "net_virtio")
XEN_PROGRAMS = ("xl", "xenstored", "xenconsoled", "xen-init-dom0", "libxl-save-helper")
STORE_PROGRAMS = ("xenstore", "xenstore-ls", "xenstore-read", "xenstore-write", "xenstore-list", "xenstore-rm", "xenstore-exists", "xenstore-chmod")
DOM0_MODULES = ("xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "veth", "loop")
LATER_MODULES = ("xen-netback", "xen-blkback", "bridge", "brd", "ext4", "crc32c-generic", "uio_pci_generic", "virtio-pci", "virtio-net")  # in the image, loaded by the scenarios that want them
DOMU_MODULES = ("xen-netfront", "xen-blkfront", "ext4", "crc32c-generic")
DOM0_PROGRAMS = ("bash",)  # has /dev/udp, which busybox cannot speak
DOMU_PROGRAMS = ("mkfs.ext4",)


def module_files(names):
    """The .ko files of the modules and of what they need, in the order of loading."""
    base = glob.glob(os.path.join(XEN, "linux/lib/modules/*"))[0]
    needs, by_name, order = {}, {}, []
    for line in open(os.path.join(base, "modules.dep")):
        path, rest = line.split(":")
        needs[path] = rest.split()
        by_name[os.path.basename(path)[:-3].replace("-", "_")] = path

    def add(path):
        for other in reversed(needs[path]):
            if other not in order:
                add(other)
        if path not in order:
            order.append(path)

    for name in names:
        if name.replace("-", "_") in by_name:
            add(by_name[name.replace("-", "_")])
    return [os.path.join(base, path) for path in order]


def put_modules(root, names, listing):
    os.makedirs(os.path.join(root, "mod"), exist_ok=True)
    with open(os.path.join(root, "mod", listing), "w") as order:
        for path in module_files(names):
            shutil.copy(path, os.path.join(root, "mod"))
            order.write(os.path.basename(path) + "\n")


def libraries(program):
    """The shared libraries that a program is linked with, as paths."""
    found = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [words[2] for words in map(str.split, found.splitlines()) if len(words) > 2 and words[2].startswith("/")]


def put_program(root, path, where="bin"):
    shutil.copy(path, os.path.join(root, where))
    put_libraries(root, path)


def put_libraries(root, path):
    """A DPDK driver that others are linked with is one file with two names, as Debian has it: loaded from two files, it is there twice and DPDK panics."""
    for library in libraries(path):
        target = os.path.join(root, LIB, os.path.basename(library))
        real = os.path.realpath(library)
        if os.path.lexists(target):
            continue
        if os.path.dirname(real) == PMDS:
            os.makedirs(os.path.join(root, PMDS[1:]), exist_ok=True)
            shutil.copy(real, os.path.join(root, PMDS[1:]))
            os.symlink(real, target)
        else:
            shutil.copy(library, target)


def put_loader(root):
    shutil.copy("/lib64/ld-linux-x86-64.so.2", os.path.join(root, "lib64"))


def compile_program(name, out, *words):
    """A program of the rig's own, from programs/<name>.c. words: for the linker."""
    command = ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", out, os.path.join(HERE, "programs", f"{name}.c"), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Missing(f"gcc {name}.c: {done.stdout.strip().splitlines()[-1]}")
    return out


def put_built(root, name, *words):
    path = compile_program(name, os.path.join(root, "bin", name), *words)
    if "-static" not in words:
        put_libraries(root, path)


def skeleton(root, folders):
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("bin", "proc", "sys", "dev", "tmp", *folders):
        os.makedirs(os.path.join(root, folder))
    shutil.copy(shutil.which("busybox"), os.path.join(root, "bin"))


def pack(root, out):
    """Not compressed: QEMU loads it in no time, an emulated machine unpacks slowly."""
    names = subprocess.run(["find", "."], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    with open(out, "wb") as image:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=image, check=True)
    shutil.rmtree(root)


def make_domu(out):
    root = os.path.join(XEN, "domu.root")
    skeleton(root, ("mod", "mnt", "lib64", LIB))
    put_modules(root, DOMU_MODULES, "order")
    put_loader(root)
    for name in DOMU_PROGRAMS:
        put_program(root, shutil.which(name))
    put_program(root, os.path.join(XEN, "root/sbin/ethtool"))
    shutil.copy(LOAD, os.path.join(root, "bin"))
    shutil.copy(os.path.join(HERE, "domu-init"), os.path.join(root, "init"))
    pack(root, out)


def put_xen(root):
    tools = glob.glob(os.path.join(XEN, "root/usr/lib/xen-4.*/bin"))[0]
    inside = os.path.relpath(tools, os.path.join(XEN, "root"))  # the programs look for each other there
    os.makedirs(os.path.join(root, inside))
    for name in XEN_PROGRAMS:
        put_program(root, os.path.join(tools, name), inside)
        os.symlink("/" + os.path.join(inside, name), os.path.join(root, "bin", name))
    for name in STORE_PROGRAMS:
        shutil.copy(os.path.join(XEN, "root/usr/bin", name), os.path.join(root, "bin"), follow_symlinks=False)
    put_libraries(root, os.path.join(XEN, "root/usr/bin/xenstore"))
    shutil.copy(os.path.join(XEN, "root/etc/xen/xl.conf"), os.path.join(root, "etc/xen"))
    put_loader(root)
    for library in glob.glob(f"/{LIB}/libgcc_s.so.1"):  # pthread_cancel asks for it
        shutil.copy(library, os.path.join(root, LIB))


def put_sluice(root):
    release = os.path.join(ROOT, "build/release")
    put_program(root, os.path.join(release, "sluice-backend"))
    contract = os.path.join(release, "tests/contract/hv/test_hv_xen")
    if os.path.exists(contract):
        put_program(root, contract)
    os.makedirs(os.path.join(root, PMDS[1:]), exist_ok=True)
    for name in PMD_NAMES:
        for path in glob.glob(f"{PMDS}/librte_{name}.so.*.*"):
            shutil.copy(path, os.path.join(root, PMDS[1:]))
            put_libraries(root, path)
    for name in ("vif-sluice", "block-sluice"):
        shutil.copy(os.path.join(ROOT, "scripts/xen", name), os.path.join(root, "etc/xen/scripts"))


def make_dom0(out, domu):
    root = os.path.join(XEN, "dom0.root")
    skeleton(root, ("mod", "mnt", "sbin", "root", "lib64", LIB, "guest", "run", "etc/xen/scripts", "var/lib/xen/dump", "var/lib/xenstored", "var/lock",
                    "var/log/xen/console", "run/xen", "run/xenstored"))
    os.symlink("../run", os.path.join(root, "var/run"))
    put_xen(root)
    put_sluice(root)
    for name in DOM0_PROGRAMS:
        put_program(root, shutil.which(name))
    shutil.copy(LOAD, os.path.join(root, "bin"))
    put_built(root, "dom0cpu", "-lxenctrl")
    put_program(root, os.path.join(XEN, "root/sbin/ethtool"))
    put_program(root, shutil.which("ip"), "sbin")  # busybox has an `ip` of its own in bin, which knows less
    put_modules(root, DOM0_MODULES, "order")
    for name in LATER_MODULES:
        put_modules(root, (name,), name)
    for name, target in (("dom0-init", "init"), ("guest", "bin/guest"), ("vif-linux", "etc/xen/scripts/vif-linux"),
                         ("vif-linux", "etc/xen/scripts/vif-bridge"), ("vif-bridged", "etc/xen/scripts/vif-bridged"), ("block-linux", "etc/xen/scripts/block-linux")):
        shutil.copy(os.path.join(HERE, name), os.path.join(root, target))
    shutil.copy(os.path.join(XEN, "vmlinuz"), os.path.join(root, "guest"))
    shutil.copy(domu, os.path.join(root, "guest/initrd"))
    shutil.copy(os.path.join(ROOT, "build/guest/sluice-guest.elf"), os.path.join(root, "guest"))
    pack(root, out)


def build():
    """Makes both images; the path of dom0's."""
    compile_program("load", LOAD, "-static")
    domu, dom0 = os.path.join(XEN, "domu.cpio"), os.path.join(XEN, "dom0.cpio")
    make_domu(domu)
    make_dom0(dom0, domu)
    return dom0
