/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "keyhash.h"
#include "limit.h"

#define SECOND UINT64_C(1000000000)

static char id_few[] = "few", id_all[] = "all", id_note[] = "note";

static struct rule rules[] = {
	{.id = id_few, .action = PYAUDIT_ACTION_BLOCK, .severity = PYAUDIT_SEV_ERROR,
	 .limit = {.per = {PYAUDIT_F_ARG0}, .n_per = 1, .burst = 3, .every_ms = 30000}},
	{.id = id_all, .action = PYAUDIT_ACTION_ALERT},
	{.id = id_note, .action = PYAUDIT_ACTION_RECORD},
};
static const struct rule_set set = {.rules = rules, .n_rules = 3};

struct told {
	unsigned n;
	uint64_t n_alerts, n_denials;
	char rule[65], value[LIMIT_VALUE_MAX + 1];
};

static void
tell(void *data, const struct report_summary *summary)
{
	struct told *told = data;

	told->n++;
	told->n_alerts += summary->n_alerts;
	told->n_denials += summary->n_denials;
	(void)snprintf(told->rule, sizeof(told->rule), "%s", summary->rule);
	(void)snprintf(told->value, sizeof(told->value), "%s",
		       summary->n_values > 0 && summary->values[0].text != NULL
			       ? summary->values[0].text
			       : "");
}

static bool
take(struct limits *limits, const char *argument, uint64_t now_ns, struct told *told,
     unsigned n_hits, const uint16_t *hits)
{
	static struct pyaudit_decoded d;
	static char scratch[PYAUDIT_SCRATCH_SIZE];
	struct pyaudit_value value = pyaudit_value_text(argument, strlen(argument));
	struct report report = {.kind = REPORT_ALERT, .decoded = &d, .rules = &set, .time_ns = now_ns};

	memset(&d, 0, sizeof(d));
	d.action = PYAUDIT_ACTION_BLOCK;
	d.n_hits = (uint8_t)n_hits;
	memcpy(d.hits, hits, n_hits * sizeof(*hits));
	d.event.name = "os.system";
	d.event.name_len = 9;
	d.event.args = &value;
	d.event.n_args = 1;
	d.event.scratch = scratch;
	d.event.scratch_size = sizeof(scratch);
	return limits_take(limits, &report, now_ns, tell, told);
}

static const uint16_t few[] = {0}, few_and_all[] = {0, 1}, few_and_note[] = {0, 2};

static void
a_burst_passes_and_tokens_come_back(void **state)
{
	struct limits *limits = limits_new();
	struct told told = {0};
	uint64_t now = 1000 * SECOND;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_true(take(limits, "x", now, &told, 1, few));
	for (unsigned i = 0; i < 7; i++)
		assert_false(take(limits, "x", now, &told, 1, few));
	assert_true(take(limits, "y", now, &told, 1, few));
	/* One more each ten seconds, and never more than three. */
	assert_false(take(limits, "x", now + 9 * SECOND, &told, 1, few));
	assert_true(take(limits, "x", now + 10 * SECOND, &told, 1, few));
	assert_false(take(limits, "x", now + 10 * SECOND, &told, 1, few));
	limits_sweep(limits, now + 29 * SECOND, tell, &told);
	assert_int_equal(told.n, 0);
	limits_sweep(limits, now + 30 * SECOND, tell, &told);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.n_alerts, 9);
	assert_int_equal(told.n_denials, 9);
	assert_string_equal(told.rule, "few");
	assert_string_equal(told.value, "x");
	for (unsigned i = 0; i < 3; i++)
		assert_true(take(limits, "x", now + 1000 * SECOND, &told, 1, few));
	assert_false(take(limits, "x", now + 1000 * SECOND, &told, 1, few));
	limits_flush(limits, NULL, tell, &told);
	assert_int_equal(told.n_alerts, 10);
	limits_flush(limits, NULL, tell, &told);
	assert_int_equal(told.n, 2);
	limits_free(limits);
}

static void
another_rule_that_alerts_is_heard_one_that_records_does_not_count(void **state)
{
	struct limits *limits = limits_new();
	struct told told = {0};
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_true(take(limits, "x", SECOND, &told, 2, few_and_all));
	for (unsigned i = 0; i < 10; i++)
		n += take(limits, "z", SECOND, &told, 2, few_and_note);
	assert_int_equal(n, 3);
	limits_free(limits);
}

static void
the_table_is_bounded_and_nothing_is_forgotten_untold(void **state)
{
	struct limits *limits = limits_new();
	struct told told = {0};
	unsigned n_taken = 0, n = 0;
	char text[32];

	(void)state;
	for (unsigned i = 0; i < 3 * LIMIT_BUCKETS_MAX; i++)
		for (unsigned k = 0; k < 5; k++, n++) {
			(void)snprintf(text, sizeof(text), "value %u", i);
			n_taken += take(limits, text, SECOND, &told, 1, few);
		}
	assert_int_equal(limits_evicted(limits), 2 * LIMIT_BUCKETS_MAX);
	limits_flush(limits, NULL, tell, &told);
	assert_int_equal(n_taken + told.n_alerts, n);
	assert_int_equal(n_taken, 9 * LIMIT_BUCKETS_MAX);
	limits_free(limits);
}

/* From the authors' test vectors of SipHash-2-4 with 128 bits. */
static void
keys_are_hashed_as_siphash_says(void **state)
{
	static const uint8_t wanted[2][16] = {
		{0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93},
		{0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45},
	};
	uint8_t key[16], zero = 0;
	struct keyhash_secret secret;
	struct keyhash hash;

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	memcpy(&secret, key, sizeof(secret));
	for (unsigned len = 0; len < 2; len++) {
		hash = keyhash_of(&secret, &zero, len);
		assert_memory_equal(&hash, wanted[len], 16);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_passes_and_tokens_come_back),
		cmocka_unit_test(another_rule_that_alerts_is_heard_one_that_records_does_not_count),
		cmocka_unit_test(the_table_is_bounded_and_nothing_is_forgotten_untold),
		cmocka_unit_test(keys_are_hashed_as_siphash_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
