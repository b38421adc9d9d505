/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests on the control socket: one JSON object per line (docs/PROTOCOL.md).
 */
#ifndef LIB_REQUEST_H
#define LIB_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_MAX 65536 /* bytes of a line */
#define REQUEST_PAUSE_MAX (30u * 86400) /* seconds of a pause that ends by itself */
#define REQUEST_ERROR_MAX 256

enum request_kind {
	REQUEST_STATUS,
	REQUEST_RULES,
	REQUEST_TAIL,
	REQUEST_CAPTURE,
	REQUEST_RELOAD,
	REQUEST_CONFIG,
	REQUEST_METRICS,
	REQUEST_PAUSE,
	REQUEST_RESUME,
	REQUEST_MODE,
	REQUEST_DRAIN,
	REQUEST_STOP,
};

struct request {
	enum request_kind kind;
	char *filter;      /* or NULL */
	unsigned for_s;    /* of pause; 0: until it is resumed */
	bool observe;      /* of mode; else enforce */
	char *rule, *unit, *file; /* of mode: one of them, or NULL for the host */
	bool host, has_mode;
	bool has_since;
	uint64_t since_ns; /* CLOCK_REALTIME */
};

/* 0; -EINVAL with a sentence in @error (may hold the peer's bytes); -ENOMEM. */
int request_parse(struct request *ret, const char *line, size_t len,
		  char error[REQUEST_ERROR_MAX]);
void request_fini(struct request *request);

/* RFC 3339 with Z or an offset. -EINVAL where it is something else. */
int time_parse(uint64_t *ret_ns, const char *text);

#endif
