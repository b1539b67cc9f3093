/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of one slot that ask for nothing. Between netback_tx_plain.c and netback_direct.c. */
#ifndef BACKEND_NETBACK_TX_PLAIN_H
#define BACKEND_NETBACK_TX_PLAIN_H

#include "static_grants.h"
#include <rings/net_slots.h>

static inline bool plain(const struct netif_tx_request *req)
{
	return !(req->flags & ~NETTXF_data_validated) && req->size >= NET_ETH_HLEN && (uint32_t)req->offset + req->size <= SLUICE_PAGE_SIZE;
}

#endif
