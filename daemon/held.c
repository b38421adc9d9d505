/* SPDX-License-Identifier: Apache-2.0 */
#include "held.h"

#include <string.h>

static void
join(struct held_entry *last, const struct held_entry *entry)
{
	last->mark = entry->mark;
	if (entry->until.ndjson > 0)
		last->until.ndjson = entry->until.ndjson;
	if (entry->until.journal > 0)
		last->until.journal = entry->until.journal;
}

void
held_add(struct held *held, const struct held_entry *entry)
{
	if (held->n < HELD_MAX)
		held->entries[held->n++] = *entry;
	else
		join(&held->entries[HELD_MAX - 1], entry);
}

static bool
have_it(struct sink *ndjson, struct sink *journal, const struct held_marks *until)
{
	return (ndjson == NULL || until->ndjson == 0 || sink_is_safe(ndjson, until->ndjson)) &&
	       (journal == NULL || until->journal == 0 || sink_is_safe(journal, until->journal));
}

static bool
stands(struct sink *sink, uint64_t until, uint64_t now_ns)
{
	return sink != NULL && until > 0 && !sink_is_safe(sink, until) && sink_stands(sink, now_ns);
}

bool
held_take(struct held *held, struct sink *ndjson, struct sink *journal, uint64_t now_ns,
	  struct drain_mark *ret, bool *ret_written)
{
	const struct held_entry *first = &held->entries[0];

	if (held->n == 0)
		return false;
	*ret_written = have_it(ndjson, journal, &first->until);
	if (!*ret_written && !stands(ndjson, first->until.ndjson, now_ns) &&
	    !stands(journal, first->until.journal, now_ns))
		return false;
	*ret = first->mark;
	if (held->is_late) {
		join(&held->late, first);
		*ret_written = false;
	} else if (!*ret_written) {
		held->late = *first;
		held->is_late = true;
	}
	held->n--;
	memmove(held->entries, held->entries + 1, held->n * sizeof(held->entries[0]));
	return true;
}

bool
held_take_late(struct held *held, struct sink *ndjson, struct sink *journal, struct drain_mark *ret)
{
	if (!held->is_late || !have_it(ndjson, journal, &held->late.until))
		return false;
	*ret = held->late.mark;
	held->is_late = false;
	return true;
}
