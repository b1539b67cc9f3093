# SPDX-License-Identifier: BSD-3-Clause
"""hv_xen against the contract of hv.h."""
import re

from machine import Failure

from .common import scenario


@scenario(400)
def contract(machine):
    """The contract suite of hv.h on hv_xen, its guests made by xl."""
    said = machine.try_run("CMOCKA_MESSAGE_OUTPUT=TAP test_hv_xen", 380)[1]
    failed = re.findall(r"^not ok \d+ - (\w+)", said, re.M)
    passed = len(re.findall(r"^ok ", said, re.M))
    if failed or not passed:
        raise Failure(f"{passed} cases passed, failed: {' '.join(failed)}")
    return f"{passed} cases"
