/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of the control ring: see net_ctrl.h. The answers to what is wrong are Linux's, where the header leaves a choice. */
#include <rings/net_ctrl.h>

enum {
	OK = XEN_NETIF_CTRL_STATUS_SUCCESS,
	INVALID = XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
	UNSUPPORTED = XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED,
	OVERFLOW = XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW,
};

static uint32_t check_key(const struct xen_netif_ctrl_request *req, struct net_ctrl_page *page)
{
	if (req->data[1] > NET_CTRL_KEY_MAX)
		return OVERFLOW;
	*page = (struct net_ctrl_page){ .gref = req->data[0], .bytes = req->data[1] };
	return OK;
}

/* The part that is to be written must lie within the table, and that without an overflow of the sum (XSA-270). */
static uint32_t check_mapping(const struct net_ctrl_hash *h, const struct xen_netif_ctrl_request *req, struct net_ctrl_page *page)
{
	uint32_t n = req->data[1], offset = req->data[2];

	if (n > NET_CTRL_MAPPING_MAX)
		return OVERFLOW;
	if (offset > h->mapping_size || n > h->mapping_size - offset)
		return INVALID;
	*page = (struct net_ctrl_page){ .gref = req->data[0], .bytes = n * (uint32_t)sizeof(h->mapping[0]) };
	return OK;
}

static uint32_t check_grefs(const struct xen_netif_ctrl_request *req, unsigned queues, struct net_ctrl_page *page)
{
	if (req->data[0] >= queues || !req->data[2] || req->data[2] > NET_CTRL_GREFS_MAX)
		return INVALID;
	*page = (struct net_ctrl_page){ .gref = req->data[1], .bytes = req->data[2] * (uint32_t)sizeof(struct xen_netif_gref) };
	return OK;
}

uint32_t net_ctrl_check(const struct net_ctrl_hash *h, const struct xen_netif_ctrl_request *req, unsigned queues, struct net_ctrl_page *page)
{
	*page = (struct net_ctrl_page){ .bytes = 0 };
	switch (req->type) {
	case XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS:
	case XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE:
		return OK;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM:
		return req->data[0] <= XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ ? OK : INVALID;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS:
		return req->data[0] & ~(uint32_t)NET_CTRL_HASH_TYPES ? INVALID : OK;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE:
		return req->data[0] <= NET_CTRL_MAPPING_MAX ? OK : INVALID;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
		return check_key(req, page);
	case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
		return check_mapping(h, req, page);
	case XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE:
		return req->data[0] < queues ? OK : INVALID;
	case XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING:
	case XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING:
		return check_grefs(req, queues, page);
	default:
		return UNSUPPORTED;
	}
}

/* Every entry must name a queue: otherwise the table stays as it was. */
static uint32_t set_mapping(struct net_ctrl_hash *h, const struct xen_netif_ctrl_request *req, unsigned queues, const uint32_t *data)
{
	for (uint32_t i = 0; i < req->data[1]; i++)
		if (data[i] >= queues)
			return INVALID;
	__builtin_memcpy(&h->mapping[req->data[2]], data, req->data[1] * sizeof(h->mapping[0]));
	return OK;
}

uint32_t net_ctrl_hash_apply(struct net_ctrl_hash *h, const struct xen_netif_ctrl_request *req, unsigned queues, const void *data, uint32_t *out)
{
	*out = 0;
	switch (req->type) {
	case XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM:
		h->algorithm = req->data[0];
		return OK;
	case XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS:
		if (!h->algorithm)
			return UNSUPPORTED;
		*out = NET_CTRL_HASH_TYPES;
		return OK;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS:
		if (!h->algorithm)
			return INVALID;
		h->types = req->data[0];
		return OK;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
		__builtin_memset(h->key, 0, sizeof(h->key));
		__builtin_memcpy(h->key, data, req->data[1]);
		return OK;
	case XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE:
		*out = NET_CTRL_MAPPING_MAX;
		return OK;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE:
		h->mapping_size = req->data[0];
		__builtin_memset(h->mapping, 0, sizeof(h->mapping));
		return OK;
	case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
		return set_mapping(h, req, queues, data);
	default:
		return UNSUPPORTED;
	}
}
