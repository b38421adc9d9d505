/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_fired.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
replay_fired_init(struct replay_fired *all, void (*differs)(void *, const struct fired *), void *data)
{
	*all = (struct replay_fired){.differs = differs, .data = data};
	all->alone = calloc(REPLAY_FIRED_MAX, sizeof(*all->alone));
	return all->alone != NULL ? 0 : -ENOMEM;
}

void
replay_fired_fini(struct replay_fired *all)
{
	free(all->alone);
	*all = (struct replay_fired){0};
}

static void
take_out(struct replay_fired *all, size_t i)
{
	memmove(&all->alone[i], &all->alone[i + 1], (all->n - i - 1) * sizeof(*all->alone));
	all->n--;
}

void
replay_fired_add(struct replay_fired *all, bool was, uint64_t time_ns, const char *rule)
{
	struct fired *one;

	for (size_t i = all->n; i-- > 0;) { /* its other half was told last */
		one = &all->alone[i];
		if (one->was != was && one->time_ns == time_ns && strcmp(one->rule, rule) == 0) {
			take_out(all, i);
			return;
		}
	}
	if (all->n == REPLAY_FIRED_MAX) {
		all->differs(all->data, &all->alone[0]);
		take_out(all, 0);
	}
	one = &all->alone[all->n++];
	one->time_ns = time_ns;
	one->was = was;
	(void)strncpy(one->rule, rule, sizeof(one->rule) - 1);
	one->rule[sizeof(one->rule) - 1] = '\0';
}

void
replay_fired_end(struct replay_fired *all)
{
	for (size_t i = 0; i < all->n; i++)
		all->differs(all->data, &all->alone[i]);
	all->n = 0;
}
