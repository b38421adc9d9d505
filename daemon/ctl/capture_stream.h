/* SPDX-License-Identifier: Apache-2.0 */
/* A capture on its way from the daemon into a file. Only whole blocks are written. */
#ifndef CTL_CAPTURE_STREAM_H
#define CTL_CAPTURE_STREAM_H

#include "client.h"

struct capture_stream {
	struct client client; /* fd -1: nothing more comes */
	int fd;		      /* the file */
	const char *path;
	bool has_head;
	uint64_t n_events, n_lost;
	int error; /* of writing, said already */
};

#define CAPTURE_STREAM_INIT {.client = CLIENT_INIT, .fd = -1}

struct capture_request {
	const char *dir;
	const char *filter; /* or NULL */
	const char *since;  /* as the daemon takes it, or NULL */
};

/* Makes the file, for its owner alone. CTL_OK or CTL_FAILED after saying why. */
int capture_stream_create(struct capture_stream *stream, const char *path);
/* Asks the daemon. CTL_OK; CTL_USAGE: it does not take the filter; CTL_FAILED. All is said. */
int capture_stream_ask(struct capture_stream *stream, const struct capture_request *request);
/* Takes what has come, without waiting. Whether there may be more already; the client is closed
 * once nothing more can come or the file does not take it. */
bool capture_stream_take(struct capture_stream *stream);
/* Writes the end. CTL_OK, or CTL_FAILED where the file is not whole, which is said. */
int capture_stream_close(struct capture_stream *stream);

#endif
