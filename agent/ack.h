/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ack` of a rule: the act waits until its alert is written, or the rule's time is up. The one place where the agent
 * waits, and only where a rule says so. The thread waits as it is: in an interpreter with a lock, with the lock.
 */
#ifndef AGENT_ACK_H
#define AGENT_ACK_H

#include "ring.h"
#include "verdict.h"

/* How long the rules that hold want to wait, in milliseconds: the longest; 0: none does. */
unsigned ack_wanted(const void *image, const struct pyaudit_verdict *verdict);

/* Until the sinks have the urgent record of this index. Where they do not in time, that is counted in n_late. Looks
 * at the ring at ever longer distances, and makes no call but to sleep between. */
void ack_await(struct pyaudit_ring *ring, uint64_t index, unsigned wait_ms);

#endif
