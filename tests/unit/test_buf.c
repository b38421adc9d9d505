/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "buf.h"

static void
assert_buf(const struct buf *buf, const char *text)
{
	assert_false(buf->failed);
	assert_int_equal(buf->len, strlen(text));
	assert_memory_equal(buf->data, text, buf->len);
}

static void
numbers_have_their_digits(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf);
	buf_add_int(&buf, INT64_MIN);
	buf_add_char(&buf, ' ');
	buf_add_uint(&buf, UINT64_MAX);
	buf_add_char(&buf, ' ');
	buf_add_int(&buf, 0);
	assert_buf(&buf, "-9223372036854775808 18446744073709551615 0");
	buf_fini(&buf);
}

static void
growing_keeps_what_was_there(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf);
	for (unsigned i = 0; i < 10000; i++)
		buf_addf(&buf, "%04u", i);
	assert_int_equal(buf.len, 40000);
	assert_memory_equal(buf.data + 4 * 1234, "1234", 4);
	buf_fini(&buf);
}

static void
too_much_fails_and_stays_failed(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf);
	assert_false(buf_reserve(&buf, BUF_SIZE_MAX + 1));
	buf_add_str(&buf, "more");
	assert_true(buf.failed);
	assert_int_equal(buf.len, 0);
	buf_reset(&buf);
	buf_add_str(&buf, "again");
	assert_buf(&buf, "again");
	buf_fini(&buf);
}

static void
only_valid_utf8_is_a_sequence(void **state)
{
	static const struct {
		const char *bytes;
		size_t left, length;
	} cases[] = {
		{"a", 1, 1},          {"\xc3\xa4", 2, 2},     {"\xe2\x82\xac", 3, 3},
		{"\xf0\x9f\x90\x8d", 4, 4}, {"\xf4\x8f\xbf\xbf", 4, 4}, {"", 0, 0},
		{"\xc3", 1, 0},       /* cut off */
		{"\x80", 1, 0},       /* a continuation alone */
		{"\xc0\xaf", 2, 0},   /* overlong */
		{"\xe0\x80\xaf", 3, 0}, {"\xf0\x80\x80\xaf", 4, 0},
		{"\xed\xa0\x80", 3, 0}, /* surrogate */
		{"\xf4\x90\x80\x80", 4, 0}, /* beyond U+10FFFF */
		{"\xff", 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(utf8_sequence(cases[i].bytes, cases[i].left), cases[i].length);
}

static void
outside_bytes_cannot_steer_a_terminal(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain \xc3\xa4", "plain \xc3\xa4"},
		{"a\nb\tc", "a\\x0ab\\x09c"},
		{"\x1b[31m", "\\x1b[31m"},
		{"\xc2\x9b" "31m", "\\xc2\\x9b31m"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"back\\slash", "back\\\\slash"},
		{"a\xe2\x80\xa8" "b", "a\\xe2\\x80\\xa8" "b"},
		{"a\xe2\x80\xae" "b", "a\\xe2\\x80\\xae" "b"},
		{"\xe2\x81\xa6", "\\xe2\\x81\\xa6"},
		{"\xe2\x80\x93", "\xe2\x80\x93"},
	};
	struct buf buf;

	(void)state;
	buf_init(&buf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&buf);
		buf_add_escaped(&buf, cases[i].in, strlen(cases[i].in));
		assert_buf(&buf, cases[i].out);
	}
	buf_fini(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_their_digits),
		cmocka_unit_test(growing_keeps_what_was_there),
		cmocka_unit_test(too_much_fails_and_stays_failed),
		cmocka_unit_test(only_valid_utf8_is_a_sequence),
		cmocka_unit_test(outside_bytes_cannot_steer_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
