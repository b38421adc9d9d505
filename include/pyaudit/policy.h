/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy image: what rules compile to. One flat, position-independent, versioned block that
 * agent and tools map read-only and evaluate in place. Made by daemon/lib/compile.c, checked and
 * evaluated by agent/verdict.c.
 */
#ifndef PYAUDIT_POLICY_H
#define PYAUDIT_POLICY_H

#include <assert.h>

#include "pyaudit/le.h"
#include "pyaudit/record.h"

#define PYAUDIT_IMAGE_MAGIC 0x31504150u /* "PAP1" */
#define PYAUDIT_IMAGE_SIZE_MAX (64u << 20)
#define PYAUDIT_RULES_MAX 16384
#define PYAUDIT_RULE_ID_MAX 64 /* bytes without the NUL: [a-z0-9][a-z0-9._-]* */
#define PYAUDIT_PROC_ATOMS_MAX 1024

/* Dispatch entry of one event name. */
enum pyaudit_slot_flags {
	PYAUDIT_SLOT_RECORD = 1 << 0, /* goes to the ring whatever the rules say */
	PYAUDIT_SLOT_JUDGE = 1 << 1,  /* some rule names the event */
};

struct pyaudit_slot {
	pyaudit_le32 name;    /* offset of the NUL-terminated event name; 0: the slot of all others */
	pyaudit_le32 name_len;
	pyaudit_le16 event;   /* enum pyaudit_event_id */
	uint8_t flags;        /* enum pyaudit_slot_flags: 0 means that nobody asks, drop it */
	uint8_t reserved;
	pyaudit_le32 program; /* offset of what judges it; meaning is verdict.c's */
};
static_assert(sizeof(struct pyaudit_slot) == 16, "slot size");

#endif
