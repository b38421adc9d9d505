/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pyauditd: options, settings, start-up and exit code. Options are keys of pyauditd.conf under
 * another name, set after the file was read, so both have one meaning and one set of mistakes.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf.h"
#include "log.h"
#include "notify.h"
#include "server.h"

#define CONF_DEFAULT "/etc/pyaudit/pyauditd.conf"

#define PRIVATE_RING (2u << 20) /* of `pyauditctl run` */
#define MAIN_FDS 64 /* listeners, sinks, timers, files that are read */
#define MAIN_FAILED_MS 250 /* a service manager starts us again as soon as we have ended */

enum exit_code {
	EXIT_OK = 0,
	EXIT_MISTAKES = 1, /* in rules or settings */
	EXIT_FAILED = SERVER_EXIT_FAILED,
};

enum option_id {
	OPTION_CONFIG = 256,
	OPTION_CHECK_CONFIG,
	OPTION_READY_FD,
	OPTION_PARENT_FD,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_KEY, /* and above: the index of a row that sets a key */
};

/* Rows with a key set it, to the argument or to @value. */
static const struct {
	const char *name, *argument;
	int id;
	const char *key, *value;
	const char *help;
} rows[] = {
	{"config", "FILE", OPTION_CONFIG, NULL, NULL, "settings (" CONF_DEFAULT ", if it is there)"},
	{"check-config", NULL, OPTION_CHECK_CONFIG, NULL, NULL, "read settings, say what is wrong, end"},
	{"dir", "DIR", OPTION_KEY, "dir", NULL, "runtime directory (/run/pyaudit)"},
	{"rules", "PATH", OPTION_KEY, "rules", NULL, "file or directory of rules; may be repeated"},
	{"no-default-rules", NULL, OPTION_KEY, "default_rules", "no", "leave out the rules shipped and those in /etc"},
	{"profile", "NAME", OPTION_KEY, "profile", NULL, "server, build, agent or audit"},
	{"observe", NULL, OPTION_KEY, "observe", "yes", "deny nothing: report what would have been denied"},
	{"record", "LIST", OPTION_KEY, "record", NULL, "classes of events to record without a rule, or all"},
	{"ndjson", "FILE", OPTION_KEY, "ndjson", NULL, "append events to a file (- is standard output)"},
	{"no-journal", NULL, OPTION_KEY, "journal", "no", "write nothing to the journal"},
	{"ready-fd", "N", OPTION_READY_FD, NULL, NULL, "write READY to this descriptor when listening"},
	{"parent-fd", "N", OPTION_PARENT_FD, NULL, NULL, "end when this pipe has closed and all agents have gone"},
	{"log-level", "LEVEL", OPTION_KEY, "log_level", NULL, "error, warning, notice, info or debug"},
	{"help", NULL, OPTION_HELP, NULL, NULL, "this text"},
	{"version", NULL, OPTION_VERSION, NULL, NULL, "the version"},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

struct arguments {
	const char *config;
	bool check;
	struct server_options server;
};

static void
print_help(void)
{
	puts("Usage: pyauditd [OPTION]...\n"
	     "Watches Python programs by their audit events and hands them the policy.\n");
	for (size_t i = 0; i < N_ROWS; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "--%s%s%s", rows[i].name,
			       rows[i].argument != NULL ? " " : "",
			       rows[i].argument != NULL ? rows[i].argument : "");
		printf("  %-22s %s\n", name, rows[i].help);
	}
	puts("\nExit status: 0 ended as told, 1 mistakes in rules or settings, 2 anything else.\n"
	     "See pyauditd(8), pyauditd.conf(5).");
}

/* A descriptor's number, or -1. */
static int
parse_fd(const char *text)
{
	char *end;
	long fd = strtol(text, &end, 10);

	return end != text && *end == 0 && fd >= 0 && fd < 1 << 20 ? (int)fd : -1;
}

/* A first pass finds what has no key; -1 to go on, or an exit code. */
static int
parse_arguments(int argc, char **argv, struct arguments *arguments, struct conf *conf,
		struct diag *diag, bool keys)
{
	struct option options[N_ROWS + 1] = {0};
	int *fd, id;

	for (size_t i = 0; i < N_ROWS; i++)
		options[i] = (struct option){
			.name = rows[i].name,
			.has_arg = rows[i].argument != NULL ? required_argument : no_argument,
			.val = rows[i].id == OPTION_KEY ? OPTION_KEY + (int)i : rows[i].id,
		};
	optind = 1;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		fd = id == OPTION_READY_FD ? &arguments->server.ready_fd
					   : &arguments->server.parent_fd;
		switch (id) {
		case OPTION_CONFIG:
			arguments->config = optarg;
			break;
		case OPTION_CHECK_CONFIG:
			arguments->check = true;
			break;
		case OPTION_READY_FD:
		case OPTION_PARENT_FD:
			*fd = parse_fd(optarg);
			if (*fd < 0) {
				fprintf(stderr, "pyauditd: '%s' is no descriptor\n", optarg);
				return EXIT_FAILED;
			}
			/* One program, which raises thousands of events while it starts. */
			if (id == OPTION_PARENT_FD)
				conf->ring = PRIVATE_RING;
			break;
		case OPTION_HELP:
			print_help();
			return EXIT_OK;
		case OPTION_VERSION:
			puts("pyauditd " PYAUDIT_VERSION);
			return EXIT_OK;
		case '?':
			fprintf(stderr, "Try 'pyauditd --help'.\n");
			return EXIT_FAILED;
		default:
			if (!keys)
				break;
			if (conf_set(conf, rows[id - OPTION_KEY].key,
				     rows[id - OPTION_KEY].value != NULL
					     ? rows[id - OPTION_KEY].value
					     : optarg,
				     diag, "command line", 0, 0) < 0)
				return EXIT_FAILED;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "pyauditd: unexpected argument '%s'\n", argv[optind]);
		return EXIT_FAILED;
	}
	return -1;
}

