# SPDX-License-Identifier: BSD-3-Clause
"""The rows on real Xen in an emulated machine (make test-xen). They stand among those that are not measured, so that nobody takes the list for complete."""
WHY = "no scenario of tests/system/xen reads dom0's CPU time (xl list) around the same load with our back end and with Linux's"
ROWS = ["dom0 CPU time per 64 B packet from an unmodified Linux domU, against xen-netback, at most 0.5",
        "dom0 CPU time per MiB of TCP from an unmodified Linux domU, against xen-netback, at most 0.5",
        "dom0 CPU time per 4 KiB read of an unmodified Linux domU, against xen-blkback, at most 0.8"]


def not_measured():
    return [{"name": f"on emulated Xen: {name}", "guest": "Linux on Xen 4.17", "why": WHY} for name in ROWS]
