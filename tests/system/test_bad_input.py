#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a person may get wrong: one line that says what and what to do, a non-zero exit, nothing left behind."""
import os
import subprocess

import tap
from tap import check
import lab


def _one_line(done, *words):
    told = (done.stderr or "") + (done.stdout or "")
    lines = [line for line in told.splitlines() if line.strip()]
    check(done.returncode != 0, f"exit status 0: {told}")
    check(len(lines) == 1, f"{len(lines)} lines: {told}")
    for word in words:
        check(word in lines[0], f"'{word}' is not in: {lines[0]}")


def _create(host, kernel, memory=32, name="bad"):
    path = os.path.join(host.scratch, "bad.cfg")
    with open(path, "w") as cfg:
        cfg.write(f'name = "{name}"\nkernel = "{kernel}"\nmemory = {memory}\n')
    return host.sluice("create", path, check=False)


def _no_domains(host):
    domains = [d for d in lab.json.loads(host.sluice("list", "--json")) if d["domid"]]
    check(not domains, f"left behind: {domains}")


def no_pv_kernel(host):
    host.start_sluiced()
    _one_line(_create(host, "/bin/true"), "/bin/true", "Xen")
    _one_line(_create(host, "/etc/passwd"), "/etc/passwd", "ELF")
    _one_line(_create(host, "/nonexistent"), "/nonexistent")
    _no_domains(host)


def truncated_elf(host):
    host.start_sluiced()
    whole = open(lab.GUEST_ELF, "rb").read()
    path = os.path.join(host.scratch, "short.elf")
    for length in (10, 64, 200, len(whole) // 2):
        with open(path, "wb") as file:
            file.write(whole[:length])
        _one_line(_create(host, path), "short.elf")
    _no_domains(host)


def too_little_memory(host):
    host.start_sluiced()
    _one_line(_create(host, lab.GUEST_ELF, memory=1), "memory")
    _one_line(_create(host, lab.GUEST_ELF, memory=100000), "memory")
    _no_domains(host)


def two_guests_of_one_name(host):
    host.start_sluiced()
    check(_create(host, lab.GUEST_ELF, name="twin").returncode == 0, "the first was refused")
    _one_line(_create(host, lab.GUEST_ELF, name="twin"), "twin")


def bad_configuration(host):
    host.start_sluiced()
    path = os.path.join(host.scratch, "bad.cfg")
    with open(path, "w") as cfg:
        cfg.write('name = "x"\nmemory = 32\n')
    _one_line(host.sluice("create", path, check=False), "kernel")
    _one_line(host.sluice("create", "/nonexistent.cfg", check=False), "/nonexistent.cfg")
    _one_line(host.sluice("destroy", "nobody", check=False), "nobody")
    _no_domains(host)


def no_sluiced(host):
    _one_line(host.sluice("list", check=False), "sluiced")
    done = lab.command(host.program("sluice-backend"), "--run-dir", host.run_dir, check=False, timeout=20)
    _one_line(done, "sluiced")


def second_sluiced(host):
    host.start_sluiced()
    done = lab.command(host.program("sluiced"), "--run-dir", host.run_dir, "--memory", "64", check=False, timeout=20)
    _one_line(done, host.run_dir)
    host.sluice("list")


def uplink_that_does_not_exist(host):
    host.start_sluiced()
    done = lab.command(host.program("sluice-backend"), "--run-dir", host.run_dir, "--uplink", "net_af_packet0,iface=nope0",
                       check=False, timeout=20)
    _one_line(done, "nope0")


def no_permission(host):
    """An ordinary user may neither talk to sluiced nor start one on a folder that is not theirs."""
    check(os.geteuid() == 0, "wants root, also in a user namespace")
    host.start_sluiced()
    os.chmod(host.scratch, 0o755)
    if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "true"], stderr=subprocess.DEVNULL).returncode:
        return "not tried: no second user id in this user namespace"
    for words in ([host.program("sluice"), "--run-dir", host.run_dir, "list"],
                  [host.program("sluiced"), "--run-dir", host.run_dir, "--memory", "64"]):
        done = lab.command("setpriv", "--reuid=65534", "--clear-groups", *words, check=False, timeout=20)
        _one_line(done, "ermi")
    return None


def nothing_left_after_sigterm(host):
    """sluiced takes its sockets and its guests' processes along."""
    host.start_sluiced()
    check(_create(host, lab.GUEST_ELF).returncode == 0, "create")
    host.sluiced.terminate()
    host.sluiced.wait(5)
    left = [name for name in os.listdir(host.run_dir) if name.endswith(".sock")] if os.path.exists(host.run_dir) else []
    check(not left, f"sockets left: {left}")
    check(not subprocess.run(["pgrep", "-f", "^sluice-vcpu"], stdout=subprocess.PIPE).stdout, "a guest's process is left")


if __name__ == "__main__":
    tap.main(no_pv_kernel, truncated_elf, too_little_memory, two_guests_of_one_name, bad_configuration, no_sluiced, second_sluiced,
             uplink_that_does_not_exist, no_permission, nothing_left_after_sigterm)
