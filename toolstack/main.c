/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice: the command line. Finds the verb, reads its options, calls it (toolstack.h). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verbs.h"

#define DEFAULT_RUN_DIR "/run/sluice"
#define VERSION "0.1"

static const struct option long_options[] = {
	{ "run-dir", required_argument, NULL, 'd' }, { "help", no_argument, NULL, 'h' },    { "version", no_argument, NULL, 'V' },
	{ "json", no_argument, NULL, 'j' },	     { "paused", no_argument, NULL, 'p' },  { "console", no_argument, NULL, 'c' },
	{ "wait", no_argument, NULL, 'w' },	     { 0 },
};

static int help(void)
{
	puts("Usage: sluice [--run-dir DIR] VERB [OPTION]... [WORD]...\n"
	     "Make and manage the guests of sluiced, with the verbs and the configuration files of Xen's xl.\n");
	for (unsigned i = 0; i < nr_verbs; i++)
		printf("  %-15s %s\n", verbs[i].name, verbs[i].summary);
	puts("\n"
	     "  -d, --run-dir DIR  where sluiced's sockets are (default: $SLUICE_RUN_DIR or " DEFAULT_RUN_DIR ")\n"
	     "  -h, --help         this, or with a verb, how to use it\n"
	     "      --version      print the version\n\n"
	     "Example:\n"
	     "  sluiced &\n"
	     "  sluice create one.cfg     # 'sluice create --help' shows such a file\n"
	     "  sluice console one");
	return 0;
}

static int verb_help(const struct verb *v)
{
	printf("Usage: sluice [--run-dir DIR] %s%s %s\n%c%s.\n\n%s", v->name, *v->options ? " [OPTION]..." : "", v->args,
	       v->summary[0] - 'a' + 'A', v->summary + 1, v->help);
	return 0;
}

/* An option that getopt found, for verb v (NULL: before any verb). */
static int take_option(struct call *c, int letter, const struct verb *v, const char *shown)
{
	if (letter == 'd') {
		c->run_dir = optarg;
		return 0;
	}
	if (letter == ':')
		return complain("%s: its argument is missing: see sluice --help", shown);
	if (letter == '?' || !v || !strchr(v->options, letter))
		return complain("%s: no such option%s%s: see sluice %s%s--help", shown, v ? " of " : "", v ? v->name : "", v ? v->name : "", v ? " " : "");
	c->json |= letter == 'j';
	c->paused |= letter == 'p';
	c->console |= letter == 'c';
	c->wait |= letter == 'w';
	return 0;
}

/* *shown to the user when an option is wrong: the word that it stands in. */
static int read_options(struct call *c, int argc, char **argv, const struct verb *v, bool *want_help)
{
	int letter;

	optind = 0; /* starts afresh */
	opterr = 0;
	for (;;) {
		int at = optind ? optind : 1;

		letter = getopt_long(argc, argv, v ? ":d:hjpcw" : "+:d:hV", long_options, NULL);
		if (letter < 0)
			return 0;
		if (letter == 'V' && !v) {
			puts("sluice " VERSION);
			exit(0);
		}
		if (letter == 'h')
			*want_help = true;
		else if (take_option(c, letter, v, argv[at < argc ? at : argc - 1]))
			return 1;
	}
}

static int unknown(const char *name)
{
	const struct verb *guess = verb_guess(name);

	return guess ? complain("no verb '%s': do you mean %s?", name, guess->name) : complain("no verb '%s': see sluice --help", name);
}

static int run(struct call *c, const struct verb *v, int argc, char **argv)
{
	bool want_help = false;

	if (read_options(c, argc, argv, v, &want_help))
		return 1;
	if (want_help)
		return verb_help(v);
	c->argc = argc - optind;
	c->argv = argv + optind;
	if (c->argc < v->min || c->argc > v->max)
		return complain("usage: sluice %s %s (see sluice %s --help)", v->name, v->args, v->name);
	return v->run(c);
}

int main(int argc, char **argv)
{
	const char *env = getenv("SLUICE_RUN_DIR");
	struct call c = { .run_dir = env && *env ? env : DEFAULT_RUN_DIR };
	const struct verb *v;
	bool want_help = false;
	int at;

	if (read_options(&c, argc, argv, NULL, &want_help))
		return 1;
	at = optind;
	if (want_help || (at < argc && !strcmp(argv[at], "help")))
		return help();
	if (at == argc)
		return complain("which verb? See sluice --help");
	v = verb_find(argv[at]);
	return v ? run(&c, v, argc - at, argv + at) : unknown(argv[at]);
}
