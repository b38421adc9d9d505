/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "json.h"

static void
assert_buf(struct buf *buf, const char *text)
{
	assert_false(buf->failed);
	buf_add_char(buf, 0);
	assert_string_equal(buf->data, text);
	buf_reset(buf);
}

static void
commas_stand_between_values(void **state)
{
	struct buf buf;
	struct json json;

	(void)state;
	buf_init(&buf);
	json = json_on(&buf);
	json_object(&json);
	json_key(&json, "a");
	json_array(&json);
	json_int(&json, -1);
	json_object(&json);
	json_object_end(&json);
	json_array(&json);
	json_array_end(&json);
	json_null(&json);
	json_array_end(&json);
	json_raw(&json, "\"b\":true", 8);
	json_raw(&json, "", 0);
	json_key(&json, "c");
	json_str(&json, NULL);
	json_object_end(&json);
	assert_buf(&buf, "{\"a\":[-1,{},[],null],\"b\":true,\"c\":null}");
	buf_fini(&buf);
}

static void
every_byte_becomes_valid_text(void **state)
{
	struct buf buf;
	struct json json;
	char text[2] = {'x', 0};

	(void)state;
	buf_init(&buf);
	for (unsigned byte = 0; byte < 256; byte++) {
		cJSON *root;

		text[1] = (char)byte;
		json = json_on(&buf);
		json_text(&json, text, 2);
		assert_false(buf.failed);
		for (size_t i = 0; i < buf.len; i++)
			assert_true((unsigned char)buf.data[i] >= 0x20);
		root = cJSON_ParseWithLength(buf.data, buf.len);
		assert_non_null(root);
		if (byte >= 0x80)
			assert_string_equal(root->valuestring, "x\xef\xbf\xbd");
		else if (byte > 0)
			assert_memory_equal(root->valuestring, text, 2);
		cJSON_Delete(root);
		buf_reset(&buf);
	}
	buf_fini(&buf);
}

/* The writer looks at eight bytes at a time. */
static void
a_byte_is_seen_wherever_it_stands(void **state)
{
	struct buf buf;
	struct json json;
	char text[24];

	(void)state;
	buf_init(&buf);
	for (unsigned byte = 1; byte < 256; byte++) {
		for (size_t at = 0; at < sizeof(text); at++) {
			cJSON *root;

			memset(text, 'a', sizeof(text));
			text[at] = (char)byte;
			json = json_on(&buf);
			json_text(&json, text, sizeof(text));
			for (size_t i = 1; i + 1 < buf.len; i++)
				assert_true((unsigned char)buf.data[i] >= 0x20);
			root = cJSON_ParseWithLength(buf.data, buf.len);
			assert_non_null(root);
			assert_memory_equal(root->valuestring, text, at);
			if (byte < 0x80)
				assert_memory_equal(root->valuestring, text, sizeof(text));
			else
				assert_memory_equal(root->valuestring + at, "\xef\xbf\xbd", 3);
			cJSON_Delete(root);
			buf_reset(&buf);
		}
	}
	buf_fini(&buf);
}

static void
escapes_are_the_short_ones(void **state)
{
	struct buf buf;
	struct json json;

	(void)state;
	buf_init(&buf);
	json = json_on(&buf);
	json_text(&json, "\"\\\b\f\n\r\t\x01\x7f/\xc3\xa4\xe2\x82", 14);
	assert_buf(&buf, "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u007f/\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\"");
	buf_fini(&buf);
}

static void
numbers_without_a_json_form_are_text(void **state)
{
	struct buf buf;
	struct json json;

	(void)state;
	buf_init(&buf);
	json = json_on(&buf);
	json_array(&json);
	json_double(&json, 0.5);
	json_double(&json, NAN);
	json_double(&json, -INFINITY);
	json_uint(&json, UINT64_MAX);
	json_int(&json, INT64_MIN);
	json_array_end(&json);
	assert_buf(&buf, "[0.5,\"nan\",\"-inf\",18446744073709551615,-9223372036854775808]");
	buf_fini(&buf);
}

static void
time_is_rfc3339_with_nanoseconds(void **state)
{
	static const struct {
		uint64_t seconds, ns;
		const char *text;
	} cases[] = {
		{0, 0, "1970-01-01T00:00:00.000000000Z"},
		{951782399, 999999999, "2000-02-28T23:59:59.999999999Z"},
		{951782400, 1, "2000-02-29T00:00:00.000000001Z"},
		{1709251199, 0, "2024-02-29T23:59:59.000000000Z"},
		{4107542400, 0, "2100-03-01T00:00:00.000000000Z"},
		{1795359683, 867837292, "2026-11-22T15:01:23.867837292Z"},
	};
	struct buf buf;

	(void)state;
	buf_init(&buf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_add_time(&buf, cases[i].seconds * 1000000000u + cases[i].ns);
		assert_buf(&buf, cases[i].text);
	}
	buf_fini(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_stand_between_values),
		cmocka_unit_test(every_byte_becomes_valid_text),
		cmocka_unit_test(a_byte_is_seen_wherever_it_stands),
		cmocka_unit_test(escapes_are_the_short_ones),
		cmocka_unit_test(numbers_without_a_json_form_are_text),
		cmocka_unit_test(time_is_rfc3339_with_nanoseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
