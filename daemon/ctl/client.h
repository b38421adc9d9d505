/* SPDX-License-Identifier: Apache-2.0 */
/* A client of the control socket (docs/PROTOCOL.md): JSON lines, with bounds and deadlines. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_LINE_MAX (64u << 20) /* status of a host with 100,000 processes */
#define CLIENT_TIMEOUT_MS 10000     /* a daemon that takes longer to answer is stuck */

struct client {
	int fd;
	char *buffer; /* grows to the longest line seen */
	size_t size, start, end;
	size_t scanned; /* bytes from @start on that hold no line end */
};

#define CLIENT_INIT {.fd = -1}

static inline void
json_freep(cJSON **json)
{
	cJSON_Delete(*json);
}

/* The runtime directory: @dir, or what the environment names, or the default. */
const char *client_directory(const char *dir);

/* 0 or a negative errno. */
int client_open(struct client *client, const char *dir);
void client_close(struct client *client);

/* One line, without its end and NUL terminated, valid until the next call. 1; 0 at the end of the
 * stream; -EAGAIN after @timeout_ms without one (0: does not wait, -1: waits); -EMSGSIZE for a line
 * beyond CLIENT_LINE_MAX; or another negative errno. */
int client_line(struct client *client, char **ret_line, size_t *ret_len, int timeout_ms);

/* For what is no lines: reads more of it without waiting, and gives out all that stands unread,
 * valid until the next call. 1; 0 at the end of the stream; -EAGAIN: nothing more has come; or
 * another negative errno. What was not used is given out again. */
int client_bytes(struct client *client, const uint8_t **ret_bytes, size_t *ret_len);
void client_use(struct client *client, size_t n);

/* Sends @request as a line. */
int client_send(struct client *client, const cJSON *request);
/* Reads the answer's status line into @ret_answer, its text into @ret_line if not NULL (valid
 * until the next line). 0 also if the daemon said no; -EAGAIN; -EBADMSG if that is no answer;
 * -ECONNRESET if there is none; or another negative errno. */
int client_answer(struct client *client, int timeout_ms, cJSON **ret_answer,
		  char **ret_line);
/* Both; -ETIMEDOUT in the place of -EAGAIN. */
int client_request(struct client *client, const cJSON *request, cJSON **ret_answer,
		   char **ret_line);
/* The same for a request without parameters. */
int client_ask(struct client *client, const char *name, cJSON **ret_answer,
	       char **ret_line);

/* Whether the daemon said yes. If not, says on stderr what it said. */
bool client_accepted(const cJSON *answer);

/* Says on stderr why the daemon of @dir cannot be talked to, and what to do about it. */
void client_explain(const char *dir, int error);

#endif
