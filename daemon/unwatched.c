/* SPDX-License-Identifier: Apache-2.0 */
#include "unwatched.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "finding.h"
#include "census.h"
#include "server.h"
#include "session.h"

#define UNIT_NAME_MAX 256

/* One process without a session. */
struct seen {
	pid_t pid;
	unsigned n_turns;
	uint64_t first_ns; /* CLOCK_MONOTONIC; 0: nothing found yet */
	uint64_t told_start; /* start time of the process that was told; 0: none */
	uint32_t turn; /* it was last seen in */
};

struct unwatched {
	struct server *server;
	struct event *timer;
	char root[PATH_MAX]; /* of the control groups */
	uint64_t enabled_ns; /* since when the unit at hand is to be watched, CLOCK_REALTIME */
	uint32_t turn;
	unsigned n_groups, n_looks;

	struct seen *seen; /* sorted by pid */
	size_t n_seen, n_seen_before; /* those of earlier turns come first */
	bool said_full;
};

/* Units */

/* `watch_units`: shell patterns with blanks or commas between. */
static bool
is_named(const struct unwatched *watch, const char *unit)
{
	const char *at = watch->server->conf->watch_units;

	while (at != NULL && *at != '\0') {
		char pattern[UNIT_NAME_MAX];
		size_t len = strcspn(at, " \t,");

		if (len > 0 && len < sizeof(pattern)) {
			memcpy(pattern, at, len);
			pattern[len] = '\0';
			if (fnmatch(pattern, unit, 0) == 0)
				return true;
		}
		at += len;
		at += strspn(at, " \t,");
	}
	return false;
}

/* What ran before its unit was enabled waits for a restart that an operator knows of: no finding. */
static bool
is_to_be_watched(struct unwatched *watch, const char *unit)
{
	watch->enabled_ns = 0;
	return is_named(watch, unit) ||
	       census_is_enabled(watch->server->conf->dropins, unit, &watch->enabled_ns);
}

/* Processes */

static int
by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

/* With many sessions each is looked into in some turns only. */
static bool
is_attached(const struct unwatched *watch, pid_t pid)
{
	unsigned every = watch->server->n_attached / UNWATCHED_INSIDE_MAX + 1;
	bool closely = (unsigned)pid % every == watch->turn % every;
	struct session *session;

	PEERS_FOREACH(session, &watch->server->peers, pid)
	if (session->state == SESSION_READY && !session_has_left(session, closely))
		return true;
	return false;
}

/* NULL where there is no room for more. */
static struct seen *
find_seen(struct unwatched *watch, pid_t pid)
{
	struct seen *found = NULL;

	if (watch->n_seen_before > 0)
		found = bsearch(&pid, watch->seen, watch->n_seen_before, sizeof(*found), by_pid);
	if (found != NULL || watch->n_seen == UNWATCHED_PIDS_MAX)
		return found;
	found = &watch->seen[watch->n_seen++];
	*found = (struct seen){.pid = pid};
	return found;
}

static void
tell(struct unwatched *watch, pid_t pid, const struct census *census)
{
	struct server *server = watch->server;
	char why[CENSUS_WHY_MAX], path[64];
	struct hello hello = {.pid = (uint32_t)pid, .python = "", .exe = "", .cwd = "", .cgroup = "",
			      .venv = "", .start_ns = clock_ns(CLOCK_REALTIME)};
	struct process *process;
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return;
	(void)census_why(census, "/proc", pid, server->conf->dir, why);
	process = process_new(&hello, pid, st.st_uid, st.st_gid, "/proc", &server->users);
	if (process == NULL)
		return;
	log_warning(server->log, "process %d of %s, a Python, is not watched: %s", (int)pid,
		    process->unit != NULL ? process->unit : "no unit", why);
	finding_raise(server, process, PYAUDIT_EV_UNWATCHED, why);
	process_unref(process);
}

static void
look_at(struct unwatched *watch, pid_t pid)
{
	struct census census;
	struct seen *seen;
	uint64_t now_ns;

	if (is_attached(watch, pid))
		return;
	seen = find_seen(watch, pid);
	if (seen == NULL || watch->n_looks >= UNWATCHED_BUDGET) {
		if (!watch->said_full)
			log_notice(watch->server->log, "census: more than %d processes without an agent "
						       "in units that should be watched",
				   seen == NULL ? UNWATCHED_PIDS_MAX : UNWATCHED_BUDGET);
		watch->said_full = true;
		if (seen != NULL)
			seen->turn = watch->turn;
		return;
	}
	watch->n_looks++;
	seen->turn = watch->turn;
	if (seen->told_start != 0 && seen->told_start == process_started_ns("/proc", pid))
		return;
	/* A program that runs long without libpython will hardly load it still. */
	census_look(&census, "/proc", pid,
		    seen->n_turns < UNWATCHED_DEEP_TURNS || seen->n_turns % 32 == 0);
	seen->n_turns++;
	if (census.state != CENSUS_LOADED && census.state != CENSUS_WITHOUT) {
		seen->first_ns = 0;
		return;
	}
	now_ns = clock_ns(CLOCK_MONOTONIC);
	if (seen->first_ns == 0)
		seen->first_ns = now_ns;
	if (now_ns - seen->first_ns < UNWATCHED_GRACE_NS)
		return;
	seen->told_start = process_started_ns("/proc", pid);
	if (census_started_ns("/proc", pid) < watch->enabled_ns)
		return;
	tell(watch, pid, &census);
}

