/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of the control socket (docs/PROTOCOL.md). What a client has not read yet is bounded;
 * beyond that it misses events, which are counted and told to it.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "server.h"

#define CONTROL_REQUEST_MS 30000 /* a client has this long for its request */
#define CONTROL_STRANGER_MS 2000  /* one without rights has this long to hear so */
#define CONTROL_STRANGERS_MAX 8   /* and so many of them are listened to at a time */
#define CONTROL_USER_MAX 16       /* clients at a time of one user who may look and nothing else */
#define CONTROL_DRAIN_MS 10000   /* and sinks for a drain that someone waits for */

/* Takes over @fd. */
void control_accept(struct server *server, int fd);
/* Passes a report on to the live clients that ask for it. */
void control_publish(struct server *server, const struct report *report, uint64_t weight);
/* Tells captures what the daemon's clock says; @waiting: an absence may become due. */
void control_tell_clock(struct server *server, uint64_t now_ns, bool waiting);
/* Some sink's queue ran empty: answers those who wait for it. */
void control_sinks_moved(struct server *server);
/* Writes out what clients have not read, for a short time, and closes them all. */
void control_close_all(struct server *server);

#endif
