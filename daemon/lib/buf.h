/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing run of bytes. A failure to grow sticks (`failed`) and later additions do nothing, so
 * that writers check once at the end.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BUF_SIZE_MAX ((size_t)1 << 30)

struct buf {
	char *data;
	size_t len, size;
	bool failed;
};

void buf_init(struct buf *buf);
void buf_fini(struct buf *buf);
/* Empties it and clears a failure; keeps the memory. */
void buf_reset(struct buf *buf);
/* Gives back what is not used. */
void buf_trim(struct buf *buf);
/* Makes room for @n more bytes. False where there is none, now and from then on. */
bool buf_grow(struct buf *buf, size_t n); /* behind buf_reserve */

/* These run for every event and every member of it. */
static inline bool
buf_reserve(struct buf *buf, size_t n)
{
	return (n <= buf->size - buf->len && !buf->failed) || buf_grow(buf, n);
}

static inline void
buf_add(struct buf *buf, const void *bytes, size_t n)
{
	if (n == 0 || !buf_reserve(buf, n))
		return;
	memcpy(buf->data + buf->len, bytes, n);
	buf->len += n;
}

static inline void
buf_add_char(struct buf *buf, char c)
{
	if (buf_reserve(buf, 1))
		buf->data[buf->len++] = c;
}

static inline void
buf_add_str(struct buf *buf, const char *s)
{
	buf_add(buf, s, strlen(s));
}

/* "00" to "99". */
extern const char buf_digits[100][2];

void buf_add_uint(struct buf *buf, uint64_t value);
void buf_add_int(struct buf *buf, int64_t value);
__attribute__((format(printf, 2, 3))) void buf_addf(struct buf *buf, const char *format, ...);

/* Bytes that no NUL ends (strndup asks for a text) as a text of their own, or NULL. */
char *text_copy(const char *bytes, size_t len);

/* Length of the valid UTF-8 sequence that starts at @s, 1 to 4, or 0 where there is none. */
size_t utf8_sequence(const char *s, size_t left);

/* Adds text for a person's terminal or log: control characters (blanks other than ' ' and C1
 * included) and invalid UTF-8 as \xNN, the backslash doubled. */
void buf_add_escaped(struct buf *buf, const char *s, size_t n);

#endif
