/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pyauditctl: the command line of pyaudit. A table of commands, each in a file of its own; here is
 * what they have in common before and beside their work.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define WORD_MAX 64 /* longer words are not compared: nobody mistyped a command like that */

static const struct ctl_command commands[] = {
	{"run", "watch one command: a private monitor, no root, no service", cmd_run},
	{"tail", "show events of the running daemon as they happen", cmd_tail},
	{"status", "show the daemon's state and the processes it watches", cmd_status},
	{"reload", "make the daemon read its settings and rules again", cmd_reload},
	{"rules", "check, test, list and explain rules", cmd_rules},
	{"top", "show how often things happen now, by process, event and rule", cmd_top},
	{"report", "count what was denied and alerted, from the journal or a file", cmd_report},
	{"metrics", "print the daemon's numbers as OpenMetrics text", cmd_metrics},
	{"config", "show the settings in force and where each came from", cmd_config},
	{"ps", "show every Python process of the host, watched or not, and why not", cmd_ps},
	{"mode", "let the host, a unit or a rule observe, or enforce again", cmd_mode},
	{"pause", "let everything pass, unrecorded, in every watched process", cmd_pause},
	{"resume", "end a pause", cmd_resume},
	{"enable", "put the agent into systemd units, or into every program of the host", cmd_enable},
	{"disable", "take it out again", cmd_disable},
	{"activate", "load the agent by a .pth file of an interpreter or virtual environment", cmd_activate},
	{"deactivate", "remove that file again", cmd_deactivate},
	{"capture", "write what the daemon sees into a file, to be judged again", cmd_capture},
	{"replay", "judge a capture by other rules, or by the same again", cmd_replay},
	{"learn", "make a draft of rules from what programs did", cmd_learn},
	{"events", "show the audit events that are known, and what they say", cmd_events},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

void
ctl_error(const char *format, ...)
{
	va_list ap;

	(void)fputs("pyauditctl: ", stderr);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

int
ctl_usage_error(const char *command, const char *format, ...)
{
	va_list ap;

	(void)fprintf(stderr, "pyauditctl%s%s: ", command[0] == '\0' ? "" : " ", command);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fprintf(stderr, "\nTry 'pyauditctl%s%s --help'.\n", command[0] == '\0' ? "" : " ",
		      command);
	return CTL_USAGE;
}

/* Edits (insert, delete, replace, swap neighbours) from one word to the other. */
static unsigned
distance(const char *a, size_t len_a, const char *b, size_t len_b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2], *spare;
	size_t i, j;

	for (j = 0; j <= len_b; j++)
		last[j] = (unsigned)j;
	for (i = 1; i <= len_a; i++) {
		row[0] = (unsigned)i;
		for (j = 1; j <= len_b; j++) {
			unsigned cost = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < cost)
				cost = last[j] + 1;
			if (row[j - 1] + 1 < cost)
				cost = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < cost)
				cost = before[j - 2] + 1;
			row[j] = cost;
		}
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[len_b];
}

const char *
ctl_nearest(const char *word, const char *const *names, size_t n_names)
{
	size_t len = strlen(word);
	unsigned best = len < 4 ? 2 : len < 8 ? 3 : 4; /* nearer than this is a likely slip */
	const char *nearest = NULL;
	size_t i;

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (i = 0; i < n_names; i++) {
		size_t name_len = strlen(names[i]);
		unsigned d;

		if (name_len > WORD_MAX)
			continue;
		d = distance(word, len, names[i], name_len);
		if (d < best) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}

static void
print_help(FILE *out)
{
	size_t i;

	(void)fputs("Usage: pyauditctl [--help|--version] COMMAND [ARG...]\n"
		    "\n"
		    "Watches Python programs and refuses what rules deny.\n"
		    "\n"
		    "Commands:\n",
		    out);
	for (i = 0; i < N_COMMANDS; i++)
		(void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].about);
	(void)fputs("\n"
		    "Examples:\n"
		    "  pyauditctl run -- python3 app.py\n"
		    "  pyauditctl run --rules deny-exec.json --json events.ndjson -- pytest -q\n"
		    "  pyauditctl tail 'severity >= warning'\n"
		    "  pyauditctl COMMAND --help\n"
		    "\n"
		    "Exit status: 0 done, 1 it did not work, 2 mistake on the command line;\n"
		    "for run, that of the command. See pyauditctl(1).\n",
		    out);
}

static const struct ctl_command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int
unknown_command(const char *name)
{
	const char *names[N_COMMANDS];
	const char *nearest;
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	nearest = ctl_nearest(name, names, N_COMMANDS);
	if (nearest != NULL)
		return ctl_usage_error("", "unknown command '%s', did you mean '%s'?", name,
				       nearest);
	return ctl_usage_error("", "unknown command '%s'", name);
}

/* Started with 0, 1 or 2 closed, our own descriptors must not land there: text for stderr would
 * go into a socket. Close-on-exec, so that a command of `run` finds them closed as it should. */
static void
occupy_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

/* A full disk behind `status > file` is a failure, a reader that has gone is not. */
static int
close_stdout(int code)
{
	if (fflush(stdout) != 0 && errno != EPIPE && code == CTL_OK) {
		ctl_error("cannot write to standard output: %s", strerror(errno));
		return CTL_FAILED;
	}
	return code;
}

int
main(int argc, char **argv)
{
	const struct ctl_command *command;
	char help[] = "--help";
	char *help_argv[] = {NULL, help, NULL};

	occupy_standard_fds();
	/* Character widths; texts of the monitored are UTF-8 whatever the user's language is. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");

	if (argc < 2) {
		print_help(stderr);
		return CTL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    (strcmp(argv[1], "help") == 0 && argc == 2)) {
		print_help(stdout);
		return close_stdout(CTL_OK);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)puts("pyauditctl " PYAUDIT_VERSION);
		return close_stdout(CTL_OK);
	}
	if (argv[1][0] == '-')
		return ctl_usage_error("", "unknown option '%s'", argv[1]);
	if (strcmp(argv[1], "help") == 0) {
		command = find_command(argv[2]);
		if (command == NULL)
			return unknown_command(argv[2]);
		help_argv[0] = argv[2];
		return close_stdout(command->main(2, help_argv));
	}
	command = find_command(argv[1]);
	if (command == NULL)
		return unknown_command(argv[1]);
	return close_stdout(command->main(argc - 1, argv + 1));
}
