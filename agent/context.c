/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "context.h"
#include "clock.h"
#include "python.h"
#include "verdict.h"

#define AREAS 8 /* of a process without a GIL: a power of two */

struct area {
	_Alignas(64) _Atomic uint32_t n; /* events that were kept */
	_Alignas(64) struct pyaudit_context slots[PYAUDIT_CONTEXT_MAX];
};

static struct area *areas; /* AREAS */

static_assert((PYAUDIT_CONTEXT_MAX & (PYAUDIT_CONTEXT_MAX - 1)) == 0, "slots are found by a mask");
static_assert(sizeof(struct pyaudit_context) == 128, "a slot is two cache lines");

size_t
context_use(void *room)
{
	if (room != NULL)
		areas = room;
	return AREAS * sizeof(*areas);
}

static struct area *
area_of(uint32_t tid)
{
	return &areas[python.free_threaded ? tid & (AREAS - 1) : 0];
}

static struct pyaudit_context *
slot_of(struct area *area, uint32_t number)
{
	return &area->slots[number & (PYAUDIT_CONTEXT_MAX - 1)];
}

unsigned
context_events(const void *image)
{
	unsigned n = pyaudit_image_flags(image) >> PYAUDIT_IMAGE_CONTEXT_SHIFT &
		     PYAUDIT_IMAGE_CONTEXT_MASK;

	return n < PYAUDIT_CONTEXT_MAX ? n : PYAUDIT_CONTEXT_MAX;
}

void
context_keep(struct pyaudit_event *event, uint8_t action, uint32_t tid)
{
	struct area *area = area_of(tid);
	uint32_t number = atomic_load_explicit(&area->n, memory_order_relaxed) + 1;
	struct pyaudit_context *slot = slot_of(area, number);

	atomic_store_explicit(&area->n, number, memory_order_relaxed);
	slot->number = number;
	/* To a tick of the kernel: the exact clock costs more than all the rest. */
	slot->time_ns = clock_ns(CLOCK_REALTIME_COARSE);
	slot->tid = tid;
	slot->event = event->id;
	slot->layer = event->layer;
	slot->action = action;
	pyaudit_context_text(slot, event);
}

size_t
context_add(uint8_t record[PYAUDIT_RECORD_MAX], size_t size, unsigned n, uint32_t tid)
{
	struct area *area = area_of(tid);
	uint32_t number = atomic_load_explicit(&area->n, memory_order_relaxed);

	for (; n > 0; n--, number--) {
		struct pyaudit_context copy = *slot_of(area, number); /* another thread may be at it */

		if (copy.number != number || number == 0 || copy.len > PYAUDIT_CONTEXT_TEXT_MAX)
			break;
		size = pyaudit_record_add_context(record, size, &copy);
	}
	return size;
}
