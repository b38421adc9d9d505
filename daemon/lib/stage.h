/* SPDX-License-Identifier: Apache-2.0 */
/* An event on paper: made from the test beside a rule, and judged as the agent judges. */
#ifndef LIB_STAGE_H
#define LIB_STAGE_H

#include "event.h"
#include "rules.h"
#include "verdict.h"

/* Everything an event is made of. Too large for comfort on a stack. */
struct stage {
	struct pyaudit_value values[PYAUDIT_VALUES_MAX + PYAUDIT_N_FACTS * PYAUDIT_LIST_MAX];
	size_t n_values;
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX];
	struct pyaudit_value packages[PYAUDIT_STACK_MAX]; /* of the frames, one each */
	struct pyaudit_facts facts;
	struct pyaudit_event event;
	_Alignas(8) char scratch[PYAUDIT_SCRATCH_SIZE];
};

/* Fills in event and facts, which borrow from the test. */
void stage_set(struct stage *stage, const struct rule_test *test);
void stage_freep(struct stage **stage);

/* Judges an event; @name is its name, NUL terminated. RECORD without hits where only the image's
 * settings ask for it. */
void stage_judge(const void *image, const char *name, const struct pyaudit_facts *facts,
		 struct pyaudit_event *event, struct pyaudit_verdict *ret);

#endif
