/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON writer onto a buf: compact, one line, always valid UTF-8. It keeps track of commas;
 * pairing of begin and end is the caller's. (Reading JSON: request.c by cJSON, rule files by
 * jsonc.c.)
 */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include "buf.h"

struct json {
	struct buf *out;
	bool comma; /* a value stands before: the next one needs a comma */
};

static inline struct json
json_on(struct buf *out)
{
	return (struct json){.out = out};
}

static inline void
json_separate(struct json *json)
{
	if (json->comma)
		buf_add_char(json->out, ',');
	json->comma = true;
}

static inline void
json_begin(struct json *json, char bracket)
{
	json_separate(json);
	buf_add_char(json->out, bracket);
	json->comma = false;
}

static inline void
json_end(struct json *json, char bracket)
{
	buf_add_char(json->out, bracket);
	json->comma = true;
}

#define json_object(json) json_begin(json, '{')
#define json_object_end(json) json_end(json, '}')
#define json_array(json) json_begin(json, '[')
#define json_array_end(json) json_end(json, ']')

/* A member's name, which must not need escaping. Inline, so that lengths are constants. */
static inline void
json_key(struct json *json, const char *name)
{
	size_t n = strlen(name);
	char *at;

	if (!buf_reserve(json->out, n + 4))
		return;
	at = json->out->data + json->out->len;
	if (json->comma)
		*at++ = ',';
	*at++ = '"';
	memcpy(at, name, n);
	at += n;
	*at++ = '"';
	*at++ = ':';
	json->out->len = (size_t)(at - json->out->data);
	json->comma = false;
}

/* Invalid UTF-8 becomes U+FFFD, one per byte. */
void json_text(struct json *json, const char *s, size_t n);
/* NULL gives null. */
void json_str(struct json *json, const char *s);
void json_int(struct json *json, int64_t value);
void json_uint(struct json *json, uint64_t value);
/* What JSON has no number for is text: "nan", "inf", "-inf". */
void json_double(struct json *json, double value);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);
/* Ready-made JSON: a value, or members of an object when @raw is `"a":1,"b":2`. */
void json_raw(struct json *json, const char *raw, size_t n);
/* RFC 3339, UTC, nanoseconds, as text. */
void json_time(struct json *json, uint64_t time_ns);

/* The same without quotes. */
void buf_add_time(struct buf *buf, uint64_t time_ns);

#endif
