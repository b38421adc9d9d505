/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl events`: the catalogue of audit events, from the table that agent, rules and daemon use.
 * What an event cannot say follows from where its fields come from.
 */
#include <getopt.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "ctl.h"
#include "json.h"
#include "pyaudit/events.h"
#include "writer.h"

static const char help[] =
	"Usage: pyauditctl events [--json] [NAME|@CLASS]\n"
	"\n"
	"Shows the audit events that are known, or one of them in full: its arguments, the versions of\n"
	"CPython that raise it, its classes, the fields that rules have of it, and what it cannot see.\n"
	"An event that is not in the list (libraries raise their own) is carried as well: rules name it\n"
	"custom:NAME and have its arguments as arg[0] to arg[7].\n"
	"\n"
	"  --json  an array of objects, or one object for NAME\n"
	"\n"
	"Examples:\n"
	"  pyauditctl events @exec\n"
	"  pyauditctl events subprocess.Popen\n"
	"\n"
	"Exit status: 0, 2 no such event or class, or mistake on the command line.\n";

#define BLIND_MAX 4

/* Fields that are made of one that the table has. */
static const struct {
	uint8_t from, made;
} made[] = {
	{PYAUDIT_F_EXEC_PATH, PYAUDIT_F_EXEC_NAME},    {PYAUDIT_F_EXEC_ARGV, PYAUDIT_F_EXEC_CMDLINE},
	{PYAUDIT_F_EXEC_ARGV, PYAUDIT_F_EXEC_SHELL},   {PYAUDIT_F_EXEC_SHELL, PYAUDIT_F_EXEC_PATH},
	{PYAUDIT_F_EXEC_SHELL, PYAUDIT_F_EXEC_NAME},   {PYAUDIT_F_EXEC_SHELL, PYAUDIT_F_EXEC_ARGV},
	{PYAUDIT_F_FILE_PATH, PYAUDIT_F_FILE_NAME},    {PYAUDIT_F_FILE_PATH, PYAUDIT_F_FILE_FD},
	{PYAUDIT_F_FILE_PATH, PYAUDIT_F_FILE_REAL},    {PYAUDIT_F_FILE_TARGET, PYAUDIT_F_FILE_REAL_TARGET},
	{PYAUDIT_F_EXEC_PATH, PYAUDIT_F_EXEC_PROGRAMS}, {PYAUDIT_F_EXEC_SHELL, PYAUDIT_F_EXEC_PROGRAMS},
	{PYAUDIT_F_NET_HOST, PYAUDIT_F_NET_IP},	       {PYAUDIT_F_URL_FULL, PYAUDIT_F_URL_SCHEME},
	{PYAUDIT_F_URL_FULL, PYAUDIT_F_URL_HOST},      {PYAUDIT_F_URL_FULL, PYAUDIT_F_URL_PATH},
};

/* What a socket address gives. */
static const uint8_t of_address[] = {PYAUDIT_F_NET_HOST, PYAUDIT_F_NET_IP, PYAUDIT_F_NET_PORT,
				     PYAUDIT_F_NET_FAMILY, PYAUDIT_F_NET_PATH};

/* Arguments that came to an event later than the event itself. */
static const struct {
	uint16_t event;
	uint8_t arg;
	const char *since;
} later[] = {
	{PYAUDIT_EV_SHUTIL_RMTREE, 1, "3.11"},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void
add_field(bool fields[PYAUDIT_N_FIELDS], unsigned field)
{
	fields[field] = true;
	for (size_t i = 0; i < LENGTH(made); i++)
		if (made[i].from == field)
			fields[made[i].made] = true;
}

static void
fields_of(unsigned event, bool ret[PYAUDIT_N_FIELDS])
{
	const struct pyaudit_source *source = pyaudit_event_sources[event];

	memset(ret, 0, PYAUDIT_N_FIELDS * sizeof(ret[0]));
	for (unsigned i = 0; i < PYAUDIT_SOURCES_MAX && source[i].how != PYAUDIT_HOW_NONE; i++) {
		if (source[i].how == PYAUDIT_HOW_ADDRESS)
			for (size_t j = 0; j < LENGTH(of_address); j++)
				ret[of_address[j]] = true;
		else
			add_field(ret, source[i].field);
	}
}

static bool
has_argument(unsigned event, const char *name)
{
	const char *at = pyaudit_events[event].args;
	size_t len = strlen(name);

	for (; *at != '\0'; at += strcspn(at, ",") + (at[strcspn(at, ",")] != '\0'))
		if (strcspn(at, ",") == len && memcmp(at, name, len) == 0)
			return true;
	return false;
}

/* At most BLIND_MAX sentences; returns their number. */
static unsigned
blind_spots(unsigned event, const char *ret[BLIND_MAX])
{
	const struct pyaudit_event_info *info = &pyaudit_events[event];
	unsigned n = 0;

	if (info->args[0] == '\0' && info->first_version[0] != '\0')
		ret[n++] = "it has no arguments: that it happened is all it says";
	if (has_argument(event, "dir_fd") || has_argument(event, "src_dir_fd"))
		ret[n++] = "a relative path is text: the directory is a descriptor, the argument dir_fd";
	else if (event == PYAUDIT_EV_OPEN)
		ret[n++] = "the dir_fd of os.open; and reading and writing that follow raise nothing";
	if ((info->classes & PYAUDIT_CLASS_EXEC) != 0 && has_argument(event, "env"))
		ret[n++] = "variables of the child: env is named by its type";
	if (event == PYAUDIT_EV_IMPORT)
		ret[n++] = "modules that are loaded already, which raise no event";
	else if (event == PYAUDIT_EV_SOCKET_CONNECT)
		ret[n++] = "data sent on the connection, and what native code connects to";
	else if (event == PYAUDIT_EV_OS_PUTENV)
		ret[n++] = "variables that a child is given in an environment of its own";
	if (has_argument(event, "path") || has_argument(event, "pathname") || has_argument(event, "self"))
		ret[n++] = "arguments that are objects, such as pathlib.Path: they are named by their type";
	return n;
}

static void
classes_of(const struct pyaudit_event_info *info, struct buf *out)
{
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++)
		if ((info->classes >> i & 1) != 0)
			buf_addf(out, "%s@%s", out->len > 0 ? " " : "", pyaudit_class_names[i]);
	buf_add_char(out, '\0');
}

/* By which layer it comes; a version is CPython's. */
static void
versions_of(const struct pyaudit_event_info *info, char *ret, size_t size)
{
	if (info->first_version[0] != '\0')
		(void)snprintf(ret, size, "%s to %s", info->first_version, info->last_version);
	else
		(void)snprintf(ret, size, "%s",
			       strncmp(info->name, "libc.", 5) == 0 ? "the libc layer" : "pyaudit itself");
}

/* The version that brought the argument, or NULL where it was there from the first. */
static const char *
since(unsigned event, unsigned arg)
{
	for (size_t i = 0; i < LENGTH(later); i++)
		if (later[i].event == event && later[i].arg == arg)
			return later[i].since;
	return NULL;
}

static void
print_row(unsigned event)
{
	const struct pyaudit_event_info *info = &pyaudit_events[event];
	CLEANUP(buf_fini) struct buf classes;
	char versions[32];

	buf_init(&classes);
	classes_of(info, &classes);
	versions_of(info, versions, sizeof(versions));
	(void)printf("%-32s  %-14s  %-16s  %s\n", info->name, versions,
		     classes.failed ? "" : classes.data, info->args);
}

static void
print_whole(unsigned event)
{
	const struct pyaudit_event_info *info = &pyaudit_events[event];
	CLEANUP(buf_fini) struct buf classes;
	bool fields[PYAUDIT_N_FIELDS];
	const char *blind[BLIND_MAX];
	unsigned n_blind = blind_spots(event, blind), n = 0;
	char versions[32];

	buf_init(&classes);
	classes_of(info, &classes);
	versions_of(info, versions, sizeof(versions));
	fields_of(event, fields);
	(void)printf("%s\n  raised by         %s\n  classes           %s%s\n", info->name, versions,
		     classes.failed || classes.len <= 1 ? "none" : classes.data,
		     (info->classes & PYAUDIT_CLASS_NOISE) != 0 ? ", noise: only its name selects it" : "");
	for (const char *at = info->args; *at != '\0'; n++) {
		size_t len = strcspn(at, ",");

		(void)printf("  arg[%u]            %.*s%s%s\n", n, (int)len, at,
			     since(event, n) != NULL ? ", since " : "",
			     since(event, n) != NULL ? since(event, n) : "");
		at += len + (at[len] != '\0');
	}
	for (unsigned i = 0; i < PYAUDIT_N_FIELDS; i++)
		if (fields[i])
			(void)printf("  %-16s  %s\n", pyaudit_fields[i].name, pyaudit_fields[i].about);
	for (unsigned i = 0; i < n_blind; i++)
		(void)printf("  not seen          %s\n", blind[i]);
}

static void
add_texts(struct json *json, const char *key, const char *const *texts, unsigned n)
{
	json_key(json, key);
	json_array(json);
	for (unsigned i = 0; i < n; i++)
		json_str(json, texts[i]);
	json_array_end(json);
}

static void
add_event(struct json *json, unsigned event)
{
	const struct pyaudit_event_info *info = &pyaudit_events[event];
	const char *texts[PYAUDIT_N_FIELDS];
	bool fields[PYAUDIT_N_FIELDS];
	const char *blind[BLIND_MAX];
	unsigned n = 0;

	json_object(json);
	json_key(json, "event");
	json_str(json, info->name);
	json_key(json, "first_version");
	json_str(json, info->first_version[0] != '\0' ? info->first_version : NULL);
	json_key(json, "last_version");
	json_str(json, info->last_version[0] != '\0' ? info->last_version : NULL);
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++)
		if ((info->classes >> i & 1) != 0)
			texts[n++] = pyaudit_class_names[i];
	add_texts(json, "classes", texts, n);
	json_key(json, "noise");
	json_bool(json, (info->classes & PYAUDIT_CLASS_NOISE) != 0);
	json_key(json, "args");
	json_array(json);
	for (const char *at = info->args; *at != '\0';) {
		size_t len = strcspn(at, ",");

		json_text(json, at, len);
		at += len + (at[len] != '\0');
	}
	json_array_end(json);
	json_key(json, "args_since");
	json_array(json);
	n = 0;
	for (const char *at = info->args; *at != '\0'; n++) {
		json_str(json, since(event, n) != NULL ? since(event, n) : info->first_version);
		at += strcspn(at, ",") + (at[strcspn(at, ",")] != '\0');
	}
	json_array_end(json);
	fields_of(event, fields);
	n = 0;
	for (unsigned i = 0; i < PYAUDIT_N_FIELDS; i++)
		if (fields[i])
			texts[n++] = pyaudit_fields[i].name;
	add_texts(json, "fields", texts, n);
	n = blind_spots(event, blind);
	add_texts(json, "not_seen", blind, n);
	json_object_end(json);
}

static int
print_json(unsigned one, uint16_t class)
{
	CLEANUP(buf_fini) struct buf out;
	struct json json;

	buf_init(&out);
	json = json_on(&out);
	if (one != PYAUDIT_EV_OTHER) {
		add_event(&json, one);
	} else {
		json_array(&json);
		for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++)
			if (class == 0 || (pyaudit_events[i].classes & class) != 0)
				add_event(&json, i);
		json_array_end(&json);
	}
	if (out.failed) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	(void)fwrite(out.data, 1, out.len, stdout);
	(void)putchar('\n');
	return CTL_OK;
}

static int
unknown(const char *name)
{
	const char *names[PYAUDIT_N_EVENTS];
	const char *nearest;

	for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++)
		names[i - 1] = pyaudit_events[i].name;
	nearest = ctl_nearest(name, names, PYAUDIT_N_EVENTS - 1);
	if (name[0] == '@')
		return ctl_usage_error("events", "no class '%s'", name);
	if (nearest != NULL)
		return ctl_usage_error("events", "no event '%s', did you mean '%s'?", name, nearest);
	return ctl_usage_error("events", "no event '%s' is known; rules name it custom:%s", name, name);
}

int
cmd_events(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	unsigned one = PYAUDIT_EV_OTHER;
	uint16_t class = 0;
	bool json = false;
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'h':
			(void)fputs(help, stdout);
			return CTL_OK;
		default:
			return ctl_usage_error("events", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (argc - optind > 1)
		return ctl_usage_error("events", "unexpected argument '%s'", argv[optind + 1]);
	if (optind < argc && argv[optind][0] == '@')
		class = pyaudit_class_by_name(argv[optind], strlen(argv[optind]));
	else if (optind < argc)
		one = pyaudit_event_by_name(argv[optind], strlen(argv[optind]));
	if (optind < argc && class == 0 && one == PYAUDIT_EV_OTHER)
		return unknown(argv[optind]);
	if (json)
		return print_json(one, class);
	if (one != PYAUDIT_EV_OTHER) {
		print_whole(one);
		return CTL_OK;
	}
	for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++)
		if (class == 0 || (pyaudit_events[i].classes & class) != 0)
			print_row(i);
	return CTL_OK;
}
