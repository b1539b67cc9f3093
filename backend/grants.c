/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches of grant copies: see grants.h. */
#include "grants.h"

void copy_batch_run(struct copy_batch *b, struct hv *hv)
{
	int rc = b->n ? hv->ops->copy(hv, b->op, b->n) : 0;

	for (unsigned i = 0; rc && i < b->n; i++)
		b->op[i].status = GNTST_general_error;
}
