/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process knows of itself: facts for proc.* conditions and for the HELLO frame. Read from
 * /proc with plain system calls, no allocation.
 */
#ifndef AGENT_FACTS_H
#define AGENT_FACTS_H

#include "event.h"
#include "pyaudit/wire.h"

struct facts_room {
	char strings[PYAUDIT_HELLO_STRINGS_MAX]; /* as HELLO carries them, NUL terminated each */
	uint32_t strings_len;
	uint16_t n_argv;
	char script[256];
	struct pyaudit_value argv[PYAUDIT_LIST_MAX];
};

/* Fills @room and the facts that point into it. */
void facts_gather(struct facts_room *room, struct pyaudit_facts *ret);

/* Replaces what looks like a credential in the arguments, as HELLO carries them: what may be told from
 * now on. The facts that point into @room are void afterwards. */
void facts_redact(struct facts_room *room);

#endif