/* The file and its drop-ins, then the options that set keys. -1 to go on, or an exit code. */
static int
read_settings(int argc, char **argv, struct arguments *arguments, struct conf *conf,
	      struct diag *diag)
{
	const char *path = arguments->config != NULL ? arguments->config : CONF_DEFAULT;
	int r = conf_load_tree(conf, path, diag);

	if (r < 0 && (r != -ENOENT || arguments->config != NULL)) {
		fprintf(stderr, "pyauditd: cannot read %s: %s\n", path, strerror(-r));
		return EXIT_FAILED;
	}
	return parse_arguments(argc, argv, arguments, conf, diag, true);
}

/* For a reload: a second set of settings, all or nothing. */
struct settings {
	int argc;
	char **argv;
	struct arguments *arguments;
};

static int
reload_settings(void *data, struct conf *ret, struct diag *diag)
{
	const struct settings *settings = data;
	int r = conf_init(ret) < 0 ? -ENOMEM : 0;

	if (r == 0 && read_settings(settings->argc, settings->argv, settings->arguments, ret, diag) >= 0)
		r = -EIO;
	if (r == 0 && diag->n_errors > 0)
		r = RULES_E_INVALID;
	if (r != 0)
		conf_fini(ret);
	return r;
}

/* Settings and options. -1 to go on, or an exit code. */
static int
load_settings(int argc, char **argv, struct arguments *arguments, struct conf *conf)
{
	struct diag diag;
	int code;

	diag_init(&diag);
	code = parse_arguments(argc, argv, arguments, conf, &diag, false);
	if (code < 0)
		code = read_settings(argc, argv, arguments, conf, &diag);
	diag_print(&diag, stderr);
	if (code < 0 && diag.n_errors > 0)
		code = EXIT_MISTAKES;
	if (code < 0 && arguments->check)
		code = EXIT_OK;
	diag_fini(&diag);
	return code;
}

/* Two descriptors for each agent, one for each client, and some. Returns the number from which on none is spent on
 * the end of a process: what is left then is for connections, one for each agent. */
static int
raise_limits(const struct conf *conf, struct log *log)
{
	rlim_t needed = 2 * (rlim_t)conf->max_agents + conf->max_clients + MAIN_FDS, both;
	struct rlimit limit;
	int below = INT_MAX;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return below;
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max < needed) {
		struct rlimit more = {needed, needed}; /* root may */

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return below;
		both = limit.rlim_max / 4 * 3;
		log_notice(log, "%llu descriptors (RLIMIT_NOFILE, LimitNOFILE= of the unit) are enough for "
				"%llu agents of max_agents = %u",
			   (unsigned long long)limit.rlim_max,
			   (unsigned long long)(limit.rlim_max > 4 * MAIN_FDS ? limit.rlim_max - MAIN_FDS - both / 2 : 0),
			   conf->max_agents);
		below = (int)both;
	}
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	return below;
}

static int
run(struct conf *conf, struct server_options *options)
{
	static struct server server; /* large */
	struct log log;
	int r, code;

	log_init(&log, STDERR_FILENO, (enum log_level)conf->log_level);
	options->pidfds_below = raise_limits(conf, &log);
	r = server_init(&server, conf, &log, options);
	if (r == 0) {
		code = server_run(&server);
	} else if (r == RULES_E_INVALID) {
		code = EXIT_MISTAKES; /* which are told */
	} else {
		log_error(&log, "cannot start: %s", strerror(-r));
		code = EXIT_FAILED;
	}
	server_fini(&server);
	log_fini(&log);
	return code;
}

int
main(int argc, char **argv)
{
	struct arguments arguments = {.server = {.ready_fd = -1, .parent_fd = -1}};
	struct conf conf;
	struct settings settings = {argc, argv, &arguments};
	int code;

	if (conf_init(&conf) < 0) {
		(void)fputs("pyauditd: cannot begin: no memory\n", stderr);
		return EXIT_FAILED;
	}
	arguments.server.reload_settings = reload_settings;
	arguments.server.settings = &settings;
	code = load_settings(argc, argv, &arguments, &conf);
	if (code < 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		(void)signal(SIGXFSZ, SIG_IGN); /* an error of the call, like any other */
		code = run(&conf, &arguments.server);
	}
	conf_fini(&conf);
	if (code == EXIT_FAILED && notify_has_store())
		(void)usleep(MAIN_FAILED_MS * 1000);
	return code;
}