/* Control groups */

static void
look_at_group(struct unwatched *watch, const char *path, unsigned depth)
{
	char file[PATH_MAX], line[32];
	const struct dirent *entry;
	FILE *stream;
	DIR *dir;

	if (depth > UNWATCHED_DEPTH_MAX || watch->n_groups >= UNWATCHED_GROUPS_MAX ||
	    snprintf(file, sizeof(file), "%s/cgroup.procs", path) >= (int)sizeof(file))
		return;
	watch->n_groups++;
	stream = fopen(file, "re");
	while (stream != NULL && fgets(line, sizeof(line), stream) != NULL) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);

		if (pid > 0) /* 0: of another namespace */
			look_at(watch, pid);
	}
	if (stream != NULL)
		(void)fclose(stream);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
		    snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) < (int)sizeof(file))
			look_at_group(watch, file, depth + 1);
	if (dir != NULL)
		(void)closedir(dir);
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

/* Slices and users' managers hold services; nothing else is entered. */
static void
walk(struct unwatched *watch, const char *path, unsigned depth)
{
	const struct dirent *entry;
	DIR *dir = depth <= UNWATCHED_DEPTH_MAX ? opendir(path) : NULL;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char below[PATH_MAX];
		bool is_service = ends_with(entry->d_name, ".service");

		if (entry->d_type != DT_DIR || strlen(entry->d_name) > UNIT_NAME_MAX ||
		    snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >=
			    (int)sizeof(below))
			continue;
		if (is_service && is_to_be_watched(watch, entry->d_name))
			look_at_group(watch, below, 0);
		else if (ends_with(entry->d_name, ".slice") ||
			 strncmp(entry->d_name, "user@", 5) == 0)
			walk(watch, below, depth + 1);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

/* Keeps those that were there in this turn, in order. */
static void
forget_gone(struct unwatched *watch)
{
	size_t n = 0;

	for (size_t i = 0; i < watch->n_seen; i++)
		if (watch->seen[i].turn == watch->turn)
			watch->seen[n++] = watch->seen[i];
	if (n > 0)
		qsort(watch->seen, n, sizeof(watch->seen[0]), by_pid);
	watch->n_seen = watch->n_seen_before = n;
}

static void
on_timer(evutil_socket_t fd, short what, void *data)
{
	struct unwatched *watch = data;

	(void)fd;
	(void)what;
	watch->turn++;
	watch->n_groups = watch->n_looks = 0;
	walk(watch, watch->root, 0);
	forget_gone(watch);
}

/* The unified hierarchy, or systemd's own. */
static bool
find_root(struct unwatched *watch)
{
	static const char *const roots[] = {"/sys/fs/cgroup/systemd", "/sys/fs/cgroup"};
	const char *named = watch->server->conf->cgroups;

	for (size_t i = 0; named == NULL && i < sizeof(roots) / sizeof(roots[0]); i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "%s/cgroup.procs", roots[i]);
		if (access(path, F_OK) == 0)
			named = roots[i];
	}
	return named != NULL &&
	       snprintf(watch->root, sizeof(watch->root), "%s", named) < (int)sizeof(watch->root);
}

struct unwatched *
unwatched_new(struct server *server)
{
	struct timeval every = {.tv_sec = server->conf->watch_ms / 1000,
				.tv_usec = (suseconds_t)(server->conf->watch_ms % 1000) * 1000};
	struct unwatched *watch;

	if (server->conf->watch_ms == 0)
		return NULL;
	watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return NULL;
	watch->server = server;
	watch->seen = calloc(UNWATCHED_PIDS_MAX, sizeof(*watch->seen));
	watch->timer = event_new(server->base, -1, EV_PERSIST, on_timer, watch);
	if (watch->seen == NULL || watch->timer == NULL || !find_root(watch) ||
	    event_add(watch->timer, &every) < 0) {
		unwatched_free(watch);
		return NULL;
	}
	return watch;
}

void
unwatched_free(struct unwatched *watch)
{
	if (watch == NULL)
		return;
	if (watch->timer != NULL)
		event_free(watch->timer);
	free(watch->seen);
	free(watch);
}
