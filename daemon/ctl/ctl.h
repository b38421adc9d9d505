/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands of pyauditctl share: the command table's type, exit codes, where the other
 * parts of the installation are, and colours. One cmd_<verb>.c per command.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes; pyauditctl(1) lists them. `run` ends with the command's own, or one of RUN. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1, /* what was asked did not work: no daemon, mistakes found, tests failed */
	CTL_USAGE = 2,  /* mistake on the command line; `run`: or in the rules */
	CTL_RUN_MONITOR = 125,   /* the monitor could not be started; the command was not run */
	CTL_RUN_NOT_EXECUTABLE = 126,
	CTL_RUN_NOT_FOUND = 127,
	CTL_RUN_SIGNAL = 128, /* + number of the signal that ended the command */
};

/* argv[0] is the command's name, its arguments follow. Returns the exit code. */
typedef int ctl_main_fn(int argc, char **argv);

struct ctl_command {
	const char *name;
	const char *about; /* one line */
	ctl_main_fn *main;
};

ctl_main_fn cmd_run;
ctl_main_fn cmd_tail;
ctl_main_fn cmd_status;
ctl_main_fn cmd_reload;
ctl_main_fn cmd_metrics;
ctl_main_fn cmd_rules;
ctl_main_fn cmd_report;
ctl_main_fn cmd_top;
ctl_main_fn cmd_config;
ctl_main_fn cmd_ps;
ctl_main_fn cmd_mode;
ctl_main_fn cmd_pause;
ctl_main_fn cmd_resume;
ctl_main_fn cmd_enable;
ctl_main_fn cmd_disable;
ctl_main_fn cmd_activate;
ctl_main_fn cmd_deactivate;
ctl_main_fn cmd_capture;
ctl_main_fn cmd_replay;
ctl_main_fn cmd_learn;
ctl_main_fn cmd_events;

/* "pyauditctl COMMAND: text", and where to find help, on stderr. Returns CTL_USAGE. */
__attribute__((format(printf, 2, 3))) int ctl_usage_error(const char *command, const char *format,
							  ...);
/* "pyauditctl: text" on stderr. */
__attribute__((format(printf, 1, 2))) void ctl_error(const char *format, ...);
/* The one of @names that @word was probably meant to be, or NULL. */
const char *ctl_nearest(const char *word, const char *const *names, size_t n_names);

/* Parts of the installation (or build tree) that this program belongs to, found from
 * /proc/self/exe. Absolute, never NULL, not checked to exist; valid until the program ends. */
const char *ctl_daemon_path(void);       /* sbin/pyauditd */
const char *ctl_agent_path(void);        /* lib/pyaudit/libpyaudit-agent.so, or $PYAUDIT_AGENT */
const char *ctl_default_rules_dir(void); /* share/pyaudit/rules.d */
const char *ctl_activate_dir(void);      /* share/pyaudit/activate */

/* The rules that a daemon without settings of its own reads: the installed ones, those of the
 * profile (NULL: none) and the host's, as far as they are there. Writes at most CTL_DEFAULT_RULES_MAX
 * paths; returns their number. */
#define CTL_DEFAULT_RULES_MAX 3
size_t ctl_default_rules(const char *paths[CTL_DEFAULT_RULES_MAX], const char *profile);
/* CTL_OK, or a usage error that names the profiles. */
int ctl_check_profile(const char *command, const char *profile);

/* 500ms, 30s, 10m, 2h or 1d; at most a year. */
bool ctl_duration(const char *text, uint64_t *ret_ms);
/* What --since takes, as the daemon wants it: RFC 3339, UTC. False: it is no time. */
#define CTL_TIME_SIZE sizeof("2026-11-22T14:00:00.000000000Z")
bool ctl_since(char ret[CTL_TIME_SIZE], const char *text);
struct timespec;
void ctl_format_time(char ret[CTL_TIME_SIZE], const struct timespec *time);

/* Escape sequences, or empty strings where @out should have none: not a terminal, TERM=dumb, or
 * NO_COLOR is set. */
struct ctl_palette {
	const char *reset;
	const char *bold;
	const char *dim;
	const char *red;
	const char *green;
	const char *yellow;
	const char *magenta;
};
const struct ctl_palette *ctl_palette(FILE *out);

#endif
