/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's configuration (config.h), parsed by xl's own parser, libxlutil. Called by create.c. */
#include "config.h"

#include <errno.h>
#include <libxlutil.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "toolstack.h"

#define MEMORY_DEFAULT_MIB 32 /* xl's */
#define MEMORY_MAX_MIB (1 << 20)
#define CONFIG_FILE_MAX (1 << 20)

/* What has a meaning here; maxvcpus has none while there is one vCPU, but is no mistake. */
static const char *const known_keys[] = { "cmdline", "disk", "extra", "kernel", "maxmem", "maxvcpus", "memory", "name", "on_crash", "on_poweroff",
					  "on_reboot", "ramdisk", "root", "type", "vcpus", "vif" };

static void check_key(const char *key, void *file)
{
	for (size_t i = 0; i < sizeof(known_keys) / sizeof(*known_keys); i++)
		if (!strcmp(key, known_keys[i]))
			return;
	caution("warning: %s: '%s' is not a key that sluice knows: ignored", (const char *)file, key);
}

/* The whole text, with room for more; NULL after a line. */
static char *read_text(const char *file, size_t more)
{
	FILE *f = fopen(file, "re");
	struct stat st;
	char *text;
	size_t n;

	if (!f || fstat(fileno(f), &st) || S_ISDIR(st.st_mode)) {
		complain("%s: cannot be read: %s", file, f && S_ISDIR(st.st_mode) ? strerror(EISDIR) : strerror(errno));
		if (f)
			fclose(f);
		return NULL;
	}
	text = malloc(CONFIG_FILE_MAX + more + 2);
	n = text ? fread(text, 1, CONFIG_FILE_MAX, f) : 0;
	if (!text || !feof(f) || ferror(f)) {
		complain("%s: cannot be read, or longer than 1 MiB", file);
		free(text);
		text = NULL;
	} else {
		text[n] = '\n';
		text[n + 1] = 0;
	}
	fclose(f);
	return text;
}

/* Is value what the parser takes as it is: a number, a quoted string, a list? */
static bool needs_no_quotes(const char *value)
{
	char *end;

	if (*value == '\'' || *value == '"' || *value == '[')
		return true;
	strtol(value, &end, 0);
	return *value && !*end;
}

/* Settings of the command line go behind the file's, as xl does it: the last one wins. A bare word gets quotes. */
static int append_settings(char *text, char **settings, int n)
{
	char *at = text + strlen(text);

	for (int i = 0; i < n; i++) {
		const char *eq = strchr(settings[i], '=');

		if (!eq || eq == settings[i])
			return complain("'%s' is no setting: give key=value", settings[i]);
		at += sprintf(at, needs_no_quotes(eq + 1) ? "%.*s=%s\n" : strchr(eq + 1, '"') ? "%.*s='%s'\n" : "%.*s=\"%s\"\n",
			      (int)(eq - settings[i]), settings[i], eq + 1);
	}
	return 0;
}

static size_t settings_room(char **settings, int n)
{
	size_t room = 0;

	for (int i = 0; i < n; i++)
		room += strlen(settings[i]) + 4;
	return room;
}

/* A file that sluiced is to read: it has another working directory. */
static int get_path(XLU_Config *cfg, const char *key, char **out)
{
	const char *given;

	if (xlu_cfg_get_string(cfg, key, &given, 0))
		return 0;
	*out = realpath(given, NULL);
	return *out ? 0 : complain("%s: %s=: cannot be found: %s", given, key, strerror(errno));
}

/* cmdline= wins; else root= and extra=, as xl joins them. */
static int get_cmdline(XLU_Config *cfg, struct guest_config *g)
{
	const char *cmdline = NULL, *root = NULL, *extra = NULL;
	int n;

	xlu_cfg_get_string(cfg, "cmdline", &cmdline, 0);
	xlu_cfg_get_string(cfg, "root", &root, 0);
	xlu_cfg_get_string(cfg, "extra", &extra, 0);
	if (cmdline && (root || extra))
		caution("warning: cmdline= is given: root= and extra= are ignored");
	if (cmdline)
		n = asprintf(&g->cmdline, "%s", cmdline);
	else if (root)
		n = asprintf(&g->cmdline, "root=%s%s%s", root, extra ? " " : "", extra ? extra : "");
	else
		n = asprintf(&g->cmdline, "%s", extra ? extra : "");
	if (n < 0) {
		g->cmdline = NULL;
		return complain("out of memory");
	}
	return 0;
}

static int get_action(XLU_Config *cfg, const char *key, const char **out)
{
	static const char *const words[][2] = { { "destroy", "destroy" },	  { "preserve", "preserve" },
						{ "restart", "restart" },	  { "rename-restart", "restart" },
						{ "coredump-destroy", "destroy" }, { "coredump-restart", "restart" } };
	const char *given;

	if (xlu_cfg_get_string(cfg, key, &given, 0))
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(given, words[i][0])) {
			*out = words[i][1];
			return 0;
		}
	return complain("%s=\"%s\": destroy, preserve or restart is possible", key, given);
}

