/* SPDX-License-Identifier: Apache-2.0 */
/* What went before an alert, as a file that the journal's entry names: where there is a journal, and a
 * directory for what outlives the daemon. */
#ifndef DAEMON_CONTEXT_H
#define DAEMON_CONTEXT_H

#include "server.h"

#define CONTEXT_DIR "context" /* in the state directory */

/* 0 or a negative errno. */
int context_init(struct server *server);
/* Writes what is queued, as far as @timeout_ms allows. */
void context_fini(struct server *server, unsigned timeout_ms);

/* Has the file written where the alert has a context, and its path put into the report until the next call. */
void context_tell(struct server *server, struct report *report);

#endif
