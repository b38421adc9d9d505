/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

static int
parse(struct request *request, const char *text, char *error)
{
	return request_parse(request, text, strlen(text), error);
}

static void
requests_are_known_by_name(void **state)
{
	char error[REQUEST_ERROR_MAX];
	struct request request;

	(void)state;
	assert_int_equal(parse(&request, "{\"request\":\"status\"}", error), 0);
	assert_int_equal(request.kind, REQUEST_STATUS);
	assert_int_equal(parse(&request, "{\"request\":\"stop\"} \r", error), 0);
	assert_int_equal(request.kind, REQUEST_STOP);
	assert_int_equal(parse(&request,
			       "{\"request\":\"tail\",\"filter\":\"severity >= warning\","
			       "\"since\":\"2026-11-22T14:00:00+01:00\"}",
			       error),
			 0);
	assert_int_equal(request.kind, REQUEST_TAIL);
	assert_string_equal(request.filter, "severity >= warning");
	assert_true(request.has_since);
	assert_int_equal(request.since_ns, 1795352400ull * 1000000000u);
	request_fini(&request);
}

static void
what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "not JSON"},
		{"{\"request\":\"status\"", "not JSON"},
		{"{\"request\":\"status\"} x", "not JSON"},
		{"[1]", "a request is one JSON object on one line"},
		{"{}", "'request' is missing"},
		{"{\"request\":1}", "'request' is missing"},
		{"{\"request\":\"reboot\"}", "unknown request 'reboot'"},
		{"{\"request\":\"status\",\"filter\":\"x\"}", "unknown field 'filter'"},
		{"{\"request\":\"tail\",\"filtre\":\"x\"}", "unknown field 'filtre'"},
		{"{\"request\":\"tail\",\"filter\":1}", "'filter' must be text"},
		{"{\"request\":\"tail\",\"filter\":\"a\",\"filter\":\"b\"}",
		 "'filter' is given twice"},
		{"{\"request\":\"tail\",\"since\":\"yesterday\"}",
		 "'since' must be a time such as 2026-11-22T14:00:00Z"},
	};
	char error[REQUEST_ERROR_MAX];
	struct request request;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(&request, cases[i].text, error), -EINVAL);
		assert_string_equal(error, cases[i].error);
	}
	assert_int_equal(request_parse(&request, "{\"request\":\"status\"}\0", 21, error), -EINVAL);
}

static void
times_are_rfc3339_or_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"2026-11-22",
		"2026-11-22T14:00:00",
		"2026-13-22T14:00:00Z",
		"2026-11-22T14:00:00ZZ",
		"2026-11-22T14:00:00.Z",
		"2026-11-22T14:00:00+1",
		"1969-12-31T23:59:59Z",
		"2026-11-22T14:00:00 Z",
	};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(time_parse(&ns, bad[i]), -EINVAL);
	assert_int_equal(time_parse(&ns, "1970-01-01T00:00:01.5Z"), 0);
	assert_int_equal(ns, 1500000000);
	assert_int_equal(time_parse(&ns, "1970-01-01T01:00:00.000000007+01:00"), 0);
	assert_int_equal(ns, 7);
	assert_int_equal(time_parse(&ns, "1970-01-01T00:00:00.9999999999999999Z"), 0);
	assert_int_equal(ns, 999999999);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_known_by_name),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(times_are_rfc3339_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
