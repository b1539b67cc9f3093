# SPDX-License-Identifier: BSD-3-Clause
"""The system tests' frame: enter the lab's namespaces, run test functions on a host, report each as a line of TAP."""
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
sys.dont_write_bytecode = True
import lab  # noqa: E402  (found through the path above)

GUESTS = [("guest1", "10.77.0.11", "00:16:3e:00:00:11"), ("guest2", "10.77.0.12", "00:16:3e:00:00:12")]


class Host(lab.Lab):
    """A lab host with the back end up; guests() boots the usual two and waits for their first ping."""

    def __init__(self, scratch, number):
        super().__init__(os.path.join(scratch, str(number)))

    def up(self):
        self.lay_wire()
        self.start_sluiced()
        self.start_backend()

    def guests(self):
        for name, ip, mac in GUESTS:
            self.create(name, ip, mac)
        for name, ip, _mac in GUESTS:
            lab.wait_for(f"{name} to answer", 10, lambda ip=ip: self.ping(ip, count=1)["received"])


def check(condition, text):
    if not condition:
        raise lab.LabError(text)


def main(*tests):
    """Each test is called with a fresh scratch folder's Host, not started. Exit status 1 when one fails."""
    scratch = lab.enter()
    failures = 0
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        os.mkdir(os.path.join(scratch, str(number)))
        host = Host(scratch, number)
        began = time.monotonic()
        try:
            told = test(host)
            print(f"ok {number} - {test.__name__} ({told + ', ' if told else ''}{time.monotonic() - began:.1f} s)", flush=True)
        except Exception as error:  # a test may fail in any way; each is one line of TAP
            failures += 1
            print(f"not ok {number} - {test.__name__}: {error}", flush=True)
            if not isinstance(error, lab.LabError):
                traceback.print_exc(file=sys.stdout)
            host.log.flush()
            lines = open(host.log_path, errors="replace").readlines()
            sys.stdout.writelines("# log: " + line for line in [line for line in lines[:-30] if "error:" in line][-20:] + lines[-30:])
        finally:
            host.stop()
    sys.exit(1 if failures else 0)
