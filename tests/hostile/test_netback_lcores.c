/* SPDX-License-Identifier: BSD-3-Clause */
/* Every case of test_netback_queues.c once more, with queues that belong to several lcores, each in a thread of its own. */
int netback_queues_cases(void);

#define main netback_queues_cases
#include "test_netback_queues.c"
#undef main

int main(void)
{
	world_lcores = 3;
	return netback_queues_cases();
}
