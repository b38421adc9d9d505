/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's end of the connection: policy file, ring, socket. Nothing here waits: what is not
 * there now is tried again at a later event.
 */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include "agent.h"
#include "pyaudit/wire.h"

/* Loads the published policy where none is in force, makes the ring where there is none, connects
 * and says HELLO. Every part may fail and is tried again later. */
void link_attach(enum pyaudit_reason reason);

/* Takes the policies the daemon has sent; the newest that is whole comes into force. */
void link_take_policy(void);

/* Tells the sleeping daemon that there is something. */
void link_wake(void);

/* The same between fork and exec, where the descriptor may be closed already and nothing of the
 * parent's may be changed: a WAKE on a connection of its own. */
void link_knock(void);

/* Once in a while, and when a lane runs full: connects again where the daemon went away. @now_ns
 * is CLOCK_REALTIME. */
void link_look(uint64_t now_ns);

/* Sends a record by the socket, for processes that were refused a ring. */
bool link_send_record(const void *record, size_t size);

/* In a forked child: lets go of what belongs to the parent. The policy stays. */
void link_forked(void);

#endif
