/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of rules with memory: events on paper with the time between them. */
#ifndef LIB_TIMELINE_H
#define LIB_TIMELINE_H

#include "stage.h"

/* How often rule 0 of @set acts; @image is made of that set. 0 or -ENOMEM. */
int timeline_run(uint32_t *ret_times, struct stage *stage, const void *image,
		 const struct rule_set *set, const struct rule_timeline *timeline);

#endif
