/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl activate` and `deactivate`: the agent by a start-up file in an interpreter's own
 * directory, for places where LD_PRELOAD cannot be used. The interpreter is asked where that is, and
 * asked again whether the agent came; if not, nothing stays behind.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fnmatch.h>
#include <dirent.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "activations.h"
#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "place.h"
#include "preload.h"
#include "spawn.h"

#define ASK_MS 30000
#define START_SINCE 15 /* 3.15 reads NAME.start, and .pth lines that import go away */

static const char activate_help[] =
	"Usage: pyauditctl activate [--dry-run] PYTHON|VENV...\n"
	"\n"
	"Makes an interpreter load the agent when it starts, by pyaudit.pth and pyaudit_activate.py\n"
	"(from Python 3.15 on pyaudit.start too) in its own site-packages. For places where LD_PRELOAD\n"
	"cannot be used: what ran before is not seen, and python -S leaves it out.\n"
	"\n"
	"  --dry-run  show what would be written\n"
	"\n"
	"Examples:\n"
	"  pyauditctl activate ./venv\n"
	"  pyauditctl activate /usr/bin/python3\n"
	"\n"
	"Exit status: 0, also if it was so already; 1 if it did not work, 2 mistake on the command\n"
	"line.\n";

static const char deactivate_help[] =
	"Usage: pyauditctl deactivate [--dry-run] PYTHON|VENV...\n"
	"\n"
	"Removes the files that activate wrote.\n"
	"\n"
	"  --dry-run  show what would be removed\n"
	"\n"
	"Examples:\n"
	"  pyauditctl deactivate ./venv\n"
	"\n"
	"Exit status: 0, also if nothing was there; 1 if it did not work, 2 mistake on the command\n"
	"line.\n";

/* Each holds its word: a file that does not is somebody else's. */
static const struct {
	const char *name, *word;
} files[] = {
	{"pyaudit_activate.py", "Loads the agent of pyaudit"}, /* before those that import it */
	{"pyaudit.pth", "import pyaudit_activate"},
	{"pyaudit.start", "pyaudit_activate:load"},
};
#define N_FILES (sizeof(files) / sizeof(files[0]))

/* The first directory that is both the interpreter's own for packages and read at start-up. */
static const char question[] =
	"import json, site, sys, sysconfig\n"
	"dirs = [d for d in site.getsitepackages()] if hasattr(site, 'getsitepackages') else []\n"
	"pure = sysconfig.get_paths()['purelib']\n"
	"if pure in dirs or not dirs: dirs.insert(0, pure)\n"
	"print(json.dumps({'name': sys.implementation.name, 'major': sys.version_info[0],\n"
	"                  'minor': sys.version_info[1], 'dir': dirs[0]}))\n";

static const char look[] = "print('libpyaudit-agent' in open('/proc/self/maps').read())";

struct interpreter {
	char path[PATH_MAX];
	char dir[PATH_MAX - 64]; /* of its packages; room for a name behind it */
	int minor;
};

struct activate {
	const char *command;
	bool remove, dry_run, help;
};

static int
parse_options(struct activate *a, int argc, char **argv)
{
	enum { DRY_RUN = 256, HELP };
	static const struct option options[] = {
		{"dry-run", no_argument, NULL, DRY_RUN},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case DRY_RUN:
			a->dry_run = true;
			break;
		case 'h':
		case HELP:
			a->help = true;
			(void)fputs(a->remove ? deactivate_help : activate_help, stdout);
			return CTL_OK;
		default:
			return ctl_usage_error(a->command, "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return ctl_usage_error(a->command, "which interpreter or virtual environment?");
	return CTL_OK;
}

static bool
failed(const char *what, const char *why)
{
	ctl_error("%s: %s", what, why);
	return false;
}

/* A directory is a virtual environment or an installation: its bin/python3. */
static bool
find_interpreter(const char *word, char ret[PATH_MAX])
{
	static const char *const names[] = {"bin/python3", "bin/python"};
	struct stat st;

	if (stat(word, &st) < 0) {
		/* A name without a slash is looked for in PATH, by execvp. */
		if (strchr(word, '/') != NULL || strlen(word) >= PATH_MAX)
			return failed(word, strerror(errno));
		(void)snprintf(ret, PATH_MAX, "%s", word);
		return true;
	}
	if (!S_ISDIR(st.st_mode)) {
		if (strchr(word, '/') == NULL)
			(void)snprintf(ret, PATH_MAX, "./%s", word);
		else
			(void)snprintf(ret, PATH_MAX, "%s", word);
		return true;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (snprintf(ret, PATH_MAX, "%s/%s", word, names[i]) < PATH_MAX &&
		    access(ret, X_OK) == 0)
			return true;
	return failed(word, "there is no bin/python3 in this directory");
}

static bool
take_answer(struct interpreter *py, const char *text)
{
	CLEANUP(json_freep) cJSON *answer = cJSON_Parse(text);
	const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "name"));
	const char *dir = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "dir"));
	const cJSON *major = cJSON_GetObjectItemCaseSensitive(answer, "major");
	const cJSON *minor = cJSON_GetObjectItemCaseSensitive(answer, "minor");

	if (name == NULL || dir == NULL || !cJSON_IsNumber(major) || !cJSON_IsNumber(minor))
		return failed(py->path, "it does not answer like a Python");
	if (strcmp(name, "cpython") != 0)
		return failed(py->path, "only CPython has audit hooks for native code");
	if (major->valueint != 3 || minor->valueint < 8)
		return failed(py->path, "audit hooks came with Python 3.8");
	if (dir[0] != '/' || strlen(dir) >= sizeof(py->dir))
		return failed(py->path, "it names no directory of its packages");
	(void)snprintf(py->dir, sizeof(py->dir), "%s", dir);
	py->minor = minor->valueint;
	return true;
}

static bool
ask(struct interpreter *py)
{
	const char *argv[] = {py->path, "-I", "-c", question, NULL};
	struct spawn_result done;
	int r = spawn_run(argv, NULL, ASK_MS, &done);
	bool answered = false;

	if (r < 0)
		(void)failed(py->path, strerror(-r));
	else if (done.status != 0)
		(void)failed(py->path, done.err[0] != '\0' ? done.err : "it does not run");
	else
		answered = take_answer(py, done.out);
	spawn_result_fini(&done);
	return answered;
}

static bool
came(const struct interpreter *py)
{
	const char *argv[] = {py->path, "-I", "-c", look, NULL};
	struct spawn_result done;
	bool there = spawn_run(argv, NULL, ASK_MS, &done) == 0 && done.status == 0 &&
		     strcmp(done.out, "True\n") == 0;

	if (!there)
		(void)failed(py->path, done.err != NULL && done.err[0] != '\0'
					       ? done.err
					       : "it started without the agent all the same");
	spawn_result_fini(&done);
	return there;
}

/* A file of ours, somebody else's, or none. */
static int
look_at(const struct interpreter *py, size_t i, char path[PATH_MAX], char **ret_text)
{
	int r;

	(void)snprintf(path, PATH_MAX, "%s/%s", py->dir, files[i].name);
	r = place_read(path, ret_text, NULL);
	if (r == 0 && strstr(*ret_text, files[i].word) == NULL)
		return -EEXIST;
	return r;
}

/* What Python compiled from it. */
static void
remove_compiled(const struct interpreter *py)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *stream;

	(void)snprintf(path, sizeof(path), "%s/__pycache__", py->dir);
	stream = opendir(path);
	while (stream != NULL && (entry = readdir(stream)) != NULL)
		if (fnmatch("pyaudit_activate.*.pyc", entry->d_name, 0) == 0)
			(void)unlinkat(dirfd(stream), entry->d_name, 0);
	if (stream != NULL)
		(void)closedir(stream);
	(void)rmdir(path); /* stays where others are in it */
}

/* Those that import the module go first: an interpreter may start meanwhile. Returns how many went,
 * or -1. */
static int
remove_files(const struct activate *a, const struct interpreter *py)
{
	int n = 0;

	for (size_t i = N_FILES; i-- > 0;) {
		CLEANUP(freep) char *text = NULL;
		char path[PATH_MAX];
		int r = look_at(py, i, path, &text);

		if (r == -ENOENT)
			continue;
		if (r == 0 && a->dry_run)
			(void)printf("would remove %s\n", path);
		else if (r == 0)
			r = unlink(path) < 0 ? -errno : 0;
		if (r < 0) {
			(void)failed(path, r == -EEXIST ? "pyauditctl did not make this file: it is "
							  "left alone"
							: strerror(-r));
			return -1;
		}
		n++;
	}
	if (n > 0 && !a->dry_run)
		remove_compiled(py);
	return n;
}

/* 1: written; 0: it was there, the same; or -1. */
static int
write_file(const struct activate *a, const struct interpreter *py, size_t i)
{
	CLEANUP(freep) char *source = NULL, *text = NULL, *old = NULL;
	char path[PATH_MAX];
	int r;

	if (asprintf(&source, "%s/%s", ctl_activate_dir(), files[i].name) < 0)
		source = NULL;
	r = source != NULL ? place_read(source, &text, NULL) : -ENOMEM;
	if (r < 0) {
		(void)failed(source != NULL ? source : files[i].name, strerror(-r));
		return -1;
	}
	r = look_at(py, i, path, &old);
	if (r == 0 && strcmp(old, text) == 0)
		return 0;
	if (a->dry_run) {
		(void)printf("would write %s\n", path);
		return 1;
	}
	r = place_write(path, text, strlen(text), 0644);
	if (r < 0) {
		(void)failed(path, strerror(-r));
		return -1;
	}
	return 1;
}

/* Whether no file of somebody else's is in the way. */
static bool
has_room(const struct interpreter *py)
{
	for (size_t i = 0; i < N_FILES; i++) {
		CLEANUP(freep) char *text = NULL;
		char path[PATH_MAX];

		if (look_at(py, i, path, &text) == -EEXIST)
			return failed(path, "pyauditctl did not make this file: it is in the way");
	}
	return true;
}

static bool
activate(const struct activate *a, const struct interpreter *py)
{
	const struct activate undo = {.command = a->command, .remove = true};
	bool worked = true;
	int n = 0;

	if (access(ctl_agent_path(), R_OK) < 0)
		return failed(ctl_agent_path(), "there is no agent here");
	if (!has_room(py))
		return false;
	for (size_t i = 0; i < N_FILES && worked; i++) {
		int r;

		if (strcmp(files[i].name, "pyaudit.start") == 0 && py->minor < START_SINCE)
			continue;
		r = write_file(a, py, i);
		worked = r >= 0;
		n += r > 0;
	}
	if (worked && n == 0) {
		(void)printf("%s: is activated already in %s\n", py->path, py->dir);
		return true;
	}
	if (a->dry_run)
		return worked;
	worked = worked && came(py);
	if (worked) {
		activations_note(py->dir, true);
		(void)printf("%s: activated, in %s\n", py->path, py->dir);
	} else if (n > 0) {
		(void)remove_files(&undo, py);
	}
	return worked;
}

static bool
deactivate(const struct activate *a, const struct interpreter *py)
{
	int n = remove_files(a, py);

	if (n > 0 && !a->dry_run) {
		activations_note(py->dir, false);
		(void)printf("%s: deactivated, in %s\n", py->path, py->dir);
	}
	if (n == 0)
		(void)printf("%s: was not activated\n", py->path);
	return n >= 0;
}

static int
run(struct activate *a, int argc, char **argv)
{
	bool worked = true;
	int r;

	a->command = argv[0];
	r = parse_options(a, argc, argv);
	if (r != CTL_OK || a->help)
		return r;
	for (int i = optind; i < argc; i++) {
		struct interpreter py;

		worked = find_interpreter(argv[i], py.path) && ask(&py) &&
			 (a->remove ? deactivate(a, &py) : activate(a, &py)) && worked;
	}
	return worked ? CTL_OK : CTL_FAILED;
}

int
cmd_activate(int argc, char **argv)
{
	struct activate a = {0};

	return run(&a, argc, argv);
}

int
cmd_deactivate(int argc, char **argv)
{
	struct activate a = {.remove = true};

	return run(&a, argc, argv);
}
