/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of one slot that ask for nothing, in static grants. Between netback_tx_plain.c and netback_direct.c. */
#ifndef BACKEND_NETBACK_TX_PLAIN_H
#define BACKEND_NETBACK_TX_PLAIN_H

#include "static_grants.h"
#include <rings/net_slots.h>

static inline bool plain(const struct netif_tx_request *req)
{
	return !(req->flags & ~NETTXF_data_validated) && req->size >= NET_ETH_HLEN && (uint32_t)req->offset + req->size <= SLUICE_PAGE_SIZE;
}

/* Where the bytes of such a packet are; NULL: it has to go another way. */
static inline const uint8_t *plain_bytes(const struct static_grants *grants, const struct netif_tx_request *req)
{
	const uint8_t *page = plain(req) ? static_grants_read(grants, req->gref) : NULL;

	return page ? page + req->offset : NULL;
}

#endif
