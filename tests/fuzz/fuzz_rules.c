/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule files and filters are bytes from outside. Input that begins with '?' is a filter; anything
 * else a rule file, which, once accepted, must survive its tests too.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ruletest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_filter(const char *text, size_t len, struct diag *diag)
{
	struct expr *expr = NULL;
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (rules_parse_filter(&expr, copy, diag) == 0)
		expr_free(expr);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct rule_set *set = NULL;
	struct ruletest tests = {0};
	struct diag diag;
	int r;

	diag_init(&diag);
	if (size > 0 && data[0] == '?') {
		read_filter(text + 1, size - 1, &diag);
		diag_fini(&diag);
		return 0;
	}
	r = rules_parse_at(&set, "fuzz", text, size, 1782820800, &diag);
	/* A set is given out exactly when there is no mistake, and mistakes are never silent. */
	if ((r == 0) != (set != NULL) || (r == RULES_E_INVALID) != (diag.n_errors > 0))
		abort();
	if (r == 0) {
		(void)ruletest_run(&tests, set, &diag);
		ruletest_fini(&tests);
	}
	rules_free(set);
	diag_fini(&diag);
	return 0;
}
