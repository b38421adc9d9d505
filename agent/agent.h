/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's state: one per process. Policies are swapped by a pointer; what must not outlive a
 * fork stands in a page that the kernel wipes in the child.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "python.h"
#include "ring.h"
#include "pyaudit/wire.h"
#include "verdict.h"

/* Policies that stay mapped after a newer one took over. With a GIL no thread can still be inside
 * one; without, a thread may be judging by the one before. */
#define AGENT_POLICIES 8

struct policy {
	const void *image; /* mapped read-only; NULL: slot is empty */
	size_t size;
	uint64_t generation;
	uint32_t serial; /* no other policy of the process has had it: memo.h */
	unsigned context; /* events that an alert tells of, before it; 0: none are kept */
	struct pyaudit_proc_bits proc;
};

/* A descriptor of ours in a table that belongs to the program: before use, the file behind the
 * number is compared with the one we opened, for the program may have closed and reused it. */
struct held_fd {
	int fd; /* -1: none */
	uint64_t dev, ino;
};

struct agent {
	_Atomic(const struct policy *) policy;  /* in force; NULL: none */
	_Atomic(_Atomic uint64_t *) generation; /* newest on offer: in the ring, or no_generation */
	_Atomic uint64_t generation_seen;       /* its value when offers were last taken */
	struct pyaudit_ring *ring;              /* NULL: none */
	struct held_fd socket, memfd;
	uint32_t pid;
	_Atomic uint64_t last_try_ms; /* CLOCK_MONOTONIC_COARSE of the last attempt to attach */
	_Atomic uint64_t last_look_ns; /* CLOCK_REALTIME of the last look whether the daemon lives */
	_Atomic uint64_t n_unsent;     /* records that had neither ring nor socket */
	unsigned n_policies;
	struct policy *policies; /* AGENT_POLICIES */
	_Atomic uint64_t no_generation; /* 0 */
	uint8_t route;
	bool observes; /* denials of this process are alerts: PYAUDIT_MODE */
	char dir[96]; /* runtime directory; short enough for a socket address */
};

extern struct agent agent;

/* Zero after fork, in the child, whichever way it forked. */
struct agent_life {
	_Atomic uint32_t attached; /* 0: forked, or without policy: see link.c before judging */
	atomic_flag busy;          /* one thread at a time changes policy or link; others go on */
	uint32_t epoch;            /* 0 in a forked child that has not looked yet */
	uint32_t countdown;        /* events until the next attempt to attach */
};

extern struct agent_life *agent_life;

/* hook.c: the audit hook, for PySys_AddAuditHook. */
int hook_event(const char *name, PyObject *args, void *data);

/*
 * hook.c: judges a call of the libc layer. 0: go on. -EPERM: refused, and told. -ENOENT: refused,
 * but there is no such program (@is_real of @data says, where it is set), so that nothing was told.
 */
int hook_native(const char *name, const struct pyaudit_value *args, unsigned n_args,
		bool (*is_real)(const void *), const void *data);

/* hook.c: whether the policy in force asks for an event of that name. */
bool hook_asks(const char *name);

/* agent.c: a Python is there, in @library (a handle of dlopen that stays open) or in what the
 * program was linked with. False: it is none we can use, or we are to stay out. */
bool agent_begin(void *library, enum pyaudit_route route);

#endif