static int get_memory(XLU_Config *cfg, struct guest_config *g)
{
	long mib = MEMORY_DEFAULT_MIB, max;

	if (xlu_cfg_get_long(cfg, "memory", &mib, 1) == EINVAL || mib < 1 || mib > MEMORY_MAX_MIB)
		return complain("memory=: give a number of MiB, 1 or more");
	if (!xlu_cfg_get_long(cfg, "maxmem", &max, 0) && max != mib)
		caution("warning: maxmem=%ld is ignored: guests have memory= MiB, and it does not change", max);
	g->memory_mib = (unsigned)mib;
	return 0;
}

/* What is asked for and cannot be had is an error: to go on without it would not be what the user wants. */
static int check_possible(XLU_Config *cfg)
{
	const char *type;
	long vcpus;

	if (!xlu_cfg_get_string(cfg, "type", &type, 0) && strcmp(type, "pv"))
		return complain("type=\"%s\": not yet: only type=\"pv\"", type);
	if (!xlu_cfg_get_long(cfg, "vcpus", &vcpus, 0) && vcpus != 1)
		return complain("vcpus=%ld: not yet: only vcpus=1", vcpus);
	return 0;
}

static int get_vifs(XLU_Config *cfg, struct guest_config *g)
{
	XLU_ConfigList *list;
	int n = 0;

	if (xlu_cfg_get_list(cfg, "vif", &list, &n, 0))
		return 0;
	if (n > CONFIG_VIFS_MAX)
		return complain("vif=: %d of them: at most %d are possible", n, CONFIG_VIFS_MAX);
	for (int i = 0; i < n; i++) {
		const char *spec = xlu_cfg_get_listitem(list, i);

		if (!spec || vif_parse(&g->vif[i], spec))
			return spec ? 1 : complain("vif=: element %d is not a string", i);
		g->nr_vifs++;
	}
	return 0;
}

/* The same name twice would be one vbd in XenStore. */
static int check_twice(const struct guest_config *g)
{
	for (unsigned i = 0; i < g->nr_disks; i++)
		for (unsigned j = 0; j < i; j++)
			if (g->disk[i].number == g->disk[j].number)
				return complain("disk=: %s is there twice: give each disk a vdev of its own", g->disk[i].vdev);
	return 0;
}

static int get_disks(XLU_Config *cfg, struct guest_config *g)
{
	XLU_ConfigList *list;
	int n = 0;

	if (xlu_cfg_get_list(cfg, "disk", &list, &n, 0))
		return 0;
	if (n > CONFIG_DISKS_MAX)
		return complain("disk=: %d of them: at most %d are possible", n, CONFIG_DISKS_MAX);
	for (int i = 0; i < n; i++) {
		const char *spec = xlu_cfg_get_listitem(list, i);

		if (!spec || disk_parse(&g->disk[i], &spec, 1))
			return spec ? 1 : complain("disk=: element %d is not a string", i);
		g->nr_disks++;
	}
	return check_twice(g);
}

static int get_all(XLU_Config *cfg, struct guest_config *g, const char *file)
{
	const char *name;

	if (!xlu_cfg_get_string(cfg, "name", &name, 0))
		g->name = strdup(name);
	if (!g->name)
		return complain("%s: name= is missing", file);
	if (get_path(cfg, "kernel", &g->kernel) || get_path(cfg, "ramdisk", &g->ramdisk))
		return 1;
	if (!g->kernel)
		return complain("%s: kernel= is missing: give a Xen PV kernel", file);
	return get_cmdline(cfg, g) || get_memory(cfg, g) || get_action(cfg, "on_poweroff", &g->on_poweroff) ||
	       get_action(cfg, "on_reboot", &g->on_reboot) || get_action(cfg, "on_crash", &g->on_crash) || check_possible(cfg) || get_vifs(cfg, g) ||
	       get_disks(cfg, g);
}

int config_read(struct guest_config *g, const char *file, char **settings, int nr_settings)
{
	char *text = read_text(file, settings_room(settings, nr_settings));
	XLU_Config *cfg = NULL;
	int status = 1;

	memset(g, 0, sizeof(*g));
	if (text && !append_settings(text, settings, nr_settings)) {
		cfg = xlu_cfg_init(stderr, file);
		if (!cfg)
			complain("out of memory");
		else if (!xlu_cfg_readdata(cfg, text, (int)strlen(text))) /* or it said why */
			status = get_all(cfg, g, file);
	}
	if (!status)
		config_each_key(text, check_key, (void *)file);
	if (cfg)
		xlu_cfg_destroy(cfg);
	free(text);
	return status;
}

void config_free(struct guest_config *g)
{
	free(g->name);
	free(g->kernel);
	free(g->ramdisk);
	free(g->cmdline);
	memset(g, 0, sizeof(*g));
}

static void add_string(struct json_object *o, const char *key, const char *value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_string(value));
}

struct json_object *config_request(const struct guest_config *g)
{
	struct json_object *request = control_request("create", NULL);

	add_string(request, "name", g->name);
	add_string(request, "kernel", g->kernel);
	add_string(request, "ramdisk", g->ramdisk);
	add_string(request, "cmdline", g->cmdline);
	json_object_object_add(request, "memory_mib", json_object_new_int64(g->memory_mib));
	add_string(request, "on_poweroff", g->on_poweroff);
	add_string(request, "on_reboot", g->on_reboot);
	add_string(request, "on_crash", g->on_crash);
	return request;
}
