/* SPDX-License-Identifier: BSD-3-Clause */
/* Permissions (perms.h). Called by database.c and watch.c to decide, by request.c to parse and print. */
#include "perms.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned allow_domid(const struct node_data *data, domid_t domid)
{
	if (data->perms[0].domid == domid)
		return PERM_READ | PERM_WRITE;
	for (unsigned i = 1; i < data->nr_perms; i++)
		if (data->perms[i].domid == domid)
			return data->perms[i].bits;
	return data->perms[0].bits;
}

unsigned perms_allow(const struct node_data *data, const struct actor *who)
{
	unsigned bits;

	if (who->privileged)
		return PERM_READ | PERM_WRITE;
	bits = allow_domid(data, who->domid);
	if (who->target != DOMID_INVALID)
		bits |= allow_domid(data, who->target);
	return bits;
}

bool perms_owner(const struct node_data *data, const struct actor *who)
{
	domid_t owner = data->perms[0].domid;

	return who->privileged || owner == who->domid || (who->target != DOMID_INVALID && owner == who->target);
}

int domid_parse(const char *s, domid_t *out)
{
	size_t len = strlen(s);
	unsigned long v;

	if (!len || len > 5 || strspn(s, "0123456789") != len)
		return -EINVAL;
	v = strtoul(s, NULL, 10);
	if (v > UINT16_MAX)
		return -EINVAL;
	*out = (domid_t)v;
	return 0;
}

static const char letters[] = "nrwb"; /* index: OR of PERM_* */

int perm_parse(const char *s, struct store_perm *out)
{
	const char *letter = *s ? strchr(letters, *s) : NULL;

	if (!letter)
		return -EINVAL;
	out->bits = (uint8_t)(letter - letters);
	return domid_parse(s + 1, &out->domid);
}

void perm_format(const struct store_perm *p, char out[PERM_TEXT])
{
	snprintf(out, PERM_TEXT, "%c%u", letters[p->bits & 3], p->domid);
}
