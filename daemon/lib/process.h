/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one process: from the socket's credentials, from /proc, and where these have
 * nothing to say (gone, or not readable for us) from the agent's own word. Fixed once it is
 * made, and shared by count: a session holds it, and so do the events that are kept in memory.
 */
#ifndef LIB_PROCESS_H
#define LIB_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "buf.h"
#include "event.h"
#include "frame.h"

#define PROCESS_TEXT_MAX 4096    /* of exe, cwd, cgroup, venv each; longer ones are cut */
#define PROCESS_CMDLINE_MAX 16384 /* of /proc/PID/cmdline that is read */
#define PROCESS_UIDS_MAX 4096    /* users of /etc/passwd whose names are known */

struct users {
	struct {
		uid_t uid;
		char *name;
	} *users;
	size_t n_users;
};

/* Reads /etc/passwd itself: name services may wait for a network. */
void users_load(struct users *users, const char *path);
void users_fini(struct users *users);
const char *users_name(const struct users *users, uid_t uid); /* NULL where unknown */

struct process {
	unsigned n_refs;
	uint32_t key;      /* names it in captures; 0: not given */
	uint8_t *hello;    /* payload of the agent's HELLO: the facts that it judges by; or NULL */
	size_t n_hello;
	pid_t pid, ppid;
	uid_t uid;
	gid_t gid;
	int64_t loginuid;  /* -1: none */
	uint64_t start_ns; /* CLOCK_REALTIME of attaching */
	uint64_t tree;     /* the same for all that come from one watched process */
	uint8_t route, reason;
	bool from_proc;    /* /proc was there to read */
	char *user, *exe, *cwd, *cgroup, *unit, *container, *python, *venv, *script; /* or NULL */
	char **argv;
	size_t n_argv;
	struct pyaudit_value *argv_values; /* of argv */
	struct pyaudit_facts facts;
	struct buf json; /* members that every event of it carries, `"ppid":1,...` */
};

/* @proc is "/proc", or NULL to ask the hello alone. NULL without memory. */
struct process *process_new(const struct hello *hello, pid_t pid, uid_t uid, gid_t gid,
			    const char *proc, const struct users *users);
/* From what is known already: of a capture. Empty texts are not known. */
struct process *process_known(const struct hello *hello, pid_t pid, uid_t uid, gid_t gid,
			      int64_t loginuid, const char *user);
/* Gives it its name in captures, and a copy of the payload that @hello came from. */
void process_keep_hello(struct process *process, uint32_t key, const uint8_t *payload,
			size_t length);
/* About how many bytes it takes. */
size_t process_memory(const struct process *process);
struct process *process_ref(struct process *process);
void process_unref(struct process *process); /* NULL is fine */

/* Its parent, or 0 where it is gone. */
pid_t process_parent(const char *proc, pid_t pid);

/* When the process (or thread) started, CLOCK_BOOTTIME, or 0 where it is gone. */
uint64_t process_started_ns(const char *proc, pid_t pid);

#endif
