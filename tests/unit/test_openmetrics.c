/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "openmetrics.h"

static void
assert_text(struct buf *out, const char *text)
{
	buf_add_char(out, '\0');
	assert_false(out->failed);
	assert_string_equal(out->data, text);
	buf_fini(out);
}

static void
families_have_type_unit_and_help(void **state)
{
	struct buf out;
	struct openmetrics om = {.out = &out};

	(void)state;
	buf_init(&out);
	openmetrics_family(&om, "a_seconds", "counter", "seconds", "Time.");
	openmetrics_sample(&om);
	openmetrics_label(&om, "mode", "user");
	openmetrics_label(&om, "who", "me");
	openmetrics_seconds(&om, 1500000999);
	openmetrics_family(&om, "b", "gauge", NULL, "Number.");
	openmetrics_sample(&om);
	openmetrics_uint(&om, UINT64_MAX);
	openmetrics_end(&om);
	assert_text(&out, "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds Time.\n"
			  "a_seconds_total{mode=\"user\",who=\"me\"} 1.500000\n"
			  "# TYPE b gauge\n# HELP b Number.\nb 18446744073709551615\n# EOF\n");
}

static void
label_values_are_escaped(void **state)
{
	static const struct {
		const char *value, *text;
	} cases[] = {
		{"", ""},
		{"0.1.0", "0.1.0"},
		{"a\"} 1\nb{c=\"", "a\\\"} 1\\nb{c=\\\""},
		{"back\\slash\\", "back\\\\slash\\\\"},
		{"\x1b[31m\r\x7f", "\xef\xbf\xbd[31m\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xc3\xa4\xff\xc3", "\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[128];
		struct buf out;
		struct openmetrics om = {.out = &out};

		buf_init(&out);
		openmetrics_family(&om, "v", "gauge", NULL, "V.");
		buf_reset(&out);
		openmetrics_sample(&om);
		openmetrics_label(&om, "l", cases[i].value);
		openmetrics_uint(&om, 1);
		(void)snprintf(expected, sizeof(expected), "v{l=\"%s\"} 1\n", cases[i].text);
		assert_text(&out, expected);
	}
}

static void
label_values_have_a_limit(void **state)
{
	char value[OPENMETRICS_LABEL_MAX * 2];
	struct buf out;
	struct openmetrics om = {.out = &out, .family = "v"};

	(void)state;
	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	buf_init(&out);
	openmetrics_label(&om, "l", value);
	assert_int_equal(out.len, strlen("{l=\"\"") + OPENMETRICS_LABEL_MAX);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_have_type_unit_and_help),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(label_values_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
