/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "ack.h"
#include "clock.h"

/* Between two looks: the first after the least that a record takes to be written, then twice as long each time. */
#define LOOK_NS 50000u
#define LOOK_NS_MAX 2000000u

unsigned
ack_wanted(const void *image, const struct pyaudit_verdict *verdict)
{
	unsigned most = 0;

	for (unsigned i = 0; i < verdict->n_hits; i++) {
		unsigned ms = pyaudit_image_rule_ack_ms(image, verdict->hits[i]);

		most = ms > most ? ms : most;
	}
	return most;
}

static bool
is_written(struct pyaudit_ring *ring, uint64_t index)
{
	uint64_t written = atomic_load_explicit(&ring->written[PYAUDIT_LANE_URGENT], memory_order_acquire);
	uint64_t beyond = (written - index) & PYAUDIT_PLACE_INDEX;

	return beyond != 0 && beyond <= PYAUDIT_PLACE_INDEX / 2;
}

void
ack_await(struct pyaudit_ring *ring, uint64_t index, unsigned wait_ms)
{
	uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)wait_ms * 1000000u;
	struct timespec pause = {.tv_nsec = LOOK_NS};

	while (!is_written(ring, index)) {
		if (clock_ns(CLOCK_MONOTONIC) >= until_ns) {
			atomic_fetch_add_explicit(&ring->n_late, 1, memory_order_relaxed);
			return;
		}
		(void)nanosleep(&pause, NULL); /* a signal shortens it */
		if (pause.tv_nsec < LOOK_NS_MAX)
			pause.tv_nsec *= 2;
	}
}
