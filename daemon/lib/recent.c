/* SPDX-License-Identifier: Apache-2.0 */
#include "recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t
entry_room(size_t size)
{
	return sizeof(struct recent_entry) + ((size + 7) & ~(size_t)7);
}

static struct recent_entry *
entry_at(const struct recent *recent, uint64_t position)
{
	return (struct recent_entry *)(void *)(recent->bytes + position % recent->size);
}

int
recent_init(struct recent *recent, size_t size)
{
	*recent = (struct recent){0};
	if (size == 0)
		return 0;
	size = (size < RECENT_SIZE_MIN ? RECENT_SIZE_MIN : size) & ~(size_t)63;
	recent->bytes = malloc(size);
	if (recent->bytes == NULL)
		return -ENOMEM;
	recent->size = size;
	return 0;
}

/* Room from @position to the end of the memory, where entries must not cross. */
static size_t
room_to_end(const struct recent *recent, uint64_t position)
{
	return recent->size - (size_t)(position % recent->size);
}

/* The position behind the entry at @position. A rest too small for a head is skipped unsaid. */
static uint64_t
position_behind(const struct recent *recent, uint64_t position)
{
	size_t left = room_to_end(recent, position);
	const struct recent_entry *entry;

	if (left < sizeof(*entry))
		return position + left;
	entry = entry_at(recent, position);
	return position + (entry->is_filler ? left : entry_room(entry->size));
}

static void
drop_oldest(struct recent *recent)
{
	if (room_to_end(recent, recent->tail) >= sizeof(struct recent_entry) &&
	    !entry_at(recent, recent->tail)->is_filler)
		process_unref(entry_at(recent, recent->tail)->process);
	recent->tail = position_behind(recent, recent->tail);
}

void
recent_fini(struct recent *recent)
{
	while (recent->tail != recent->head)
		drop_oldest(recent);
	free(recent->bytes);
	*recent = (struct recent){0};
}

static void
make_room(struct recent *recent, size_t room)
{
	while (recent->size - (size_t)(recent->head - recent->tail) < room)
		drop_oldest(recent);
}

void
recent_add(struct recent *recent, struct recent_entry entry, uint64_t weight, const void *bytes,
	   size_t size)
{
	size_t room = entry_room(size), left;

	entry.weight = weight;
	entry.weight_before = recent->weight;
	recent->weight += weight;
	if (recent->size == 0 || room > recent->size / 2)
		return;
	left = room_to_end(recent, recent->head);
	if (left < room) {
		make_room(recent, left);
		if (left >= sizeof(entry))
			*entry_at(recent, recent->head) = (struct recent_entry){.is_filler = true};
		recent->head += left;
	}
	make_room(recent, room);
	entry.size = (uint32_t)size;
	entry.is_filler = false;
	if (entry.process != NULL)
		process_ref(entry.process);
	*entry_at(recent, recent->head) = entry;
	memcpy(entry_at(recent, recent->head) + 1, bytes, size);
	recent->head += room;
}

const struct recent_entry *
recent_next(const struct recent *recent, uint64_t *at, const uint8_t **ret_bytes)
{
	const struct recent_entry *entry;

	if (*at < recent->tail)
		*at = recent->tail;
	while (*at < recent->head) {
		bool has_head = room_to_end(recent, *at) >= sizeof(*entry);

		entry = entry_at(recent, *at);
		*at = position_behind(recent, *at);
		if (!has_head || entry->is_filler)
			continue;
		*ret_bytes = (const uint8_t *)(entry + 1);
		return entry;
	}
	return NULL;
}
