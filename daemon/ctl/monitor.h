/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private daemon: in a directory of its own that only this user can enter, in a session of its
 * own so that the terminal's signals pass it by, and ended by the closing of a pipe, so that it
 * never outlives the one that started it, however that one ends.
 */
#ifndef CTL_MONITOR_H
#define CTL_MONITOR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MONITOR_DIR_MAX 96        /* leaves room for "/control.sock" in sun_path */
#define MONITOR_LOG_MAX 65536     /* the end of what it said on stderr */
#define MONITOR_START_MS 30000    /* to be ready */
#define MONITOR_END_MS 15000      /* to be gone once it was told; its sinks have 5 s of that */

struct monitor_options {
	const char *const *rules; /* paths, in order */
	size_t n_rules;
	bool no_default_rules;
	const char *profile; /* or NULL */
	bool observe;
	const char *record;
	const char *ndjson; /* path or NULL */
};

struct monitor {
	char dir[MONITOR_DIR_MAX];
	char agent[PATH_MAX]; /* path for LD_PRELOAD, which cannot hold every path */
	bool has_workspace; /* a file of rules that names where the command may write */
	pid_t pid;      /* 0: none, or waited for */
	int status;     /* of waitpid, once pid is 0 */
	int parent_fd;  /* our end of the pipe; closing it ends the daemon */
	int log_fd;     /* its stderr */
	char *log;
	size_t log_len;
};

#define MONITOR_INIT {.parent_fd = -1, .log_fd = -1}

/* Makes the directory and starts the daemon. Returns CTL_OK once it is ready; otherwise an exit
 * code, with everything said and cleaned up. Gives up, silently with CTL_RUN_SIGNAL, when
 * @wake_fd becomes readable and @interrupted says so. */
int monitor_start(struct monitor *monitor, const struct monitor_options *options, int wake_fd,
		  bool (*interrupted)(void));

/* Reads what it said, without waiting. To be called when log_fd is readable: a daemon whose stderr
 * is full would lose its last words. */
void monitor_read_log(struct monitor *monitor);

/* Whether it has ended; its status is then in @status. */
bool monitor_has_ended(struct monitor *monitor);

/* Ends it at once, if it has not ended. */
void monitor_kill(struct monitor *monitor);

/* Ends it if it has not ended, by force if it takes too long, and removes the directory. */
void monitor_end(struct monitor *monitor);

#endif
