/* SPDX-License-Identifier: BSD-3-Clause */
/* What event.c (the guests' ends and the hypercall) and event_dom0.c (domain 0's ends) share. Nobody else includes it. */
#ifndef SLUICE_EVENT_PRIVATE_H
#define SLUICE_EVENT_PRIVATE_H

#include "event.h"

enum port_state {
	PORT_FREE,
	PORT_UNBOUND,     /* waits for domain `remote` to bind */
	PORT_INTERDOMAIN, /* other end: port `remote_port` of domain `remote` (0: of an attached process) */
	PORT_INTERNAL,    /* other end: sluiced itself, which hears `fd` */
	PORT_VIRQ,
	PORT_IPI,
};

struct port {
	uint8_t state; /* enum port_state */
	domid_t remote;
	union {
		uint32_t remote_port;
		int fd;
		uint32_t virq;
	};
};

struct evtchn_table {
	struct port port[HVSHARE_PORTS]; /* 0 is never used */
	evtchn_t virq[NR_VIRQS];         /* port that a VIRQ is bound to; 0: none */
};

/* The port of d, or NULL when it is out of range or free. */
struct port *evtchn_port(struct domain *d, evtchn_t port);

/* An end of domain 0, port of hvshare.port: raise it; its other end has gone. */
void evtchn_dom0_raise(evtchn_t port);
void evtchn_dom0_closed(evtchn_t port);

#endif
