/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python looks for a program in PATH by trying to execute it in each directory (os.execvp,
 * os.execlp, os.spawnvp in its child), and each attempt is an event. Most find no file there, and
 * where /bin leads to /usr/bin one file is met twice. One act is to be told once.
 */
#ifndef AGENT_SEARCH_H
#define AGENT_SEARCH_H

#include "event.h"
#include "python.h"

/* Longest between two attempts of one search. */
#define SEARCH_MS 2000

enum search_step {
	SEARCH_NONE,	/* an act of its own: anything but an attempt that is one of these */
	SEARCH_MISSING, /* there is no such file */
	SEARCH_AGAIN,	/* the file that this thread was refused a moment ago, by another path */
};

/* What os.exec is about to do with the arguments @args of @event. Where it is SEARCH_NONE, the file
 * is remembered for the next one. A system call, so only for an event that is to be refused or
 * told. */
enum search_step search_step(struct pyaudit_event *event, PyObject *args);

#endif
