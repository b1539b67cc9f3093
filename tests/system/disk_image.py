# SPDX-License-Identifier: BSD-3-Clause
"""Disk images for the system tests, made without mounting anything: a GPT and ext4 file systems by mke2fs -d."""
import hashlib
import os

from tap import lab

MIB = 1 << 20
FIRST_MIB = 1


def file_system(path, files, mib=8):
    """An ext4 file system, no partition table, with files {name: text}; path."""
    tree = path + ".tree"
    os.mkdir(tree)
    for name, text in files.items():
        with open(os.path.join(tree, name), "w") as file:
            file.write(text)
    _mke2fs(path, tree, 0, mib)
    return path


def partitioned(path, tree, mib=32):
    """A GPT with one partition, in it an ext4 file system with what is in the folder `tree`; path."""
    with open(path, "wb") as file:
        file.truncate((mib + 2 * FIRST_MIB) * MIB)
    lab.command("sfdisk", "--quiet", path, input=f"label: gpt\nstart={FIRST_MIB}MiB, size={mib}MiB, type=linux\n")
    _mke2fs(path, tree, FIRST_MIB, mib)
    return path


def _mke2fs(path, tree, offset_mib, mib):
    lab.command("mke2fs", "-q", "-F", "-t", "ext4", "-b", 4096, "-d", tree, "-E", f"offset={offset_mib * MIB}", path, f"{mib}M")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def allocated(path):
    """Bytes of a sparse file that were written."""
    return os.stat(path).st_blocks * 512
