/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python processes in units that should be watched, and are not: told as pyaudit.unwatched.
 *
 * Looked at are the control groups of services that `pyauditctl enable` made a drop-in for, and of
 * those that `watch_units` names; not the whole of /proc. In each, a process with a session costs
 * a look into a table, and one at its hook, whether it is still the program that attached; another one costs a
 * readlink. What is found is looked at again before it is told: an interpreter that is starting has no session
 * yet.
 */
#ifndef DAEMON_UNWATCHED_H
#define DAEMON_UNWATCHED_H

#include <sys/types.h>

#define UNWATCHED_GROUPS_MAX 1024   /* control groups that are watched at a time */
#define UNWATCHED_DEPTH_MAX 8       /* of slices, and of groups below a unit */
#define UNWATCHED_PIDS_MAX 4096     /* processes without a session that are remembered */
#define UNWATCHED_BUDGET 512        /* processes without a session that are looked at in one turn */
#define UNWATCHED_INSIDE_MAX 1024   /* processes with a session that are looked into in one turn */
#define UNWATCHED_DEEP_TURNS 4      /* turns in which a program of another name is read for libpython */
#define UNWATCHED_GRACE_NS 600000000u /* from first sight to the alert */

struct unwatched;
struct server;

/* NULL where there are no control groups or it is switched off. */
struct unwatched *unwatched_new(struct server *server);
void unwatched_free(struct unwatched *watch);

#endif
