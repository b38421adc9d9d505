/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our place in the interpreter's list of audit hooks: put in, found again, and left in order when
 * the interpreter clears its list.
 */
#ifndef AGENT_REGISTRATION_H
#define AGENT_REGISTRATION_H

#include <stdbool.h>

#include "pyaudit/ring.h"

/* Adds the hook. Also after the interpreter ended: it may be initialised again. */
void registration_add(void);
enum pyaudit_hook_state registration_state(void);

/* The interpreter is about to free its list of hooks. */
void registration_cleared(void);

/* Says in the ring where the daemon can look whether the hook is still there. */
void registration_tell(struct pyaudit_ring *ring);

/* Reads the list: false where somebody took the hook out or put another function in. Three loads;
 * true where it cannot be told. */
bool registration_holds(void);

#endif
