/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts are one search where the thread, the words the program would get (the same object) and
 * the file (device and inode) are the same, and the path is not: the same path again is an act of
 * its own. What cannot be looked at as the kernel would see it is an act of its own as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "search.h"
#include "clock.h"
#include "status.h"
#include "sums.h"

#define SEARCH_PATH_MAX 1024 /* longer ones are acts of their own */

/* The attempt that was refused last. Small: thread-local memory is scarce in libraries. */
static _Thread_local struct {
	const void *words;
	uint32_t pid; /* a forked child's attempt is another search */
	uint64_t dev, ino;
	uint64_t path; /* hash */
	uint64_t ms;   /* CLOCK_MONOTONIC_COARSE */
} last;

/* The path as the kernel would get it. Text beyond ASCII is encoded in ways that are Python's. */
static bool
plain_path(struct pyaudit_event *event, char path[SEARCH_PATH_MAX])
{
	const struct pyaudit_value *v = event->args;

	if (event->n_args != 3)
		return false;
	pyaudit_event_need_arg(event, 0);
	if ((v->type != PYAUDIT_TAG_STR && v->type != PYAUDIT_TAG_BYTES) || v->flags != 0 ||
	    v->len == 0 || v->len >= SEARCH_PATH_MAX)
		return false;
	for (uint32_t i = 0; i < v->len; i++)
		if (v->s[i] == '\0' || (v->type == PYAUDIT_TAG_STR && (v->s[i] & 0x80) != 0))
			return false;
	memcpy(path, v->s, v->len);
	path[v->len] = '\0';
	return true;
}

enum search_step
search_step(struct pyaudit_event *event, PyObject *args)
{
	char path[SEARCH_PATH_MAX];
	const void *words;
	uint32_t pid = (uint32_t)getpid();
	uint64_t hash, ms;
	struct stat st;
	bool again;

	if (event->id != PYAUDIT_EV_OS_EXEC || !plain_path(event, path))
		return SEARCH_NONE;
	if (status_at(AT_FDCWD, path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? SEARCH_MISSING : SEARCH_NONE;
	words = python.PyTuple_GetItem(args, 1);
	hash = text_hash(path, strlen(path));
	ms = clock_ms(CLOCK_MONOTONIC_COARSE);
	again = last.words == words && last.pid == pid && last.dev == st.st_dev && last.ino == st.st_ino &&
		last.path != hash && ms - last.ms < SEARCH_MS;
	if (again)
		return SEARCH_AGAIN;
	last.words = words;
	last.pid = pid;
	last.dev = st.st_dev;
	last.ino = st.st_ino;
	last.path = hash;
	last.ms = ms;
	return SEARCH_NONE;
}
