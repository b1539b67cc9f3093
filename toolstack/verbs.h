/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs of `sluice`: what each takes, what it does, its help. */
#ifndef SLUICE_TOOLSTACK_VERBS_H
#define SLUICE_TOOLSTACK_VERBS_H

#include "toolstack.h"

struct verb {
	const char *name;
	const char *options; /* letters of main.c's options that it takes, besides h and d */
	int min, max;        /* words */
	const char *args;    /* as usage shows them */
	const char *summary;
	const char *help;    /* more, with examples */
	int (*run)(struct call *c);
};

extern const struct verb verbs[];
extern const unsigned nr_verbs;

const struct verb *verb_find(const char *name);
/* The verb that a misspelt name most likely means, or NULL. */
const struct verb *verb_guess(const char *name);

#endif
