/* SPDX-License-Identifier: Apache-2.0 */
/* How often rules matched and exceptions kept them quiet, as the daemon has counted since it started. */
#ifndef CTL_RULES_HITS_H
#define CTL_RULES_HITS_H

#include "client.h"
#include "rules.h"

struct rules_hits {
	cJSON *answer; /* NULL: no daemon was asked, or there is none */
};

/* CTL_OK also where there is no daemon and @dir is NULL. */
int rules_hits_ask(struct rules_hits *hits, const char *dir);
void rules_hits_fini(struct rules_hits *hits);

/* Objects with "hits" and "last"; NULL where the daemon has none such in force. */
const cJSON *rules_hits_of_rule(const struct rules_hits *hits, const struct rule *rule);
const cJSON *rules_hits_of_exception(const struct rules_hits *hits, const struct rule *rule,
				     const struct rule_exception *exception);
/* Since when it counts, or NULL. */
const char *rules_hits_since(const struct rules_hits *hits);
uint64_t rules_hits_number(const cJSON *counted);

#endif
