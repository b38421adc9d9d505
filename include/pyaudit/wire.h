/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on the agent socket (SOCK_SEQPACKET, <runtime directory>/agent.sock). One frame per
 * packet. The agent sends HELLO with its ring's memfd and never waits for an answer; the daemon
 * sends POLICY with a sealed memfd whenever the agent's generation is old and the previous one
 * was taken (ring.generation_used), and then raises ring.generation.
 */
#ifndef PYAUDIT_WIRE_H
#define PYAUDIT_WIRE_H

#include <assert.h>

#include "pyaudit/le.h"

#define PYAUDIT_MAJOR 1
#define PYAUDIT_MINOR 1 /* HELLO ends in the version of the agent */

/* Default runtime directory; the environment variable PYAUDIT_DIR names another. */
#define PYAUDIT_DIR_DEFAULT "/run/pyaudit"
#define PYAUDIT_ENV_DIR "PYAUDIT_DIR"
#define PYAUDIT_ENV_DISABLE "PYAUDIT_DISABLE" /* set and not empty: the agent stays out */
#define PYAUDIT_ENV_MODE "PYAUDIT_MODE"       /* "observe": the agent refuses nothing here */
#define PYAUDIT_MODE_OBSERVE "observe"
/* What keeps agents out of programs that start: this file, in /etc or the runtime directory, or this
 * word on the kernel's command line. */
#define PYAUDIT_ETC_DIR "/etc/pyaudit"
#define PYAUDIT_DISABLE_FILE "disable"
#define PYAUDIT_KERNEL_PARAMETER "pyaudit=off"
#define PYAUDIT_AGENT_SOCKET "agent.sock"
#define PYAUDIT_CONTROL_SOCKET "control.sock"
#define PYAUDIT_POLICY_FILE "policy" /* newest image, read by agents before the daemon answers */

/* Longest packet: a RECORD frame. */
#define PYAUDIT_PAYLOAD_MAX 8448

enum pyaudit_frame_type {
	PYAUDIT_FRAME_HELLO = 1,  /* agent: struct pyaudit_hello + strings; SCM_RIGHTS: ring memfd */
	PYAUDIT_FRAME_WAKE = 2,   /* agent: the ring was asleep and has something; no payload. As the
				   * first frame of a connection: some ring was, from a child
				   * between fork and exec; the daemon looks at all that sleep */
	PYAUDIT_FRAME_RECORD = 3, /* agent without a ring: one struct pyaudit_record */
	PYAUDIT_FRAME_LOST = 4,   /* agent without a ring: struct pyaudit_lost */
	PYAUDIT_FRAME_POLICY = 16, /* daemon: struct pyaudit_offer; SCM_RIGHTS: policy memfd */
	PYAUDIT_FRAME_REFUSED = 17, /* daemon: text, why the agent is turned away; then it closes */
};

struct pyaudit_frame {
	uint8_t magic[2];    /* 'P' 'A' */
	uint8_t major;       /* differs from ours: the peer is turned away, with a reason */
	uint8_t minor;       /* newer than ours: trailing payload bytes are skipped */
	pyaudit_le16 type;   /* enum pyaudit_frame_type */
	pyaudit_le16 flags;  /* zero in 1.0; unknown bits are ignored */
	pyaudit_le32 length; /* payload bytes that follow, up to PYAUDIT_PAYLOAD_MAX */
};
static_assert(sizeof(struct pyaudit_frame) == 12, "frame header size");

enum pyaudit_route {
	PYAUDIT_ROUTE_PRELOAD = 1,
	PYAUDIT_ROUTE_IMPORT = 2,
	PYAUDIT_ROUTE_LATE = 3, /* preloaded, and the program loaded libpython later */
};

enum pyaudit_reason {
	PYAUDIT_REASON_START = 1,   /* the program started */
	PYAUDIT_REASON_FORK = 2,    /* a forked child's first event */
	PYAUDIT_REASON_AGAIN = 3,   /* the daemon or the connection went away; same ring */
};

/* Flags of a HELLO frame. */
#define PYAUDIT_HELLO_OBSERVES (1u << 0) /* the agent refuses nothing: PYAUDIT_MODE */

/* What the agent says of its process. The daemon prefers SO_PEERCRED and /proc; this is for what
 * they cannot say and for processes that are gone before it looks. Behind it come, NUL
 * terminated each: Python version, executable, working directory, control group, VIRTUAL_ENV,
 * then n_argv arguments. From 1.1 on the agent's own version follows, which `strings` does not
 * count. */
struct pyaudit_hello {
	pyaudit_le32 pid;
	pyaudit_le32 ppid;
	pyaudit_le32 uid;
	pyaudit_le32 gid;
	pyaudit_le64 start_ns;   /* CLOCK_REALTIME of attaching */
	pyaudit_le64 generation; /* policy in force, 0 for none */
	uint8_t route;           /* enum pyaudit_route */
	uint8_t reason;          /* enum pyaudit_reason */
	pyaudit_le16 n_argv;     /* arguments that follow, at most PYAUDIT_LIST_MAX */
	pyaudit_le32 strings;    /* bytes of strings that follow */
};
static_assert(sizeof(struct pyaudit_hello) == 40, "hello size");

#define PYAUDIT_HELLO_STRINGS_MAX 6144
#define PYAUDIT_VERSION_MAX 32 /* bytes of a version, its NUL included; a longer one is cut */

struct pyaudit_offer {
	pyaudit_le64 generation;
	pyaudit_le64 size; /* of the image */
};
static_assert(sizeof(struct pyaudit_offer) == 16, "offer size");

struct pyaudit_lost {
	pyaudit_le64 total; /* records dropped since HELLO, ever growing */
};
static_assert(sizeof(struct pyaudit_lost) == 8, "lost size");

#endif
