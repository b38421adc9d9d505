/* SPDX-License-Identifier: Apache-2.0 */
/* Filters over fields that only exist after the rules ran, and how they treat what is missing.
 * What each operator means is tested with the image, in test_verdict.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compile.h"
#include "rules.h"

static struct pyaudit_value rule_ids[2];
static unsigned n_asked;

static struct pyaudit_value
text(const char *s)
{
	return pyaudit_value_text(s, strlen(s));
}

static bool
get(void *data, unsigned field, struct pyaudit_value *ret)
{
	(void)data;
	n_asked++;
	switch (field) {
	case PYAUDIT_F_KIND:
		*ret = text("alert");
		return true;
	case PYAUDIT_F_ACTION:
		*ret = text("block");
		return true;
	case PYAUDIT_F_SEVERITY:
		*ret = pyaudit_value_int(PYAUDIT_SEV_WARNING);
		return true;
	case PYAUDIT_F_RULE:
		rule_ids[0] = text("shell-from-web-worker");
		rule_ids[1] = text("odd-name");
		*ret = (struct pyaudit_value){
			.type = PYAUDIT_TAG_LIST, .n_items = 2, .full_len = 2, .items = rule_ids};
		return true;
	case PYAUDIT_F_PROC_UID:
		*ret = pyaudit_value_int(1000);
		return true;
	case PYAUDIT_F_FILE_PATH:
		*ret = text("/etc/passwd");
		return true;
	case PYAUDIT_F_FILE_WRITE:
		*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_BOOL, .i = 0};
		return true;
	case PYAUDIT_F_NET_IP:
		*ret = text("10.0.0.1");
		return true;
	default:
		return false;
	}
}

static bool
holds(const char *condition)
{
	struct expr *filter = NULL;
	struct diag diag;
	bool ret;

	diag_init(&diag);
	if (rules_parse_filter(&filter, condition, &diag) != 0) {
		diag_print(&diag, stderr);
		fail_msg("%s", condition);
	}
	ret = filter_match(filter, get, NULL);
	expr_free(filter);
	diag_fini(&diag);
	return ret;
}

static void
alerts_are_filtered_by_severity_rule_and_kind(void **state)
{
	static const struct {
		const char *condition;
		bool holds;
	} cases[] = {
		{"severity >= warning", true},
		{"severity > warning", false},
		{"severity = warning", true},
		{"severity < error", true},
		{"kind = alert", true},
		{"kind != 'alert'", false},
		{"action = block", true},
		{"rule = 'odd-name'", true},
		{"rule = 'odd'", false},
		{"rule glob 'shell-*'", true},
		{"rule matches '^odd'", true},
		{"proc.uid = 1000 and severity >= notice", true},
		{"proc.uid < 1000 or file.path under '/etc'", true},
		{"not file.path under '/etc'", false},
		{"file.write", false},
		{"exists proc.unit", false},
		{"not exists proc.unit", true},
		{"proc.unit = 'x'", false},
		{"proc.unit != 'x'", true},
		{"net.ip cidr '10.0.0.0/8'", true},
		{"net.ip = '10.0.0.1'", true},
		{"file.path endswith 'passwd' and file.path contains 'etc'", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (holds(cases[i].condition) != cases[i].holds)
			fail_msg("%s", cases[i].condition);
}

static void
what_is_decided_asks_for_no_more(void **state)
{
	(void)state;
	n_asked = 0;
	assert_false(holds("kind = event and severity >= info and file.path = 'x'"));
	assert_in_range(n_asked, 1, 2);
	n_asked = 0;
	assert_true(holds("kind = alert or severity >= info"));
	assert_int_equal(n_asked, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alerts_are_filtered_by_severity_rule_and_kind),
		cmocka_unit_test(what_is_decided_asks_for_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
