/* SPDX-License-Identifier: Apache-2.0 */
#include "rules_hits.h"

#include <string.h>

#include "ctl.h"

int
rules_hits_ask(struct rules_hits *hits, const char *dir)
{
	struct client client = CLIENT_INIT;
	int r = client_open(&client, dir);

	hits->answer = NULL;
	if (r == 0)
		r = client_ask(&client, "rules", &hits->answer, NULL);
	client_close(&client);
	if (r == 0 && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(hits->answer, "ok")))
		return CTL_OK;
	if (dir != NULL && r == 0)
		(void)client_accepted(hits->answer);
	else if (dir != NULL)
		client_explain(dir, r);
	rules_hits_fini(hits);
	return dir != NULL ? CTL_FAILED : CTL_OK;
}

void
rules_hits_fini(struct rules_hits *hits)
{
	cJSON_Delete(hits->answer);
	hits->answer = NULL;
}

static bool
is(const cJSON *object, const char *member, const char *text)
{
	const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, member));

	return value != NULL ? strcmp(value, text != NULL ? text : "") == 0
			     : text == NULL || text[0] == '\0';
}

const cJSON *
rules_hits_of_rule(const struct rules_hits *hits, const struct rule *rule)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(hits->answer, "rules"))
		if (is(item, "id", rule->id))
			return item;
	return NULL;
}

const cJSON *
rules_hits_of_exception(const struct rules_hits *hits, const struct rule *rule,
			const struct rule_exception *exception)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(hits->answer, "exceptions"))
		if (is(item, "rule", rule->id) && is(item, "when", exception->text) &&
		    is(item, "owner", exception->owner) && is(item, "expires", exception->expires))
			return item;
	return NULL;
}

const char *
rules_hits_since(const struct rules_hits *hits)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(hits->answer, "since"));
}

uint64_t
rules_hits_number(const cJSON *counted)
{
	const cJSON *hits = cJSON_GetObjectItemCaseSensitive(counted, "hits");

	return cJSON_IsNumber(hits) && hits->valuedouble > 0 ? (uint64_t)hits->valuedouble : 0;
}
