/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl ps`: every Python process that can be seen from here, watched or not, and why not. The
 * daemon says which are watched; /proc says which there are.
 */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "census.h"
#include "cleanup.h"
#include "client.h"
#include "conf.h"
#include "ctl.h"
#include "json.h"
#include "process.h"
#include "writer.h"

static const char help[] =
	"Usage: pyauditctl ps [--json] [--all] [--dir DIR]\n"
	"\n"
	"Shows every Python process of the host: watched (since when, by which way, the agent's version,\n"
	"the policy's generation, mode and profile) or not, and why not.\n"
	"\n"
	"  --json     one JSON object a line\n"
	"  --all      also processes that may not be looked into, whatever they are\n"
	"  --dir DIR  the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl ps\n"
	"  pyauditctl ps --json | jq -r 'select(.watched | not) | [.pid, .unit, .why] | @tsv'\n"
	"\n"
	"Exit status: 0; 1 if the daemon cannot be asked (the list is shown all the same), 2 mistake on\n"
	"the command line.\n";

struct ps {
	const char *dir;
	bool json, all, help;
	cJSON *status; /* or NULL */
	struct users users;
	unsigned n_watched, n_unwatched, n_hidden;
};

/* One line of it. */
struct row {
	pid_t pid;
	const struct process *process;
	const cJSON *session; /* or NULL: not watched */
	bool is_forked;       /* watched by its parent's agent, silent so far */
	bool is_hidden;
	const char *word;     /* why not, for programs */
	char why[CENSUS_WHY_MAX];
};

static int
parse_options(struct ps *ps, int argc, char **argv)
{
	enum { JSON = 256, ALL, DIRECTORY, HELP };
	static const struct option options[] = {
		{"json", no_argument, NULL, JSON},
		{"all", no_argument, NULL, ALL},
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case JSON:
			ps->json = true;
			break;
		case ALL:
			ps->all = true;
			break;
		case DIRECTORY:
			ps->dir = optarg;
			break;
		case 'h':
		case HELP:
			ps->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("ps", "option '%s' needs a value", argv[optind - 1]);
		default:
			return ctl_usage_error("ps", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return ctl_usage_error("ps", "unexpected argument '%s'", argv[optind]);
	ps->dir = client_directory(ps->dir);
	return CTL_OK;
}

static bool
ask(struct ps *ps)
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	int r = client_open(&client, ps->dir);

	if (r == 0)
		r = client_ask(&client, "status", &ps->status, NULL);
	if (r < 0) {
		client_explain(ps->dir, r);
		return false;
	}
	return client_accepted(ps->status);
}

static const cJSON *
session_of(const struct ps *ps, pid_t pid)
{
	const cJSON *session;

	cJSON_ArrayForEach(session, cJSON_GetObjectItemCaseSensitive(ps->status, "processes")) {
		const cJSON *number = cJSON_GetObjectItemCaseSensitive(session, "pid");

		if (cJSON_IsNumber(number) && number->valueint == pid)
			return session;
	}
	return NULL;
}

static const char *
text_of(const cJSON *session, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(session, name));

	return text != NULL ? text : "";
}

static double
number_of(const cJSON *session, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(session, name);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void
add_text(struct json *json, const char *name, const char *text)
{
	json_key(json, name);
	json_str(json, text != NULL && text[0] != '\0' ? text : NULL);
}

static void
print_json(const struct row *row)
{
	const struct process *p = row->process;
	bool watched = row->session != NULL || row->is_forked;
	struct buf line;
	struct json json;

	buf_init(&line);
	json = json_on(&line);
	json_object(&json);
	json_key(&json, "pid");
	json_int(&json, row->pid);
	json_key(&json, "uid");
	json_uint(&json, p->uid);
	add_text(&json, "user", p->user);
	add_text(&json, "exe", p->exe);
	add_text(&json, "script", p->script);
	add_text(&json, "unit", p->unit);
	add_text(&json, "container", p->container);
	json_key(&json, "watched");
	if (row->is_hidden)
		json_null(&json);
	else
		json_bool(&json, watched);
	if (row->session != NULL) {
		add_text(&json, "since", text_of(row->session, "since"));
		add_text(&json, "route", text_of(row->session, "route"));
		add_text(&json, "agent", text_of(row->session, "agent"));
		add_text(&json, "python", text_of(row->session, "python"));
		json_key(&json, "generation");
		json_uint(&json, (uint64_t)number_of(row->session, "generation"));
		add_text(&json, "mode", text_of(row->session, "mode"));
		add_text(&json, "profile", text_of(row->session, "profile"));
		add_text(&json, "hook", text_of(row->session, "hook"));
	} else {
		add_text(&json, "why", row->word);
		add_text(&json, "reason", row->why);
	}
	json_object_end(&json);
	buf_add_char(&line, '\n');
	if (!line.failed)
		(void)fwrite(line.data, 1, line.len, stdout);
	buf_fini(&line);
}

static void
print_text(const struct row *row)
{
	const struct ctl_palette *palette = ctl_palette(stdout);
	const struct process *p = row->process;
	const char *program = p->script != NULL && strcmp(p->script, "-c") != 0 ? p->script
			      : p->exe != NULL				       ? p->exe
			      : p->n_argv > 0				       ? p->argv[0]
									       : "";
	char since[32], uid[16];

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)p->uid);
	(void)printf("%7d ", (int)row->pid);
	text_print_cell(stdout, p->user != NULL ? p->user : uid, 10);
	(void)printf(" ");
	if (row->session != NULL) {
		text_clock(since, sizeof(since), text_of(row->session, "since"));
		(void)printf("%swatched%s  ", palette->green, palette->reset);
		text_print_cell(stdout, text_of(row->session, "mode"), 8);
		(void)printf("  ");
	} else if (row->is_forked) {
		(void)printf("%swatched%s            ", palette->green, palette->reset);
	} else {
		(void)printf("%s%s%s  ", row->is_hidden ? palette->yellow : palette->red,
			     row->is_hidden ? "unknown" : "NOT    ", palette->reset);
		(void)printf("          ");
	}
	text_print_cell(stdout, p->unit != NULL ? p->unit : "-", 24);
	(void)printf("  ");
	text_print_cell(stdout, program, 0);
	if (row->session != NULL) {
		(void)printf("  %s(", palette->dim);
		text_print_cell(stdout, text_of(row->session, "route"), 0);
		(void)printf(" since %s, agent ", since);
		text_print_cell(stdout, text_of(row->session, "agent"), 0);
		(void)printf(", policy %.0f, profile ", number_of(row->session, "generation"));
		text_print_cell(stdout, text_of(row->session, "profile"), 0);
		(void)printf(")%s", palette->reset);
	} else {
		(void)printf("  %s(", palette->dim);
		text_print_cell(stdout, row->why, 0);
		(void)printf(")%s", palette->reset);
	}
	(void)printf("\n");
}

/* What was enabled after the process had started says more than what is missing in it. */
static void
find_why(const struct ps *ps, struct row *row, const struct census *census)
{
	uint64_t since_ns;

	if (census->state != CENSUS_HIDDEN && row->process->unit != NULL &&
	    census_is_enabled(CONF_DROPINS_DEFAULT, row->process->unit, &since_ns) &&
	    census_started_ns("/proc", row->pid) < since_ns) {
		row->word = "started-before";
		(void)snprintf(row->why, sizeof(row->why),
			       "started before its unit was enabled: restart it");
		return;
	}
	row->word = census_why(census, "/proc", row->pid, ps->dir, row->why);
}

/* False: it is no Python, or has gone. */
static bool
look_at(struct ps *ps, struct row *row)
{
	struct census census;

	row->session = session_of(ps, row->pid);
	if (row->session != NULL)
		return true;
	census_look(&census, "/proc", row->pid, true);
	switch (census.state) {
	case CENSUS_GONE:
	case CENSUS_OTHER:
		return false;
	case CENSUS_HIDDEN:
		row->is_hidden = true;
		if (!census.is_named && !ps->all) {
			ps->n_hidden++;
			return false;
		}
		break;
	case CENSUS_FORKED:
		row->is_forked = true;
		row->word = "forked";
		(void)snprintf(row->why, sizeof(row->why),
			       "forked; it has done nothing yet that is told");
		return true;
	case CENSUS_LOADED:
	case CENSUS_WITHOUT:
		break;
	}
	find_why(ps, row, &census);
	return true;
}

static void
take_process(struct ps *ps, pid_t pid)
{
	struct hello hello = {.pid = (uint32_t)pid, .python = "", .exe = "", .cwd = "", .cgroup = "",
			      .venv = ""};
	struct row row = {.pid = pid};
	struct process *process;
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return;
	process = process_new(&hello, pid, st.st_uid, st.st_gid, "/proc", &ps->users);
	row.process = process;
	if (process != NULL && look_at(ps, &row)) {
		if (!row.is_hidden)
			*(row.session != NULL || row.is_forked ? &ps->n_watched : &ps->n_unwatched) += 1;
		if (ps->json)
			print_json(&row);
		else
			print_text(&row);
	}
	process_unref(process);
}

static int
by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static int
list_pids(pid_t **ret, size_t *ret_n)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	size_t n = 0, size = 0;
	pid_t *pids = NULL;

	if (dir == NULL)
		return -errno;
	while ((entry = readdir(dir)) != NULL) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid <= 0)
			continue;
		if (n == size) {
			pid_t *more = reallocarray(pids, size * 2 + 256, sizeof(*pids));

			if (more == NULL)
				break;
			pids = more;
			size = size * 2 + 256;
		}
		pids[n++] = (pid_t)pid;
	}
	(void)closedir(dir);
	if (n > 0)
		qsort(pids, n, sizeof(*pids), by_number);
	*ret = pids;
	*ret_n = n;
	return 0;
}

static void
print_sum(const struct ps *ps)
{
	(void)printf("%u watched, %u not", ps->n_watched, ps->n_unwatched);
	if (ps->n_hidden > 0)
		(void)printf("; %u processes of other users may not be looked into: ask as root, or --all",
			     ps->n_hidden);
	(void)printf("\n");
}

int
cmd_ps(int argc, char **argv)
{
	CLEANUP(freep) pid_t *pids = NULL;
	struct ps ps = {0};
	bool answered;
	size_t n = 0;
	int r = parse_options(&ps, argc, argv);

	if (r != CTL_OK || ps.help)
		return r;
	answered = ask(&ps);
	users_load(&ps.users, "/etc/passwd");
	r = list_pids(&pids, &n);
	if (r < 0)
		ctl_error("/proc: %s", strerror(-r));
	if (r == 0 && !ps.json)
		(void)printf("%s    PID USER       STATE    MODE      %-24s  PROGRAM%s\n",
			     ctl_palette(stdout)->bold, "UNIT", ctl_palette(stdout)->reset);
	for (size_t i = 0; i < n; i++)
		take_process(&ps, pids[i]);
	if (r == 0 && !ps.json)
		print_sum(&ps);
	users_fini(&ps.users);
	cJSON_Delete(ps.status);
	return answered && r == 0 ? CTL_OK : CTL_FAILED;
}
