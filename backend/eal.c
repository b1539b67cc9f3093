/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK's start: see eal.h. Called by main.c. */
#include "eal.h"
#include "log.h"
#include "store.h"
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define ARGS 32u
#define CORE_MAX 1023u
#define VIRTIO_NET_OLD 0x1000u /* its PCI device id; that of one that knows virtio 1.0 alone is another */
#define MEMORY_MB "128" /* without huge pages: the pool, its headers and what drivers need */
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define HUGE_ENOUGH 64u

struct args {
	int n;
	char *v[ARGS];
	char cores[EAL_CORES * 8 + 8]; /* "0@1023," for each */
};

static void add(struct args *a, const char *arg)
{
	a->v[a->n++] = (char *)(uintptr_t)arg; /* EAL takes char *, and writes to none of them */
}

struct pci_address {
	unsigned domain, bus, dev, fn;
};

static bool parse_pci(const char *devargs, struct pci_address *a)
{
	if (sscanf(devargs, "%4x:%2x:%2x.%1x", &a->domain, &a->bus, &a->dev, &a->fn) == 4)
		return true;
	a->domain = 0;
	return sscanf(devargs, "%2x:%2x.%1x", &a->bus, &a->dev, &a->fn) == 3;
}

bool eal_is_pci(const char *devargs)
{
	struct pci_address a;

	return parse_pci(devargs, &a);
}

/* May its registers be behind I/O ports? Of DPDK's drivers only net_virtio reaches any there, of devices that also know the virtio of before 1.0. */
static bool may_use_ports(const char *devargs)
{
	unsigned device = VIRTIO_NET_OLD;
	struct pci_address a;
	char path[64];
	FILE *f;

	if (!parse_pci(devargs, &a))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:%02x:%02x.%x/device", a.domain, a.bus, a.dev, a.fn);
	f = fopen(path, "re");
	if (f && fscanf(f, "%x", &device) != 1)
		device = VIRTIO_NET_OLD;
	if (f)
		fclose(f);
	return device == VIRTIO_NET_OLD;
}

bool eal_needs_ports(char *const *uplinks, unsigned nr_uplinks)
{
	for (unsigned i = 0; i < nr_uplinks; i++)
		if (may_use_ports(uplinks[i]))
			return true;
	return false;
}

static bool huge_pages(void)
{
	FILE *f = fopen(HUGE_FREE, "re");
	unsigned n = 0;

	if (!f)
		return false;
	if (fscanf(f, "%u", &n) != 1)
		n = 0;
	fclose(f);
	return n >= HUGE_ENOUGH;
}

static int first_cpu(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return 0;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &cpus))
			return i;
	return 0;
}

/* EAL pins its main thread to its core; without a core of our own, undo that. */
static int init_unpinned(struct args *a, bool pin)
{
	cpu_set_t before;
	int rc = sched_getaffinity(0, sizeof(before), &before);

	if (rte_eal_init(a->n, a->v) < 0)
		return -rte_errno;
	if (!pin && rc == 0)
		sched_setaffinity(0, sizeof(before), &before);
	return 0;
}

static int add_core(struct eal_cores *cores, unsigned core)
{
	for (unsigned i = 0; i < cores->nr; i++)
		if (cores->core[i] == core)
			return -EINVAL;
	if (cores->nr == EAL_CORES)
		return -EINVAL;
	cores->core[cores->nr++] = core;
	return 0;
}

/* "3" or "0-3", n bytes. */
static int add_range(struct eal_cores *cores, const char *text, size_t n)
{
	const char *dash = memchr(text, '-', n);
	size_t len = dash ? (size_t)(dash - text) : n;
	uint32_t from, to;
	int rc = store_parse_number(text, len, CORE_MAX, &from);

	to = from;
	if (rc == 0 && dash)
		rc = store_parse_number(dash + 1, n - len - 1, CORE_MAX, &to);
	if (rc || to < from)
		return -EINVAL;
	for (; rc == 0 && from <= to; from++)
		rc = add_core(cores, from);
	return rc;
}

int eal_parse_cores(const char *text, struct eal_cores *out)
{
	int rc = 0;

	out->nr = 0;
	for (size_t n; rc == 0; text += n + 1) {
		n = strcspn(text, ",");
		rc = add_range(out, text, n);
		if (text[n] == '\0')
			break;
	}
	return rc;
}

/* DPDK's ids of the lcores are ours, not the cores' numbers (bridge/lcore.h). */
static void name_cores(struct args *a, const struct eal_cores *cores)
{
	size_t at = 0;

	if (cores->nr == 0)
		snprintf(a->cores, sizeof(a->cores), "0@%d", first_cpu());
	for (unsigned i = 0; i < cores->nr; i++)
		at += (size_t)snprintf(a->cores + at, sizeof(a->cores) - at, "%s%u@%u", i ? "," : "", i, cores->core[i]);
}

int eal_start(const struct eal_cores *cores, char *const *uplinks, unsigned nr_uplinks)
{
	struct args a = {0};
	bool pci = false;
	int rc;

	name_cores(&a, cores);
	add(&a, "sluice-backend");
	add(&a, "--lcores");
	add(&a, a.cores);
	add(&a, "--no-telemetry");
	for (unsigned i = 0; i < nr_uplinks; i++) {
		if (!eal_is_pci(uplinks[i]))
			continue;
		pci = true;
		add(&a, "-a"); /* and no other device: it may serve somebody else */
		add(&a, uplinks[i]);
	}
	if (!pci)
		add(&a, "--no-pci");
	if (eal_dma_wanted()) /* no huge pages in such a domain, and addresses of our own */
		add(&a, "--iova-mode=pa");
	if (huge_pages()) {
		add(&a, "--in-memory");
		add(&a, "--single-file-segments");
	} else {
		add(&a, "--no-huge");
		add(&a, "--no-shconf");
		add(&a, "-m");
		add(&a, MEMORY_MB);
	}
	backend_log_dpdk();
	rc = init_unpinned(&a, cores->nr > 0);
	if (rc)
		backend_error("DPDK does not start: %s; are the cores there (lcore@core: %s), and is there %s MiB of memory?", strerror(-rc),
			      a.cores, MEMORY_MB);
	backend_log_dpdk();
	return rc;
}
