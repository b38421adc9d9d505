/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon itself has found out about a process, told as an event like any other. */
#ifndef DAEMON_FINDING_H
#define DAEMON_FINDING_H

#include "event.h"
#include "process.h"

struct server;

/* Judged by the rules, and an alert whatever they say. @text is its one argument. */
void finding_raise(struct server *server, struct process *process, enum pyaudit_event_id id,
		   const char *text);

#endif
