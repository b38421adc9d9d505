/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture: what programs did and how it was judged, in a form that can be judged again. A head,
 * then blocks, each with a head of its own; blocks of a type that is not known are skipped. The
 * control socket sends the same bytes behind the answer to `capture`.
 *
 * A POLICY stands before the first event that its generation judged, a PROCESS before the first
 * event of its process. END is the last block of a file that was closed in order.
 *
 * For rules with memory there are also the events that nobody but they asked for, the daemon's CLOCK,
 * and a FIRED for each alert that a memory raised.
 */
#ifndef PYAUDIT_CAPTURE_H
#define PYAUDIT_CAPTURE_H

#include <assert.h>

#include "pyaudit/le.h"
#include "pyaudit/policy.h"
#include "pyaudit/wire.h"

#define PYAUDIT_CAPTURE_MAGIC "PYAUDCAP"
#define PYAUDIT_CAPTURE_MAJOR 1 /* differs from ours: the file is refused */
#define PYAUDIT_CAPTURE_MINOR 1 /* 0 had no CLOCK, FIRED, flags and trees */

struct pyaudit_capture {
	uint8_t magic[8];
	pyaudit_le16 major;
	pyaudit_le16 minor;    /* newer than ours: bytes behind what we know of a block are skipped */
	pyaudit_le32 flags;    /* enum pyaudit_capture_flags */
	pyaudit_le64 time_ns;  /* CLOCK_REALTIME of its beginning */
};
static_assert(sizeof(struct pyaudit_capture) == 24, "capture head size");

enum pyaudit_capture_flags {
	PYAUDIT_CAPTURE_WHOLE = 1 << 0, /* no filter: what memories made of the events is told as FIRED */
};

/* Longest block: the names of as many rules as a policy may have. */
#define PYAUDIT_CAPTURE_BLOCK_MAX (PYAUDIT_RULES_MAX * (PYAUDIT_RULE_ID_MAX + 1u) + 4096u)

enum pyaudit_capture_type {
	PYAUDIT_CAPTURE_POLICY = 1,
	PYAUDIT_CAPTURE_PROCESS = 2,
	PYAUDIT_CAPTURE_EVENT = 3,
	PYAUDIT_CAPTURE_LOSS = 4,
	PYAUDIT_CAPTURE_GONE = 5, /* le32 key: no further event of this process */
	PYAUDIT_CAPTURE_END = 6,
	PYAUDIT_CAPTURE_CLOCK = 7, /* le64 CLOCK_REALTIME: the daemon looked what has become overdue */
	PYAUDIT_CAPTURE_FIRED = 8,
};

struct pyaudit_capture_block {
	pyaudit_le32 size; /* with this head */
	pyaudit_le16 type; /* enum pyaudit_capture_type */
	pyaudit_le16 reserved;
};
static_assert(sizeof(struct pyaudit_capture_block) == 8, "block head size");

enum pyaudit_capture_policy_flags {
	PYAUDIT_CAPTURE_OBSERVE = 1 << 0,
	PYAUDIT_CAPTURE_RECORD_ALL = 1 << 1,
};

/* Then for each rule, by its number: a byte with the length of its id, and the id. */
struct pyaudit_capture_policy {
	pyaudit_le64 generation;
	pyaudit_le32 n_rules;
	pyaudit_le16 record; /* classes recorded without a rule: enum pyaudit_class */
	uint8_t flags;
	uint8_t reserved;
};
static_assert(sizeof(struct pyaudit_capture_policy) == 16, "policy block size");

/* Then the payload of the agent's HELLO, by whose facts its policy judged; then what the daemon
 * knew, NUL terminated: user, executable, working directory, control group, n_argv arguments.
 * Behind these le64 tree: the same for all processes that come from one that is watched. */
struct pyaudit_capture_process {
	pyaudit_le32 key; /* names the process in this file */
	pyaudit_le32 pid, ppid, uid, gid;
	pyaudit_le32 hello; /* bytes */
	pyaudit_le64 loginuid; /* signed; -1: none */
	pyaudit_le16 n_argv;
	pyaudit_le16 reserved;
	pyaudit_le32 strings; /* bytes */
};
static_assert(sizeof(struct pyaudit_capture_process) == 40, "process block size");

/* Then the record. */
struct pyaudit_capture_event {
	pyaudit_le32 process; /* its key; 0: none is known */
	pyaudit_le32 flags;   /* enum pyaudit_capture_event_flags */
};
static_assert(sizeof(struct pyaudit_capture_event) == 8, "event block size");

enum pyaudit_capture_event_flags {
	PYAUDIT_CAPTURE_AHEAD = 1 << 0, /* its time was not come yet: memories go by the CLOCK before it */
};

/* An alert of a rule with memory; then the rule's id. */
struct pyaudit_capture_fired {
	pyaudit_le64 time_ns; /* of the event in whose name it is */
};
static_assert(sizeof(struct pyaudit_capture_fired) == 8, "fired block size");

struct pyaudit_capture_loss {
	pyaudit_le32 process;
	pyaudit_le32 cause; /* a number of the daemon's version, for people */
	pyaudit_le64 lost;
};
static_assert(sizeof(struct pyaudit_capture_loss) == 16, "loss block size");

struct pyaudit_capture_end {
	pyaudit_le64 n_events; /* EVENT blocks before it */
	pyaudit_le64 n_lost;   /* sum of LOSS blocks */
};
static_assert(sizeof(struct pyaudit_capture_end) == 16, "end block size");

#endif
