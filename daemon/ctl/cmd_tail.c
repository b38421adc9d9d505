/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl tail`: events as they happen. When the daemon goes away, as in an upgrade, it waits
 * for the next one and asks it for what happened since. SIGINT and SIGPIPE keep their meaning:
 * every line is written at once, so there is nothing to clean up.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "writer.h"

#define RETRY_FIRST_MS 100
#define RETRY_MOST_MS 2000
#define LINES_PER_TURN 500

static const char help[] =
	"Usage: pyauditctl tail [OPTION...] [FILTER]\n"
	"\n"
	"Shows events of the daemon as they happen, those that FILTER holds for. FILTER is a\n"
	"condition as in rules.\n"
	"\n"
	"  --json          JSON lines, as the daemon writes them\n"
	"  --since TIME    first show what the daemon remembers since then: 30s, 5m, 2h or 1d\n"
	"                  ago, HH:MM[:SS] of today, YYYY-MM-DD[ HH:MM[:SS]], or\n"
	"                  2026-11-22T14:00:00Z\n"
	"  --dir DIR       the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"  --no-reconnect  end when the daemon ends\n"
	"\n"
	"Examples:\n"
	"  pyauditctl tail\n"
	"  pyauditctl tail 'severity >= warning'\n"
	"  pyauditctl tail --since 5m \"proc.unit = 'myapp.service' and exists exec.path\"\n"
	"  pyauditctl tail --json 'action = block' | jq -r .rule\n"
	"\n"
	"Exit status: 130 after ^C; 0 when the reader of its output or, with --no-reconnect, the\n"
	"daemon has gone; 1 if the daemon cannot be asked, 2 mistake on the command line or in\n"
	"FILTER.\n";

struct tail {
	const char *filter;
	const char *dir;
	bool json;
	bool no_reconnect;
	bool help;
	char since[CTL_TIME_SIZE]; /* "": only what comes */
	struct client client;
	struct writer writer;
};

static int
parse_options(struct tail *tail, int argc, char **argv)
{
	enum { JSON = 256, SINCE, DIRECTORY, NO_RECONNECT, HELP };
	static const struct option options[] = {
		{"json", no_argument, NULL, JSON},
		{"since", required_argument, NULL, SINCE},
		{"dir", required_argument, NULL, DIRECTORY},
		{"no-reconnect", no_argument, NULL, NO_RECONNECT},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case JSON:
			tail->json = true;
			break;
		case SINCE:
			if (!ctl_since(tail->since, optarg))
				return ctl_usage_error("tail", "--since: '%s' is no time", optarg);
			break;
		case DIRECTORY:
			tail->dir = optarg;
			break;
		case NO_RECONNECT:
			tail->no_reconnect = true;
			break;
		case 'h':
		case HELP:
			tail->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("tail", "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error("tail", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind < argc)
		tail->filter = argv[optind++];
	if (optind < argc)
		return ctl_usage_error("tail",
				       "unexpected argument '%s': quote the filter as one word",
				       argv[optind]);
	tail->dir = client_directory(tail->dir);
	return CTL_OK;
}

/* CTL_OK; CTL_USAGE where the daemon does not take the filter; or a negative errno. */
static int
subscribe(struct tail *tail)
{
	CLEANUP(json_freep) cJSON *request = cJSON_CreateObject();
	CLEANUP(json_freep) cJSON *answer = NULL;
	int r;

	if (cJSON_AddStringToObject(request, "request", "tail") == NULL ||
	    (tail->filter != NULL &&
	     cJSON_AddStringToObject(request, "filter", tail->filter) == NULL) ||
	    (tail->since[0] != '\0' &&
	     cJSON_AddStringToObject(request, "since", tail->since) == NULL))
		return -ENOMEM;
	r = client_open(&tail->client, tail->dir);
	if (r == 0)
		r = client_request(&tail->client, request, &answer, NULL);
	if (r == 0)
		return client_accepted(answer) ? CTL_OK : CTL_USAGE;
	client_close(&tail->client);
	return r;
}

/* 0: the daemon has gone; -EPIPE: our reader has; or another negative errno. */
static int
show_until_end(struct tail *tail)
{
	for (;;) {
		/* Asked for nothing, stdout still tells that its reader has gone. */
		struct pollfd fds[] = {{.fd = tail->client.fd, .events = POLLIN},
				       {.fd = STDOUT_FILENO}};
		unsigned i;
		int r = 1;

		for (i = 0; i < LINES_PER_TURN && r == 1; i++) {
			size_t len;
			char *line;
			int w;

			r = client_line(&tail->client, &line, &len, 0);
			w = r == 1 ? writer_line(&tail->writer, line, len)
				   : writer_flush(&tail->writer);
			if (w < 0 && w != -EBADMSG)
				return w;
		}
		if (r != 1 && r != -EAGAIN)
			return r == -ECONNRESET ? 0 : r;
		if (poll(fds, 2, r == 1 ? 0 : -1) > 0 &&
		    (fds[1].revents & (POLLERR | POLLNVAL)) != 0)
			return -EPIPE;
	}
}

/* Waits for the next daemon. As subscribe. */
static int
reconnect(struct tail *tail)
{
	struct timespec gone;
	int delay_ms = RETRY_FIRST_MS;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &gone);
	ctl_format_time(tail->since, &gone); /* no event from before it can come twice */
	(void)fprintf(stderr, "pyauditctl: the daemon has gone; waiting for it to come back\n");
	do {
		struct pollfd out = {.fd = STDOUT_FILENO};

		if (poll(&out, 1, delay_ms) > 0)
			return -EPIPE;
		delay_ms = delay_ms * 2 > RETRY_MOST_MS ? RETRY_MOST_MS : delay_ms * 2;
		r = subscribe(tail);
	} while (r < 0);
	if (r == CTL_OK)
		(void)fprintf(stderr, "pyauditctl: connected again\n");
	return r;
}

int
cmd_tail(int argc, char **argv)
{
	struct tail tail = {.client = CLIENT_INIT};
	int r = parse_options(&tail, argc, argv);

	if (r != CTL_OK || tail.help)
		return r;
	if (tail.json)
		writer_json_init(&tail.writer, stdout);
	else
		writer_text_init(&tail.writer, stdout);

	r = subscribe(&tail);
	if (r < 0) {
		client_explain(tail.dir, r);
		return CTL_FAILED;
	}
	while (r == CTL_OK) {
		r = show_until_end(&tail);
		client_close(&tail.client);
		if (r == 0 && tail.no_reconnect)
			break;
		if (r == 0)
			r = reconnect(&tail);
	}
	client_close(&tail.client);
	writer_fini(&tail.writer);
	if (r == -EPIPE)
		return CTL_OK;
	if (r < 0) {
		ctl_error("%s", r == -EMSGSIZE ? "the daemon does not speak our protocol"
					       : strerror(-r));
		return CTL_FAILED;
	}
	return r;
}
