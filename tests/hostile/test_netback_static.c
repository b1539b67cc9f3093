/* SPDX-License-Identifier: BSD-3-Clause */
/* Every case of test_netback.c once more, with guests whose pages are static grants: the same checks must hold where no grant operation makes them. */
int netback_cases(void);

#define main netback_cases
#include "test_netback.c"
#undef main

int main(void)
{
	fake_guest_static = true;
	return netback_cases();
}
