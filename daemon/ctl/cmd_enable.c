/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl enable` and `disable`: the agent in front of a systemd unit, by a drop-in, or in front
 * of every program of the host, by /etc/ld.so.preload. Everything is checked before anything is
 * written; what is there already is left alone.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "conf.h"
#include "ctl.h"
#include "place.h"
#include "preload.h"
#include "spawn.h"
#include "unit.h"
#include "unit_profile.h"

#define RELOAD_MS 60000
#define RESTART_MS 300000

static const char enable_help[] =
	"Usage: pyauditctl enable [OPTION...] UNIT...\n"
	"       pyauditctl enable [OPTION...] --host\n"
	"\n"
	"Puts the agent into systemd services: writes UNIT.d/50-pyaudit.conf and reloads systemd. A\n"
	"template (app@.service) stands for all its instances. The agent is in a service from its\n"
	"next start on.\n"
	"\n"
	"  --mode MODE  enforce (default), or observe: refuse nothing in these units, report what\n"
	"               would have been refused\n"
	"  --profile P  server, build, agent or audit: which rules these units are judged by; without\n"
	"               it, the host's\n"
	"  --user       units of the user's manager\n"
	"  --host       every program of the host, by /etc/ld.so.preload; the library is tried first\n"
	"  --restart    restart the units that run\n"
	"  --root DIR   the tree of an image in the place of /; nothing is reloaded\n"
	"  --dry-run    show what would be written\n"
	"\n"
	"Examples:\n"
	"  pyauditctl enable --mode observe --restart shop.service\n"
	"  pyauditctl enable --profile agent --restart notebook.service\n"
	"  pyauditctl enable worker@.service\n"
	"  pyauditctl enable --dry-run shop\n"
	"\n"
	"Exit status: 0, also if it was so already; 1 if it did not work, 2 mistake on the command\n"
	"line.\n";

static const char disable_help[] =
	"Usage: pyauditctl disable [OPTION...] UNIT...\n"
	"       pyauditctl disable [OPTION...] --host\n"
	"       pyauditctl disable [OPTION...] --all\n"
	"\n"
	"Takes away what enable wrote. Processes that run keep their agent until they end; see\n"
	"pyauditctl pause.\n"
	"\n"
	"  --user      units of the user's manager\n"
	"  --host      the line of /etc/ld.so.preload; what else stands there stays\n"
	"  --all       every unit's drop-in, and the line\n"
	"  --restart   restart the units that run\n"
	"  --root DIR  the tree of an image in the place of /; nothing is reloaded\n"
	"  --dry-run   show what would be taken away\n"
	"\n"
	"Examples:\n"
	"  pyauditctl disable --restart shop.service\n"
	"  pyauditctl disable --all\n"
	"\n"
	"Exit status: 0, also if nothing was enabled; 1 if it did not work, 2 mistake on the command\n"
	"line.\n";

struct enable {
	const char *command;
	bool disable, host, all, restart, dry_run, help;
	struct unit_scope scope;
	struct unit_options options;
	const char *profile; /* or NULL */
	char root[PATH_MAX];
	char **words;
	int n_words;
	unsigned n_changed;
	unsigned n_profiles; /* of them, drop-ins of pyauditd.conf */
	bool failed;
};

static int
take_root(struct enable *e, const char *dir)
{
	struct stat st;

	if (realpath(dir, e->root) == NULL || stat(e->root, &st) < 0 || !S_ISDIR(st.st_mode))
		return ctl_usage_error(e->command, "--root: there is no directory '%s'", dir);
	if (strcmp(e->root, "/") == 0)
		e->root[0] = '\0';
	return CTL_OK;
}

static int
take_mode(struct enable *e, const char *mode)
{
	if (strcmp(mode, "observe") != 0 && strcmp(mode, "enforce") != 0)
		return ctl_usage_error(e->command, "--mode: '%s' is neither observe nor enforce",
				       mode);
	e->options.observe = mode[0] == 'o';
	return CTL_OK;
}

enum { USER = 256, HOST, RESTART, ROOT, DRY_RUN, HELP, MODE, PROFILE, ALL };

static const struct option enable_options[] = {
	{"user", no_argument, NULL, USER},       {"host", no_argument, NULL, HOST},
	{"restart", no_argument, NULL, RESTART}, {"root", required_argument, NULL, ROOT},
	{"dry-run", no_argument, NULL, DRY_RUN}, {"help", no_argument, NULL, HELP},
	{"mode", required_argument, NULL, MODE}, {"profile", required_argument, NULL, PROFILE},
	{0},
};
static const struct option disable_options[] = {
	{"user", no_argument, NULL, USER},       {"host", no_argument, NULL, HOST},
	{"restart", no_argument, NULL, RESTART}, {"root", required_argument, NULL, ROOT},
	{"dry-run", no_argument, NULL, DRY_RUN}, {"help", no_argument, NULL, HELP},
	{"all", no_argument, NULL, ALL},         {0},
};

static int
take_option(struct enable *e, int option, char **argv)
{
	switch (option) {
	case USER:
		e->scope.user = true;
		return CTL_OK;
	case HOST:
		e->host = true;
		return CTL_OK;
	case RESTART:
		e->restart = true;
		return CTL_OK;
	case ROOT:
		return take_root(e, optarg);
	case DRY_RUN:
		e->dry_run = true;
		return CTL_OK;
	case MODE:
		return take_mode(e, optarg);
	case PROFILE:
		e->profile = optarg;
		return ctl_check_profile(e->command, optarg);
	case ALL:
		e->all = true;
		return CTL_OK;
	case 'h':
	case HELP:
		e->help = true;
		(void)fputs(e->disable ? disable_help : enable_help, stdout);
		return CTL_OK;
	case ':':
		return ctl_usage_error(e->command, "option '%s' needs a value", argv[optind - 1]);
	default:
		return ctl_usage_error(e->command, "unknown option '%s'", argv[optind - 1]);
	}
}

static int
check_options(const struct enable *e)
{
	if (e->n_words > 0 && (e->host || e->all))
		return ctl_usage_error(e->command, "%s takes no units", e->all ? "--all" : "--host");
	if (e->n_words == 0 && !e->host && !e->all)
		return ctl_usage_error(e->command, "which unit? Name some, or --host");
	if (e->host && e->options.observe)
		return ctl_usage_error(e->command, "--mode is for units; for the host set "
						   "'observe = yes' in pyauditd.conf");
	if (e->host && e->profile != NULL)
		return ctl_usage_error(e->command, "--profile is for units; for the host set "
						   "'profile = %s' in pyauditd.conf", e->profile);
	if (e->scope.user && e->profile != NULL)
		return ctl_usage_error(e->command, "--profile is for the system's units: which rules "
						   "hold is the host's to say");
	if (e->host && (e->scope.user || e->restart))
		return ctl_usage_error(e->command, "%s is for units", e->restart ? "--restart" : "--user");
	if (e->restart && (e->root[0] != '\0' || e->all))
		return ctl_usage_error(e->command, "--restart needs units that run here");
	return CTL_OK;
}

static int
parse_options(struct enable *e, int argc, char **argv)
{
	int option, r = CTL_OK;

	opterr = 0;
	while (r == CTL_OK && !e->help &&
	       (option = getopt_long(argc, argv, ":h",
				     e->disable ? disable_options : enable_options, NULL)) != -1)
		r = take_option(e, option, argv);
	e->words = argv + optind;
	e->n_words = argc - optind;
	return r != CTL_OK || e->help ? r : check_options(e);
}

static void
fail(struct enable *e, const char *what, const char *why)
{
	ctl_error("%s: %s", what, why);
	e->failed = true;
}

/* systemd */

/* Runs systemctl of the right manager; what it says on stderr is said. */
static bool
systemctl(const struct enable *e, const char *verb, const char *unit, int timeout_ms)
{
	const char *argv[6] = {"systemctl"};
	struct spawn_result done;
	size_t n = 1;
	bool worked;
	int r;

	if (e->scope.user)
		argv[n++] = "--user";
	argv[n++] = verb;
	if (unit != NULL)
		argv[n++] = unit;
	r = spawn_run(argv, NULL, timeout_ms, &done);
	worked = r == 0 && done.status == 0;
	if (r < 0)
		ctl_error("systemctl %s: %s", verb, strerror(-r));
	else if (!worked)
		ctl_error("systemctl %s%s%s failed: %s", verb, unit != NULL ? " " : "",
			  unit != NULL ? unit : "", done.err);
	spawn_result_fini(&done);
	return worked;
}

/* All instances of a template that run. */
static void
instances_of(char ret[UNIT_NAME_MAX + 2], const char *name)
{
	const char *at = strstr(name, "@.service");

	if (at != NULL)
		(void)snprintf(ret, UNIT_NAME_MAX + 2, "%.*s@*.service", (int)(at - name), name);
	else
		(void)snprintf(ret, UNIT_NAME_MAX + 2, "%s", name);
}

static void
reload_manager(struct enable *e)
{
	if (e->n_changed == 0 || e->root[0] != '\0' || e->dry_run)
		return;
	if (!e->scope.user && access("/run/systemd/system", F_OK) < 0) {
		(void)printf("systemd does not run here: nothing to reload\n");
		return;
	}
	if (!systemctl(e, "daemon-reload", NULL, RELOAD_MS))
		e->failed = true;
}

static void
restart_unit(struct enable *e, const char *name, bool changed)
{
	char pattern[UNIT_NAME_MAX + 2];

	if (e->dry_run || e->root[0] != '\0')
		return;
	instances_of(pattern, name);
	if (!e->restart) {
		if (changed)
			(void)printf("  in effect from its next start on: systemctl %srestart '%s'\n",
				     e->scope.user ? "--user " : "", pattern);
		return;
	}
	if (systemctl(e, "try-restart", pattern, RESTART_MS))
		(void)printf("%s: restarted, if it ran\n", name);
	else
		e->failed = true;
}

/* Units */

/* A drop-in as it is, and as it is to be. */
struct planned {
	char path[PATH_MAX];
	char *old;	 /* or NULL: there is none */
	struct buf text; /* empty: it goes away */
	bool changes, done;
};

struct plan {
	char name[UNIT_NAME_MAX + 1];
	struct planned unit;	/* of the unit */
	struct planned profile; /* of pyauditd.conf */
};

static bool
is_made_by_us(const char *text)
{
	return strncmp(text, UNIT_MARK, strlen(UNIT_MARK)) == 0;
}

/* Looks at what is there. What others made is not ours to change. */
static void
plan_file(struct enable *e, struct planned *file)
{
	int r = place_read(file->path, &file->old, NULL);

	if (r < 0 && r != -ENOENT)
		fail(e, file->path, strerror(-r));
	else if (r == 0 && !is_made_by_us(file->old))
		fail(e, file->path, "pyauditctl did not make this file: it is left alone");
	else
		file->changes = file->old == NULL ? file->text.len > 0
						  : strlen(file->old) != file->text.len ||
							    memcmp(file->old, file->text.data,
								   file->text.len) != 0;
}

/* Finds out what is to be done; says why not. */
static void
plan_unit(struct enable *e, const char *word, struct plan *plan)
{
	char why[UNIT_WHY_MAX];

	if (!unit_name(plan->name, word, why) ||
	    !unit_dropin_path(plan->unit.path, &e->scope, plan->name, why)) {
		fail(e, word, why);
		return;
	}
	if (!e->disable &&
	    !unit_dropin_text(&plan->unit.text, &e->scope, &e->options, plan->name, why)) {
		fail(e, plan->name, why);
		return;
	}
	plan_file(e, &plan->unit);
	if (e->scope.user)
		return;
	if (unit_profile_path(plan->profile.path, e->root, plan->name, why)) {
		if (e->profile != NULL)
			unit_profile_text(&plan->profile.text, e->profile, plan->name);
		plan_file(e, &plan->profile);
	} else if (e->profile != NULL) {
		fail(e, plan->name, why);
	}
}

static int
remove_dropin(const char *path, bool with_directory)
{
	char directory[PATH_MAX];

	if (unlink(path) < 0)
		return -errno;
	(void)snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	if (with_directory)
		(void)rmdir(directory); /* stays where others have files in it */
	return 0;
}

/* Makes a file what @text says, nothing of it where there is none. */
static int
put_file(const struct planned *file, const char *text, size_t len)
{
	int r;

	if (len == 0)
		return remove_dropin(file->path, strstr(file->path, UNIT_PROFILE_DIRECTORY) == NULL);
	r = place_make_parents(file->path);
	return r == 0 ? place_write(file->path, text, len, 0644) : r;
}

static bool
carry_out_file(struct enable *e, struct planned *file)
{
	int r;

	if (!file->changes)
		return true;
	if (e->dry_run) {
		(void)printf("would %s %s\n%.*s", file->text.len == 0 ? "remove" : "write", file->path,
			     (int)file->text.len, file->text.len > 0 ? file->text.data : "");
		return true;
	}
	r = put_file(file, file->text.data, file->text.len);
	if (r < 0) {
		fail(e, file->path, strerror(-r));
		return false;
	}
	file->done = true;
	e->n_changed++;
	return true;
}

static void
take_back_file(struct planned *file)
{
	size_t len = file->old != NULL ? strlen(file->old) : 0;
	int r = file->done ? put_file(file, file->old, len) : 0;

	if (r < 0)
		ctl_error("%s: cannot be put back as it was: %s", file->path, strerror(-r));
	file->done = false;
}

/* Settings first: a unit that starts meanwhile is judged by them. */
static void
carry_out(struct enable *e, struct plan *plan)
{
	if (!plan->unit.changes && !plan->profile.changes) {
		(void)printf("%s: %s\n", plan->name,
			     e->disable ? "was not enabled" : "is enabled already");
		return;
	}
	if (!carry_out_file(e, &plan->profile) || !carry_out_file(e, &plan->unit))
		return;
	e->n_profiles += plan->profile.done;
}

static void
say_done(const struct enable *e, const struct plan *plan)
{
	if (plan->unit.done)
		(void)printf("%s: %s, %s %s\n", plan->name, e->disable ? "disabled" : "enabled",
			     e->disable ? "removed" : "wrote", plan->unit.path);
	if (plan->profile.done)
		(void)printf("%s: %s%s, %s %s\n", plan->name,
			     e->profile != NULL ? "profile " : "the host's profile",
			     e->profile != NULL ? e->profile : "",
			     e->profile != NULL ? "wrote" : "removed", plan->profile.path);
}

/* A daemon that runs has its rules and settings whole again before anything else happens. */
static void
reload_daemon(struct enable *e)
{
	char why[UNIT_WHY_MAX];
	bool runs;

	if (e->failed || e->n_profiles == 0 || e->root[0] != '\0' || e->dry_run)
		return;
	if (!unit_profile_reload(&runs, why)) {
		/* What is taken away is not put back because of other mistakes. */
		if (e->disable)
			ctl_error("%s: %s", e->command, why);
		else
			fail(e, "nothing is changed", why);
	} else if (!runs) {
		(void)printf("pyauditd does not run here: profiles hold from its next start on\n");
	}
}

/* All or none: where one of them fails, nothing is changed. */
static void
carry_out_all(struct enable *e, struct plan *plans, size_t n)
{
	for (size_t i = 0; i < n && !e->failed; i++)
		carry_out(e, &plans[i]);
	reload_daemon(e);
	for (size_t i = 0; i < n && !e->failed; i++)
		say_done(e, &plans[i]);
	for (size_t i = 0; i < n && e->failed; i++) {
		take_back_file(&plans[i].unit);
		take_back_file(&plans[i].profile);
	}
	if (e->failed)
		e->n_changed = 0;
}

static void
do_units(struct enable *e, const char *const *words, size_t n)
{
	struct plan *plans = calloc(n, sizeof(*plans));
	char why[UNIT_WHY_MAX];

	if (plans == NULL) {
		fail(e, e->command, strerror(ENOMEM));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		buf_init(&plans[i].unit.text);
		buf_init(&plans[i].profile.text);
		plan_unit(e, words[i], &plans[i]);
	}
	if (!e->failed && e->profile != NULL && !unit_profile_is_possible(e->root, e->profile, why))
		fail(e, e->command, why);
	carry_out_all(e, plans, n);
	reload_manager(e);
	for (size_t i = 0; i < n && !e->failed; i++)
		restart_unit(e, plans[i].name, plans[i].unit.changes);
	for (size_t i = 0; i < n; i++) {
		buf_fini(&plans[i].unit.text);
		buf_fini(&plans[i].profile.text);
		free(plans[i].unit.old);
		free(plans[i].profile.old);
	}
	free(plans);
}

struct names {
	char **names;
	size_t n;
};

static void
add_name(struct names *names, const char *name, size_t len)
{
	char **more;

	for (size_t i = 0; i < names->n; i++)
		if (strlen(names->names[i]) == len && memcmp(names->names[i], name, len) == 0)
			return;
	more = reallocarray(names->names, names->n + 1, sizeof(*more));
	if (more == NULL)
		return;
	names->names = more;
	more[names->n] = strndup(name, len);
	names->n += more[names->n] != NULL;
}

static bool
is_our_file(const char *directory, const char *name, const char *below)
{
	CLEANUP(freep) char *path = NULL, *text = NULL;

	if (asprintf(&path, "%s/%s%s", directory, name, below) < 0)
		path = NULL;
	return path != NULL && place_read(path, &text, NULL) == 0 && is_made_by_us(text);
}

/* Units that have a drop-in of ours. */
static void
add_units(struct names *names, const char *directory)
{
	const struct dirent *entry;
	DIR *stream = opendir(directory);

	while (stream != NULL && (entry = readdir(stream)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len > 2 && strcmp(entry->d_name + len - 2, ".d") == 0 &&
		    is_our_file(directory, entry->d_name, "/" UNIT_DROPIN))
			add_name(names, entry->d_name, len - 2);
	}
	if (stream != NULL)
		(void)closedir(stream);
}

/* Units that have a profile of ours. */
static void
add_profiles(struct names *names, const char *root)
{
	CLEANUP(freep) char *directory = place_below(root, UNIT_PROFILE_DIRECTORY);
	const struct dirent *entry;
	DIR *stream = directory != NULL ? opendir(directory) : NULL;

	while (stream != NULL && (entry = readdir(stream)) != NULL) {
		char unit[UNIT_NAME_MAX + 1];

		if (unit_profile_unit(unit, entry->d_name) &&
		    is_our_file(directory, entry->d_name, ""))
			add_name(names, unit, strlen(unit));
	}
	if (stream != NULL)
		(void)closedir(stream);
}

static void
do_all_units(struct enable *e)
{
	char directory[PATH_MAX], why[UNIT_WHY_MAX];
	struct names names = {0};

	if (!unit_dropin_directory(directory, &e->scope, why)) {
		fail(e, "--all", why);
		return;
	}
	add_units(&names, directory);
	if (!e->scope.user)
		add_profiles(&names, e->root);
	if (names.n > 0)
		do_units(e, (const char *const *)names.names, names.n);
	for (size_t i = 0; i < names.n; i++)
		free(names.names[i]);
	free(names.names);
}

/* The host */

/* Programs of another word size cannot load the agent, and the linker says so in each. */
static void
warn_of_other_sizes(void)
{
	static const char *const linkers[] = {"/lib/ld-linux.so.2", "/lib/ld-linux-armhf.so.3"};

	for (size_t i = 0; sizeof(void *) == 8 && i < sizeof(linkers) / sizeof(linkers[0]); i++)
		if (access(linkers[i], F_OK) == 0)
			(void)fprintf(stderr,
				      "pyauditctl: note: 32-bit programs of this host will say on "
				      "standard error that they cannot preload the agent\n");
}

static bool
try_library(struct enable *e)
{
	CLEANUP(freep) char *path = place_below(e->root, e->options.agent);
	char why[PRELOAD_WHY_MAX];

	if (path == NULL) {
		fail(e, "--host", strerror(ENOMEM));
		return false;
	}
	if (preload_can_name(e->options.agent, why) &&
	    preload_is_safe(e->root, e->options.agent, why) && preload_is_sound(path, why))
		return true;
	fail(e, "not enabled for the host", why);
	return false;
}

/* The file as it is, "" where there is none. */
static int
read_preload(const char *path, char **ret)
{
	int r = place_read(path, ret, NULL);

	if (r == -ENOENT) {
		*ret = strdup("");
		r = *ret != NULL ? 0 : -ENOMEM;
	}
	return r;
}

static int
write_preload(const char *path, const char *text, size_t len)
{
	if (len == 0)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	return place_write(path, text, len, 0644);
}

/* What does not work is taken back by this process, which runs already and needs nothing new. */
static void
put_in_place(struct enable *e, const char *path, const char *old, const struct buf *text)
{
	char why[PRELOAD_WHY_MAX];
	int r = write_preload(path, text->data, text->len);

	if (r == 0 && !e->disable && e->root[0] == '\0' &&
	    !preload_took_effect(e->options.agent, why)) {
		r = write_preload(path, old, strlen(old));
		fail(e, "taken back", why);
		if (r == 0)
			return;
	}
	if (r < 0) {
		fail(e, path, strerror(-r));
		return;
	}
	(void)printf("the host: %s, %s %s\n", e->disable ? "disabled" : "enabled",
		     text->len == 0 ? "removed" : "wrote", path);
	if (!e->disable)
		(void)printf("  in every program that starts from now on; pyaudit=off on the kernel's\n"
			     "  command line, or the file /etc/pyaudit/disable, keeps the agent out\n");
}

static void
do_host(struct enable *e)
{
	CLEANUP(freep) char *path = place_below(e->root, PRELOAD_PATH);
	CLEANUP(freep) char *old = NULL;
	struct buf text;
	int r = path != NULL ? read_preload(path, &old) : -ENOMEM;

	if (r < 0) {
		fail(e, PRELOAD_PATH, strerror(-r));
		return;
	}
	buf_init(&text);
	if (!preload_edit(&text, old, e->disable ? NULL : e->options.agent)) {
		if (!e->all)
			(void)printf("the host: %s\n",
				     e->disable ? "was not enabled" : "is enabled already");
	} else if (e->disable || try_library(e)) {
		if (!e->disable)
			warn_of_other_sizes();
		if (e->dry_run)
			(void)printf("would %s %s\n%.*s", text.len == 0 ? "remove" : "write", path,
				     (int)text.len, text.len > 0 ? text.data : "");
		else
			put_in_place(e, path, old, &text);
	}
	buf_fini(&text);
}

/* The library is looked at, that a unit does not start with a complaint of the linker. */
static bool
has_agent(struct enable *e)
{
	CLEANUP(freep) char *path = place_below(e->root, e->options.agent);
	char why[PRELOAD_WHY_MAX];

	if (!preload_can_name(e->options.agent, why)) {
		fail(e, e->command, why);
		return false;
	}
	if (path != NULL && access(path, R_OK) == 0)
		return true;
	(void)snprintf(why, sizeof(why), "there is no agent at %s", path != NULL ? path : "");
	fail(e, e->command, why);
	return false;
}

static int
run(struct enable *e, int argc, char **argv)
{
	int r;

	e->command = argv[0];
	e->scope.root = e->root;
	r = parse_options(e, argc, argv);
	if (r != CTL_OK || e->help)
		return r;
	e->options.agent = ctl_agent_path();
	if (e->all)
		do_all_units(e);
	if (e->host || (e->all && !e->scope.user))
		do_host(e);
	else if (!e->all && (e->disable || has_agent(e)))
		do_units(e, (const char *const *)e->words, (size_t)e->n_words);
	return e->failed ? CTL_FAILED : CTL_OK;
}

int
cmd_enable(int argc, char **argv)
{
	struct enable e = {0};

	return run(&e, argc, argv);
}

int
cmd_disable(int argc, char **argv)
{
	struct enable e = {.disable = true};

	return run(&e, argc, argv);
}
