/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings from someone who wishes the daemon ill. The input is two images of a small ring, header, claims and
 * lanes: the first is what the daemon maps, the second is written over it while it reads. Whatever stands
 * there, reading ends, and what is delivered is a copy within bounds.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drain.h"
#include "event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LANE PYAUDIT_LANE_SIZE_MIN
#define CLAIMS 64u
#define LANES_AT (PYAUDIT_RING_HEADER + PYAUDIT_N_LANES * CLAIMS * 8)
#define RING_BYTES (LANES_AT + PYAUDIT_N_LANES * LANE)
#define RECORDS_MAX (5 * CLAIMS) /* that can be read: two lanes, each by two and a half laps */

struct got {
	struct pyaudit_ring *ring;
	const uint8_t *later;
	size_t n_later;
	unsigned n_records;
};

/* The image as the input has it: the header's fields, then claims and lanes. Its geometry is left as it is
 * said to be where the first byte is odd, and is a valid one else. */
static void
write_ring(struct pyaudit_ring *ring, const uint8_t *data, size_t size, bool is_first)
{
	uint8_t *bytes = (uint8_t *)ring;
	size_t head = size < sizeof(*ring) ? size : sizeof(*ring);
	bool lies = size > 0 && (data[0] & 1) != 0;

	if (is_first)
		memset(bytes, 0, RING_BYTES);
	if (head > 0)
		memcpy(bytes, data, head);
	size -= head;
	if (size > RING_BYTES - PYAUDIT_RING_HEADER)
		size = RING_BYTES - PYAUDIT_RING_HEADER;
	if (size > 0)
		memcpy(bytes + PYAUDIT_RING_HEADER, data + head, size);
	ring->magic = PYAUDIT_RING_MAGIC;
	ring->version = PYAUDIT_RING_VERSION;
	for (unsigned i = 0; i < PYAUDIT_N_LANES && !(is_first && lies); i++) {
		ring->lane_offset[i] = LANES_AT + i * LANE;
		ring->lane_size[i] = LANE;
		ring->claims_offset[i] = PYAUDIT_RING_HEADER + i * CLAIMS * 8;
		ring->n_claims[i] = CLAIMS;
	}
}

static void
take_record(void *data, enum pyaudit_lane lane, uint64_t number, const uint8_t *record, size_t size)
{
	static struct pyaudit_decoded decoded;
	struct got *got = data;

	(void)number;
	assert(lane < PYAUDIT_N_LANES && size <= PYAUDIT_RECORD_MAX);
	assert(++got->n_records <= RECORDS_MAX);
	if (pyaudit_record_decode(&decoded, record, size) == 0)
		assert(decoded.event.n_args <= PYAUDIT_ARGS_MAX);
	if (got->n_later > 0)
		write_ring(got->ring, got->later, got->n_later, false);
	got->n_later = 0;
}

static bool
is_alive(void *data, uint32_t tid, uint64_t since_ns)
{
	(void)data;
	(void)since_ns;
	return (tid & 1) != 0;
}

static void
read_lane(struct drain *drain, enum pyaudit_lane lane, struct got *got, bool hold)
{
	struct drain_calls calls = {take_record, is_alive, got, hold};
	struct drain_losses losses;
	struct drain_mark mark;

	(void)drain_run(drain, lane, CLAIMS, false, 1, &calls);
	(void)drain_run(drain, lane, CLAIMS / 2, false, 1 + 2 * (uint64_t)DRAIN_STUCK_NS, &calls);
	mark = drain_mark(drain, lane);
	if (hold)
		drain_release(drain, lane, &mark);
	drain_all(drain, lane, true, 3 * (uint64_t)DRAIN_STUCK_NS, &calls);
	(void)drain_take_losses(drain, lane, true, &losses);
	drain_told(drain, lane, losses.n_full);
}

static int
ring_fd(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, RING_BYTES) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		abort();
	return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pyaudit_ring *ring;
	static int fd = -1;
	struct drain drain, again;
	struct got got;
	const char *why;
	size_t half;

	if (fd < 0) {
		fd = ring_fd();
		ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (ring == MAP_FAILED)
			abort();
	}
	half = size > 2 * sizeof(*ring) ? size / 2 : size;
	write_ring(ring, data, half, true);
	got = (struct got){.ring = ring, .later = data + half, .n_later = size - half};
	if (drain_open(&drain, fd, &why) < 0) {
		assert(why != NULL && why[0] != '\0');
		return 0;
	}
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++)
		read_lane(&drain, i, &got, (size & 1) != 0);
	(void)drain_sleep(&drain);
	if (drain_open(&again, fd, &why) == 0) { /* the next daemon */
		drain_adopt(&again, &drain);
		got.n_records = 0;
		for (unsigned i = 0; i < PYAUDIT_N_LANES; i++)
			read_lane(&again, i, &got, false);
		drain_close(&again);
	}
	drain_close(&drain);
	return 0;
}
