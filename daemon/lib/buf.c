/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEN(n) n "0", n "1", n "2", n "3", n "4", n "5", n "6", n "7", n "8", n "9"
const char buf_digits[100][2] = {TEN("0"), TEN("1"), TEN("2"), TEN("3"), TEN("4"),
							    TEN("5"), TEN("6"), TEN("7"), TEN("8"), TEN("9")};

void
buf_init(struct buf *buf)
{
	*buf = (struct buf){0};
}

void
buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

void
buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

void
buf_trim(struct buf *buf)
{
	char *data = buf->len > 0 ? realloc(buf->data, buf->len) : NULL;

	if (data == NULL)
		return;
	buf->data = data;
	buf->size = buf->len;
}

bool
buf_grow(struct buf *buf, size_t n)
{
	size_t size;
	char *data;

	if (buf->failed)
		return false;
	if (n <= buf->size - buf->len)
		return true;
	if (n > BUF_SIZE_MAX - buf->len) {
		buf->failed = true;
		return false;
	}
	size = buf->size == 0 ? 256 : buf->size;
	while (size < buf->len + n)
		size *= 2;
	data = realloc(buf->data, size);
	if (data == NULL) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->size = size;
	return true;
}

/* Several for every event: two digits at a time. */
void
buf_add_uint(struct buf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	for (; value >= 100; value /= 100)
		memcpy(digits + (at -= 2), buf_digits[value % 100], 2);
	if (value >= 10)
		memcpy(digits + (at -= 2), buf_digits[value], 2);
	else
		digits[--at] = (char)('0' + value);
	buf_add(buf, digits + at, sizeof(digits) - at);
}

void
buf_add_int(struct buf *buf, int64_t value)
{
	if (value < 0) {
		buf_add_char(buf, '-');
		buf_add_uint(buf, -(uint64_t)value);
	} else {
		buf_add_uint(buf, (uint64_t)value);
	}
}

void
buf_addf(struct buf *buf, const char *format, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		buf->failed = true;
	else if (buf_reserve(buf, (size_t)n + 1)) {
		(void)vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
		buf->len += (size_t)n;
	}
	va_end(again);
}

char *
text_copy(const char *bytes, size_t len)
{
	char *text = malloc(len + 1);

	if (text == NULL)
		return NULL;
	memcpy(text, bytes, len);
	text[len] = '\0';
	return text;
}

size_t
utf8_sequence(const char *s, size_t left)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n;

	if (left == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		n = 2;
	else if ((u[0] & 0xf0) == 0xe0)
		n = 3;
	else if (u[0] >= 0xf0 && u[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return n;
}

void
buf_add_escaped(struct buf *buf, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n;) {
		size_t len = utf8_sequence(s + i, n - i);
		unsigned char c = (unsigned char)s[i];
		bool control = len == 0 || c < 0x20 || c == 0x7f ||
			       (c == 0xc2 && (unsigned char)s[i + 1] < 0xa0) ||
			       /* U+2028 and U+2029 end lines, U+202A..E and U+2066..9 turn them */
			       (len == 3 && c == 0xe2 &&
				((unsigned char)s[i + 1] == 0x80 || (unsigned char)s[i + 1] == 0x81) &&
				(((unsigned char)s[i + 2] >= 0xa8 && (unsigned char)s[i + 2] <= 0xae &&
				  (unsigned char)s[i + 1] == 0x80) ||
				 ((unsigned char)s[i + 2] >= 0xa6 && (unsigned char)s[i + 2] <= 0xa9 &&
				  (unsigned char)s[i + 1] == 0x81)));

		if (c == '\\') {
			buf_add(buf, "\\\\", 2);
			i++;
		} else if (control) {
			for (size_t j = 0; j < (len == 0 ? 1 : len); j++) {
				unsigned char byte = (unsigned char)s[i + j];
				char out[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};

				buf_add(buf, out, sizeof(out));
			}
			i += len == 0 ? 1 : len;
		} else {
			buf_add(buf, s + i, len);
			i += len;
		}
	}
}
