/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl status`, `metrics` and `reload`: one question to the daemon, one answer. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "writer.h"

static const char status_help[] =
	"Usage: pyauditctl status [--json] [--dir DIR]\n"
	"\n"
	"Shows the state of the daemon and the processes it watches.\n"
	"\n"
	"  --json     the daemon's answer as one line of JSON\n"
	"  --dir DIR  its runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl status\n"
	"  pyauditctl status --json | jq '.processes[].pid'\n"
	"\n"
	"Exit status: 0, 1 if the daemon cannot be asked, 2 mistake on the command line.\n";

static const char metrics_help[] =
	"Usage: pyauditctl metrics [--json] [--dir DIR]\n"
	"\n"
	"Prints the daemon's numbers as OpenMetrics text: events by class, alerts, denials, losses by\n"
	"cause, matches of rules, agents by version, sinks, and what the daemon itself takes.\n"
	"\n"
	"  --json     the daemon's answer as one line of JSON\n"
	"  --dir DIR  its runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl metrics\n"
	"  pyauditctl metrics | grep pyaudit_lost_events\n"
	"\n"
	"Exit status: 0, 1 if the daemon cannot be asked, 2 mistake on the command line.\n";

static const char reload_help[] =
	"Usage: pyauditctl reload [--dir DIR]\n"
	"\n"
	"Makes the daemon read its settings and rules again and hand the rules to every watched\n"
	"process. With mistakes in either, they are shown and change nothing: those in force stay.\n"
	"\n"
	"  --dir DIR  the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules check /etc/pyaudit/rules.d && pyauditctl reload\n"
	"\n"
	"Exit status: 0, 1 if rules have mistakes or the daemon cannot be asked, 2 mistake on the\n"
	"command line.\n";

struct question {
	const char *dir;
	bool json;
	bool help;
};

static int
parse_options(struct question *question, const char *help, bool takes_json, int argc, char **argv)
{
	enum { JSON = 256, DIRECTORY, HELP };
	static const struct option options[] = {
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{"json", no_argument, NULL, JSON}, /* the last: left out for some */
		{0},
	};
	static const struct option no_json[] = {
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", takes_json ? options : no_json, NULL)) !=
	       -1) {
		switch (option) {
		case JSON:
			question->json = true;
			break;
		case DIRECTORY:
			question->dir = optarg;
			break;
		case 'h':
		case HELP:
			question->help = true;
			(void)fputs(help, stdout);
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
ask(struct client *client, const char *dir, const char *request, cJSON **ret_answer,
    char **ret_line)
{
	int r = client_open(client, dir);

	if (r == 0)
		r = client_ask(client, request, ret_answer, ret_line);
	if (r < 0) {
		client_explain(dir, r);
		return CTL_FAILED;
	}
	return client_accepted(*ret_answer) ? CTL_OK : CTL_FAILED;
}

static const cJSON *
get(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static double
get_number(const cJSON *object, const char *name)
{
	const cJSON *item = get(object, name);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *
get_string(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(get(object, name));

	return text == NULL ? "" : text;
}

static void
format_duration(char *ret, size_t size, double seconds)
{
	unsigned long s = seconds < 0 ? 0 : (unsigned long)seconds;

	if (s >= 86400)
		(void)snprintf(ret, size, "%lud %luh", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		(void)snprintf(ret, size, "%luh %lumin", s / 3600, s / 60 % 60);
	else if (s >= 60)
		(void)snprintf(ret, size, "%lumin %lus", s / 60, s % 60);
	else
		(void)snprintf(ret, size, "%lus", s);
}

/* Processes whose hook was found in this state. */
static unsigned
count_hooks(const cJSON *status, const char *state)
{
	const cJSON *process;
	unsigned n = 0;

	cJSON_ArrayForEach(process, get(status, "processes"))
		n += strcmp(get_string(process, "hook"), state) == 0;
	return n;
}

static void
print_hooks(const cJSON *status, const struct ctl_palette *palette)
{
	unsigned hidden = count_hooks(status, "hidden"), removed = count_hooks(status, "removed");
	unsigned refused = count_hooks(status, "refused");

	(void)printf("hooks      %u in place", count_hooks(status, "listed"));
	if (removed + refused > 0)
		(void)printf(", %s%u removed, %u refused%s", palette->red, removed, refused,
			     palette->reset);
	if (hidden > 0)
		(void)printf(", %u cannot be looked at", hidden);
	(void)printf("\n");
}

static void
print_pause(const cJSON *pause, const struct ctl_palette *palette)
{
	char until[32];

	if (!cJSON_IsObject(pause))
		return;
	(void)printf("%sPAUSED     by user %.0f, ", palette->red, get_number(pause, "uid"));
	text_clock(until, sizeof(until), get_string(pause, "until"));
	if (get_string(pause, "until")[0] != '\0')
		(void)printf("until %s", until);
	else
		(void)printf("until it is resumed");
	(void)printf(": nothing is refused or recorded%s\n", palette->reset);
}

/* Why events were lost: one line for each cause there was. */
static void
print_losses(const cJSON *losses)
{
	const cJSON *cause;

	cJSON_ArrayForEach(cause, losses) {
		(void)printf("           %.0f ", cause->valuedouble);
		text_print_cell(stdout, cause->string, 0);
		(void)printf("\n");
	}
}

/* Sinks that are behind, or have lost something. */
static void
print_sinks(const cJSON *sinks, const struct ctl_palette *palette)
{
	const cJSON *sink;

	cJSON_ArrayForEach(sink, sinks) {
		bool failing = cJSON_IsTrue(get(sink, "failing"));
		double spooled = get_number(sink, "spooled"), lost = get_number(sink, "lost");

		if (!failing && spooled == 0 && lost == 0)
			continue;
		(void)printf("sink       ");
		text_print_cell(stdout, get_string(sink, "name"), 0);
		(void)printf("%s%s%s, %.0f items wait in its spool (%.0f KiB), %.0f events did not reach it\n",
			     failing ? palette->red : "", failing ? ": cannot be written" : "",
			     failing ? palette->reset : "", spooled,
			     get_number(sink, "spooled_bytes") / 1024, lost);
	}
}

/* Those that are of no use any more; all of them are in --json. */
static void
print_exceptions(const cJSON *exceptions)
{
	unsigned n = 0, n_expired = 0, n_unhit = 0;
	const cJSON *exception;

	cJSON_ArrayForEach(exception, exceptions) {
		bool expired = cJSON_IsTrue(get(exception, "expired"));

		n++;
		n_expired += expired;
		n_unhit += !expired && get_number(exception, "hits") == 0;
	}
	if (n > 0)
		(void)printf("exceptions %u, %u never hit since the daemon started, %u expired\n", n,
			     n_unhit, n_expired);
}

static void
print_switched(const char *what, const cJSON *switched)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, switched) {
		(void)printf("mode       %s ", what);
		text_print_cell(stdout, item->string, 0);
		(void)printf(": %s\n", get_string(switched, item->string));
	}
}

/* What was switched at run time. */
static void
print_modes(const cJSON *modes)
{
	const cJSON *item;

	if (get_string(modes, "host")[0] != '\0')
		(void)printf("mode       the host was switched to %s\n", get_string(modes, "host"));
	print_switched("rule", get(modes, "rules"));
	print_switched("file", get(modes, "files"));
	cJSON_ArrayForEach(item, get(modes, "units"))
		if (cJSON_IsString(item))
			text_print(stdout, "mode       observes in unit ", item->valuestring);
}

static void
print_daemon(const cJSON *status)
{
	const struct ctl_palette *palette = ctl_palette(stdout);
	const cJSON *files = get(status, "rules_files");
	double denials = get_number(status, "denials"), lost = get_number(status, "lost");
	const cJSON *file;
	char uptime[64];

	format_duration(uptime, sizeof(uptime), get_number(status, "uptime_s"));
	(void)printf("%spyauditd ", palette->bold);
	text_print_cell(stdout, get_string(status, "version"), 0);
	(void)printf("%s, process %.0f, up %s\n", palette->reset, get_number(status, "pid"),
		     uptime);
	(void)printf("rules      %.0f, generation %.0f%s\n", get_number(status, "rules"),
		     get_number(status, "generation"),
		     cJSON_IsTrue(get(status, "observe")) ? ", observing only: nothing is refused"
							  : "");
	cJSON_ArrayForEach(file, files)
		if (cJSON_IsString(file))
			text_print(stdout, "           ", file->valuestring);
	print_pause(get(status, "paused"), palette);
	(void)printf("processes  %.0f\n", get_number(status, "agents"));
	print_hooks(status, palette);
	(void)printf("events     %.0f, %.0f alerts, %s%.0f denied%s, %s%.0f lost%s\n",
		     get_number(status, "events"), get_number(status, "alerts"),
		     denials > 0 ? palette->red : "", denials, denials > 0 ? palette->reset : "",
		     lost > 0 ? palette->magenta : "", lost, lost > 0 ? palette->reset : "");
	print_losses(get(status, "losses"));
	print_sinks(get(status, "sinks"), palette);
	print_modes(get(status, "modes"));
	print_exceptions(get(status, "exceptions"));
	(void)printf("clients    %.0f\n", get_number(status, "clients"));
}

/* What a process is called: its script, else its program. */
static const char *
process_name(const cJSON *process)
{
	const char *script = get_string(process, "script");

	return script[0] != '\0' && strcmp(script, "-c") != 0 ? script
							       : get_string(process, "exe");
}

static unsigned
widest(const cJSON *processes, const char *name, const char *title)
{
	unsigned width = (unsigned)strlen(title);
	const cJSON *process;

	cJSON_ArrayForEach(process, processes) {
		unsigned w = text_width(name != NULL ? get_string(process, name)
						     : process_name(process));

		if (w > width)
			width = w;
	}
	return width;
}

static void
print_processes(const cJSON *processes)
{
	const struct ctl_palette *palette = ctl_palette(stdout);
	unsigned unit = widest(processes, "unit", "UNIT");
	struct winsize size;
	unsigned program = 0;
	const cJSON *process;

	if (cJSON_GetArraySize(processes) == 0)
		return;
	/* On a terminal the last column takes what is left. */
	if (isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
	    size.ws_col > 60 + unit)
		program = size.ws_col - 55 - unit;
	if (program > widest(processes, NULL, "PROGRAM"))
		program = 0;
	(void)printf("\n%s    PID   UID  SINCE          EVENTS   DENIED     LOST  ", palette->bold);
	text_print_cell(stdout, "UNIT", unit);
	(void)printf("  PROGRAM%s\n", palette->reset);
	cJSON_ArrayForEach(process, processes) {
		char since[32];

		text_clock(since, sizeof(since), get_string(process, "since"));
		(void)printf("%7.0f %5.0f  ", get_number(process, "pid"),
			     get_number(process, "uid"));
		text_print_cell(stdout, since, 12);
		(void)printf(" %8.0f %8.0f %8.0f  ", get_number(process, "events"),
			     get_number(process, "denials"), get_number(process, "lost"));
		text_print_cell(stdout, get_string(process, "unit"), unit);
		(void)printf("  ");
		text_print_cell(stdout, process_name(process), program);
		(void)printf("\n");
	}
}

int
cmd_status(int argc, char **argv)
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *answer = NULL;
	struct question question = {0};
	char *line = NULL;
	int r = parse_options(&question, status_help, true, argc, argv);

	if (r != CTL_OK || question.help)
		return r;
	r = ask(&client, question.dir, "status", &answer, &line);
	if (r != CTL_OK)
		return r;
	if (question.json) {
		(void)puts(line);
		return CTL_OK;
	}
	print_daemon(answer);
	print_processes(get(answer, "processes"));
	return CTL_OK;
}

int
cmd_metrics(int argc, char **argv)
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *answer = NULL;
	struct question question = {0};
	char *line = NULL;
	int r = parse_options(&question, metrics_help, true, argc, argv);

	if (r != CTL_OK || question.help)
		return r;
	r = ask(&client, question.dir, "metrics", &answer, &line);
	if (r != CTL_OK)
		return r;
	if (question.json)
		(void)puts(line);
	else
		(void)fputs(get_string(answer, "metrics"), stdout);
	return CTL_OK;
}

int
cmd_reload(int argc, char **argv)
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *answer = NULL;
	struct question question = {0};
	int r = parse_options(&question, reload_help, false, argc, argv);

	if (r != CTL_OK || question.help)
		return r;
	r = ask(&client, question.dir, "reload", &answer, NULL);
	if (r == CTL_OK)
		(void)printf("rules of generation %.0f are in force\n",
			     get_number(answer, "generation"));
	return r;
}
