/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl mode`: observe or enforce, for the host, a unit or a rule, while the daemon runs. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "ctl.h"

static const char mode_help[] =
	"Usage: pyauditctl mode observe|enforce --rule ID | --file FILE | --unit UNIT |\n"
	"                                      --host [--dir DIR]\n"
	"\n"
	"Switches what is in force while the daemon runs. What observes refuses nothing, and tells what\n"
	"it would have refused. It survives reloads and ends with the daemon; files and settings say\n"
	"what holds without it. The journal says who did it.\n"
	"\n"
	"  --rule ID    one rule\n"
	"  --file FILE  the rules of a file, by its path or its name alone; what was said of one rule\n"
	"               counts more\n"
	"  --unit UNIT  the processes of a systemd unit, or of those a pattern such as shop-* matches\n"
	"  --host       all rules in all processes\n"
	"  --dir DIR    the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl mode observe --unit shop.service\n"
	"  pyauditctl mode enforce --rule shell-from-web-request\n"
	"\n"
	"Exit status: 0, 1 if the daemon refuses or cannot be asked, 2 mistake on the command line.\n";

struct question {
	const char *mode, *rule, *unit, *file, *dir;
	bool host, help;
};

static int
parse_options(struct question *question, int argc, char **argv)
{
	enum { RULE = 256, UNIT, RULES_FILE, HOST, DIRECTORY, HELP };
	static const struct option options[] = {
		{"rule", required_argument, NULL, RULE},
		{"unit", required_argument, NULL, UNIT},
		{"file", required_argument, NULL, RULES_FILE},
		{"host", no_argument, NULL, HOST},
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case RULE:
			question->rule = optarg;
			break;
		case UNIT:
			question->unit = optarg;
			break;
		case RULES_FILE:
			question->file = optarg;
			break;
		case HOST:
			question->host = true;
			break;
		case DIRECTORY:
			question->dir = optarg;
			break;
		case 'h':
		case HELP:
			question->help = true;
			(void)fputs(mode_help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error(argv[0], "option '%s' needs a value", argv[optind - 1]);
		default:
			return ctl_usage_error(argv[0], "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return ctl_usage_error(argv[0], "observe or enforce?");
	question->mode = argv[optind++];
	if (strcmp(question->mode, "observe") != 0 && strcmp(question->mode, "enforce") != 0)
		return ctl_usage_error(argv[0], "'%s' is neither observe nor enforce", question->mode);
	if (optind < argc)
		return ctl_usage_error(argv[0], "unexpected argument '%s'", argv[optind]);
	if ((question->rule != NULL) + (question->unit != NULL) + (question->file != NULL) + question->host != 1)
		return ctl_usage_error(argv[0], "one of --rule, --file, --unit and --host is needed");
	question->dir = client_directory(question->dir);
	return CTL_OK;
}

static int
ask(const struct question *question, cJSON **ret_answer)
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *request = cJSON_CreateObject();
	int r = -ENOMEM;

	if (cJSON_AddStringToObject(request, "request", "mode") != NULL &&
	    cJSON_AddStringToObject(request, "mode", question->mode) != NULL &&
	    (question->rule == NULL ||
	     cJSON_AddStringToObject(request, "rule", question->rule) != NULL) &&
	    (question->unit == NULL ||
	     cJSON_AddStringToObject(request, "unit", question->unit) != NULL) &&
	    (question->file == NULL ||
	     cJSON_AddStringToObject(request, "file", question->file) != NULL) &&
	    (!question->host || cJSON_AddTrueToObject(request, "host") != NULL))
		r = client_open(&client, question->dir);
	if (r == 0)
		r = client_request(&client, request, ret_answer, NULL);
	if (r < 0) {
		client_explain(question->dir, r);
		return CTL_FAILED;
	}
	return client_accepted(*ret_answer) ? CTL_OK : CTL_FAILED;
}

int
cmd_mode(int argc, char **argv)
{
	CLEANUP(json_freep) cJSON *answer = NULL;
	struct question question = {.mode = NULL};
	int r = parse_options(&question, argc, argv);

	if (r != CTL_OK || question.help)
		return r;
	r = ask(&question, &answer);
	if (r == CTL_OK)
		(void)printf("%s %s: generation %.0f\n",
			     question.rule != NULL   ? question.rule
			     : question.unit != NULL ? question.unit
			     : question.file != NULL ? question.file
						     : "the host",
			     question.mode[0] == 'o' ? "observes" : "enforces",
			     cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(answer, "generation")));
	return r;
}
