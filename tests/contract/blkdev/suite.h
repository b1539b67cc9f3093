/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of backend/blkdev.h as tests: the cases are in suite.c, once, and every provider runs them (test_blkdev.c).
 */
#ifndef TESTS_CONTRACT_BLKDEV_SUITE_H
#define TESTS_CONTRACT_BLKDEV_SUITE_H

#include <backend/blkdev.h>

/* A provider under test: storage of SUBJECT_SIZE bytes that may be overwritten. */
#define SUBJECT_SIZE (16u << 20)

struct blkdev_subject {
	const char *name;
	const char *target; /* for blkdev_open */
	bool forgets;       /* nothing that is written is kept: null */
	bool lasts;         /* what was written is there for the next open */
};

/* Runs every case on one provider, as a group of its own; the number of failures. */
int blkdev_suite_run(const struct blkdev_subject *s);

#endif
