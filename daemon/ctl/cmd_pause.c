/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl pause` and `pyauditctl resume`: the agents of running programs let everything pass. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "request.h"

static const char pause_help[] =
	"Usage: pyauditctl pause [--for TIME] [--dir DIR]\n"
	"\n"
	"Makes every agent let everything pass, unrecorded, also in programs that start meanwhile:\n"
	"nothing is refused and nothing is seen until it is resumed. The journal says who did it.\n"
	"\n"
	"  --for TIME  resume by itself after 30s, 10m, 2h or 1d (at most 30d)\n"
	"  --dir DIR   the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl pause --for 10m\n"
	"\n"
	"Exit status: 0, 1 if the daemon cannot be asked, 2 mistake on the command line.\n";

static const char resume_help[] =
	"Usage: pyauditctl resume [--dir DIR]\n"
	"\n"
	"Ends a pause: agents judge and record again.\n"
	"\n"
	"  --dir DIR  the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl resume\n"
	"\n"
	"Exit status: 0, 1 if there is no pause or the daemon cannot be asked, 2 mistake on the\n"
	"command line.\n";

struct question {
	const char *dir;
	unsigned for_s;
	bool help;
};

/* "10m" and the like in seconds, or 0. */
static unsigned
parse_span(const char *text)
{
	static const struct {
		char unit;
		unsigned seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	unsigned long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	n = strtoul(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end[0] == units[i].unit && end[1] == '\0' && errno == 0 &&
		    n <= REQUEST_PAUSE_MAX / units[i].seconds)
			return (unsigned)n * units[i].seconds;
	return 0;
}

static int
parse_options(struct question *question, bool resumes, int argc, char **argv)
{
	enum { FOR = 256, DIRECTORY, HELP };
	static const struct option options[] = {
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{"for", required_argument, NULL, FOR}, /* the last: left out for resume */
		{0},
	};
	static const struct option no_span[] = {
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", resumes ? no_span : options, NULL)) != -1) {
		switch (option) {
		case FOR:
			question->for_s = parse_span(optarg);
			if (question->for_s == 0)
				return ctl_usage_error(argv[0], "--for: '%s' is no span such as 10m",
						       optarg);
			break;
		case DIRECTORY:
			question->dir = optarg;
			break;
		case 'h':
		case HELP:
			question->help = true;
			(void)fputs(resumes ? resume_help : pause_help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error(argv[0], "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error(argv[0], "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return ctl_usage_error(argv[0], "unexpected argument '%s'", argv[optind]);
	question->dir = client_directory(question->dir);
	return CTL_OK;
}

static int
ask(const struct question *question, const char *name, cJSON **ret_answer)
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *request = cJSON_CreateObject();
	int r = -ENOMEM;

	if (cJSON_AddStringToObject(request, "request", name) != NULL &&
	    (question->for_s == 0 ||
	     cJSON_AddNumberToObject(request, "for_s", question->for_s) != NULL))
		r = client_open(&client, question->dir);
	if (r == 0)
		r = client_request(&client, request, ret_answer, NULL);
	if (r < 0) {
		client_explain(question->dir, r);
		return CTL_FAILED;
	}
	return client_accepted(*ret_answer) ? CTL_OK : CTL_FAILED;
}

static void
say_paused(const struct question *question, const cJSON *answer)
{
	const cJSON *agents = cJSON_GetObjectItemCaseSensitive(answer, "agents");

	(void)printf("paused: %d agents let everything pass, unrecorded", cJSON_IsNumber(agents)
									    ? agents->valueint
									    : 0);
	if (question->for_s != 0)
		(void)printf(", for %u s", question->for_s);
	(void)printf("\n");
}

int
cmd_pause(int argc, char **argv)
{
	CLEANUP(json_freep) cJSON *answer = NULL;
	struct question question = {0};
	int r = parse_options(&question, false, argc, argv);

	if (r == CTL_OK && !question.help) {
		r = ask(&question, "pause", &answer);
		if (r == CTL_OK)
			say_paused(&question, answer);
	}
	return r;
}

int
cmd_resume(int argc, char **argv)
{
	CLEANUP(json_freep) cJSON *answer = NULL;
	struct question question = {0};
	int r = parse_options(&question, true, argc, argv);

	if (r == CTL_OK && !question.help) {
		r = ask(&question, "resume", &answer);
		if (r == CTL_OK)
			(void)printf("resumed: agents judge and record again\n");
	}
	return r;
}
