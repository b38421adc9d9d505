/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void
json_add_control(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
					['\r'] = 'r'};

	if (c == '"' || c == '\\') {
		char text[2] = {'\\', (char)c};

		buf_add(out, text, sizeof(text));
	} else if (c < 32 && shorts[c] != 0) {
		char text[2] = {'\\', shorts[c]};

		buf_add(out, text, sizeof(text));
	} else {
		char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

		buf_add(out, text, sizeof(text));
	}
}

/* How many of the bytes stand for themselves: ASCII, no control character, no quote, no backslash.
 * Eight at a time: a byte of @hit has its top bit set where one of them is something else; a
 * carry may set it in a byte behind one that is, never in the first. */
static size_t
plain_length(const char *s, size_t n)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t word, quote, back, hit;

		memcpy(&word, s + i, 8);
		quote = word ^ ones * '"';
		back = word ^ ones * '\\';
		hit = (word | (word - ones * 0x20) | (quote - ones) | (back - ones) |
		       (word + ones)) & tops;
		if (hit != 0)
			break;
	}
	for (; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			break;
	}
	return i;
}

void
json_text(struct json *json, const char *s, size_t n)
{
	struct buf *out = json->out;
	size_t start = 0, i = 0;

	json_separate(json);
	if (!buf_reserve(out, n + 2))
		return;
	buf_add_char(out, '"');
	while (i += plain_length(s + i, n - i), i < n) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x80) {
			size_t len = utf8_sequence(s + i, n - i);

			if (len > 0) {
				i += len;
				continue;
			}
			buf_add(out, s + start, i - start);
			buf_add_str(out, "\xef\xbf\xbd");
		} else {
			buf_add(out, s + start, i - start);
			json_add_control(out, c);
		}
		start = ++i;
	}
	buf_add(out, s + start, n - start);
	buf_add_char(out, '"');
}

void
json_str(struct json *json, const char *s)
{
	if (s == NULL)
		json_null(json);
	else
		json_text(json, s, strlen(s));
}

void
json_int(struct json *json, int64_t value)
{
	json_separate(json);
	buf_add_int(json->out, value);
}

void
json_uint(struct json *json, uint64_t value)
{
	json_separate(json);
	buf_add_uint(json->out, value);
}

void
json_double(struct json *json, double value)
{
	if (isnan(value)) {
		json_str(json, "nan");
	} else if (isinf(value)) {
		json_str(json, value < 0 ? "-inf" : "inf");
	} else {
		json_separate(json);
		buf_addf(json->out, "%.17g", value);
	}
}

void
json_bool(struct json *json, bool value)
{
	json_separate(json);
	buf_add_str(json->out, value ? "true" : "false");
}

void
json_null(struct json *json)
{
	json_separate(json);
	buf_add(json->out, "null", 4);
}

void
json_raw(struct json *json, const char *raw, size_t n)
{
	if (n == 0)
		return;
	json_separate(json);
	buf_add(json->out, raw, n);
}

/* The last digit of an odd number of them stands behind the pairs. */
static char *
put_digits(char *at, unsigned value, unsigned n_digits)
{
	if (n_digits % 2 != 0) {
		at[n_digits - 1] = (char)('0' + value % 10);
		value /= 10;
	}
	for (unsigned i = n_digits / 2; i-- > 0; value /= 100)
		memcpy(at + 2 * i, buf_digits[value % 100], 2);
	return at + n_digits;
}

/* The calendar by arithmetic (days of a year that starts in March): this runs per event. */
void
buf_add_time(struct buf *buf, uint64_t time_ns)
{
	uint64_t seconds = time_ns / 1000000000u;
	unsigned in_day = (unsigned)(seconds % 86400);
	uint64_t days = seconds / 86400 + 719468;
	uint64_t era = days / 146097;
	unsigned doe = (unsigned)(days % 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	unsigned day = doy - (153 * mp + 2) / 5 + 1;
	unsigned month = mp < 10 ? mp + 3 : mp - 9;
	unsigned year = (unsigned)(era * 400 + yoe + (month <= 2));
	char text[30], *at = text;

	at = put_digits(at, year, 4);
	*at++ = '-';
	at = put_digits(at, month, 2);
	*at++ = '-';
	at = put_digits(at, day, 2);
	*at++ = 'T';
	at = put_digits(at, in_day / 3600, 2);
	*at++ = ':';
	at = put_digits(at, in_day / 60 % 60, 2);
	*at++ = ':';
	at = put_digits(at, in_day % 60, 2);
	*at++ = '.';
	at = put_digits(at, (unsigned)(time_ns % 1000000000u), 9);
	*at++ = 'Z';
	buf_add(buf, text, (size_t)(at - text));
}

void
json_time(struct json *json, uint64_t time_ns)
{
	json_separate(json);
	buf_add_char(json->out, '"');
	buf_add_time(json->out, time_ns);
	buf_add_char(json->out, '"');
}
